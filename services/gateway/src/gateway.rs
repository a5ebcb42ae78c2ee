//! The gateway: a supergraph, a transport, and the way of a request through them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use freshness::{CONSISTENCY_TOKEN, Tag};
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use tracing::Instrument;

use crate::answer::{Answer, Completion};
use crate::auth::{Authenticator, Denied, Policies, PoliciesClaim};
use crate::cache::{Found, Question, TaggedCache};
use crate::config::{Config, Explain};
use crate::cost::cost;
use crate::engine::{Engine, Known, Prepared};
use crate::error::{GraphQlError, codes};
use crate::execute::{Execution, Outcome, execute};
use crate::explain::explain;
use crate::generations::Standing;
use crate::introspection::Introspection;
use crate::observe::{self, CacheState, Measured, Names};
use crate::operation::{Conditions, OperationKind};
use crate::planner::PlanError;
use crate::request::Request;
use crate::subscription::{Reply, Streams};
use crate::supergraph::Supergraph;
use crate::transport::{
    CachingTransport, InFlight, ResilientTransport, SubgraphResponse, TRACE_AND_CLIENT, Transport,
};
use crate::usage::Recorder;
use crate::variables::Variables;

/// The header that brings the key to [`Explain::Key`].
pub const EXPLAIN_KEY: &str = "x-explain-key";

/// Answers GraphQL requests from a supergraph's subgraphs. Cheap to clone: clones share everything.
#[derive(Clone)]
pub struct Gateway {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    engine: ArcSwap<Engine>,
    pub(crate) transport: Arc<dyn Transport>,
    in_flight: InFlight,
    generations: Standing,
    /// One for each subscription that may be opened still.
    pub(crate) subscriptions: Arc<Semaphore>,
    pub(crate) stopping: watch::Sender<bool>,
    pub(crate) auth: Option<Authenticator>,
    answers: Option<Arc<TaggedCache<Answer>>>,
    subgraphs: Option<Arc<TaggedCache<SubgraphResponse>>>,
    pub(crate) names: Names,
    usage: Option<Arc<Recorder>>,
    pub(crate) config: Arc<Config>,
}

/// Why there is no gateway.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// The supergraph can't be planned against.
    #[error("the supergraph can't be served: {0}")]
    Planner(String),
}

/// How a request came: mutations are not run for a GET.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Safe, cacheable.
    Get,
    /// Anything.
    Post,
}

