//! The registry over real HTTP.

use crate::{CATALOGUE, PRICING, live, production, submission};
use registry::http::{Auth, ContractSettings, Failure, Listed, Rollback, router};
use registry::{Published, Registry, Report, Submission};
use reqwest::{Method, StatusCode};
use schemas::{Hash, Release};
use serde::Serialize;
use serde::de::DeserializeOwned;

struct Server {
    url: String,
    client: reqwest::Client,
}

const TOKENS: [(&str, &str, &str, &str); 4] = [
    ("reader", "read", "[]", "[]"),
    ("team", "publish", "[]", "[\"pricing\"]"),
    ("stager", "admin", "[\"staging\"]", "[]"),
    ("owner", "admin", "[]", "[]"),
];

async fn serve(registry: Registry) -> Server {
    let grants: Vec<String> = TOKENS
        .iter()
        .map(|(name, may, variants, subgraphs)| {
            let sha256 = Hash::of(&format!("token of {name}"));
            format!("{{\"name\":\"{name}\",\"sha256\":\"{sha256}\",\"may\":\"{may}\",\"variants\":{variants},\"subgraphs\":{subgraphs}}}")
        })
        .collect();
    let auth = Auth::tokens(&format!("[{}]", grants.join(","))).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router(registry, auth)).await });
    Server { url, client: reqwest::Client::new() }
}

impl Server {
    async fn raw(&self, who: &str, method: Method, path: &str, body: String) -> reqwest::Response {
        let request = self.client.request(method, format!("{}{path}", self.url)).body(body);
        let request = match who {
            "" => request,
            who => request.header("authorization", format!("Bearer token of {who}")),
        };
        request.send().await.unwrap()
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        who: &str,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> (StatusCode, T) {
        let response = self.raw(who, method, path, serde_json::to_string(body).unwrap()).await;
        let status = response.status();
        let bytes = response.bytes().await.unwrap();
        let parsed = serde_json::from_slice(&bytes);
        (status, parsed.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&bytes))))
    }
}

