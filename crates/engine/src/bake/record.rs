//! A bake, as it is kept, and what a look at the checks means for it.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use rollback_runbook::checks::Verification;
use serde::{Deserialize, Serialize};

use crate::holder::{Machine, Process, life};
use crate::lease::Life;

/// What to watch for.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub window: Duration,
    pub every: Duration,
    /// So many looks in a row have to fail.
    pub times: u32,
    /// What failed before it began, and what is not much slower than then, does not count.
    pub compare: bool,
    /// Where to go back to: the release before where nothing is said. `None`: nothing is rolled back.
    pub rollback: Option<Option<String>>,
    /// Where a service watches: for whom.
    pub served: Option<Served>,
}

/// A bake, as it is kept. There is one at a time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Bake {
    pub id: String,
    pub started_at: Timestamp,
    pub ends_at: Timestamp,
    pub every_seconds: u64,
    pub times: u32,
    pub by: String,
    /// The release that it goes back to.
    pub target: Option<String>,
    pub status: Watch,
    /// Why it neither ends nor rolls back.
    pub held: Option<Decision>,
    pub looks: u32,
    pub failures_in_a_row: u32,
    pub baseline: Option<Verification>,
    pub last: Option<Verification>,
    /// The rollback, named before it begins.
    pub run: Option<String>,
    pub ended_at: Option<Timestamp>,
    #[serde(default)]
    pub decisions: Vec<Decision>,
    /// The process that watches: who finds another one here stops.
    pub(super) watcher: String,
    /// That process, to find out at once that it is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) watching: Option<WatchingProcess>,
    /// Rises whenever whoever watches writes: by it others see that somebody is there.
    #[serde(default)]
    pub(super) beats: u64,
    /// For whom a service watches; none where a person does, with the command line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub served: Option<Served>,
}

/// For whom a service watches: what it needs to go on after a restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Served {
    pub id: String,
    pub name: String,
    /// See [`crate::person::Person`].
    pub marks: Vec<String>,
    /// They have said yes beforehand, as far as that is theirs to say.
    pub approves: bool,
    /// Variables whose values came with the request. The values themselves are kept nowhere.
    #[serde(default)]
    pub variables: Vec<String>,
}

/// The process that watches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchingProcess {
    #[serde(flatten)]
    machine: Machine,
    process: Process,
}

impl WatchingProcess {
    pub(super) fn this() -> WatchingProcess {
        WatchingProcess {
            machine: Machine::this(),
            process: Process::this(),
        }
    }

    /// What can be said of it from here. This very process has no other watch than the one that it is about to begin.
    pub(super) fn life(&self) -> Life {
        match self.process == Process::this() && self.machine.is_this() {
            true => Life::Dead,
            false => life(&self.process, &self.machine),
        }
    }

    fn is_dead(&self) -> bool {
        life(&self.process, &self.machine) == Life::Dead
    }
}

impl fmt::Display for WatchingProcess {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "process {} on {}", self.process.pid, self.machine.host)
    }
}

/// Where a bake stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Watch {
    Watching,
    Passed,
    /// The checks failed and nothing is rolled back by itself.
    Failed,
    /// A rollback was begun; its run tells how far it is.
    RollingBack,
    RolledBack,
    /// Ended by a person.
    Stopped,
}

impl Watch {
    pub fn is_over(self) -> bool {
        !matches!(self, Watch::Watching | Watch::RollingBack)
    }
}

/// Something that a person decided about a bake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    pub at: Timestamp,
    pub by: String,
    pub what: String,
    pub reason: Option<String>,
}

/// How often whoever watches writes at least, be there something to say or not.
pub const BEAT: Duration = Duration::from_secs(10);

/// How much slower than before counts as failing: three times, and a quarter of a second.
const SLOWER: u64 = 3;
const SLOWER_MILLISECONDS: u64 = 250;

/// Kinds whose time tells how fast something answers.
const TIMED: &[&str] = &["http", "endpoints", "postgres"];

