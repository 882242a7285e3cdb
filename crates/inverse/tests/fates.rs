//! Every fate, its reason and how much of it can be taken back.

mod common;

use common::*;
use rollback_inverse::{Fate, Identity, Reversibility};
use serde_json::json;

#[test]
fn an_update_says_which_attributes_and_from_what_to_what() {
    let target = state(&[object("terraform_data.a", "1", json!({ "input": "v1" }))]);
    let current = state(&[object("terraform_data.a", "1", json!({ "input": "v2" }))]);
    let plan = plan_states(&current, &target);
    let change = change(&plan, "terraform_data.a");
    assert_eq!(change.fate, Fate::Update);
    assert_eq!(
        serde_json::to_value(&change.patch).unwrap(),
        json!([{ "op": "replace", "path": "/input", "value": "v1" }])
    );
    assert_eq!(change.reason, "input changed since and is set back.");
    assert_eq!(change.reversibility, Reversibility::Lossless);
    assert_eq!(homes(&joined(&current, Some(&target), &plan).state), homes(&current));
}

#[test]
fn what_moved_and_changed_is_an_update_from_one_address_to_the_other() {
    let target = state(&[object("terraform_data.a", "1", json!({ "input": "v1" }))]);
    let current = state(&[object("terraform_data.b", "1", json!({ "input": "v2" }))]);
    let plan = plan_states(&current, &target);
    assert_eq!(fates(&plan), ["update terraform_data.b -> terraform_data.a"]);
    let json = plan.to_json();
    let row = row(&json, "terraform_data.a");
    assert_eq!(row["previous_address"], "terraform_data.b");
    assert_eq!(row["change"]["actions"], json!(["update"]));
}

#[test]
fn only_computed_differences_are_kept_where_the_configuration_tells() {
    let target = state(&[object(
        "aws_lambda_function.f",
        "f",
        json!({ "handler": "a", "last_modified": "1", "code_sha256": "x" }),
    )]);
    let current = state(&[object(
        "aws_lambda_function.f",
        "f",
        json!({ "handler": "a", "last_modified": "2", "code_sha256": "y" }),
    )]);
    let declared = config("resource \"aws_lambda_function\" \"f\" {\n  handler = \"a\"\n}\n");
    let plan = plan_back(&current, Some(&target), &[&declared, &declared]);
    let kept = change(&plan, "aws_lambda_function.f");
    assert_eq!(kept.fate, Fate::Keep);
    assert_eq!(kept.computed, ["code_sha256", "last_modified"]);
    assert!(
        kept.notes[0].contains("Only what the provider computes differs"),
        "{:?}",
        kept.notes
    );
    assert_eq!(
        fate(&plan_states(&current, &target), "aws_lambda_function.f"),
        Fate::Update
    );
}

#[test]
fn ignored_changes_are_no_changes() {
    let target = state(&[object("aws_x.f", "f", json!({ "size": 1 }))]);
    let current = state(&[object("aws_x.f", "f", json!({ "size": 2 }))]);
    let plain = config("resource \"aws_x\" \"f\" {\n  size = 1\n}\n");
    let ignoring =
        config("resource \"aws_x\" \"f\" {\n  size = 1\n  lifecycle {\n    ignore_changes = [size]\n  }\n}\n");
    let all = config("resource \"aws_x\" \"f\" {\n  size = 1\n  lifecycle {\n    ignore_changes = all\n  }\n}\n");
    assert_eq!(
        fate(&plan_back(&current, Some(&target), &[&plain]), "aws_x.f"),
        Fate::Update
    );
    assert_eq!(
        fate(&plan_back(&current, Some(&target), &[&ignoring]), "aws_x.f"),
        Fate::Keep
    );
    assert_eq!(
        fate(&plan_back(&current, Some(&target), &[&all]), "aws_x.f"),
        Fate::Keep
    );
}

