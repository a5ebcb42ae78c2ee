//! The suite with the sample shop in it, in memory.

#![allow(dead_code, reason = "each test uses its share")]

use bytes::Bytes;
use embedded::queue::Chaos;
use gateway::Gateway;
use local::suite::{CommandRef, Settings, Suite};
use serde_json::{Value, json};
use std::sync::Arc;

#[derive(Clone)]
pub struct Shop {
    pub suite: Arc<Suite>,
    pub gateway: Arc<Gateway>,
}

impl Shop {
    pub async fn with_sample(chaos: Chaos) -> anyhow::Result<Self> {
        Self::with(Settings { chaos, ..Settings::default() }).await
    }

    pub async fn with(settings: Settings) -> anyhow::Result<Self> {
        let suite = Arc::new(Suite::start(None, settings).await?);
        let gateway = Arc::new(suite.gateway(gateway::Config::default())?);
        let shop = Self { suite, gateway };
        shop.fill().await?;
        Ok(shop)
    }

    pub async fn fill(&self) -> anyhow::Result<()> {
        let commands = local::sample::commands("2026-03-01T12:00:00Z".parse()?);
        self.suite.send(commands.iter().map(|command| CommandRef {
            domain: command.domain,
            subject: &command.subject,
            id: &command.id,
            json: &command.json,
        }))?;
        self.suite.drained().await
    }

    pub async fn ask(&self, query: &str) -> anyhow::Result<Value> {
        let request = http::Request::post("/graphql")
            .header("content-type", "application/json")
            .body(Bytes::from(json!({ "query": query }).to_string()))?;
        Ok(serde_json::from_slice(self.gateway.handle(request).await.body())?)
    }

    pub async fn stop(self) {
        drop(self.gateway);
        Arc::into_inner(self.suite).expect("nobody else has the suite").stop().await;
    }
}

/// What the shop knows, through all of its domains.
pub const EVERYTHING: &str = "{
    sales { orders lines units gross { amount currency } creditNotes returnedLines returnedUnits refunds { amount } }
    stockAdjustments { down up }
    topProducts(first: 20) {
        rank units revenue { amount }
        product {
            sku title forSale price { amount currency } unitsSold revenue { amount }
            stock { onHand reserved returned available }
        }
    }
    products(first: 50) { nodes { sku title titles { nodes { title } } unitsSold } }
}";