impl Bake {
    /// Whether the process that watches is known to be gone: only ever known for this machine.
    pub fn is_deserted(&self) -> bool {
        self.watching.as_ref().is_some_and(WatchingProcess::is_dead)
    }

    /// For how long nobody has to be heard of before nobody is there: three looks, and a while.
    pub fn silence(&self) -> Duration {
        Duration::from_secs(self.every_seconds.saturating_mul(3)) + BEAT * 2
    }

    /// What the last look means.
    pub(super) fn decide(&mut self, now: Timestamp, run: &str) {
        if self.held.is_some() {
            return;
        }
        if self.failures_in_a_row >= self.times {
            match self.target {
                Some(_) => {
                    self.status = Watch::RollingBack;
                    self.run = Some(run.to_owned());
                }
                None => {
                    self.status = Watch::Failed;
                    self.ended_at = Some(now);
                }
            }
        } else if now >= self.ends_at && self.failures_in_a_row == 0 {
            self.status = Watch::Passed;
            self.ended_at = Some(now);
        }
    }

    /// Why it is rolled back.
    pub fn reason(&self) -> String {
        let failed = self.last.as_ref().map(Verification::failed).unwrap_or_default();
        format!(
            "bake: {} failed {} times in a row",
            failed.join(", "),
            self.failures_in_a_row
        )
    }

    pub(super) fn in_words(&self, asked: &Verification, failing: &[String]) -> String {
        let left = self.ends_at.duration_since(Timestamp::now());
        let left = match (&self.held, left.is_positive()) {
            (Some(held), _) => format!("held by {}", held.by),
            (None, true) => format!("{} s left", left.as_secs()),
            (None, false) => "its time is over".to_owned(),
        };
        match failing {
            [] => format!("✓ all {} checks pass, {left}", asked.checks.len()),
            failing => format!(
                "✗ {} ({} of {} in a row), {left}",
                failing.join(", "),
                self.failures_in_a_row + 1,
                self.times
            ),
        }
    }
}

/// The checks that fail, or are much slower than before it began; those that failed then already do not count.
pub(super) fn failing(asked: &Verification, baseline: Option<&Verification>) -> Vec<String> {
    let before = |name: &str| baseline.and_then(|baseline| baseline.checks.iter().find(|check| check.name == name));
    let fails = asked.checks.iter().filter(|check| match before(&check.name) {
        None => !check.passed,
        Some(before) if !before.passed => false,
        Some(before) => {
            let allowed = (before.milliseconds * SLOWER).max(before.milliseconds + SLOWER_MILLISECONDS);
            !check.passed || (TIMED.contains(&check.kind.as_str()) && check.milliseconds > allowed)
        }
    });
    fails.map(|check| check.name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rollback_runbook::checks::Asked;

    fn asked(checks: &[(&str, bool, u64)]) -> Verification {
        let check = |(name, passed, milliseconds): &(&str, bool, u64)| Asked {
            name: (*name).into(),
            kind: "http".into(),
            passed: *passed,
            answered: true,
            summary: String::new(),
            details: Vec::new(),
            hint: None,
            times: 1,
            milliseconds: *milliseconds,
            passing_since: None,
        };
        Verification {
            passed: checks.iter().all(|(_, passed, _)| *passed),
            started_at: Timestamp::UNIX_EPOCH,
            ended_at: Timestamp::UNIX_EPOCH,
            checks: checks.iter().map(check).collect(),
        }
    }

    #[test]
    fn what_failed_before_does_not_count_and_what_became_slow_does() {
        let now = asked(&[
            ("old", false, 5),
            ("new", false, 5),
            ("slow", true, 900),
            ("fine", true, 240),
        ]);
        assert_eq!(failing(&now, None), ["old", "new"]);
        let before = asked(&[
            ("old", false, 5),
            ("new", true, 5),
            ("slow", true, 100),
            ("fine", true, 5),
        ]);
        assert_eq!(failing(&now, Some(&before)), ["new", "slow"]);
    }
}
