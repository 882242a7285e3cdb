//! What configurations tell beyond the states: protection, letting go, taking in, and how much without a snapshot.

mod common;

use common::*;
use rollback_inverse::{Direction, Fate, Reversibility};
use serde_json::json;

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

/// Terraform runs what the target's configuration has where the object is destroyed.
#[test]
fn a_destroy_time_provisioner_that_will_not_run_is_said() {
    let provisioner = "  provisioner \"local-exec\" {\n    when = destroy\n    command = \"x\"\n  }\n";
    let block = |name: &str, more: &str| format!("resource \"terraform_data\" \"{name}\" {{\n{more}}}\n");
    let is_said = |plan: &rollback_inverse::InversePlan, address: &str| {
        let notes = plan
            .changes
            .iter()
            .filter(|change| change.address().to_string() == address);
        notes
            .flat_map(|change| &change.notes)
            .any(|note| note.contains("destroy-time provisioner does not run"))
    };
    // Replaced by a block without it, and by one with it.
    let then = state(&[object("terraform_data.a", "1", json!({ "triggers_replace": "1" }))]);
    let now = state(&[object("terraform_data.a", "2", json!({ "triggers_replace": "2" }))]);
    let (with, without) = (
        config(&block("a", &format!("  triggers_replace = \"1\"\n{provisioner}"))),
        config(&block("a", "  triggers_replace = \"1\"\n")),
    );
    for (target, said) in [(&without, true), (&with, false)] {
        let plan = plan_back(&now, Some(&then), &[&with, target]);
        assert_eq!(change(&plan, "terraform_data.a").fate, Fate::Replace);
        assert_eq!(is_said(&plan, "terraform_data.a"), said);
    }
    // One that waits under another address to be destroyed has no block there.
    let now = state(&[
        object("terraform_data.a", "2", json!({})),
        object("terraform_data.b", "1", json!({})),
    ]);
    let then = state(&[object("terraform_data.a", "1", json!({}))]);
    let both = config(&(block("a", provisioner) + &block("b", "")));
    let plan = plan_back(&now, Some(&then), &[&both, &with]);
    assert!(is_said(&plan, "terraform_data.a"), "{:?}", plan.changes);
}