#[test]
fn tags_that_the_provider_adds_count_where_nothing_else_explains_them() {
    let at = |own: &str, all: &str| {
        state(&[object(
            "aws_vpc.a",
            "1",
            json!({ "tags": { "own": own }, "tags_all": { "own": own, "all": all } }),
        )])
    };
    let declared = config("resource \"aws_vpc\" \"a\" {\n  tags = { own = \"x\" }\n}\n");
    let configured = |now: &rollback_state::State, then: &rollback_state::State| {
        change(&plan_back(now, Some(then), &[&declared]), "aws_vpc.a")
            .configured
            .clone()
    };
    assert_eq!(configured(&at("x", "2"), &at("x", "1")), ["tags_all"]);
    assert_eq!(configured(&at("y", "1"), &at("x", "1")), ["tags"]);
}

#[test]
fn numbers_that_are_written_differently_do_not_differ() {
    let target = state(&[object("aws_x.f", "f", json!({ "n": [1], "absent": null }))]);
    let text = String::from_utf8(target.bytes().to_vec())
        .unwrap()
        .replace("[1]", "[1.0]")
        .replace(",\"absent\":null", "");
    let current = rollback_state::State::parse(text).unwrap();
    assert_eq!(fate(&plan_states(&current, &target), "aws_x.f"), Fate::Keep);
}

#[test]
fn what_was_added_is_destroyed_and_stays_in_the_joined_state() {
    let target = state(&[object("aws_vpc.a", "1", json!({}))]);
    let current = state(&[object("aws_vpc.a", "1", json!({})), object("aws_vpc.b", "2", json!({}))]);
    let plan = plan_states(&current, &target);
    assert_eq!(fates(&plan), ["keep aws_vpc.a", "destroy aws_vpc.b"]);
    assert_eq!(change(&plan, "aws_vpc.b").reversibility, Reversibility::Lossless);
    assert_eq!(homes(&joined(&current, Some(&target), &plan).state), homes(&current));
}

#[test]
fn what_was_destroyed_comes_back_empty() {
    let target = state(&[
        object("aws_s3_bucket.a", "b", json!({})),
        object("aws_vpc.a", "1", json!({})),
    ]);
    let current = state(&[]);
    let plan = plan_states(&current, &target);
    assert_eq!(fates(&plan), ["create aws_s3_bucket.a", "create aws_vpc.a"]);
    let bucket = change(&plan, "aws_s3_bucket.a");
    assert_eq!(bucket.reversibility, Reversibility::RecreatedEmpty);
    assert!(bucket.holds.as_deref().unwrap().contains("objects"));
    assert_eq!(change(&plan, "aws_vpc.a").reversibility, Reversibility::Lossless);
}

#[test]
fn destroying_what_holds_data_loses_it_and_a_key_never_comes_back() {
    let current = state(&[
        object(
            "aws_db_instance.d",
            "d",
            json!({ "deletion_protection": false, "skip_final_snapshot": false }),
        ),
        object("aws_kms_key.k", "k", json!({})),
        object("aws_ssm_parameter.p", "/p", json!({})),
    ]);
    let plan = plan_states(&current, &state(&[]));
    let database = change(&plan, "aws_db_instance.d");
    assert_eq!(
        (database.fate, database.reversibility),
        (Fate::Destroy, Reversibility::DataLoss)
    );
    assert!(
        database
            .notes
            .iter()
            .any(|note| note.contains("final snapshot is taken")),
        "{:?}",
        database.notes
    );
    assert_eq!(
        change(&plan, "aws_kms_key.k").reversibility,
        Reversibility::Irreversible
    );
    assert_eq!(
        change(&plan, "aws_ssm_parameter.p").reversibility,
        Reversibility::Lossless
    );
    assert_eq!(plan.needing_acceptance().count(), 2);
}

