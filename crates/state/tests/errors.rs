//! One clear error for each way in which bytes are not a state.

use rollback_state::{InstanceId, Place, State, StateError};
use serde_json::{Value, json};

fn parse(text: impl Into<Vec<u8>>) -> Result<State, StateError> {
    State::parse(text)
}

fn error(text: impl Into<Vec<u8>>) -> StateError {
    match parse(text) {
        Ok(_) => panic!("it was read"),
        Err(error) => error,
    }
}

fn id(text: &str) -> InstanceId {
    text.parse().unwrap()
}

fn with_resource(fields: &str) -> Result<State, StateError> {
    parse(format!("{{\"version\":4,\"resources\":[\n{{{fields}}}]}}"))
}

fn with_instance(fields: &str) -> Result<State, StateError> {
    with_resource(&format!(
        r#""mode":"managed","type":"t","name":"n","provider":"p","instances":[{{{fields}}}]"#
    ))
}

#[test]
fn other_files_are_recognised() {
    let utf16 = |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
    let utf16_big = |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_be_bytes).collect() };
    assert_eq!(error(""), StateError::Empty);
    assert_eq!(error(" \n\t"), StateError::Empty);
    for text in ["{\"version\": 4}", "\u{feff}{\"version\": 4}", "\r\n{}"] {
        assert_eq!(error(utf16(text)), StateError::Utf16);
        assert_eq!(error(utf16_big(text)), StateError::Utf16);
    }
    assert_eq!(error("\u{feff}{\"version\": 4}"), StateError::ByteOrderMark);
    assert_eq!(error("PK\u{3}\u{4}xxxx"), StateError::PlanFile);
    assert_eq!(error([0x1f, 0x8b, 8, 0]), StateError::Compressed);
    assert_eq!(error("tfstate\u{1}"), StateError::BinaryFormat);
    assert_eq!(
        error("<html>"),
        StateError::NotJson {
            found: "`<`, like a web page or XML".to_owned()
        }
    );
    assert_eq!(
        error("hello"),
        StateError::NotJson {
            found: "`h`".to_owned()
        }
    );
    assert_eq!(
        error("\0\0\0\0"),
        StateError::NotJson {
            found: "the character U+0000".to_owned()
        }
    );
    assert_eq!(
        error(&b"{\n \"a\": \"\xff\"}"[..]),
        StateError::NotUtf8 {
            place: Place { line: 2, column: 8 }
        }
    );
    let shown = r#"{"format_version":"1.0","terraform_version":"1.11.4","values":{}}"#;
    assert_eq!(
        error(shown),
        StateError::ShowOutput {
            format_version: "1.0".to_owned()
        }
    );
    assert_eq!(
        error(r#"{"serial":1,"lineage":"x","meta":{},"encrypted_data":"eA==","encryption_version":"v0"}"#),
        StateError::Encrypted
    );
    assert_eq!(
        error(r#"{"version":3,"backend":{"type":"s3"},"modules":[]}"#),
        StateError::BackendRecord
    );
}

#[test]
fn other_formats_are_named() {
    for version in [0, 1, 2, 3] {
        let text = format!(r#"{{"version":{version},"terraform_version":"0.11.14","modules":[{{"resources":{{}}}}]}}"#);
        let terraform_version = Some("0.11.14".to_owned());
        assert_eq!(
            error(text),
            StateError::OldFormat {
                version,
                terraform_version
            }
        );
    }
    let future = error(r#"{"resources":{"a":1},"version":5}"#);
    assert_eq!(
        future,
        StateError::FutureFormat {
            version: 5,
            terraform_version: None
        }
    );
    assert!(future.to_string().contains("format 5") && future.hint().unwrap().contains("newer"));
    for version in ["-1", "4.0", "4e0", "99999999999999999999"] {
        assert!(matches!(
            error(format!(r#"{{"version":{version}}}"#)),
            StateError::InvalidValue { .. }
        ));
    }
    assert!(matches!(error(r#"{"version":"4"}"#), StateError::WrongType { .. }));
    assert!(matches!(error(r#"{"version":null}"#), StateError::MissingField { .. }));
}

#[test]
fn errors_say_where() {
    let place = |line, column| Place { line, column };
    assert_eq!(
        error("{\n  \"version\": 4,\n  \"ä\": x}"),
        StateError::Syntax {
            place: place(3, 8),
            message: "expected a value"
        }
    );
    assert_eq!(error("{\"version\": 4"), StateError::Truncated { place: place(1, 14) });
    assert_eq!(
        error("{\"version\": 4}\n}"),
        StateError::TrailingData { place: place(2, 1) }
    );
    assert_eq!(
        error("{\"version\": 4}\0"),
        StateError::TrailingData { place: place(1, 15) }
    );
    let deep = format!("{{\"version\":4,\"x\":{}", "[".repeat(1_000_000));
    assert_eq!(
        error(deep),
        StateError::TooDeep {
            place: place(1, 144),
            limit: 127
        }
    );
    assert_eq!(
        error("{\"version\":4,\n\"serial\":1,\"serial\":2}"),
        StateError::DuplicateKey {
            place: place(2, 12),
            path: "serial".to_owned()
        }
    );
    let missing = with_resource(r#""type":"t","name":"n","provider":"p""#).unwrap_err();
    assert_eq!(
        missing,
        StateError::MissingField {
            place: place(2, 1),
            path: "resources[0].mode".to_owned()
        }
    );
    let wrong = with_instance(r#""schema_version":"1""#).unwrap_err();
    let path = "resources[0].instances[0].schema_version".to_owned();
    assert_eq!(
        wrong,
        StateError::WrongType {
            place: place(2, 87),
            path,
            expected: "a whole number",
            found: "a string"
        }
    );
}

#[test]
fn bad_json_anywhere_is_an_error() {
    for value in [
        "01",
        "1.",
        ".5",
        "1e",
        "+1",
        "-",
        "1e+",
        "tru",
        "nul",
        "falsey",
        "'x'",
        "\"\\x\"",
        "\"\\u12g4\"",
        "\"a\nb\"",
        "\"\t\"",
        "[1,]",
        "[,1]",
        "[1 2]",
        "{\"a\":1,}",
        "{\"a\" 1}",
        "{a:1}",
        "{\"a\":}",
        "{1:2}",
        "[}",
        "{]",
        "\"open",
        "NaN",
        "/**/1",
        "",
        "\u{a0}1",
        "\u{0}",
    ] {
        for text in [
            format!(r#"{{"version":4,"x":{value}}}"#),
            format!(r#"{{"x":[0,{value}],"version":4}}"#),
            with_instance_text(&format!(r#""attributes":{{"id":"1","a":{{"b":[0,{value}]}}}}"#)),
            with_instance_text(&format!(r#""attributes":{{"id":{value}}}"#)),
            format!(r#"{{"version":4,"outputs":{{"o":{{"value":{value},"type":"string"}}}}}}"#),
        ] {
            assert!(serde_json::from_str::<Value>(&text).is_err(), "{text}");
            match parse(text.as_str()) {
                Err(StateError::Syntax { .. } | StateError::Truncated { .. }) => {}
                other => panic!("{text}: {other:?}"),
            }
        }
    }
}

fn with_instance_text(fields: &str) -> String {
    format!(
        r#"{{"version":4,"resources":[{{"mode":"managed","type":"t","name":"n","provider":"p","instances":[{{{fields}}}]}}]}}"#
    )
}

#[test]
fn wrong_types_and_values_in_every_field() {
    let path = |error: StateError| match error {
        StateError::WrongType { path, .. }
        | StateError::InvalidValue { path, .. }
        | StateError::MissingField { path, .. } => path,
        other => panic!("{other:?}"),
    };
    for (text, expected) in [
        (r#"[]"#, "the document"),
        (r#"{"version":4,"serial":-1}"#, "serial"),
        (r#"{"version":4,"serial":"1"}"#, "serial"),
        (r#"{"version":4,"lineage":1}"#, "lineage"),
        (r#"{"version":4,"terraform_version":[]}"#, "terraform_version"),
        (r#"{"version":4,"outputs":[]}"#, "outputs"),
        (r#"{"version":4,"outputs":{"a":1}}"#, "outputs.a"),
        (r#"{"version":4,"outputs":{"a":{"type":"string"}}}"#, "outputs.a.value"),
        (
            r#"{"version":4,"outputs":{"a":{"value":1,"sensitive":"x"}}}"#,
            "outputs.a.sensitive",
        ),
        (r#"{"version":4,"resources":{}}"#, "resources"),
        (r#"{"version":4,"resources":[1]}"#, "resources[0]"),
        (r#"{"version":4,"check_results":{}}"#, "check_results"),
    ] {
        assert_eq!(path(error(text)), expected);
    }
    for (fields, expected) in [
        (r#""mode":"odd","type":"t","name":"n","provider":"p""#, "mode"),
        (r#""mode":1,"type":"t","name":"n","provider":"p""#, "mode"),
        (r#""mode":"data","name":"n","provider":"p""#, "type"),
        (r#""mode":"data","type":null,"name":"n","provider":"p""#, "type"),
        (r#""mode":"data","type":"t","provider":"p""#, "name"),
        (r#""mode":"data","type":"t","name":"a.b","provider":"p""#, "name"),
        (r#""mode":"data","type":"","name":"a","provider":"p""#, "type"),
        (r#""mode":"managed","type":"data","name":"a","provider":"p""#, "type"),
        (r#""mode":"data","type":"t","name":"n","instances":[{}]"#, "provider"),
        (
            r#""mode":"data","type":"t","name":"n","provider":"","instances":[{}]"#,
            "provider",
        ),
        (r#""mode":"data","type":"t","name":"n","provider":1"#, "provider"),
        (
            r#""mode":"data","type":"t","name":"n","provider":"p","module":"a.b""#,
            "module",
        ),
        (
            r#""mode":"data","type":"t","name":"n","provider":"p","instances":{}"#,
            "instances",
        ),
        (
            r#""mode":"data","type":"t","name":"n","provider":"p","instances":[[]]"#,
            "instances[0]",
        ),
    ] {
        assert_eq!(
            path(with_resource(fields).unwrap_err()),
            format!("resources[0].{expected}"),
            "{fields}"
        );
    }
    for (fields, expected) in [
        (r#""index_key":1.5"#, "index_key"),
        (r#""index_key":1e300"#, "index_key"),
        (r#""index_key":true"#, "index_key"),
        (r#""status":"gone""#, "status"),
        (r#""deposed":"1234567""#, "deposed"),
        (r#""deposed":"123456789""#, "deposed"),
        (r#""deposed":12345678"#, "deposed"),
        (r#""schema_version":1.0"#, "schema_version"),
        (r#""schema_version":-1"#, "schema_version"),
        (r#""attributes":[]"#, "attributes"),
        (r#""attributes_flat":{"a":1}"#, "attributes_flat.a"),
        (r#""sensitive_attributes":{}"#, "sensitive_attributes"),
        (r#""sensitive_attributes":[1]"#, "sensitive_attributes"),
        (r#""sensitive_attributes":[[1]]"#, "sensitive_attributes"),
        (
            r#""sensitive_attributes":[[{"type":"odd","value":"a"}]]"#,
            "sensitive_attributes",
        ),
        (
            r#""sensitive_attributes":[[{"type":"get_attr","value":1}]]"#,
            "sensitive_attributes",
        ),
        (r#""sensitive_attributes":[[{"type":"index"}]]"#, "sensitive_attributes"),
        (r#""private":1"#, "private"),
        (r#""dependencies":"a.b""#, "dependencies"),
        (r#""dependencies":["a.b",1]"#, "dependencies[1]"),
        (r#""create_before_destroy":1"#, "create_before_destroy"),
        (r#""identity":[]"#, "identity"),
        (r#""identity_schema_version":"1""#, "identity_schema_version"),
        (r#""provider":1"#, "provider"),
    ] {
        assert_eq!(
            path(with_instance(fields).unwrap_err()),
            format!("resources[0].instances[0].{expected}"),
            "{fields}"
        );
    }
}

#[test]
fn repeated_keys_are_refused_where_the_structure_is() {
    let path = |error: StateError| match error {
        StateError::DuplicateKey { path, .. } => path,
        other => panic!("{other:?}"),
    };
    assert_eq!(path(error(r#"{"version":4,"x":1,"\u0078":2}"#)), "x");
    assert_eq!(
        path(error(r#"{"version":4,"outputs":{"a":{"value":1},"a":{"value":2}}}"#)),
        "outputs.a"
    );
    assert_eq!(
        path(error(r#"{"version":4,"outputs":{"a":{"value":1,"value":2}}}"#)),
        "outputs.a.value"
    );
    assert_eq!(
        path(with_resource(r#""mode":"data","mode":"data""#).unwrap_err()),
        "resources[0].mode"
    );
    assert_eq!(
        path(with_instance(r#""deposed":null,"deposed":null"#).unwrap_err()),
        "resources[0].instances[0].deposed"
    );
    let many: Vec<String> = (0..100).map(|index| format!("\"k{index}\":1")).collect();
    assert!(with_instance(&many.join(",")).is_ok());
    let repeated = with_instance(&format!("{},\"k7\":1", many.join(","))).unwrap_err();
    assert_eq!(path(repeated), "resources[0].instances[0].k7");
    // Within attributes the last one counts, as in Go.
    let state = with_instance(r#""attributes":{"id":"1","id":"2"}"#).unwrap();
    let instance = state.instances().next().unwrap();
    assert_eq!(instance.identifier(&state).as_deref(), Some("2"));
    assert_eq!(instance.attributes(&state)["id"], json!("2"));
}

#[test]
fn two_objects_at_one_address_are_refused() {
    let twice = with_instance("\"index_key\":1},\n{\"index_key\":1.0").unwrap_err();
    let (first, second) = (Place { line: 2, column: 69 }, Place { line: 3, column: 1 });
    assert_eq!(
        twice,
        StateError::DuplicateInstance {
            id: Box::new(id("t.n[1]")),
            first,
            second
        }
    );
    // In two entries of the same resource as well; other keys there are fine, as for Terraform.
    let entry = |key: u32| {
        format!(r#"{{"mode":"managed","type":"t","name":"n","provider":"p","instances":[{{"index_key":{key}}}]}}"#)
    };
    let text = |one, two| format!(r#"{{"version":4,"resources":[{},{}]}}"#, entry(one), entry(two));
    assert!(matches!(error(text(1, 1)), StateError::DuplicateInstance { .. }));
    assert_eq!(parse(text(1, 2)).unwrap().instance_count(), 2);
    assert!(with_instance(r#""deposed":"00000000"},{"deposed":"00000001"},{"index_key":"""#).is_ok());
}

#[test]
fn every_error_reads_well() {
    for text in [
        "",
        "x",
        "{",
        "{\"version\":3}",
        "{\"version\":9}",
        "{}",
        "{\"version\":4,\"serial\":[]}",
        "{\"version\":4}{}",
    ] {
        let error = error(text);
        let message = error.to_string();
        assert!(
            message.len() > 10 && !message.contains("  ") && !message.ends_with('.'),
            "{message}"
        );
    }
}
