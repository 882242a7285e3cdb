//! Every fate, its reason and how much of it can be taken back.

mod common;

use common::*;
use rollback_inverse::{Direction, Fate, Identity, Reversibility};
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
        state(&[
            object("terraform_data.a", id, json!({ "input": "x", "output": "x" })),
            object("terraform_data.dep", "dep", json!({ "input": id, "output": id })),
            object(
                "terraform_data.deeper",
                &format!("deeper-{id}"),
                json!({ "triggers_replace": id }),
            ),
        ])
    };
    let (current, target) = (at("id-two"), at("id-one"));
    let declared = config(
        "resource \"terraform_data\" \"a\" {\n  input = \"x\"\n}\nresource \"terraform_data\" \"dep\" {\n  input = terraform_data.a.id\n}\n\
         resource \"terraform_data\" \"deeper\" {\n  triggers_replace = terraform_data.a.id\n}\n",
    );
    for plan in [
        plan_states(&current, &target),
        plan_back(&current, Some(&target), &[&declared]),
    ] {
        assert_eq!(
            fates(&plan),
            [
                "keep terraform_data.a",
                "keep terraform_data.deeper",
                "keep terraform_data.dep"
            ]
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
fn prevent_destroy_counts_from_either_release() {
    let target = state(&[object("terraform_data.app", "1", json!({}))]);
    let current = state(&[
        object("terraform_data.app", "1", json!({})),
        object("terraform_data.ledger", "2", json!({})),
    ]);
    let r1 = config("resource \"terraform_data\" \"app\" {}\n");
    let r2 = config(
        "resource \"terraform_data\" \"app\" {}\nresource \"terraform_data\" \"ledger\" {\n  lifecycle {\n    prevent_destroy = true\n  }\n}\n",
    );
    let plan = plan_back(&current, Some(&target), &[&r2, &r1]);
    let ledger = change(&plan, "terraform_data.ledger");
    assert_eq!(
        (ledger.fate, ledger.reversibility),
        (Fate::Destroy, Reversibility::Irreversible)
    );
    assert!(
        ledger.protected.as_deref().unwrap().contains("current release"),
        "{:?}",
        ledger.protected
    );
    // Protected in the target: a replacement loses data at least.
    let protected = config(
        "resource \"terraform_data\" \"app\" {\n  triggers_replace = 1\n  lifecycle {\n    prevent_destroy = true\n  }\n}\n",
    );
    let then = state(&[object("terraform_data.app", "1", json!({ "triggers_replace": 1 }))]);
    let now = state(&[object("terraform_data.app", "2", json!({ "triggers_replace": 2 }))]);
    let plan = plan_back(&now, Some(&then), &[&r1, &protected]);
    let app = change(&plan, "terraform_data.app");
    assert_eq!((app.fate, app.reversibility), (Fate::Replace, Reversibility::DataLoss));
    assert!(app.protected.as_deref().unwrap().contains("target release"));
}

const KEEP: &str = "resource \"terraform_data\" \"keep\" {}\n";
const LEGACY: &str = "resource \"terraform_data\" \"legacy\" {}\n";
const REMOVED: &str = "removed {\n  from = terraform_data.legacy\n  lifecycle {\n    destroy = false\n  }\n}\n";

#[test]
fn what_was_let_go_is_taken_in_again() {
    let target = state(&[
        object("terraform_data.keep", "1", json!({})),
        object("terraform_data.legacy", "2", json!({ "input": "y" })),
    ]);
    let current = state(&[object("terraform_data.keep", "1", json!({}))]);
    let r1 = config(&format!("{KEEP}{LEGACY}"));
    let r2 = config(&format!("{KEEP}{REMOVED}"));
    let r3 = config(KEEP);
    // The block may have gone again since.
    for way in [&[&r2, &r1][..], &[&r3, &r2, &r1]] {
        let plan = plan_back(&current, Some(&target), way);
        assert_eq!(
            fates(&plan),
            ["keep terraform_data.keep", "adopt terraform_data.legacy"]
        );
        let json = plan.to_json();
        let row = row(&json, "terraform_data.legacy");
        assert_eq!(row["change"]["importing"], json!({ "id": "2" }));
        assert_eq!(row["change"]["actions"], json!(["no-op"]));
        assert_eq!(homes(&joined(&current, Some(&target), &plan).state), homes(&target));
    }
    // A removed block that destroys is no letting go.
    let destroying = config(&format!("{KEEP}removed {{\n  from = terraform_data.legacy\n}}\n"));
    let plan = plan_back(&current, Some(&target), &[&destroying, &r1]);
    assert_eq!(fate(&plan, "terraform_data.legacy"), Fate::Create);
}

#[test]
fn opentofu_lets_go_where_terraform_destroys() {
    let tofu = |object: Object| object.provider("provider[\"registry.opentofu.org/hashicorp/x\"]");
    let target = state(&[
        tofu(object("x_y.keep", "1", json!({}))),
        tofu(object("x_y.legacy", "2", json!({}))),
    ]);
    let current = state(&[tofu(object("x_y.keep", "1", json!({})))]);
    let r1 = config("resource \"x_y\" \"keep\" {}\nresource \"x_y\" \"legacy\" {}\n");
    let r2 = config("resource \"x_y\" \"keep\" {}\nremoved {\n  from = x_y.legacy\n}\n");
    assert_eq!(
        fate(&plan_back(&current, Some(&target), &[&r2, &r1]), "x_y.legacy"),
        Fate::Adopt
    );
}

#[test]
fn what_was_imported_is_let_go() {
    let import = "import {\n  to = terraform_data.legacy\n  id = \"2\"\n}\n";
    let target = state(&[object("terraform_data.keep", "1", json!({}))]);
    let current = state(&[
        object("terraform_data.keep", "1", json!({})),
        object("terraform_data.legacy", "2", json!({})),
    ]);
    let r1 = config(KEEP);
    let r2 = config(&format!("{KEEP}{LEGACY}{import}"));
    let r3 = config(&format!("{KEEP}{LEGACY}"));
    for way in [&[&r2, &r1][..], &[&r3, &r2, &r1]] {
        let plan = plan_back(&current, Some(&target), way);
        assert_eq!(
            fates(&plan),
            ["keep terraform_data.keep", "forget terraform_data.legacy"]
        );
        assert_eq!(
            row(&plan.to_json(), "terraform_data.legacy")["change"]["actions"],
            json!(["forget"])
        );
        assert_eq!(homes(&joined(&current, Some(&target), &plan).state), homes(&target));
    }
    assert_eq!(
        fate(
            &plan_back(&current, Some(&target), &[&r3, &r1]),
            "terraform_data.legacy"
        ),
        Fate::Destroy
    );
    // Imported, then renamed.
    let r4 = config(&format!(
        "{KEEP}resource \"terraform_data\" \"renamed\" {{}}\nmoved {{\n  from = terraform_data.legacy\n  to = terraform_data.renamed\n}}\n"
    ));
    let renamed = state(&[
        object("terraform_data.keep", "1", json!({})),
        object("terraform_data.renamed", "2", json!({})),
    ]);
    let plan = plan_back(&renamed, Some(&target), &[&r4, &r2, &r1]);
    assert_eq!(fate(&plan, "terraform_data.renamed"), Fate::Forget);
}

#[test]
fn going_forward_again_undoes_both() {
    let import = "import {\n  to = terraform_data.legacy\n  id = \"2\"\n}\n";
    let small = state(&[object("terraform_data.keep", "1", json!({}))]);
    let big = state(&[
        object("terraform_data.keep", "1", json!({})),
        object("terraform_data.legacy", "2", json!({})),
    ]);
    let without = config(KEEP);
    let importing = config(&format!("{KEEP}{LEGACY}{import}"));
    let plan = plan_way(&small, Some(&big), &[&without, &importing], Direction::Forward);
    assert_eq!(fate(&plan, "terraform_data.legacy"), Fate::Adopt);
    let with = config(&format!("{KEEP}{LEGACY}"));
    let removing = config(&format!("{KEEP}{REMOVED}"));
    let plan = plan_way(&big, Some(&small), &[&with, &removing], Direction::Forward);
    assert_eq!(fate(&plan, "terraform_data.legacy"), Fate::Forget);
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
fn what_the_targets_configuration_does_not_declare_goes() {
    let target = state(&[
        object("aws_vpc.a", "1", json!({})),
        object("aws_vpc.gone", "3", json!({})),
    ]);
    let current = state(&[object("aws_vpc.a", "1", json!({}))]);
    let declared = config("");
    let plan = plan_back(&current, Some(&target), &[&declared]);
    assert_eq!(fates(&plan), ["destroy aws_vpc.a"]);
    assert!(
        plan.warnings.iter().any(|warning| warning.contains("aws_vpc.gone")),
        "{:?}",
        plan.warnings
    );
}

#[test]
fn what_the_targets_configuration_declares_stays_even_without_a_record() {
    let current = state(&[object("aws_vpc.a", "1", json!({}))]);
    let declared = config("resource \"aws_vpc\" \"a\" {}\nresource \"aws_vpc\" \"b\" {}\n");
    let plan = plan_back(&current, Some(&state(&[])), &[&declared]);
    assert_eq!(fates(&plan), ["keep aws_vpc.a", "create aws_vpc.b"]);
    // Which keys there were only the state can tell.
    let counted = config("variable \"n\" {}\nresource \"aws_vpc\" \"a\" {\n  count = var.n\n}\n");
    let one = state(&[object("aws_vpc.a[0]", "1", json!({}))]);
    let two = state(&[
        object("aws_vpc.a[0]", "1", json!({})),
        object("aws_vpc.a[1]", "2", json!({})),
    ]);
    let plan = plan_back(&two, Some(&one), &[&counted]);
    assert_eq!(fates(&plan), ["keep aws_vpc.a[0]", "destroy aws_vpc.a[1]"]);
}

#[test]
fn without_a_snapshot_configurations_decide() {
    let current = state(&[
        object("aws_vpc.b", "1", json!({})),
        object("aws_vpc.many[\"x\"]", "2", json!({})),
        object("aws_vpc.many[\"y\"]", "3", json!({})),
        object("aws_vpc.new", "4", json!({})),
        object("aws_vpc.taken", "5", json!({})),
    ]);
    let r1 = config(
        "resource \"aws_vpc\" \"a\" {}\nresource \"aws_vpc\" \"many\" {\n  for_each = toset([\"x\", \"z\"])\n}\n\
         resource \"aws_vpc\" \"let_go\" {}\nresource \"aws_s3_bucket\" \"gone\" {}\nvariable \"n\" {}\n\
         resource \"aws_subnet\" \"s\" {\n  count = var.n\n}\n",
    );
    let r2 = config(
        "resource \"aws_vpc\" \"b\" {}\nresource \"aws_vpc\" \"many\" {\n  for_each = toset([\"x\", \"y\"])\n}\n\
         resource \"aws_vpc\" \"new\" {}\nresource \"aws_vpc\" \"taken\" {}\nimport {\n  to = aws_vpc.taken\n  id = \"5\"\n}\n\
         moved {\n  from = aws_vpc.a\n  to = aws_vpc.b\n}\nremoved {\n  from = aws_vpc.let_go\n  lifecycle {\n    destroy = false\n  }\n}\n",
    );
    let plan = plan_back(&current, None, &[&r2, &r1]);
    assert_eq!(
        fates(&plan),
        [
            "create aws_s3_bucket.gone",
            "create aws_subnet.s",
            "move aws_vpc.b -> aws_vpc.a",
            "adopt aws_vpc.let_go",
            "keep aws_vpc.many[\"x\"]",
            "destroy aws_vpc.many[\"y\"]",
            "create aws_vpc.many[\"z\"]",
            "destroy aws_vpc.new",
            "forget aws_vpc.taken",
        ]
    );
    let kept = change(&plan, "aws_vpc.many[\"x\"]");
    assert!(kept.patch.is_empty() && kept.notes.iter().any(|note| note.contains("No snapshot")));
    assert_eq!(
        change(&plan, "aws_s3_bucket.gone").reversibility,
        Reversibility::RecreatedEmpty
    );
    assert!(plan.warnings[0].contains("No snapshot of the target's state"));
    let joined = joined(&current, None, &plan);
    assert_eq!(joined.unresolved.len(), 1);
    assert_eq!(joined.unresolved[0].address.to_string(), "aws_vpc.let_go");
}

#[test]
fn where_nothing_is_known_of_the_target_nothing_is_destroyed() {
    let current = state(&[object("aws_vpc.b", "1", json!({}))]);
    let plan = plan_back(&current, None, &[]);
    assert_eq!(fates(&plan), ["keep aws_vpc.b"]);
    assert_eq!(plan.warnings.len(), 1);
}

#[test]
fn count_that_came_or_went_moves_the_first_one() {
    let current = state(&[object("aws_vpc.a[0]", "1", json!({}))]);
    let single = config("resource \"aws_vpc\" \"a\" {}\n");
    let plan = plan_back(&current, None, &[&single]);
    assert_eq!(fates(&plan), ["move aws_vpc.a[0] -> aws_vpc.a"]);
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
