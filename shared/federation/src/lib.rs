#![doc = include_str!("../README.md")]

pub mod cache;
pub mod changes;
pub mod consistency;
pub mod entity;
mod error;
pub mod http;
mod key;
pub mod page;
pub mod read;
mod scalars;
mod schema;
mod watched;

pub use changes::Changes;
pub use consistency::{Consistency, ConsistencyToken};
pub use entity::{Entities, EntityLoader, entity, load};
pub use error::{UserError, report};
pub use key::Key;
pub use page::{Page, PageArgs, connection};
pub use read::{ReadError, Reader};
pub use scalars::{DateTime, Decimal, Money, MoneyInput};
pub use schema::{MAX_COMPLEXITY, MAX_DEPTH, schema, sdl};
pub use watched::{States, watch};
