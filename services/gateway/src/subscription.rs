//! Subscriptions: a subgraph tells of its events, and each is answered by the rest of the plan.
//!
//! Nothing is gathered for a client: the next event is asked for once the one before was taken. A source that keeps the
//! newest state only, as those of micrographs do, thus shows a slow client the newest state, however much it missed.

use std::sync::Arc;

use futures::StreamExt;
use futures::stream::{BoxStream, unfold};
use http::HeaderMap;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::Instant;
use tracing::Instrument;

use crate::answer::Answer;
use crate::engine::Prepared;
use crate::error::{GraphQlError, codes};
use crate::execute::{execute_event, open, transport_failure};
use crate::gateway::{Asked, Shared};
use crate::observe::{self, CacheState, Measured};
use crate::plan::Fetch;
use crate::transport::{SubgraphEvents, SubgraphResponse};

/// Whether events can be told to who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Streams {
    /// They can.
    Taken,
    /// The client takes one answer.
    NotTaken,
    /// Answers go out whole, as on Lambda.
    Unsupported,
}

/// What a request gets.
pub(crate) enum Reply {
    Answer(Answer),
    Events(Events),
}

/// The events of a subscription, an answer for each. Dropped, it ends at once, down to the subgraph.
pub struct Events(BoxStream<'static, Answer>);

impl Events {
    /// The next event; none once the subscription is over. Giving up waiting loses nothing.
    pub async fn next(&mut self) -> Option<Answer> {
        self.0.next().await
    }
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}

impl Streams {
    /// What a subscription is told; nothing where it can be opened.
    pub(crate) fn refusal(self) -> Option<GraphQlError> {
        match self {
            Self::Taken => None,
            Self::NotTaken => Some(GraphQlError::new(
                codes::SUBSCRIPTION_NEEDS_STREAM,
                "a subscription's events go out one by one: send `accept: text/event-stream`, or \
                 `accept: multipart/mixed;subscriptionSpec=1.0, application/json`",
            )),
            Self::Unsupported => Some(GraphQlError::new(
                codes::SUBSCRIPTIONS_NOT_SUPPORTED,
                "subscriptions are not served here: each answer goes out whole, as on Lambda; ask for the state by a query",
            )),
        }
    }
}

/// A subscription that is open.
struct Open {
    shared: Arc<Shared>,
    asked: Arc<Asked>,
    prepared: Arc<Prepared>,
    /// Whose token is checked again with each event.
    headers: HeaderMap,
    source: SubgraphEvents,
    stopping: watch::Receiver<bool>,
    is_over: bool,
    /// Given back when it ends, however it does.
    _permit: OwnedSemaphorePermit,
}

impl Shared {
    /// Opens a subscription.
    pub(crate) async fn open(
        self: &Arc<Self>,
        asked: Arc<Asked>,
        headers: HeaderMap,
    ) -> Result<Events, Vec<GraphQlError>> {
        let stopping = self.stopping.subscribe();
        if *stopping.borrow() {
            let message = "this gateway is about to stop: subscribe again";
            return Err(vec![GraphQlError::new(codes::STOPPING, message)]);
        }
        let permit = Arc::clone(&self.subscriptions).try_acquire_owned().map_err(|_| {
            let limit = self.config.limits.subscriptions;
            let message = format!("{limit} subscriptions are open, and no more may be: try again later");
            vec![GraphQlError::new(codes::SUBSCRIPTION_LIMIT, message).with("limit", limit)]
        })?;
        let prepared = self.prepared(&asked).await?;
        let Some(events) = &prepared.plan.events else {
            // What may not be seen is left out of the plan, and so is what is skipped.
            let nothing = || GraphQlError::new(codes::BAD_REQUEST, "the subscription selects no field");
            let errors = asked.rights.errors.clone();
            return Err(if errors.is_empty() { vec![nothing()] } else { errors });
        };
        let source = open(&self.execution(&asked, asked.deadline), events).await;
        let source = source.map_err(|error| vec![error])?;
        let shared = Arc::clone(self);
        let open =
            Open { shared, asked, prepared, headers, source, stopping, is_over: false, _permit: permit };
        Ok(Events(
            unfold(open, |mut open| async move { open.next().await.map(|event| (event, open)) }).boxed(),
        ))
    }
}

impl Open {
    async fn next(&mut self) -> Option<Answer> {
        if self.is_over {
            return None;
        }
        let event = tokio::select! {
            biased;
            _ = self.stopping.wait_for(|stop| *stop) => None,
            event = self.source.next() => event,
        };
        let prepared = Arc::clone(&self.prepared);
        let events = prepared.plan.events.as_ref()?;
        let answer = match event? {
            Ok(event) => self.answer(events, &event).await,
            Err(error) => Err(transport_failure(&events.subgraph, &error)),
        };
        Some(answer.unwrap_or_else(|error| {
            self.is_over = true;
            Answer::refusal(&[error])
        }))
    }

    /// The answer to one event.
    async fn answer(&mut self, events: &Fetch, event: &SubgraphResponse) -> Result<Answer, GraphQlError> {
        let Self { shared, asked, prepared, headers, .. } = self;
        let begun = Instant::now();
        let name = asked.known.operation.name.as_deref();
        let span = tracing::info_span!(
            "graphql",
            otel.kind = "server",
            operation.name = name,
            operation.kind = "subscription",
            errors = tracing::field::Empty,
            response.bytes = tracing::field::Empty,
        );
        let answered = async {
            // Rights end with the token that gave them.
            if let Some(auth) = &shared.auth {
                auth.claims(headers).await?;
            }
            let execution = shared.execution(asked, begun + shared.config.request_timeout);
            let outcome = execute_event(&execution, &prepared.plan, events, event).await;
            Ok(shared.completed(asked, prepared, outcome))
        };
        let answer = answered.instrument(span.clone()).await?;
        span.record("errors", answer.codes.len());
        span.record("response.bytes", answer.body.len());
        observe::operation(
            &shared.names,
            &Measured {
                name: name.unwrap_or("anonymous"),
                took: begun.elapsed(),
                failed: !answer.codes.is_empty(),
                bytes: answer.body.len(),
                cache: CacheState::Off,
            },
        );
        Ok(answer)
    }
}
