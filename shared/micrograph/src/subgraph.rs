//! The subgraph role: a schema behind HTTP.

use crate::aggregate::{Aggregate, Decide, Rejection};
use crate::commands::{CommandError, Commands, Outcome};
use async_graphql::{Context, ObjectType, Schema, SimpleObject, SubscriptionType};
use bytes::Bytes;
use contracts::envelope::AWAITED;
use contracts::{Command, CommandEnvelope};
use documents::DocumentsInMemory;
use federation::http::{Events, Options, RequestContext};
use federation::{Consistency, UserError, consistency};
use futures::future::BoxFuture;
use http::{Request, Response};
use std::sync::Arc;
use telemetry::TraceParent;

/// The longest command id that a client may choose, in bytes.
const MAX_COMMAND_ID: usize = 128;

/// How many bytes of documents that are named by their hash a subgraph keeps.
const DOCUMENTS: u64 = 4 << 20;

/// Answers a request of GraphQL over HTTP.
pub type Serve = Arc<dyn Fn(Request<Bytes>) -> BoxFuture<'static, Response<Bytes>> + Send + Sync>;

/// Opens a subscription: an answer for each of its events.
pub type Subscribe = Arc<dyn Fn(Request<Bytes>) -> BoxFuture<'static, Events> + Send + Sync>;

/// A subgraph, ready to serve.
#[derive(Clone)]
pub struct Subgraph {
    /// Its schema with federation's directives, the same text for the same schema.
    pub sdl: String,
    /// Answers requests.
    pub serve: Serve,
    /// Opens subscriptions.
    pub subscribe: Subscribe,
    handlers: Handlers,
}

/// What a schema answers, with what a request has besides.
#[derive(Clone)]
struct Handlers {
    answer: Arc<Answer>,
    subscribe: Arc<Opening>,
}

type Answer = dyn Fn(Request<Bytes>, Options) -> BoxFuture<'static, Response<Bytes>> + Send + Sync;
type Opening = dyn Fn(Request<Bytes>, Options) -> BoxFuture<'static, Events> + Send + Sync;

impl Subgraph {
    /// Serves a schema.
    pub fn new<Q, M, S>(schema: Schema<Q, M, S>) -> Self
    where
        Q: ObjectType + 'static,
        M: ObjectType + 'static,
        S: SubscriptionType + 'static,
    {
        let sdl = federation::sdl(&schema);
        let subscribed = schema.clone();
        let answer = move |request, options| -> BoxFuture<'static, Response<Bytes>> {
            let schema = schema.clone();
            Box::pin(async move { federation::http::serve_with(&schema, request, options).await })
        };
        let subscribe = move |request, options| -> BoxFuture<'static, Events> {
            let schema = subscribed.clone();
            Box::pin(async move { federation::http::subscribe_with(&schema, request, options).await })
        };
        Self::of(sdl, Handlers { answer: Arc::new(answer), subscribe: Arc::new(subscribe) }, None)
    }

    /// Gives tokens for what mutations write, and waits for those that queries bring.
    #[must_use]
    pub(crate) fn with_consistency(self, consistency: Option<Consistency>) -> Self {
        Self::of(self.sdl, self.handlers, consistency)
    }

    fn of(sdl: String, handlers: Handlers, consistency: Option<Consistency>) -> Self {
        let documents = Arc::new(DocumentsInMemory::new(DOCUMENTS));
        let options = move || Options {
            consistency: consistency.clone(),
            documents: Some(documents.clone()),
            ..Options::default()
        };
        let (answer, with) = (Arc::clone(&handlers.answer), options.clone());
        let serve: Serve = Arc::new(move |request| answer(request, with()));
        let opening = Arc::clone(&handlers.subscribe);
        let subscribe: Subscribe = Arc::new(move |request| opening(request, options()));
        Self { sdl, serve, subscribe, handlers }
    }
}

