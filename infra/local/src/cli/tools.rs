//! The tools, in the process that has the state: another one, or this one for as long as it takes.

use super::Options;
use crate::admin::{self, Ask};
use crate::folder::{Folder, FolderError, Holder};
use crate::suite::Suite;
use anyhow::bail;
use serde::de::DeserializeOwned;

/// Who answers.
pub(super) enum Tools {
    /// The process that has the state.
    Of(Holder),
    /// This one.
    Own {
        /// The state, at work.
        suite: Box<Suite>,
        /// Where it is.
        folder: Folder,
    },
}

impl Tools {
    /// Finds the process that has the state, or opens the state.
    pub(super) async fn open(options: &Options) -> anyhow::Result<Self> {
        let Some(path) = options.folder(false) else {
            bail!("there is no state to look at with --in-memory")
        };
        let folder = match Folder::take(&path) {
            Ok(folder) => folder,
            Err(FolderError::InUse { holder: Some(holder), .. }) => return Ok(Self::Of(holder)),
            Err(error) => return Err(error.into()),
        };
        let suite = Box::new(Suite::start(Some(&folder), options.settings()?).await?);
        Ok(Self::Own { suite, folder })
    }

    /// Asks one thing.
    pub(super) async fn once<T: DeserializeOwned>(options: &Options, ask: Ask) -> anyhow::Result<T> {
        let tools = Self::open(options).await?;
        let answer = tools.ask(ask).await;
        tools.close(answer.is_ok()).await?;
        answer
    }

    /// Asks.
    pub(super) async fn ask<T: DeserializeOwned>(&self, ask: Ask) -> anyhow::Result<T> {
        let answer = match self {
            Self::Of(holder) => admin::ask(holder, &ask).await?,
            Self::Own { suite, .. } => admin::answer(suite, ask).await?,
        };
        Ok(serde_json::from_value(answer)?)
    }

    /// Finishes what was begun here.
    pub(super) async fn close(self, finish: bool) -> anyhow::Result<()> {
        let Self::Own { suite, folder } = self else { return Ok(()) };
        let drained = if finish { suite.drained().await } else { Ok(()) };
        suite.stop().await;
        drop(folder);
        drained
    }
}
