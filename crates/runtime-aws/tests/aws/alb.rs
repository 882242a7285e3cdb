//! Listeners of load balancers.

use std::sync::Arc;

use aws_sdk_elasticloadbalancingv2::Client;
use aws_sdk_elasticloadbalancingv2::types::{
    Action, ActionTypeEnum, FixedResponseActionConfig, ForwardActionConfig, RuleCondition, TargetDescription,
    TargetGroupTuple, TargetTypeEnum,
};
use rollback_runbook::step::{Binding, Silent};

use crate::bench::{Bench, Lines, change, said, unique};
use crate::faults::{At, Fault};

/// A listener with blue and green behind it, by default and by a rule.
struct World<'a> {
    bench: &'a Bench,
    elb: Client,
    balancer: String,
    listener: String,
    rule: String,
    blue: String,
    green: String,
}

/// The emulator has a network of its own; there is no client for it here.
fn network() -> (String, Vec<String>) {
    let endpoint = std::env::var("AWS_ENDPOINT_URL").unwrap();
    let answer = ureq::post(&endpoint)
        .header(
            "authorization",
            "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/ec2/aws4_request",
        )
        .header("host", "ec2.us-east-1.amazonaws.com")
        .header("content-type", "application/x-www-form-urlencoded")
        .send("Action=DescribeSubnets&Version=2016-11-15")
        .unwrap()
        .body_mut()
        .read_to_string()
        .unwrap();
    let all = |tag: &str| -> Vec<String> {
        let opening = format!("<{tag}>");
        let parts = answer.split(&opening).skip(1);
        parts.map(|part| part.split('<').next().unwrap().to_owned()).collect()
    };
    (all("vpcId").remove(0), all("subnetId").into_iter().take(2).collect())
}

fn to(group: &str) -> Action {
    Action::builder()
        .r#type(ActionTypeEnum::Forward)
        .target_group_arn(group)
        .build()
}

fn weighted(groups: &[(&str, i32)]) -> Action {
    let groups = groups.iter().map(|(group, weight)| {
        TargetGroupTuple::builder()
            .target_group_arn(*group)
            .weight(*weight)
            .build()
    });
    let config = ForwardActionConfig::builder()
        .set_target_groups(Some(groups.collect()))
        .build();
    Action::builder()
        .r#type(ActionTypeEnum::Forward)
        .forward_config(config)
        .build()
}

impl<'a> World<'a> {
    /// Everything goes to blue.
    fn new(bench: &'a Bench) -> World<'a> {
        let elb = Client::new(&bench.config);
        let (vpc, subnets) = network();
        let balancer = unique("lb");
        let create = elb
            .create_load_balancer()
            .name(&balancer)
            .set_subnets(Some(subnets))
            .send();
        let arn = bench.wait(create).unwrap().load_balancers.unwrap()[0]
            .load_balancer_arn
            .clone()
            .unwrap();
        let group = |name: &str, address: &str| {
            let create = elb.create_target_group().name(unique(name)).vpc_id(&vpc).port(80);
            let create = create.protocol("HTTP".into()).target_type(TargetTypeEnum::Ip).send();
            let arn = bench.wait(create).unwrap().target_groups.unwrap()[0]
                .target_group_arn
                .clone()
                .unwrap();
            let target = TargetDescription::builder().id(address).port(80).build();
            bench
                .wait(elb.register_targets().target_group_arn(&arn).targets(target).send())
                .unwrap();
            arn
        };
        let (blue, green) = (group("blue", "10.0.0.1"), group("green", "10.0.0.2"));
        let create = elb
            .create_listener()
            .load_balancer_arn(arn)
            .port(80)
            .protocol("HTTP".into());
        let made = bench.wait(create.default_actions(to(&blue)).send()).unwrap();
        let listener = made.listeners.unwrap()[0].listener_arn.clone().unwrap();
        let mut world = World {
            bench,
            elb,
            balancer,
            listener,
            rule: String::new(),
            blue,
            green,
        };
        world.rule = world.make_rule(&world.blue);
        world
    }

    fn make_rule(&self, group: &str) -> String {
        let condition = RuleCondition::builder().field("path-pattern").values("/api/*").build();
        let create = self
            .elb
            .create_rule()
            .listener_arn(&self.listener)
            .priority(10)
            .conditions(condition);
        let made = self.bench.wait(create.actions(to(group)).send()).unwrap();
        made.rules.unwrap()[0].rule_arn.clone().unwrap()
    }

    fn table(&self, more: &str) -> String {
        format!("kind = \"alb-listener\"\nlistener = \"{}\"\n{more}", self.listener)
    }

    /// A deploy by somebody else.
    fn send(&self, default: Action, rule: Action) {
        let modify = self.elb.modify_listener().listener_arn(&self.listener);
        self.bench.wait(modify.default_actions(default).send()).unwrap();
        self.bench
            .wait(self.elb.modify_rule().rule_arn(&self.rule).actions(rule).send())
            .unwrap();
    }

    fn deregister(&self, group: &str, address: &str) {
        let target = TargetDescription::builder().id(address).port(80).build();
        let gone = self.elb.deregister_targets().target_group_arn(group).targets(target);
        self.bench.wait(gone.send()).unwrap();
    }
}

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

const HEALTH: &str = "DescribeTargetHealth";

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
fn ended_anywhere_it_is_taken_up() {
    let Some(bench) = Bench::new() else { return };
    let worlds = std::cell::RefCell::new(Vec::<(World<'_>, Binding)>::new());
    bench.crashes(
        || {
            let world = World::new(&bench);
            let table = world.table("stages = [10]\npause = \"1ms\"");
            let release = bench.step(&table).look().unwrap();
            world.send(weighted(&[(&world.blue, 20), (&world.green, 80)]), to(&world.green));
            worlds.borrow_mut().push((world, release.clone()));
            (table, release)
        },
        |there, context| assert_eq!(there, &worlds.borrow().last().unwrap().1, "{context}"),
    );
}

#[test]
fn throttled_calls_are_repeated_and_what_is_not_there_is_named() {
    let Some(bench) = Bench::new() else { return };
    let world = World::new(&bench);
    let step = bench.step(&world.table(""));
    let release = step.look().unwrap();
    world.send(to(&world.green), to(&world.blue));
    let now = step.look().unwrap();
    for name in ["ModifyListener", HEALTH, "DescribeRules"] {
        bench.faults.plan(At::Operation { name, times: 1 }, Fault::Throttled);
    }
    assert_eq!(step.go(&now, &release, &Silent).unwrap(), release);
    let calls = bench.faults.rest();
    assert_eq!(
        calls.iter().filter(|call| *call == "ModifyListener").count(),
        2,
        "{calls:?}"
    );
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
