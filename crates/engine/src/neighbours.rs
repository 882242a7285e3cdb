//! What a stack reads of the other stacks of the project (`terraform_remote_state`) while it is planned in its private
//! folder: their live states, with the outputs that they had at the target and will have again.
//!
//! Stacks go back before those that they depend on. What the target's configuration reads of another stack is not there
//! then yet: the outputs of then stand in for those of now, and [`crate::settle`] plans the stack again once the other one is
//! back, should they have come out otherwise. Everything lies in the private folder; the live states are only read.

use std::cell::LazyCell;
use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use rollback_config::{Configuration, Expr, Resource};
use rollback_state::{Mode, State};
use serde_json::{Map, Value, json};

use crate::context::{Context, Stack};
use crate::error::{EngineError, Result};
use crate::folder::{private_folder, write};
use crate::json_text::any_text;
use crate::live::Live;
use crate::target::Target;

/// Settings of backends that say which state it is.
const PLACES: &[&str] = &[
    "bucket",
    "key",
    "prefix",
    "path",
    "address",
    "container_name",
    "storage_account_name",
    "secret_suffix",
    "schema_name",
    "organization",
    "workspaces",
];
/// Where copies of remote states lie in the private folder.
const COPIES: &str = "infra-rollback.states";
/// Terraform merges it over the module's own blocks (the JSON syntax's `_override.tf.json`).
const OVERRIDE_FILE: &str = "infra_rollback_states_override.tf.json";

/// Where the other stacks' states go.
pub(crate) struct Reader<'a> {
    pub stack: &'a Stack,
    pub target: &'a Target,
    /// Whether the others go back as a whole, and not just some objects of them.
    pub whole: bool,
    /// Of the stack at the target.
    pub configuration: &'a Configuration,
    /// The repository's top in the private folder.
    pub tree: &'a Path,
}

/// Puts what the stack reads of the others into its folder.
///
/// # Errors
/// A copy cannot be written, or a kept state cannot be read.
pub(crate) fn put_states(context: &Context, reader: &Reader<'_>) -> Result<()> {
    for other in context.others(&reader.stack.name) {
        match Live::locate(context, &other) {
            Ok(Some(file)) => copy_file(context, reader, &other, &file)?,
            Ok(None) => read_from_a_copy(context, reader, &other)?,
            // Where that stack goes back itself, it says so there.
            Err(_) => {}
        }
    }
    Ok(())
}

/// A local state lies where it lies in the working folder: stacks name one another's by relative paths.
fn copy_file(context: &Context, reader: &Reader<'_>, other: &Stack, file: &Path) -> Result<()> {
    let Ok(relative) = file.strip_prefix(&context.root) else {
        return Ok(());
    };
    let Ok(bytes) = std::fs::read(file) else {
        return Ok(());
    };
    let bytes = with_outputs_of_then(context, reader, other, &bytes)?.unwrap_or(bytes);
    let mut copies = vec![reader.tree.join(relative)];
    // The target's configuration names it where that stack lay then.
    let then = reader.target.release_of(&other.name);
    if let (Some((_, record)), Ok(inside)) = (then, relative.strip_prefix(&other.dir)) {
        copies.push(reader.tree.join(&record.dir).join(inside));
    }
    copies.dedup();
    for copy in copies {
        if let Some(parent) = copy.parent() {
            private_folder(parent)?;
        }
        write(&copy, &bytes)?;
    }
    Ok(())
}

/// A remote state is read where it is; only where its outputs were others do the blocks that read it read a copy.
fn read_from_a_copy(context: &Context, reader: &Reader<'_>, other: &Stack) -> Result<()> {
    if readers(reader.configuration).next().is_none() {
        return Ok(());
    }
    let Ok(live) = Live::read(context, other) else {
        return Ok(());
    };
    let Some(state) = live.state() else { return Ok(()) };
    let backend = live.backend();
    let of_other = |resource: &Resource| {
        literal(resource, "backend").and_then(Value::as_str) == Some(&backend.kind)
            && literal(resource, "config")
                .and_then(Value::as_object)
                .is_some_and(|config| is_same_place(config, &backend.config))
            && match literal(resource, "workspace").and_then(Value::as_str) {
                Some(workspace) => workspace == live.workspace(),
                None => !resource.attributes.contains_key("workspace") && live.workspace() == "default",
            }
    };
    let mut blocks: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for (dir, resource) in readers(reader.configuration).filter(|(_, resource)| of_other(resource)) {
        blocks
            .entry(dir)
            .or_default()
            .insert(resource.name.clone(), Value::Null);
    }
    if blocks.is_empty() {
        return Ok(());
    }
    let Some(bytes) = with_outputs_of_then(context, reader, other, state.bytes())? else {
        return Ok(());
    };
    let copies = reader.tree.join(COPIES);
    private_folder(&copies)?;
    let copy = copies.join(format!("{}.tfstate", other.name));
    write(&copy, &bytes)?;
    let local = json!({ "backend": "local", "workspace": "default", "config": { "path": copy } });
    for (dir, mut of_module) in blocks {
        of_module.values_mut().for_each(|block| block.clone_from(&local));
        append(&reader.tree.join(dir).join(OVERRIDE_FILE), of_module)?;
    }
    Ok(())
}

