//! Addresses: written as Terraform writes them, and read again.

use proptest::prelude::*;
use rollback_state::{Address, InstanceId, Key, Mode, ModulePath, ModuleStep, ResourceAddress};

fn written(text: &str) -> String {
    Key::Str(text.to_owned()).to_string()
}

#[test]
fn keys_are_quoted_as_terraform_quotes_them() {
    // Seen with Terraform 1.11.4 (`terraform state list`), see terraform.rs for the same against the real one.
    for (key, expected) in [
        ("", r#"[""]"#),
        ("a.b", r#"["a.b"]"#),
        ("quote\"d", r#"["quote\"d"]"#),
        ("back\\slash", r#"["back\\slash"]"#),
        ("new\nline\r\t", r#"["new\nline\r\t"]"#),
        ("${x}", r#"["$${x}"]"#),
        ("$${x}", r#"["$$${x}"]"#),
        ("%{if}", r#"["%%{if}"]"#),
        ("%%{", r#"["%%%{"]"#),
        ("$%{", r#"["$%%{"]"#),
        ("100% $5", r#"["100% $5"]"#),
        ("é中😀\u{301}x", "[\"é中😀\u{301}x\"]"),
        ("\u{1b}\u{7f}\u{a0}\u{ad}", r#"["\u001b\u007f\u00a0\u00ad"]"#),
        (
            "\u{200b}\u{2028}\u{feff}\u{e0001}",
            r#"["\u200b\u2028\ufeff\U000e0001"]"#,
        ),
        // Assigned in Unicode 16: not yet known to Terraform.
        ("\u{1c89}", r#"["\u1c89"]"#),
    ] {
        assert_eq!(written(key), expected);
        assert_eq!(expected.parse::<Key>().unwrap(), Key::Str(key.to_owned()), "{expected}");
    }
    assert_eq!(Key::Int(-3).to_string(), "[-3]");
}

#[test]
fn addresses_are_read() {
    let address: Address = "module.a[\"x.y\"].module.b[0].data.aws_vpc.main[\"k\"]"
        .parse()
        .unwrap();
    assert_eq!(address.resource.module.config_path(), ["a", "b"]);
    assert_eq!(
        address.resource.config().to_string(),
        "module.a.module.b.data.aws_vpc.main"
    );
    assert_eq!(address.resource.mode, Mode::Data);
    assert_eq!(
        (address.resource.kind.as_str(), address.resource.name.as_str()),
        ("aws_vpc", "main")
    );
    assert_eq!(address.key, Some(Key::Str("k".to_owned())));
    let id: InstanceId = "a.b[\" (deposed 01234567)\"] (deposed 0123abcd)".parse().unwrap();
    assert_eq!(id.deposed.as_deref(), Some("0123abcd"));
    assert_eq!(id.to_string(), "a.b[\" (deposed 01234567)\"] (deposed 0123abcd)");
    assert_eq!("".parse::<ModulePath>().unwrap(), ModulePath::root());
    assert_eq!(
        "module.module.module.x".parse::<ModulePath>().unwrap().config_path(),
        ["module", "x"]
    );
    let resource: ResourceAddress = "module.a.t.n".parse().unwrap();
    assert_eq!(resource.to_string(), "module.a.t.n");
}

#[test]
fn what_is_no_address_says_where_and_why() {
    for (text, position) in [
        ("", 1),
        ("a", 2),
        ("a.", 3),
        ("a.b.c", 4),
        ("a.b[", 5),
        ("a.b[x]", 5),
        ("a.b[1", 6),
        ("a.b[+1]", 5),
        ("a.b[99999999999999999999]", 5),
        ("a.b[\"x]", 8),
        ("a.b[\"${x}\"]", 6),
        ("a.b[\"\\x\"]", 6),
        ("a.b[\"\\u12\"]", 6),
        ("a.b[\"\\ud800\"]", 6),
        ("a.b[\"\n\"]", 6),
        ("module.a", 9),
        ("module..t.n", 8),
        ("data.t", 7),
        ("a.b ", 4),
        ("a.b (deposed 012)", 4),
        ("é b.c", 2),
    ] {
        let error = text.parse::<InstanceId>().unwrap_err();
        assert_eq!(error.position, position, "{error}");
        assert!(error.hint().is_some());
    }
    assert!("module.a.".parse::<ModulePath>().is_err());
    assert!("a.b[0]".parse::<ResourceAddress>().is_err());
    assert!("a.b (deposed 0123abcd)".parse::<Address>().is_err());
}

#[test]
fn the_order_is_terraforms() {
    let sorted = [
        "data.z.z",
        "a.b",
        "a.b (deposed 00000001)",
        "a.b[2]",
        "a.b[10]",
        "a.b[\"10\"]",
        "a.b[\"2\"]",
        "b.a",
        "module.b.a.a",
        "module.b[0].a.a",
        "module.a.module.a.a.a",
    ];
    let mut ids: Vec<InstanceId> = sorted.iter().rev().map(|text| text.parse().unwrap()).collect();
    ids.sort();
    assert_eq!(ids.iter().map(ToString::to_string).collect::<Vec<_>>(), sorted);
}

#[test]
fn serde_carries_the_text() {
    let id: InstanceId = "module.a[\"k\"].t.n[0] (deposed 0123abcd)".parse().unwrap();
    let json = serde_json::to_string(&id).unwrap();
    assert_eq!(json, r#""module.a[\"k\"].t.n[0] (deposed 0123abcd)""#);
    assert_eq!(serde_json::from_str::<InstanceId>(&json).unwrap(), id);
    assert_eq!(serde_json::to_string(&Mode::Data).unwrap(), "\"data\"");
    assert!(serde_json::from_str::<Address>("\"a b\"").is_err());
}

fn key() -> impl Strategy<Value = Option<Key>> {
    let hostile = proptest::collection::vec(
        prop_oneof![
            3 => any::<char>(),
            3 => proptest::sample::select("$%{}\"\\\n\r\t[].() a\u{301}\u{200b}".chars().collect::<Vec<_>>()),
        ],
        0..12,
    )
    .prop_map(String::from_iter);
    proptest::option::of(prop_oneof![any::<i64>().prop_map(Key::Int), hostile.prop_map(Key::Str)])
}

fn id() -> impl Strategy<Value = InstanceId> {
    let name = "[a-z_é][a-z0-9_-]{0,6}";
    let step = (name, key()).prop_map(|(name, key)| ModuleStep { name, key });
    let module = proptest::collection::vec(step, 0..4).prop_map(ModulePath);
    let mode = prop_oneof![Just(Mode::Managed), Just(Mode::Data)];
    let kind = name.prop_filter("words with a meaning of their own", |kind| {
        kind != "data" && kind != "module"
    });
    (module, mode, kind, name, key(), proptest::option::of("[0-9a-f]{8}")).prop_map(
        |(module, mode, kind, name, key, deposed)| InstanceId {
            address: Address {
                resource: ResourceAddress {
                    module,
                    mode,
                    kind,
                    name,
                },
                key,
            },
            deposed,
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(id in id()) {
        let text = id.to_string();
        prop_assert_eq!(text.parse::<InstanceId>().unwrap(), id.clone());
        prop_assert!(!text.chars().any(|character| character.is_ascii_control()));
        let resource = &id.address.resource;
        prop_assert_eq!(&resource.to_string().parse::<ResourceAddress>().unwrap(), resource);
        prop_assert_eq!(&resource.module.to_string().parse::<ModulePath>().unwrap(), &resource.module);
    }

    #[test]
    fn reading_never_panics(text in "\\PC{0,30}|[a-z.\\[\\]\"$%{}\\\\u0-9]{0,30}") {
        let _ = text.parse::<InstanceId>();
        let _ = text.parse::<ModulePath>();
    }
}
