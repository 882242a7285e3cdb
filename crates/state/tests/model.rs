//! Random edits against a model that knows nothing of bytes.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::sample::Index;
use rollback_state::{Address, EditError, InstanceId, State};
use serde_json::{Value, json};

/// An object as the model sees it.
#[derive(Clone, Debug, PartialEq)]
struct Object {
    provider: String,
    tainted: bool,
    identifier: String,
    dependencies: Vec<String>,
}

type Model = BTreeMap<InstanceId, Object>;

#[derive(Clone, Debug)]
enum Edit {
    Remove(Index),
    Move(Index, Address),
    Swap(Index, Index),
    Graft(Index, Address),
    Replace(Index, Index),
    Provider(Index, bool),
    Taint(Index, bool),
}

const PROVIDERS: [&str; 2] = ["provider[\"a/b/c\"]", "provider[\"a/b/c\"].west"];

fn address() -> impl Strategy<Value = Address> {
    let module = proptest::sample::select(vec!["", "", "module.m.", "module.m[\"k\"].", "module.m[0].module.n."]);
    let name = proptest::sample::select(vec!["a", "b", "c"]);
    let key = proptest::sample::select(vec!["", "", "[0]", "[1]", "[\"x\"]", "[\"<&\\n$${\"]"]);
    (module, name, key).prop_map(|(module, name, key)| format!("{module}t.{name}{key}").parse().unwrap())
}

fn edit() -> impl Strategy<Value = Edit> {
    let index = any::<Index>;
    prop_oneof![
        2 => index().prop_map(Edit::Remove),
        5 => (index(), address()).prop_map(|(index, to)| Edit::Move(index, to)),
        3 => (index(), index()).prop_map(|(one, other)| Edit::Swap(one, other)),
        2 => (index(), address()).prop_map(|(index, to)| Edit::Graft(index, to)),
        1 => (index(), index()).prop_map(|(one, other)| Edit::Replace(one, other)),
        1 => (index(), any::<bool>()).prop_map(|(index, west)| Edit::Provider(index, west)),
        1 => (index(), any::<bool>()).prop_map(|(index, tainted)| Edit::Taint(index, tainted)),
    ]
}

/// What an instance looks like in the file: the ids, and how the document is laid out.
#[derive(Clone, Debug)]
struct Document {
    ids: BTreeSet<(Address, bool)>,
    layout: u8,
    tainted: Vec<bool>,
    depends: Vec<Vec<Index>>,
}

fn document() -> impl Strategy<Value = Document> {
    (
        proptest::collection::btree_set((address(), proptest::bool::weighted(0.1)), 0..9),
        0..3_u8,
        proptest::collection::vec(any::<bool>(), 9),
        proptest::collection::vec(proptest::collection::vec(any::<Index>(), 0..3), 9),
    )
        .prop_map(|(ids, layout, tainted, depends)| Document {
            ids,
            layout,
            tainted,
            depends,
        })
}

/// Writes the document; the prefix keeps the ids of two states apart.
fn write(document: &Document, prefix: &str) -> State {
    let configurations: Vec<String> = document
        .ids
        .iter()
        .map(|(address, _)| address.resource.config().to_string())
        .collect();
    let mut entries: Vec<Value> = Vec::new();
    let mut last = None;
    for (index, (address, deposed)) in document.ids.iter().enumerate() {
        if last.as_ref() != Some(&address.resource) {
            let mut entry = json!({"mode": "managed", "type": "t", "name": address.resource.name,
                "provider": PROVIDERS[0], "note": 1, "instances": []});
            if !address.resource.module.is_root() {
                entry["module"] = json!(address.resource.module.to_string());
            }
            entries.push(entry);
            last = Some(address.resource.clone());
        }
        let mut instance = json!({});
        match &address.key {
            Some(rollback_state::Key::Int(number)) => instance["index_key"] = json!(number),
            Some(rollback_state::Key::Str(text)) => instance["index_key"] = json!(text),
            None => {}
        }
        if document.tainted[index] {
            instance["status"] = json!("tainted");
        }
        if *deposed {
            instance["deposed"] = json!("0123abcd");
        }
        instance["schema_version"] = json!(0);
        instance["attributes"] = json!({"id": format!("{prefix}{index}"), "list": [1, {}, []], "text": "\u{2028}ä"});
        let depends: Vec<&String> = document.depends[index]
            .iter()
            .map(|depends| depends.get(&configurations))
            .collect();
        instance["dependencies"] = json!(depends);
        entries.last_mut().unwrap()["instances"]
            .as_array_mut()
            .unwrap()
            .push(instance);
    }
    let state =
        json!({"version": 4, "serial": 1, "lineage": "l", "outputs": {}, "resources": entries, "x": [1, {"y": null}]});
    let text = match document.layout {
        0 => serde_json::to_string(&state).unwrap(),
        1 => format!("{}\n", serde_json::to_string_pretty(&state).unwrap()),
        _ => serde_json::to_string_pretty(&state)
            .unwrap()
            .replace("  ", "\t")
            .replace('\n', "\r\n"),
    };
    State::parse(text).unwrap()
}

