//! GraphQL over HTTP for one subgraph, with no framework: a Lambda's entry point wraps it, the local suite calls it.

mod subscription;

use crate::cache::{Lifetime, NO_STORE};
use crate::consistency::{Consistency, Written};
use crate::error;
use crate::read;
use ::http::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue, VARY};
use ::http::{Method, Request, Response, StatusCode};
use async_graphql::parser::types::OperationType;
use async_graphql::{Data, ObjectType, Schema, SubscriptionType};
use bytes::Bytes;
use documents::{DocumentStore, Named, Refusal as ByHash};
use freshness::{
    CACHE_TAG, CONSISTENCY_BEHIND, CONSISTENCY_TOKEN, GENERATIONS, GENERATIONS_EXTENSION, GENERATIONS_NEXT,
    Generations, Token,
};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use telemetry::TraceParent;
use telemetry::trace;
use tracing::Instrument;

pub use subscription::{Events, subscribe_with};

/// The header that carries a correlation id, in and out.
pub const CORRELATION_ID: &str = "x-correlation-id";

/// The longest correlation id that is taken from a request.
const MAX_CORRELATION_ID: usize = 128;

/// What an answer to a GET depends on besides its URL.
const VARIES: &str = "accept, x-consistency-token, x-generations";

const JSON: &str = "application/json";
const GRAPHQL_JSON: &str = "application/graphql-response+json";

/// Limits of a request and its answer, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Body or query string of a request.
    pub request: usize,
    /// Body of an answer. Lambda refuses more than 6 MB, headers and escaping included.
    pub response: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { request: 1024 * 1024, response: 5 * 1024 * 1024 }
    }
}

/// Who asks: in the data of every request that [`serve`] runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestContext {
    /// Names everything that was caused by one action of a client.
    pub correlation_id: String,
    /// The caller's trace.
    pub traceparent: Option<TraceParent>,
}

impl RequestContext {
    /// Reads the headers. A correlation id that is missing or not plain is replaced by the trace's id, else by a
    /// fresh one.
    pub fn of(headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let traceparent = trace::from_headers(text);
        let plain = |id: &&str| {
            (1..=MAX_CORRELATION_ID).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
        };
        let correlation_id = text(CORRELATION_ID).filter(plain).map_or_else(
            || traceparent.or_else(trace::current).unwrap_or_else(TraceParent::random).trace_id_hex(),
            str::to_owned,
        );
        Self { correlation_id, traceparent }
    }
}

/// What a caller adds to a request.
#[derive(Default)]
pub struct Options {
    /// Limits of sizes.
    pub limits: Limits,
    /// Data for the resolvers, beside the [`RequestContext`].
    pub data: Data,
    /// How it is kept that who wrote will read it; none gives no tokens and waits for none.
    pub consistency: Option<Consistency>,
    /// Where documents are kept that a request names by their hash; none takes no such requests.
    pub documents: Option<Arc<dyn DocumentStore>>,
}

/// Answers one request: POST with a JSON body, or GET with a query string for queries. Never fails; what goes wrong is
/// in the answer.
///
/// - 200 with the result, its errors beside it; with `Accept: application/graphql-response+json` a request that can't
///   be run at all is 400, as GraphQL over HTTP has it.
/// - 400, 405, 406, 413, 415 with `errors` for what is no GraphQL request.
/// - A document may be named by its hash, see [`documents`]; the answer to a GET may then be kept by its URL.
/// - `Cache-Control` from the schema's hints (see [`cache`](crate::cache)).
/// - Errors that are ours are logged with the correlation id and replaced (see [`report`](crate::report)).
pub async fn serve<Q, M, S>(schema: &Schema<Q, M, S>, request: Request<Bytes>) -> Response<Bytes>
where
    Q: ObjectType + 'static,
    M: ObjectType + 'static,
    S: SubscriptionType + 'static,
{
    serve_with(schema, request, Options::default()).await
}

