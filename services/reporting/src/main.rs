//! Reporting's functions on Lambda, one binary for all roles.

use micrograph::Environment;
use relational::{Connection, PostgresStore};
use std::sync::Arc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    micrograph::main_in(reporting::micrograph(), |environment| {
        let store = PostgresStore::new(&Connection::from_env()?, environment.clock)?;
        Ok(Environment { relational: Some(Arc::new(store)), ..environment })
    })
    .await
}