#[test]
fn deletion_protection_makes_a_destroy_impossible() {
    let current = state(&[object("aws_db_instance.d", "d", json!({ "deletion_protection": true }))]);
    let plan = plan_states(&current, &state(&[]));
    let change = change(&plan, "aws_db_instance.d");
    assert_eq!(change.fate, Fate::Impossible);
    assert!(change.reason.contains("deletion_protection"), "{}", change.reason);
    assert!(change.hint.as_deref().unwrap().contains("apply that first"));
    assert_eq!(
        row(&plan.to_json(), "aws_db_instance.d")["change"]["actions"],
        json!(["delete"])
    );
    assert_eq!(homes(&joined(&current, None, &plan).state), homes(&current));
}

#[test]
fn versions_do_not_go_down_and_volumes_do_not_shrink() {
    let at = |version: &str, size: u64| {
        state(&[object(
            "aws_db_instance.d",
            "d",
            json!({ "engine_version": version, "allocated_storage": size }),
        )])
    };
    let plan = plan_states(&at("15.4", 100), &at("14.9", 50));
    let change = change(&plan, "aws_db_instance.d");
    assert_eq!(
        (change.fate, change.reversibility),
        (Fate::Impossible, Reversibility::Irreversible)
    );
    let said = format!("{} {:?}", change.reason, change.notes);
    assert!(said.contains("100 to 50") && said.contains("15.4 to 14.9"), "{said}");
    assert!(change.hint.is_some());
    assert_eq!(
        row(&plan.to_json(), "aws_db_instance.d")["change"]["actions"],
        json!(["update"])
    );
    // Upwards is no matter, and a version that leaves the minor open is no downgrade.
    assert_eq!(
        fate(&plan_states(&at("14.9", 50), &at("15.4", 100)), "aws_db_instance.d"),
        Fate::Update
    );
    assert_eq!(
        fate(&plan_states(&at("15.4", 50), &at("15", 50)), "aws_db_instance.d"),
        Fate::Update
    );
}

#[test]
fn a_shorter_retention_loses_data() {
    let at = |days: u64| {
        state(&[object(
            "aws_cloudwatch_log_group.l",
            "l",
            json!({ "retention_in_days": days }),
        )])
    };
    let plan = plan_states(&at(90), &at(7));
    assert_eq!(
        change(&plan, "aws_cloudwatch_log_group.l").reversibility,
        Reversibility::DataLoss
    );
    let plan = plan_states(&at(7), &at(90));
    assert_eq!(
        change(&plan, "aws_cloudwatch_log_group.l").reversibility,
        Reversibility::Lossless
    );
}

#[test]
fn switching_a_safeguard_off_loses_what_it_kept() {
    let at = |on: bool| {
        state(&[object(
            "aws_dynamodb_table.t",
            "t",
            json!({ "point_in_time_recovery": [{ "enabled": on }] }),
        )])
    };
    let plan = plan_states(&at(true), &at(false));
    assert_eq!(
        change(&plan, "aws_dynamodb_table.t").reversibility,
        Reversibility::DataLoss
    );
    let plan = plan_states(&at(false), &at(true));
    assert_eq!(
        change(&plan, "aws_dynamodb_table.t").reversibility,
        Reversibility::Lossless
    );
}

#[test]
fn replaced_under_another_name_is_replaced_again() {
    let at = |name: &str| {
        state(&[object(
            "aws_ssm_parameter.a",
            name,
            json!({ "name": name, "type": "String" }),
        )])
    };
    let plan = plan_states(&at("/app/y"), &at("/app/x"));
    let change = change(&plan, "aws_ssm_parameter.a");
    assert_eq!((change.fate, change.identity), (Fate::Replace, Identity::Address));
    assert_eq!(change.reversibility, Reversibility::Lossless);
    assert_eq!(
        row(&plan.to_json(), "aws_ssm_parameter.a")["change"]["actions"],
        json!(["delete", "create"])
    );
}

