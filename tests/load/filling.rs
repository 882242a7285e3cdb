//! A store full of releases, written as `snapshot` writes them, without a terraform apply for each.

use rollback_release::{Catalogue, Release, ReleaseId, StateRecord, Store, all_keys, keys};
use rollback_store_local::LocalStore;
use rollback_tests::World;
use serde_json::{Value, json};

/// The stack of the world's repository.
pub const STACK: &str = "repo";

/// Instances of each state.
const INSTANCES: usize = 100;

/// Makes so many releases beside the one that is there; the one in the middle.
pub fn fill(world: &World, releases: usize) -> ReleaseId {
    let store = LocalStore::open(&world.home.join("store")).expect("the embedded store");
    let found = all_keys(&store, "projects/").expect("its keys can be read");
    let manifest = found
        .iter()
        .find(|key| keys::is_release(key))
        .expect("there is a release");
    let project = manifest.split('/').nth(1).expect("it is a project's").to_owned();
    let catalogue = Catalogue::new(&store, &project);
    let first = catalogue.latest().expect("it can be read").expect("there is one");
    let (mut made, mut before) = (Vec::new(), None);
    for number in 0..releases {
        let bytes = state(number);
        let blob = store
            .put_blob_like(&bytes, before.as_ref())
            .expect("a state can be kept");
        before = Some(blob);
        let mut release = Release::new(format!("{number:040x}"), format!("deployer {}", number % 7));
        release.name = Some(format!("v1.{number}.0"));
        let mut stack = first.stacks[0].clone();
        assert_eq!(stack.name, STACK);
        stack.state = Some(StateRecord {
            blob,
            sha256: blob_sha256(&bytes),
            serial: number as u64 + 1,
            lineage: "load".to_owned(),
            terraform_version: "1.11.4".to_owned(),
            instances: INSTANCES,
        });
        release.stacks.push(stack);
        catalogue.commit(&release).expect("a release can be kept");
        made.push(release.id);
    }
    made.swap_remove(releases / 2)
}

fn blob_sha256(bytes: &[u8]) -> String {
    ring::digest::digest(&ring::digest::SHA256, bytes)
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// A state of web servers, two of which are different from one release to the next.
fn state(number: usize) -> Vec<u8> {
    let instance = |index: usize| -> Value {
        let changed = (number + INSTANCES - index) / (INSTANCES / 2);
        json!({ "index_key": index, "schema_version": 1, "sensitive_attributes": [], "attributes": {
            "id": format!("i-{index:012x}"), "ami": format!("ami-{changed:08x}"), "instance_type": "t3.micro",
            "private_ip": format!("10.0.{}.{}", index / 250, index % 250), "user_data": format!("#!/bin/sh\nrun {changed}\n"),
            "password": format!("secret-{index}-{changed}"), "tags": { "Name": format!("web-{index}"), "Release": changed.to_string() },
            "vpc_security_group_ids": ["sg-0123456789abcdef0"], "subnet_id": "subnet-0123456789abcdef0",
        } })
    };
    let document = json!({
        "version": 4, "terraform_version": "1.11.4", "serial": number + 1, "lineage": "load", "outputs": {},
        "resources": [{ "mode": "managed", "type": "aws_instance", "name": "web",
            "provider": "provider[\"registry.terraform.io/hashicorp/aws\"]",
            "instances": (0..INSTANCES).map(instance).collect::<Vec<_>>() }],
        "check_results": null,
    });
    serde_json::to_vec_pretty(&document).expect("JSON")
}
