//! Chance that can be repeated, and how often things are tried.

use std::time::{SystemTime, UNIX_EPOCH};

/// How many times as often races, kills and crashes are tried.
pub fn scale() -> usize {
    std::env::var("INFRA_ROLLBACK_TEST_SCALE")
        .ok()
        .and_then(|text| text.parse().ok())
        .filter(|scale| *scale > 0)
        .unwrap_or(1)
}

/// A splitmix64 generator whose seed is printed with the test's output.
pub struct Chance(u64);

impl Chance {
    /// Seeded by `INFRA_ROLLBACK_TEST_SEED`, else by the clock.
    pub fn new() -> Self {
        let seed = std::env::var("INFRA_ROLLBACK_TEST_SEED")
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or_else(|| {
                SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .map_or(1, |now| u64::from(now.subsec_nanos()) ^ now.as_secs())
            });
        eprintln!("INFRA_ROLLBACK_TEST_SEED={seed}");
        Chance(seed)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end.max(1)
    }
}

impl Default for Chance {
    fn default() -> Self {
        Self::new()
    }
}
