//! State versions, as the service has them: those that releases keep, and those that Terraform wrote through it.

use std::path::Path;

use jiff::Timestamp;
use rollback_client::{Call, segment};
use rollback_engine::error::{EngineError, Result};
use rollback_engine::versions::Blame;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Connection;
use crate::arguments::Global;
use crate::commands;
use crate::output::Output;

#[derive(Deserialize)]
struct Stack {
    name: String,
    #[serde(default)]
    workspaces: Vec<Workspace>,
}

#[derive(Deserialize)]
struct Workspace {
    name: String,
}

/// The stacks that are meant: those that were named, or all that the token may see.
fn stacks(connection: &Connection, global: &Global) -> Result<Vec<Stack>> {
    let all: Vec<Stack> = connection.server.whole("/v1/stacks")?;
    for name in &global.stacks {
        if !all.iter().any(|stack| stack.name == *name) {
            let known: Vec<&str> = all.iter().map(|stack| stack.name.as_str()).collect();
            return Err(
                EngineError::usage(format!("there is no stack {name}, or the token may not see it"))
                    .hint(format!("the stacks are: {}", known.join(", "))),
            );
        }
    }
    let meant = |stack: &Stack| global.stacks.is_empty() || global.stacks.contains(&stack.name);
    Ok(all.into_iter().filter(meant).collect())
}

fn the_stack(connection: &Connection, global: &Global) -> Result<Stack> {
    let mut found = stacks(connection, global)?;
    if found.len() == 1 {
        return Ok(found.remove(0));
    }
    let names: Vec<&str> = found.iter().map(|stack| stack.name.as_str()).collect();
    Err(EngineError::usage("there are several stacks, or none")
        .hint(format!("name one with --stack: {}", names.join(", "))))
}

/// The name of the one stack that a question is about.
pub fn stack_name(connection: &Connection, global: &Global) -> Result<String> {
    Ok(the_stack(connection, global)?.name)
}

fn kept(connection: &Connection, stack: &Stack) -> Result<Vec<Value>> {
    let path = format!("/v1/stacks/{}/state-versions", segment(&stack.name));
    connection.server.list(&path, |_: &[Value]| false)
}

/// What Terraform wrote, in the form that `state versions` has.
fn written(connection: &Connection, stack: &Stack) -> Result<Vec<Value>> {
    let mut found = Vec::new();
    for workspace in &stack.workspaces {
        let path = format!(
            "/v1/stacks/{}/workspaces/{}/versions",
            segment(&stack.name),
            segment(&workspace.name)
        );
        let versions: Vec<Value> = connection.server.list(&path, |_: &[Value]| false)?;
        for version in versions.iter().filter(|version| version["deleted"] == false) {
            let mut one = json!({ "stack": stack.name, "write": version["number"] });
            for name in [
                "commit",
                "created_at",
                "actor",
                "lock_id",
                "sha256",
                "serial",
                "lineage",
                "terraform_version",
                "instances",
            ] {
                one[name] = version[name].clone();
            }
            found.push(one);
        }
    }
    Ok(found)
}

/// `state versions`.
pub fn versions(connection: &Connection, global: &Global, output: &Output) -> Result<()> {
    let mut documents = Vec::new();
    for stack in stacks(connection, global)? {
        let (kept, written) = (kept(connection, &stack)?, written(connection, &stack)?);
        commands::state::print_versions(output, &stack.name, &kept, &written);
        documents.extend(kept);
        documents.extend(written);
    }
    output.document(&json!({ "versions": documents }));
    Ok(())
}

/// `state pull VERSION`: the very bytes.
pub fn pull(
    connection: &Connection,
    global: &Global,
    version: &str,
    file: Option<&Path>,
    output: &Output,
) -> Result<()> {
    let stack = the_stack(connection, global)?;
    let name = segment(&stack.name);
    let (path, about) = match version.strip_prefix("write:") {
        Some(number) => {
            let [workspace] = stack.workspaces.as_slice() else {
                return Err(EngineError::usage(format!(
                    "stack {} has several workspaces here, or none: `{version}` is not one version",
                    stack.name
                ))
                .hint("name the version by its sha256"));
            };
            let workspace = segment(&workspace.name);
            (
                format!(
                    "/v1/stacks/{name}/workspaces/{workspace}/versions/{}/raw",
                    segment(number)
                ),
                json!({ "stack": stack.name, "version": version }),
            )
        }
        None => {
            let found = find(connection, &stack, version)?;
            let release = found["release"].as_str().unwrap_or_default();
            (
                format!("/v1/stacks/{name}/state-versions/{}/raw", segment(release)),
                found,
            )
        }
    };
    let answer = connection.server.call(&Call::get(path))?;
    commands::state::hand_over(&answer.body, file, &about, output)
}

/// A kept version by its sha256 or the beginning of it, its release's id, name or commit.
fn find(connection: &Connection, stack: &Stack, text: &str) -> Result<Value> {
    let versions = kept(connection, stack)?;
    let lower = text.to_ascii_lowercase();
    let begins = |value: &Value| lower.len() >= 8 && value.as_str().is_some_and(|value| value.starts_with(&lower));
    let direct = versions
        .iter()
        .find(|version| begins(&version["sha256"]) || begins(&version["release"]) || begins(&version["commit"]));
    if let Some(found) = direct {
        return Ok(found.clone());
    }
    let release: Value = connection.server.get(format!("/v1/releases/{}", segment(text)))?;
    versions
        .into_iter()
        .find(|version| version["release"] == release["id"])
        .ok_or_else(|| {
            EngineError::failed(format!("release {text} keeps no state of stack {}", stack.name))
                .hint("`infra-rollback state versions` lists what is kept")
        })
}

/// `state at TIME`.
pub fn at(connection: &Connection, global: &Global, time: &str, output: &Output) -> Result<()> {
    let moment = commands::state::parse_time(time)?;
    let mut documents = Vec::new();
    for stack in stacks(connection, global)? {
        let newest = kept(connection, &stack)?.into_iter().find(|version| {
            let at = version["created_at"]
                .as_str()
                .and_then(|text| text.parse::<Timestamp>().ok());
            at.is_some_and(|at| at <= moment)
        });
        match newest {
            Some(version) => {
                commands::state::print_at(output, &version);
                documents.push(version);
            }
            None => output.line(&format!("{}: no state was kept at {moment:.0} or before", stack.name)),
        }
    }
    if documents.is_empty() {
        return Err(EngineError::failed(format!(
            "no state was kept at {moment:.0} or before"
        )));
    }
    output.document(&json!({ "time": moment, "versions": documents }));
    Ok(())
}

/// `state blame`.
pub fn blame(connection: &Connection, global: &Global, address: &str, output: &Output) -> Result<()> {
    #[derive(Deserialize)]
    struct Found {
        changes: Vec<Blame>,
    }
    let stack = the_stack(connection, global)?;
    let path = format!("/v1/stacks/{}/blame?address={}", segment(&stack.name), segment(address));
    let found: Found = connection.server.get(path)?;
    commands::state::tell_blame(output, address, &found.changes);
    Ok(())
}
