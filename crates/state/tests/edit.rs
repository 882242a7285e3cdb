//! Edits: what changes, and that nothing else does.

use rollback_state::{Address, EditError, InstanceId, State};

const PROVIDER: &str = r#"provider[\"terraform.io/builtin/terraform\"]"#;

fn id(text: &str) -> InstanceId {
    text.parse().unwrap()
}

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

fn addresses(state: &State) -> Vec<String> {
    state
        .instances()
        .map(|instance| format!("{}={}", instance.id(), instance.identifier(state).unwrap()))
        .collect()
}

/// A resource's module, its name, and for each instance the key as JSON and the id.
type Resource<'t> = (&'t str, &'t str, &'t [(&'t str, &'t str)]);

/// A state as Terraform writes it; each resource is a module, a name, and for each instance a key and an id.
fn state(resources: &[Resource<'_>]) -> State {
    let mut entries = Vec::new();
    for (module, name, instances) in resources {
        let module = if module.is_empty() {
            String::new()
        } else {
            format!("      \"module\": {module:?},\n")
        };
        let instances: Vec<String> = instances
            .iter()
            .map(|(key, id)| {
                let key = if key.is_empty() {
                    String::new()
                } else {
                    format!("          \"index_key\": {key},\n")
                };
                format!(
                    "        {{\n{key}          \"schema_version\": 0,\n          \"attributes\": {{\n            \
                     \"id\": \"{id}\",\n            \"number\": 1.0\n          }},\n          \
                     \"sensitive_attributes\": []\n        }}"
                )
            })
            .collect();
        entries.push(format!(
            "    {{\n{module}      \"mode\": \"managed\",\n      \"type\": \"terraform_data\",\n      \
             \"name\": \"{name}\",\n      \"provider\": \"{PROVIDER}\",\n      \"instances\": [\n{}\n      ]\n    }}",
            instances.join(",\n")
        ));
    }
    let resources = if entries.is_empty() {
        "[]".to_owned()
    } else {
        format!("[\n{}\n  ]", entries.join(",\n"))
    };
    State::parse(format!(
        "{{\n  \"version\": 4,\n  \"terraform_version\": \"1.11.4\",\n  \"serial\": 3,\n  \"lineage\": \"l\",\n  \
         \"outputs\": {{}},\n  \"resources\": {resources},\n  \"check_results\": null\n}}\n"
    ))
    .unwrap()
}

/// Checks that the edited state is byte for byte what Terraform would have written.
#[track_caller]
fn assert_written(edited: &State, expected: &State) {
    let text = |state: &State| String::from_utf8(state.bytes().to_vec()).unwrap();
    assert_eq!(text(edited), text(expected));
}

#[track_caller]
fn moved(before: &State, moves: &[(&str, &str)]) -> State {
    let mut editor = before.edit();
    for (from, to) in moves {
        editor.move_to(&id(from), &address(to)).unwrap();
    }
    editor.finish().unwrap()
}

#[test]
fn no_edit_gives_the_same_bytes() {
    let before = state(&[("", "a", &[("", "1")])]);
    assert_written(&before.edit().finish().unwrap(), &before);
    let mut editor = before.edit();
    editor.set_serial(3);
    editor.set_lineage("l");
    editor.set_tainted(&id("terraform_data.a"), false).unwrap();
    editor
        .move_to(&id("terraform_data.a"), &address("terraform_data.a"))
        .unwrap();
    assert_written(&editor.finish().unwrap(), &before);
}

#[test]
fn serial_and_lineage() {
    let mut editor = state(&[]).edit();
    editor.set_serial(u64::MAX);
    editor.set_lineage("new \"one\"");
    let edited = editor.finish().unwrap();
    assert_eq!((edited.serial(), edited.lineage()), (u64::MAX, "new \"one\""));
    let mut editor = State::parse(r#"{"version":4}"#).unwrap().edit();
    editor.set_serial(9);
    editor.set_lineage("x");
    let edited = editor.finish().unwrap();
    assert_eq!(edited.bytes(), br#"{"version":4,"serial":9,"lineage":"x"}"#);
}

#[test]
fn a_rename_changes_the_name_alone() {
    let before = state(&[("", "a", &[("", "1")]), ("", "c", &[("", "2")])]);
    let expected = state(&[("", "b", &[("", "1")]), ("", "c", &[("", "2")])]);
    assert_written(&moved(&before, &[("terraform_data.a", "terraform_data.b")]), &expected);
}

#[test]
fn a_swap_and_back() {
    let before = state(&[("", "a", &[("", "1")]), ("", "b", &[("", "2")])]);
    let swap = [
        ("terraform_data.a", "terraform_data.b"),
        ("terraform_data.b", "terraform_data.a"),
    ];
    let edited = moved(&before, &swap);
    let mut found = addresses(&edited);
    found.sort();
    assert_eq!(found, ["terraform_data.a=2", "terraform_data.b=1"]);
    assert_written(&moved(&edited, &swap), &before);
}

#[test]
fn a_rotation_of_keys() {
    let before = state(&[("", "a", &[("\"x\"", "1"), ("\"y\"", "2"), ("\"z\"", "3")])]);
    let edited = moved(
        &before,
        &[
            ("terraform_data.a[\"x\"]", "terraform_data.a[\"y\"]"),
            ("terraform_data.a[\"y\"]", "terraform_data.a[\"z\"]"),
            ("terraform_data.a[\"z\"]", "terraform_data.a[\"x\"]"),
        ],
    );
    let expected = state(&[("", "a", &[("\"y\"", "1"), ("\"z\"", "2"), ("\"x\"", "3")])]);
    assert_written(&edited, &expected);
}

#[test]
fn keys_come_and_go() {
    let single = state(&[("", "a", &[("", "1")])]);
    let keyed = state(&[("", "a", &[("\"k\"", "1")])]);
    let counted = state(&[("", "a", &[("0", "1")])]);
    assert_written(
        &moved(&single, &[("terraform_data.a", "terraform_data.a[\"k\"]")]),
        &keyed,
    );
    assert_written(
        &moved(&keyed, &[("terraform_data.a[\"k\"]", "terraform_data.a[0]")]),
        &counted,
    );
    assert_written(
        &moved(&counted, &[("terraform_data.a[0]", "terraform_data.a")]),
        &single,
    );
}

#[test]
fn into_a_module_and_out_again() {
    let root = state(&[("", "a", &[("", "1")])]);
    let nested = state(&[("module.c[\"k.x\"].module.d", "a", &[("", "1")])]);
    let to = "module.c[\"k.x\"].module.d.terraform_data.a";
    assert_written(&moved(&root, &[("terraform_data.a", to)]), &nested);
    assert_written(&moved(&nested, &[(to, "terraform_data.a")]), &root);
}

#[test]
fn one_of_several_siblings_leaves_and_returns() {
    let before = state(&[
        ("", "a", &[("0", "1"), ("1", "2"), ("2", "3")]),
        ("", "z", &[("", "9")]),
    ]);
    for (index, name) in [(0, "1"), (1, "2"), (2, "3")] {
        let from = format!("terraform_data.a[{index}]");
        let rest: Vec<(&str, &str)> = [("0", "1"), ("1", "2"), ("2", "3")]
            .into_iter()
            .filter(|(_, id)| *id != name)
            .collect();
        let expected = state(&[("", "a", &rest), ("", "m", &[("", name)]), ("", "z", &[("", "9")])]);
        let edited = moved(&before, &[(&from, "terraform_data.m")]);
        assert_written(&edited, &expected);
        assert_written(&moved(&edited, &[("terraform_data.m", &from)]), &before);
    }
}

#[test]
fn joins_an_entry_that_is_there() {
    let before = state(&[
        ("", "a", &[("\"b\"", "1")]),
        ("", "n", &[("\"a\"", "2"), ("\"c\"", "3")]),
    ]);
    let expected = state(&[("", "n", &[("\"a\"", "2"), ("\"b\"", "1"), ("\"c\"", "3")])]);
    assert_written(
        &moved(&before, &[("terraform_data.a[\"b\"]", "terraform_data.n[\"b\"]")]),
        &expected,
    );
}

#[test]
fn removing_the_last_instance_removes_the_resource() {
    let before = state(&[("", "a", &[("", "1")]), ("", "b", &[("0", "2"), ("1", "3")])]);
    let mut editor = before.edit();
    editor.remove(&id("terraform_data.a")).unwrap();
    editor.remove(&id("terraform_data.b[1]")).unwrap();
    let edited = editor.finish().unwrap();
    assert_written(&edited, &state(&[("", "b", &[("0", "2")])]));
    let mut editor = edited.edit();
    editor.remove(&id("terraform_data.b[0]")).unwrap();
    assert_written(&editor.finish().unwrap(), &state(&[]));
}

#[test]
fn one_leaves_its_place_to_another() {
    // a goes to b's place; b is removed.
    let before = state(&[("", "a", &[("", "1")]), ("", "b", &[("", "2")])]);
    let mut editor = before.edit();
    editor.remove(&id("terraform_data.b")).unwrap();
    editor
        .move_to(&id("terraform_data.a"), &address("terraform_data.b"))
        .unwrap();
    assert_written(&editor.finish().unwrap(), &state(&[("", "b", &[("", "1")])]));
}

#[test]
fn grafts_from_another_state() {
    let other = state(&[("", "x", &[("\"k\"", "7")])]);
    for before in [
        state(&[]),
        state(&[("", "a", &[("", "1")])]),
        state(&[("", "z", &[("", "1")])]),
    ] {
        let mut editor = before.edit();
        editor
            .graft(
                &other,
                &id("terraform_data.x[\"k\"]"),
                &address("module.m.terraform_data.x[0]"),
            )
            .unwrap();
        let edited = editor.finish().unwrap();
        assert!(addresses(&edited).contains(&"module.m.terraform_data.x[0]=7".to_owned()));
        let mut editor = edited.edit();
        editor.remove(&id("module.m.terraform_data.x[0]")).unwrap();
        assert_written(&editor.finish().unwrap(), &before);
    }
    let mut editor = state(&[("", "a", &[("", "1")])]).edit();
    editor
        .graft(&other, &id("terraform_data.x[\"k\"]"), &address("terraform_data.b"))
        .unwrap();
    assert_written(
        &editor.finish().unwrap(),
        &state(&[("", "a", &[("", "1")]), ("", "b", &[("", "7")])]),
    );
}

#[test]
fn grafts_take_the_layout_of_the_document() {
    let compact = State::parse(format!(
        r#"{{"version":4,"resources":[{{"mode":"managed","type":"terraform_data","name":"x","provider":"{PROVIDER}","instances":[{{"schema_version":0,"attributes":{{"id":"7","number":1.0}},"sensitive_attributes":[]}}]}}]}}"#
    ))
    .unwrap();
    let indented = state(&[("", "x", &[("", "7")])]);
    let mut editor = state(&[]).edit();
    editor
        .graft(&compact, &id("terraform_data.x"), &address("terraform_data.x"))
        .unwrap();
    assert_written(&editor.finish().unwrap(), &indented);
    for empty in [
        r#"{"version":4,"resources":[]}"#,
        r#"{"version":4}"#,
        r#"{"version":4,"resources":null}"#,
    ] {
        let mut editor = State::parse(empty).unwrap().edit();
        editor
            .graft(&indented, &id("terraform_data.x"), &address("terraform_data.x"))
            .unwrap();
        assert_written(&editor.finish().unwrap(), &compact);
    }
}

#[test]
fn replaces_a_body() {
    let before = state(&[("", "a", &[("0", "1"), ("1", "2")])]);
    let other = state(&[("", "b", &[("\"k\"", "new")])]);
    let mut editor = before.edit();
    editor
        .replace(&id("terraform_data.a[1]"), &other, &id("terraform_data.b[\"k\"]"))
        .unwrap();
    assert_written(
        &editor.finish().unwrap(),
        &state(&[("", "a", &[("0", "1"), ("1", "new")])]),
    );
    let mut editor = before.edit();
    editor
        .replace(&id("terraform_data.a[1]"), &other, &id("terraform_data.b[\"k\"]"))
        .unwrap();
    editor
        .move_to(&id("terraform_data.a[1]"), &address("terraform_data.c"))
        .unwrap();
    assert_written(
        &editor.finish().unwrap(),
        &state(&[("", "a", &[("0", "1")]), ("", "c", &[("", "new")])]),
    );
}

#[test]
fn taints_and_untaints() {
    let before = state(&[("", "a", &[("0", "1"), ("1", "2")])]);
    let mut editor = before.edit();
    editor.set_tainted(&id("terraform_data.a[1]"), true).unwrap();
    let tainted = editor.finish().unwrap();
    let text = String::from_utf8(tainted.bytes().to_vec()).unwrap();
    assert!(text.contains("\"index_key\": 1,\n          \"status\": \"tainted\",\n          \"schema_version\": 0"));
    assert_eq!(tainted.instances().filter(|instance| instance.tainted()).count(), 1);
    let mut editor = tainted.edit();
    editor.set_tainted(&id("terraform_data.a[1]"), false).unwrap();
    assert_written(&editor.finish().unwrap(), &before);
}

#[test]
fn sets_the_provider_of_a_resource_or_of_one_of_several() {
    let other = "provider[\"terraform.io/builtin/terraform\"].west";
    let before = state(&[("", "a", &[("0", "1"), ("1", "2")])]);
    let mut editor = before.edit();
    for index in ["terraform_data.a[0]", "terraform_data.a[1]"] {
        editor.set_provider(&id(index), other).unwrap();
    }
    let edited = editor.finish().unwrap();
    assert_eq!(edited.resource_count(), 1);
    assert!(edited.instances().all(|instance| instance.provider() == other));

    let mut editor = before.edit();
    editor.set_provider(&id("terraform_data.a[1]"), other).unwrap();
    let edited = editor.finish().unwrap();
    assert_eq!(edited.resource_count(), 2);
    let providers: Vec<&str> = edited.instances().map(|instance| instance.provider()).collect();
    assert_eq!(providers, ["provider[\"terraform.io/builtin/terraform\"]", other]);
}

/// OpenTofu's way: no provider at the resource, one at each instance.
#[test]
fn sets_the_provider_of_an_instance_that_has_its_own() {
    for field in ["provider", "instance_provider"] {
        let text = format!(
            r#"{{"version":4,"resources":[{{"mode":"managed","type":"t","name":"a","instances":[
            {{"index_key":"x","schema_version":0,"{field}":"p[\"x\"]"}},
            {{"index_key":"y","schema_version":0,"{field}":"p[\"y\"]"}}]}}]}}"#
        );
        let before = State::parse(text.clone()).unwrap();
        assert_eq!(before.instance(&id("t.a[\"y\"]")).unwrap().provider(), "p[\"y\"]");
        let mut editor = before.edit();
        editor.set_provider(&id("t.a[\"y\"]"), "q").unwrap();
        let edited = editor.finish().unwrap();
        assert_eq!(
            String::from_utf8(edited.bytes().to_vec()).unwrap(),
            text.replace(r#"p[\"y\"]"#, "q")
        );
        // It keeps it where it goes, in an entry without one.
        let edited = moved(&before, &[("t.a[\"y\"]", "t.b")]);
        assert_eq!(edited.instance(&id("t.b")).unwrap().provider(), "p[\"y\"]");
    }
}

