//! Nothing that is sensitive shows: not in the JSON, not in Debug, not in errors.

mod common;

use common::*;
use json_patch::PatchOperation;
use rollback_inverse::{Fate, Input, Knowledge, Redactor, SENSITIVE, ToJson, compute};
use serde_json::json;

const SECRETS: [&str; 6] = [
    "hunter2-first",
    "hunter2-second",
    "shared-word",
    "variable-word",
    "map-key-word",
    "output-word",
];

#[test]
fn no_secret_shows_anywhere() {
    let of = |word: &str, extra: &str| {
        state_with(
            &[
                object("terraform_data.db", "1", json!({ "input": word, "output": word })).sensitive("input"),
                object(
                    "terraform_data.map",
                    "2",
                    json!({ "input": { "map-key-word": extra, "n": "variable-word" } }),
                )
                .sensitive("input"),
                object(
                    "aws_x.url",
                    "3",
                    json!({ "endpoint": format!("https://u:{word}@host"), "password": "shared-word", "n": extra }),
                ),
                object(
                    &format!("aws_x.only_{extra}"),
                    &format!("only-{extra}"),
                    json!({ "token": word, "copy": "shared-word" }),
                ),
                object(
                    "aws_ssm_parameter.p",
                    "shared-word",
                    json!({ "value": word, "name": extra }),
                ),
            ],
            json!({ "o": { "value": "output-word", "type": "string", "sensitive": true } }),
        )
    };
    let (current, target) = (of("hunter2-second", "two"), of("hunter2-first", "one"));
    let secrets = ["variable-word".to_string()];
    let knowledge = Knowledge::built_in();
    let plan = compute(&Input {
        current: &current,
        target: Some(&target),
        current_config: None,
        target_config: None,
        history: &[],
        knowledge: &knowledge,
        secrets: &secrets,
    });
    let json = plan
        .to_json_with(ToJson {
            include_unchanged: true,
        })
        .to_string();
    let debug = format!("{plan:?}");
    for secret in SECRETS {
        assert!(!json.contains(secret), "{secret} in {json}");
        assert!(!debug.contains(secret), "{secret} in Debug");
    }
    assert_eq!(fate(&plan, "terraform_data.db"), Fate::Update);
    let patch = serde_json::to_value(&change(&plan, "terraform_data.db").patch).unwrap();
    assert_eq!(
        patch[0],
        json!({ "op": "replace", "path": "/input", "value": SENSITIVE })
    );
    let document = plan.to_json();
    let row = row(&document, "terraform_data.db");
    assert_eq!(row["change"]["before"]["input"], SENSITIVE);
    assert_eq!(row["change"]["before_sensitive"]["input"], true);
    assert_eq!(row["change"]["after_sensitive"]["output"], true);
    // Neither which keys of a sensitive map changed nor how many shows.
    assert_eq!(change(&plan, "terraform_data.map").patch.len(), 1);
    let redactor = Redactor::new([&current, &target], secrets, &knowledge);
    let text = redactor.scrub_text(&SECRETS.join(" "));
    assert!(
        SECRETS
            .iter()
            .all(|secret| *secret == "map-key-word" || !text.contains(secret)),
        "{text}"
    );
}

#[test]
fn a_sensitive_version_is_not_told_in_a_reason() {
    let at = |version: &str| {
        state(&[object("aws_db_instance.d", "d", json!({ "engine_version": version })).sensitive("engine_version")])
    };
    let plan = plan_states(&at("15.4"), &at("14.9"));
    let change = change(&plan, "aws_db_instance.d");
    assert_eq!(change.fate, Fate::Impossible);
    assert_eq!(
        change.reason,
        "engine_version would have to go down from (sensitive) to (sensitive)."
    );
    assert!(!format!("{plan:?} {}", plan.to_json()).contains("14.9"));
}

