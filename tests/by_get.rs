//! A subgraph of the suite over HTTP, a cache in front of it: what the gateway asks by GET, the cache answers.

mod shop;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use embedded::queue::Chaos;
use gateway::transport::HttpTransport;
use gateway::{Config, Gateway, Subgraph, compose};
use serde_json::{Value, json};
use shop::Shop;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpListener;

type Serve = micrograph::subgraph::Serve;

/// A cache that goes by the URL, and keeps what everyone may have.
#[derive(Clone)]
struct Cache {
    subgraph: Serve,
    kept: Arc<Mutex<HashMap<String, Response<bytes::Bytes>>>>,
    /// What reached the subgraph.
    asked: Arc<Mutex<Vec<String>>>,
}

impl Cache {
    async fn answer(self, request: Request) -> anyhow::Result<Response<Body>> {
        let (parts, body) = request.into_parts();
        let (method, url) = (parts.method.to_string(), parts.uri.to_string());
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).get(&url).cloned();
        if let Some(kept) = kept.filter(|_| method == "GET") {
            return Ok(kept.map(Body::from));
        }
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(method.clone());
        let body = to_bytes(body, 1 << 20).await?;
        let response = (self.subgraph)(Request::from_parts(parts, body)).await;
        let public =
            response.headers().get("cache-control").is_some_and(|it| it.as_bytes().starts_with(b"public"));
        if method == "GET" && public {
            self.kept.lock().unwrap_or_else(PoisonError::into_inner).insert(url, response.clone());
        }
        Ok(response.map(Body::from))
    }
}

async fn answer(State(cache): State<Cache>, request: Request) -> Response<Body> {
    cache.answer(request).await.unwrap_or_else(|error| Response::new(Body::from(error.to_string())))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hot_subgraph_is_asked_once() -> anyhow::Result<()> {
    let shop = Shop::with_sample(Chaos::default()).await?;
    let products = shop.ask("{ products(first: 2) { nodes { sku title } } }").await?;
    let product = |at: usize| products["data"]["products"]["nodes"][at].clone();
    let Some(subgraph) = shop.suite.apps["catalogue"].subgraph() else { anyhow::bail!("no subgraph") };
    let cache = Cache { subgraph: Arc::clone(&subgraph.serve), kept: Arc::default(), asked: Arc::default() };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/graphql", listener.local_addr()?);
    let router = axum::Router::new().fallback(answer).with_state(cache.clone());
    let server = tokio::spawn(async move { axum::serve(listener, router).await });
    let catalogue = Subgraph { name: "catalogue".to_owned(), url, sdl: subgraph.sdl.clone() };
    let transport = Arc::new(HttpTransport::new()?.by_get("catalogue"));
    let gateway = Gateway::new(compose(&[catalogue])?, transport, Config::default())?;
    let ask = async |sku: &Value| -> anyhow::Result<Value> {
        let query = "query ($sku: ID!) { product(sku: $sku) { sku title } }";
        let body = json!({ "query": query, "variables": { "sku": sku } }).to_string();
        let request = http::Request::post("/graphql").header("content-type", "application/json");
        let answer = gateway.handle(request.body(body.into())?).await;
        Ok(serde_json::from_slice::<Value>(answer.body())?["data"]["product"].take())
    };
    let asked = || cache.asked.lock().unwrap_or_else(PoisonError::into_inner).clone();
    // Not known, then told by POST. From then on the gateway says which generation it reads, so that one more GET is new.
    for _ in 0..4 {
        assert_eq!(ask(&product(0)["sku"]).await?, product(0));
    }
    assert_eq!(asked(), ["GET", "POST", "GET"]);
    assert_eq!(ask(&product(1)["sku"]).await?, product(1));
    assert_eq!(asked().len(), 4, "another product is another question");
    server.abort();
    let _ = server.await;
    shop.stop().await;
    Ok(())
}
