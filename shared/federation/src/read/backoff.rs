//! Waiting before asking again.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

/// How long a reader waits before it asks again for keys DynamoDB handed back, and how often.
#[derive(Clone)]
pub struct Backoff {
    /// The wait after progress, and after the first attempt without; it doubles with each further one.
    pub base: Duration,
    /// The longest wait.
    pub cap: Duration,
    /// Attempts in a row that may bring nothing.
    pub attempts: u32,
    /// A number from 0 to 1 that each wait is multiplied with ("full jitter"), so that clients don't return together.
    pub jitter: Arc<dyn Fn() -> f64 + Send + Sync>,
}

impl Default for Backoff {
    /// From 25 ms to 1 s, 6 attempts, jitter between a half and the whole.
    fn default() -> Self {
        Self {
            base: Duration::from_millis(25),
            cap: Duration::from_secs(1),
            attempts: 6,
            jitter: Arc::new(|| 0.5 + f64::from(u32::from(arbitrary())) / f64::from(u16::MAX) / 2.0),
        }
    }
}

/// An unpredictable number: the keys of the standard library's hash maps are random.
fn arbitrary() -> u16 {
    let [high, low, ..] = RandomState::new().hash_one(0_u8).to_be_bytes();
    u16::from_be_bytes([high, low])
}

impl Backoff {
    /// The wait after `idle` attempts in a row without progress.
    pub(super) fn delay(&self, idle: u32) -> Duration {
        let doubled = 2_u32.saturating_pow(idle.saturating_sub(1));
        let share = (self.jitter)();
        let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 1.0 };
        self.base.saturating_mul(doubled).min(self.cap).mul_f64(share)
    }
}

impl fmt::Debug for Backoff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { base, cap, attempts, jitter: _ } = self;
        f.debug_struct("Backoff")
            .field("base", base)
            .field("cap", cap)
            .field("attempts", attempts)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::Backoff;
    use std::sync::Arc;
    use std::time::Duration;

    #[test]
    fn waits_double_up_to_the_cap() {
        let whole = Backoff { jitter: Arc::new(|| 1.0), ..Backoff::default() };
        let waits: Vec<u128> = (0..9).map(|idle| whole.delay(idle).as_millis()).collect();
        assert_eq!(waits, [25, 25, 50, 100, 200, 400, 800, 1000, 1000]);
        assert_eq!(whole.delay(u32::MAX), Duration::from_secs(1));
    }

    #[test]
    fn jitter_is_a_share_and_never_more() {
        for (share, wait) in [(0.0, 0), (0.5, 50), (7.0, 100), (-1.0, 0), (f64::NAN, 100)] {
            let backoff = Backoff { jitter: Arc::new(move || share), ..Backoff::default() };
            assert_eq!(backoff.delay(3).as_millis(), wait, "{share}");
        }
        let default = Backoff::default();
        assert!((0..100).all(|_| (12..=25).contains(&default.delay(0).as_millis())));
    }
}
