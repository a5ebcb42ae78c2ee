//! Caches of the local suite: what projections announce as changed leaves them, by a rule and a queue as on AWS.

use crate::suite::Suite;
use crate::wiring;
use async_trait::async_trait;
use bytes::Bytes;
use embedded::events::Target as BusTarget;
use embedded::mapping::{Deadline, Handler, MappingConfig};
use embedded::{EventSourceMapping, QueueConfig};
use freshness::Tag;
use gateway::Gateway;
use micrograph::manifest::Target;
use purger::{Cache, PurgeError, Purger};
use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};
use tokio::time::Instant;

/// The gateway's own caches.
pub struct OwnCache(pub Gateway);

#[async_trait]
impl Cache for OwnCache {
    async fn purge(&self, tags: &BTreeSet<Tag>) -> Result<(), PurgeError> {
        self.0.purge(tags);
        Ok(())
    }
}

/// Creates the queue, and puts the rule that feeds it: before anything is announced.
pub fn declare(suite: &Suite) -> anyhow::Result<()> {
    let manifest = purger::manifest();
    for queue in &manifest.queues {
        wiring::create(suite, queue)?;
    }
    for rule in &manifest.rules {
        let Target::Queue(queue) = &rule.target else { continue };
        suite.bus.put_rule(&rule.name, &rule.pattern, vec![BusTarget::queue(queue)])?;
    }
    Ok(())
}

/// Purges caches from now on. Nothing waits for those that are outside of this process: they may not be there.
pub fn start(suite: &Suite, purger: Purger, outside: bool) -> anyhow::Result<()> {
    let queue = suite.queues.config(purger::QUEUE)?;
    suite.queues.create(QueueConfig { leads_out: outside, ..queue })?;
    let tally = Arc::clone(&suite.tally);
    let handler: Handler = Arc::new(move |payload: Bytes, _: Deadline| {
        let (purger, tally) = (purger.clone(), Arc::clone(&tally));
        Box::pin(async move {
            let started = Instant::now();
            let answer = purger.handle(&payload).await?;
            tally.invoked("cache.purger", 1, started.elapsed());
            Ok(answer)
        })
    });
    // On AWS a batch is gathered, because an invalidation costs; here nobody is to wait for it.
    let config = MappingConfig { batch_size: 1_000, ..MappingConfig::new(purger::QUEUE) };
    let mapping = EventSourceMapping::start(suite.queues.clone(), config, handler)?;
    suite.mappings.lock().unwrap_or_else(PoisonError::into_inner).insert(purger::QUEUE.to_owned(), mapping);
    Ok(())
}