fn with_dependencies(names: &[(&str, &str, &[&str])]) -> State {
    let entries: Vec<String> = names
        .iter()
        .map(|(name, key, dependencies)| {
            let key = if key.is_empty() { String::new() } else { format!("\"index_key\":{key},") };
            format!(
                r#"{{"mode":"managed","type":"t","name":"{name}","provider":"p","instances":[{{{key}"attributes":{{"id":"{name}"}},"dependencies":{dependencies:?}}}]}}"#
            )
        })
        .collect();
    State::parse(format!(r#"{{"version":4,"resources":[{}]}}"#, entries.join(","))).unwrap()
}

fn dependencies(state: &State, of: &str) -> Vec<String> {
    state.instance(&id(of)).unwrap().dependencies(state)
}

#[test]
fn dependencies_follow_a_whole_resource() {
    let before = with_dependencies(&[("a", "", &[]), ("b", "", &["t.a"]), ("c", "", &["t.a", "t.b"])]);
    let edited = moved(&before, &[("t.a", "module.m[\"k\"].t.a"), ("t.b", "t.d")]);
    assert_eq!(dependencies(&edited, "t.d"), ["module.m.t.a"]);
    assert_eq!(dependencies(&edited, "t.c"), ["module.m.t.a", "t.d"]);
    let swapped = moved(&before, &[("t.a", "t.b"), ("t.b", "t.a")]);
    assert_eq!(dependencies(&swapped, "t.a"), ["t.b"]);
    assert_eq!(dependencies(&swapped, "t.c"), ["t.b", "t.a"]);
}

#[test]
fn dependencies_stay_where_only_a_part_goes() {
    let before = with_dependencies(&[("a", "0", &[]), ("a", "1", &[]), ("b", "", &["t.a"])]);
    let edited = moved(&before, &[("t.a[0]", "t.c")]);
    assert_eq!(dependencies(&edited, "t.b"), ["t.a"]);
    // A change of keys alone is no change of the configuration address.
    let edited = moved(&before, &[("t.a[0]", "t.a[\"x\"]"), ("t.a[1]", "t.a[\"y\"]")]);
    assert_eq!(dependencies(&edited, "t.b"), ["t.a"]);
    // What is removed does not hold the others back.
    let mut editor = before.edit();
    editor.remove(&id("t.a[1]")).unwrap();
    editor.move_to(&id("t.a[0]"), &address("t.c")).unwrap();
    assert_eq!(dependencies(&editor.finish().unwrap(), "t.b"), ["t.c"]);
}

#[test]
fn deposed_objects_keep_their_key() {
    let text = r#"{"version":4,"resources":[{"mode":"managed","type":"t","name":"a","provider":"p","instances":[
        {"attributes":{"id":"1"}},{"deposed":"0123abcd","attributes":{"id":"2"}}]}]}"#;
    let before = State::parse(text).unwrap();
    let edited = moved(&before, &[("t.a (deposed 0123abcd)", "t.b")]);
    assert_eq!(addresses(&edited), ["t.a=1", "t.b (deposed 0123abcd)=2"]);
    let mut editor = before.edit();
    editor
        .graft(&before, &id("t.a (deposed 0123abcd)"), &address("t.c[0]"))
        .unwrap();
    editor
        .replace(&id("t.a"), &before, &id("t.a (deposed 0123abcd)"))
        .unwrap();
    let edited = editor.finish().unwrap();
    assert_eq!(
        addresses(&edited),
        ["t.a=2", "t.a (deposed 0123abcd)=2", "t.c[0] (deposed 0123abcd)=2"]
    );
}

