//! Every call to S3 and DynamoDB fails in every way: what is said to be done is done, and repeating gets there.

mod common;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use common::faulty::{Fault, Lasting, Plan};
use common::{Servers, store};
use rollback_release::conformance::scale;
use rollback_release::{
    BlobId, Catalogue, Created, Operation, Release, Replaced, Salt, StackParts, Store, StoreError, Transacted, Version,
    write_stack,
};
use rollback_state::State;
use rollback_store_aws::connect::{Clients, http_client};
use rollback_store_aws::{AwsStore, Patience};

/// Enough to outlast one fault, and fast.
fn impatient() -> Patience {
    Patience {
        attempts: 3,
        refusals: 3,
        first_wait: Duration::from_millis(1),
        longest_wait: Duration::from_millis(2),
        ..Patience::default()
    }
}

/// A store in which nothing fails, and the same one through a network of one's choice.
struct Bench {
    sound: AwsStore,
    faulty: AwsStore,
    plan: Plan,
    names: AtomicU64,
}

impl Bench {
    fn new(servers: &Servers) -> Bench {
        let sound = store(servers);
        let plan = Plan::default();
        let clients = Clients::connect_through(&sound.location().access, plan.client(http_client())).unwrap();
        Bench {
            faulty: AwsStore::with(sound.location(), clients, impatient()).unwrap(),
            sound,
            plan,
            names: AtomicU64::new(0),
        }
    }

    fn name(&self) -> u64 {
        self.names.fetch_add(1, Ordering::SeqCst)
    }

    /// Does `work` once for each of its calls, fault and duration. `work` gets the store that fails and a number of its
    /// own, and tells whether it was said to be done; `check` is told that and looks at the truth.
    fn every_fault(
        &self,
        what: &str,
        prepare: impl Fn(u64),
        work: impl Fn(&AwsStore, u64) -> Result<(), String>,
        check: impl Fn(u64, bool, &str),
    ) {
        let number = self.name();
        prepare(number);
        self.plan.rest();
        work(&self.faulty, number).unwrap();
        check(number, true, what);
        let calls = self.plan.rest();
        assert!(calls > 0);
        // In the short form a workload of many calls meets each fault at some of them.
        let stride = if calls < 8 || scale(10) > 10 { 1 } else { 11 };
        for call in 1..=calls {
            for (index, fault) in Fault::ALL.into_iter().enumerate() {
                for lasting in [Lasting::Once, Lasting::Ever] {
                    let turn = call + index as u64 + if lasting == Lasting::Ever { 2 } else { 0 };
                    if !turn.is_multiple_of(stride) {
                        continue;
                    }
                    let context = format!("{what}: call {call} of {calls}, {fault:?} {lasting:?}");
                    let number = self.name();
                    prepare(number);
                    self.plan.fail(call, fault, lasting);
                    let done = work(&self.faulty, number);
                    self.plan.rest();
                    assert!(
                        done.is_ok() || lasting == Lasting::Ever || is_hard(fault),
                        "{context}: one fault is outlasted: {done:?}"
                    );
                    check(number, done.is_ok(), &context);
                    // Again, as a person would: it gets there.
                    if done.is_err() {
                        let again = work(&self.faulty, number);
                        self.plan.rest();
                        assert!(again.is_ok(), "{context}: again: {again:?}");
                        check(number, true, &context);
                    }
                }
            }
        }
    }
}

/// Faults after which a call may fail though it happened once: nothing helps against a 403, and whoever removes a
/// record twice cannot tell who removed it.
fn is_hard(fault: Fault) -> bool {
    use Fault::{CutOff, Denied, DoneAndInternalError, DoneAndReset, DoneAndSlow, Twice};
    matches!(
        fault,
        Denied | Twice | DoneAndReset | DoneAndSlow | DoneAndInternalError | CutOff
    )
}

fn said(error: StoreError) -> String {
    format!("{error} ({:?})", error.hint())
}

fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..length).map(|_| random.u8(..)).collect()
}

fn yes(created: Created) -> Version {
    match created {
        Created::Yes(version) => version,
        Created::Exists => panic!("a create found a record where none was"),
    }
}

/// Creates a record as the port's callers do: one that is there already with this value is one's own.
fn create(store: &AwsStore, key: &str, value: &[u8]) -> Result<(), String> {
    match store.create(key, value).map_err(said)? {
        Created::Yes(_) => Ok(()),
        Created::Exists => match store.get(key).map_err(said)? {
            Some((there, _)) if there == value => Ok(()),
            other => Err(format!("it exists as {:?}", other.map(|(value, _)| value.len()))),
        },
    }
}

