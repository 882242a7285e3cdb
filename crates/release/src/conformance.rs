//! What every store is held to. A new adapter calls [`conformance`] in a test.
//!
//! Panics say which promise is broken. The number of rounds of the races follows `INFRA_ROLLBACK_TEST_SCALE`.

use std::collections::BTreeSet;
use std::sync::Barrier;

use crate::{
    BlobId, Created, Entry, Operation, Replaced, Store, StoreError, Transacted, Version, all_entries, all_keys, blobs,
};

const WRITERS: usize = 16;

/// Tries every promise of [`Store`] on stores that `make` gives. Each call of `make` gives a store in which no other
/// test writes; it may hold records and blobs of others.
pub fn conformance(make: &dyn Fn() -> Box<dyn Store>) {
    let store = make();
    let store = store.as_ref();
    blobs_are_addressed_by_content(store);
    blobs_are_listed_in_order(store);
    blobs_are_removed(store);
    like_blobs_come_back_exactly(store);
    records_are_created_once(store);
    records_change_only_from_what_was_seen(store);
    old_versions_never_come_back(store);
    keys_are_listed_in_byte_order(store);
    entries_are_keys_with_values(store);
    transactions_are_all_or_nothing(store);
    odd_transactions_are_refused(store);
    odd_keys_are_refused(store);
    values_come_back_exactly(store);
    let rounds = scale(20);
    for round in 0..rounds {
        one_of_many_creates_wins(store, round);
        one_of_many_replaces_wins(store, round);
        one_of_many_removes_wins(store, round);
        a_raised_counter_fences(store, round);
    }
    increments_are_not_lost(store, 25 * rounds.max(2) / 2);
    many_put_the_same_blob(store);
}

/// `count` times INFRA_ROLLBACK_TEST_SCALE (default 1), at least one: for suites whose figure grows with time given.
pub fn scale(count: usize) -> usize {
    let factor = std::env::var("INFRA_ROLLBACK_TEST_SCALE")
        .ok()
        .and_then(|text| text.parse::<f64>().ok());
    ((count as f64 * factor.unwrap_or(1.0)).round() as usize).max(1)
}

fn yes(created: Created) -> Version {
    match created {
        Created::Yes(version) => version,
        Created::Exists => panic!("a create found a record where none was"),
    }
}

fn changed(replaced: Replaced) -> Version {
    match replaced {
        Replaced::Yes(version) => version,
        Replaced::Changed => panic!("a replace of the version just seen was refused"),
    }
}

fn blobs_are_addressed_by_content(store: &dyn Store) {
    let large: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    for bytes in [&b""[..], b"a", b"\0\xff\xfe", &large] {
        let id = BlobId::of(bytes);
        let there = store.has_blob(&id).unwrap();
        if !there {
            let missing = store.get_blob(&id);
            assert!(
                matches!(missing, Err(StoreError::BlobMissing { id: named }) if named == id),
                "{missing:?}"
            );
        }
        assert_eq!(
            store.put_blob(bytes).unwrap(),
            id,
            "the address is the hash of the content"
        );
        assert_eq!(store.put_blob(bytes).unwrap(), id, "putting a blob twice is harmless");
        assert!(store.has_blob(&id).unwrap());
        assert!(store.get_blob(&id).unwrap() == bytes, "a blob comes back as it was");
    }
    let many: Vec<Vec<u8>> = (0..100_u32)
        .map(|number| format!("many {}", number / 2).into_bytes())
        .collect();
    let slices: Vec<&[u8]> = many.iter().map(Vec::as_slice).collect();
    let ids = store.put_blobs(&slices).unwrap();
    assert_eq!(
        ids,
        many.iter().map(|bytes| BlobId::of(bytes)).collect::<Vec<_>>(),
        "in the order given"
    );
    assert!(
        ids.iter()
            .zip(&many)
            .all(|(id, bytes)| store.get_blob(id).unwrap() == *bytes)
    );
    assert_eq!(store.put_blobs(&[]).unwrap(), []);
}

