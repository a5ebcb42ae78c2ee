//! The embedded services, as those who use them see them.
#![expect(clippy::doc_markdown, reason = "the names of AWS's services are words here")]

mod dynamodb;
mod table;