#[test]
fn replaced_with_the_same_arguments_is_kept_and_so_is_what_refers_to_it() {
    let at = |id: &str| {
        // Each before what it refers to.
        state(&[
            object(
                "terraform_data.aa",
                &format!("aa-{id}"),
                json!({ "triggers_replace": format!("z-{id}") }),
            ),
            object(
                "terraform_data.z",
                &format!("z-{id}"),
                json!({ "triggers_replace": format!("deeper-{id}") }),
            ),
            object(
                "terraform_data.deeper",
                &format!("deeper-{id}"),
                json!({ "triggers_replace": id }),
            ),
            object("terraform_data.dep", "dep", json!({ "input": id, "output": id })),
            object("terraform_data.a", id, json!({ "input": "x", "output": "x" })),
        ])
    };
    let (current, target) = (at("id-two"), at("id-one"));
    let declared = config(
        "resource \"terraform_data\" \"a\" {\n  input = \"x\"\n}\nresource \"terraform_data\" \"dep\" {\n  input = terraform_data.a.id\n}\n\
         resource \"terraform_data\" \"deeper\" {\n  triggers_replace = terraform_data.a.id\n}\n\
         resource \"terraform_data\" \"aa\" {\n  triggers_replace = terraform_data.z.id\n}\n\
         resource \"terraform_data\" \"z\" {\n  triggers_replace = terraform_data.deeper.id\n}\n",
    );
    for plan in [
        plan_states(&current, &target),
        plan_back(&current, Some(&target), &[&declared]),
    ] {
        assert!(
            plan.changes.iter().all(|change| change.fate == Fate::Keep),
            "{:?}",
            fates(&plan)
        );
        assert!(change(&plan, "terraform_data.a").notes[0].contains("replaced since, with the same arguments"));
    }
}

#[test]
fn replaced_and_changed_in_what_changes_in_place_is_an_update() {
    let at = |id: &str, input: &str| {
        state(&[object(
            "terraform_data.a",
            id,
            json!({ "input": input, "output": input }),
        )])
    };
    let plan = plan_states(&at("2", "v2"), &at("1", "v1"));
    assert_eq!(fate(&plan, "terraform_data.a"), Fate::Update);
}

#[test]
fn a_new_trigger_replaces_even_the_same_object() {
    let at = |trigger: &str| state(&[object("terraform_data.a", "1", json!({ "triggers_replace": trigger }))]);
    assert_eq!(
        fate(&plan_states(&at("y"), &at("x")), "terraform_data.a"),
        Fate::Replace
    );
}

#[test]
fn the_replacement_of_what_holds_data_loses_it() {
    let at = |id: &str, az: &str| {
        state(&[object(
            "aws_ebs_volume.v",
            id,
            json!({ "availability_zone": az, "size": 1 }),
        )])
    };
    let plan = plan_states(&at("vol-2", "b"), &at("vol-1", "a"));
    let change = change(&plan, "aws_ebs_volume.v");
    assert_eq!(
        (change.fate, change.reversibility),
        (Fate::Replace, Reversibility::DataLoss)
    );
}

#[test]
fn a_taint_that_came_since_is_lifted() {
    let target = state(&[object("aws_vpc.a", "1", json!({}))]);
    let tainted = state(&[object("aws_vpc.a", "1", json!({})).with(json!({ "status": "tainted" }))]);
    let plan = plan_states(&tainted, &target);
    let change = change(&plan, "aws_vpc.a");
    assert_eq!(change.fate, Fate::Keep);
    assert_eq!(change.notes, ["It was marked tainted since; the mark is lifted."]);
    let joined = joined(&tainted, Some(&target), &plan);
    assert!(joined.edited);
    assert!(!joined.state.instance(&id("aws_vpc.a")).unwrap().tainted());
    // Tainted then as well, or another object: Terraform replaces it.
    assert_eq!(fate(&plan_states(&tainted, &tainted), "aws_vpc.a"), Fate::Replace);
    let other = state(&[object("aws_vpc.a", "2", json!({})).with(json!({ "status": "tainted" }))]);
    let plan = plan_states(&other, &target);
    assert_eq!(fate(&plan, "aws_vpc.a"), Fate::Replace);
    assert_eq!(
        row(&plan.to_json(), "aws_vpc.a")["action_reason"],
        "replace_because_tainted"
    );
}

