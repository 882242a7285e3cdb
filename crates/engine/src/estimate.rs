//! How long the parts of a run may take: as long as they took in former runs, by those runs' journals.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rollback_release::Store;
use serde::Serialize;

use crate::error::Result;
use crate::journal::{Entry, Event, Journal};
use crate::run::Runs;
use crate::side_by_side::side_by_side;

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
    /// By the newest runs of a project. Their journals are read side by side: in a shared store each is a request, and a
    /// person waits for the plan.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn of(store: &dyn Store, project: &str) -> Result<Estimates> {
        let runs = Runs::new(store, project).newest_ids(MOST_RUNS)?;
        let journals = side_by_side(&runs, |run| Journal::open(store, project, run));
        let mut estimates = Estimates::default();
        for journal in journals {
            estimates.learn(&journal?);
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
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use rollback_release::{
        BlobId, Created, Entry as Row, MemoryStore, Operation, Replaced, StoreError, StoredBlob, Transacted, Version,
        keys,
    };

    use super::*;

    /// A store that is far away, and counts what is asked of it at the same time.
    #[derive(Default)]
    struct Far {
        inner: MemoryStore,
        asked: AtomicUsize,
        under_way: AtomicUsize,
        most: AtomicUsize,
    }

    impl Far {
        fn asks<T>(&self, ask: impl FnOnce(&MemoryStore) -> T) -> T {
            self.asked.fetch_add(1, Ordering::SeqCst);
            let now = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(now, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(100));
            self.under_way.fetch_sub(1, Ordering::SeqCst);
            ask(&self.inner)
        }
    }

    impl Store for Far {
        fn put_blob(&self, bytes: &[u8]) -> Result<BlobId, StoreError> {
            self.asks(|store| store.put_blob(bytes))
        }
        fn get_blob(&self, id: &BlobId) -> Result<Vec<u8>, StoreError> {
            self.asks(|store| store.get_blob(id))
        }
        fn has_blob(&self, id: &BlobId) -> Result<bool, StoreError> {
            self.asks(|store| store.has_blob(id))
        }
        fn remove_blob(&self, id: &BlobId) -> Result<bool, StoreError> {
            self.asks(|store| store.remove_blob(id))
        }
        fn list_blobs(&self, after: Option<&BlobId>, limit: usize) -> Result<Vec<BlobId>, StoreError> {
            self.asks(|store| store.list_blobs(after, limit))
        }
        fn stored_blobs(&self, after: Option<&BlobId>, limit: usize) -> Result<Vec<StoredBlob>, StoreError> {
            self.asks(|store| store.stored_blobs(after, limit))
        }
        fn create(&self, key: &str, value: &[u8]) -> Result<Created, StoreError> {
            self.inner.create(key, value)
        }
        fn replace(&self, key: &str, expected: &Version, value: &[u8]) -> Result<Replaced, StoreError> {
            self.asks(|store| store.replace(key, expected, value))
        }
        fn remove(&self, key: &str, expected: &Version) -> Result<Replaced, StoreError> {
            self.asks(|store| store.remove(key, expected))
        }
        fn transact(&self, operations: &[Operation<'_>]) -> Result<Transacted, StoreError> {
            self.asks(|store| store.transact(operations))
        }
        fn get(&self, key: &str) -> Result<Option<(Vec<u8>, Version)>, StoreError> {
            self.asks(|store| store.get(key))
        }
        fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>, StoreError> {
            self.asks(|store| store.list(prefix, after, limit))
        }
        fn list_newest(&self, prefix: &str, before: Option<&str>, limit: usize) -> Result<Vec<String>, StoreError> {
            self.asks(|store| store.list_newest(prefix, before, limit))
        }
        fn entries(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Row>, StoreError> {
            self.asks(|store| store.entries(prefix, after, limit))
        }
    }

    #[test]
    fn the_journals_of_a_store_that_is_far_away_are_read_side_by_side() {
        let store = Far::default();
        let put = |key: String, value: &str| {
            let made = store.create(&key, value.as_bytes()).unwrap();
            assert!(matches!(made, Created::Yes(_)), "{key}");
        };
        for number in 0..30 {
            let run = format!("run-{number:02}");
            put(keys::run_record("p", &run), "{}");
            let milliseconds = if number < 10 { 90_000 } else { 1000 };
            put(
                keys::journal_step("p", &run, 1),
                &format!(
                    r#"{{"sequence":1,"at":"2026-01-01T00:00:00Z","event":"step-done","step":"s","now":"1","milliseconds":{milliseconds}}}"#
                ),
            );
        }
        let found = Estimates::of(&store, "p").unwrap().step("s", "command").unwrap();
        assert_eq!((found.seconds, found.times), (1.0, MOST_RUNS), "the newest ones");
        // One list of runs, and of each journal two pages, of which the second is empty.
        assert_eq!(store.asked.load(Ordering::SeqCst), 1 + 2 * MOST_RUNS);
        assert!(store.most.load(Ordering::SeqCst) > MOST_RUNS / 2, "side by side");
    }

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