#[test]
fn creating() {
    let Some(servers) = Servers::best() else { return };
    let bench = Bench::new(&servers);
    for (what, folder, length) in [
        ("create an item", "runs", 10),
        ("create an item whose value is an object", "runs", 400_000),
        ("create a manifest", "releases", 10),
    ] {
        let key = |number| format!("projects/p/{folder}/{number}");
        let value = |number| noise(number, length);
        bench.every_fault(
            what,
            |_| (),
            |store, number| create(store, &key(number), &value(number)),
            |number, done, context| {
                let there = bench.sound.get(&key(number)).unwrap();
                assert!(there.is_some() || !done, "{context}: said to be done and is not");
                assert!(
                    there.is_none_or(|(there, _)| there == value(number)),
                    "{context}: half of it"
                );
            },
        );
    }
}

/// A create, with nobody else there, never finds the record taken.
#[test]
fn ones_own_write_is_not_taken_for_anothers() {
    let Some(servers) = Servers::best() else { return };
    let bench = Bench::new(&servers);
    for folder in ["runs", "releases"] {
        for fault in Fault::ALL {
            let key = format!("projects/p/{folder}/{}", bench.name());
            bench.plan.fail(1, fault, Lasting::Once);
            let created = bench.faulty.create(&key, b"mine");
            bench.plan.rest();
            match created {
                Ok(Created::Yes(version)) => {
                    assert_eq!(
                        bench.sound.get(&key).unwrap(),
                        Some((b"mine".to_vec(), version)),
                        "{key} {fault:?}"
                    );
                }
                Ok(Created::Exists) => panic!("{key} {fault:?}: its own write is called another's"),
                Err(_) => assert_eq!(fault, Fault::Denied, "{key}: one fault is outlasted"),
            }
        }
    }
}

#[test]
fn replacing_and_removing() {
    let Some(servers) = Servers::best() else { return };
    let bench = Bench::new(&servers);
    for (what, folder, length) in [
        ("replace and remove an item", "runs", 10),
        ("replace and remove an item whose value is an object", "runs", 400_000),
        ("replace and remove a manifest", "releases", 10),
    ] {
        let key = |number| format!("projects/p/{folder}/{number}");
        bench.every_fault(
            what,
            |number| drop(yes(bench.sound.create(&key(number), b"before").unwrap())),
            |store, number| {
                let after = noise(number, length);
                let Some((value, version)) = store.get(&key(number)).map_err(said)? else {
                    return Ok(());
                };
                let version = if value == after {
                    version
                } else {
                    match store.replace(&key(number), &version, &after).map_err(said)? {
                        Replaced::Yes(version) => version,
                        Replaced::Changed => panic!("{what}: nobody else is there to change it"),
                    }
                };
                match store.remove(&key(number), &version).map_err(said)? {
                    Replaced::Yes(_) => Ok(()),
                    // A removal that was delivered twice: nothing is there any more that could tell whose it was.
                    Replaced::Changed => Err("it was removed meanwhile".to_owned()),
                }
            },
            |number, done, context| {
                let there = bench.sound.get(&key(number)).unwrap();
                assert!(there.is_none() || !done, "{context}: said to be removed and is not");
                let whole = |value: &Vec<u8>| value == b"before" || *value == noise(number, length);
                assert!(there.is_none_or(|(value, _)| whole(&value)), "{context}: half of it");
            },
        );
    }
}

#[test]
fn transactions() {
    let Some(servers) = Servers::best() else { return };
    let bench = Bench::new(&servers);
    let key = |name: &str, number| format!("projects/p/{name}/{number}");
    let large = noise(7, 400_000);
    bench.every_fault(
        "a transaction",
        |number| {
            for name in ["counter", "old", "gone"] {
                let _ = yes(bench.sound.create(&key(name, number), b"before").unwrap());
            }
        },
        |store, number| {
            let [counter, old, gone, new] = ["counter", "old", "gone", "new"].map(|name| key(name, number));
            let get = |key: &str| store.get(key).map_err(said);
            // Whoever repeats it looks first.
            let (Some((_, gone_version)), Some((_, old_version))) = (get(&gone)?, get(&old)?) else {
                return Ok(());
            };
            let Some((_, fence)) = get(&counter)? else {
                return Err("no counter".to_owned());
            };
            let operations = [
                Operation::Check {
                    key: &counter,
                    expected: &fence,
                },
                Operation::Create {
                    key: &new,
                    value: &large,
                },
                Operation::Replace {
                    key: &old,
                    expected: &old_version,
                    value: b"after",
                },
                Operation::Remove {
                    key: &gone,
                    expected: &gone_version,
                },
            ];
            match store.transact(&operations).map_err(said)? {
                Transacted::Yes(versions) => {
                    assert_eq!(bench.sound.get(&new).unwrap().unwrap().1, versions[1]);
                    assert_eq!(bench.sound.get(&old).unwrap().unwrap().1, versions[2]);
                    Ok(())
                }
                Transacted::Refused { operation } => panic!("operation {operation}: nobody else is there"),
            }
        },
        |number, done, context| {
            let value = |name| bench.sound.get(&key(name, number)).unwrap().map(|(value, _)| value);
            let is_done = value("gone").is_none();
            assert!(is_done || !done, "{context}: said to be done and is not");
            assert!(value("new") == is_done.then(|| large.clone()), "{context}: half of it");
            let expected: &[u8] = if is_done { b"after" } else { b"before" };
            assert!(value("old").unwrap() == expected, "{context}: half of it");
        },
    );
}

