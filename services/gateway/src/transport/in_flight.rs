use std::collections::HashMap;
use std::future::Future;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::{BoxFuture, FutureExt, Shared, WeakShared};
use http::HeaderMap;
use tokio::time::Instant;

use super::{SubgraphRequest, SubgraphResponse, TransportError};

type Answer = Result<SubgraphResponse, TransportError>;
type Pending = BoxFuture<'static, Answer>;

/// Headers that differ from request to request without changing the answer.
const NOT_PART_OF_THE_QUESTION: [&str; 2] = ["traceparent", "tracestate"];

/// Subgraph queries that are under way: an equal one waits for the same answer in place of being sent again.
///
/// Equal means: the same subgraph, the same body, the same headers but for those of the trace. Mutations are
/// never shared, and nobody waits for an answer whose time is nearly over. An answer is shared only while it is under way,
/// so nothing is kept.
#[derive(Default, Clone)]
pub(crate) struct InFlight {
    pending: Arc<Mutex<HashMap<Question, UnderWay>>>,
}

struct UnderWay {
    answer: WeakShared<Pending>,
    /// When whoever sent it gives up.
    until: Instant,
}

#[derive(Clone, PartialEq, Eq)]
struct Question {
    subgraph: String,
    body: bytes::Bytes,
    headers: Vec<(String, Vec<u8>)>,
}

impl Hash for Question {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.subgraph.hash(state);
        self.body.hash(state);
    }
}

impl InFlight {
    /// Sends a query, or waits for the answer to an equal one.
    pub(crate) fn share<S: FnOnce() -> Pending>(
        &self,
        request: &SubgraphRequest,
        send: S,
    ) -> impl Future<Output = Answer> + Send + use<S> {
        let question = Question {
            subgraph: request.subgraph.clone(),
            body: request.body.clone(),
            headers: part_of_the_question(&request.headers),
        };
        let now = Instant::now();
        // What was sent by a request that is nearly over would fail one that is not.
        let in_time = |it: &&UnderWay| it.until.saturating_duration_since(now) * 2 >= request.timeout;
        let shared = {
            let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
            let known = pending.get(&question).filter(in_time).and_then(|it| it.answer.upgrade());
            known.unwrap_or_else(|| {
                let shared: Shared<Pending> = send().shared();
                if let Some(answer) = shared.downgrade() {
                    pending.insert(question.clone(), UnderWay { answer, until: now + request.timeout });
                }
                shared
            })
        };
        let waiting = Waiting { pending: Arc::clone(&self.pending), question, shared };
        async move { waiting.shared.clone().await }
    }
}

/// One that waits; takes the question out of the map once it is answered or nobody waits any more.
struct Waiting {
    pending: Arc<Mutex<HashMap<Question, UnderWay>>>,
    question: Question,
    shared: Shared<Pending>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(known) = pending.get(&self.question) else { return };
        let answered = self.shared.peek().is_some();
        let is_ours = known.answer.upgrade().is_none_or(|known| known.ptr_eq(&self.shared));
        // Each that waits holds one handle, and so does this one.
        let waited_for = self.shared.strong_count().is_some_and(|count| count > 1);
        if is_ours && (answered || !waited_for) {
            pending.remove(&self.question);
        }
    }
}

pub(super) fn part_of_the_question(headers: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    let mut headers: Vec<(String, Vec<u8>)> = headers
        .iter()
        .filter(|(name, _)| !NOT_PART_OF_THE_QUESTION.contains(&name.as_str()))
        .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
        .collect();
    headers.sort();
    headers
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use bytes::Bytes;
    use http::StatusCode;
    use tokio::time::sleep;

    use super::*;

    fn request(milliseconds: u64) -> SubgraphRequest {
        SubgraphRequest {
            subgraph: "one".to_owned(),
            url: String::new(),
            body: Bytes::new(),
            headers: HeaderMap::new(),
            timeout: Duration::from_millis(milliseconds),
            is_mutation: false,
            document: None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_an_answer_whose_time_is_nearly_over() {
        let (in_flight, sent) = (InFlight::default(), Arc::new(AtomicUsize::new(0)));
        let ask = |timeout: u64| {
            let sent = Arc::clone(&sent);
            in_flight.share(&request(timeout), move || {
                sent.fetch_add(1, Ordering::Relaxed);
                let (headers, body) = (HeaderMap::new(), Bytes::new());
                let answer = SubgraphResponse { status: StatusCode::OK, headers, body };
                async move {
                    sleep(Duration::from_mins(1)).await;
                    Ok(answer)
                }
                .boxed()
            })
        };
        let first = ask(1_000);
        sleep(Duration::from_millis(400)).await;
        let (second, short) = (ask(1_000), ask(500));
        assert_eq!(sent.load(Ordering::Relaxed), 1);
        sleep(Duration::from_millis(200)).await;
        let third = ask(1_000);
        assert_eq!(sent.load(Ordering::Relaxed), 2);
        // Those that follow wait for the newer one, whatever becomes of the older.
        drop((first, second, short));
        let fourth = ask(1_000);
        assert_eq!(sent.load(Ordering::Relaxed), 2);
        drop((third, fourth));
        assert!(in_flight.pending.lock().unwrap().is_empty());
    }
}
