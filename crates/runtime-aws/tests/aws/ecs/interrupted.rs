//! All kinds of ECS, ended at every call, and throttled.

use rollback_runbook::step::Silent;
use serde_json::Value;

use super::{World, text};
use crate::bench::Bench;
use crate::faults::{At, Fault};

#[test]
fn ended_anywhere_it_is_taken_up_and_registers_nothing_twice() {
    let Some(bench) = Bench::new() else { return };
    for (kind, key) in [
        ("ecs-service", "definition"),
        ("ecs-image", "digest"),
        ("ecs-environment", "containers"),
    ] {
        let worlds = std::cell::RefCell::new(Vec::<(World<'_>, Value, usize)>::new());
        bench.crashes(
            || {
                let world = World::new(&bench);
                let table = world.table(kind, "");
                let release = bench.step(&table).look().unwrap();
                world.deploy(&world.register("two", "hunter2-two"));
                // So that each kind has to register a revision.
                world.deregister(text(&release, "task_definition"));
                worlds.borrow_mut().push((world, release[key].clone(), 2));
                (table, release)
            },
            |there, context| {
                let worlds = worlds.borrow();
                let (world, expected, revisions) = worlds.last().unwrap();
                assert_eq!(&there[key], expected, "{kind}: {context}");
                assert_eq!(
                    world.revisions().len(),
                    *revisions,
                    "{kind}: {context}: registered once"
                );
            },
        );
    }
}

#[test]
fn throttled_calls_are_repeated() {
    let Some(bench) = Bench::new() else { return };
    let world = World::new(&bench);
    let step = bench.step(&world.table("ecs-service", ""));
    let release = step.look().unwrap();
    world.deploy(&world.register("two", "x"));
    world.deregister(text(&release, "task_definition"));
    let now = step.look().unwrap();
    for (name, fault) in [
        ("DescribeServices", Fault::Throttled),
        ("RegisterTaskDefinition", Fault::Throttled),
        ("UpdateService", Fault::TooMany),
        ("DescribeImages", Fault::TooMany),
    ] {
        bench.faults.plan(At::Operation { name, times: 1 }, fault);
    }
    step.go(&now, &release, &Silent).unwrap();
    let calls = bench.faults.rest();
    for (name, at_least) in [("RegisterTaskDefinition", 2), ("UpdateService", 2)] {
        assert_eq!(
            calls.iter().filter(|call| *call == name).count(),
            at_least,
            "{name} in {calls:?}"
        );
    }
}