fn blobs_are_removed(store: &dyn Store) {
    let id = store.put_blob(b"conformance: to be removed").unwrap();
    let stored = store.stored_blobs(None, usize::MAX).unwrap();
    assert!(stored.is_sorted_by(|one, next| one.id < next.id));
    let found = stored.iter().find(|blob| blob.id == id).unwrap();
    let age = jiff::Timestamp::now().as_second() - found.written_at.as_second();
    assert!((-3600..3600).contains(&age), "written {age} s ago");
    assert!(found.stored_bytes > 0);
    assert!(store.remove_blob(&id).unwrap());
    assert!(!store.remove_blob(&id).unwrap(), "removing twice is harmless, and told");
    assert!(!store.has_blob(&id).unwrap());
    assert!(matches!(store.get_blob(&id), Err(StoreError::BlobMissing { .. })));
    let page = store.stored_blobs(Some(&stored[0].id), 2).unwrap();
    assert!(page.len() <= 2 && page.iter().all(|blob| blob.id > stored[0].id));
    assert_eq!(store.put_blob(b"conformance: to be removed").unwrap(), id);
}

fn like_blobs_come_back_exactly(store: &dyn Store) {
    let line = |number: usize, round: usize| {
        format!(
            "{{\"line\": {number}, \"value\": \"{:016x}\"}}\n",
            number * 7919 + round
        )
    };
    let version = |round: usize| -> Vec<u8> {
        (0..5_000)
            .flat_map(|number| line(number, if number % 97 == round { round } else { 0 }).into_bytes())
            .collect()
    };
    let mut like = None;
    let mut kept = Vec::new();
    for round in 0..40 {
        let bytes = version(round);
        let id = store.put_blob_like(&bytes, like.as_ref()).unwrap();
        assert_eq!(id, BlobId::of(&bytes));
        kept.push((id, bytes));
        like = Some(id);
    }
    for (id, bytes) in &kept {
        assert!(
            store.get_blob(id).unwrap() == *bytes,
            "a blob that is like another comes back as it was"
        );
        for base in store.blob_bases(id).unwrap() {
            assert_ne!(base, *id);
            assert!(store.has_blob(&base).unwrap());
        }
    }
    // What it is like matters to the space that it takes, never to what comes back.
    let other = store.put_blob_like(b"nothing like it", like.as_ref()).unwrap();
    assert_eq!(store.get_blob(&other).unwrap(), b"nothing like it");
    let same = store.put_blob_like(&kept[0].1, like.as_ref()).unwrap();
    assert_eq!(same, kept[0].0);
    assert!(
        store.get_blob(&same).unwrap() == kept[0].1,
        "no blob becomes its own base"
    );
    assert!(store.get_blob(&kept[39].0).unwrap() == kept[39].1);
}

fn blobs_are_listed_in_order(store: &dyn Store) {
    let ids: BTreeSet<BlobId> = (0..50_u8)
        .map(|number| store.put_blob(&[number, 77]).unwrap())
        .collect();
    let all: Vec<BlobId> = blobs(store).collect::<Result<_, _>>().unwrap();
    assert!(
        all.is_sorted_by(|one, next| one < next),
        "blobs are listed in ascending order, each once"
    );
    assert!(
        ids.iter().all(|id| all.binary_search(id).is_ok()),
        "every blob is listed"
    );
    let page = store.list_blobs(Some(&all[3]), 5).unwrap();
    assert_eq!(page, all[4..9], "a page begins after the address given");
    assert_eq!(store.list_blobs(all.last(), 5).unwrap(), []);
    assert_eq!(store.list_blobs(None, 0).unwrap(), []);
}

fn entries_are_keys_with_values(store: &dyn Store) {
    let prefix = "conformance/entries/";
    let mut expected = Vec::new();
    for name in ["a", "b/1", "b/2", "c"] {
        let key = format!("{prefix}{name}");
        let version = yes(store.create(&key, name.as_bytes()).unwrap());
        expected.push(Entry {
            key,
            value: name.as_bytes().to_vec(),
            version,
        });
    }
    assert_eq!(store.entries(prefix, None, 100).unwrap(), expected);
    assert_eq!(
        store.entries(prefix, Some(&expected[1].key), 1).unwrap(),
        expected[2..3]
    );
    assert_eq!(store.entries(prefix, None, 0).unwrap(), []);
    assert_eq!(all_entries(store, prefix).unwrap(), expected);
    assert_eq!(all_entries(store, &format!("{prefix}b/")).unwrap(), expected[1..3]);
}