impl Gateway {
    /// Makes a gateway for a supergraph.
    pub fn new(
        supergraph: Supergraph,
        transport: Arc<dyn Transport>,
        config: Config,
    ) -> Result<Self, GatewayError> {
        let engine = Engine::new(supergraph, &config).map_err(|error| refused(&error))?;
        let transport: Arc<dyn Transport> =
            Arc::new(ResilientTransport::new(transport, config.resilience.clone()));
        let subgraphs = config.cache.subgraphs.map(|bytes| Arc::new(TaggedCache::new(bytes)));
        let transport = match &subgraphs {
            None => transport,
            Some(cache) => Arc::new(CachingTransport::new(transport, Arc::clone(cache))),
        };
        let shared = Shared {
            engine: ArcSwap::from_pointee(engine),
            transport,
            in_flight: InFlight::default(),
            generations: Standing::default(),
            subscriptions: Arc::new(Semaphore::new(config.limits.subscriptions)),
            stopping: watch::Sender::new(false),
            auth: config.auth.clone().map(Authenticator::new),
            answers: config.cache.answers.map(|bytes| Arc::new(TaggedCache::new(bytes))),
            subgraphs,
            names: Names::default(),
            usage: config.usage.clone().map(|usage| Arc::new(Recorder::new(usage))),
            config: Arc::new(config),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Takes another supergraph into service. Requests under way finish on the one they began with; if the new
    /// one can't be served, the old one stays.
    pub fn reload(&self, supergraph: Supergraph) -> Result<(), GatewayError> {
        let engine = Engine::new(supergraph, &self.shared.config).map_err(|error| refused(&error))?;
        self.shared.engine.store(Arc::new(engine));
        Ok(())
    }

    /// The same once the operations that are asked most are planned against the new one, so that the swap costs no
    /// request. Tells how many those were; what the new one can't answer any more is not among them.
    pub async fn reload_warm(&self, supergraph: Supergraph) -> Result<usize, GatewayError> {
        let config = Arc::clone(&self.shared.config);
        let built = tokio::task::spawn_blocking(move || Engine::new(supergraph, &config)).await;
        let engine = built.map_err(|error| GatewayError::Planner(error.to_string()))?;
        let engine = Arc::new(engine.map_err(|error| refused(&error))?);
        let warmed = engine.warm(&self.shared.engine.load_full(), &self.shared.config).await;
        self.shared.engine.store(engine);
        Ok(warmed)
    }

    /// The supergraph in service.
    pub fn supergraph(&self) -> Supergraph {
        self.shared.engine.load().supergraph.clone()
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.shared.config
    }

    /// Writes what was counted of usage since the interval began: before the process ends.
    pub async fn flush(&self) {
        if let Some(usage) = &self.shared.usage {
            usage.flush().await;
        }
    }

    /// Drops what the gateway's own caches keep under these tags. Answers that are on their way are not kept either.
    pub fn purge<'a>(&self, tags: impl IntoIterator<Item = &'a Tag> + Clone) {
        if let Some(answers) = &self.shared.answers {
            answers.purge(tags.clone());
        }
        if let Some(subgraphs) = &self.shared.subgraphs {
            subgraphs.purge(tags);
        }
    }

    /// Answers an HTTP request: GraphQL by POST or GET, and GraphiQL for browsers. Subscriptions are not served so, see
    /// [`Gateway::stream`].
    pub async fn handle(&self, request: http::Request<Bytes>) -> Response<Bytes> {
        crate::http::handle(self, request).await
    }

    /// The same, where the body may go out piece by piece: a subscription's events as they come. A body that is dropped
    /// ends its subscription.
    pub async fn stream(&self, request: http::Request<Bytes>) -> Response<axum::body::Body> {
        crate::http::stream(self, request).await
    }

    /// Answers a GraphQL request. Of `headers`, those that are allowed are handed on to subgraphs.
    pub async fn answer(&self, request: Request, method: Method, headers: &HeaderMap) -> Answer {
        self.answer_within(self.config().request_timeout, request, method, headers).await
    }

    /// The same in a time of the caller's, where that is shorter than the gateway's own.
    pub(crate) async fn answer_within(
        &self,
        patience: Duration,
        request: Request,
        method: Method,
        headers: &HeaderMap,
    ) -> Answer {
        match self.reply_within(patience, request, method, headers, Streams::Unsupported).await {
            Reply::Answer(answer) => answer,
            Reply::Events(_) => {
                Answer::refusal(&Streams::Unsupported.refusal().into_iter().collect::<Vec<_>>())
            }
        }
    }

    /// The same where a subscription's events can be told, or not.
    pub(crate) async fn reply_within(
        &self,
        patience: Duration,
        request: Request,
        method: Method,
        headers: &HeaderMap,
        streams: Streams,
    ) -> Reply {
        let begun = Instant::now();
        let deadline = begun + patience.min(self.config().request_timeout);
        let span = tracing::info_span!(
            "graphql",
            otel.kind = "server",
            operation.name = tracing::field::Empty,
            operation.kind = tracing::field::Empty,
            errors = tracing::field::Empty,
            response.bytes = tracing::field::Empty,
        );
        let mut seen = Seen::default();
        let replied = self.shared.reply(request, method, headers, streams, deadline, &mut seen);
        let answer = match replied.instrument(span.clone()).await {
            Ok(Reply::Answer(answer)) => answer,
            Ok(events) => return events,
            Err(errors) => Answer::refusal(&errors),
        };
        observe::operation(
            &self.shared.names,
            &Measured {
                name: seen.name(),
                took: begun.elapsed(),
                failed: !answer.codes.iter().all(|code| codes::asks_for_document(code)),
                bytes: answer.body.len(),
                cache: seen.cache,
            },
        );
        span.record("errors", answer.codes.len());
        span.record("response.bytes", answer.body.len());
        Reply::Answer(answer)
    }

    /// Ends all subscriptions, and opens no others: before the process ends.
    pub fn end_subscriptions(&self) {
        self.shared.stopping.send_replace(true);
    }

    /// How many subscriptions are open.
    pub fn open_subscriptions(&self) -> usize {
        self.config().limits.subscriptions.saturating_sub(self.shared.subscriptions.available_permits())
    }
}

/// What is known of a request once it is answered.
#[derive(Default)]
struct Seen {
    known: Option<Arc<Known>>,
    cache: CacheState,
}

impl Seen {
    /// The operation's name, for metrics.
    fn name(&self) -> &str {
        match &self.known {
            None => "refused",
            Some(known) => known.operation.name.as_deref().unwrap_or("anonymous"),
        }
    }
}

/// An operation that may be run: valid, with values for its variables.
pub(crate) struct Asked {
    engine: Arc<Engine>,
    pub(crate) known: Arc<Known>,
    variables: Variables,
    pub(crate) rights: Rights,
    /// The headers that subgraphs get to see.
    forwarded: HeaderMap,
    pub(crate) deadline: Instant,
}

/// What the one who asks may see of an operation.
#[derive(Default)]
pub(crate) struct Rights {
    /// Whether the operation selects anything that not everyone may see.
    guarded: bool,
    denied: Denied,
    pub(crate) errors: Vec<GraphQlError>,
}

impl Shared {
    async fn reply(
        self: &Arc<Self>,
        mut request: Request,
        method: Method,
        headers: &HeaderMap,
        streams: Streams,
        deadline: Instant,
        seen: &mut Seen,
    ) -> Result<Reply, Vec<GraphQlError>> {
        let engine = self.engine.load_full();
        let persisted = &self.config.persisted_queries;
        let registration = persisted.resolve(&mut request).await.map_err(|error| vec![error])?;
        let name = request.operation_name.as_deref();
        let known = engine.operation(&request.query, name, &self.config).await?;
        if let Some(registration) = registration {
            persisted.register(&registration, &request.query).await;
        }
        seen.known = Some(Arc::clone(&known));
        let operation = &known.operation;
        let span = tracing::Span::current();
        span.record("operation.kind", operation.kind.as_str());
        if let Some(name) = &operation.name {
            span.record("operation.name", name.as_str());
        }
        if let Some(error) = self.not_served(operation.kind, operation.introspects, method, streams) {
            return Err(vec![error]);
        }
        let variables = Variables::coerce(operation, &request.variables, &engine.schema)?;
        let conditions = variables.conditions(operation);
        self.within_cost(&engine, &known, &conditions, &variables).map_err(|error| vec![error])?;
        let rights = self.rights(&engine, &known, &conditions, headers).await.map_err(|error| vec![error])?;
        let forwarded = self.forwarded(headers, &request);
        let question = self.question(&engine, &known, &request, &forwarded).filter(|_| !rights.guarded);
        let asked = Arc::new(Asked { engine, known, variables, rights, forwarded, deadline });
        if request.explain && self.may_be_explained(headers) {
            return self.explained(&asked).await.map(Reply::Answer);
        }
        if let (Some(usage), Some(signature)) = (&self.usage, &asked.known.signature) {
            usage.used(headers, signature);
        }
        if asked.known.operation.kind == OperationKind::Subscription {
            return self.open(asked, headers.clone()).await.map(Reply::Events);
        }
        let answer = match question {
            None => self.execute(&asked).await,
            Some((cache, question)) => self.cached(&asked, cache, question, seen).await,
        };
        answer.map(Reply::Answer)
    }

