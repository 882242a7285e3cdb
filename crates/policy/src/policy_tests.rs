use std::time::Duration;

use super::*;
use serde_json::json;

fn compile(text: &str) -> Policy {
    compile_with(text, &Levels::default())
}

fn compile_with(text: &str, levels: &Levels) -> Policy {
    Policy::compile(
        &Bundle::of_modules("test", [("a.rego", text)]),
        levels,
        Limits::default(),
    )
    .unwrap()
}

fn messages_of(text: &str, input: Value) -> Vec<String> {
    let evaluation = compile(text).evaluate(&input, &[]);
    assert!(evaluation.errors.is_empty(), "{evaluation:?}");
    evaluation.findings.into_iter().map(|finding| finding.message).collect()
}

#[test]
fn the_built_in_bundle_passes_its_tests() {
    let report = crate::run_tests(&Bundle::built_in(), None, Limits::default()).unwrap();
    let bad: Vec<_> = report
        .tests
        .iter()
        .filter(|test| test.end != crate::TestEnd::Pass)
        .collect();
    assert!(bad.is_empty(), "{bad:#?}");
    assert!(report.tests.len() >= 40, "{}", report.tests.len());
}

#[test]
fn each_built_in_rule_says_how_binding_it_is_and_why() {
    let policy = Policy::compile(&Bundle::built_in(), &Levels::default(), Limits::default()).unwrap();
    for rule in policy.rules() {
        assert!(rule.title.is_some(), "{}", rule.name);
        assert_eq!(
            rule.name.ends_with(".warn"),
            rule.level == Level::Advisory,
            "{}",
            rule.name
        );
    }
    let packages: BTreeSet<&str> = policy.rules().iter().map(|rule| rule.package.as_str()).collect();
    assert_eq!(packages.len(), 12, "{packages:?}");
}

#[test]
fn the_built_in_bundle_says_nothing_about_nothing() {
    let policy = Policy::compile(&Bundle::built_in(), &Levels::default(), Limits::default()).unwrap();
    for input in [json!({}), json!({ "resource_changes": [] }), json!({ "rollback": {} })] {
        let evaluation = policy.evaluate(&input, &[]);
        assert_eq!(evaluation.verdict, Verdict::Pass, "{input} {evaluation:?}");
    }
}

#[test]
fn all_the_ways_to_write_a_rule() {
    let input = json!({ "x": 1 });
    for (text, expected) in [
        ("package main\ndeny[msg] { input.x == 1; msg := \"old\" }", "old"),
        (
            "package main\ndeny[{\"msg\": msg}] { input.x == 1; msg = \"object\" }",
            "object",
        ),
        (
            "package main\nimport rego.v1\ndeny contains msg if { input.x == 1; msg := \"new\" }",
            "new",
        ),
        (
            "package main\ndeny contains msg if { input.x == 1; msg := \"v1 without import\" }",
            "v1 without import",
        ),
        (
            "package main\nimport future.keywords\ndeny contains msg if { input.x == 1; msg := \"future\" }",
            "future",
        ),
        (
            "package main\nimport future.keywords.in\nviolation[{\"msg\": msg, \"details\": {}}] { 1 in [input.x]; msg := \"v\" }",
            "v",
        ),
        (
            "package a.b.c\ndeny_public_thing[msg] { input.x == 1; msg := \"suffix\" }",
            "suffix",
        ),
        (
            "package main\ndeny = msg { input.x == 1; msg := \"complete\" }",
            "complete",
        ),
        (
            "package main\ndefault deny = false\ndeny { input.x == 1 }",
            "main.deny is true",
        ),
        (
            "package main\nimport rego.v1\ndeny := [\"list\"] if input.x == 1",
            "list",
        ),
        ("package main\nimport rego.v1\ndeny[\"map\"] if input.x == 1", "map"),
        (
            "package main\nimport rego.v1\ndeny[msg] if { input.x == 1; msg := \"map of v1\" }",
            "map of v1",
        ),
        ("package main\ndeny[sprintf(\"%q\", [\"a\"])] { input.x == 1 }", "\"a\""),
        ("package main\nimport rego.v1\ndeny contains 7 if input.x == 1", "7"),
    ] {
        assert_eq!(messages_of(text, input.clone()), [expected], "{text}");
        assert!(messages_of(text, json!({ "x": 2 })).is_empty(), "{text}");
    }
}

#[test]
fn the_plan_is_where_each_product_has_it() {
    let input =
        json!({ "resource_changes": [{ "type": "a" }], "rollback": {}, "spacelift": { "run": { "type": "TRACKED" } } });
    for path in ["input", "input.terraform", "input.plan"] {
        let text = format!("package p\ndeny[msg] {{ {path}.resource_changes[_].type == \"a\"; msg := \"seen\" }}");
        assert_eq!(messages_of(&text, input.clone()), ["seen"], "{path}");
    }
    let own = json!({ "resource_changes": [], "terraform": { "resource_changes": [{ "type": "a" }] } });
    let text = "package p\ndeny[msg] { input.terraform.resource_changes[_].type == \"a\"; msg := \"own\" }";
    assert_eq!(messages_of(text, own), ["own"]);
}

