//! Reading states: every field, one clear error for each way to be wrong, and no panic on anything.

use rollback_state::{InstanceId, Mode, PathStep, Place, State, StateError};
use serde_json::{Value, json};

/// Every field that a state can have, of Terraform 1.12 and OpenTofu, and some that nobody knows.
const EVERYTHING: &str = r#"{
  "version": 4,
  "terraform_version": "1.12.0",
  "serial": 18446744073709551615,
  "lineage": "\u00e4-\ud83d\ude00",
  "outputs": {
    "plain": {"value": [1.0, 1e3, 12345678901234567890123], "type": ["tuple", ["number", "number", "number"]]},
    "secret": {"value": "s3cr3t", "type": "string", "sensitive": true}
  },
  "resources": [
    {
      "module": "module.c[\"k.x\"].module.d[0]",
      "mode": "managed",
      "type": "aws_db_instance",
      "name": "main",
      "each": "map",
      "provider": "module.c.provider[\"registry.terraform.io/hashicorp/aws\"].west",
      "instances": [
        {
          "index_key": "a\"b",
          "status": "tainted",
          "schema_version": 2,
          "attributes": {"nested": {"id": "wrong"}, "id": "db-1", "port": 5432, "password": "hunter2", "lone": "\ud800x"},
          "sensitive_attributes": [
            [{"type": "get_attr", "value": "password"}],
            [{"type": "get_attr", "value": "list"}, {"type": "index", "value": {"value": 0, "type": "number"}},
             {"type": "index", "value": {"value": "k", "type": "string"}}]
          ],
          "private": "bnVsbA==",
          "dependencies": ["aws_vpc.main", "module.c.data.aws_subnet.x"],
          "create_before_destroy": true,
          "identity_schema_version": 1,
          "identity": {"account": "1"},
          "from_the_future": [{}]
        },
        {"index_key": "a\"b", "deposed": "0123abcd", "schema_version": 2, "attributes": {"id": 17}},
        {"index_key": 3, "schema_version": 0, "attributes_flat": {"id": "old", "tags.%": "0"}}
      ]
    },
    {"mode": "data", "type": "aws_region", "name": "r", "provider": "p", "instances": [
      {"schema_version": 0, "attributes": {"id": null}}
    ]},
    {"mode": "managed", "type": "t", "name": "none", "provider": "p", "instances": []}
  ],
  "check_results": [{"object_kind": "check", "config_addr": "check.a", "status": "pass", "objects": null}],
  "more": null
}
"#;

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

