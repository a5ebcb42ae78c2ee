use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::{Either, select};
use http::{HeaderName, HeaderValue, StatusCode};
use tokio::time::{Instant, sleep, timeout};

use crate::observe;

use super::{SubgraphEvents, SubgraphRequest, SubgraphResponse, Transport, TransportError};

/// The header that tells a subgraph how many milliseconds are left for its answer.
pub const DEADLINE: HeaderName = HeaderName::from_static("x-deadline-ms");

/// Below this there is no use in trying again.
const LEAST_TIME: Duration = Duration::from_millis(20);

/// How subgraphs are asked: how often, for how long, and when no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resilience {
    /// How often a query is sent again that could not be delivered, or was answered with 502, 503 or 504. A mutation
    /// never is.
    pub retries: u32,
    /// The pause before it is sent again; it doubles each time.
    pub pause: Duration,
    /// After how long a query that is not answered is sent once more, beside the first: the first answer counts. None
    /// never does.
    pub hedge_after: Option<Duration>,
    /// When a subgraph is left alone for a while; none never does.
    pub breaker: Option<Breaker>,
    /// How long one subgraph has for an answer, where that differs from the gateway's setting; never longer than it.
    pub timeouts: HashMap<String, Duration>,
}

/// When a subgraph that fails is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Breaker {
    /// After so many failures in a row.
    pub failures: u32,
    /// For so long; then one request tries.
    pub rest: Duration,
}

impl Default for Resilience {
    /// One retry after 25 ms, no hedging, a rest of 5 s after 20 failures in a row.
    fn default() -> Self {
        Self {
            retries: 1,
            pause: Duration::from_millis(25),
            hedge_after: None,
            breaker: Some(Breaker { failures: 20, rest: Duration::from_secs(5) }),
            timeouts: HashMap::new(),
        }
    }
}

/// Asks subgraphs by the rules of a [`Resilience`].
pub(crate) struct ResilientTransport {
    inner: Arc<dyn Transport>,
    rules: Resilience,
    circuits: Mutex<HashMap<String, Circuit>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Circuit {
    failures: u32,
    /// Since when it is left alone; moves on with each request that tries.
    open_since: Option<Instant>,
}

impl ResilientTransport {
    pub(crate) fn new(inner: Arc<dyn Transport>, rules: Resilience) -> Self {
        Self { inner, rules, circuits: Mutex::default() }
    }

    /// Whether a subgraph may be asked now.
    fn admit(&self, subgraph: &str) -> Result<(), TransportError> {
        let Some(breaker) = self.rules.breaker else { return Ok(()) };
        let mut circuits = self.circuits.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(circuit) = circuits.get_mut(subgraph) else { return Ok(()) };
        match circuit.open_since {
            Some(since) if since.elapsed() < breaker.rest => {
                Err(TransportError::Resting(breaker.rest.saturating_sub(since.elapsed())))
            }
            Some(_) => {
                // This one tries; the others wait for what becomes of it, or for another rest.
                circuit.open_since = Some(Instant::now());
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn learn(&self, subgraph: &str, failed: bool) {
        let Some(breaker) = self.rules.breaker else { return };
        let mut circuits = self.circuits.lock().unwrap_or_else(PoisonError::into_inner);
        if !failed {
            if circuits.remove(subgraph).is_some_and(|circuit| circuit.open_since.is_some()) {
                tracing::info!(subgraph, "the subgraph answers again");
            }
            return;
        }
        let circuit = circuits.entry(subgraph.to_owned()).or_default();
        circuit.failures = circuit.failures.saturating_add(1);
        if circuit.failures >= breaker.failures && circuit.open_since.is_none() {
            tracing::warn!(subgraph, failures = circuit.failures, rest = ?breaker.rest, "the subgraph is left alone");
            circuit.open_since = Some(Instant::now());
        }
    }

    /// Sends it once, or twice where the first answer takes long.
    async fn attempt(&self, request: SubgraphRequest) -> Result<SubgraphResponse, TransportError> {
        let patience = request.timeout;
        let Some(after) = self.rules.hedge_after.filter(|after| !request.is_mutation && *after < patience)
        else {
            return timed(patience, self.inner.send(request)).await;
        };
        let second = SubgraphRequest { timeout: patience.saturating_sub(after), ..request.clone() };
        let first = Box::pin(timed(patience, self.inner.send(request)));
        let late = Box::pin(async {
            sleep(after).await;
            timed(second.timeout, self.inner.send(second)).await
        });
        match select(first, late).await {
            // The second failed; the first one may still answer.
            Either::Right((Err(_), first)) => first.await,
            Either::Left((answer, _)) | Either::Right((answer, _)) => answer,
        }
    }
}

/// A request that is under way.
struct Asking<'a> {
    transport: &'a ResilientTransport,
    subgraph: &'a str,
    begun: Instant,
    timeout: Duration,
    is_over: bool,
}

impl Asking<'_> {
    fn over(&mut self, is_failure: bool, has_failed: bool) {
        self.is_over = true;
        self.transport.learn(self.subgraph, is_failure);
        observe::subgraph(self.subgraph, self.begun.elapsed(), has_failed);
    }
}

impl Drop for Asking<'_> {
    /// Whoever asked may give up a moment before its time is over here: that is the subgraph's failure too.
    fn drop(&mut self) {
        if !self.is_over && self.begun.elapsed() + LEAST_TIME >= self.timeout {
            self.over(true, true);
        }
    }
}

async fn timed(
    patience: Duration,
    answer: impl Future<Output = Result<SubgraphResponse, TransportError>>,
) -> Result<SubgraphResponse, TransportError> {
    timeout(patience, answer).await.unwrap_or(Err(TransportError::TimedOut(patience)))
}

#[async_trait]
impl Transport for ResilientTransport {
    /// A subscription is opened once: whoever asked opens it again.
    async fn subscribe(&self, request: SubgraphRequest) -> Result<SubgraphEvents, TransportError> {
        let subgraph = request.subgraph.clone();
        self.admit(&subgraph)?;
        let begun = Instant::now();
        let opened = self.inner.subscribe(request).await;
        let failed = matches!(opened, Err(TransportError::Unreachable(_) | TransportError::TimedOut(_)));
        self.learn(&subgraph, failed);
        observe::subgraph(&subgraph, begun.elapsed(), opened.is_err());
        opened
    }