#[tokio::test]
async fn who_shows_no_token_or_has_no_right_is_turned_away() {
    let server = serve(live(&[]).await).await;
    for who in ["", "nobody"] {
        let response = server.raw(who, Method::GET, "/v1/variants", String::new()).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(response.headers()["www-authenticate"], "Bearer");
        let failure: Failure = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
        assert_eq!(failure.code, "unauthenticated");
    }
    let catalogue = submission(&[("catalogue", CATALOGUE)]);
    let to_one = Rollback { to: 1, message: String::new() };
    let contract =
        ContractSettings { exclude: ["internal".to_owned()].into(), ..ContractSettings::default() };
    let publish = "/v1/variants/production/publish";
    for (who, method, path, body) in [
        ("reader", Method::POST, publish, serde_json::to_value(&catalogue).unwrap()),
        ("team", Method::POST, publish, serde_json::to_value(&catalogue).unwrap()),
        ("team", Method::POST, publish, serde_json::json!({"remove": ["catalogue"]})),
        ("team", Method::POST, "/v1/variants/production/rollback", serde_json::to_value(&to_one).unwrap()),
        (
            "team",
            Method::PUT,
            "/v1/variants/production/contracts/public",
            serde_json::to_value(&contract).unwrap(),
        ),
        ("stager", Method::POST, publish, serde_json::to_value(&catalogue).unwrap()),
        ("stager", Method::PUT, "/v1/settings", serde_json::json!({})),
        ("stager", Method::GET, "/v1/variants/production/supergraph", serde_json::json!(null)),
    ] {
        let (status, failure): (_, Failure) = server.ask(who, method, path, &body).await;
        assert_eq!((status, failure.code.as_str()), (StatusCode::FORBIDDEN, "forbidden"), "{who} {path}");
    }
    assert_eq!(server.raw("", Method::GET, "/health", String::new()).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_team_checks_publishes_and_reads() {
    let server = serve(live(&[("web/1", "{ bargains { cents } }")]).await).await;
    let removed = PRICING.replace("  \"What it costs, in cents.\"\n  cents: Int!\n", "");
    let removed = submission(&[("pricing", removed.as_str())]);
    let (status, report): (_, Report) =
        server.ask("reader", Method::POST, "/v1/variants/production/check", &removed).await;
    assert!(status == StatusCode::OK && !report.passed());
    let (status, failure): (_, Failure) =
        server.ask("team", Method::POST, "/v1/variants/production/publish", &removed).await;
    assert_eq!((status, failure.code.as_str()), (StatusCode::UNPROCESSABLE_ENTITY, "refused"));
    assert_eq!(failure.report.unwrap(), report);

    let more = PRICING.replace("  cents: Int!", "  cents: Int!\n  \"Its currency.\"\n  currency: String");
    let more = Submission { message: "currencies".to_owned(), ..submission(&[("pricing", more.as_str())]) };
    let path = "/v1/variants/production/publish";
    let (status, published): (_, Published) = server.ask("team", Method::POST, path, &more).await;
    assert_eq!((status, published.release.version), (StatusCode::CREATED, 2));
    assert_eq!((published.release.by.as_str(), published.release.message.as_str()), ("team", "currencies"));
    let (status, again): (_, Published) = server.ask("team", Method::POST, path, &more).await;
    assert!(status == StatusCode::OK && again.unchanged);

    let (_, listed): (_, Vec<Listed>) = server.ask("reader", Method::GET, "/v1/variants", &()).await;
    assert_eq!((listed.len(), &listed[0].variant), (1, &production()));
    let (_, history): (_, Vec<Release>) =
        server.ask("reader", Method::GET, "/v1/variants/production/history?limit=1", &()).await;
    assert_eq!(history, std::slice::from_ref(&published.release));

    let supergraph = "/v1/variants/production/supergraph";
    let response = server.raw("reader", Method::GET, supergraph, String::new()).await;
    let tag = response.headers()["etag"].to_str().unwrap().to_owned();
    assert_eq!(tag, format!("\"{}\"", published.release.supergraph));
    assert!(response.text().await.unwrap().contains("join__Graph"));
    let request = server.client.get(format!("{}{supergraph}", server.url)).bearer_auth("token of reader");
    let response = request.header("if-none-match", tag).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::NOT_MODIFIED);
    let response =
        server.raw("reader", Method::GET, "/v1/variants/production/api?version=1", String::new()).await;
    assert!(!response.text().await.unwrap().contains("currency"));
    let response =
        server.raw("reader", Method::GET, "/v1/variants/production/subgraphs/pricing", String::new()).await;
    assert!(response.text().await.unwrap().contains("currency"));

    let contract =
        ContractSettings { exclude: ["internal".to_owned()].into(), ..ContractSettings::default() };
    let (status, set): (_, Published) =
        server.ask("owner", Method::PUT, "/v1/variants/production/contracts/public", &contract).await;
    assert_eq!((status, set.release.contracts.len()), (StatusCode::CREATED, 1));
    let response =
        server.raw("reader", Method::GET, "/v1/variants/production/api?contract=public", String::new()).await;
    assert!(!response.text().await.unwrap().contains("cost: Int"));
    let to_one = Rollback { to: 1, message: "oops".to_owned() };
    let (status, back): (_, Published) =
        server.ask("owner", Method::POST, "/v1/variants/production/rollback", &to_one).await;
    assert_eq!((status, back.release.version, back.release.by.as_str()), (StatusCode::CREATED, 4, "owner"));
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_said() {
    let server = serve(live(&[]).await).await;
    for (method, path, body, status, code) in [
        (Method::GET, "/v1/nothing", "", StatusCode::NOT_FOUND, "no-route"),
        (Method::GET, "/v1/variants/staging", "", StatusCode::NOT_FOUND, "no-variant"),
        (Method::GET, "/v1/variants/Bad%20Name", "", StatusCode::BAD_REQUEST, "bad-request"),
        (Method::GET, "/v1/variants/..%2f..%2fetc/history", "", StatusCode::BAD_REQUEST, "bad-request"),
        (
            Method::GET,
            "/v1/variants/production/supergraph?version=9",
            "",
            StatusCode::NOT_FOUND,
            "no-version",
        ),
        (
            Method::GET,
            "/v1/variants/production/supergraph?contract=x",
            "",
            StatusCode::NOT_FOUND,
            "no-contract",
        ),
        (
            Method::GET,
            "/v1/variants/production/supergraph?verson=9",
            "",
            StatusCode::BAD_REQUEST,
            "bad-request",
        ),
        (Method::GET, "/v1/variants/production/subgraphs/x", "", StatusCode::NOT_FOUND, "no-subgraph"),
        (Method::POST, "/v1/variants/production/publish", "{", StatusCode::BAD_REQUEST, "bad-request"),
        (Method::POST, "/v1/variants/production/publish", "{}", StatusCode::BAD_REQUEST, "bad-request"),
        (
            Method::POST,
            "/v1/variants/production/publish",
            "{\"subgraph\":[]}",
            StatusCode::BAD_REQUEST,
            "bad-request",
        ),
        (
            Method::PUT,
            "/v1/variants/production/contracts/public",
            "{}",
            StatusCode::BAD_REQUEST,
            "bad-request",
        ),
        (
            Method::DELETE,
            "/v1/variants/production/contracts/public",
            "",
            StatusCode::NOT_FOUND,
            "no-contract",
        ),
        (Method::PUT, "/v1/settings", "{\"lints\":{\"x\":\"off\"}}", StatusCode::BAD_REQUEST, "bad-settings"),
    ] {
        let response = server.raw("owner", method, path, body.to_owned()).await;
        assert_eq!(response.status(), status, "{path}");
        let failure: Failure = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
        assert_eq!(failure.code, code, "{path}: {}", failure.message);
    }
    let large = " ".repeat(registry::http::MAX_BODY_BYTES + 1);
    let response = server.raw("owner", Method::POST, "/v1/variants/production/check", large).await;
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn a_store_that_fails_is_answered_without_its_words() {
    let objects = std::sync::Arc::new(object_store::memory::InMemory::new());
    let at = object_store::path::Path::from("variants/production/pointer.json");
    object_store::ObjectStoreExt::put(&*objects, &at, "secret words".into()).await.unwrap();
    let server = serve(Registry::new(schemas::Schemas::new(objects), crate::now)).await;
    let response = server.raw("owner", Method::GET, "/v1/variants/production", String::new()).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.headers()["retry-after"], "1");
    let body = response.text().await.unwrap();
    assert!(!body.contains("pointer.json"), "{body}");
}
