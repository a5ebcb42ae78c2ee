//! The micrographs of the reference domain.

use micrograph::Micrograph;

/// All of them, in the order of what flows from one to the next.
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