#[test]
fn every_field_is_read() {
    let state = parse(EVERYTHING).unwrap();
    assert_eq!(state.bytes(), EVERYTHING.as_bytes());
    assert_eq!((state.version(), state.serial()), (4, u64::MAX));
    assert_eq!((state.terraform_version(), state.lineage()), ("1.12.0", "ä-😀"));
    assert_eq!(
        (state.resource_count(), state.instance_count(), state.is_empty()),
        (3, 4, false)
    );
    assert_eq!(state.check_results_raw().unwrap().first(), Some(&b'['));
    let outputs: Vec<_> = state.outputs().collect();
    assert_eq!(
        (outputs[0].name, outputs[0].sensitive, outputs[1].sensitive),
        ("plain", false, true)
    );
    assert_eq!(outputs[0].value_raw(), b"[1.0, 1e3, 12345678901234567890123]");
    assert_eq!(outputs[0].value()[2].to_string(), "12345678901234567890123");
    assert_eq!(outputs[1].type_raw(), Some(&b"\"string\""[..]));

    let ids: Vec<String> = state.instances().map(|instance| instance.id().to_string()).collect();
    assert_eq!(
        ids,
        [
            r#"module.c["k.x"].module.d[0].aws_db_instance.main["a\"b"]"#,
            r#"module.c["k.x"].module.d[0].aws_db_instance.main["a\"b"] (deposed 0123abcd)"#,
            r#"module.c["k.x"].module.d[0].aws_db_instance.main[3]"#,
            "data.aws_region.r",
        ]
    );
    for text in &ids {
        assert_eq!(state.instance(&id(text)).unwrap().id().to_string(), *text);
    }
    assert!(state.instance(&id("data.aws_region.r[0]")).is_none());

    let first = state.instance(&id(&ids[0])).unwrap();
    assert_eq!(first.mode(), Mode::Managed);
    assert_eq!(
        first.provider(),
        "module.c.provider[\"registry.terraform.io/hashicorp/aws\"].west"
    );
    assert!(first.tainted() && first.create_before_destroy() && !first.is_flat());
    assert_eq!((first.schema_version(), first.identity_schema_version()), (2, Some(1)));
    assert_eq!(first.identifier(&state).as_deref(), Some("db-1"));
    assert_eq!(first.string_attribute(&state, "password").as_deref(), Some("hunter2"));
    assert_eq!(first.string_attribute(&state, "lone").as_deref(), Some("\u{fffd}x"));
    assert_eq!(first.string_attribute(&state, "port"), None);
    assert_eq!(first.string_attribute(&state, "nothing"), None);
    assert_eq!(first.attributes(&state)["port"], json!(5432));
    assert_eq!(first.attributes(&state).len(), 5);
    let attribute = |name: &str| PathStep::Attribute(name.to_owned());
    assert_eq!(
        first.sensitive_paths(&state),
        [
            vec![attribute("password")],
            vec![
                attribute("list"),
                PathStep::Index(json!(0)),
                PathStep::Index(json!("k"))
            ]
        ]
    );
    assert_eq!(first.private(&state), Some(&b"bnVsbA=="[..]));
    assert_eq!(
        first.dependencies(&state),
        ["aws_vpc.main", "module.c.data.aws_subnet.x"]
    );
    assert_eq!(first.identity(&state), Some(json!({"account": "1"})));
    assert!(first.field_names(&state).contains(&"from_the_future".to_owned()));

    let deposed = state.instance(&id(&ids[1])).unwrap();
    assert_eq!(
        (deposed.deposed(), deposed.identifier(&state).as_deref()),
        (Some("0123abcd"), Some("17"))
    );
    let flat = state.instance(&id(&ids[2])).unwrap();
    assert!(flat.is_flat());
    assert_eq!(flat.attributes(&state)["tags.%"], json!("0"));
    assert_eq!(flat.identifier(&state).as_deref(), Some("old"));
    let data = state.instance(&id(&ids[3])).unwrap();
    assert_eq!((data.mode(), data.identifier(&state)), (Mode::Data, None));
    assert_eq!(data.sensitive_paths(&state), Vec::<Vec<PathStep>>::new());
    assert_eq!(
        (data.identity(&state), data.private(&state), data.attributes_raw(&state)),
        (None, None, Some(&b"{\"id\": null}"[..]))
    );
}

#[test]
fn nothing_secret_is_in_debug_output() {
    let state = parse(EVERYTHING).unwrap();
    let outputs: Vec<_> = state.outputs().collect();
    let text = format!(
        "{state:?} {:?} {outputs:?} {:?}",
        state.instances().collect::<Vec<_>>(),
        state.edit()
    );
    assert!(!text.contains("hunter2") && !text.contains("s3cr3t"), "{text}");
}

#[test]
fn the_digest_is_of_the_bytes() {
    let state = parse("{\"version\":4}").unwrap();
    assert_eq!(
        state.sha256(),
        "99fd67c89da37e7ca5f6d62c8c814dbb3dae1ba7e760c3e8ff804a45590680b2"
    );
    assert_ne!(state.sha256(), parse("{\"version\":4} ").unwrap().sha256());
}

