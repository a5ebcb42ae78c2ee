//! A row as it changes, for subscriptions.

use super::{ReadError, Reader};
use crate::changes::{Changes, Listener};
use crate::key::Key;
use freshness::Tag;
use futures::stream::{Stream, unfold};
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::Duration;

/// How long a row that could not be read rests before it is read again.
const REST: Duration = Duration::from_secs(1);

/// What is told: a view, or that there is none.
type State<V> = Result<Option<V>, Arc<ReadError>>;

struct Watch<V> {
    reader: Reader,
    key: Key,
    listener: Listener,
    last: Last<V>,
}

/// What was told last.
enum Last<V> {
    Nothing,
    /// It could not be read.
    Failure,
    State(u64, Option<V>),
}

impl Reader {
    /// A row as it is now, and after each change of which `changes` tells; null where there is none.
    ///
    /// It is read when somebody asks for the next state: who is slow is told the newest one, and nothing is gathered. What
    /// was told already is not told again, and no state follows a later one. A read that fails is told, and tried again.
    pub fn watch<V>(&self, changes: &Changes, key: Key) -> impl Stream<Item = State<V>> + Send + use<V>
    where
        V: DeserializeOwned + Clone + PartialEq + Send + 'static,
    {
        // It listens first, and reads then: no change falls in between.
        let listener = changes.listen(Tag::partition(&self.name, &key.pk));
        let reader = self.clone().consistent(true);
        let watch = Watch { reader, key, listener, last: Last::Nothing };
        unfold(watch, |mut watch| async move { Some((watch.next().await, watch)) })
    }
}

impl<V: DeserializeOwned + Clone + PartialEq> Watch<V> {
    async fn next(&mut self) -> State<V> {
        loop {
            match self.last {
                Last::Nothing => {}
                Last::Failure => tokio::time::sleep(REST).await,
                Last::State(..) => self.listener.changed().await,
            }
            let (version, view) = match self.reader.versioned::<V>(&self.key).await {
                Ok(read) => read,
                Err(error) => {
                    self.last = Last::Failure;
                    return Err(error);
                }
            };
            if let Last::State(known, told) = &mut self.last
                && (version < *known || *told == view)
            {
                *known = version.max(*known);
                continue;
            }
            self.last = Last::State(version, view.clone());
            return Ok(view);
        }
    }
}
