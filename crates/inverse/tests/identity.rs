//! Who is who: by the provider's identity, by `moved` blocks, by the address.

mod common;

use common::*;
use rollback_inverse::{Fate, Identity};
use serde_json::json;

#[test]
fn an_unchanged_object_is_kept() {
    let both = state(&[object("aws_vpc.a", "vpc-1", json!({ "cidr_block": "10.0.0.0/8" }))]);
    let plan = plan_states(&both, &both);
    assert_eq!(fates(&plan), ["keep aws_vpc.a"]);
    assert!(plan.is_empty());
    let joined = joined(&both, Some(&both), &plan);
    assert!(!joined.edited);
    assert_eq!(joined.state.serial(), 4);
}

#[test]
fn the_same_id_at_another_address_is_a_move_without_any_block() {
    let target = state(&[object("aws_vpc.a", "vpc-1", json!({}))]);
    let current = state(&[object("module.m[\"k\"].aws_vpc.b[0]", "vpc-1", json!({}))]);
    let plan = plan_states(&current, &target);
    assert_eq!(fates(&plan), ["move module.m[\"k\"].aws_vpc.b[0] -> aws_vpc.a"]);
    assert_eq!(change(&plan, "aws_vpc.a").identity, Identity::Provider);
    let joined = joined(&current, Some(&target), &plan);
    assert!(joined.edited);
    assert_eq!(homes(&joined.state), homes(&target));
}

#[test]
fn a_swap_and_a_rotation_are_moves() {
    let place = |names: [&str; 3]| {
        state(&[
            object(&format!("aws_vpc.{}", names[0]), "vpc-1", json!({ "n": 1 })),
            object(&format!("aws_vpc.{}", names[1]), "vpc-2", json!({ "n": 2 })),
            object(&format!("aws_vpc.{}", names[2]), "vpc-3", json!({ "n": 3 })),
        ])
    };
    let target = place(["a", "b", "c"]);
    for names in [["b", "a", "c"], ["b", "c", "a"], ["c", "a", "b"]] {
        let current = place(names);
        let plan = plan_states(&current, &target);
        let summary = plan.summary();
        assert_eq!(
            summary.count(Fate::Move) + summary.count(Fate::Keep),
            3,
            "{:?}",
            fates(&plan)
        );
        assert_eq!(homes(&joined(&current, Some(&target), &plan).state), homes(&target));
    }
}

#[test]
fn count_and_for_each_keys_are_found_by_id() {
    let target = state(&[
        object("aws_subnet.n[0]", "s-0", json!({})),
        object("aws_subnet.n[1]", "s-1", json!({})),
    ]);
    let current = state(&[
        object("aws_subnet.n[\"a\"]", "s-0", json!({})),
        object("aws_subnet.n[\"b\"]", "s-1", json!({})),
    ]);
    let plan = plan_states(&current, &target);
    assert_eq!(
        fates(&plan),
        [
            "move aws_subnet.n[\"a\"] -> aws_subnet.n[0]",
            "move aws_subnet.n[\"b\"] -> aws_subnet.n[1]"
        ]
    );
    assert_eq!(homes(&joined(&current, Some(&target), &plan).state), homes(&target));
}

#[test]
fn one_id_in_two_regions_is_told_apart_by_the_arn() {
    let arn = |region: &str| json!({ "arn": format!("arn:aws:ssm:{region}:1:parameter/x") });
    let target = state(&[
        object("aws_ssm_parameter.east", "/x", arn("us-east-1")),
        object("aws_ssm_parameter.west", "/x", arn("us-west-2")),
    ]);
    let current = state(&[
        object("aws_ssm_parameter.p1", "/x", arn("us-west-2")),
        object("aws_ssm_parameter.p2", "/x", arn("us-east-1")),
    ]);
    let plan = plan_states(&current, &target);
    assert_eq!(
        fates(&plan),
        [
            "move aws_ssm_parameter.p2 -> aws_ssm_parameter.east",
            "move aws_ssm_parameter.p1 -> aws_ssm_parameter.west"
        ]
    );
}

#[test]
fn one_id_with_another_arn_is_another_object() {
    let target = state(&[object(
        "aws_ssm_parameter.a",
        "/x",
        json!({ "arn": "arn:east", "type": "String" }),
    )]);
    let current = state(&[object(
        "aws_ssm_parameter.b",
        "/x",
        json!({ "arn": "arn:west", "type": "String" }),
    )]);
    let plan = plan_states(&current, &target);
    assert_eq!(
        fates(&plan),
        ["create aws_ssm_parameter.a", "destroy aws_ssm_parameter.b"]
    );
}

