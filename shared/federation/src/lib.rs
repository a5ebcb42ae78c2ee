//! Entity resolvers over a projection: batched reads, keys, cache hints, connections.
