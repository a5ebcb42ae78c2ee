//! The suite's own subgraphs, in a registry over the folder of state: what runs is what `tributary schema` shows.

use crate::folder::Folder;
use crate::suite::Suite;
use registry::{Published, Registry, RegistryError, Submission, Submitted};
use schemas::{Schemas, Variant};
use std::sync::Arc;
use std::time::Duration;

/// The folder of schemas, in the state's folder.
pub const FOLDER: &str = "schemas";

/// The variant that the suite is.
pub const VARIANT: &str = "production";

/// Publishes what the suite serves. It runs already, so nothing of it is refused for what it breaks.
pub async fn publish(suite: &Suite, folder: &Folder) -> Result<Published, RegistryError> {
    let registry = Registry::new(Schemas::in_folder(&folder.file(FOLDER))?, micrograph::environment::now);
    let subgraphs = suite.subgraphs().map(|(name, url, sdl)| Submitted {
        name: name.to_owned(),
        sdl: sdl.to_owned(),
        url: Some(url),
    });
    let submission = Submission {
        subgraphs: subgraphs.collect(),
        accept: ["all".to_owned()].into(),
        message: "what this suite serves".to_owned(),
        ..Submission::default()
    };
    let variant = variant().map_err(|error| RegistryError::Request(error.to_string()))?;
    registry.publish(&variant, &submission, "tributary").await
}

/// Where the suite's gateway notes who asks what, for `tributary schema check`.
pub fn usage(folder: &Folder) -> anyhow::Result<gateway::Usage> {
    let schemas = Schemas::in_folder(&folder.file(FOLDER))?;
    Ok(gateway::Usage {
        sink: Arc::new(gateway::UsageInStore { schemas, variant: variant()? }),
        contract: None,
        every: Duration::from_mins(1),
        clock: micrograph::environment::now,
    })
}

fn variant() -> Result<Variant, schemas::BadName> {
    VARIANT.parse()
}
