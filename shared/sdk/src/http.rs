//! The client under all clients: TLS when it is needed, and not before.

use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_http_client::{Builder, Connector, ConnectorBuilder};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use std::thread;

/// Speaks HTTP with those who are reached by it, and HTTPS with all others. The SDK's own client reads the system's root
/// certificates once a client is made, even where it is never used.
#[derive(Clone, Debug)]
pub(crate) struct Http {
    plain: SharedHttpClient,
    tls: SharedHttpClient,
}

impl Http {
    pub fn new() -> Self {
        let plain = Builder::new().build_with_connector_fn(|settings, components| {
            with(ConnectorBuilder::default(), settings, components).build_http()
        });
        let tls = Builder::new().build_with_connector_fn(|settings, components| {
            let builder = with(ConnectorBuilder::default(), settings, components);
            builder.tls_provider(TLS).build()
        });
        Self { plain, tls }
    }

    /// Reads the system's certificates in a thread of its own; who needs them meanwhile waits for it.
    pub fn prepare_tls() {
        let read = || drop::<Connector>(ConnectorBuilder::default().tls_provider(TLS).build());
        // Where there is no thread to be had, the first request reads them.
        drop(thread::Builder::new().name("certificates".to_owned()).spawn(read));
    }
}

const TLS: Provider = Provider::Rustls(CryptoMode::AwsLc);

fn with(
    mut builder: ConnectorBuilder,
    settings: Option<&HttpConnectorSettings>,
    components: Option<&RuntimeComponents>,
) -> ConnectorBuilder {
    builder.set_connector_settings(settings.cloned());
    builder.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
    builder.set_proxy_config(Some(ProxyConfig::from_env()));
    builder
}

impl HttpClient for Http {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(Reached {
            http: self.clone(),
            settings: settings.clone(),
            components: components.clone(),
        })
    }
}

/// A connection that is made once the address is known.
#[derive(Debug)]
struct Reached {
    http: Http,
    settings: HttpConnectorSettings,
    components: RuntimeComponents,
}

impl HttpConnector for Reached {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let is_plain = request.uri().starts_with("http://");
        let client = if is_plain { &self.http.plain } else { &self.http.tls };
        client.http_connector(&self.settings, &self.components).call(request)
    }
}
