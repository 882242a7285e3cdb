use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use jiff::{SignedDuration, Timestamp};

use rollback_state::State;

use super::*;
use crate::conformance::scale;
use crate::failing::{FailingStore, Fault};
use crate::{
    Catalogue, Created, Entry, MemoryStore, Operation, Release, ReleaseId, ReleaseKind, Replaced, Salt, StackParts,
    StoredBlob, Transacted, Version, all_entries, write_stack,
};

const COMMIT: &str = "1234567890abcdef1234567890abcdef12345678";

fn state_text(serial: u64) -> String {
    format!(
        r#"{{"version":4,"terraform_version":"1.11.4","serial":{serial},"lineage":"l","outputs":{{}},"resources":[]}}"#
    )
}

fn time(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

/// A release made at `second`; its state is another one than those of others, one file is the same for all.
fn release(store: &dyn Store, second: i64) -> Result<Release, Box<dyn std::error::Error>> {
    let parts = StackParts {
        name: "app".to_owned(),
        state: Some(State::parse(state_text(u64::try_from(second)?))?),
        configuration: BTreeMap::from([
            ("main.tf".to_owned(), b"# the same".to_vec()),
            ("own.tf".to_owned(), format!("# {second}").into_bytes()),
        ]),
        ..StackParts::default()
    };
    let mut release = Release::made_at(time(second), COMMIT, "me");
    release.stacks = vec![write_stack(&parts, &Salt::from_bytes([1; 32]), store)?];
    Ok(release)
}

fn committed(store: &dyn Store, second: i64) -> Release {
    let release = release(store, second).unwrap();
    Catalogue::new(store, "p").commit(&release).unwrap();
    release
}

/// Everything that is there counts as old.
fn options(keep_last: Option<usize>) -> Options {
    Options {
        put_before: Timestamp::now() + SignedDuration::from_hours(1),
        retention: Retention {
            keep_last,
            keep_since: None,
        },
        needed: BTreeMap::new(),
    }
}

fn quiet(_: &str, _: usize, _: usize) {}

fn collect(store: &dyn Store, options: &Options) -> Result<Collected, CatalogueError> {
    let catalogue = Catalogue::new(store, "p");
    let plan = plan(&catalogue, options, &mut quiet)?;
    carry_out(&catalogue, &plan, &mut quiet)
}

/// Every release that is listed is whole.
fn whole(store: &dyn Store) -> Vec<ReleaseId> {
    let catalogue = Catalogue::new(store, "p");
    let listing = catalogue.list(usize::MAX).unwrap();
    assert_eq!(listing.unreadable, []);
    for release in &listing.items {
        for blob in release.blobs() {
            store
                .get_blob(&blob)
                .unwrap_or_else(|error| panic!("release {}: {error}", release.id));
        }
    }
    listing.items.into_iter().map(|release| release.id).collect()
}

#[test]
fn what_nothing_names_goes_and_what_is_young_or_named_stays() {
    let store = MemoryStore::new();
    let kept = committed(&store, 1);
    let orphan = store.put_blob(b"nobody names it").unwrap();
    let journal = store.put_blob(b"a journal names it").unwrap();
    let _ = store
        .create(
            "projects/q/runs/1/journal/00000001",
            format!("{{\"from_blob\":\"{journal}\"}}").as_bytes(),
        )
        .unwrap();
    let young = Options {
        put_before: Timestamp::now() - SignedDuration::from_hours(48),
        ..options(None)
    };
    assert_eq!(collect(&store, &young).unwrap().blobs, 0, "everything is young");
    let catalogue = Catalogue::new(&store, "p");
    let plan = plan(&catalogue, &options(None), &mut quiet).unwrap();
    assert_eq!(plan.blobs.iter().map(|blob| blob.id).collect::<Vec<_>>(), [orphan]);
    assert_eq!((plan.bytes(), plan.kept_blobs), (15, 4));
    assert!(store.has_blob(&orphan).unwrap(), "a plan changes nothing");
    // Somebody names it between the plan and its execution.
    let _ = store.create("projects/q/late", orphan.to_string().as_bytes()).unwrap();
    assert_eq!(carry_out(&catalogue, &plan, &mut quiet).unwrap().wanted_again, 1);
    let late = store.get("projects/q/late").unwrap().unwrap().1;
    let _ = store.remove("projects/q/late", &late).unwrap();
    let done = carry_out(&catalogue, &plan, &mut quiet).unwrap();
    assert_eq!((done.blobs, done.bytes), (1, 15));
    assert!(!store.has_blob(&orphan).unwrap() && store.has_blob(&journal).unwrap());
    assert_eq!(whole(&store), [kept.id]);
}

#[test]
fn retention_spares_what_is_needed() {
    let store = MemoryStore::new();
    let mut made: Vec<Release> = (1..=6).map(|second| committed(&store, second)).collect();
    let mut backup = release(&store, 10).unwrap();
    backup.kind = ReleaseKind::Backup { run: "r".to_owned() };
    Catalogue::new(&store, "p").commit(&backup).unwrap();
    made.push(backup);
    let catalogue = Catalogue::new(&store, "p");
    catalogue.mark(&made[0].id, "me", &|mark| mark.pinned = true).unwrap();
    catalogue
        .mark(&made[4].id, "me", &|mark| mark.verdict = Some(crate::Verdict::Bad))
        .unwrap();
    let mut options = options(Some(2));
    options.needed.insert(made[1].id.clone(), "a run needs it".to_owned());
    let plan = plan(&catalogue, &options, &mut quiet).unwrap();
    let going: Vec<&ReleaseId> = plan.releases.iter().map(|summary| &summary.id).collect();
    assert_eq!(going, [&made[2].id, &made[3].id], "the oldest first");
    assert_eq!(plan.needed[&made[0].id], "pinned by me");
    assert_eq!(plan.needed[&made[1].id], "a run needs it");
    // Of each a state and a file; the common file stays.
    assert_eq!(plan.blobs.len(), 4);
    carry_out(&catalogue, &plan, &mut quiet).unwrap();
    assert_eq!(whole(&store).len(), 5);
    assert_eq!(catalogue.summaries(99).unwrap().items.len(), 5);
    assert_eq!(all_entries(&store, &crate::keys::index("p")).unwrap().len(), 5);

    // By age, and the newest stays whatever its age.
    let by_age = Options {
        retention: Retention {
            keep_last: None,
            keep_since: Some(Timestamp::now()),
        },
        ..options
    };
    collect(&store, &by_age).unwrap();
    let left = whole(&store);
    assert_eq!(
        left,
        [&made[6].id, &made[5].id, &made[1].id, &made[0].id].map(Clone::clone),
        "the newest, the newest that is no backup, the needed one, the pinned one"
    );
    // Nothing is removed where nobody says how much to keep.
    assert!(plan_of_nothing(&store).releases.is_empty());
}

fn plan_of_nothing(store: &dyn Store) -> Plan {
    plan(&Catalogue::new(store, "p"), &options(None), &mut quiet).unwrap()
}

#[test]
fn what_the_store_retains_is_reported_and_holds_up_nothing() {
    let inner = MemoryStore::new();
    let locked = inner.put_blob(b"locked").unwrap();
    inner.put_blob(b"free").unwrap();
    let store = Watched {
        refuse: Some(locked),
        ..Watched::new(inner.clone(), |_, _| {})
    };
    let done = collect(&store, &options(None)).unwrap();
    assert_eq!((done.blobs, done.retained.len()), (1, 1));
    assert!(done.retained[0].reason.contains("2030"), "{:?}", done.retained);
    assert!(inner.has_blob(&locked).unwrap());
}

/// A workload that a crash at each point of `work` must not harm: afterwards `work` is done once more without faults,
/// and `check` looks, which it does all along; `arrived` looks at the end. All pairs of crash points: the repetition crashes
/// too, and is repeated.
#[allow(clippy::type_complexity)] // Four closures, named by what they are for.
fn at_every_pair_of_faults(
    prepare: &dyn Fn(&MemoryStore),
    work: &dyn Fn(&dyn Store) -> Result<(), Box<dyn std::error::Error>>,
    check: &dyn Fn(&MemoryStore, &str),
    arrived: &dyn Fn(&MemoryStore, &str),
) {
    let fresh = || {
        let store = MemoryStore::new();
        prepare(&store);
        store
    };
    let counting = FailingStore::counting(fresh());
    work(&counting).unwrap();
    let calls = counting.calls();
    assert!(calls > 3);
    // Each point alone, and of the pairs as many as there is time for.
    let stride = (calls as usize / scale(8)).max(1) as u64;
    for first in 1..=calls {
        for fault in Fault::ALL {
            let store = fresh();
            let failing = FailingStore::new(store.clone(), first, fault);
            let _ = work(&failing);
            let what = format!("call {first}, {fault:?}");
            check(&store, &what);
            for second in (1..=calls).step_by(stride as usize) {
                for again in [Fault::CrashBefore, Fault::CrashAfter] {
                    let store = fresh();
                    let _ = work(&FailingStore::new(store.clone(), first, fault));
                    let _ = work(&FailingStore::new(store.clone(), second, again));
                    let what = format!("{what}, then call {second}, {again:?}");
                    check(&store, &what);
                    work(&store).unwrap_or_else(|error| panic!("{what}: it does not converge: {error}"));
                    check(&store, &what);
                    arrived(&store, &what);
                }
            }
        }
    }
}

#[test]
fn a_snapshot_and_its_index_survive_every_pair_of_faults() {
    let id = ReleaseId::at(time(5));
    at_every_pair_of_faults(
        &|store| drop(committed(store, 1)),
        &|store| {
            let release = Release {
                id: id.clone(),
                ..release(store, 5)?
            };
            Ok(Catalogue::new(store, "p").commit(&release)?)
        },
        &|store, what| {
            let there = whole(store);
            let indexed = Catalogue::new(store, "p").summaries(99).unwrap();
            assert_eq!(indexed.unreadable, [], "{what}");
            let indexed: Vec<ReleaseId> = indexed.items.into_iter().map(|summary| summary.id).collect();
            assert_eq!(indexed, there, "{what}");
        },
        &|_, _| {},
    );
}

#[test]
fn a_collection_survives_every_pair_of_faults() {
    let kept = Mutex::new(Vec::new());
    at_every_pair_of_faults(
        &|store| {
            let made: Vec<Release> = (1..=4).map(|second| committed(store, second)).collect();
            store.put_blob(b"garbage").unwrap();
            *kept.lock().unwrap() = vec![made[3].id.clone(), made[2].id.clone()];
        },
        &|store| Ok(collect(store, &options(Some(2))).map(drop)?),
        &|store, what| {
            let left = whole(store);
            let kept = kept.lock().unwrap();
            assert!(kept.iter().all(|id| left.contains(id)), "{what}: {left:?}");
        },
        // And it does what it is for, wherever it was cut off before.
        &|store, what| {
            assert_eq!(whole(store).len(), 2, "{what}");
            assert_eq!(crate::blobs(store).count(), 5, "{what}");
            assert_eq!(all_entries(store, &crate::keys::index("p")).unwrap().len(), 2, "{what}");
            assert!(
                plan(&Catalogue::new(store, "p"), &options(Some(2)), &mut quiet)
                    .unwrap()
                    .is_empty(),
                "{what}"
            );
        },
    );
}

#[test]
fn rebuilding_the_index_survives_every_pair_of_faults() {
    at_every_pair_of_faults(
        &|store| {
            for second in 1..=3 {
                let release = committed(store, second);
                let key = crate::keys::index_row("p", &release.id);
                if second == 1 {
                    store.damage_record(&key, b"damaged");
                } else {
                    let version = store.get(&key).unwrap().unwrap().1;
                    let _ = store.remove(&key, &version).unwrap();
                }
            }
        },
        &|store| Ok(Catalogue::new(store, "p").rebuild_index(&mut |_, _| {}).map(drop)?),
        &|store, what| {
            let summaries = Catalogue::new(store, "p").summaries(99).unwrap();
            assert_eq!((summaries.items.len(), summaries.unreadable.len()), (3, 0), "{what}");
        },
        &|_, _| {},
    );
}

#[test]
fn a_copy_survives_every_pair_of_faults() {
    let source = MemoryStore::new();
    let made: Vec<ReleaseId> = (1..=3).map(|second| committed(&source, second).id).collect();
    let _ = source.create("projects/p/runs/1/record", b"a run").unwrap();
    let _ = source.create("elsewhere/1", b"outside of projects").unwrap();
    at_every_pair_of_faults(
        &|_| {},
        &|store| Ok(copy(&source, store, &mut quiet).map(drop)?),
        &|store, _| drop(whole(store)),
        &|_, _| {},
    );
    let target = MemoryStore::new();
    let copied = copy(&source, &target, &mut quiet).unwrap();
    assert_eq!((copied.records, copied.present), (8, 0));
    assert_eq!(whole(&target), made.into_iter().rev().collect::<Vec<_>>());
    assert_eq!(target.get("elsewhere/1").unwrap().unwrap().0, b"outside of projects");
    let again = copy(&source, &target, &mut quiet).unwrap();
    assert_eq!((again.blobs, again.records), (0, 0), "it is idempotent");
    // And the source is whatever fails there.
    let counting = FailingStore::counting(&source);
    copy(&counting, &MemoryStore::new(), &mut quiet).unwrap();
    for call in 1..=counting.calls() {
        for fault in Fault::ALL {
            let target = MemoryStore::new();
            let result = copy(&FailingStore::new(&source, call, fault), &target, &mut quiet);
            assert!(result.is_err(), "call {call}, {fault:?}");
            whole(&target);
            copy(&source, &target, &mut quiet).unwrap();
            assert_eq!(whole(&target).len(), 3);
        }
    }
}

#[test]
fn a_copy_writes_over_nothing_and_names_what_is_damaged() {
    let (source, target) = (MemoryStore::new(), MemoryStore::new());
    let release = committed(&source, 1);
    let _ = source.create("projects/p/runs/1/record", b"one").unwrap();
    let _ = target.create("projects/p/runs/1/record", b"another").unwrap();
    let CopyError::Conflicts(conflicts) = copy(&source, &target, &mut quiet).unwrap_err() else {
        panic!()
    };
    assert_eq!(conflicts[0].key, "projects/p/runs/1/record");
    assert_eq!(crate::blobs(&target).count(), 0, "nothing was written");
    assert_eq!(target.get("projects/p/runs/1/record").unwrap().unwrap().0, b"another");

    let target = MemoryStore::new();
    let state = release.stacks[0].state.clone().unwrap().blob;
    source.damage_blob(&state, Some(b"other bytes".to_vec()));
    let copied = copy(&source, &target, &mut quiet).unwrap();
    assert_eq!(copied.damaged.iter().map(|one| one.id).collect::<Vec<_>>(), [state]);
    assert!(!target.has_blob(&state).unwrap());
}

/// A snapshot between any two calls of a collection, and a collection between any two calls of a snapshot: what the
/// snapshot said is kept is there, and it needs what was garbage just before.
#[test]
fn a_snapshot_and_a_collection_that_run_together_lose_nothing() {
    let prepare = || {
        let store = MemoryStore::new();
        committed(&store, 9);
        // Left by a snapshot that was cut off: the next one of the same commit relies on these.
        release(&store, 5).unwrap();
        store.put_blob(b"garbage").unwrap();
        store
    };
    let snapshot = |store: &dyn Store| -> bool {
        release(store, 5).is_ok_and(|release| Catalogue::new(store, "p").commit(&release).is_ok())
    };
    let gather = |store: &dyn Store| collect(store, &options(None)).map(drop);
    let calls = {
        let counting = FailingStore::counting(prepare());
        gather(&counting).unwrap();
        counting.calls() as usize
    };
    let (mut kept, mut refused) = (0, 0);
    for at in 0..calls {
        let inner = prepare();
        let outcome = Mutex::new(None);
        let store = Watched::new(inner.clone(), |number, inner: &MemoryStore| {
            if number == at {
                // Its bytes are put now; it is committed once the collection is over, as it would wait for that.
                *outcome.lock().unwrap() = Some(release(inner, 5).unwrap());
            }
        });
        gather(&store).unwrap();
        // Fewer calls come by here than are counted: what a blob stands on is not asked of this store.
        let Some(taken) = outcome.into_inner().unwrap() else {
            continue;
        };
        match Catalogue::new(&inner, "p").commit(&taken) {
            Ok(()) => kept += 1,
            // It says so, and a repetition succeeds.
            Err(error) => {
                let text = error.to_string();
                assert!(
                    text.contains("take it again") || text.contains("is not in the store"),
                    "{text}"
                );
                refused += 1;
                assert!(snapshot(&inner));
            }
        }
        assert_eq!(whole(&inner).len(), 2, "a snapshot from call {at} on");
    }
    assert!(kept > 0 && refused > 0, "{kept} kept, {refused} refused");
    let calls = {
        let counting = FailingStore::counting(prepare());
        assert!(snapshot(&counting));
        counting.calls() as usize
    };
    for at in 0..calls {
        let inner = prepare();
        let store = Watched::new(inner.clone(), |number, inner: &MemoryStore| {
            if number == at {
                gather(inner).unwrap();
            }
        });
        if !snapshot(&store) {
            assert!(snapshot(&inner), "the repetition");
        }
        assert_eq!(whole(&inner).len(), 2, "a collection before call {at}");
    }
}

/// Calls `before` with the number of the call before each call.
struct Watched<F> {
    inner: MemoryStore,
    calls: AtomicUsize,
    before: F,
    refuse: Option<BlobId>,
}

impl<F: Fn(usize, &MemoryStore) + Sync> Watched<F> {
    fn new(inner: MemoryStore, before: F) -> Self {
        Watched {
            inner,
            calls: AtomicUsize::new(0),
            before,
            refuse: None,
        }
    }
    fn step(&self) -> &MemoryStore {
        (self.before)(self.calls.fetch_add(1, Ordering::SeqCst), &self.inner);
        &self.inner
    }
}

impl<F: Fn(usize, &MemoryStore) + Send + Sync> Store for Watched<F> {
    fn put_blob(&self, bytes: &[u8]) -> Result<BlobId, StoreError> {
        self.step().put_blob(bytes)
    }
    fn remove_blob(&self, id: &BlobId) -> Result<bool, StoreError> {
        if self.refuse == Some(*id) {
            return Err(StoreError::Retained {
                what: format!("blob {id}"),
                until: Some("2030-01-01".to_owned()),
            });
        }
        self.step().remove_blob(id)
    }
    fn get_blob(&self, id: &BlobId) -> Result<Vec<u8>, StoreError> {
        self.step().get_blob(id)
    }
    fn has_blob(&self, id: &BlobId) -> Result<bool, StoreError> {
        self.step().has_blob(id)
    }
    fn list_blobs(&self, after: Option<&BlobId>, limit: usize) -> Result<Vec<BlobId>, StoreError> {
        self.step().list_blobs(after, limit)
    }
    fn stored_blobs(&self, after: Option<&BlobId>, limit: usize) -> Result<Vec<StoredBlob>, StoreError> {
        self.step().stored_blobs(after, limit)
    }
    fn create(&self, key: &str, value: &[u8]) -> Result<Created, StoreError> {
        self.step().create(key, value)
    }
    fn replace(&self, key: &str, expected: &Version, value: &[u8]) -> Result<Replaced, StoreError> {
        self.step().replace(key, expected, value)
    }
    fn remove(&self, key: &str, expected: &Version) -> Result<Replaced, StoreError> {
        self.step().remove(key, expected)
    }
    fn transact(&self, operations: &[Operation<'_>]) -> Result<Transacted, StoreError> {
        self.step().transact(operations)
    }
    fn get(&self, key: &str) -> Result<Option<(Vec<u8>, Version)>, StoreError> {
        self.step().get(key)
    }
    fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>, StoreError> {
        self.step().list(prefix, after, limit)
    }
    fn entries(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.step().entries(prefix, after, limit)
    }
}
