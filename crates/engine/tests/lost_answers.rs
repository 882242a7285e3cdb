//! Every call of the store that a run's records take, failed in every way: what was done and not acknowledged is no
//! conflict, what was not done is repeated, and a process that dies leaves nothing that keeps others out for ever.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rollback_engine::error::Result;
use rollback_engine::journal::{Attempt, Event, Journal};
use rollback_engine::lock::{self, Locks, Wanted};
use rollback_engine::run::{Consent, Purpose, Run, Runs, Status};
use rollback_release::failing::{FailingStore, Fault};
use rollback_release::{MemoryStore, Store};

fn wanted(run: &str) -> Wanted<'_> {
    Wanted {
        run,
        actor: "somebody",
        command: "test",
        // Short enough to wait for, long enough that no heartbeat comes in between.
        lease: Duration::from_secs(60),
        timeout: Duration::ZERO,
        vouched: false,
    }
}

fn run_of(id: &str) -> Run {
    Run {
        format: 1,
        id: id.to_owned(),
        purpose: Purpose::To,
        revision: "v1".to_owned(),
        commit: String::new(),
        selected: Vec::new(),
        databases: std::collections::BTreeMap::new(),
        steps: Vec::new(),
        stacks: Vec::new(),
        targets: Vec::new(),
        consent: Consent::default(),
        reason: None,
        actor: "somebody".to_owned(),
        created_at: "2026-01-01T00:00:00Z".parse().unwrap(),
        ended_at: None,
        status: Status::Planning,
        backup: None,
        result: None,
    }
}

/// What every run does with its records, from the lock to the end.
fn story(store: &Arc<dyn Store>, id: &str) -> Result<()> {
    let stacks = ["app".to_owned(), "network".to_owned()];
    let locks = Locks::acquire(store, "p", &stacks, &wanted(id), &|_, _| {})?;
    let fence = locks.fence();
    let runs = Runs::new(store.as_ref(), "p");
    let mut run = run_of(id);
    let mut version = runs.create(&run, &fence)?;
    let mut journal = Journal::open(store.as_ref(), "p", id)?.fenced(fence.clone());
    journal.append(Event::Started {
        command: "test".to_owned(),
        attempt: Attempt::here(&fence),
    })?;
    locks.renew()?;
    locks.mark_applying()?;
    run.status = Status::Applying;
    version = runs.update(&run, &version, &fence)?;
    journal.append(Event::StackDone {
        stack: "app".to_owned(),
    })?;
    run.status = Status::Completed;
    runs.update(&run, &version, &fence)?;
    Ok(())
}

fn events(store: &dyn Store, id: &str) -> usize {
    Journal::open(store, "p", id).unwrap().entries().len()
}

#[test]
fn one_failed_call_stops_no_run() {
    let inner = MemoryStore::new();
    let counting = Arc::new(FailingStore::counting(inner));
    let store: Arc<dyn Store> = counting.clone();
    story(&store, "counted").unwrap();
    let calls = counting.calls();
    assert!(calls > 15, "{calls} calls");
    for fault in [Fault::Before, Fault::After] {
        for call in 1..=calls {
            let inner = MemoryStore::new();
            let failing = Arc::new(FailingStore::new(inner.clone(), call, fault));
            let store: Arc<dyn Store> = failing.clone();
            story(&store, "run").unwrap_or_else(|error| panic!("call {call}, {fault:?}: {error}"));
            assert!(failing.has_failed(), "call {call} came");
            assert_eq!(events(&inner, "run"), 2, "call {call}, {fault:?}: each entry once");
            let (run, _) = Runs::new(&inner, "p").get("run").unwrap().unwrap();
            assert_eq!(run.status, Status::Completed);
            assert!(lock::list(&inner, "p").unwrap().is_empty(), "call {call}, {fault:?}");
        }
    }
}