/// The blocks that read another state, with their module's folder.
fn readers(configuration: &Configuration) -> impl Iterator<Item = (&str, &Resource)> {
    configuration
        .resources()
        .filter(|(_, resource)| resource.mode == Mode::Data && resource.kind == "terraform_remote_state")
        .map(|(module, resource)| (module.dir.as_str(), resource))
}

fn literal<'a>(resource: &'a Resource, name: &str) -> Option<&'a Value> {
    resource
        .attributes
        .get(name)
        .and_then(|value: &Expr| value.literal.as_ref())
}

fn is_same_place(named: &Map<String, Value>, live: &Map<String, Value>) -> bool {
    let known = |name: &&&str| named.contains_key(**name) && live.contains_key(**name);
    let mut shared = PLACES.iter().filter(known).peekable();
    shared.peek().is_some() && shared.all(|name| named[*name] == live[*name])
}

/// Adds data blocks to an override file, which several other stacks may have something in.
fn append(path: &Path, blocks: Map<String, Value>) -> Result<()> {
    let mut all = match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| EngineError::failed(error.to_string()))?,
        Err(_) => json!({ "data": { "terraform_remote_state": {} } }),
    };
    if let Some(known) = all["data"]["terraform_remote_state"].as_object_mut() {
        known.extend(blocks);
    }
    write(path, format!("{all:#}\n").as_bytes())
}

/// The state with the outputs of then, where they differ; none where none does, or where the other stack does not go back
/// with this one, so that it will not have them afterwards either.
fn with_outputs_of_then(
    context: &Context,
    reader: &Reader<'_>,
    other: &Stack,
    bytes: &[u8],
) -> Result<Option<Vec<u8>>> {
    if context.stack(&other.name).is_err() {
        return Ok(None);
    }
    let kept = reader
        .target
        .release_of(&other.name)
        .and_then(|(_, record)| record.state.as_ref());
    let (Some(kept), Ok(live)) = (kept, State::parse(bytes.to_vec())) else {
        return Ok(None);
    };
    let then = context.catalogue().state(kept)?;
    let dead = LazyCell::new(|| ids_that_are_gone(&live, &then));
    let mut differing = Vec::new();
    for output in then.outputs() {
        let now = live.outputs().find(|known| known.name == output.name);
        let differs = match now {
            None => true,
            Some(_) if !reader.whole => false,
            Some(now) => now.value() != output.value() && !names_any(&output.value(), &dead),
        };
        if differs {
            differing.push(output);
        }
    }
    if differing.is_empty() {
        return Ok(None);
    }
    let fail = |error: serde_json::Error| EngineError::failed(format!("the state of stack {}: {error}", other.name));
    let mut document: Value = serde_json::from_slice(bytes).map_err(fail)?;
    for output in differing {
        let mut entry = json!({ "value": output.value() });
        if let Some(kind) = output.type_raw() {
            entry["type"] = serde_json::from_slice(kind).map_err(fail)?;
        }
        if output.sensitive {
            entry["sensitive"] = Value::Bool(true);
        }
        document["outputs"][output.name] = entry;
    }
    Ok(Some(serde_json::to_vec(&document).map_err(fail)?))
}

/// Ids that only objects of then have: those objects come back as others.
fn ids_that_are_gone(live: &State, then: &State) -> HashSet<String> {
    let ids = |state: &State| -> HashSet<String> {
        let managed = state.instances().filter(|instance| instance.mode() == Mode::Managed);
        managed.filter_map(|instance| instance.identifier(state)).collect()
    };
    let now = ids(live);
    ids(then).into_iter().filter(|id| !now.contains(id)).collect()
}

fn names_any(value: &Value, ids: &HashSet<String>) -> bool {
    any_text(value, &|text| {
        ids.contains(text) || ids.iter().any(|id| id.len() >= 8 && text.contains(id.as_str()))
    })
}
