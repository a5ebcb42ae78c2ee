//! The testkit shows that it finds what it is there to find, and the embedded store that it conforms.

mod conformance;
mod law;
mod mutants;
mod samples;