    /// Whether the one who asks may see plans.
    fn may_be_explained(&self, headers: &HeaderMap) -> bool {
        match &self.config.explain {
            Explain::Closed => false,
            Explain::Open => true,
            Explain::Key(key) => headers.get(EXPLAIN_KEY).is_some_and(|given| key.is(given.as_bytes())),
        }
    }

    /// The plan in place of the answer.
    async fn explained(&self, asked: &Asked) -> Result<Answer, Vec<GraphQlError>> {
        let Asked { engine, known, variables, rights, .. } = asked;
        let conditions = variables.conditions(&known.operation);
        let list_size = self.config.limits.list_size;
        let cost = cost(&known.operation, &conditions, variables, &engine.schema, list_size);
        let variant = (conditions, rights.denied.clone());
        let prepared = engine.prepare(known, variant, &self.config).await?;
        let supergraph = engine.supergraph.hash();
        let explained = json!({ "plan": explain(&prepared.plan), "cost": cost, "supergraph": supergraph });
        let body = json!({ "data": null, "extensions": { "explain": explained } });
        Ok(Answer { body: Bytes::from(body.to_string()), executed: true, ..Answer::refusal(&[]) })
    }

    /// Logs an operation that took long, with what was asked of whom.
    fn log_if_slow(&self, known: &Known, prepared: &Prepared, took: Duration, answer: &Answer) {
        if self.config.slow_after.is_some_and(|slow| took >= slow) {
            let operation = known.operation.name.as_deref();
            let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            let (bytes, codes) = (answer.body.len(), answer.codes.join(","));
            let plan = explain(&prepared.plan).to_string();
            tracing::warn!(operation, milliseconds, bytes, codes, plan, "a slow operation");
        }
    }

