//! How long the parts of a run may take: as long as they took in former runs, by those runs' journals.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use crate::context::Context;
use crate::error::Result;
use crate::journal::{Entry, Event, Journal};
use crate::run::Runs;

/// So many runs are looked at, the newest ones: what took long a year ago says little of today.
const MOST_RUNS: usize = 20;

/// The time that something is likely to take.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// The median.
    pub seconds: f64,
    /// Of so many times.
    pub times: usize,
    /// None of them was this very step, but others of its kind.
    pub of_its_kind: bool,
}

/// What former runs took, in milliseconds.
#[derive(Clone, Debug, Default)]
pub struct Estimates {
    steps: BTreeMap<String, Vec<u64>>,
    kinds: BTreeMap<String, Vec<u64>>,
    stacks: BTreeMap<String, Vec<u64>>,
}

impl Estimates {
    /// By the newest runs of a project.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn of(context: &Context) -> Result<Estimates> {
        let mut estimates = Estimates::default();
        let (store, project) = (context.store.as_ref(), &context.project);
        for run in Runs::new(store, project).newest(MOST_RUNS)? {
            estimates.learn(&Journal::open(store, project, &run.id)?);
        }
        Ok(estimates)
    }

    fn learn(&mut self, journal: &Journal<'_>) {
        for (index, entry) in journal.entries().iter().enumerate() {
            match &entry.event {
                Event::StepDone { step, milliseconds, .. } => {
                    self.steps.entry(step.clone()).or_default().push(*milliseconds);
                    if let Some(begun) = journal.begun_step(step) {
                        self.kinds.entry(begun.kind.clone()).or_default().push(*milliseconds);
                    }
                }
                Event::StackDone { stack } => {
                    let took = begun(&journal.entries()[..index], stack).and_then(|begun| between(begun, entry.at));
                    if let Some(took) = took {
                        self.stacks.entry(stack.clone()).or_default().push(took);
                    }
                }
                _ => {}
            }
        }
    }

    /// Of a step; none where neither it nor another one of its kind was ever done.
    pub fn step(&self, name: &str, kind: &str) -> Option<Estimate> {
        let own = self.steps.get(name).map(|times| (times, false));
        let (times, of_its_kind) = own.or_else(|| self.kinds.get(kind).map(|times| (times, true)))?;
        median(times, of_its_kind)
    }

    /// Of what Terraform does with a stack; none where it never did anything.
    pub fn stack(&self, name: &str) -> Option<Estimate> {
        median(self.stacks.get(name)?, false)
    }
}

/// When the last attempt began to change a stack.
fn begun(entries: &[Entry], stack: &str) -> Option<Timestamp> {
    let attempt = entries
        .iter()
        .rposition(|entry| matches!(entry.event, Event::Started { .. } | Event::Resumed { .. }))?;
    let is_first = |entry: &&Entry| match &entry.event {
        Event::StateLockIntended { stack: named, .. }
        | Event::StateWriteIntended { stack: named, .. }
        | Event::ApplyIntended { stack: named, .. } => named == stack,
        _ => false,
    };
    entries[attempt..].iter().find(is_first).map(|entry| entry.at)
}

fn between(from: Timestamp, to: Timestamp) -> Option<u64> {
    u64::try_from(to.duration_since(from).as_millis()).ok()
}

#[allow(clippy::cast_precision_loss)] // Milliseconds of a run are far from 2^52.
fn median(times: &[u64], of_its_kind: bool) -> Option<Estimate> {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)? as f64;
    let milliseconds = match sorted.len() % 2 {
        0 => f64::midpoint(*sorted.get(middle - 1)? as f64, upper),
        _ => upper,
    };
    Some(Estimate {
        seconds: milliseconds / 1000.0,
        times: sorted.len(),
        of_its_kind,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_long_run_among_short_ones_says_little() {
        let of = |times: &[u64]| median(times, false).map(|estimate| (estimate.seconds, estimate.times));
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[1500]), Some((1.5, 1)));
        assert_eq!(of(&[2000, 90_000, 1000]), Some((2.0, 3)));
        assert_eq!(of(&[4000, 1000, 2000, 90_000]), Some((3.0, 4)));
    }

    #[test]
    fn its_own_times_come_before_those_of_its_kind() {
        let mut known = Estimates::default();
        known.kinds.insert("ecs-service".into(), vec![60_000, 80_000]);
        assert_eq!(
            known
                .step("backend", "ecs-service")
                .map(|one| (one.seconds, one.of_its_kind)),
            Some((70.0, true))
        );
        known.steps.insert("backend".into(), vec![5000]);
        assert_eq!(
            known
                .step("backend", "ecs-service")
                .map(|one| (one.seconds, one.of_its_kind)),
            Some((5.0, false))
        );
        assert_eq!(known.step("traffic", "alb-listener"), None);
    }
}