/// The process dies at a call: its locks are there or not, and its own run goes on from there under higher fences.
#[test]
fn a_death_at_any_call_is_gone_on_from() {
    let left = Mutex::new(BTreeSet::new());
    let die = &|fault: Fault, call: u64| {
        let inner = MemoryStore::new();
        let failing = Arc::new(FailingStore::new(inner.clone(), call, fault));
        let store: Arc<dyn Store> = failing.clone();
        let died = story(&store, "run").is_err();
        left.lock()
            .unwrap()
            .insert((died, lock::list(&inner, "p").unwrap().len()));
        // The lock that it left names this very process, which lives: a person takes it away, as from a dead one.
        for stack in ["app", "network"] {
            let key = rollback_release::keys::lock("p", stack);
            if let Some((_, version)) = inner.get(&key).unwrap() {
                let _ = inner.remove(&key, &version).unwrap();
            }
        }
        let store: Arc<dyn Store> = Arc::new(inner.clone());
        story(&store, "next").unwrap_or_else(|error| panic!("call {call}, {fault:?}: {error}"));
    };
    // All at once: each waits most of its time before it asks again.
    std::thread::scope(|scope| {
        for fault in [Fault::CrashBefore, Fault::CrashAfter] {
            for call in 1..=60 {
                scope.spawn(move || die(fault, call));
            }
        }
    });
    let left = left.into_inner().unwrap();
    assert!(left.contains(&(true, 2)) && left.contains(&(true, 0)), "{left:?}");
}

#[test]
fn who_was_overtaken_writes_nothing() {
    let memory = MemoryStore::new();
    let store: Arc<dyn Store> = Arc::new(memory.clone());
    let stacks = ["app".to_owned()];
    let first = Locks::acquire(&store, "p", &stacks, &wanted("first"), &|_, _| {}).unwrap();
    let runs = Runs::new(store.as_ref(), "p");
    let mut run = run_of("first");
    let version = runs.create(&run, &first.fence()).unwrap();
    let mut journal = Journal::open(store.as_ref(), "p", "first")
        .unwrap()
        .fenced(first.fence());
    let append = |journal: &mut Journal<'_>| {
        journal.append(Event::StackDone {
            stack: "app".to_owned(),
        })
    };
    append(&mut journal).unwrap();
    let key = rollback_release::keys::lock("p", "app");
    let (_, lock) = memory.get(&key).unwrap().unwrap();
    let _ = memory.remove(&key, &lock).unwrap();
    let second = Locks::acquire(&store, "p", &stacks, &wanted("second"), &|_, _| {}).unwrap();
    for _ in 0..2 {
        let refused = append(&mut journal).unwrap_err();
        assert!(refused.message.contains("lost its lock"), "{refused}");
        assert!(refused.message.contains("run second"), "{refused}");
    }
    assert!(journal.is_fenced_out());
    run.status = Status::Applying;
    assert!(runs.update(&run, &version, &first.fence()).is_err());
    assert!(first.mark_applying().is_err());
    assert_eq!(events(store.as_ref(), "first"), 1);
    assert_eq!(runs.get("first").unwrap().unwrap().0.status, Status::Planning);
    drop(first);
    assert_eq!(lock::list(store.as_ref(), "p").unwrap()[0].run, "second");
    drop(second);
}

#[test]
fn several_stacks_are_taken_together_or_not_at_all() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let stack = |number: usize| format!("stack{number:03}");
    let many: Vec<String> = (0..98).map(stack).collect();
    let one = Locks::acquire(&store, "p", &[stack(90)], &wanted("one"), &|_, _| {}).unwrap();
    assert!(Locks::acquire(&store, "p", &many, &wanted("many"), &|_, _| {}).is_err());
    assert_eq!(lock::list(store.as_ref(), "p").unwrap().len(), 1);
    drop(one);
    let all = Locks::acquire(&store, "p", &many, &wanted("many"), &|_, _| {}).unwrap();
    all.renew().unwrap();
    let mut journal = Journal::open(store.as_ref(), "p", "many").unwrap().fenced(all.fence());
    journal
        .append(Event::StackDone {
            stack: "stack000".to_owned(),
        })
        .unwrap();
    drop(all);
    assert!(lock::list(store.as_ref(), "p").unwrap().is_empty());
    let too_many: Vec<String> = (0..99).map(stack).collect();
    assert!(Locks::acquire(&store, "p", &too_many, &wanted("many"), &|_, _| {}).is_err());
}
