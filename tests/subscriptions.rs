//! Subscriptions through the whole suite, over HTTP: an order is changed by a mutation, and who subscribed hears of it.

mod shop;

use anyhow::{Context as _, ensure};
use embedded::queue::Chaos;
use gateway::{Config, Limits};
use local::suite::{Settings, Suite};
use serde_json::{Value, json};
use shop::Shop;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// How long anything is waited for.
const PATIENCE: Duration = Duration::from_mins(1);

/// The suite behind a server of its own.
struct Served {
    shop: Shop,
    address: std::net::SocketAddr,
    stop: oneshot::Sender<()>,
    server: JoinHandle<std::io::Result<()>>,
}

impl Served {
    async fn start(limits: Limits) -> anyhow::Result<Self> {
        let suite =
            Arc::new(Suite::start(None, Settings { chaos: Chaos::default(), ..Settings::default() }).await?);
        let gateway = Arc::new(suite.gateway(Config { limits, ..Config::default() })?);
        let shop = Shop { suite, gateway };
        shop.fill().await?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (quit, wished) = oneshot::channel();
        let ending = async {
            let _ = wished.await;
        };
        let server = tokio::spawn(gateway::http::serve(Arc::clone(&shop.gateway), listener, ending));
        Ok(Self { shop, address, stop: quit, server })
    }

    async fn stop(self) -> anyhow::Result<()> {
        let _ = self.stop.send(());
        tokio::time::timeout(PATIENCE, self.server).await.context("the server does not end")???;
        self.shop.stop().await;
        Ok(())
    }