#[test]
fn an_empty_state() {
    let state = State::empty("1.11.4", "3f1\"");
    assert!(state.is_empty());
    assert_eq!(
        (state.serial(), state.lineage(), state.terraform_version()),
        (0, "3f1\"", "1.11.4")
    );
    assert!(
        !parse(r#"{"version":4,"outputs":{"a":{"value":1,"type":"number"}}}"#)
            .unwrap()
            .is_empty()
    );
}

#[test]
fn states_are_shared_between_threads() {
    fn shared<T: Send + Sync + Clone>() {}
    shared::<State>();
}

/// Where Terraform is lenient: fields that are missing or null, and their order.
#[test]
fn what_terraform_lets_pass() {
    let minimal = parse(r#"{"version":4}"#).unwrap();
    assert_eq!(
        (minimal.serial(), minimal.lineage(), minimal.terraform_version()),
        (0, "", "")
    );
    let nulls = r#"{"version":4,"terraform_version":null,"serial":null,"lineage":null,"outputs":null,"resources":null,"check_results":null}"#;
    assert!(parse(nulls).unwrap().is_empty());
    let late = r#" {"resources":[{"instances":[{"dependencies":null,"attributes":null,"private":null,"index_key":null,
        "status":null,"deposed":"","schema_version":null,"sensitive_attributes":null,"identity":null}],
        "provider":"p","name":"n","type":"t","mode":"managed","module":null}],
        "outputs":{"o":{"type":"string","value":null}},"version":4}"#;
    let late = parse(late).unwrap();
    assert_eq!(late.instances().next().unwrap().id().to_string(), "t.n");
    assert_eq!(late.outputs().len(), 1);
    // Go reads every number as a float.
    for (key, expected) in [("1.0", "t.n[1]"), ("1e1", "t.n[10]"), ("-1", "t.n[-1]")] {
        assert_eq!(
            with_instance(&format!("\"index_key\":{key}"))
                .unwrap()
                .instances()
                .next()
                .unwrap()
                .id(),
            &id(expected)
        );
    }
    let escaped =
        parse(r#"{"\u0076ersion":4,"resources":[{"m\u006fde":"managed","type":"t","name":"n","provider":"p"}]}"#);
    assert_eq!(escaped.unwrap().resource_count(), 1);
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
            id: id("t.n[1]"),
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

#[test]
fn hostile_keys_do_not_become_numbers() {
    let state = with_instance(r#""attributes":{"a":{"$serde_json::private::Number":"1"},"b":-0.0,"c":1E400}"#).unwrap();
    let attributes = state.instances().next().unwrap().attributes(&state);
    assert_eq!(attributes["a"].as_object().unwrap().len(), 1);
    assert_eq!(attributes["b"].to_string(), "-0.0");
    assert!(attributes["c"].is_number());
}

/// Uses whatever the state offers, so that a bad span would show.
fn touch(state: &State) -> usize {
    let mut length = state.sha256().len();
    for instance in state.instances() {
        length += instance.attributes(state).len() + instance.dependencies(state).len();
        length += instance.sensitive_paths(state).len() + instance.private(state).map_or(0, <[u8]>::len);
        length += instance.identifier(state).map_or(0, |text| text.len());
        length += usize::from(instance.identity(state).is_some()) + instance.field_names(state).len();
        assert!(state.instance(instance.id()).is_some());
        let mut editor = state.edit();
        editor.remove(instance.id()).unwrap();
        editor.set_serial(1);
        assert_eq!(editor.finish().unwrap().instance_count() + 1, state.instance_count());
    }
    length
        + state
            .outputs()
            .map(|output| output.value().to_string().len())
            .sum::<usize>()
}

#[test]
fn cutting_it_off_anywhere_is_an_error() {
    let whole = EVERYTHING.trim_end().as_bytes();
    for length in 0..whole.len() {
        let error = error(&whole[..length]);
        match length {
            0 => assert_eq!(error, StateError::Empty),
            _ => assert!(
                matches!(error, StateError::Truncated { .. } | StateError::NotUtf8 { .. }),
                "{length}: {error}"
            ),
        }
    }
    touch(&parse(whole).unwrap());
}

#[test]
fn no_flipped_byte_panics_and_json_stays_what_serde_json_takes() {
    let seed = std::env::var("SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or(0x5eed_u64);
    let mut random = seed;
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    for position in 0..EVERYTHING.len() {
        for _ in 0..6 {
            let mut bytes = EVERYTHING.as_bytes().to_vec();
            let interesting = b"\"\\{}[]:, \n0e-.u\0\x1f\xc3";
            let replacement = match next() % 3 {
                0 => next() as u8,
                1 => bytes[position] ^ (1 << (next() % 8)),
                _ => interesting[next() as usize % interesting.len()],
            };
            bytes[position] = replacement;
            let json: Result<serde::de::IgnoredAny, _> = serde_json::from_slice(&bytes);
            match parse(bytes) {
                Ok(state) => {
                    assert!(
                        json.is_ok(),
                        "seed {seed}, byte {position} := {replacement}: serde_json refuses it"
                    );
                    touch(&state);
                }
                Err(StateError::Syntax { .. } | StateError::Truncated { .. } | StateError::TrailingData { .. }) => {
                    assert!(
                        json.is_err(),
                        "seed {seed}, byte {position} := {replacement}: serde_json takes it"
                    );
                }
                Err(_) => {}
            }
        }
    }
}
