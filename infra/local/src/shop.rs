//! The micrographs of the reference domain.

use micrograph::Micrograph;

/// Those that need a relational store.
pub fn relational() -> Vec<Micrograph> {
    vec![reporting::micrograph()]
}

/// All of them that DynamoDB is enough for, in the order of what flows from one to the next.
pub fn micrographs() -> Vec<Micrograph> {
    vec![
        catalogue::micrograph(),
        pricing::micrograph(),
        customers::micrograph(),
        orders::micrograph(),
        returns::micrograph(),
        inventory::micrograph(),
        popularity::micrograph(),
    ]
}