/// As [`serve`], with limits and data of the caller's.
pub async fn serve_with<Q, M, S>(
    schema: &Schema<Q, M, S>,
    request: Request<Bytes>,
    options: Options,
) -> Response<Bytes>
where
    Q: ObjectType + 'static,
    M: ObjectType + 'static,
    S: SubscriptionType + 'static,
{
    let context = RequestContext::of(request.headers());
    let span = tracing::error_span!("graphql", correlation_id = context.correlation_id);
    let correlation_id = context.correlation_id.clone();
    let answered = async {
        let parameters = match read(&request, options.limits) {
            Ok(parameters) => parameters,
            Err(refusal) => return refusal.answer(&request),
        };
        let brought = brought(&request, &parameters, options.consistency.as_ref());
        let run = run(schema, &request, parameters, context, options);
        let (answer, seen) = read::scoped(brought, run).await;
        let mut response = answer.unwrap_or_else(|refusal| refusal.answer(&request));
        describe(&mut response, &seen);
        response
    };
    let mut response = answered.instrument(span).await;
    if let Ok(value) = HeaderValue::from_str(&correlation_id) {
        response.headers_mut().insert(CORRELATION_ID, value);
    }
    response
}

/// What a request brings of what it wants to see.
fn brought(
    request: &Request<Bytes>,
    parameters: &Parameters,
    consistency: Option<&Consistency>,
) -> read::Brought {
    let headers = request.headers().get_all(GENERATIONS).iter().filter_map(|it| it.to_str().ok());
    // Where the URL is what caches go by, it stands there.
    let named = parameters.get("extensions").and_then(|it| it.get(GENERATIONS_EXTENSION)?.as_str());
    let named = named.filter(|_| request.method() == Method::GET);
    let mut brought =
        read::Brought { generations: Generations::of(headers.chain(named)), ..Default::default() };
    if let Some(consistency) = consistency {
        brought.token = token(request.headers(), consistency);
        brought.patience = consistency.patience;
    }
    brought
}

/// The tokens that a request brings, as one.
fn token(headers: &HeaderMap, Consistency { key, now, .. }: &Consistency) -> Token {
    let brought = headers.get_all(CONSISTENCY_TOKEN).iter().filter_map(|value| value.to_str().ok());
    Token::of(brought.flat_map(|text| Token::of_header(text, key, now()).writes().to_vec()))
}

/// Says in the headers what the answer shows, and what it doesn't show yet.
fn describe(response: &mut Response<Bytes>, seen: &read::Seen) {
    let headers = response.headers_mut();
    let mut insert = |name: &'static str, text: Option<String>| {
        if let Some(Ok(value)) = text.map(|text| HeaderValue::from_str(&text)) {
            headers.insert(name, value);
        }
    };
    insert(CACHE_TAG, seen.tags.header());
    insert(GENERATIONS, seen.generations.header());
    insert(GENERATIONS_NEXT, seen.next.header());
    let behind: Vec<&str> = seen.behind.iter().map(String::as_str).collect();
    insert(CONSISTENCY_BEHIND, (!behind.is_empty()).then(|| behind.join(",")));
}

/// Why a request is not run.
struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
    cache: &'static str,
}

fn refuse(status: StatusCode, code: &'static str, message: impl Into<String>) -> Refusal {
    Refusal { status, code, message: message.into(), cache: NO_STORE }
}

impl From<ByHash> for Refusal {
    fn from(refusal: ByHash) -> Self {
        if refusal.is_expected() {
            // Apollo's clients, and gateways, expect this status.
            let cache = documents::NOT_KEPT;
            return Self { cache, ..refuse(StatusCode::OK, refusal.code(), refusal.to_string()) };
        }
        refuse(StatusCode::BAD_REQUEST, refusal.code(), refusal.to_string())
    }
}

impl Refusal {
    fn answer(self, request: &Request<Bytes>) -> Response<Bytes> {
        let body = json!({ "errors": [{ "message": self.message, "extensions": { "code": self.code } }] });
        let media = negotiate(request.headers()).unwrap_or(JSON);
        let mut response = answer(self.status, media, self.cache, body.to_string().into());
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, POST"));
        }
        response
    }
}

fn answer(status: StatusCode, media: &'static str, cache: &str, body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
    headers.insert(CACHE_CONTROL, HeaderValue::from_str(cache).unwrap_or(HeaderValue::from_static(NO_STORE)));
    response
}

