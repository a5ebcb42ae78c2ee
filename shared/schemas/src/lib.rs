#![doc = include_str!("../README.md")]

mod hash;
mod variant;

mod release;
mod store;

mod commit;

pub mod usage;

pub use commit::{CommitError, Committed};
pub use hash::{BadHash, Hash};
pub use release::{Contract, Deed, LiveSubgraph, Release, Tags};
pub use store::{Current, MAX_OBJECT_BYTES, Newer, ReadError, Schemas, StorageError};
pub use variant::{BadName, ContractName, Variant};

pub use object_store;
