//! Keyset pagination as Relay connections.

mod cursor;

use crate::error::UserError;
use crate::read::ReadError;
use async_graphql::OutputType;
use async_graphql::connection::{Connection, Edge, EmptyFields};
pub(crate) use cursor::{Cursor, Scope};

/// What a page has unless the client says otherwise.
pub const DEFAULT_SIZE: usize = 20;

/// The most a page has.
pub const MAX_SIZE: usize = 100;

/// The valid arguments of a connection: the first so many after a cursor, or the last so many before one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageArgs {
    pub(crate) size: usize,
    pub(crate) backward: bool,
    pub(crate) cursor: Option<String>,
}

impl PageArgs {
    /// Checks the arguments of a connection field, as GraphQL gives them.
    ///
    /// A page has [`DEFAULT_SIZE`] rows by default and [`MAX_SIZE`] at most. `first` goes with `after`, `last` with
    /// `before`; another mixture is an error with code `BAD_USER_INPUT`. The cursor itself is checked by the read.
    pub fn new(
        first: Option<i32>,
        after: Option<String>,
        last: Option<i32>,
        before: Option<String>,
    ) -> Result<Self, UserError> {
        let size = |name: &str, size: i32| match usize::try_from(size) {
            Ok(size @ 1..=MAX_SIZE) => Ok(size),
            _ => Err(UserError::bad_input(format!("{name} must be between 1 and {MAX_SIZE}; it is {size}"))),
        };
        match (first, after, last, before) {
            (Some(_), _, Some(_), _) => Err(UserError::bad_input("first and last can't be used together")),
            (_, Some(_), _, Some(_)) => Err(UserError::bad_input("after and before can't be used together")),
            (Some(_), _, _, Some(_)) => {
                Err(UserError::bad_input("first goes with after; use last with before"))
            }
            (_, Some(_), Some(_), _) => {
                Err(UserError::bad_input("last goes with before; use first with after"))
            }
            (_, _, Some(last), cursor) => Ok(Self { size: size("last", last)?, backward: true, cursor }),
            (None, None, None, cursor @ Some(_)) => Ok(Self { size: DEFAULT_SIZE, backward: true, cursor }),
            (None, cursor, _, _) => Ok(Self { size: DEFAULT_SIZE, backward: false, cursor }),
            (Some(first), cursor, _, _) => Ok(Self { size: size("first", first)?, backward: false, cursor }),
        }
    }

    /// How many rows are asked for.
    pub const fn size(&self) -> usize {
        self.size
    }
}

/// Some rows of a list, each with its cursor, in the list's order.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<V> {
    /// The rows.
    pub rows: Vec<Row<V>>,
    /// Whether there are rows behind the last.
    pub has_next: bool,
    /// Whether there may be rows before the first: known when reading backward; forward, that a cursor was given.
    pub has_previous: bool,
}

/// A row and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Row<V> {
    /// Opaque; good for the list it came from.
    pub cursor: String,
    /// The view.
    pub view: V,
}

/// Why a page can't be had. A resolver that returns `async_graphql::Result` may use `?` on it: what is the client's
/// fault is shown to them, what is ours is not.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// The client's arguments don't fit.
    #[error(transparent)]
    User(#[from] UserError),
    /// The store failed.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// A page as a Relay connection, each view shown as a node.
pub fn connection<V, N: OutputType>(
    page: Page<V>,
    mut node: impl FnMut(V) -> N,
) -> Connection<String, N, EmptyFields, EmptyFields> {
    let mut connection = Connection::new(page.has_previous, page.has_next);
    connection.edges.extend(page.rows.into_iter().map(|row| Edge::new(row.cursor, node(row.view))));
    connection
}

#[cfg(test)]
mod tests;
