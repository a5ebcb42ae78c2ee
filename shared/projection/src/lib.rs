//! Projections that are correct under unordered, duplicated delivery: joins, stores, quarantine, the consumer.