#[test]
fn blobs() {
    let Some(servers) = Servers::best() else { return };
    let bench = Bench::new(&servers);
    let content = |number: u64| [noise(number, 50_000), noise(number + 1_000_000, 20_000), noise(3, 9)];
    bench.every_fault(
        "put, get and remove blobs",
        |number| {
            // What is like another stands on it.
            bench.sound.put_blob(&content(number)[0]).unwrap();
        },
        |store, number| {
            let [base, other, small] = content(number);
            let changed = [base.as_slice(), b"changed"].concat();
            let id = store.put_blob_like(&changed, Some(&BlobId::of(&base))).map_err(said)?;
            let ids = store.put_blobs(&[&other, &small, &other]).map_err(said)?;
            assert_eq!(ids, [BlobId::of(&other), BlobId::of(&small), BlobId::of(&other)]);
            assert!(store.get_blob(&id).map_err(said)? == changed);
            assert!(store.has_blob(&ids[0]).map_err(said)?);
            let all = store.stored_blobs(None, usize::MAX).map_err(said)?;
            assert!(all.iter().any(|blob| blob.id == ids[0]));
            store.remove_blob(&ids[0]).map_err(said)?;
            Ok(())
        },
        |number, done, context| {
            let [base, other, small] = content(number);
            let changed = [base.as_slice(), b"changed"].concat();
            for (bytes, must) in [(&base, true), (&changed, done), (&small, done), (&other, false)] {
                match bench.sound.get_blob(&BlobId::of(bytes)) {
                    Ok(there) => assert!(there == *bytes, "{context}"),
                    Err(StoreError::BlobMissing { .. }) => assert!(!must, "{context}: said to be done and is not"),
                    Err(error) => panic!("{context}: {error}"),
                }
            }
            assert!(
                !done || !bench.sound.has_blob(&BlobId::of(&other)).unwrap(),
                "{context}: said to be removed"
            );
        },
    );
}

#[test]
fn listings() {
    let Some(servers) = Servers::best() else { return };
    let bench = Bench::new(&servers);
    let mut expected = Vec::new();
    for number in 0..3 {
        for folder in ["runs", "releases"] {
            let key = format!("projects/p/{folder}/{number}");
            let value = noise(number, if number == 2 { 400_000 } else { 10 });
            let _ = yes(bench.sound.create(&key, &value).unwrap());
            expected.push((key, value));
        }
    }
    expected.sort();
    bench.every_fault(
        "list",
        |_| (),
        |store, _| {
            for prefix in ["projects/p/", ""] {
                let wanted: Vec<_> = expected.iter().filter(|(key, _)| key.starts_with(prefix)).collect();
                let keys = store.list(prefix, None, 100).map_err(said)?;
                assert!(keys.iter().eq(wanted.iter().map(|(key, _)| key)), "a part is no answer");
                let newest = store.list_newest(prefix, None, 4).map_err(said)?;
                assert!(newest.iter().eq(wanted.iter().rev().take(4).map(|(key, _)| key)));
                let entries = store.entries(prefix, None, 100).map_err(said)?;
                assert!(
                    entries
                        .iter()
                        .map(|entry| (&entry.key, &entry.value))
                        .eq(wanted.iter().map(|(key, value)| (key, value)))
                );
            }
            Ok(())
        },
        |_, _, _| (),
    );
}

const COMMIT: &str = "1234567890abcdef1234567890abcdef12345678";