#[test]
fn lists_beside_the_rules_of_spacelift_are_no_rules() {
    let text = "package spacelift\ndeny_list := [\"large\"]\ndeny[msg] { input.size == deny_list[_]; msg := \"too large\" }\nsample := true";
    assert_eq!(messages_of(text, json!({ "size": "large" })), ["too large"]);
    assert!(messages_of(text, json!({ "size": "small" })).is_empty());
    // Conftest asks them.
    let text = text.replace("package spacelift", "package main");
    assert_eq!(messages_of(&text, json!({ "size": "small" })), ["large"]);
}

#[test]
fn numbers_are_numbers() {
    let input = json!({ "n": 12345678901u64, "f": 1.5, "i": 3 });
    let text = "package p\ndeny[msg] { input.n > 12345678900; input.f < 1.6; input.i + 1 == 4; msg := sprintf(\"%d\", [input.i]) }";
    assert_eq!(messages_of(text, input), ["3"]);
}

#[test]
fn quotes_in_references_are_quotes() {
    let text = "package p\ndeny[msg] { input.tags[\"a \\\"b\\\"\"] == 1; msg := \"seen\" }";
    assert_eq!(messages_of(text, json!({ "tags": { "a \"b\"": 1 } })), ["seen"]);
}

#[test]
fn words_in_comments_and_strings_are_no_rules() {
    let policy = compile("package p\n# deny_nothing\ndeny[msg] { msg := \"warn_me\"; input.x }\n");
    let names: Vec<&str> = policy.rules().iter().map(|rule| rule.name.as_str()).collect();
    assert_eq!(names, ["p.deny"]);
}

#[test]
fn levels_and_overrides() {
    let text = "package p\n# METADATA\n# custom:\n#   level: soft-mandatory\ndeny[m] { m := \"soft\" }\n# METADATA\n# custom:\n#   level: advisory\ndeny_a[m] { m := \"said\" }\n";
    let policy = compile(text);
    let evaluation = policy.evaluate(&json!({}), &[]);
    assert_eq!(evaluation.verdict, Verdict::Refused);
    assert_eq!(evaluation.refusals().count(), 1);
    let over = policy.evaluate(&json!({}), &["p.deny".to_owned()]);
    assert_eq!(
        (over.verdict, over.overridden()),
        (Verdict::Overridden, vec!["p.deny".to_owned()])
    );
    assert!(over.verdict.allows());
    // An override that names nothing is no yes to something else.
    assert_eq!(policy.evaluate(&json!({}), &["q".to_owned()]).verdict, Verdict::None);

    let mut levels = Levels::default();
    levels.rules.insert("p.deny".to_owned(), Level::HardMandatory);
    let hard = compile_with(text, &levels);
    assert_eq!(hard.evaluate(&json!({}), &["p".to_owned()]).verdict, Verdict::Refused);
    levels.rules.insert("p.deny".to_owned(), Level::Advisory);
    assert_eq!(
        compile_with(text, &levels).evaluate(&json!({}), &[]).verdict,
        Verdict::Warn
    );
    levels.disabled.insert("p.deny".to_owned());
    levels.disabled.insert("p.deny_a".to_owned());
    // Nothing is left to judge: that is no pass.
    assert_eq!(
        compile_with(text, &levels).evaluate(&json!({}), &[]).verdict,
        Verdict::None
    );
}

#[test]
fn a_rule_without_a_level_is_binding() {
    let evaluation = compile("package p\ndeny[m] { m := \"x\" }").evaluate(&json!({}), &["p".to_owned()]);
    assert_eq!(evaluation.verdict, Verdict::Refused);
    assert_eq!(evaluation.findings[0].level, Level::HardMandatory);
    let levels = Levels {
        default: Some(Level::SoftMandatory),
        ..Levels::default()
    };
    let soft = compile_with("package p\ndeny[m] { m := \"x\" }\nwarn[m] { m := \"y\" }", &levels);
    let evaluation = soft.evaluate(&json!({}), &["p".to_owned()]);
    assert_eq!(evaluation.verdict, Verdict::Overridden);
    assert_eq!(evaluation.warnings().count(), 1);
}

#[test]
fn settings_that_name_no_rule_are_an_error() {
    let bundle = Bundle::built_in();
    let mut levels = Levels::default();
    levels.disabled.insert("rollback.freeze".to_owned());
    let error = Policy::compile(&bundle, &levels, Limits::default()).err().unwrap();
    assert!(error.to_string().contains("rollback.freeze"), "{error}");
    let mut levels = Levels::default();
    levels.rules.insert("freeze_window".to_owned(), Level::Advisory);
    assert!(Policy::compile(&bundle, &levels, Limits::default()).is_ok());
}

