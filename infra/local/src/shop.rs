//! The micrographs of the reference domain.

use micrograph::Micrograph;

/// All of them: what is deployed, checked and reviewed.
pub fn all() -> Vec<Micrograph> {
    micrographs().into_iter().chain(relational()).collect()
}

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
