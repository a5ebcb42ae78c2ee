//! Disorder on purpose.

/// What standard queues are allowed to do and seldom do. FIFO queues are never touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Chaos {
    /// Every message is there twice.
    pub duplicate: bool,
    /// Messages are held back for a random while and come in random order.
    pub reorder: bool,
    /// Where the random numbers start.
    pub seed: u64,
}

/// How long a message is held back at most, in milliseconds.
pub(super) const LONGEST_HOLD_MS: u64 = 200;

/// `SplitMix64`: small, seeded, good enough to shuffle.
#[derive(Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which isn't 0.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.roll() % end
    }
}
