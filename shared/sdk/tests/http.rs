//! A client of the SDK over the connections of this crate.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use aws_sdk_dynamodb::config::{Credentials, Region};
use aws_sdk_dynamodb::error::DisplayErrorContext;
use axum::Router;
use axum::routing::post;
use tokio::net::TcpListener;

/// The address of a server of DynamoDB that knows of one table.
async fn server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let tables = Router::new().route("/", post(async || r#"{"TableNames":["offers"]}"#));
    tokio::spawn(async move { axum::serve(listener, tables).await });
    address
}

async fn client(endpoint: String) -> aws_sdk_dynamodb::Client {
    let config = sdk::config().await.into_builder().region(Region::new("eu-west-1")).endpoint_url(endpoint);
    let credentials = Credentials::new("id", "secret", None, None, "test");
    let retry = aws_sdk_dynamodb::config::retry::RetryConfig::disabled();
    aws_sdk_dynamodb::Client::from_conf(
        aws_sdk_dynamodb::config::Builder::from(&config.build())
            .credentials_provider(credentials)
            .retry_config(retry)
            .build(),
    )
}

#[tokio::test]
async fn a_plain_endpoint_is_reached_plainly_and_any_other_by_tls() {
    let address = server().await;
    let plain = client(format!("http://{address}")).await;
    for _ in 0..2 {
        assert_eq!(plain.list_tables().send().await.unwrap().table_names(), ["offers"]);
    }
    // It doesn't speak TLS.
    let guarded = client(format!("https://{address}")).await;
    let refused = guarded.list_tables().send().await.unwrap_err();
    let refused = DisplayErrorContext(refused).to_string();
    assert!(refused.contains("InvalidMessage") || refused.contains("corrupt"), "{refused}");
}
