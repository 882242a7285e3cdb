use rollback_terraform::{FolderOptions, Plan};

use crate::support::Stack;

const TWO: &str = "variable \"v\" { default = \"1\" }\nvariable \"unused\" { default = \"1\" }\nresource \"terraform_data\" \"a\" { input = var.v }\nresource \"terraform_data\" \"b\" { input = \"same\" }\noutput \"o\" { value = terraform_data.a.input }\n";

#[test]
fn two_plans_of_the_same_thing_are_equal_and_another_value_is_not() {
    let Some(stack) = Stack::new(TWO) else { return };
    let stack = stack.init();
    let first = stack.plan().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let second = stack.plan().unwrap();
    assert_ne!(first.bytes(), second.bytes(), "the timestamps differ");
    assert_eq!(first.digest(), second.digest());

    let options = FolderOptions {
        variables: vec![("v".into(), "2".into())],
        ..FolderOptions::default()
    };
    let other = Stack::with(TWO, options).unwrap().init().plan().unwrap();
    assert_ne!(first.digest(), other.digest());
}

#[test]
fn the_serial_of_the_state_does_not_matter() {
    let Some(stack) = Stack::new(TWO) else { return };
    let stack = stack.init();
    stack.apply();
    stack.write("main.tf", &TWO.replace("\"same\"", "\"other\""));
    let first = stack.plan().unwrap();
    let mut state = stack.state();
    state["serial"] = 900.into();
    stack.write("terraform.tfstate", &state.to_string());
    assert_eq!(stack.plan().unwrap().digest(), first.digest());
}

/// A plan with one of everything, for changing one thing at a time.
fn sample() -> serde_json::Value {
    serde_json::json!({
        "format_version": "1.2", "terraform_version": "1.11.4", "timestamp": "2026-01-01T00:00:00Z", "errored": false, "complete": true,
        "variables": {"v": {"value": "1"}},
        "prior_state": {"values": {"serial": 1}},
        "resource_changes": [
            {"address": "a.b", "mode": "managed", "type": "a", "name": "b", "provider_name": "p",
             "change": {"actions": ["delete", "create"], "before": {"x": 1, "y": "s"}, "after": {"x": 2}, "after_unknown": {"id": true},
                        "before_sensitive": {}, "after_sensitive": {"y": true}, "replace_paths": [["x"]]},
             "action_reason": "replace_because_cannot_update"},
            {"address": "a.c", "mode": "managed", "type": "a", "name": "c", "provider_name": "p",
             "change": {"actions": ["no-op"], "before": {"x": 1}, "after": {"x": 1}}},
            {"address": "a.d", "deposed": "0123abcd", "mode": "managed", "type": "a", "name": "d", "provider_name": "p",
             "change": {"actions": ["delete"], "before": {"x": 12345678901234567890123u128}, "after": null}}
        ],
        "output_changes": {"o": {"actions": ["update"], "before": 1, "after": 2}},
        "configuration": {"provider_config": {"p": {"expressions": {"region": {"constant_value": "eu"}}}}}
    })
}

fn digest(value: &serde_json::Value) -> String {
    Plan::parse(value.to_string()).unwrap().digest()
}

#[test]
fn everything_that_is_done_counts() {
    let base = digest(&sample());
    let changed: &[(&str, serde_json::Value)] = &[
        ("/resource_changes/0/address", "a.z".into()),
        (
            "/resource_changes/0/change/actions",
            serde_json::json!(["create", "delete"]),
        ),
        ("/resource_changes/0/change/before/y", "t".into()),
        ("/resource_changes/0/change/after/x", 3.into()),
        ("/resource_changes/0/change/after_unknown", serde_json::json!({})),
        ("/resource_changes/0/change/after_sensitive", serde_json::json!({})),
        ("/resource_changes/0/change/replace_paths", serde_json::json!([])),
        ("/resource_changes/0/action_reason", "replace_by_request".into()),
        ("/resource_changes/0/provider_name", "q".into()),
        ("/resource_changes/1/change/actions", serde_json::json!(["update"])),
        ("/resource_changes/1/address", "a.y".into()),
        ("/resource_changes/2/deposed", "0123abce".into()),
        ("/output_changes/o/after", 3.into()),
        ("/variables/v/value", "2".into()),
        (
            "/configuration/provider_config/p/expressions/region/constant_value",
            "us".into(),
        ),
        ("/errored", true.into()),
        ("/complete", false.into()),
    ];
    for (pointer, value) in changed {
        let mut plan = sample();
        *plan.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")) = value.clone();
        assert_ne!(digest(&plan), base, "{pointer}");
    }
    let mut imported = sample();
    imported["resource_changes"][1]["change"]["importing"] = serde_json::json!({"id": "i-1"});
    assert_ne!(digest(&imported), base);
    let mut moved = sample();
    moved["resource_changes"][1]["previous_address"] = "a.old".into();
    assert_ne!(digest(&moved), base);
    let mut gone = sample();
    gone["resource_changes"].as_array_mut().unwrap().remove(1);
    assert_ne!(digest(&gone), base);
    // One digit beyond what a double holds.
    let text = sample().to_string();
    let far = text.replace("12345678901234567890123", "12345678901234567890124");
    assert_ne!(text, far);
    assert_ne!(Plan::parse(far).unwrap().digest(), base);
}

#[test]
fn nothing_else_counts() {
    let base = digest(&sample());
    for (pointer, value) in [
        ("/timestamp", serde_json::json!("2027-01-01T00:00:00Z")),
        ("/prior_state/values/serial", 2.into()),
        ("/terraform_version", "1.11.5".into()),
        ("/resource_changes/1/change/before/x", 7.into()),
    ] {
        let mut plan = sample();
        *plan.pointer_mut(pointer).unwrap() = value;
        assert_eq!(digest(&plan), base, "{pointer}");
    }
    let mut reordered = sample();
    reordered["resource_changes"].as_array_mut().unwrap().reverse();
    reordered["resource_changes"][2]["change"]["before"] = serde_json::json!({"y": "s", "x": 1});
    assert_eq!(digest(&reordered), base);
}