/// A mutation that the domain's rules refuse: a business outcome is data, not an error.
#[derive(Clone, Debug, PartialEq, Eq, SimpleObject)]
#[graphql(shareable)]
pub struct Refused {
    /// A stable code, upper case.
    pub code: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl From<Rejection> for Refused {
    fn from(rejection: Rejection) -> Self {
        Self { code: rejection.code.into_owned(), message: rejection.message }
    }
}

/// Carries out a command for a mutation, now. What it answers, a union of what was changed and [`Refused`], is made of
/// the outcome by `changed`; a refusal is data. The schema's data has [`Commands`].
///
/// A client that may send a mutation twice gives it an id of its own choice; without one the command is new each
/// time.
///
/// # Errors
/// Where the command could not be stored: an error of ours, whose text the client doesn't get.
pub async fn mutate<A: Decide<C>, C: Command, R: From<Refused>>(
    ctx: &Context<'_>,
    id: Option<String>,
    data: C,
    changed: impl FnOnce(Outcome<A::State>) -> R,
) -> async_graphql::Result<R> {
    let id = command_id(id)?;
    let commands = ctx.data::<Commands>()?;
    let mut command = CommandEnvelope::new(id, commands.now(), data);
    if let Some(request) = ctx.data_opt::<RequestContext>() {
        command.correlation_id.clone_from(&request.correlation_id);
        command.traceparent = request.traceparent.map(|it| it.to_string());
    }
    if consistency::is_awaited(ctx) {
        command.extra.0.insert(AWAITED.to_owned(), true.into());
    }
    told::<A, R>(ctx, &command.subject, commands.execute::<A, C>(&command).await, changed)
}

/// The same for a command that takes reading to make, and might be made otherwise when it is sent again: it is made
/// only where the aggregate, its `subject`, doesn't know the command's id. A [`Rejection`] that `make` fails with is a
/// refusal.
///
/// # Errors
/// The same, and whatever else `make` fails with.
pub async fn mutate_made<A: Decide<C>, C: Command, R: From<Refused>>(
    ctx: &Context<'_>,
    id: String,
    subject: &str,
    make: impl Future<Output = async_graphql::Result<C>> + Send,
    changed: impl FnOnce(Outcome<A::State>) -> R,
) -> async_graphql::Result<R> {
    match ctx.data::<Commands>()?.repeated::<A>(subject, &id).await {
        Ok(Some(outcome)) => told::<A, R>(ctx, subject, Ok(outcome), changed),
        Ok(None) => match make.await {
            Ok(command) => mutate::<A, C, R>(ctx, Some(id), command, changed).await,
            Err(error) => match error.source.as_ref().and_then(|it| it.downcast_ref::<Rejection>()) {
                Some(rejection) => Ok(Refused::from(rejection.clone()).into()),
                None => Err(error),
            },
        },
        Err(error) => told::<A, R>(ctx, subject, Err(error), changed),
    }
}

/// The id of a mutation's command: the client's, or a new one.
///
/// # Errors
/// A [`UserError`] where the client's is empty or too long.
pub fn command_id(given: Option<String>) -> Result<String, UserError> {
    let id = given.unwrap_or_else(|| TraceParent::random().trace_id_hex());
    if (1..=MAX_COMMAND_ID).contains(&id.len()) {
        return Ok(id);
    }
    let why = format!("commandId must have 1 to {MAX_COMMAND_ID} bytes; it has {}", id.len());
    Err(UserError::bad_input(why))
}

fn told<A: Aggregate, R: From<Refused>>(
    ctx: &Context<'_>,
    subject: &str,
    outcome: Result<Outcome<A::State>, CommandError>,
    changed: impl FnOnce(Outcome<A::State>) -> R,
) -> async_graphql::Result<R> {
    match outcome {
        Ok(outcome) => {
            if outcome.changed {
                let domain = ctx.data::<Commands>()?.domain();
                let events = outcome.told_by.iter().map(String::as_str);
                consistency::wrote(ctx, domain, events, subject, outcome.version.packed());
            }
            Ok(changed(outcome))
        }
        Err(CommandError::Rejected(rejection)) => Ok(Refused::from(rejection).into()),
        Err(error @ CommandError::Elsewhere(_)) => {
            Err(UserError::new("HOME_ELSEWHERE", error.to_string()).into())
        }
        Err(CommandError::Unreachable(error)) => {
            let error = telemetry::error_chain(&error);
            tracing::warn!(error, "a command could not be handed to its aggregate's home");
            let why = "the region in which this is decided can't be reached for now: send it again later, with the \
                       same commandId";
            Err(UserError::new("HOME_UNREACHABLE", why).into())
        }
        Err(error) => Err(async_graphql::Error::new_with_source(error)),
    }
}
