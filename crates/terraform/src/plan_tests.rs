use super::*;

fn message(text: &str) -> String {
    match Plan::parse(text) {
        Err(TerraformError::Plan { message }) => message,
        other => panic!("{other:?}"),
    }
}

fn row(body: &str) -> ResourceChange {
    let text = format!(r#"{{"format_version":"1.2","resource_changes":[{{"address":"a.b",{body}}}]}}"#);
    Plan::parse(text).unwrap().resource_changes.remove(0)
}

#[test]
fn what_is_no_plan_says_so_and_quotes_no_value() {
    for (text, part) in [
        ("", "empty"),
        ("  \n", "empty"),
        ("{", "ends too early"),
        ("nonsense", "no valid JSON"),
        ("{}", "format_version"),
        ("[]", "format_version"),
        (r#"{"version":4,"serial":1}"#, "format_version"),
        (r#"{"format_version":"2.0"}"#, "newer"),
        (r#"{"format_version":"x"}"#, "no version"),
        ("PK\u{3}\u{4}xxx", "plan file itself"),
        (r#"{"format_version":"1.0","resource_changes":"hunter2"}"#, "not shaped"),
        (
            r#"{"format_version":"1.0","resource_changes":[{"change":{}}]}"#,
            "resource_changes[0]",
        ),
        (
            r#"{"format_version":"1.0","output_changes":{"o":"hunter2"}}"#,
            "output_changes",
        ),
    ] {
        let said = message(text);
        assert!(said.contains(part), "{text}: {said}");
        assert!(!said.contains("hunter2"));
    }
    assert!(matches!(
        Plan::parse(b"\xff\xfe{\0".to_vec()),
        Err(TerraformError::Plan { .. })
    ));
}

#[test]
fn old_and_marked_forms_are_read() {
    let old = Plan::parse(r#"{"format_version":"0.1","terraform_version":"0.12.0","resource_changes":null}"#).unwrap();
    assert!(old.is_empty() && old.complete.is_none());
    let marked = Plan::parse(b"\xef\xbb\xbf{\"format_version\":\"1.2\"}".to_vec()).unwrap();
    assert_eq!(marked.raw()["format_version"], "1.2");
    assert_eq!(
        row(r#""deposed":true,"change":{}"#).deposed.as_deref(),
        Some("(unnamed)")
    );
}

#[test]
fn numbers_keep_every_digit() {
    let change = row(
        r#""change":{"actions":["create"],"after":{"n":12345678901234567890123,"f":1.0},"importing":{"id":"x"}},"index":7"#,
    );
    assert_eq!(change.change.after["n"].to_string(), "12345678901234567890123");
    assert_eq!(change.change.after["f"].to_string(), "1.0");
    assert_eq!(change.index, 7);
    assert!(change.imports());
    let json = serde_json::to_string(&change).unwrap();
    assert!(json.contains("12345678901234567890123") && json.contains("1.0"));
}

#[test]
fn what_a_row_does() {
    let with = |actions: &str| row(&format!(r#""change":{{"actions":[{actions}]}}"#));
    for replace in [r#""delete","create""#, r#""create","delete""#] {
        let change = with(replace);
        assert!(change.is_replace() && change.deletes() && change.creates() && !change.is_noop());
    }
    let let_go = with(r#""create","forget""#);
    assert!(!let_go.is_replace() && let_go.forgets() && let_go.creates() && !let_go.deletes());
    assert!(with(r#""update""#).updates());
    assert!(with(r#""read""#).reads());
    assert!(with(r#""no-op""#).is_untouched());
    assert!(with("").has_unknown_action() && !with("").is_noop());
    let odd = with(r#""open""#);
    assert!(odd.has_unknown_action() && odd.change.actions[0].as_str() == "open" && !odd.is_noop());
    let moved = row(r#""previous_address":"a.old","change":{"actions":["no-op"]}"#);
    assert!(moved.is_noop() && !moved.is_untouched() && moved.moved_from() == Some("a.old"));
    assert_eq!(
        row(r#""previous_address":"a.b","change":{"actions":["no-op"]}"#).moved_from(),
        None
    );
}

#[test]
fn emptiness_counts_everything() {
    let empty = |rest: &str| {
        Plan::parse(format!(r#"{{"format_version":"1.2",{rest}}}"#))
            .unwrap()
            .is_empty()
    };
    assert!(empty(
        r#""resource_changes":[{"address":"a.b","change":{"actions":["no-op"]}}],"output_changes":{"o":{"actions":["no-op"]}}"#
    ));
    assert!(!empty(r#""output_changes":{"o":{"actions":["update"]}}"#));
    assert!(!empty(r#""errored":true"#));
    assert!(!empty(r#""deferred_changes":[{}]"#));
    assert!(!empty(
        r#""resource_changes":[{"address":"a.b","change":{"actions":["no-op"],"importing":{"id":"x"}}}]"#
    ));
}

#[test]
fn nothing_is_shown() {
    let text = r#"{"format_version":"1.2","variables":{"v":{"value":"hunter2"}},"configuration":{"x":"hunter2"},
      "output_changes":{"o":{"actions":["create"],"after":"hunter2"}},
      "resource_changes":[{"address":"a.b","change":{"actions":["create"],"before":"hunter2","after":{"p":"hunter2"},"importing":{"id":"hunter2"},"replace_paths":[["hunter2"]]}}]}"#;
    let plan = Plan::parse(text).unwrap();
    let shown = format!(
        "{plan:?} {:?} {:?}",
        plan.resource_changes, plan.resource_changes[0].change.importing
    );
    assert!(!shown.contains("hunter2") && shown.contains("a.b"), "{shown}");
}