fn transacted(transacted: Transacted) -> Vec<Version> {
    match transacted {
        Transacted::Yes(versions) => versions,
        Transacted::Refused { operation } => panic!("operation {operation} was refused though its condition holds"),
    }
}

fn transactions_are_all_or_nothing(store: &dyn Store) {
    let [counter, old, new, gone] =
        ["counter", "old", "new", "gone"].map(|name| format!("conformance/transact/{name}"));
    let one = yes(store.create(&counter, b"1").unwrap());
    let before = yes(store.create(&old, b"before").unwrap());
    let leaving = yes(store.create(&gone, b"leaving").unwrap());
    let all = |check: &Version, replaced: &Version, removed: &Version| {
        store
            .transact(&[
                Operation::Check {
                    key: &counter,
                    expected: check,
                },
                Operation::Create {
                    key: &new,
                    value: b"new",
                },
                Operation::Replace {
                    key: &old,
                    expected: replaced,
                    value: b"after",
                },
                Operation::Remove {
                    key: &gone,
                    expected: removed,
                },
            ])
            .unwrap()
    };
    let untouched = || {
        assert_eq!(
            store.get(&new).unwrap(),
            None,
            "nothing of a refused transaction is done"
        );
        assert_eq!(store.get(&old).unwrap(), Some((b"before".to_vec(), before.clone())));
        assert_eq!(store.get(&gone).unwrap(), Some((b"leaving".to_vec(), leaving.clone())));
        assert_eq!(store.get(&counter).unwrap(), Some((b"1".to_vec(), one.clone())));
    };
    let never = Version::new("no such version");
    assert_eq!(all(&never, &before, &leaving), Transacted::Refused { operation: 0 });
    untouched();
    assert_eq!(all(&one, &never, &leaving), Transacted::Refused { operation: 2 });
    untouched();
    assert_eq!(all(&one, &before, &never), Transacted::Refused { operation: 3 });
    untouched();
    let versions = transacted(all(&one, &before, &leaving));
    assert_eq!(versions.len(), 4);
    assert_eq!(
        store.get(&counter).unwrap(),
        Some((b"1".to_vec(), one.clone())),
        "a check writes nothing"
    );
    assert_eq!(versions[0], one);
    assert_eq!(store.get(&new).unwrap(), Some((b"new".to_vec(), versions[1].clone())));
    assert_eq!(store.get(&old).unwrap(), Some((b"after".to_vec(), versions[2].clone())));
    assert_eq!(store.get(&gone).unwrap(), None);
    assert_eq!(
        all(&one, &versions[2], &leaving),
        Transacted::Refused { operation: 1 },
        "it exists by now"
    );
    // The versions of a transaction are those of single writes.
    let _ = changed(store.replace(&new, &versions[1], b"newer").unwrap());
    assert_eq!(store.transact(&[]).unwrap(), Transacted::Yes(Vec::new()));
}

fn odd_transactions_are_refused(store: &dyn Store) {
    let version = Version::new("1");
    let create = |key| Operation::Create { key, value: b"x" };
    let twice = [
        create("conformance/odd/a"),
        Operation::Check {
            key: "conformance/odd/a",
            expected: &version,
        },
    ];
    assert!(
        matches!(store.transact(&twice), Err(StoreError::InvalidKey { .. })),
        "one key twice"
    );
    let release = [create("projects/p/releases/01935a3e-0000-7000-8000-000000000000")];
    assert!(matches!(store.transact(&release), Err(StoreError::InvalidKey { .. })));
    let bad = [create("conformance/odd/b"), create("../x")];
    assert!(matches!(store.transact(&bad), Err(StoreError::InvalidKey { .. })));
    let keys: Vec<String> = (0..=crate::MAXIMUM_OPERATIONS)
        .map(|number| format!("conformance/odd/many/{number}"))
        .collect();
    let many: Vec<Operation<'_>> = keys.iter().map(|key| create(key)).collect();
    assert!(matches!(store.transact(&many), Err(StoreError::TooLarge { .. })));
    assert_eq!(store.list("conformance/odd/", None, 9).unwrap(), Vec::<String>::new());
    let _ = transacted(store.transact(&many[1..]).unwrap());
    assert_eq!(
        all_keys(store, "conformance/odd/many/").unwrap().len(),
        crate::MAXIMUM_OPERATIONS
    );
}