/// Reads a state with serde_json alone; only the addresses are put together by this crate.
fn model(state: &State) -> Model {
    let value: Value = serde_json::from_slice(state.bytes()).unwrap();
    let mut model = Model::new();
    for resource in value["resources"].as_array().unwrap() {
        for instance in resource["instances"].as_array().unwrap() {
            let module = resource["module"]
                .as_str()
                .map(|module| format!("{module}."))
                .unwrap_or_default();
            let key = match &instance["index_key"] {
                Value::Null => String::new(),
                Value::String(text) => rollback_state::Key::Str(text.clone()).to_string(),
                number => format!("[{number}]"),
            };
            let deposed = instance["deposed"]
                .as_str()
                .map(|key| format!(" (deposed {key})"))
                .unwrap_or_default();
            let id = format!("{module}t.{}{key}{deposed}", resource["name"].as_str().unwrap())
                .parse()
                .unwrap();
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let object = Object {
                provider: text(&resource["provider"]),
                tainted: instance["status"] == "tainted",
                identifier: text(&instance["attributes"]["id"]),
                dependencies: instance["dependencies"].as_array().unwrap().iter().map(text).collect(),
            };
            assert_eq!(instance["attributes"]["list"].to_string(), "[1,{},[]]");
            assert!(model.insert(id, object).is_none());
        }
    }
    model
}

/// What is to happen to each object of the state, as the model collects it.
#[derive(Clone, Debug, Default)]
struct Wish {
    removed: bool,
    to: Option<Address>,
    body: Option<Object>,
    provider: Option<String>,
    tainted: Option<bool>,
}

