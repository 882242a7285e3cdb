//! Reading states: every field, what Terraform lets pass, and no panic on anything.

use rollback_state::{InstanceId, Mode, PathStep, State, StateError};
use serde_json::json;

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

fn with_instance(fields: &str) -> Result<State, StateError> {
    parse(format!(
        r#"{{"version":4,"resources":[{{"mode":"managed","type":"t","name":"n","provider":"p","instances":[{{{fields}}}]}}]}}"#
    ))
}

/// Terraform looks at `attributes_flat` only where there is no `attributes`, whichever comes first.
#[test]
fn flat_attributes_count_only_where_there_are_no_others() {
    let (flat, structured) = (
        r#""attributes_flat":{"id":"flat"}"#,
        r#""attributes":{"id":"structured"}"#,
    );
    for (fields, expected) in [
        (format!("{flat},{structured}"), "structured"),
        (format!("{structured},{flat}"), "structured"),
        (format!(r#""attributes":null,{flat}"#), "flat"),
    ] {
        let state = with_instance(&fields).unwrap();
        let instance = state.instances().next().unwrap();
        assert_eq!(instance.identifier(&state).as_deref(), Some(expected));
        assert_eq!(instance.attributes(&state)["id"], json!(expected));
        assert_eq!(instance.is_flat(), expected == "flat");
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