    fn within_cost(
        &self,
        engine: &Engine,
        known: &Known,
        conditions: &Conditions,
        variables: &Variables,
    ) -> Result<(), GraphQlError> {
        let limits = &self.config.limits;
        let cost = cost(&known.operation, conditions, variables, &engine.schema, limits.list_size);
        if cost <= limits.cost {
            return Ok(());
        }
        let message =
            format!("the operation may cost {cost}, and {} is the most: ask for shorter lists", limits.cost);
        Err(GraphQlError::new(codes::COST_LIMIT, message).with("cost", cost).with("limit", limits.cost))
    }

    /// What the one who asks may see.
    async fn rights(
        &self,
        engine: &Engine,
        known: &Known,
        conditions: &Conditions,
        headers: &HeaderMap,
    ) -> Result<Rights, GraphQlError> {
        let claims = match &self.auth {
            Some(auth) => auth.claims(headers).await?,
            None => None,
        };
        if engine.rules.is_empty() {
            return Ok(Rights::default());
        }
        let policies: &dyn Policies = self.auth.as_ref().map_or(&PoliciesClaim, Authenticator::policies);
        let operation = &known.operation;
        let checked = engine.rules.check(operation, conditions, &engine.schema, claims.as_ref(), policies);
        let (guarded, denied, errors) = checked;
        Ok(Rights { guarded, denied, errors })
    }

    /// The cache and the key under which an answer may be kept; none where it is not to be looked up.
    fn question(
        &self,
        engine: &Engine,
        known: &Known,
        request: &Request,
        forwarded: &HeaderMap,
    ) -> Option<(Arc<TaggedCache<Answer>>, Question)> {
        let cache = self.answers.as_ref()?;
        // Who brings a token wants what is newer than anything that is kept.
        if known.operation.kind != OperationKind::Query || forwarded.contains_key(CONSISTENCY_TOKEN) {
            return None;
        }
        let variables = Value::from(request.variables.clone()).to_string();
        let name = request.operation_name.as_deref().unwrap_or_default();
        let texts = [engine.supergraph.hash(), &request.query, name, &variables].map(str::as_bytes);
        let headers = self.config.forwarded_headers.iter().flat_map(|name| {
            let values = forwarded.get_all(name).iter().map(HeaderValue::as_bytes);
            std::iter::once(name.as_str().as_bytes()).chain(values)
        });
        Some((Arc::clone(cache), Question::of(texts.into_iter().chain(headers))))
    }

    /// The answer as it is kept, or a new one, which is kept if it may be.
    async fn cached(
        self: &Arc<Self>,
        asked: &Arc<Asked>,
        cache: Arc<TaggedCache<Answer>>,
        question: Question,
        seen: &mut Seen,
    ) -> Result<Answer, Vec<GraphQlError>> {
        let aged = |answer: Answer, age| Answer { age: Some(age), ..answer };
        let fallback = match cache.find(&question) {
            Found::Fresh(answer, age) => {
                seen.cache = CacheState::Hit;
                return Ok(aged(answer, age));
            }
            Found::Stale { value, age, while_revalidate: true, .. } => {
                if let Some(refreshing) = cache.refresh(question) {
                    let (shared, cache, asked) = (Arc::clone(self), Arc::clone(&cache), Arc::clone(asked));
                    let anew = async move {
                        if let Err(errors) = shared.anew(&asked, &cache, question).await {
                            tracing::warn!(errors = errors.len(), "a stale answer could not be made anew");
                        }
                        drop(refreshing);
                    };
                    tokio::spawn(anew.in_current_span());
                }
                seen.cache = CacheState::Stale;
                return Ok(aged(value, age));
            }
            Found::Stale { value, age, if_error: true, .. } => Some((value, age)),
            Found::Stale { .. } | Found::Nothing => None,
        };
        seen.cache = CacheState::Miss;
        let answer = self.anew(asked, &cache, question).await?;
        match fallback {
            Some((stale, age)) if answer.codes.iter().any(|code| codes::is_outage(code)) => {
                seen.cache = CacheState::Stale;
                Ok(aged(stale, age))
            }
            _ => Ok(answer),
        }
    }

