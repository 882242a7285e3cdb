//! The protocol of the locks in every order of events (figure L1): three actors on two machines, crashes, pauses of any
//! length, leases that run out, answers that are lost, a person who takes a lock away. Decisions are made by
//! `rollback_engine::lease` itself; `protocol.rs` is the rest of what the engine does between two calls of the store.
//!
//! Each seeded bug must be found: a model that cannot fail proves nothing.

// The figures are what one runs it for.
#![allow(clippy::print_stdout)]

mod bounds;
mod protocol;
mod world;

use bounds::Bounds;
use protocol::Protocol;
use stateright::{Checker, HasDiscoveries, Model};
use world::{Bug, Violation};

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

#[test]
fn the_protocol_holds_in_every_order_of_events() {
    let bounds = Bounds::of_this_run();
    let checker = Protocol { bounds, bug: None }
        .checker()
        .threads(threads())
        .spawn_bfs()
        .join();
    let states = checker.unique_state_count();
    println!("{bounds:?}: {states} states, {} deep", checker.max_depth());
    checker.assert_properties();
    assert!(checker.is_done(), "every state was looked at");
    assert!(states > 10_000, "only {states} states: the model hardly moves");
}

#[test]
fn each_seeded_bug_is_found() {
    for (bug, found_as) in [
        (
            Bug::FenceNotRaised,
            &[Violation::StaleWrite, Violation::TokenNotRisen][..],
        ),
        (Bug::AppendUnchecked, &[Violation::StaleWrite]),
        (Bug::UnlockUnconditional, &[Violation::ForeignUnlocked]),
        (Bug::ExpiryByAbsoluteClock, &[Violation::TakenTooEarly]),
        (Bug::TakeoverWhileApplying, &[Violation::TakenFromApplying]),
        (Bug::RenewalRecreates, &[Violation::ForeignOverwritten]),
        (
            Bug::FenceRemovedOnRelease,
            &[Violation::TokenNotRisen, Violation::StaleWrite],
        ),
        (
            Bug::ApplyingOnlyInMind,
            &[Violation::TakenFromApplying, Violation::StaleEffect],
        ),
        (Bug::ResumeWithoutWaiting, &[Violation::TwoEffects]),
        (
            Bug::ResumeUnproven,
            &[Violation::TakenFromApplying, Violation::TwoEffects],
        ),
        (Bug::LostAnswerIsConflict, &[Violation::FalseAlarm]),
    ] {
        let model = Protocol {
            bounds: Bounds::of_bugs(),
            bug: Some(bug),
        };
        let checker = model
            .checker()
            .threads(threads())
            .finish_when(HasDiscoveries::AnyFailures)
            .spawn_bfs()
            .join();
        let found: Vec<Violation> = Violation::ALL
            .into_iter()
            .filter(|violation| checker.discovery(violation.name()).is_some())
            .collect();
        println!("{bug:?}: {found:?} after {} states", checker.unique_state_count());
        assert!(
            found.iter().any(|violation| found_as.contains(violation)),
            "{bug:?} was not found as {found_as:?}, but as {found:?}"
        );
    }
}
