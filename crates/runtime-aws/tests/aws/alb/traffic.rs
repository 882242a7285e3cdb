//! Traffic goes back, in stages, and taken up wherever it was left.

use aws_sdk_elasticloadbalancingv2::types::{Action, ActionTypeEnum, FixedResponseActionConfig};
use rollback_runbook::step::{Binding, Silent};

use super::{HEALTH, World, to, weighted};
use crate::bench::{Bench, Lines, change, said};

fn traffic<'b>(binding: &'b Binding, part: &str) -> &'b serde_json::Value {
    &binding["traffic"][part]
}

#[test]
fn traffic_goes_back_by_default_and_by_rule() {
    let Some(bench) = Bench::new() else { return };
    let world = World::new(&bench);
    let step = bench.step(&format!(
        "kind = \"alb-listener\"\nload_balancer = \"{}\"\nport = 80",
        world.balancer
    ));
    let release = step.look().unwrap();
    world.send(weighted(&[(&world.blue, 0), (&world.green, 100)]), to(&world.green));
    let now = step.look().unwrap();
    let plan = step.plan(&now, &release).unwrap().unwrap();
    let (from, to_) = change(&plan, "default action");
    assert!(
        from.contains("blue") && from.contains("0 %") && from.contains("100 %"),
        "{plan:?}"
    );
    assert!(to_.starts_with("blue"), "{plan:?}");
    change(&plan, "rule 10 path-pattern=/api/*");
    assert!(plan.obstacles.is_empty(), "{plan:?}");
    let there = step.go(&now, &release, &Silent).unwrap();
    assert_eq!(there, release);
    assert_eq!(step.plan(&there, &release).unwrap(), None);
    assert_eq!(
        step.go(&there, &now, &Silent).unwrap(),
        now,
        "undo brings the weights back"
    );
    // The same listener by its ARN.
    assert_eq!(bench.step(&world.table("")).look().unwrap(), now);
}

#[test]
fn stages_rest_at_each_percentage() {
    let Some(bench) = Bench::new() else { return };
    let world = World::new(&bench);
    let step = bench.step(&world.table("stages = [10, 50]\npause = \"20ms\""));
    let release = step.look().unwrap();
    world.send(to(&world.green), to(&world.green));
    let now = step.look().unwrap();
    let plan = step.plan(&now, &release).unwrap().unwrap();
    assert!(
        plan.notes.iter().any(|note| note.contains("10 %, 50 %, 100 %")),
        "{plan:?}"
    );
    let lines = Lines::default();
    bench.faults.rest();
    assert_eq!(step.go(&now, &release, &lines).unwrap(), release);
    let calls = bench.faults.rest();
    assert_eq!(
        calls.iter().filter(|call| *call == "ModifyListener").count(),
        3,
        "{calls:?}"
    );
    assert!(
        calls.iter().filter(|call| *call == HEALTH).count() >= 3,
        "before each stage: {calls:?}"
    );
    let text = lines.text();
    assert!(
        text.contains("10 %") && text.contains("50 % of the way") && text.contains("100 % of the way"),
        "{text}"
    );
    // Stopped by a person between two stages, and taken up by whoever resumes.
    world.send(to(&world.green), to(&world.green));
    let lines = Lines {
        stop_at: Some("10 % of the way"),
        ..Lines::default()
    };
    let error = step.go(&now, &release, &lines).unwrap_err();
    assert!(!error.untouched, "{}", said(&error));
    let lines = Lines::default();
    assert_eq!(step.go(&now, &release, &lines).unwrap(), release);
    assert!(!lines.text().contains("10 % of the way"), "{}", lines.text());
}

#[test]
fn a_rule_that_was_made_anew_is_known_again_and_one_that_is_gone_is_said() {
    let Some(bench) = Bench::new() else { return };
    let mut world = World::new(&bench);
    let step = bench.step(&world.table(""));
    let release = step.look().unwrap();
    bench
        .wait(world.elb.delete_rule().rule_arn(&world.rule).send())
        .unwrap();
    let now = step.look().unwrap();
    assert_eq!(step.plan(&now, &release).unwrap(), None, "rules are made by Terraform");
    let modify = world
        .elb
        .modify_listener()
        .listener_arn(&world.listener)
        .default_actions(to(&world.green));
    bench.wait(modify.send()).unwrap();
    let plan = step.plan(&step.look().unwrap(), &release).unwrap().unwrap();
    assert!(
        plan.notes
            .iter()
            .any(|note| note.contains("rule 10 path-pattern=/api/* is no longer there")),
        "{plan:?}"
    );
    let old = world.rule.clone();
    world.rule = world.make_rule(&world.green);
    let now = step.look().unwrap();
    change(&step.plan(&now, &release).unwrap().unwrap(), "rule 10");
    let there = step.go(&now, &release, &Silent).unwrap();
    assert_eq!(traffic(&there, &world.rule), traffic(&release, &old));
    assert_eq!(step.plan(&there, &release).unwrap(), None);
}

#[test]
fn a_page_for_maintenance_gives_way_to_targets_and_back() {
    let Some(bench) = Bench::new() else { return };
    let world = World::new(&bench);
    let step = bench.step(&world.table("stages = [50]\npause = \"1ms\""));
    let release = step.look().unwrap();
    let page = FixedResponseActionConfig::builder()
        .status_code("503")
        .content_type("text/plain")
        .message_body("soon")
        .build();
    let page = Action::builder()
        .r#type(ActionTypeEnum::FixedResponse)
        .fixed_response_config(page)
        .build();
    world.send(page, to(&world.blue));
    let now = step.look().unwrap();
    let plan = step.plan(&now, &release).unwrap().unwrap();
    assert_eq!(change(&plan, "default action").0, "fixed response 503");
    assert_eq!(step.go(&now, &release, &Silent).unwrap(), release);
    assert_eq!(step.go(&release, &now, &Silent).unwrap(), now);
}

#[test]
fn what_is_not_there_is_named() {
    let Some(bench) = Bench::new() else { return };
    let world = World::new(&bench);
    let error = bench
        .step("kind = \"alb-listener\"\nload_balancer = \"nobody\"\nport = 80")
        .look()
        .unwrap_err();
    assert!(said(&error).contains("no load balancer nobody"), "{}", said(&error));
    let error = bench
        .step(&format!(
            "kind = \"alb-listener\"\nload_balancer = \"{}\"\nport = 81",
            world.balancer
        ))
        .look()
        .unwrap_err();
    assert!(said(&error).contains("no listener on port 81"), "{}", said(&error));
}
