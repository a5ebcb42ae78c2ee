//! Reporting's functions on Lambda, one binary for all roles.

use anyhow::Context as _;
use micrograph::Environment;
use relational::{Connection, PostgresStore};
use std::sync::Arc;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    micrograph::main_in(reporting::micrograph(), |environment| {
        let url = std::env::var("DATABASE_URL").context("DATABASE_URL must say where PostgreSQL is")?;
        let store = PostgresStore::new(&Connection::new(url), environment.clock)?;
        Ok(Environment { relational: Some(Arc::new(store)), ..environment })
    })
    .await
}
