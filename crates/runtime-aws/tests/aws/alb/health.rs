//! Traffic goes where targets are healthy.

use std::sync::Arc;

use rollback_runbook::step::Silent;

use super::{HEALTH, World, to};
use crate::bench::{Bench, Lines, said};
use crate::faults::{At, Fault};

/// What the emulator says of every target, put into the words of one that is not well.
fn health(state: &'static str, reason: &'static str) -> Fault {
    Fault::Answer(Arc::new(move |answer| {
        assert!(answer.contains("<State>healthy</State>"), "{answer}");
        answer.replace(
            "<State>healthy</State>",
            &format!("<State>{state}</State><Reason>{reason}</Reason>"),
        )
    }))
}

#[test]
fn a_group_without_a_healthy_target_stands_in_the_way_unless_allowed() {
    let Some(bench) = Bench::new() else { return };
    let world = World::new(&bench);
    let step = bench.step(&world.table(""));
    let allowed = bench.step(&world.table("allow_unhealthy = true"));
    let release = step.look().unwrap();
    world.send(to(&world.green), to(&world.green));
    let now = step.look().unwrap();
    let always = At::Operation {
        name: HEALTH,
        times: usize::MAX,
    };
    bench
        .faults
        .plan(always, health("unhealthy", "Target.FailedHealthChecks"));
    let plan = step.plan(&now, &release).unwrap().unwrap();
    assert!(plan.obstacles[0].contains("has 0 of 1 targets healthy"), "{plan:?}");
    let error = step.go(&now, &release, &Silent).unwrap_err();
    assert!(
        error.untouched && said(&error).contains("allow_unhealthy"),
        "{}",
        said(&error)
    );
    assert!(allowed.plan(&now, &release).unwrap().unwrap().obstacles.is_empty());
    bench.faults.rest();
    assert_eq!(step.look().unwrap(), now);
    world.deregister(&world.blue, "10.0.0.1");
    let plan = step.plan(&now, &release).unwrap().unwrap();
    assert!(plan.obstacles[0].contains("has no targets"), "{plan:?}");
    assert_eq!(allowed.go(&now, &release, &Silent).unwrap(), release);
}

#[test]
fn a_group_that_falls_ill_between_two_stages_stops_the_way_with_answers_put_in() {
    let Some(bench) = Bench::new() else { return };
    let world = World::new(&bench);
    let step = bench.step(&world.table("stages = [10]\npause = \"1ms\""));
    let release = step.look().unwrap();
    world.send(to(&world.green), to(&world.green));
    let now = step.look().unwrap();
    bench.faults.rest();
    step.go(&now, &release, &Silent).unwrap();
    let calls = bench.faults.rest();
    let first = calls.iter().position(|call| call == "ModifyListener").unwrap();
    let second = first + calls[first..].iter().position(|call| call == HEALTH).unwrap();
    world.send(to(&world.green), to(&world.green));
    bench
        .faults
        .plan(At::Call(second + 1), health("unhealthy", "Target.Timeout"));
    let error = step.go(&now, &release, &Silent).unwrap_err();
    assert!(!error.untouched && said(&error).contains("undo"), "{}", said(&error));
    bench.faults.rest();
    let between = step.look().unwrap();
    assert_ne!(between, now);
    assert_eq!(step.go(&between, &now, &Silent).unwrap(), now, "undo from halfway");
}

#[test]
fn a_group_that_nobody_uses_is_used_first_and_waited_for_with_answers_put_in() {
    let Some(bench) = Bench::new() else { return };
    let world = World::new(&bench);
    let step = bench.step(&world.table(""));
    let release = step.look().unwrap();
    world.send(to(&world.green), to(&world.green));
    let now = step.look().unwrap();
    bench.faults.plan(
        At::Operation { name: HEALTH, times: 1 },
        health("unused", "Target.NotInUse"),
    );
    let plan = step.plan(&now, &release).unwrap().unwrap();
    assert!(
        plan.obstacles.is_empty() && plan.notes[0].contains("weight 0 first"),
        "{plan:?}"
    );
    bench.faults.rest();
    bench.faults.plan(
        At::Operation { name: HEALTH, times: 1 },
        health("unused", "Target.NotInUse"),
    );
    bench.faults.plan(
        At::Operation { name: HEALTH, times: 3 },
        health("initial", "Elb.InitialHealthChecking"),
    );
    let lines = Lines::default();
    assert_eq!(step.go(&now, &release, &lines).unwrap(), release);
    let text = lines.text();
    assert!(
        text.contains("is used with the weight 0") && text.contains("0 of 1 targets healthy"),
        "{text}"
    );
    let calls = bench.faults.rest();
    assert_eq!(
        calls.iter().filter(|call| *call == "ModifyListener").count(),
        2,
        "{calls:?}"
    );
}
