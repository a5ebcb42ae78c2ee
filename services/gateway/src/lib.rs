//! One graph for every client: composes, plans and executes over the subgraphs.
