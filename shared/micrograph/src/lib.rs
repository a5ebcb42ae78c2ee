//! What a micrograph is made of, and how it runs: consumer, commands, outbox, subgraph.