/// The edited model; none where two objects are at one address.
fn expected(before: &Model, wishes: &BTreeMap<InstanceId, Wish>, grafts: &[(InstanceId, Object)]) -> Option<Model> {
    let mut renames: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let default = Wish::default();
    for id in before.keys() {
        let wish = wishes.get(id).unwrap_or(&default);
        if !wish.removed {
            let to = wish.to.as_ref().unwrap_or(&id.address).resource.config().to_string();
            renames
                .entry(id.address.resource.config().to_string())
                .or_default()
                .insert(to);
        }
    }
    let rename = |dependency: &String| match renames.get(dependency) {
        Some(to) if to.len() == 1 => to.first().unwrap().clone(),
        _ => dependency.clone(),
    };
    let mut after = Model::new();
    for (id, object) in before {
        let wish = wishes.get(id).unwrap_or(&default);
        if wish.removed {
            continue;
        }
        let mut object = match &wish.body {
            Some(body) => Object {
                provider: object.provider.clone(),
                ..body.clone()
            },
            None => Object {
                dependencies: object.dependencies.iter().map(rename).collect(),
                ..object.clone()
            },
        };
        object.tainted = wish.tainted.unwrap_or(object.tainted);
        object.provider = wish.provider.clone().unwrap_or(object.provider);
        let address = wish.to.clone().unwrap_or_else(|| id.address.clone());
        if after
            .insert(
                InstanceId {
                    address,
                    deposed: id.deposed.clone(),
                },
                object,
            )
            .is_some()
        {
            return None;
        }
    }
    for (id, object) in grafts {
        if after.insert(id.clone(), object.clone()).is_some() {
            return None;
        }
    }
    Some(after)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn edits_do_what_the_model_does(one in document(), two in document(), edits in proptest::collection::vec(edit(), 0..7)) {
        let (state, other) = (write(&one, "s"), write(&two, "o"));
        let (before, source) = (model(&state), model(&other));
        let ids: Vec<InstanceId> = before.keys().cloned().collect();
        let sources: Vec<InstanceId> = source.keys().cloned().collect();
        let mut editor = state.edit();
        let mut wishes: BTreeMap<InstanceId, Wish> = BTreeMap::new();
        let mut grafts = Vec::new();
        for edit in &edits {
            if let Edit::Graft(index, to) = edit {
                if sources.is_empty() {
                    continue;
                }
                let from = index.get(&sources);
                editor.graft(&other, from, to).unwrap();
                grafts.push((InstanceId { address: to.clone(), deposed: from.deposed.clone() }, source[from].clone()));
                continue;
            }
            if ids.is_empty() {
                continue;
            }
            let mut go = |id: &InstanceId, to: &Address| {
                let wish = wishes.entry(id.clone()).or_default();
                let refused = wish.removed || wish.to.as_ref().is_some_and(|already| already != to);
                assert_eq!(editor.move_to(id, to).is_err(), refused);
                if !refused {
                    wish.to = Some(to.clone());
                }
            };
            match edit {
                Edit::Move(index, to) => go(index.get(&ids), to),
                Edit::Swap(one, other) => {
                    let (one, other) = (one.get(&ids), other.get(&ids));
                    go(one, &other.address);
                    go(other, &one.address);
                }
                Edit::Remove(index) => {
                    let id = index.get(&ids);
                    let wish = wishes.entry(id.clone()).or_default();
                    let refused = wish.to.is_some() || wish.body.is_some();
                    prop_assert_eq!(editor.remove(id).is_err(), refused);
                    wish.removed |= !refused;
                }
                Edit::Replace(one, from) if !sources.is_empty() => {
                    let (id, from) = (one.get(&ids), from.get(&sources));
                    let wish = wishes.entry(id.clone()).or_default();
                    let refused = wish.removed || wish.body.is_some();
                    prop_assert_eq!(editor.replace(id, &other, from).is_err(), refused);
                    if !refused {
                        wish.body = Some(source[from].clone());
                    }
                }
                Edit::Provider(index, west) => {
                    let id = index.get(&ids);
                    let wish = wishes.entry(id.clone()).or_default();
                    prop_assert_eq!(editor.set_provider(id, PROVIDERS[usize::from(*west)]).is_err(), wish.removed);
                    if !wish.removed {
                        wish.provider = Some(PROVIDERS[usize::from(*west)].to_owned());
                    }
                }
                Edit::Taint(index, tainted) => {
                    let id = index.get(&ids);
                    let wish = wishes.entry(id.clone()).or_default();
                    prop_assert_eq!(editor.set_tainted(id, *tainted).is_err(), wish.removed);
                    if !wish.removed {
                        wish.tainted = Some(*tainted);
                    }
                }
                _ => {}
            }
        }
        let outcome = editor.finish();
        let Some(expected) = expected(&before, &wishes, &grafts) else {
            prop_assert!(matches!(outcome, Err(EditError::Collision { .. })), "{:?}", outcome);
            return Ok(());
        };
        let after = outcome.unwrap();
        prop_assert_eq!(model(&after), expected);
        untouched_bytes_are_the_same(&state, &after, &wishes);
    }
}

/// Objects that no edit names, and whose dependencies did not change, have the same bytes; so has the rest.
fn untouched_bytes_are_the_same(before: &State, after: &State, wishes: &BTreeMap<InstanceId, Wish>) {
    let empty = Wish::default();
    for instance in before.instances() {
        let wish = wishes.get(instance.id()).unwrap_or(&empty);
        if wish.removed || wish.to.is_some() || wish.body.is_some() || wish.provider.is_some() || wish.tainted.is_some()
        {
            continue;
        }
        let same = after.instance(instance.id()).unwrap();
        if same.dependencies(after) == instance.dependencies(before) {
            assert_eq!(same.raw(after), instance.raw(before));
        }
        assert_eq!(same.attributes_raw(after), instance.attributes_raw(before));
    }
    let text = |state: &State| String::from_utf8(state.bytes().to_vec()).unwrap();
    let (before_text, after_text) = (text(before), text(after));
    let array = "\"resources\"";
    assert_eq!(before_text.split(array).next(), after_text.split(array).next());
    let tail = "\"x\"";
    assert_eq!(before_text.rsplit(tail).next(), after_text.rsplit(tail).next());
    if wishes.is_empty() && before.instance_count() == after.instance_count() {
        assert_eq!(before_text, after_text);
    }
    // New parts are laid out like the old ones: no line of a document of one line, and no line without its indentation.
    if !before_text.contains('\n') {
        assert!(!after_text.contains('\n'));
    } else if before.instance_count() > 0 && before_text.contains("\r\n") {
        assert_eq!(after_text.matches('\n').count(), after_text.matches("\r\n").count());
    }
}
