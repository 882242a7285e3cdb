//! How much a policy may take: it must not be able to hold up a rollback for ever, nor take the service down.

use std::time::Duration;

/// Bounds of one evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Of all rules together; then there is no verdict.
    pub time: Duration,
    /// By how much the process that judges may grow, in bytes, whatever the input: see [`Limits::memory_for`].
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

/// What rules may take without any input.
const LEAST_MEMORY: u64 = 512 << 20;
/// How much larger a document is in the engine than as JSON, with room for what rules make of it.
const GROWTH: u64 = 16;

impl Limits {
    /// Bytes for an input of so many bytes: half a gigabyte and sixteen times the input, and never more than `memory`.
    pub fn memory_for(&self, input: usize) -> u64 {
        let input = u64::try_from(input).unwrap_or(u64::MAX);
        self.memory
            .min(input.saturating_mul(GROWTH).saturating_add(LEAST_MEMORY))
    }
}

/// What this process has in memory, in bytes; none where the system does not tell.
pub(crate) fn resident_memory() -> Option<u64> {
    pages("self", 1)
}

/// What another process has in memory, in bytes; none where it is gone.
#[cfg(target_os = "linux")]
pub(crate) fn memory_of(process: u32) -> Option<u64> {
    pages(&process.to_string(), 1)
}

/// What another process has in memory, in bytes; none where it is gone.
#[cfg(not(target_os = "linux"))]
pub(crate) fn memory_of(process: u32) -> Option<u64> {
    let mut ps = std::process::Command::new("ps");
    let told = ps.args(["-o", "rss=", "-p", &process.to_string()]).output().ok()?;
    let kibibytes: u64 = String::from_utf8(told.stdout).ok()?.trim().parse().ok()?;
    Some(kibibytes << 10)
}

/// The address space that this process has, in bytes; none where the system does not tell.
pub(crate) fn address_space() -> Option<u64> {
    pages("self", 0)
}

fn pages(process: &str, column: usize) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/statm")).ok()?;
    let pages: u64 = text.split_whitespace().nth(column)?.parse().ok()?;
    Some(pages * u64::try_from(rustix::param::page_size()).ok()?)
}
