//! Every state of a folder that INFRA_ROLLBACK_CORPUS names: read and given back byte for byte, counted like
//! serde_json counts, or refused with one clear line. Does nothing where the variable is not set.

#![allow(clippy::print_stderr)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rollback_state::{Address, State, StateError};
use serde_json::Value;

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// What serde_json finds, with nothing of this crate.
fn counted(bytes: &[u8]) -> Option<(usize, usize, usize)> {
    let value: Value = serde_json::from_slice(bytes).ok()?;
    (value["version"].as_u64() == Some(4)).then_some(())?;
    let empty = Vec::new();
    let resources = value["resources"].as_array().unwrap_or(&empty);
    let instances = resources
        .iter()
        .map(|resource| resource["instances"].as_array().map_or(0, Vec::len))
        .sum();
    Some((
        resources.len(),
        instances,
        value["outputs"].as_object().map_or(0, |outputs| outputs.len()),
    ))
}

#[test]
fn every_state_of_the_corpus() {
    let Some(folder) = std::env::var_os("INFRA_ROLLBACK_CORPUS") else {
        return;
    };
    let mut paths = Vec::new();
    files(Path::new(&folder), &mut paths);
    paths.sort();
    assert!(!paths.is_empty(), "the corpus is empty");
    let (mut read, mut refused) = (0, BTreeMap::<String, Vec<String>>::new());
    for path in &paths {
        let bytes = std::fs::read(path).unwrap();
        let counted = counted(&bytes);
        match State::parse(bytes.clone()) {
            Ok(state) => {
                read += 1;
                let counts = (state.resource_count(), state.instance_count(), state.outputs().len());
                assert_eq!(Some(counts), counted, "{}", path.display());
                assert_eq!(state.bytes(), bytes, "{}", path.display());
                check(&state, &bytes, path);
            }
            Err(error) => {
                let message = error.to_string();
                assert!(!message.contains('\n'), "{message}");
                let structural = matches!(
                    error,
                    StateError::MissingField { .. }
                        | StateError::WrongType { .. }
                        | StateError::InvalidValue { .. }
                        | StateError::DuplicateKey { .. }
                        | StateError::DuplicateInstance { .. }
                );
                assert!(counted.is_none() || structural, "{}: {message}", path.display());
                refused.entry(message).or_default().push(path.display().to_string());
            }
        }
    }
    for (message, paths) in &refused {
        eprintln!("{:4} {message}   {}", paths.len(), paths[0]);
    }
    eprintln!("{read} of {} read", paths.len());
}

/// Against serde_json: identifiers, attributes, and what edits leave alone.
fn check(state: &State, bytes: &[u8], path: &Path) {
    let value: Value = serde_json::from_slice(bytes).unwrap();
    let raw = value["resources"].as_array().into_iter().flatten();
    let raw = raw.flat_map(|resource| resource["instances"].as_array().into_iter().flatten());
    for (instance, raw) in state.instances().zip(raw) {
        let attributes = if raw["attributes"].is_object() {
            &raw["attributes"]
        } else {
            &raw["attributes_flat"]
        };
        assert_eq!(
            attributes.as_object().cloned().unwrap_or_default(),
            instance.attributes(state),
            "{}",
            path.display()
        );
        if let Value::String(id) = &attributes["id"] {
            assert_eq!(instance.identifier(state).as_ref(), Some(id));
        }
        let text = instance.id().to_string();
        assert_eq!(text.parse().as_ref(), Ok(instance.id()), "{}", path.display());
    }
    if state.instance_count() > 2000 {
        return;
    }
    for instance in state.instances() {
        let to: Address = format!("module.moved[\"${{x}}\"].{}", instance.address())
            .replace("${", "$${")
            .parse()
            .unwrap();
        let mut editor = state.edit();
        editor.move_to(instance.id(), &to).unwrap();
        let moved = editor.finish().unwrap();
        assert_eq!(moved.instance_count(), state.instance_count());
        let target = rollback_state::InstanceId {
            address: to,
            deposed: instance.deposed().map(str::to_owned),
        };
        let there = moved.instance(&target).unwrap();
        assert_eq!(there.attributes_raw(&moved), instance.attributes_raw(state));
        assert_eq!(there.provider(), instance.provider());
        let mut editor = moved.edit();
        editor.move_to(&target, instance.address()).unwrap();
        let back: Value = serde_json::from_slice(editor.finish().unwrap().bytes()).unwrap();
        let same = objects(&back) == objects(&value) && back["outputs"] == value["outputs"];
        assert!(same, "{} {}", path.display(), instance.id());
    }
}

/// Every object with what its resource is about, sorted: entries of one resource may have been joined.
fn objects(state: &Value) -> Vec<String> {
    let mut objects = Vec::new();
    for resource in state["resources"].as_array().into_iter().flatten() {
        let header: Vec<&Value> = ["module", "mode", "type", "name", "provider"]
            .iter()
            .map(|field| &resource[*field])
            .collect();
        for instance in resource["instances"].as_array().into_iter().flatten() {
            objects.push(format!("{header:?} {instance}"));
        }
    }
    objects.sort();
    objects
}