#[test]
fn a_patch_leads_from_the_attributes_now_to_those_then() {
    let cases = [
        (json!({ "l": [1, 2, 3, 4] }), json!({ "l": [1, 3, 4] })),
        (json!({ "l": [1, 3] }), json!({ "l": [0, 1, 2, 3] })),
        (
            json!({ "l": [{ "a": 1 }, { "a": 2 }] }),
            json!({ "l": [{ "a": 1 }, { "a": 3, "b": null }] }),
        ),
        (
            json!({ "a/b~c": { "x": 1 }, "gone": [1] }),
            json!({ "a/b~c": { "x": 2, "y": {} }, "new": "n" }),
        ),
        (json!({ "l": [] }), json!({ "l": null })),
        (json!({ "l": [1, 2, 3, 4, 5] }), json!({ "l": [] })),
        (json!({ "l": [1, 2, 9, 8, 5] }), json!({ "l": [1, 2, 7, 5] })),
    ];
    for (now, then) in cases {
        let plan = plan_states(
            &state(&[object("aws_x.a", "1", now.clone())]),
            &state(&[object("aws_x.a", "1", then.clone())]),
        );
        let patch: Vec<PatchOperation> = change(&plan, "aws_x.a").patch.clone();
        let mut document = now;
        json_patch::patch(&mut document, &patch).expect("the patch applies");
        assert_eq!(document, then);
    }
    let shorter = plan_states(
        &state(&[object("aws_x.a", "1", json!({ "l": [1, 2, 3, 4] }))]),
        &state(&[object("aws_x.a", "1", json!({ "l": [1, 3, 4] }))]),
    );
    assert_eq!(change(&shorter, "aws_x.a").patch.len(), 1);
}

#[test]
fn the_json_is_terraforms_plan_representation() {
    let target = state(&[
        object("module.m[\"k\"].aws_vpc.a[0]", "1", json!({ "x": 1 })),
        object("aws_vpc.kept", "2", json!({})),
        object("aws_vpc.new", "3", json!({})),
    ]);
    let current = state(&[
        object("aws_vpc.b", "1", json!({ "x": 1 })),
        object("aws_vpc.kept", "2", json!({})),
        object("aws_vpc.extra", "4", json!({ "tags": { "a": "b" } })),
    ]);
    let plan = plan_states(&current, &target);
    let document = plan.to_json();
    assert_eq!(document["format_version"], "1.2");
    assert_eq!(document["terraform_version"], "1.11.4");
    let moved = row(&document, "module.m[\"k\"].aws_vpc.a[0]");
    for (key, value) in [
        ("previous_address", json!("aws_vpc.b")),
        ("module_address", json!("module.m[\"k\"]")),
        ("mode", json!("managed")),
        ("type", json!("aws_vpc")),
        ("name", json!("a")),
        ("index", json!(0)),
        ("provider_name", json!("registry.terraform.io/hashicorp/aws")),
        ("fate", json!("move")),
        ("reversibility", json!("lossless")),
    ] {
        assert_eq!(moved[key], value, "{key}");
    }
    assert_eq!(moved["change"]["actions"], json!(["no-op"]));
    assert_eq!(row(&document, "aws_vpc.new")["change"]["actions"], json!(["create"]));
    let extra = row(&document, "aws_vpc.extra");
    assert_eq!(extra["change"]["actions"], json!(["delete"]));
    assert_eq!(extra["change"]["before"]["tags"], json!({ "a": "b" }));
    assert_eq!(extra["change"]["after"], json!(null));
    assert!(extra["reason"].as_str().unwrap().ends_with('.'));
    assert_eq!(document["resource_changes"].as_array().unwrap().len(), 3);
    let all = plan.to_json_with(ToJson {
        include_unchanged: true,
    });
    assert_eq!(row(&all, "aws_vpc.kept")["change"]["actions"], json!(["no-op"]));
    assert_eq!(document["summary"]["fates"]["destroy"], 1);
}
