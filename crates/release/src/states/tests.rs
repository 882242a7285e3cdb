use super::*;
use crate::MemoryStore;
use serde_json::json;

fn state(serial: u64, lineage: &str, what: &str) -> Vec<u8> {
    json!({
        "version": 4, "terraform_version": "1.11.4", "serial": serial, "lineage": lineage,
        "outputs": { "what": { "value": what, "type": "string" } }, "resources": [], "check_results": null,
    })
    .to_string()
    .into_bytes()
}

fn lock(id: &str) -> StateLock {
    StateLock {
        id: id.to_owned(),
        info: json!({ "ID": id, "Who": "ann@laptop" }),
        actor: "ann".to_owned(),
        since: Timestamp::now(),
    }
}

fn under(id: &str) -> Writer {
    Writer {
        actor: "ann".to_owned(),
        lock_id: Some(id.to_owned()),
        commit: None,
    }
}

#[test]
fn every_write_is_a_version_that_stays() {
    let store = MemoryStore::default();
    let states = States::new(&store, "p", "app", "default");
    assert_eq!(states.current().unwrap(), None);
    for serial in 1..=3 {
        let written = states
            .write(&state(serial, "l", "x"), &Writer::default())
            .expect("nobody holds it");
        assert_eq!(written.number, serial);
    }
    states.delete(&Writer::default()).unwrap();
    assert_eq!(states.current().unwrap(), None);
    let versions = states.versions(None, 10).unwrap();
    assert_eq!(versions.iter().map(|one| one.number).collect::<Vec<_>>(), [4, 3, 2, 1]);
    assert!(versions[0].state.is_none());
    assert_eq!(states.bytes(&versions[3]).unwrap(), state(1, "l", "x"));
    assert_eq!(states.versions(Some(3), 1).unwrap()[0].number, 2);
    assert_eq!(states.version(2).unwrap().unwrap().number, 2);
    // After a deletion another lineage may begin.
    states.write(&state(1, "m", "y"), &Writer::default()).unwrap();
}

#[test]
fn what_may_not_follow_is_refused() {
    let store = MemoryStore::default();
    let states = States::new(&store, "p", "app", "default");
    states.write(&state(5, "l", "x"), &Writer::default()).unwrap();
    let write = |bytes: &[u8]| states.write(bytes, &Writer::default());
    assert_eq!(
        write(&state(5, "l", "x")).unwrap().number,
        1,
        "a repetition is no version"
    );
    assert!(matches!(write(&state(5, "l", "y")), Err(StateRefusal::Serial { .. })));
    assert!(matches!(write(&state(4, "l", "x")), Err(StateRefusal::Serial { .. })));
    assert!(matches!(write(&state(9, "m", "x")), Err(StateRefusal::Lineage { .. })));
    assert!(matches!(write(&state(9, "", "x")), Err(StateRefusal::Lineage { .. })));
    for bytes in [&b""[..], b"{}", b"no", b"{\"version\":5}"] {
        assert!(matches!(write(bytes), Err(StateRefusal::NotAState(_))), "{bytes:?}");
    }
    assert_eq!(states.versions(None, 10).unwrap().len(), 1);
}

#[test]
fn only_the_holder_of_the_lock_writes() {
    let store = MemoryStore::default();
    let states = States::new(&store, "p", "app", "default");
    states.acquire(&lock("a")).unwrap();
    states.acquire(&lock("a")).expect("its answer was lost");
    assert!(matches!(states.acquire(&lock("b")), Err(StateRefusal::Locked(held)) if held.id == "a"));
    assert!(matches!(states.release(Some("b")), Err(StateRefusal::Locked(_))));
    for writer in [under("b"), Writer::default()] {
        assert!(matches!(
            states.write(&state(1, "l", "x"), &writer),
            Err(StateRefusal::Locked(_))
        ));
        assert!(matches!(states.delete(&writer), Err(StateRefusal::Locked(_))));
    }
    states.write(&state(1, "l", "x"), &under("a")).unwrap();
    assert_eq!(states.release(None).unwrap().unwrap().id, "a", "forced");
    assert!(matches!(
        states.write(&state(2, "l", "x"), &under("a")),
        Err(StateRefusal::NotLocked { .. })
    ));
    assert_eq!(states.release(Some("a")).unwrap(), None, "given back twice");
}

#[test]
fn all_states_are_found_past_their_versions() {
    let store = MemoryStore::default();
    for (stack, workspace) in [("app", "default"), ("app", "dev"), ("a/b", "ö")] {
        let states = States::new(&store, "p", stack, workspace);
        for serial in 1..=12 {
            states.write(&state(serial, "l", "x"), &Writer::default()).unwrap();
        }
    }
    States::new(&store, "p", "locked", "w").acquire(&lock("a")).unwrap();
    let found: Vec<_> = written_states(&store, "p")
        .unwrap()
        .into_iter()
        .map(|(stack, workspace, lock)| (stack, workspace, lock.is_some()))
        .collect();
    let expected = [
        ("a/b", "ö", false),
        ("app", "default", false),
        ("app", "dev", false),
        ("locked", "w", true),
    ];
    assert_eq!(found, expected.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c)));
}

#[test]
fn the_highest_serial_outlives_the_deletion_of_its_state() {
    let store = MemoryStore::default();
    let states = States::new(&store, "p", "app", "default");
    assert_eq!(states.highest_serial().unwrap(), 0);
    states.write(&state(40, "l", "x"), &Writer::default()).unwrap();
    states.delete(&Writer::default()).unwrap();
    states.write(&state(3, "l", "x"), &Writer::default()).unwrap();
    assert_eq!(states.highest_serial().unwrap(), 40);
    assert_eq!(
        States::new(&store, "p", "app", "dev").highest_serial().unwrap(),
        0,
        "another workspace is another state"
    );
}

#[test]
fn of_writers_at_once_each_serial_is_won_by_one() {
    let store = MemoryStore::default();
    std::thread::scope(|scope| {
        for writer in 0..8 {
            let store = &store;
            scope.spawn(move || {
                let states = States::new(store, "p", "app", "default");
                let writer = writer.to_string();
                for _ in 0..20 {
                    let id = lock(&writer);
                    while states.acquire(&id).is_err() {
                        std::thread::yield_now();
                    }
                    let serial = states
                        .current()
                        .unwrap()
                        .and_then(|now| now.state)
                        .map_or(0, |state| state.serial);
                    states.write(&state(serial + 1, "l", &writer), &under(&writer)).unwrap();
                    states.release(Some(&writer)).unwrap();
                }
            });
        }
    });
    let states = States::new(&store, "p", "app", "default");
    let versions = states.versions(None, 1000).unwrap();
    assert_eq!(versions.len(), 160);
    assert_eq!(versions[0].state.as_ref().unwrap().serial, 160);
}