async fn run<Q, M, S>(
    schema: &Schema<Q, M, S>,
    request: &Request<Bytes>,
    mut parameters: Parameters,
    context: RequestContext,
    options: Options,
) -> Result<Response<Bytes>, Refusal>
where
    Q: ObjectType + 'static,
    M: ObjectType + 'static,
    S: SubscriptionType + 'static,
{
    let media = negotiate(request.headers()).ok_or_else(|| {
        refuse(
            StatusCode::NOT_ACCEPTABLE,
            "NOT_ACCEPTABLE",
            format!("only {GRAPHQL_JSON} and {JSON} are to be had"),
        )
    })?;
    let registration = by_hash(&mut parameters, options.documents.as_deref()).await?;
    let mut graphql =
        graphql_of(parameters).map_err(|why| refuse(StatusCode::BAD_REQUEST, "BAD_REQUEST", why))?;
    let operation = operation_type(&mut graphql);
    if request.method() == Method::GET && operation.is_some_and(|operation| operation != OperationType::Query)
    {
        return Err(refuse(
            StatusCode::METHOD_NOT_ALLOWED,
            "METHOD_NOT_ALLOWED",
            "GET is for queries; use POST",
        ));
    }
    let lifetime = Arc::new(Lifetime::default());
    let correlation_id = context.correlation_id.clone();
    graphql.data = options.data;
    let mut graphql = graphql.data(context).data(Arc::clone(&lifetime));
    let written = options.consistency.map(Written::new);
    if let Some(written) = &written {
        graphql = graphql.data(written.clone());
    }

    let mut result = schema.execute(graphql).await;
    let failed = !result.errors.is_empty();
    let executed = lifetime.executed();
    if let (Some((hash, document)), Some(store)) = (registration, &options.documents)
        && (executed || !failed)
    {
        documents::register(&**store, &hash, &document).await;
    }
    let for_client = |failure| error::for_client(failure, &correlation_id, executed);
    result.errors = result.errors.into_iter().map(for_client).collect();

    let status =
        if !executed && failed && media == GRAPHQL_JSON { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    let cache = if operation == Some(OperationType::Query) {
        lifetime.header(result.cache_control, failed)
    } else {
        NO_STORE.to_owned()
    };
    let body = serde_json::to_vec(&result).map_err(|error| {
        tracing::error!(error = telemetry::error_chain(&error), "an answer can't be written");
        refuse(StatusCode::INTERNAL_SERVER_ERROR, error::INTERNAL, "something went wrong on our side")
    })?;
    if body.len() > options.limits.response {
        let message = format!(
            "the answer has {} bytes and {} is the most; ask for less or for smaller pages",
            body.len(),
            options.limits.response
        );
        return Err(refuse(StatusCode::PAYLOAD_TOO_LARGE, "RESPONSE_TOO_LARGE", message));
    }
    let mut answer = answer(status, media, &cache, body.into());
    if request.method() == Method::GET {
        answer.headers_mut().insert(VARY, HeaderValue::from_static(VARIES));
    }
    if let Some(Ok(token)) = written.and_then(|it| it.token()).map(|token| HeaderValue::from_str(&token)) {
        answer.headers_mut().insert(CONSISTENCY_TOKEN, token);
    }
    Ok(answer)
}

/// The media type of the answer; `None` when the client takes neither.
fn negotiate(headers: &HeaderMap) -> Option<&'static str> {
    let mut accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).peekable();
    if accepted.peek().is_none() {
        return Some(JSON);
    }
    let mut ranges = accepted.flat_map(|value| value.split(',')).map(|range| {
        let mut parts = range.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default().to_ascii_lowercase();
        let refused =
            parts.any(|part| part.strip_prefix("q=").is_some_and(|q| q.trim().parse() == Ok(0.0_f32)));
        (media, refused)
    });
    ranges.find_map(|(media, refused)| match media.as_str() {
        _ if refused => None,
        GRAPHQL_JSON => Some(GRAPHQL_JSON),
        JSON | "application/*" | "*/*" => Some(JSON),
        _ => None,
    })
}

/// The parts of a GraphQL request, as they were sent.
type Parameters = Map<String, Value>;

