//! What a later rollback could not undo of an update that a deploy is about to make.

mod common;

use common::KNOWLEDGE;
use rollback_inverse::{Reversibility, Update};
use serde_json::{Value, json};

fn obstacles(kind: &str, before: Value, after: Value, unknown: Value) -> Vec<(Reversibility, String)> {
    let update = Update {
        kind,
        before: &before,
        after: &after,
        unknown: &unknown,
        shown_before: &before,
        shown_after: &after,
    };
    let found = update.obstacles(&KNOWLEDGE).into_iter();
    found
        .map(|obstacle| (obstacle.reversibility, obstacle.reason))
        .collect()
}

fn worst(kind: &str, attribute: &str, before: Value, after: Value) -> Option<Reversibility> {
    let found = obstacles(
        kind,
        json!({ attribute: before }),
        json!({ attribute: after }),
        json!({}),
    );
    found.into_iter().map(|(reversibility, _)| reversibility).max()
}

#[test]
fn both_what_the_deploy_loses_and_what_the_way_back_cannot_do() {
    let (loss, never) = (Some(Reversibility::DataLoss), Some(Reversibility::Irreversible));
    let (database, table, logs) = ("aws_db_instance", "aws_dynamodb_table", "aws_cloudwatch_log_group");
    for (kind, attribute, before, after, expected) in [
        (database, "allocated_storage", json!(20), json!(40), never),
        (database, "engine_version", json!("14.9"), json!("15.4"), never),
        (database, "engine_version", json!("15"), json!("15.4"), None),
        (database, "backup_retention_period", json!(14), json!(7), loss),
        (database, "backup_retention_period", json!(7), json!(14), loss),
        (
            database,
            "instance_class",
            json!("db.t3.micro"),
            json!("db.t3.large"),
            None,
        ),
        (logs, "retention_in_days", json!(30), json!(7), loss),
        (logs, "retention_in_days", json!(30), json!(30), None),
        (logs, "retention_in_days", json!(0), json!(30), loss),
        (logs, "retention_in_days", json!(30), json!(0), loss),
        (
            table,
            "point_in_time_recovery",
            json!([{ "enabled": true }]),
            json!([{ "enabled": false }]),
            loss,
        ),
        (
            table,
            "point_in_time_recovery",
            json!([{ "enabled": false }]),
            json!([{ "enabled": true }]),
            loss,
        ),
        ("terraform_data", "input", json!("a"), json!("b"), None),
    ] {
        assert_eq!(
            worst(kind, attribute, before.clone(), after.clone()),
            expected,
            "{kind} {attribute} {before} {after}"
        );
    }
}

#[test]
fn the_way_that_loses_is_named() {
    let logs = |before: u32, after: u32| {
        let side = |days: u32| json!({ "retention_in_days": days });
        let found = obstacles("aws_cloudwatch_log_group", side(before), side(after), json!({}));
        found.into_iter().next().map(|(_, reason)| reason).unwrap_or_default()
    };
    let lost = "retention_in_days changes, and what is lost by that no rollback brings back. A shorter retention deletes the older logs.";
    let lost_later =
        "retention_in_days changes, and data is lost when it is set back. A shorter retention deletes the older logs.";
    // Nothing expires at 0.
    for (before, after) in [(30, 7), (0, 7)] {
        assert_eq!(logs(before, after), lost);
        assert_eq!(logs(after, before), lost_later);
    }
}

#[test]
fn values_that_only_the_apply_tells_are_not_guessed() {
    let unknown = json!({ "backup_retention_period": true, "allocated_storage": true });
    let before = json!({ "backup_retention_period": 7, "allocated_storage": 20 });
    assert_eq!(obstacles("aws_db_instance", before, json!({}), unknown), []);
    // Whatever its value will be, the change itself loses.
    let duration = |value: Value| json!({ "message_retention_duration": value });
    let found = obstacles(
        "google_pubsub_subscription",
        duration(json!("600s")),
        json!({}),
        duration(json!(true)),
    );
    assert_eq!(found[0].0, Reversibility::DataLoss);
}

#[test]
fn only_what_may_be_shown_is_shown() {
    let side = |version: &str| json!({ "engine_version": version });
    let (before, after, masked) = (side("14.1"), side("15.2"), side("(sensitive)"));
    let update = Update {
        kind: "aws_db_instance",
        before: &before,
        after: &after,
        unknown: &Value::Null,
        shown_before: &masked,
        shown_after: &masked,
    };
    let reason = &update.obstacles(&KNOWLEDGE)[0].reason;
    assert!(
        reason.starts_with("It cannot go back: engine_version would have to go down from (sensitive) to (sensitive)."),
        "{reason}"
    );
    assert!(!reason.contains("14.1") && !reason.contains("15.2"), "{reason}");
}