/// Writers that hold an old counter get nothing in once it was raised, however the two race.
fn a_raised_counter_fences(store: &dyn Store, round: usize) {
    let prefix = format!("conformance/fence/{round}/");
    let (counter, journal) = (format!("{prefix}counter"), format!("{prefix}journal/"));
    let held = yes(store.create(&counter, b"1").unwrap());
    let barrier = Barrier::new(WRITERS + 1);
    let after_the_raise = std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (barrier, held, counter, journal) = (&barrier, &held, &counter, &journal);
            scope.spawn(move || {
                barrier.wait();
                for step in 0..3 {
                    let key = format!("{journal}{writer}-{step}");
                    let operations = [
                        Operation::Check {
                            key: counter,
                            expected: held,
                        },
                        Operation::Create { key: &key, value: b"x" },
                    ];
                    match store.transact(&operations).unwrap() {
                        Transacted::Yes(_) => {}
                        Transacted::Refused { operation } => assert_eq!(operation, 0),
                    }
                }
            });
        }
        barrier.wait();
        let _ = changed(store.replace(&counter, &held, b"2").unwrap());
        all_keys(store, &journal).unwrap()
    });
    let at_the_end = all_keys(store, &journal).unwrap();
    assert_eq!(
        after_the_raise, at_the_end,
        "something was written under an old counter"
    );
}

fn records_are_created_once(store: &dyn Store) {
    assert_eq!(store.get("conformance/once").unwrap(), None);
    let version = yes(store.create("conformance/once", b"first").unwrap());
    assert_eq!(store.create("conformance/once", b"second").unwrap(), Created::Exists);
    assert_eq!(
        store.create("conformance/once", b"first").unwrap(),
        Created::Exists,
        "the same value too"
    );
    assert_eq!(
        store.get("conformance/once").unwrap(),
        Some((b"first".to_vec(), version)),
        "nothing was overwritten"
    );
}

fn records_change_only_from_what_was_seen(store: &dyn Store) {
    let key = "conformance/replace";
    let nothing = store.replace(key, &Version::new("1"), b"x").unwrap();
    assert_eq!(nothing, Replaced::Changed, "what is not there is not replaced");
    assert_eq!(store.get(key).unwrap(), None, "and not made");
    assert_eq!(
        store.remove(key, &Version::new("1")).unwrap(),
        Replaced::Changed,
        "what is not there is not removed"
    );
    let first = yes(store.create(key, b"1").unwrap());
    let second = changed(store.replace(key, &first, b"2").unwrap());
    assert_ne!(first, second);
    assert_eq!(store.replace(key, &first, b"3").unwrap(), Replaced::Changed);
    assert_eq!(store.remove(key, &first).unwrap(), Replaced::Changed);
    assert_eq!(
        store.replace(key, &Version::new("no such version"), b"3").unwrap(),
        Replaced::Changed
    );
    assert_eq!(store.get(key).unwrap(), Some((b"2".to_vec(), second.clone())));
    let _ = changed(store.remove(key, &second).unwrap());
    assert_eq!(store.get(key).unwrap(), None);
    assert_eq!(store.remove(key, &second).unwrap(), Replaced::Changed);
}

fn old_versions_never_come_back(store: &dyn Store) {
    let key = "conformance/versions";
    let mut seen = Vec::new();
    for round in 0..5 {
        seen.push(yes(store.create(key, b"same").unwrap()));
        for value in [b"same", b"else", b"same"] {
            let next = changed(store.replace(key, &seen[seen.len() - 1], value).unwrap());
            assert!(
                !seen.contains(&next),
                "round {round}: {next:?} was given before, and the same bytes are another write"
            );
            seen.push(next);
        }
        for old in &seen[..seen.len() - 1] {
            assert_eq!(
                store.replace(key, old, b"stale").unwrap(),
                Replaced::Changed,
                "round {round}: {old:?}"
            );
            assert_eq!(
                store.remove(key, old).unwrap(),
                Replaced::Changed,
                "round {round}: {old:?}"
            );
        }
        let _ = changed(store.remove(key, &seen[seen.len() - 1]).unwrap());
    }
}