#[test]
fn unknown_fields_survive_a_rename_and_a_move() {
    let text = r#"{"version":4,"future":{"a":[1e400]},"resources":[{"mode":"managed","type":"t","name":"a","provider":"p","each":"list","note":1,"instances":[{"attributes":{"id":"1"},"note":1.0}]}]}"#;
    let edited = moved(&State::parse(text).unwrap(), &[("t.a", "t.b[0]")]);
    let expected = text
        .replace("\"a\",\"provider\"", "\"b\",\"provider\"")
        .replace("[{\"attr", "[{\"index_key\":0,\"attr");
    assert_eq!(String::from_utf8(edited.bytes().to_vec()).unwrap(), expected);
}

#[test]
fn refuses_what_cannot_be() {
    let before = state(&[("", "a", &[("", "1")]), ("", "b", &[("", "2")])]);
    let (a, b) = (id("terraform_data.a"), id("terraform_data.b"));
    let nowhere = id("terraform_data.x");
    let mut editor = before.edit();
    assert_eq!(
        editor.remove(&nowhere),
        Err(EditError::NotFound {
            id: Box::new(nowhere.clone())
        })
    );
    assert_eq!(
        editor.graft(&before, &nowhere, &a.address),
        Err(EditError::NotFound { id: Box::new(nowhere) })
    );
    editor.move_to(&a, &address("terraform_data.c")).unwrap();
    assert!(matches!(editor.remove(&a), Err(EditError::Contradiction { .. })));
    assert!(matches!(
        editor.move_to(&a, &address("terraform_data.d")),
        Err(EditError::Contradiction { .. })
    ));

    let message = |editor: rollback_state::Editor| editor.finish().unwrap_err().to_string();
    let mut editor = before.edit();
    editor.move_to(&a, &b.address).unwrap();
    assert_eq!(
        message(editor),
        "two objects would stand at terraform_data.b: terraform_data.b, which stays, and terraform_data.a, moved there"
    );
    let mut editor = before.edit();
    editor.move_to(&a, &address("terraform_data.c")).unwrap();
    editor.move_to(&b, &address("terraform_data.c")).unwrap();
    assert!(message(editor).contains("terraform_data.a, moved there, and terraform_data.b, moved there"));
    let mut editor = before.edit();
    editor.graft(&before, &a, &a.address).unwrap();
    assert!(message(editor).contains("terraform_data.a of another state, grafted there"));
    let mut editor = before.edit();
    editor.move_to(&a, &address("null_resource.a")).unwrap();
    assert!(matches!(editor.finish(), Err(EditError::TypeChange { .. })));
}
