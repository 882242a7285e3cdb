//! Several processes with one store. The children are this very test binary.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::*;

const HOME: &str = "ROLLBACK_STORE_LOCAL_TEST_HOME";

/// This binary with one test of this crate; that test does its work only then.
pub(super) fn command(test: &str, home: &Path, argument: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", test, "--nocapture", "--test-threads", "1"])
        .env(HOME, home)
        .env("ROLLBACK_STORE_LOCAL_TEST_ARGUMENT", argument)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}

pub(super) fn child(test: &str, home: &Path, argument: &str) -> Child {
    command(test, home, argument).spawn().unwrap()
}

/// The home and the argument, where this process is such a child.
pub(super) fn as_child() -> Option<(std::path::PathBuf, String)> {
    let home = std::env::var_os(HOME)?;
    Some((
        home.into(),
        std::env::var("ROLLBACK_STORE_LOCAL_TEST_ARGUMENT").unwrap(),
    ))
}

#[test]
fn child_counts() {
    let Some((home, rounds)) = as_child() else { return };
    // Opening is part of the race: all of them find nothing at first.
    let store = LocalStore::open(&home).unwrap();
    let _ = store.create("counter", b"0").unwrap();
    for _ in 0..rounds.parse::<u64>().unwrap() {
        loop {
            let (value, version) = store.get("counter").unwrap().unwrap();
            let number: u64 = String::from_utf8(value).unwrap().parse().unwrap();
            // One blob for all and one of each.
            store
                .put_blobs(&[b"the same for all", format!("blob {number}").as_bytes()])
                .unwrap();
            let next = (number + 1).to_string();
            if store.replace("counter", &version, next.as_bytes()).unwrap() != Replaced::Changed {
                break;
            }
        }
    }
}

#[test]
fn processes_lose_no_increment() {
    let home = home();
    let place = home.path().join("store");
    let (processes, rounds) = (4, scale(25));
    let children: Vec<Child> = (0..processes)
        .map(|_| child("tests::shared::child_counts", &place, &rounds.to_string()))
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let store = LocalStore::open(&place).unwrap();
    let (value, _) = store.get("counter").unwrap().unwrap();
    assert_eq!(String::from_utf8(value).unwrap(), (processes * rounds).to_string());
    for id in store.blobs() {
        store.get_blob(&id.unwrap()).unwrap();
    }
    assert_eq!(
        fs::read_dir(place.join("temporary")).unwrap().count(),
        0,
        "nothing is left over"
    );
}
