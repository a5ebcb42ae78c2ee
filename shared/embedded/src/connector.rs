//! The lowest level of an AWS SDK client that can be had in process: its HTTP connector.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;

/// What a service answers: an HTTP status and a JSON body.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn ok(body: Vec<u8>) -> Self {
        Self { status: 200, body }
    }

    /// An error in the shape of AWS JSON 1.0 and 1.1.
    pub(crate) fn error(status: u16, kind: &str, message: &str) -> Self {
        let body = serde_json::json!({ "__type": kind, "message": message });
        Self { status, body: body.to_string().into_bytes() }
    }

    pub(crate) fn unknown_operation(target: &str) -> Self {
        Self::error(
            400,
            "com.amazon.coral.service#UnknownOperationException",
            &format!("The embedded service does not have the operation {target:?}."),
        )
    }
}

/// A service that speaks AWS JSON: an operation's name and a body in, a body out.
pub(crate) trait Service: Send + Sync + 'static {
    /// What precedes the operation in `X-Amz-Target`, the dot included.
    const TARGET_PREFIX: &'static str;

    fn call(self: Arc<Self>, operation: String, body: Bytes)
    -> impl Future<Output = Answer> + Send + 'static;
}

/// An SDK's HTTP client that hands each request to a [`Service`] of this process.
pub(crate) struct InProcess<S>(Arc<S>);

impl<S: Service> InProcess<S> {
    pub(crate) fn new(service: Arc<S>) -> Self {
        Self(service)
    }
}

impl<S> Clone for InProcess<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S> fmt::Debug for InProcess<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InProcess")
    }
}

impl<S: Service> HttpClient for InProcess<S> {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl<S: Service> HttpConnector for InProcess<S> {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let target = request.headers().get("x-amz-target").unwrap_or_default().to_owned();
        let Some(body) = request.body().bytes().map(Bytes::copy_from_slice) else {
            return HttpConnectorFuture::ready(Err(ConnectorError::user(
                "a streamed request body can't be served in process".into(),
            )));
        };
        let service = Arc::clone(&self.0);
        let answer: Pin<Box<dyn Future<Output = _> + Send>> = Box::pin(async move {
            let answer = match target.strip_prefix(S::TARGET_PREFIX) {
                Some(operation) => service.call(operation.to_owned(), body).await,
                None => Answer::unknown_operation(&target),
            };
            let status = StatusCode::try_from(answer.status)
                .map_err(|error| ConnectorError::other(error.into(), None))?;
            Ok(HttpResponse::new(status, SdkBody::from(answer.body)))
        });
        HttpConnectorFuture::new_boxed(answer)
    }
}