#[test]
fn without_arns_the_region_tells() {
    let target = state(&[
        object("aws_x.east", "n", json!({ "region": "us-east-1" })),
        object("aws_x.west", "n", json!({ "region": "us-west-2" })),
    ]);
    let current = state(&[
        object("aws_x.p", "n", json!({ "region": "us-west-2" })),
        object("aws_x.q", "n", json!({ "region": "us-east-1" })),
    ]);
    let plan = plan_states(&current, &target);
    assert_eq!(
        fates(&plan),
        ["move aws_x.q -> aws_x.east", "move aws_x.p -> aws_x.west"]
    );
}

#[test]
fn an_id_that_every_object_has_tells_nothing() {
    let target = state(&[
        object("random_password.a", "none", json!({ "length": 8 })),
        object("random_password.old", "none", json!({ "length": 9 })),
    ]);
    let current = state(&[
        object("random_password.a", "none", json!({ "length": 8 })),
        object("random_password.new", "none", json!({ "length": 10 })),
    ]);
    let plan = plan_states(&current, &target);
    assert_eq!(
        fates(&plan),
        [
            "keep random_password.a",
            "destroy random_password.new",
            "create random_password.old"
        ]
    );
}

#[test]
fn terraforms_own_identity_decides_where_it_stands() {
    let identity = |bucket: &str| json!({ "identity_schema_version": 0, "identity": { "bucket": bucket } });
    let target = state(&[object("aws_x.a", "1", json!({})).with(identity("one"))]);
    let same = state(&[object("aws_x.b", "1", json!({})).with(identity("one"))]);
    let other = state(&[object("aws_x.b", "1", json!({})).with(identity("two"))]);
    assert_eq!(fates(&plan_states(&same, &target)), ["move aws_x.b -> aws_x.a"]);
    assert_eq!(
        fates(&plan_states(&other, &target)),
        ["create aws_x.a", "destroy aws_x.b"]
    );
}

#[test]
fn another_provider_is_another_world_but_the_two_registries_are_one() {
    let target = state(&[object("aws_x.a", "1", json!({}))]);
    let tofu = "provider[\"registry.opentofu.org/hashicorp/aws\"]";
    let fork = "provider[\"registry.terraform.io/acme/aws\"]";
    let current = |provider: &str| state(&[object("aws_x.b", "1", json!({})).provider(provider)]);
    assert_eq!(
        fates(&plan_states(&current(tofu), &target)),
        ["move aws_x.b -> aws_x.a"]
    );
    assert_eq!(
        fates(&plan_states(&current(fork), &target)),
        ["create aws_x.a", "destroy aws_x.b"]
    );
}

#[test]
fn a_chain_over_three_configurations_leads_back_where_ids_do_not() {
    // Replaced under the new name, so that no id is the same.
    let target = state(&[object("terraform_data.a", "1", json!({ "triggers_replace": "x" }))]);
    let current = state(&[object("terraform_data.c", "2", json!({ "triggers_replace": "y" }))]);
    let r1 = config("resource \"terraform_data\" \"a\" {\n  triggers_replace = \"x\"\n}\n");
    let r2 = config(
        "resource \"terraform_data\" \"b\" {}\nmoved {\n  from = terraform_data.a\n  to = terraform_data.b\n}\n",
    );
    let r3 = config(
        "resource \"terraform_data\" \"c\" {}\nmoved {\n  from = terraform_data.b\n  to = terraform_data.c\n}\n",
    );
    let plan = plan_back(&current, Some(&target), &[&r3, &r2, &r1]);
    assert_eq!(fates(&plan), ["replace terraform_data.c -> terraform_data.a"]);
    let change = change(&plan, "terraform_data.a");
    assert_eq!(change.identity, Identity::Chain);
    assert_eq!(
        homes(&joined(&current, Some(&target), &plan).state),
        ["terraform_data.a = 2"]
    );
    let plan = plan_states(&current, &target);
    assert_eq!(fates(&plan), ["create terraform_data.a", "destroy terraform_data.c"]);
}

#[test]
fn a_stale_block_in_the_target_does_not_mislead() {
    let target = state(&[object("terraform_data.b", "1", json!({}))]);
    let current = state(&[object("terraform_data.c", "1", json!({}))]);
    let r2 = config(
        "resource \"terraform_data\" \"b\" {}\nmoved {\n  from = terraform_data.a\n  to = terraform_data.b\n}\n",
    );
    let r3 = config(
        "resource \"terraform_data\" \"c\" {}\nmoved {\n  from = terraform_data.a\n  to = terraform_data.b\n}\n\
         moved {\n  from = terraform_data.b\n  to = terraform_data.c\n}\n",
    );
    let plan = plan_back(&current, Some(&target), &[&r3, &r2]);
    assert_eq!(fates(&plan), ["move terraform_data.c -> terraform_data.b"]);
    let plan = plan_back(&current, None, &[&r3, &r2]);
    assert_eq!(fates(&plan), ["move terraform_data.c -> terraform_data.b"]);
}

