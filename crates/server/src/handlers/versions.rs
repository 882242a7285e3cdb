//! State versions: those that releases keep, and those that Terraform wrote through the backend here.

use axum::response::Response;
use rollback_engine::error::EngineError;
use rollback_inverse::redact::{Redactor, SENSITIVE};
use rollback_release::{CatalogueError, Release, ReleaseId, StateVersion, WrittenState};
use rollback_state::{Mode, State};
use serde_json::{Value, json};

use super::backend::{raw, refused, states};
use crate::call::{Call, Page, ok, ok_tagged};
use crate::problem::{Problem, Result};

/// What is known of a written version; no values.
pub fn describe_written(stack: &str, workspace: &str, version: &WrittenState) -> Value {
    json!({
        "stack": stack,
        "workspace": workspace,
        "number": version.number,
        "created_at": version.written_at,
        "actor": version.actor,
        "lock_id": version.lock_id,
        "commit": version.commit,
        "deleted": version.state.is_none(),
        "size": version.size,
        "sha256": version.state.as_ref().map(|state| &state.sha256),
        "serial": version.state.as_ref().map(|state| state.serial),
        "lineage": version.state.as_ref().map(|state| &state.lineage),
        "terraform_version": version.state.as_ref().map(|state| &state.terraform_version),
        "instances": version.state.as_ref().map(|state| state.instances),
    })
}

fn describe_kept(stack: &str, version: &StateVersion) -> Value {
    json!({
        "stack": stack,
        "release": version.release,
        "created_at": version.created_at,
        "actor": version.actor,
        "commit": version.commit,
        "kind": version.kind,
        "sha256": version.state.sha256,
        "serial": version.state.serial,
        "lineage": version.state.lineage,
        "terraform_version": version.state.terraform_version,
        "instances": version.state.instances,
    })
}

/// The objects of a state with what is sensitive masked.
fn redacted(call: &Call, state: &State) -> Value {
    let redactor = Redactor::new([state], std::iter::empty::<String>(), &call.service.knowledge);
    let resources: Vec<Value> = state
        .instances()
        .map(|instance| {
            let attributes = Value::Object(instance.attributes(state));
            let kind = instance.address().resource.kind.as_str();
            json!({
                "address": instance.address().to_string(),
                "deposed": instance.deposed(),
                "mode": if instance.mode() == Mode::Data { "data" } else { "managed" },
                "type": kind,
                "provider": instance.provider(),
                "tainted": instance.tainted(),
                "schema_version": instance.schema_version(),
                "dependencies": instance.dependencies(state),
                "attributes": redactor.mask_attributes(kind, &instance.sensitive_paths(state), &attributes),
            })
        })
        .collect();
    let outputs: serde_json::Map<String, Value> = state
        .outputs()
        .map(|output| {
            let value = match output.sensitive {
                true => Value::from(SENSITIVE),
                false => redactor.mask_value(&[output.name], &output.value()),
            };
            (
                output.name.to_owned(),
                json!({ "sensitive": output.sensitive, "value": value }),
            )
        })
        .collect();
    json!({
        "serial": state.serial(), "lineage": state.lineage(), "terraform_version": state.terraform_version(),
        "sha256": state.sha256(), "outputs": outputs, "resources": resources,
    })
}

pub fn written(call: &Call) -> Result<Response> {
    let limit = call.limit()?;
    let found = states(call)?.versions(call.cursor()?, limit).map_err(refused)?;
    let next = (found.len() == limit).then(|| found.last().map(|last| last.number.to_string()));
    ok(&Page {
        items: found
            .iter()
            .map(|version| describe_written(call.path("stack"), call.path("workspace"), version))
            .collect(),
        next_cursor: next.flatten(),
    })
}

fn one_written(call: &Call) -> Result<WrittenState> {
    let number = call.path("number").parse().map_err(|_| Problem::not_found("version"))?;
    let found = states(call)?.version(number).map_err(refused)?;
    found.ok_or_else(|| Problem::not_found("version"))
}

/// The bytes of a version that has some.
fn bytes_of(call: &Call) -> Result<(Vec<u8>, String)> {
    let version = one_written(call)?;
    let Some(record) = &version.state else {
        return Err(Problem::not_found("state: this version records that it was deleted"));
    };
    let bytes = states(call)?.bytes(&version).map_err(refused)?;
    Ok((bytes, record.sha256.clone()))
}

pub fn written_one(call: &Call) -> Result<Response> {
    let version = one_written(call)?;
    ok_tagged(
        call,
        &describe_written(call.path("stack"), call.path("workspace"), &version),
    )
}

pub fn written_redacted(call: &Call) -> Result<Response> {
    let (bytes, _) = bytes_of(call)?;
    let state = State::parse(bytes).map_err(EngineError::from)?;
    ok_tagged(call, &redacted(call, &state))
}

pub fn written_raw(call: &Call) -> Result<Response> {
    let (bytes, sha256) = bytes_of(call)?;
    Ok(raw(bytes, &sha256))
}

pub fn kept(call: &Call) -> Result<Response> {
    let before: Option<ReleaseId> = call.cursor()?;
    let stack = call.path("stack");
    let (items, next) = call
        .service
        .catalogue()
        .state_versions_page(stack, before.as_ref(), call.limit()?)?;
    ok(&Page {
        items: items.iter().map(|version| describe_kept(stack, version)).collect(),
        next_cursor: next.map(|last| last.to_string()),
    })
}

/// How many versions are looked at together for one of given bytes.
const SEARCHED: usize = 200;

fn version_in(mut release: Release, stack: &str) -> Option<StateVersion> {
    let place = release.stacks.iter().position(|found| found.name == stack)?;
    let state = release.stacks.swap_remove(place).state?;
    Some(StateVersion {
        release: release.id,
        commit: release.commit,
        kind: release.kind,
        created_at: release.created_at,
        actor: release.actor,
        state,
    })
}

/// By its release's id or the sha256 of its bytes.
fn one_kept(call: &Call) -> Result<StateVersion> {
    let (stack, wanted) = (call.path("stack"), call.path("version"));
    let catalogue = call.service.catalogue();
    if let Ok(id) = wanted.parse::<ReleaseId>() {
        let found = match catalogue.get(&id) {
            Err(CatalogueError::NotFound { .. }) => None,
            found => version_in(found?, stack),
        };
        return found.ok_or_else(|| Problem::not_found("version"));
    }
    // From the newest on, and no further than needed.
    let mut before: Option<ReleaseId> = None;
    loop {
        let (page, last) = catalogue.state_versions_page(stack, before.as_ref(), SEARCHED)?;
        if let Some(version) = page.into_iter().find(|version| version.state.sha256 == wanted) {
            return Ok(version);
        }
        if last.is_none() {
            return Err(Problem::not_found("version"));
        }
        before = last;
    }
}

pub fn kept_one(call: &Call) -> Result<Response> {
    let version = one_kept(call)?;
    ok_tagged(call, &describe_kept(call.path("stack"), &version))
}

pub fn kept_redacted(call: &Call) -> Result<Response> {
    let version = one_kept(call)?;
    let state = call.service.catalogue().state(&version.state)?;
    ok_tagged(call, &redacted(call, &state))
}

pub fn kept_raw(call: &Call) -> Result<Response> {
    let version = one_kept(call)?;
    let state = call.service.catalogue().state(&version.state)?;
    Ok(raw(state.bytes().to_vec(), &version.state.sha256))
}