fn keys_are_listed_in_byte_order(store: &dyn Store) {
    let prefix = "conformance/list/";
    // Upper case before lower case, `-` before digits, a key that is another one's prefix before it.
    let names = [
        "%41", "-", "0", "00", "1", "A", "B/1", "B/2", "B0", "Z", "_", "a", "a-b", "aa", "b", "zz",
    ];
    for name in names.iter().rev() {
        let _ = yes(store.create(&format!("{prefix}{name}"), name.as_bytes()).unwrap());
    }
    let mut expected: Vec<String> = names.iter().map(|name| format!("{prefix}{name}")).collect();
    expected.sort();
    assert_eq!(store.list(prefix, None, 100).unwrap(), expected);
    assert_eq!(all_keys(store, prefix).unwrap(), expected);
    assert_eq!(store.list(prefix, None, 0).unwrap(), Vec::<String>::new());
    for size in 1..=expected.len() + 1 {
        let (mut up, mut down): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
        loop {
            let page = store.list(prefix, up.last().map(String::as_str), size).unwrap();
            assert!(page.len() <= size);
            if page.is_empty() {
                break;
            }
            up.extend(page);
        }
        loop {
            let page = store
                .list_newest(prefix, down.last().map(String::as_str), size)
                .unwrap();
            assert!(page.len() <= size);
            if page.is_empty() {
                break;
            }
            down.extend(page);
        }
        assert_eq!(up, expected, "pages of {size}");
        down.reverse();
        assert_eq!(down, expected, "pages of {size}, newest first");
    }
    let of_b = [format!("{prefix}B/1"), format!("{prefix}B/2")];
    assert_eq!(store.list(&format!("{prefix}B/"), None, 9).unwrap(), of_b);
    assert_eq!(
        store
            .list(&format!("{prefix}B/"), Some(&format!("{prefix}A")), 9)
            .unwrap(),
        of_b,
        "after is before it"
    );
    assert_eq!(
        store
            .list(&format!("{prefix}B/"), Some(&format!("{prefix}Z")), 9)
            .unwrap(),
        Vec::<String>::new()
    );
    assert_eq!(
        store
            .list_newest(&format!("{prefix}B/"), Some(&format!("{prefix}Z")), 9)
            .unwrap()
            .len(),
        2
    );
    assert_eq!(
        store
            .list_newest(&format!("{prefix}B/"), Some(&format!("{prefix}A")), 9)
            .unwrap(),
        Vec::<String>::new()
    );
    // Anything that could be a wildcard of the store behind is none.
    assert_eq!(
        store.list("conformance/list/%", None, 9).unwrap(),
        [format!("{prefix}%41")]
    );
    assert_eq!(
        store.list("conformance/list/_", None, 9).unwrap(),
        [format!("{prefix}_")]
    );
    assert_eq!(
        store.list("conformance/list/B/1", Some(&of_b[0]), 9).unwrap(),
        Vec::<String>::new()
    );
}

fn odd_keys_are_refused(store: &dyn Store) {
    for key in [
        "",
        "/",
        "/a",
        "a/",
        "a//b",
        "../a",
        "a/../b",
        "a b",
        "a\0b",
        "é",
        &"k".repeat(801),
    ] {
        let refused = |error: StoreError| assert!(matches!(error, StoreError::InvalidKey { .. }), "{key:?}: {error}");
        refused(store.create(key, b"").unwrap_err());
        refused(store.replace(key, &Version::new("1"), b"").unwrap_err());
        refused(store.remove(key, &Version::new("1")).unwrap_err());
        refused(store.get(key).unwrap_err());
    }
    let longest = format!("conformance/{}", "k".repeat(788));
    let _ = yes(store.create(&longest, b"").unwrap());
}

fn values_come_back_exactly(store: &dyn Store) {
    let large = vec![b'x'; 2 << 20];
    for (number, value) in [&b""[..], b"\0", b"\xff\xfe\0\r\n", &large].into_iter().enumerate() {
        let key = format!("conformance/values/{number}");
        let version = yes(store.create(&key, value).unwrap());
        let (there, same) = store.get(&key).unwrap().unwrap();
        assert!(there == value && same == version);
    }
}

