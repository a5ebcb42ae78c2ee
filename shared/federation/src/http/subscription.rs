//! Subscriptions of one subgraph: an answer for each event.

use super::{
    CORRELATION_ID, GRAPHQL_JSON, Options, Refusal, RequestContext, answer, brought, by_hash, describe,
    graphql_of, operation_type, read, refuse,
};
use crate::cache::{Lifetime, NO_STORE};
use crate::{error, read as reading};
use ::http::{HeaderValue, Request, Response, StatusCode};
use async_graphql::parser::types::OperationType;
use async_graphql::{ObjectType, Schema, SubscriptionType};
use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt, once, unfold};
use std::sync::Arc;
use tracing::Instrument;

/// The events of a subscription, an answer for each, as to a query; headers too.
pub type Events = BoxStream<'static, Response<Bytes>>;

/// Opens a subscription. Never fails: what goes wrong is an event, the only one where it can't be opened.
///
/// Each event is a request of its own: it reads one generation of each projection, and waits for a token that was brought.
/// The next one is worked out when somebody asks for it. Dropped, the subscription is over.
pub async fn subscribe_with<Q, M, S>(
    schema: &Schema<Q, M, S>,
    request: Request<Bytes>,
    options: Options,
) -> Events
where
    Q: ObjectType + 'static,
    M: ObjectType + 'static,
    S: SubscriptionType + 'static,
{
    match open(schema, &request, options).await {
        Ok(events) => events,
        Err(refusal) => once(std::future::ready(refusal.answer(&request))).boxed(),
    }
}

async fn open<Q, M, S>(
    schema: &Schema<Q, M, S>,
    request: &Request<Bytes>,
    options: Options,
) -> Result<Events, Refusal>
where
    Q: ObjectType + 'static,
    M: ObjectType + 'static,
    S: SubscriptionType + 'static,
{
    let context = RequestContext::of(request.headers());
    let mut parameters = read(request, options.limits)?;
    let brought = brought(request, &parameters, options.consistency.as_ref());
    by_hash(&mut parameters, options.documents.as_deref()).await?;
    let bad = |why: String| refuse(StatusCode::BAD_REQUEST, "BAD_REQUEST", why);
    let mut graphql = graphql_of(parameters).map_err(bad)?;
    if operation_type(&mut graphql).is_some_and(|operation| operation != OperationType::Subscription) {
        return Err(bad("only subscriptions can be subscribed to".to_owned()));
    }
    let correlation_id = context.correlation_id.clone();
    let lifetime = Arc::new(Lifetime::default());
    graphql.data = options.data;
    let graphql = graphql.data(context).data(Arc::clone(&lifetime));
    let results = schema.execute_stream(graphql).boxed();
    let told = unfold(results, move |mut results| {
        let (brought, lifetime, correlation_id) =
            (brought.clone(), Arc::clone(&lifetime), correlation_id.clone());
        let span = tracing::error_span!("graphql", correlation_id);
        let event = async move {
            let (result, seen) = reading::scoped(brought, results.next()).await;
            let mut result = result?;
            let executed = lifetime.executed();
            let for_client = |failure| error::for_client(failure, &correlation_id, executed);
            result.errors = result.errors.into_iter().map(for_client).collect();
            let mut response = match serde_json::to_vec(&result) {
                Ok(body) => answer(StatusCode::OK, GRAPHQL_JSON, NO_STORE, body.into()),
                Err(error) => {
                    tracing::error!(error = telemetry::error_chain(&error), "an event can't be written");
                    return None;
                }
            };
            describe(&mut response, &seen);
            if let Ok(value) = HeaderValue::from_str(&correlation_id) {
                response.headers_mut().insert(CORRELATION_ID, value);
            }
            Some((response, results))
        };
        event.instrument(span)
    });
    Ok(told.boxed())
}
