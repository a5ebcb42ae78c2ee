//! What an error of PostgreSQL means for the store's callers.

use crate::item::NoItem;
use projection::store::StoreError;

/// Refused for good, or to be tried again. A refusal tells the SQLSTATE alone: messages quote values.
pub(crate) fn failure(operation: &'static str, table: &str, error: sqlx::Error) -> StoreError {
    if let sqlx::Error::Database(refused) = &error {
        let code = refused.code().unwrap_or_default().into_owned();
        // Data exceptions, broken constraints, more than a row or an index entry may hold.
        if ["22", "23", "54"].iter().any(|class| code.starts_with(class)) {
            let reason = format!("PostgreSQL says SQLSTATE {code}");
            return StoreError::Refused { operation, table: table.to_owned(), reason };
        }
    }
    // What is said of an error of sqlx's has its source in it.
    let why = match error {
        sqlx::Error::PoolTimedOut => "no connection in time: PostgreSQL is away, or busy".to_owned(),
        error => error.to_string(),
    };
    StoreError::Transient { operation, table: table.to_owned(), source: why.into() }
}

/// An item that can't be stored will not be stored later; one that can't be read may be, by another build.
pub(crate) fn unfit(operation: &'static str, table: &str, error: NoItem) -> StoreError {
    match error {
        NoItem::Stored(source) => StoreError::Transient { operation, table: table.to_owned(), source },
        error => StoreError::Refused { operation, table: table.to_owned(), reason: error.to_string() },
    }
}
