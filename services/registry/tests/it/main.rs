//! The registry: its rules, its checks, its publishes under faults and many publishers, its HTTP.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod checks;
mod hits;
mod http;
mod publishing;
mod rules;

use jiff::Timestamp;
use registry::{Registry, Submission, Submitted};
use schemas::usage::{Client, Operation, UsageLine, signature};
use schemas::{Schemas, Variant};

const CATALOGUE: &str = r#"
extend schema @link(url: "https://specs.apollo.dev/federation/v2.5", import: ["@key", "@shareable", "@tag", "@external", "@inaccessible"])
"What the catalogue answers."
type Query {
  "A product."
  product(sku: ID!): Product
  "All products."
  products(first: Int): [Product!]!
}
"A product."
type Product @key(fields: "sku") {
  "Stock keeping unit."
  sku: ID!
  "What it is called."
  title: String!
  "Who wrote it."
  author: String
}
"#;

const PRICING: &str = r#"
extend schema @link(url: "https://specs.apollo.dev/federation/v2.5", import: ["@key", "@shareable", "@tag", "@external", "@inaccessible"])
"What pricing answers."
type Query {
  "Products whose price fell."
  bargains: [Product!]!
}
"A product, as far as pricing knows."
type Product @key(fields: "sku") {
  "Stock keeping unit."
  sku: ID!
  "What it costs, in cents."
  cents: Int!
  "What it cost us, in cents."
  cost: Int @tag(name: "internal")
}
"#;

fn production() -> Variant {
    "production".parse().unwrap()
}

/// A moment that all tests happen at.
fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

fn subgraph(name: &str, sdl: &str) -> Submitted {
    Submitted {
        name: name.to_owned(),
        sdl: sdl.to_owned(),
        url: Some(format!("http://{name}.example/graphql")),
    }
}

fn submission(subgraphs: &[(&str, &str)]) -> Submission {
    let subgraphs = subgraphs.iter().map(|(name, sdl)| subgraph(name, sdl)).collect();
    Submission { subgraphs, ..Submission::default() }
}

/// A registry with both subgraphs live, and this usage.
async fn live(usage: &[(&str, &str)]) -> Registry {
    let registry = Registry::new(Schemas::in_memory(), now);
    let both = submission(&[("catalogue", CATALOGUE), ("pricing", PRICING)]);
    registry.publish(&production(), &both, "setup").await.unwrap();
    let lines: Vec<UsageLine> = usage.iter().map(|(client, document)| line(client, document, 3)).collect();
    registry.schemas().record_usage(&production(), &lines).await.unwrap();
    registry
}

fn line(client: &str, document: &str, count: u64) -> UsageLine {
    let signature = signature(document, None).unwrap();
    let (name, version) = client.split_once('/').unwrap_or((client, ""));
    UsageLine {
        at: now() - jiff::SignedDuration::from_hours(2),
        until: now() - jiff::SignedDuration::from_hours(1),
        client: Client { name: name.to_owned(), version: version.to_owned() },
        operation: Operation { name: signature.name, hash: signature.hash, text: signature.text },
        count,
        contract: None,
    }
}