    /// Places an order, and gives its product.
    async fn place(&self, id: &str) -> anyhow::Result<String> {
        let products = self.shop.ask("{ products(first: 1) { nodes { sku title } } }").await?;
        let product = &products["data"]["products"]["nodes"][0];
        let sku = product["sku"].as_str().context("a product")?;
        let mutation = format!(
            r#"mutation {{ placeOrder(input: {{ orderId: "{id}", country: "France", lines: [{{ sku: "{sku}", quantity: 2 }}] }}) {{
                __typename }} }}"#
        );
        let placed = self.shop.ask(&mutation).await?;
        ensure!(placed["data"]["placeOrder"]["__typename"] == "OrderChanged", "{placed}");
        Ok(product["title"].as_str().unwrap_or_default().to_owned())
    }

    async fn cancel(&self, id: &str) -> anyhow::Result<()> {
        let cancelled =
            self.shop.ask(&format!(r#"mutation {{ cancelOrder(id: "{id}") {{ __typename }} }}"#)).await?;
        ensure!(cancelled["data"]["cancelOrder"]["__typename"] == "OrderChanged", "{cancelled}");
        Ok(())
    }

    async fn subscribe(&self, id: &str, accept: &str) -> anyhow::Result<Client> {
        let query =
            "subscription ($id: ID!) { orderStatus(id: $id) { status units lines { product { title } } } }";
        let body = json!({ "query": query, "variables": { "id": id } }).to_string();
        let mut socket = TcpStream::connect(self.address).await?;
        let head = format!(
            "POST /graphql HTTP/1.1\r\nhost: local\r\ncontent-type: application/json\r\naccept: {accept}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        socket.write_all(head.as_bytes()).await?;
        socket.write_all(body.as_bytes()).await?;
        let mut client = Client { socket, read: String::new() };
        client.until("\r\n\r\n").await?;
        Ok(client)
    }

    /// Waits until so many subscriptions are open, in the gateway and in the suite.
    async fn open(&self, expected: usize) -> anyhow::Result<()> {
        let open = || (self.shop.gateway.open_subscriptions(), self.shop.suite.changes.listeners());
        let reached = async {
            while open() != (expected, expected) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let in_time = tokio::time::timeout(PATIENCE, reached).await;
        in_time.with_context(|| format!("{:?} are open and not {expected}", open()))
    }
}

/// A client that reads as the bytes come.
struct Client {
    socket: TcpStream,
    read: String,
}

impl Client {
    /// Reads up to a text, and gives what is before it.
    async fn until(&mut self, text: &str) -> anyhow::Result<String> {
        loop {
            if let Some(at) = self.read.find(text) {
                let rest = self.read.split_off(at + text.len());
                let mut before = std::mem::replace(&mut self.read, rest);
                before.truncate(at);
                return Ok(before);
            }
            let mut some = [0; 4_096];
            let read = tokio::time::timeout(PATIENCE, self.socket.read(&mut some)).await;
            let length = read.with_context(|| format!("no {text:?} after {:?}", self.read))??;
            ensure!(length > 0, "the connection ended before {text:?}: {:?}", self.read);
            self.read.push_str(std::str::from_utf8(&some[..length])?);
        }
    }

    /// The next event of a stream.
    async fn event(&mut self) -> anyhow::Result<Value> {
        self.until("event: next\ndata: ").await?;
        Ok(serde_json::from_str(&self.until("\n\n").await?)?)
    }

    /// The next part with a payload.
    async fn part(&mut self) -> anyhow::Result<Value> {
        self.until("\r\n\r\n{\"payload\":").await?;
        let part = self.until("}\r\n--graphql").await?;
        Ok(serde_json::from_str(&part)?)
    }
}

fn stands(status: &str, title: &str) -> Value {
    json!({ "data": { "orderStatus": { "status": status, "units": 2, "lines": [{ "product": { "title": title } }] } } })
}

const SSE: &str = "text/event-stream";
const PARTS: &str = "multipart/mixed;subscriptionSpec=1.0, application/json";

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_heard_of_as_it_changes_in_both_forms() -> anyhow::Result<()> {
    let served = Served::start(Limits::default()).await?;
    let mut stream = served.subscribe("S1", SSE).await?;
    let mut parts = served.subscribe("S1", PARTS).await?;
    let nothing = json!({ "data": { "orderStatus": null } });
    assert_eq!((stream.event().await?, parts.part().await?), (nothing.clone(), nothing));
    let title = served.place("S1").await?;
    assert_eq!(
        (stream.event().await?, parts.part().await?),
        (stands("PLACED", &title), stands("PLACED", &title))
    );
    served.cancel("S1").await?;
    let cancelled = stands("CANCELLED", &title);
    assert_eq!((stream.event().await?, parts.part().await?), (cancelled.clone(), cancelled.clone()));
    // Who comes later is shown the state at once.
    assert_eq!(served.subscribe("S1", SSE).await?.event().await?, cancelled);
    served.open(2).await?;
    drop((stream, parts));
    served.open(0).await?;
    served.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_is_shown_the_newest_state_and_holds_nobody_up() -> anyhow::Result<()> {
    let limits = Limits { subscriptions: 2, ..Limits::default() };
    let served = Served::start(limits).await?;
    let mut slow = served.subscribe("S2", SSE).await?;
    let mut quick = served.subscribe("S2", SSE).await?;
    quick.event().await?;
    let title = served.place("S2").await?;
    quick.event().await?;
    served.cancel("S2").await?;
    assert_eq!(quick.event().await?, stands("CANCELLED", &title));
    // What the slow one reads gets newer each time, and ends with what is.
    let mut heard = Vec::new();
    while heard.last() != Some(&json!("CANCELLED")) {
        heard.push(slow.event().await?["data"]["orderStatus"]["status"].take());
    }
    let all = [Value::Null, json!("PLACED"), json!("CANCELLED")];
    let mut rest = all.iter();
    assert!(heard.iter().all(|status| rest.any(|it| it == status)), "{heard:?}");
    // There are no more than may be.
    let mut refused = served.subscribe("S2", PARTS).await?;
    refused.until("SUBSCRIPTION_LIMIT_EXCEEDED").await?;
    drop((slow, quick));
    served.open(0).await?;
    served.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suite_that_stops_says_so() -> anyhow::Result<()> {
    let served = Served::start(Limits::default()).await?;
    let mut stream = served.subscribe("S3", SSE).await?;
    let mut parts = served.subscribe("S3", PARTS).await?;
    stream.event().await?;
    parts.part().await?;
    let ended = async {
        stream.until("event: complete\ndata:\n\n").await?;
        parts.until("--\r\n").await
    };
    let (ended, stopped) = tokio::join!(ended, served.stop());
    ended?;
    stopped
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_over_plain_json_is_told_what_to_send() -> anyhow::Result<()> {
    let served = Served::start(Limits::default()).await?;
    let answer = served.shop.ask(r#"subscription { orderStatus(id: "1") { status } }"#).await?;
    assert_eq!(answer["errors"][0]["extensions"]["code"], "SUBSCRIPTIONS_NOT_SUPPORTED");
    let mut client = served.subscribe("S4", "application/json").await?;
    let text = client.until("\"}").await?;
    ensure!(text.contains("text/event-stream"), "{text}");
    served.stop().await
}