#[test]
fn what_cannot_be_judged_is_no_pass() {
    for text in [
        // A built-in function that fails.
        "package p\ndeny[m] { to_number(\"x\") == 1; m := \"x\" }",
        // One that there is not: no request leaves a policy.
        "package p\ndeny[m] { http.send({\"url\": \"http://localhost\", \"method\": \"get\"}); m := \"x\" }",
        // A result that says nothing.
        "package p\ndeny = null { true }",
        "package p\ndeny = 3 { true }",
        // Two different results of one rule.
        "package p\ndeny = \"a\" { true }\ndeny = \"b\" { true }",
    ] {
        let evaluation = match Policy::compile(
            &Bundle::of_modules("t", [("a.rego", text)]),
            &Levels::default(),
            Limits::default(),
        ) {
            Ok(policy) => policy.evaluate(&json!({}), &[]),
            Err(_) => continue,
        };
        assert_eq!(evaluation.verdict, Verdict::None, "{text} {evaluation:?}");
        assert!(!evaluation.verdict.allows());
        assert!(!evaluation.errors.is_empty());
    }
}

#[test]
fn bundles_that_could_never_say_no_are_refused() {
    let compile = |text: &str| {
        Policy::compile(
            &Bundle::of_modules("t", [("a.rego", text)]),
            &Levels::default(),
            Limits::default(),
        )
    };
    assert!(matches!(
        compile("package p\nallow = true { true }"),
        Err(PolicyError::NoRules)
    ));
    assert!(matches!(compile("package p\ndeny[ {"), Err(PolicyError::Rego { .. })));
    assert!(matches!(
        compile("package p[\"x-y\"]\ndeny[m] { m := 1 }"),
        Err(PolicyError::Rego { .. })
    ));
}

#[test]
fn time_is_bounded() {
    let text = "package p\ndeny[m] { some i, j, k; a := numbers.range(1, 3000); a[i] * a[j] + a[k] == -1; m := \"x\" }";
    let limits = Limits {
        time: Duration::from_millis(300),
        ..Limits::default()
    };
    let started = Instant::now();
    let policy = Policy::compile(&Bundle::of_modules("t", [("a.rego", text)]), &Levels::default(), limits).unwrap();
    let evaluation = policy.evaluate(&json!({}), &[]);
    assert_eq!(evaluation.verdict, Verdict::None, "{evaluation:?}");
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}

#[test]
fn input_is_bounded() {
    let limits = Limits {
        input: 100,
        ..Limits::default()
    };
    let bundle = Bundle::of_modules("t", [("a.rego", "package p\ndeny[m] { input.x; m := 1 }")]);
    let policy = Policy::compile(&bundle, &Levels::default(), limits).unwrap();
    assert_eq!(
        policy.evaluate(&json!({ "a": "b".repeat(200) }), &[]).verdict,
        Verdict::None
    );
}

#[test]
fn exceptions_take_back_what_they_name() {
    let text = "package main\ndeny_run[msg] { input.x; msg := \"no\" }\ndeny_other[msg] { input.x; msg := \"other\" }\nexception[rules] { input.y; rules := [\"run\"] }";
    assert_eq!(messages_of(text, json!({ "x": true })).len(), 2);
    assert_eq!(messages_of(text, json!({ "x": true, "y": true })), ["other"]);
}

#[test]
fn namespaces_choose() {
    let bundle = Bundle::of_modules(
        "t",
        [
            ("a.rego", "package a.x\ndeny[m] { m := \"a\" }"),
            ("b.rego", "package ab\ndeny[m] { m := \"b\" }"),
        ],
    );
    let levels = Levels {
        namespaces: vec!["a".to_owned()],
        ..Levels::default()
    };
    let policy = Policy::compile(&bundle, &levels, Limits::default()).unwrap();
    let evaluation = policy.evaluate(&json!({}), &[]);
    assert_eq!(evaluation.findings.len(), 1);
    assert_eq!(evaluation.findings[0].rule, "a.x.deny");
}

#[test]
fn tests_pass_fail_and_err() {
    let bundle = Bundle::of_modules(
        "t",
        [
            ("a.rego", "package a\ndeny[m] { input.x; m := \"a\" }"),
            (
                "a_test.rego",
                "package a_test\nimport data.a\ntest_good { count(a.deny) == 1 with input as {\"x\": true} }\ntest_bad { count(a.deny) == 1 with input as {} }\ntest_false = false { true }\ntest_error { to_number(\"x\") == 1 }\ntodo_test_later { false }\n",
            ),
        ],
    );
    let report = crate::run_tests(&bundle, None, Limits::default()).unwrap();
    use crate::TestEnd::{Error, Fail, Pass, Skipped};
    let counts: Vec<usize> = [Pass, Fail, Error, Skipped]
        .into_iter()
        .map(|end| report.count(end))
        .collect();
    assert_eq!(counts, [1, 2, 1, 1], "{report:#?}");
    let only = Regex::new("good").unwrap();
    let report = crate::run_tests(&bundle, Some(&only), Limits::default()).unwrap();
    assert_eq!(report.tests.len(), 1);
    assert!(report.is_good());
}
