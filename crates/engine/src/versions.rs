//! The auditor's questions: every state that is kept, the state at a time, who changed what last.

use jiff::Timestamp;
use rollback_release::{Catalogue, StateVersion, States, WrittenState};
use rollback_state::{InstanceId, State};
use serde::{Deserialize, Serialize};

use crate::context::{Context, Stack};
use crate::error::{EngineError, Result};
use crate::target::Target;

/// The one stack that a question about states is about.
///
/// # Errors
/// There are several and none was named.
pub fn the_stack(context: &Context) -> Result<&Stack> {
    match context.stacks.as_slice() {
        [one] => Ok(one),
        several => {
            let names: Vec<&str> = several.iter().map(|stack| stack.name.as_str()).collect();
            Err(EngineError::usage("there are several stacks")
                .hint(format!("name one with --stack: {}", names.join(", "))))
        }
    }
}

/// A version by the sha256 of its bytes (or the beginning of it), by release, or by any revision that has one.
///
/// # Errors
/// There is none, or several.
pub fn find(context: &Context, stack: &Stack, text: &str) -> Result<StateVersion> {
    let versions = context.catalogue().state_versions(&stack.name)?.items;
    let lower = text.to_ascii_lowercase();
    if lower.len() >= 8 && lower.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let mut hits: Vec<&StateVersion> = versions
            .iter()
            .filter(|version| version.state.sha256.starts_with(&lower))
            .collect();
        hits.dedup_by(|a, b| a.state.sha256 == b.state.sha256);
        if let [one] = hits.as_slice() {
            let release = context.catalogue().get(&one.release)?;
            let state = release.stack(&stack.name).and_then(|record| record.state.clone());
            if let Some(state) = state.filter(|state| state.sha256 == one.state.sha256) {
                return Ok(StateVersion {
                    state,
                    ..(*one).clone()
                });
            }
        }
    }
    let release = match context.catalogue().find(text) {
        Ok(release) => release,
        Err(error) => {
            let target = Target::resolve(context, text).map_err(|_| EngineError::from(error))?;
            match target.release_of(&stack.name) {
                Some((release, _)) => release.clone(),
                None => {
                    return Err(
                        EngineError::failed(format!("no state of commit {} is kept", target.commit.short()))
                            .hint("`infra-rollback state versions` lists what is"),
                    );
                }
            }
        }
    };
    versions
        .into_iter()
        .find(|version| version.release == release.id)
        // The index found it; what it is, the release itself says.
        .and_then(|version| {
            let state = release.stack(&stack.name)?.state.clone()?;
            Some(StateVersion { state, ..version })
        })
        .ok_or_else(|| EngineError::failed(format!("release {} has no state of stack {}", release.id, stack.name)))
}

/// The states of a stack that Terraform wrote through a service that is its `http` backend and has this store, newest
/// first.
///
/// # Errors
/// The store cannot be read.
pub fn written(context: &Context, stack: &Stack) -> Result<Vec<WrittenState>> {
    states(context, stack)
        .versions(None, usize::MAX)
        .map_err(|error| EngineError::failed(error.to_string()))
}

fn states<'c>(context: &'c Context, stack: &'c Stack) -> States<'c> {
    let workspace = stack.workspace.as_deref().unwrap_or("default");
    States::new(context.store.as_ref(), &context.project, &stack.name, workspace)
}

/// The bytes of a written state by `write:NUMBER` or the sha256 of its bytes (or the beginning of it); none where there is
/// no such one.
///
/// # Errors
/// The store cannot be read, or the bytes are damaged.
pub fn written_bytes(context: &Context, stack: &Stack, text: &str) -> Result<Option<Vec<u8>>> {
    let lower = text.to_ascii_lowercase();
    let number = text
        .strip_prefix("write:")
        .and_then(|number| number.parse::<u64>().ok());
    let is_digest = lower.len() >= 8 && lower.bytes().all(|byte| byte.is_ascii_hexdigit());
    let found = written(context, stack)?.into_iter().find(|version| {
        let state = version.state.as_ref();
        Some(version.number) == number && state.is_some()
            || is_digest && state.is_some_and(|state| state.sha256.starts_with(&lower))
    });
    found
        .map(|version| states(context, stack).bytes(&version))
        .transpose()
        .map_err(|error| EngineError::failed(error.to_string()))
}

/// When an object or one of its attributes last changed, as far as releases tell.
#[derive(Debug, Serialize, Deserialize)]
pub struct Blame {
    pub release: String,
    pub commit: String,
    pub created_at: Timestamp,
    pub actor: String,
    /// `added`, `changed`, `moved` or `removed`.
    pub what: String,
    /// Attributes that differ from the release before.
    pub attributes: Vec<String>,
}

/// Every release in which the object (or the attribute) changed, newest first.
///
/// # Errors
/// The address cannot be read, or nothing is known of it.
pub fn blame(catalogue: &Catalogue<'_>, stack: &str, text: &str) -> Result<Vec<Blame>> {
    let (id, attribute) = parse_subject(text)?;
    let mut versions = catalogue.state_versions(stack)?.items;
    versions.dedup_by(|a, b| a.state.sha256 == b.state.sha256);
    versions.reverse();
    let mut found = Vec::new();
    let mut before: Option<State> = None;
    for version in versions {
        let state = catalogue.state(&version.state)?;
        let (old, new) = (
            before
                .as_ref()
                .and_then(|state| state.instance(&id).map(|i| (state, i))),
            state.instance(&id),
        );
        let what = match (old, new) {
            (None, None) => None,
            (None, Some(_)) => Some(("added", Vec::new())),
            (Some(_), None) => Some(("removed", Vec::new())),
            (Some((old_state, old)), Some(new)) => {
                if old.attributes_raw(old_state) == new.attributes_raw(&state) {
                    None
                } else {
                    let (a, b) = (old.attributes(old_state), new.attributes(&state));
                    let mut names: Vec<String> = a
                        .keys()
                        .chain(b.keys())
                        .filter(|name| a.get(*name) != b.get(*name))
                        .cloned()
                        .collect();
                    names.sort();
                    names.dedup();
                    names.retain(|name| attribute.as_ref().is_none_or(|wanted| wanted == name));
                    (!names.is_empty()).then_some(("changed", names))
                }
            }
        };
        if let Some((what, attributes)) = what {
            found.push(Blame {
                release: version.release.to_string(),
                commit: version.commit,
                created_at: version.created_at,
                actor: version.actor,
                what: what.to_owned(),
                attributes,
            });
        }
        before = Some(state);
    }
    if found.is_empty() {
        return Err(EngineError::failed(format!("no kept state has {text}"))
            .hint("write the address as `terraform state list` does, quotes and all"));
    }
    found.reverse();
    Ok(found)
}

/// `aws_instance.web["a"].tags`: an address, and what comes after it.
fn parse_subject(text: &str) -> Result<(InstanceId, Option<String>)> {
    if let Ok(address) = text.parse() {
        return Ok((InstanceId { address, deposed: None }, None));
    }
    if let Some((address, attribute)) = text.rsplit_once('.')
        && let Ok(address) = address.parse()
    {
        return Ok((InstanceId { address, deposed: None }, Some(attribute.to_owned())));
    }
    Err(EngineError::usage(format!("{text:?} is no address"))
        .hint("for example aws_db_instance.main, or aws_db_instance.main.engine_version"))
}