/// Lets many threads do the same at the same moment and gives what each of them got.
fn at_once<T: Send>(count: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let barrier = Barrier::new(count);
    std::thread::scope(|scope| {
        let start = |number| {
            let (barrier, work) = (&barrier, &work);
            scope.spawn(move || {
                barrier.wait();
                work(number)
            })
        };
        let threads: Vec<_> = (0..count).map(start).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

fn one_of_many_creates_wins(store: &dyn Store, round: usize) {
    let key = format!("conformance/race/create/{round}");
    let answers = at_once(WRITERS, |number| {
        store.create(&key, format!("writer {number}").as_bytes()).unwrap()
    });
    let winners: Vec<usize> = (0..WRITERS)
        .filter(|number| answers[*number] != Created::Exists)
        .collect();
    assert_eq!(winners.len(), 1, "round {round}: writers {winners:?} all created {key}");
    let (value, version) = store.get(&key).unwrap().unwrap();
    assert_eq!(
        value,
        format!("writer {}", winners[0]).into_bytes(),
        "what is there is the winner's"
    );
    assert_eq!(answers[winners[0]], Created::Yes(version), "the version too");
}

fn one_of_many_replaces_wins(store: &dyn Store, round: usize) {
    let key = format!("conformance/race/replace/{round}");
    let seen = yes(store.create(&key, b"before").unwrap());
    let replace = |number: usize| {
        store
            .replace(&key, &seen, format!("writer {number}").as_bytes())
            .unwrap()
    };
    let answers = at_once(WRITERS, replace);
    let winners: Vec<usize> = (0..WRITERS)
        .filter(|number| answers[*number] != Replaced::Changed)
        .collect();
    assert_eq!(
        winners.len(),
        1,
        "round {round}: writers {winners:?} all replaced {key}"
    );
    let (value, version) = store.get(&key).unwrap().unwrap();
    assert_eq!(value, format!("writer {}", winners[0]).into_bytes());
    assert_eq!(answers[winners[0]], Replaced::Yes(version));
}

fn one_of_many_removes_wins(store: &dyn Store, round: usize) {
    let key = format!("conformance/race/remove/{round}");
    let seen = yes(store.create(&key, b"before").unwrap());
    // Half of them remove, half of them replace what they saw.
    let answers = at_once(WRITERS, |number| match number % 2 {
        0 => store.remove(&key, &seen).unwrap(),
        _ => store.replace(&key, &seen, b"after").unwrap(),
    });
    let winners: Vec<usize> = (0..WRITERS)
        .filter(|number| answers[*number] != Replaced::Changed)
        .collect();
    assert_eq!(
        winners.len(),
        1,
        "round {round}: {winners:?} all removed or replaced {key}"
    );
    assert_eq!(store.get(&key).unwrap().is_none(), winners[0].is_multiple_of(2));
}

/// Read, add one, replace if unchanged, else again: as many as were said to be done are there at the end.
fn increments_are_not_lost(store: &dyn Store, each: usize) {
    let (writers, key) = (4, "conformance/race/counter");
    let _ = yes(store.create(key, b"0").unwrap());
    at_once(writers, |_| {
        for _ in 0..each {
            loop {
                let (value, version) = store.get(key).unwrap().unwrap();
                let number: usize = String::from_utf8(value).unwrap().parse().unwrap();
                if store
                    .replace(key, &version, (number + 1).to_string().as_bytes())
                    .unwrap()
                    != Replaced::Changed
                {
                    break;
                }
            }
        }
    });
    let (value, _) = store.get(key).unwrap().unwrap();
    assert_eq!(
        String::from_utf8(value).unwrap(),
        (writers * each).to_string(),
        "increments were lost"
    );
}

fn many_put_the_same_blob(store: &dyn Store) {
    let bytes = b"the same for all".repeat(10_000);
    let ids = at_once(WRITERS, |_| {
        let id = store.put_blob(&bytes).unwrap();
        // Whoever was told that it is there can read it at once.
        assert!(store.get_blob(&id).unwrap() == bytes);
        id
    });
    assert!(ids.iter().all(|id| *id == BlobId::of(&bytes)));
}
