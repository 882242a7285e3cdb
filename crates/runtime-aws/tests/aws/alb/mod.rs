//! Listeners of load balancers.

mod health;
mod traffic;

use aws_sdk_elasticloadbalancingv2::Client;
use aws_sdk_elasticloadbalancingv2::types::{
    Action, ActionTypeEnum, ForwardActionConfig, RuleCondition, TargetDescription, TargetGroupTuple, TargetTypeEnum,
};

use crate::bench::{Bench, unique};

/// A listener with blue and green behind it, by default and by a rule.
pub struct World<'a> {
    bench: &'a Bench,
    elb: Client,
    balancer: String,
    listener: String,
    rule: String,
    pub blue: String,
    pub green: String,
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

pub fn to(group: &str) -> Action {
    Action::builder()
        .r#type(ActionTypeEnum::Forward)
        .target_group_arn(group)
        .build()
}

pub fn weighted(groups: &[(&str, i32)]) -> Action {
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
    pub fn new(bench: &'a Bench) -> World<'a> {
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

    pub fn table(&self, more: &str) -> String {
        format!("kind = \"alb-listener\"\nlistener = \"{}\"\n{more}", self.listener)
    }

    /// A deploy by somebody else.
    pub fn send(&self, default: Action, rule: Action) {
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

const HEALTH: &str = "DescribeTargetHealth";
