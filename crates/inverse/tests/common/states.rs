//! Makes pairs of states as a stack has them before and after a release, with the truth about what changed.
#![allow(dead_code)]

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

/// A small generator of numbers (SplitMix64), so that a seed always gives the same states.
pub struct Numbers(pub u64);

impl Numbers {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

/// What happened from the older to the newer state, as addresses.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Truth {
    pub changed: BTreeSet<String>,
    pub added: BTreeSet<String>,
    pub removed: BTreeSet<String>,
    pub moved: BTreeSet<(String, String)>,
}

pub struct Series {
    pub older: Vec<u8>,
    pub newer: Vec<u8>,
    pub truth: Truth,
}

#[derive(Clone)]
struct Object {
    module: String,
    kind: &'static str,
    name: String,
    attributes: Map<String, Value>,
}

impl Object {
    fn address(&self) -> String {
        format!("{}.{}.{}", self.module, self.kind, self.name)
    }
}

const KINDS: [&str; 6] = [
    "aws_instance",
    "aws_security_group",
    "aws_db_instance",
    "aws_iam_role",
    "aws_s3_bucket",
    "aws_ecs_service",
];

fn fresh(numbers: &mut Numbers, count: &mut usize) -> Object {
    *count += 1;
    let kind = KINDS[numbers.below(KINDS.len())];
    let id = format!("{}-{:017x}", &kind[4..8], numbers.next());
    let mut attributes = Map::new();
    attributes.insert(
        "arn".into(),
        format!("arn:aws:x:us-east-1:123456789012:{kind}/{id}").into(),
    );
    for filler in 0..14 {
        attributes.insert(
            format!("attribute_{filler:02}"),
            match filler % 4 {
                0 => Value::from(format!("value {filler} of some length, as attributes have")),
                1 => Value::Null,
                2 => json!([{ "cidr_blocks": ["10.0.0.0/8", "192.168.0.0/16"], "from_port": filler, "self": false }]),
                _ => json!({ "Name": "x", "environment": "production", "number": filler }),
            },
        );
    }
    attributes.insert("description".into(), "".into());
    attributes.insert("id".into(), id.into());
    attributes.insert("name".into(), format!("name-{count}").into());
    if kind == "aws_db_instance" {
        attributes.insert("password".into(), "correct-horse-battery".into());
    }
    attributes.insert("tags".into(), Value::Null);
    Object {
        module: format!("module.m{}", numbers.below(40)),
        kind,
        name: format!("r{count}"),
        attributes,
    }
}

/// Two states of so many objects, of which half a percent changes, and a tenth of a percent each is
/// added, removed and moved.
pub fn series(instances: usize, seed: u64) -> Series {
    let mut numbers = Numbers(seed);
    let mut count = 0;
    let mut live: Vec<Object> = (0..instances).map(|_| fresh(&mut numbers, &mut count)).collect();
    let older = write(&live, 1);
    let mut truth = Truth::default();
    let changes = (instances / 200).max(1);
    let part = (changes / 5).max(1);
    for _ in 0..changes {
        let object = &mut live[numbers.below(instances / 2)];
        object.attributes.insert("tags".into(), json!({ "release": "1" }));
        object.attributes.insert("description".into(), "release 1".into());
        truth.changed.insert(object.address());
    }
    for step in 0..part {
        // The second half is left for these, each at its own place.
        let object = &mut live[instances / 2 + step];
        let from = object.address();
        object.name = format!("moved{}", object.name);
        truth.moved.insert((from, object.address()));
    }
    for object in live.split_off(instances - part) {
        truth.removed.insert(object.address());
    }
    for _ in 0..part {
        let object = fresh(&mut numbers, &mut count);
        truth.added.insert(object.address());
        live.push(object);
    }
    Series {
        older,
        newer: write(&live, 2),
        truth,
    }
}

fn write(objects: &[Object], serial: u64) -> Vec<u8> {
    let mut sorted: Vec<&Object> = objects.iter().collect();
    sorted.sort_by_key(|object| object.address());
    let resources: Vec<Value> = sorted
        .iter()
        .map(|object| {
            json!({
                "module": object.module, "mode": "managed", "type": object.kind, "name": object.name,
                "provider": "provider[\"registry.terraform.io/hashicorp/aws\"]",
                "instances": [{
                    "schema_version": 1, "attributes": object.attributes, "sensitive_attributes": [], "private": "bnVsbA==",
                }],
            })
        })
        .collect();
    let state = json!({
        "version": 4, "terraform_version": "1.11.4", "serial": serial, "lineage": "5a0f1ff0-0000-4000-8000-000000000000",
        "outputs": {}, "resources": resources, "check_results": null,
    });
    serde_json::to_vec_pretty(&state).expect("a state is JSON")
}