    async fn anew(
        &self,
        asked: &Asked,
        cache: &TaggedCache<Answer>,
        question: Question,
    ) -> Result<Answer, Vec<GraphQlError>> {
        let began = cache.begin();
        let answer = self.execute(asked).await?;
        let mut tags = freshness::Tags::default();
        tags.read(answer.tags.as_deref().unwrap_or_default());
        cache.keep(question, answer.clone(), answer.body.len(), answer.cache, tags, began);
        Ok(answer)
    }

    async fn execute(&self, asked: &Asked) -> Result<Answer, Vec<GraphQlError>> {
        let begun = Instant::now();
        let prepared = self.prepared(asked).await?;
        let outcome = execute(&self.execution(asked, asked.deadline), &prepared.plan).await;
        let answer = self.completed(asked, &prepared, outcome);
        self.log_if_slow(&asked.known, &prepared, begun.elapsed(), &answer);
        Ok(answer)
    }

    /// The plan of an operation for who asks.
    pub(crate) async fn prepared(&self, asked: &Asked) -> Result<Arc<Prepared>, Vec<GraphQlError>> {
        let Asked { engine, known, variables, rights, .. } = asked;
        let variant = (variables.conditions(&known.operation), rights.denied.clone());
        engine.prepare(known, variant, &self.config).await
    }

    pub(crate) fn execution<'a>(&'a self, asked: &'a Asked, deadline: Instant) -> Execution<'a> {
        Execution {
            transport: &self.transport,
            in_flight: self.config.share_in_flight.then_some(&self.in_flight),
            engine: &asked.engine,
            headers: &asked.forwarded,
            variables: &asked.variables,
            deadline,
            subgraph_timeout: self.config.subgraph_timeout,
            error_detail: self.config.error_detail,
            shows_own_writes: asked.known.operation.kind == OperationKind::Mutation,
            generations: Mutex::new(self.generations.pinned()),
        }
    }

    pub(crate) fn completed(&self, asked: &Asked, prepared: &Prepared, outcome: Outcome) -> Answer {
        let Asked { engine, known, variables, rights, forwarded, .. } = asked;
        let is_query = known.operation.kind == OperationKind::Query;
        // What was waited for is for the one who waited.
        let waited = forwarded.contains_key(CONSISTENCY_TOKEN);
        let completion = Completion {
            shape: &prepared.shape,
            introspection: Introspection { schema: &engine.schema, variables },
            errors: &rights.errors,
            may_be_kept: is_query && prepared.plan.root.is_some() && !waited,
            guarded: rights.guarded,
            most_errors: self.config.limits.errors,
        };
        Answer::complete(outcome, &completion)
    }

    fn not_served(
        &self,
        kind: OperationKind,
        introspects: bool,
        method: Method,
        streams: Streams,
    ) -> Option<GraphQlError> {
        match kind {
            OperationKind::Mutation if method == Method::Get => Some(GraphQlError::new(
                codes::OPERATION_NOT_SUPPORTED,
                "mutations are not run for a GET request: send it by POST",
            )),
            OperationKind::Subscription => streams.refusal(),
            _ if introspects && !self.config.introspection => Some(GraphQlError::new(
                codes::INTROSPECTION_DISABLED,
                "introspection is closed: ask the graph's owners for its schema",
            )),
            _ => None,
        }
    }

    fn forwarded(&self, headers: &HeaderMap, request: &Request) -> HeaderMap {
        let mut forwarded = HeaderMap::new();
        let token = HeaderName::from_static(CONSISTENCY_TOKEN);
        for name in TRACE_AND_CLIENT.iter().chain([&token]).chain(&self.config.forwarded_headers) {
            for value in headers.get_all(name) {
                forwarded.append(name.clone(), value.clone());
            }
        }
        // A client that can't set headers brings its token back as an extension.
        let token = request.extensions.get("consistencyToken").and_then(Value::as_str);
        if let Some(Ok(token)) = token.map(HeaderValue::from_str) {
            forwarded.append(CONSISTENCY_TOKEN, token);
        }
        forwarded
    }
}

fn refused(error: &PlanError) -> GatewayError {
    GatewayError::Planner(error.to_string())
}
