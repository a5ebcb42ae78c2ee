//! The order stamp of an aggregate.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// `(epoch, seq)`: `seq` counts the writes of an aggregate and never restarts, not even after a delete and a
/// re-create; `epoch` is the fencing epoch of its home region and grows with each change of home.
///
/// Ordered by epoch, then by sequence.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct Version {
    /// The fencing epoch of the aggregate's home region.
    pub epoch: u16,
    /// The number of the write within the aggregate's life, from 1; at most [`Version::MAX_SEQ`].
    #[schemars(range(max = 281_474_976_710_655_u64))]
    pub seq: u64,
}

impl Version {
    /// The version of an aggregate that was never written.
    pub const NONE: Self = Self { epoch: 0, seq: 0 };

    /// The greatest sequence number that [`Version::packed`] can hold: 2⁴⁸ − 1.
    pub const MAX_SEQ: u64 = (1 << 48) - 1;

    /// The `seq`-th write in the first epoch.
    pub const fn first_epoch(seq: u64) -> Self {
        Self { epoch: 0, seq }
    }

    /// The version that follows this one in the same epoch.
    #[must_use]
    pub const fn next(self) -> Self {
        Self { epoch: self.epoch, seq: self.seq + 1 }
    }

    /// One number in the same order, as DynamoDB stores it: the epoch in the upper 16 bits, the sequence below.
    pub const fn packed(self) -> u64 {
        ((self.epoch as u64) << 48) | (self.seq & Self::MAX_SEQ)
    }

    /// The inverse of [`Version::packed`].
    pub const fn unpacked(packed: u64) -> Self {
        Self { epoch: (packed >> 48) as u16, seq: packed & Self::MAX_SEQ }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn version() -> impl Strategy<Value = Version> {
        (any::<u16>(), 0..=Version::MAX_SEQ).prop_map(|(epoch, seq)| Version { epoch, seq })
    }

    proptest! {
        #[test]
        fn packing_keeps_the_order_and_loses_nothing(a in version(), b in version()) {
            prop_assert_eq!(Version::unpacked(a.packed()), a);
            prop_assert_eq!(a.cmp(&b), a.packed().cmp(&b.packed()));
        }
    }
}