/// The GraphQL request in an HTTP request.
fn read(request: &Request<Bytes>, limits: Limits) -> Result<Parameters, Refusal> {
    let bad = |message: String| refuse(StatusCode::BAD_REQUEST, "BAD_REQUEST", message);
    let too_large = |size: usize| {
        let message = format!("the request has {size} bytes and {} is the most", limits.request);
        refuse(StatusCode::PAYLOAD_TOO_LARGE, "REQUEST_TOO_LARGE", message)
    };
    match *request.method() {
        Method::POST => {
            let content = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
            let media = content.and_then(|content| content.split(';').next()).map(str::trim);
            if !media.is_some_and(|media| media.eq_ignore_ascii_case(JSON)) {
                let message = format!("the body must be JSON and Content-Type must say {JSON}");
                return Err(refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE", message));
            }
            if request.body().len() > limits.request {
                return Err(too_large(request.body().len()));
            }
            match serde_json::from_slice(request.body()) {
                Ok(Value::Object(parameters)) => Ok(parameters),
                Ok(_) => Err(bad("the body must be one JSON object with a query".to_owned())),
                Err(error) => Err(bad(format!("the body is not JSON: {error}"))),
            }
        }
        Method::GET => {
            let query = request.uri().query().unwrap_or_default();
            if query.len() > limits.request {
                return Err(too_large(query.len()));
            }
            let mut parameters = Map::new();
            for (name, value) in form_urlencoded::parse(query.as_bytes()) {
                let value = match &*name {
                    "variables" | "extensions" if !value.is_empty() => serde_json::from_str(&value)
                        .map_err(|error| bad(format!("the parameter {name} is not JSON: {error}")))?,
                    _ => Value::String(value.into_owned()),
                };
                parameters.insert(name.into_owned(), value);
            }
            Ok(parameters)
        }
        _ => Err(refuse(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", "use POST or GET")),
    }
}

/// Puts the text of a document in where the request names it by its hash; where it brings both, they are to be kept.
async fn by_hash(
    parameters: &mut Parameters,
    store: Option<&dyn DocumentStore>,
) -> Result<Option<(String, String)>, Refusal> {
    let named = parameters.get("extensions").and_then(|it| it.get("persistedQuery"));
    let Some(named) = named.filter(|it| !it.is_null()) else { return Ok(None) };
    let text = parameters.get("query").and_then(Value::as_str).unwrap_or_default();
    let Some(store) = store else {
        return if text.is_empty() { Err(ByHash::NotSupported.into()) } else { Ok(None) };
    };
    let hash = documents::hash(named)?;
    match documents::resolve(store, &hash, text).await? {
        Named::New => Ok(Some((hash, text.to_owned()))),
        Named::Known(document) => {
            parameters.insert("query".to_owned(), Value::from(&*document));
            Ok(None)
        }
    }
}

fn graphql_of(mut parameters: Parameters) -> Result<async_graphql::Request, String> {
    let Some(Value::String(query)) = parameters.remove("query") else {
        return Err("query is missing; it must be a string".to_owned());
    };
    let mut graphql = async_graphql::Request::new(query);
    match parameters.remove("operationName") {
        None | Some(Value::Null) => {}
        Some(Value::String(name)) if name.is_empty() => {}
        Some(Value::String(name)) => graphql = graphql.operation_name(name),
        Some(_) => return Err("operationName must be a string".to_owned()),
    }
    match parameters.remove("variables") {
        None | Some(Value::Null) => {}
        Some(Value::String(empty)) if empty.is_empty() => {}
        Some(variables @ Value::Object(_)) => {
            graphql = graphql.variables(async_graphql::Variables::from_json(variables));
        }
        Some(_) => return Err("variables must be an object".to_owned()),
    }
    Ok(graphql)
}

/// The type of the operation that will run; `None` when there is none, which the execution then says better.
fn operation_type(request: &mut async_graphql::Request) -> Option<OperationType> {
    let name = request.operation_name.clone();
    let document = request.parsed_query().ok()?;
    let mut operations = document.operations.iter();
    match name {
        Some(name) => operations.find(|(known, _)| known.is_some_and(|known| known.as_str() == name)),
        None => operations.next(),
    }
    .map(|(_, operation)| operation.node.ty)
}

#[cfg(test)]
mod tests;
