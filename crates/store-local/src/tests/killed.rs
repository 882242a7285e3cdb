//! A writer that dies, at every call and at any moment.

use std::collections::BTreeMap;
use std::time::Duration;

use rollback_release::failing::{FailingStore, Fault};
use rollback_release::{Catalogue, Release, Salt, StackParts, write_stack};
use rollback_state::State;

use super::shared::{as_child, child};
use super::*;

const COMMIT: &str = "1234567890abcdef1234567890abcdef12345678";

fn state(number: u64) -> State {
    let value = format!("{number} ").repeat(20_000);
    State::parse(format!(
        r#"{{"version":4,"terraform_version":"1.11.4","serial":{number},"lineage":"l","outputs":{{"o":{{"value":"{value}","type":"string"}}}},"resources":[]}}"#
    ))
    .unwrap()
}

fn snapshot(store: &dyn Store, release: &Release, number: u64) -> Result<(), Box<dyn std::error::Error>> {
    let parts = StackParts {
        name: "app".to_owned(),
        state: Some(state(number)),
        configuration: BTreeMap::from([
            ("main.tf".to_owned(), format!("# {number}").into_bytes()),
            ("other.tf".to_owned(), b"# the same".to_vec()),
        ]),
        ..StackParts::default()
    };
    let stack = write_stack(&parts, &Salt::of_project(store, "p")?, store)?;
    Catalogue::new(store, "p").commit(&Release {
        stacks: vec![stack],
        ..release.clone()
    })?;
    Ok(())
}

/// Every release that is listed is whole; gives how many there are.
fn complete(store: &LocalStore, context: &str) -> usize {
    let catalogue = Catalogue::new(store, "p");
    let listing = catalogue.list(usize::MAX).unwrap();
    assert_eq!(listing.unreadable, [], "{context}");
    for release in &listing.items {
        let record = release.stacks[0].state.as_ref().unwrap();
        let there = catalogue
            .state(record)
            .unwrap_or_else(|error| panic!("{context}: {error}"));
        assert_eq!(there.bytes(), state(record.serial).bytes(), "{context}");
        for blob in release.blobs() {
            store
                .get_blob(&blob)
                .unwrap_or_else(|error| panic!("{context}: {error}"));
        }
    }
    listing.items.len()
}

#[test]
fn at_every_fault_there_is_the_whole_release_or_none_and_a_retry_succeeds() {
    let home = home();
    let calls = {
        let store = FailingStore::counting(LocalStore::open(&home.path().join("counted")).unwrap());
        snapshot(&store, &Release::new(COMMIT, "me"), 1).unwrap();
        store.calls()
    };
    for call in 1..=calls {
        for fault in Fault::ALL {
            let context = format!("call {call}, {fault:?}");
            let place = home.path().join(&context);
            let release = Release::new(COMMIT, "me");
            let failing = FailingStore::new(LocalStore::open(&place).unwrap(), call, fault);
            let result = snapshot(&failing, &release, 1);
            assert!(failing.has_failed(), "{context}");
            drop(failing);
            let store = LocalStore::open(&place).unwrap();
            let there = complete(&store, &context);
            assert!(result.is_err() || there == 1, "{context}: said to be done and is not");
            snapshot(&store, &release, 1).unwrap();
            assert_eq!(complete(&store, &context), 1, "{context}");
        }
    }
}

#[test]
fn child_snapshots() {
    let Some((home, first)) = as_child() else { return };
    let store = LocalStore::open(&home).unwrap();
    for number in first.parse::<u64>().unwrap().. {
        snapshot(&store, &Release::new(COMMIT, "me"), number).unwrap();
    }
}

/// SIGKILL at moments spread over the whole of opening, writing and committing, with another writer alive meanwhile.
#[test]
fn killed_processes_leave_whole_releases() {
    let home = home();
    let (mut before, mut grown) = (0, 0);
    for round in 0..scale(40) as u64 {
        let mut doomed = child(
            "tests::killed::child_snapshots",
            home.path(),
            &(round * 1000).to_string(),
        );
        // A prime step, so that no rhythm of the writer is met again and again.
        std::thread::sleep(Duration::from_micros(3_000 + round * 1_709 % 90_000));
        doomed.kill().unwrap();
        doomed.wait().unwrap();
        let store = LocalStore::open(home.path()).unwrap();
        let there = complete(&store, &format!("round {round}"));
        assert!(there >= before, "round {round}: {there} releases after {before}");
        grown += usize::from(there > before);
        before = there;
    }
    assert!(grown > 0, "no writer ever came to a commit: the test proves nothing");
    // What was left behind half-written does not stand in anyone's way.
    let store = LocalStore::open(home.path()).unwrap();
    snapshot(&store, &Release::new(COMMIT, "me"), 7).unwrap();
    assert_eq!(complete(&store, "at the end"), before + 1);
}