fn snapshot(store: &dyn Store, release: &Release, number: u64) -> Result<(), String> {
    let state = State::parse(format!(
        r#"{{"version":4,"terraform_version":"1.11.4","serial":{number},"lineage":"l","outputs":{{}},"resources":[]}}"#
    ))
    .unwrap();
    let parts = StackParts {
        name: "app".to_owned(),
        state: Some(state),
        configuration: BTreeMap::from([
            ("main.tf".to_owned(), format!("# {number}").into_bytes()),
            ("other.tf".to_owned(), format!("# other {number}").into_bytes()),
        ]),
        ..StackParts::default()
    };
    let write = || -> Result<(), Box<dyn std::error::Error>> {
        let stack = write_stack(&parts, &Salt::of_project(store, "p")?, store)?;
        Catalogue::new(store, "p").commit(&Release {
            stacks: vec![stack],
            ..release.clone()
        })?;
        Ok(())
    };
    write().map_err(|error| error.to_string())
}

#[test]
fn snapshots() {
    let Some(servers) = Servers::best() else { return };
    let bench = Bench::new(&servers);
    let releases: std::cell::RefCell<BTreeMap<u64, Release>> = Default::default();
    bench.every_fault(
        "a snapshot",
        |number| drop(releases.borrow_mut().insert(number, Release::new(COMMIT, "me"))),
        |store, number| snapshot(store, &releases.borrow()[&number].clone(), number),
        |number, done, context| {
            let catalogue = Catalogue::new(&bench.sound, "p");
            let id = releases.borrow()[&number].id.clone();
            match catalogue.get(&id) {
                Ok(release) => {
                    for blob in release.blobs() {
                        bench
                            .sound
                            .get_blob(&blob)
                            .unwrap_or_else(|error| panic!("{context}: {error}"));
                    }
                }
                Err(error) => assert!(!done, "{context}: said to be done: {error}"),
            }
        },
    );
}

/// A server that takes the connection and never answers does not hold anybody up for ever.
#[test]
fn a_server_that_never_answers_is_given_up() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let url = format!("s3://acme-rollback?region=us-east-1&endpoint=http://{address}");
    let location = rollback_store_aws::Location::parse(&url).unwrap();
    let patience = Patience {
        record_attempt: Duration::from_millis(100),
        object_attempt: Duration::from_millis(100),
        ..impatient()
    };
    let store = AwsStore::with(&location, Clients::connect(&location.access).unwrap(), patience).unwrap();
    let started = std::time::Instant::now();
    for error in [
        store.get("projects/p/x").unwrap_err(),
        store.put_blob(b"x").unwrap_err(),
    ] {
        assert!(
            error.to_string().contains("no answer came in time") || error.to_string().contains("credentials"),
            "{error}"
        );
        assert!(error.is_transient(), "{error}");
    }
    assert!(started.elapsed() < Duration::from_secs(10));
    drop(listener);
}

/// Writers that race while calls fail at random: of each record exactly one is told that it made it.
#[test]
fn races_with_faults_have_one_winner() {
    let Some(servers) = Servers::best() else { return };
    let seed = std::env::var("INFRA_ROLLBACK_TEST_SEED")
        .ok()
        .and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    let bench = Bench::new(&servers);
    let plans: Vec<(Plan, AwsStore)> = (0..8)
        .map(|_| {
            let plan = Plan::default();
            let clients = Clients::connect_through(&bench.sound.location().access, plan.client(http_client())).unwrap();
            (
                plan,
                AwsStore::with(bench.sound.location(), clients, impatient()).unwrap(),
            )
        })
        .collect();
    for round in 0..scale(15) as u64 {
        for folder in ["runs", "releases"] {
            let key = format!("projects/p/{folder}/{round}");
            let answers: Vec<Option<Created>> = std::thread::scope(|scope| {
                let race = |(number, (plan, store)): (usize, &'_ (Plan, AwsStore))| {
                    let mut random = fastrand::Rng::with_seed(seed ^ (round << 8) ^ number as u64);
                    let fault = Fault::ALL[random.usize(..Fault::ALL.len())];
                    let (plan, store, key) = (plan.clone(), store.clone(), key.clone());
                    scope.spawn(move || {
                        plan.fail(random.u64(1..3), fault, Lasting::Once);
                        store.create(&key, number.to_string().as_bytes()).ok()
                    })
                };
                let threads: Vec<_> = plans.iter().enumerate().map(race).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            let context = format!("INFRA_ROLLBACK_TEST_SEED={seed}, {key}: {answers:?}");
            let winners: Vec<usize> = (0..8)
                .filter(|number| matches!(answers[*number], Some(Created::Yes(_))))
                .collect();
            assert!(winners.len() <= 1, "{context}");
            let there = bench.sound.get(&key).unwrap();
            if let [winner] = winners[..] {
                assert!(
                    there.as_ref().unwrap().0 == winner.to_string().into_bytes(),
                    "{context}"
                );
            }
            // Whoever was told that it exists was told the truth.
            assert!(
                there.is_some() || !answers.contains(&Some(Created::Exists)),
                "{context}"
            );
        }
    }
}