    async fn send(&self, mut request: SubgraphRequest) -> Result<SubgraphResponse, TransportError> {
        if let Some(own) = self.rules.timeouts.get(&request.subgraph) {
            request.timeout = request.timeout.min(*own);
        }
        let subgraph = request.subgraph.clone();
        self.admit(&subgraph)?;
        let mut asking = Asking {
            transport: self,
            subgraph: &subgraph,
            begun: Instant::now(),
            timeout: request.timeout,
            is_over: false,
        };
        // The subgraph's spans are children of the one that asks it, where spans are recorded.
        if let Some(Ok(parent)) = telemetry::trace::current().map(|it| HeaderValue::from_str(&it.to_string()))
        {
            request.headers.insert(telemetry::trace::TRACEPARENT, parent);
        }
        let until = Instant::now() + request.timeout;
        let tries = if request.is_mutation { 1 } else { self.rules.retries.saturating_add(1) };
        let mut pause = self.rules.pause;
        let mut left = tries;
        let answer = loop {
            left -= 1;
            request.timeout = until.saturating_duration_since(Instant::now());
            let milliseconds = u64::try_from(request.timeout.as_millis()).unwrap_or(u64::MAX);
            request.headers.insert(DEADLINE, HeaderValue::from(milliseconds));
            let answer = self.attempt(request.clone()).await;
            let time = until.saturating_duration_since(Instant::now());
            if left == 0 || !may_pass(&answer) || time < pause + LEAST_TIME {
                break answer;
            }
            tracing::debug!(subgraph, "a query is sent again");
            sleep(pause).await;
            pause *= 2;
        };
        asking.over(is_failure(&answer), answer.as_ref().map_or(true, |it| !it.status.is_success()));
        answer
    }
}

/// Whether the same query may fare better in a moment.
fn may_pass(answer: &Result<SubgraphResponse, TransportError>) -> bool {
    const PASSING: [StatusCode; 3] =
        [StatusCode::BAD_GATEWAY, StatusCode::SERVICE_UNAVAILABLE, StatusCode::GATEWAY_TIMEOUT];
    match answer {
        Ok(response) => PASSING.contains(&response.status),
        Err(error) => matches!(error, TransportError::Unreachable(_)),
    }
}

/// Whether the subgraph is to be blamed.
fn is_failure(answer: &Result<SubgraphResponse, TransportError>) -> bool {
    match answer {
        Ok(response) => response.status.is_server_error(),
        Err(error) => matches!(error, TransportError::Unreachable(_) | TransportError::TimedOut(_)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use bytes::Bytes;
    use http::HeaderMap;

    use super::*;

    /// What a scripted subgraph does with a request: how long it takes, and what it answers.
    type Act = (u64, Result<u16, TransportError>);

    struct Scripted {
        acts: Mutex<VecDeque<Act>>,
        deadlines: Mutex<Vec<u64>>,
    }

    #[async_trait]
    impl Transport for Scripted {
        async fn send(&self, request: SubgraphRequest) -> Result<SubgraphResponse, TransportError> {
            let deadline = request.headers[DEADLINE].to_str().unwrap().parse().unwrap();
            self.deadlines.lock().unwrap().push(deadline);
            let (milliseconds, answer) = self.acts.lock().unwrap().pop_front().expect("no further request");
            sleep(Duration::from_millis(milliseconds)).await;
            let status = StatusCode::from_u16(answer?).unwrap();
            Ok(SubgraphResponse { status, headers: HeaderMap::new(), body: Bytes::new() })
        }
    }

    fn transport(
        rules: Resilience,
        acts: impl IntoIterator<Item = Act>,
    ) -> (ResilientTransport, Arc<Scripted>) {
        let acts = Mutex::new(acts.into_iter().collect());
        let scripted = Arc::new(Scripted { acts, deadlines: Mutex::default() });
        (ResilientTransport::new(Arc::clone(&scripted) as _, rules), scripted)
    }

    fn request(is_mutation: bool) -> SubgraphRequest {
        SubgraphRequest {
            subgraph: "one".to_owned(),
            url: String::new(),
            body: Bytes::new(),
            headers: HeaderMap::new(),
            timeout: Duration::from_secs(1),
            is_mutation,
            document: None,
        }
    }

    fn down() -> Result<u16, TransportError> {
        Err(TransportError::Unreachable("refused".to_owned()))
    }

    async fn status(transport: &ResilientTransport, is_mutation: bool) -> Result<u16, String> {
        let answer = transport.send(request(is_mutation)).await;
        answer.map(|response| response.status.as_u16()).map_err(|error| error.to_string())
    }

    #[tokio::test(start_paused = true)]
    async fn queries_are_sent_again_and_mutations_are_not() {
        let (transport, scripted) = transport(Resilience::default(), [(100, down()), (0, Ok(200))]);
        assert_eq!(status(&transport, false).await, Ok(200));
        // The deadline is handed down: what is left of it.
        assert_eq!(*scripted.deadlines.lock().unwrap(), [1_000, 875]);

        let (transport, _) = self::transport(Resilience::default(), [(0, down())]);
        assert!(status(&transport, true).await.is_err());
        let (transport, _) = self::transport(Resilience::default(), [(0, Ok(500))]);
        assert_eq!(status(&transport, false).await, Ok(500));
        let (transport, _) = self::transport(Resilience::default(), [(0, Ok(503)), (0, Ok(503))]);
        assert_eq!(status(&transport, false).await, Ok(503));
        // Where no time is left, it is not sent again.
        let (transport, _) = self::transport(Resilience::default(), [(990, down())]);
        assert!(status(&transport, false).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_subgraph_may_have_less_time_than_others() {
        let timeouts = HashMap::from([("one".to_owned(), Duration::from_millis(50))]);
        let (transport, _) = transport(Resilience { timeouts, ..Resilience::default() }, [(60, Ok(200))]);
        assert_eq!(status(&transport, false).await, Err("no answer within 50ms".to_owned()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_query_is_hedged_where_that_is_wanted() {
        let rules = Resilience { hedge_after: Some(Duration::from_millis(50)), ..Resilience::default() };
        let begun = Instant::now();
        let (transport, _) = transport(rules.clone(), [(900, Ok(200)), (10, Ok(201))]);
        assert_eq!(status(&transport, false).await, Ok(201));
        assert_eq!(begun.elapsed(), Duration::from_millis(60));
        let (transport, _) = self::transport(rules, [(900, Ok(200))]);
        assert_eq!(status(&transport, true).await, Ok(200));
    }

    #[tokio::test(start_paused = true)]
    async fn a_subgraph_that_fails_is_left_alone_until_one_request_succeeds() {
        let rest = Duration::from_secs(5);
        let rules =
            Resilience { retries: 0, breaker: Some(Breaker { failures: 2, rest }), ..Resilience::default() };
        let acts = [(0, down()), (0, down()), (0, down()), (0, Ok(200)), (0, Ok(200))];
        let (transport, scripted) = transport(rules, acts);
        let asked = || scripted.deadlines.lock().unwrap().len();
        for _ in 0..2 {
            assert!(status(&transport, false).await.unwrap_err().contains("refused"));
        }
        assert!(status(&transport, false).await.unwrap_err().contains("left alone"));
        assert_eq!(asked(), 2);
        tokio::time::advance(rest).await;
        assert!(status(&transport, false).await.unwrap_err().contains("refused"));
        assert!(status(&transport, false).await.unwrap_err().contains("left alone"));
        tokio::time::advance(rest).await;
        assert_eq!(status(&transport, false).await, Ok(200));
        assert_eq!(status(&transport, false).await, Ok(200));
        assert_eq!(asked(), 5);
    }
}
