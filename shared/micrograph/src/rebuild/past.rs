//! What a projection is made from on AWS: the latest State of what its own micrograph owns, and the archive, which has
//! every event. A function reads no other micrograph's tables.

use crate::app::App;
use archive::{Archive, Cursor, Filter, ReplayError, Replayed};
use async_trait::async_trait;
use projection::audit::{Sink, Source, SourceError};
use std::sync::Arc;
use tokio::sync::Mutex;

/// Where the events of a micrograph's projections come from.
pub(super) struct Past<'a> {
    pub app: &'a App,
    pub archive: &'a Archive,
}

#[async_trait]
impl Source for Past<'_> {
    async fn read(&self, types: &[(&str, &str)], sink: &mut dyn Sink) -> Result<(), SourceError> {
        self.app.read_owned(types, sink).await?;
        self.replay(types, None, sink, &|_| {}).await
    }
}

impl Past<'_> {
    /// Hands over what the archive holds, from a cursor on.
    pub async fn replay(
        &self,
        types: &[(&str, &str)],
        after: Option<&Cursor>,
        sink: &mut dyn Sink,
        progress: &(dyn Fn(&Replayed) + Send + Sync),
    ) -> Result<(), SourceError> {
        let filter = Filter {
            domains: types.iter().map(|(domain, _)| (*domain).to_owned()).collect(),
            types: types.iter().map(|(_, name)| (*name).to_owned()).collect(),
            ..Filter::default()
        };
        let sink = Archived(Mutex::new(sink));
        let replayed = self.archive.replay(&filter, after, None, &sink, progress).await;
        replayed.map(|_| ()).map_err(|error: ReplayError| SourceError::new("the archive", error))
    }
}

/// Hands over what the archive replays.
struct Archived<'a>(Mutex<&'a mut dyn Sink>);

#[async_trait]
impl archive::Sink for Archived<'_> {
    async fn send(&self, envelopes: Vec<Arc<str>>) -> Result<(), archive::SinkError> {
        Ok(self.0.lock().await.take(envelopes).await?)
    }
}
