//! The runbook's own system with the real Terraform and the real AWS provider on the emulator: network, load balancer with
//! blue and green, services on ECS, images, a database, alarms and logs; PostgreSQL with migrations, something that answers
//! checks, somebody who takes messages. Three releases, and back: all of it with one command, then each heading alone.

mod account;
mod by_hand;
#[path = "../../../crates/runbook/tests/real/postgres_server.rs"]
mod postgres_server;
mod rows;
mod system;

use std::time::Instant;

use rollback_tests::scenario;
use serde_json::Value;

use self::system::{FIRST, Story, THIRD, story};

#[test]
fn one_command_brings_the_whole_system_back() {
    scenario(|world| {
        let Some(story) = story(world) else { return };
        let world = &story.world;
        let [first, _, third] = &story.releases[..] else {
            unreachable!("there are three")
        };
        story.is(&THIRD);
        // The new version is broken.
        story.account.log("ERROR it cannot take orders");
        world.tool(&["verify"]).exits(3).says("503").says("errors");
        planned(&story);
        let begun = Instant::now();
        let yes = [
            "--auto-approve",
            "--accept-data-loss",
            "migrations",
            "--reason",
            "it loses orders",
        ];
        world.tool(&[&["to", &first.commit][..], &yes].concat()).exits(0);
        let took = begun.elapsed();
        story.is(&FIRST);
        world.is_at(first);
        recorded(&story);

        world
            .tool(&["undo", "--auto-approve", "--skip-checks", "it is broken"])
            .exits(0);
        story.is(&THIRD);
        world.is_at(third);
        eprintln!("the whole system back with one command: {:.1} s", took.as_secs_f64());
    });
}

/// What the plan says before anybody says yes.
fn planned(story: &Story) {
    let (world, first) = (&story.world, &story.releases[0].commit);
    let plan = world.tool(&["plan", first]).exits(0).words();
    assert!(
        !plan.contains("debug") && plan.contains("LOG_LEVEL"),
        "values are masked: {plan}"
    );
    // What the deploy and the switch moved is told apart from what somebody changed.
    let (_, moved) = plan.split_once("moved by those whose work it is").unwrap();
    for line in [
        "aws_ecs_service.main[\"backend\"] (task_definition: whoever deploys)",
        "aws_lb_listener.http (default_action: whoever shifts traffic)",
    ] {
        assert!(moved.contains(line), "{line}\n{plan}");
    }
    assert!(!moved.contains("aws_ssm_parameter.checkout"), "{plan}");
}

/// The order of what was done, who was told, and what was written down.
fn recorded(story: &Story) {
    let world = &story.world;
    let run = world.last_run();
    let shown = world.tool(&["runs", "show", &run, "--json"]).exits(0).json();
    let done = |event: &str, key: &str, name: &str| {
        let entries = shown["journal"].as_array().unwrap();
        let found = entries
            .iter()
            .position(|entry| entry["event"] == event && entry[key] == name);
        found.unwrap_or_else(|| panic!("{name} was not done: {shown}"))
    };
    let order = [
        done("step-done", "step", "traffic"),
        done("step-done", "step", "backend"),
        done("step-done", "step", "migrations"),
        done("stack-done", "stack", "shop"),
    ];
    assert!(order.is_sorted(), "what users feel comes first: {order:?}");

    let texts: Vec<String> = story
        .hook
        .received()
        .into_iter()
        .map(|received| received.body)
        .collect();
    assert_eq!(texts.len(), 2, "{texts:?}");
    assert!(
        texts[0].contains("ROLLBACK IN PROGRESS") && texts[1].contains("ROLLBACK COMPLETE"),
        "{texts:?}"
    );
    let mails = story.mail.received();
    assert!(
        mails.len() == 2 && mails[1].contains("text/calendar"),
        "the last mail brings the invitation: {mails:?}"
    );
    let report = world.tool(&["report", &run, "--json"]).exits(0).json();
    let verification = report["verification"].as_array().unwrap();
    let passed: Vec<&Value> = verification.iter().map(|one| &one["passed"]).collect();
    assert_eq!(passed, [false, true], "before and after: {report}");
    world
        .tool(&["report", &run])
        .exits(0)
        .says("it loses orders")
        .says("[x] Verify rollback success — 4 of 4 checks pass")
        .says("DevOps Lead: +971-4-0000000");
}
