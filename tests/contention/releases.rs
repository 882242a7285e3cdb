//! Late unlocks (figure L3): a lock is taken away from its holder, somebody else takes it, and then the first one lets
//! go. Nobody's lock but one's own is ever removed.

use std::sync::Arc;
use std::time::Duration;

use rollback_engine::lock::{self, Locks, Wanted};
use rollback_release::{MemoryStore, Operation, Store, Transacted, keys};
use rollback_store_local::LocalStore;
use rollback_tests::scale;

const STACK: &str = "app";

fn wanted(run: &str) -> Wanted<'_> {
    Wanted {
        run,
        actor: "somebody",
        command: "test",
        lease: Duration::from_secs(30),
        timeout: Duration::ZERO,
        vouched: false,
    }
}

fn acquire(store: &Arc<dyn Store>, run: &str) -> Locks {
    Locks::acquire(store, "p", &[STACK.to_owned()], &wanted(run), &|_, _| {}).unwrap()
}

/// As a person would who cannot wait: the lock goes, whoever holds it.
fn take_away(store: &dyn Store) {
    let key = keys::lock("p", STACK);
    let (_, version) = store.get(&key).unwrap().expect("it is locked");
    let done = store.transact(&[Operation::Remove {
        key: &key,
        expected: &version,
    }]);
    assert!(matches!(done.unwrap(), Transacted::Yes(_)));
}

fn late_unlocks(store: &Arc<dyn Store>, rounds: usize) {
    let mut last = 0;
    for round in 0..rounds {
        let first = acquire(store, &format!("first-{round}"));
        if round % 3 == 1 {
            first.renew().unwrap();
        }
        take_away(store.as_ref());
        let second = acquire(store, &format!("second-{round}"));
        // Late: a renewal of who has lost the lock, and its unlock.
        if round % 3 == 2 {
            assert!(first.renew().is_err(), "it renewed a lock that it had lost");
        }
        let old = first.fence().tokens().map(|(_, token)| token).max().unwrap();
        drop(first);
        let holders = lock::list(store.as_ref(), "p").unwrap();
        assert_eq!(holders.len(), 1, "round {round}: a foreign lock was removed");
        assert_eq!(holders[0].run, format!("second-{round}"));
        assert!(old > last && holders[0].fence > old, "tokens strictly rise");
        last = holders[0].fence;
        second.renew().unwrap();
        drop(second);
        assert!(lock::list(store.as_ref(), "p").unwrap().is_empty());
    }
}

#[test]
fn late_unlocks_remove_no_foreign_lock() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    late_unlocks(&store, 1000 * scale());
}

#[test]
fn late_unlocks_in_the_embedded_store() {
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(LocalStore::open(folder.path()).unwrap());
    late_unlocks(&store, 50 * scale());
}
