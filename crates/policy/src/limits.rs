//! How much a policy may take: it must not be able to hold up a rollback for ever.

use std::time::Duration;

/// Bounds of one evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Of all rules together; then there is no verdict.
    pub time: Duration,
    /// By how much the process may grow meanwhile, in bytes (watched on Linux).
    pub memory: u64,
    /// Of the input document, in bytes of JSON.
    pub input: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            time: Duration::from_secs(20),
            memory: 2 << 30,
            input: 512 << 20,
        }
    }
}

/// What this process has in memory, in bytes; none where the system does not tell.
pub(crate) fn resident_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * 4096)
}