#[test]
fn a_stale_block_in_the_target_takes_no_other_object() {
    // b was destroyed since, and another object was made under the address that b once had.
    let target = state(&[object("terraform_data.b", "1", json!({}))]);
    let current = state(&[object("terraform_data.a", "2", json!({}))]);
    let r2 = config(
        "resource \"terraform_data\" \"b\" {}\nmoved {\n  from = terraform_data.a\n  to = terraform_data.b\n}\n",
    );
    let r3 = config("resource \"terraform_data\" \"a\" {}\n");
    let plan = plan_back(&current, Some(&target), &[&r3, &r2]);
    assert_eq!(fates(&plan), ["destroy terraform_data.a", "create terraform_data.b"]);
    assert_eq!(
        homes(&joined(&current, Some(&target), &plan).state),
        ["terraform_data.a_rolled_back_1 = 2"]
    );
}

#[test]
fn a_stale_block_of_a_module_takes_no_other_module() {
    let target = state(&[object("module.new.terraform_data.x", "1", json!({}))]);
    let current = state(&[object("module.old.terraform_data.x", "2", json!({}))]);
    let module = ("m/main.tf", "resource \"terraform_data\" \"x\" {}\n");
    let r2 = configs(&[
        (
            "main.tf",
            "module \"new\" {\n  source = \"./m\"\n}\nmoved {\n  from = module.old\n  to = module.new\n}\n",
        ),
        module,
    ]);
    let r3 = configs(&[("main.tf", "module \"old\" {\n  source = \"./m\"\n}\n"), module]);
    let plan = plan_back(&current, Some(&target), &[&r3, &r2]);
    // In its module it would be moved along.
    assert_eq!(
        homes(&joined(&current, Some(&target), &plan).state),
        ["terraform_data.x_rolled_back_1 = 2"]
    );
}

#[test]
fn a_renamed_module_takes_all_its_objects_back() {
    let target = state(&[
        object("module.web.aws_vpc.x", "1", json!({})),
        object("module.web.aws_vpc.y", "2", json!({})),
    ]);
    let current = state(&[
        object("module.front.aws_vpc.x", "1", json!({})),
        object("module.front.aws_vpc.y", "2", json!({})),
    ]);
    let plan = plan_states(&current, &target);
    assert_eq!(
        fates(&plan),
        [
            "move module.front.aws_vpc.x -> module.web.aws_vpc.x",
            "move module.front.aws_vpc.y -> module.web.aws_vpc.y"
        ]
    );
}

#[test]
fn hostile_keys_survive() {
    let hostile = [
        "a\"b",
        "line\nbreak",
        "${x}",
        "%{y}",
        "",
        "module.x[\"y\"]",
        "ünï",
        "\\",
    ];
    let address = |name: &str, key: &str| {
        let mut address = object("aws_x.a", "", json!({})).address;
        address.resource.name = name.to_string();
        address.key = Some(rollback_state::Key::Str(key.to_string()));
        address
    };
    let with = |name: &str| {
        let objects: Vec<Object> = hostile
            .iter()
            .enumerate()
            .map(|(index, key)| {
                let mut object = object("aws_x.a", &format!("id-{index}"), json!({}));
                object.address = address(name, key);
                object
            })
            .collect();
        state(&objects)
    };
    let (target, current) = (with("a"), with("b"));
    let plan = plan_states(&current, &target);
    assert_eq!(plan.summary().count(Fate::Move), hostile.len());
    assert_eq!(homes(&joined(&current, Some(&target), &plan).state), homes(&target));
}

#[test]
fn the_generated_truth_is_found_exactly_both_ways() {
    use std::collections::BTreeSet;
    for (size, seed) in [(400, 1), (2_000, 2)] {
        let series = states::series(size, seed);
        let older = rollback_state::State::parse(series.older).expect("a state");
        let newer = rollback_state::State::parse(series.newer).expect("a state");
        for forward in [false, true] {
            let (current, target) = if forward { (&older, &newer) } else { (&newer, &older) };
            let plan = plan_states(current, target);
            let with = |fate: Fate| -> BTreeSet<String> {
                plan.changes
                    .iter()
                    .filter(|change| change.fate == fate)
                    .map(|change| change.address().to_string())
                    .collect()
            };
            let (created, destroyed) = if forward {
                (&series.truth.added, &series.truth.removed)
            } else {
                (&series.truth.removed, &series.truth.added)
            };
            assert_eq!(with(Fate::Update), series.truth.changed);
            assert_eq!(&with(Fate::Create), created);
            assert_eq!(&with(Fate::Destroy), destroyed);
            let moved: BTreeSet<(String, String)> = plan
                .changes
                .iter()
                .filter_map(|change| {
                    let (from, to) = (change.previous_address()?.to_string(), change.address().to_string());
                    Some(if forward { (from, to) } else { (to, from) })
                })
                .collect();
            assert_eq!(moved, series.truth.moved);
            assert!(!plan.to_json().to_string().contains("correct-horse-battery"));
        }
    }
}
