use async_trait::async_trait;
use schemas::{ContractName, Newer, ReadError, Schemas, Variant};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::{Found, PATIENCE, Source, SourceError};
use crate::supergraph::Supergraph;

/// What the registry released of a variant: one small read a look, and the supergraph where there is another.
pub struct FromRegistry {
    schemas: Schemas,
    variant: Variant,
    contract: Option<ContractName>,
    /// The tag of the pointer that was read last.
    tag: Mutex<Option<String>>,
}

impl FromRegistry {
    /// A variant of the registry's store.
    pub fn new(schemas: Schemas, variant: Variant) -> Self {
        Self { schemas, variant, contract: None, tag: Mutex::new(None) }
    }

    /// Of the variant, what a contract shows.
    #[must_use]
    pub fn of_contract(mut self, contract: ContractName) -> Self {
        self.contract = Some(contract);
        self
    }

    async fn newer(&self, tag: &mut Option<String>) -> Result<Option<Found>, SourceError> {
        let failed = |error: ReadError| SourceError::Store(telemetry::error_chain(&error));
        let current = match self.schemas.newer(&self.variant, tag.as_deref()).await.map_err(failed)? {
            Newer::Now(current) => current,
            Newer::Same => return Ok(None),
            Newer::None => {
                return Err(SourceError::Store(format!("nothing was ever published of {}", self.variant)));
            }
        };
        let shown = match &self.contract {
            None => &current.release.supergraph,
            Some(name) => match current.release.contracts.get(name) {
                Some(contract) => &contract.supergraph,
                None => {
                    return Err(SourceError::Store(format!("{} has no contract {name}", self.variant)));
                }
            },
        };
        let text = self.schemas.schema(shown).await.map_err(failed)?;
        let supergraph = Supergraph::parse(&text)
            .map_err(|error| SourceError::Supergraph(telemetry::error_chain(&error)))?;
        // Only what can be read is known: anything else is read again.
        *tag = current.tag;
        Ok(Some(Found { supergraph, missing: Vec::new() }))
    }
}

#[async_trait]
impl Source for FromRegistry {
    async fn look(&self) -> Result<Option<Found>, SourceError> {
        let mut tag = self.tag.lock().await;
        let late = || SourceError::Store(format!("no answer within {PATIENCE:?}"));
        timeout(PATIENCE, self.newer(&mut tag)).await.unwrap_or_else(|_| Err(late()))
    }
}
