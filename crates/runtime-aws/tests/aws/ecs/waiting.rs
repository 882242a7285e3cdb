//! Waiting for a deployment, by what the emulator does not say: events, failures, counts.

use std::sync::Arc;

use rollback_runbook::step::Silent;
use serde_json::{Value, json};

use super::{World, text};
use crate::bench::{Bench, Lines, said};
use crate::faults::{At, Fault};

/// Puts a deployment of this state into what the emulator says of a service: it knows no events and no failures.
fn with_deployment(deployment: Value, events: Value, running: i64) -> Fault {
    Fault::Answer(Arc::new(move |answer| {
        let mut answer: Value = serde_json::from_str(answer).unwrap();
        let service = &mut answer["services"][0];
        let mut all = service["deployments"].clone();
        let revision = service["taskDefinition"].clone();
        if let Some(list) = all.as_array_mut() {
            list.clear();
            let mut deployment = deployment.clone();
            if deployment["taskDefinition"].is_null() {
                deployment["taskDefinition"] = revision;
            }
            list.push(deployment);
        }
        service["deployments"] = all;
        service["events"] = events.clone();
        service["runningCount"] = json!(running);
        answer.to_string()
    }))
}

#[test]
fn events_are_told_while_it_waits_with_answers_put_in() {
    let Some(bench) = Bench::new() else { return };
    let world = World::new(&bench);
    let step = bench.step(&world.table("ecs-service", ""));
    let release = step.look().unwrap();
    world.deploy(&world.register("two", "x"));
    let now = step.look().unwrap();
    let old = json!({"id": "1", "createdAt": 1, "message": "from before"});
    let new = json!({"id": "2", "createdAt": 2, "message": "(service web) has started 2 tasks"});
    let idle = json!({"id": "d", "status": "PRIMARY", "rolloutState": "COMPLETED"});
    let busy = json!({"id": "d", "status": "PRIMARY", "rolloutState": "IN_PROGRESS", "failedTasks": 1});
    // Two looks before the update, four after it.
    let describe = |times| At::Operation {
        name: "DescribeServices",
        times,
    };
    bench.faults.plan(describe(3), with_deployment(idle, json!([old]), 2));
    bench
        .faults
        .plan(describe(4), with_deployment(busy, json!([new, old]), 1));
    let lines = Lines::default();
    step.go(&now, &release, &lines).unwrap();
    bench.faults.rest();
    let text = lines.text();
    assert!(!text.contains("from before"), "{text}");
    assert_eq!(text.matches("has started 2 tasks").count(), 1, "{text}");
    assert!(
        text.contains("1 of 2 tasks run") && text.contains("1 tasks have failed"),
        "{text}"
    );
}

#[test]
fn a_circuit_breaker_ends_the_wait_with_its_reason_with_answers_put_in() {
    let Some(bench) = Bench::new() else { return };
    let world = World::new(&bench);
    let step = bench.step(&world.table("ecs-service", "timeout = \"5s\""));
    let release = step.look().unwrap();
    world.deploy(&world.register("two", "x"));
    let now = step.look().unwrap();
    let failed = json!({"id": "d", "status": "PRIMARY", "rolloutState": "FAILED", "failedTasks": 3,
        "taskDefinition": release["task_definition"],
        "rolloutStateReason": "ECS deployment circuit breaker: tasks failed to start."});
    bench.faults.plan(
        At::Operation {
            name: "DescribeServices",
            times: 100,
        },
        with_deployment(failed, json!([]), 0),
    );
    let error = step.go(&now, &release, &Silent).unwrap_err();
    assert!(!error.untouched);
    assert!(
        said(&error).contains("circuit breaker: tasks failed to start"),
        "{}",
        said(&error)
    );
    assert!(said(&error).contains("undo"), "{}", said(&error));
    bench.faults.rest();
    // Mended, it is taken up.
    assert_eq!(step.go(&now, &release, &Silent).unwrap(), release);
}

#[test]
fn a_deploy_by_somebody_else_is_noticed_while_it_waits() {
    let Some(bench) = Bench::new() else { return };
    let world = World::new(&bench);
    let step = bench.step(&world.table("ecs-service", ""));
    let release = step.look().unwrap();
    let other = world.register("two", "x");
    world.deploy(&other);
    let now = step.look().unwrap();
    let current = text(&now, "task_definition").to_owned();
    // The update is answered, and what it did is undone at once.
    bench.faults.plan(
        At::Operation {
            name: "UpdateService",
            times: 1,
        },
        Fault::Instead(200, Arc::new(|_| b"{\"service\": {}}".to_vec())),
    );
    let error = step.go(&now, &release, &Silent).unwrap_err();
    assert!(
        said(&error).contains("was brought to") && !error.untouched,
        "{}",
        said(&error)
    );
    assert!(said(&error).contains(current.rsplit('/').next().unwrap()));
}

#[test]
fn patience_ends_and_a_person_can_stop_it_with_answers_put_in() {
    let Some(bench) = Bench::new() else { return };
    let world = World::new(&bench);
    let step = bench.step(&world.table("ecs-service", "timeout = 1"));
    let release = step.look().unwrap();
    world.deploy(&world.register("two", "x"));
    let now = step.look().unwrap();
    let busy = || {
        with_deployment(
            json!({"id": "d", "status": "PRIMARY", "rolloutState": "IN_PROGRESS"}),
            json!([]),
            1,
        )
    };
    let always = At::Operation {
        name: "DescribeServices",
        times: usize::MAX,
    };
    bench.faults.plan(always.clone(), busy());
    let error = step.go(&now, &release, &Silent).unwrap_err();
    assert!(
        said(&error).contains("not reached after 1 s") && said(&error).contains("resume"),
        "{}",
        said(&error)
    );
    let lines = Lines {
        stop_at: Some("1 of 2 tasks run"),
        ..Lines::default()
    };
    let error = step.go(&now, &release, &lines).unwrap_err();
    assert!(said(&error).contains("stopped before"), "{}", said(&error));
    bench.faults.rest();
}
