//! The AWS services that the suite uses, embedded in one process.
