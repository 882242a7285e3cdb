//! What every store is held to. A new adapter calls [`conformance`] in a test.
//!
//! Panics say which promise is broken. The number of rounds of the races follows `INFRA_ROLLBACK_TEST_SCALE`.

use std::collections::BTreeSet;
use std::sync::Barrier;

use crate::{BlobId, Created, Replaced, Store, StoreError, Version, all_keys, blobs};

const WRITERS: usize = 16;

/// Tries every promise of [`Store`] on stores that `make` gives. Each call of `make` gives a store in which no other
/// test writes; it may hold records and blobs of others.
pub fn conformance(make: &dyn Fn() -> Box<dyn Store>) {
    let store = make();
    let store = store.as_ref();
    blobs_are_addressed_by_content(store);
    blobs_are_listed_in_order(store);
    records_are_created_once(store);
    records_change_only_from_what_was_seen(store);
    old_versions_never_come_back(store);
    keys_are_listed_in_byte_order(store);
    odd_keys_are_refused(store);
    values_come_back_exactly(store);
    let rounds = scale(20);
    for round in 0..rounds {
        one_of_many_creates_wins(store, round);
        one_of_many_replaces_wins(store, round);
        one_of_many_removes_wins(store, round);
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