#[test]
fn leftovers_are_destroyed_beside_the_object_that_is_kept() {
    let target = state(&[object("aws_vpc.a", "1", json!({}))]);
    let current = state(&[
        object("aws_vpc.a", "1", json!({})),
        object("aws_vpc.a", "0", json!({})).with(json!({ "deposed": "0123abcd" })),
    ]);
    let plan = plan_states(&current, &target);
    assert_eq!(fates(&plan), ["keep aws_vpc.a", "destroy aws_vpc.a"]);
    let json = plan.to_json();
    let row = row(&json, "aws_vpc.a");
    assert_eq!(row["deposed"], "0123abcd");
    assert_eq!(homes(&joined(&current, Some(&target), &plan).state), homes(&current));
}

#[test]
fn one_object_under_two_addresses_is_never_destroyed() {
    let attributes = json!({ "arn": "arn:aws:s3:::b", "bucket": "b" });
    let target = state(&[object("aws_s3_bucket.a", "b", attributes.clone())]);
    let current = state(&[
        object("aws_s3_bucket.a", "b", attributes.clone()),
        object("aws_s3_bucket.copy", "b", attributes),
    ]);
    let plan = plan_states(&current, &target);
    assert_eq!(fates(&plan), ["keep aws_s3_bucket.a", "forget aws_s3_bucket.copy"]);
}

#[test]
fn an_object_in_the_way_makes_room() {
    // a was renamed to b, and another object was made as a.
    let target = state(&[object("aws_vpc.a", "1", json!({}))]);
    let current = state(&[object("aws_vpc.a", "2", json!({})), object("aws_vpc.b", "1", json!({}))]);
    let plan = plan_states(&current, &target);
    assert_eq!(
        fates(&plan),
        ["destroy aws_vpc.a", "move aws_vpc.b -> aws_vpc.a"].to_vec()
    );
    let joined = joined(&current, Some(&target), &plan);
    assert_eq!(homes(&joined.state), ["aws_vpc.a = 1", "aws_vpc.a_rolled_back_1 = 2"]);
    let json = plan.to_json();
    assert_eq!(row(&json, "aws_vpc.a")["parked"], "aws_vpc.a_rolled_back_1");
}

#[test]
fn data_sources_are_no_part_of_the_plan() {
    let current = state(&[object("data.aws_ami.x", "ami-2", json!({}))]);
    let target = state(&[
        object("data.aws_ami.x", "ami-1", json!({})),
        object("data.aws_ami.y", "ami-1", json!({})),
    ]);
    let plan = plan_states(&current, &target);
    assert!(plan.changes.is_empty());
    assert!(!joined(&current, Some(&target), &plan).edited);
}

#[test]
fn a_newer_schema_gives_way_to_the_targets_own_record() {
    let target = state(&[object("terraform_data.app", "1", json!({ "input": "v1" }))]);
    let current = state(&[
        object("terraform_data.app", "1", json!({ "input": "v2" })).with(json!({ "schema_version": 1 })),
        object("terraform_data.new", "2", json!({})).with(json!({ "schema_version": 1 })),
    ]);
    let plan = plan_states(&current, &target);
    let change = change(&plan, "terraform_data.app");
    assert_eq!(change.fate, Fate::Update);
    assert!(
        change.notes.iter().any(|note| note.contains("the target's own record")),
        "{:?}",
        change.notes
    );
    let joined = joined(&current, Some(&target), &plan);
    let app = joined.state.instance(&id("terraform_data.app")).unwrap();
    assert_eq!(app.schema_version(), 0);
    assert_eq!(app.string_attribute(&joined.state, "input").as_deref(), Some("v1"));
    assert!(
        plan.warnings
            .iter()
            .any(|warning| warning.contains("terraform_data.new")),
        "{:?}",
        plan.warnings
    );
}
