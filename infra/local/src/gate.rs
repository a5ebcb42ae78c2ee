//! The gate between teams: whether what was released can still be read, who would notice, and all the other checks that
//! make a release safe.

pub mod released;

pub mod readers;
mod touched;

pub mod findings;
pub mod report;

pub mod asyncapi;
pub mod page;

pub mod architecture;
pub mod graph;
mod samples;

pub mod checks;
