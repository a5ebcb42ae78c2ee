//! The testkit shows that it finds what it is there to find.

mod law;
mod mutants;
mod samples;
