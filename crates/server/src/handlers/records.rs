//! Stacks, locks and runs.

use std::collections::{BTreeMap, BTreeSet};

use axum::response::Response;
use rollback_engine::journal::Journal;
use rollback_engine::lease::Life;
use rollback_engine::lock;
use rollback_engine::run::{Run, Runs};
use rollback_release::written_states;
use serde_json::{Value, json};

use super::backend::refused;
use crate::access::Principal;
use crate::call::{Call, Page, ok, ok_tagged};
use crate::problem::{Problem, Result};
use crate::service::Asked;

/// How many of the newest releases are looked at for stacks that the repository does not name (any more).
const LOOK_BACK: usize = 50;

/// The stacks that the principal may see, by name: those of the repository, of the newest releases, and those whose
/// state lies here.
fn all_stacks(call: &Call) -> Result<BTreeMap<String, Value>> {
    let who = call.who()?;
    let service = &call.service;
    let mut found: BTreeMap<String, Value> = BTreeMap::new();
    let new = |name: &str| json!({ "name": name, "dir": null, "depends_on": [], "workspaces": [], "release": null });
    if service.has_repository() {
        let actor = who.actor();
        let context = service.context(&Asked {
            stacks: &[],
            actor: &actor,
            command: "stacks",
        })?;
        for stack in &context.stacks {
            let mut value = new(&stack.name);
            value["dir"] = json!(stack.dir);
            value["depends_on"] = json!(stack.depends_on);
            found.insert(stack.name.clone(), value);
        }
    }
    for release in service.catalogue().list(LOOK_BACK)?.items {
        for stack in &release.stacks {
            let value = found.entry(stack.name.clone()).or_insert_with(|| new(&stack.name));
            if value["release"].is_null() {
                value["release"] = json!(release.id);
            }
        }
    }
    for (stack, workspace, lock) in written_states(service.store.as_ref(), &service.project).map_err(refused)? {
        let value = found.entry(stack.clone()).or_insert_with(|| new(&stack));
        if let Some(workspaces) = value["workspaces"].as_array_mut() {
            workspaces.push(json!({ "name": workspace, "locked": lock.is_some() }));
        }
    }
    found.retain(|name, _| who.sees(name));
    Ok(found)
}

pub fn stacks(call: &Call) -> Result<Response> {
    ok(&Page {
        items: all_stacks(call)?.into_values().collect(),
        next_cursor: None,
    })
}

pub fn stack(call: &Call) -> Result<Response> {
    let found = all_stacks(call)?.remove(call.path("stack"));
    ok(&found.ok_or_else(|| Problem::not_found("stack"))?)
}

pub fn locks(call: &Call) -> Result<Response> {
    let who = call.who()?;
    let service = &call.service;
    let mut items: Vec<Value> = lock::list(service.store.as_ref(), &service.project)?
        .into_iter()
        .filter(|holder| who.sees(&holder.stack))
        .map(|holder| {
            let life = match holder.life() {
                Life::Alive => "alive",
                Life::Dead => "dead",
                Life::Unknown => "unknown",
            };
            json!({ "kind": "run", "stack": holder.stack, "holder": holder, "life": life, "dead": holder.is_dead() })
        })
        .collect();
    for (stack, workspace, lock) in written_states(service.store.as_ref(), &service.project).map_err(refused)? {
        if let Some(lock) = lock.filter(|_| who.sees(&stack)) {
            items.push(
                json!({ "kind": "state", "stack": stack, "workspace": workspace, "actor": lock.actor,
                "since": lock.since, "info": lock.info }),
            );
        }
    }
    ok(&Page {
        items,
        next_cursor: None,
    })
}

/// Whether the principal may see a run: all of its stacks.
pub fn sees_run(who: &Principal, run: &Run) -> bool {
    let parts = run.stacks.iter().map(|part| part.stack.as_str());
    let names: BTreeSet<&str> = run.selected.iter().map(String::as_str).chain(parts).collect();
    match names.is_empty() {
        true => who.sees_all(),
        false => names.iter().all(|name| who.sees(name)),
    }
}

pub fn runs(call: &Call) -> Result<Response> {
    let who = call.who()?;
    let limit = call.limit()?;
    let mut before = call.cursor()?.map(|id: uuid::Uuid| id.to_string());
    let runs = Runs::new(call.service.store.as_ref(), &call.service.project);
    let mut items: Vec<Run> = Vec::new();
    let next = loop {
        let (page, more) = runs.page(before.as_deref(), limit)?;
        let last = page.last().map(|run| run.id.clone());
        for run in page {
            before = Some(run.id.clone());
            if sees_run(who, &run) {
                items.push(run);
            }
            if items.len() == limit {
                break;
            }
        }
        if items.len() == limit {
            // The page may have held more than fitted.
            break before.clone().filter(|before| more || last.as_ref() != Some(before));
        }
        if !more {
            break None;
        }
    };
    ok(&Page {
        items: items.iter().map(|run| json!(run)).collect(),
        next_cursor: next,
    })
}

pub fn run(call: &Call) -> Result<Response> {
    let who = call.who()?;
    let service = &call.service;
    let id = call.path("run");
    if uuid::Uuid::try_parse(id).is_err() {
        return Err(Problem::not_found("run"));
    }
    let found = Runs::new(service.store.as_ref(), &service.project).get(id)?;
    let Some((run, _)) = found.filter(|(run, _)| sees_run(who, run)) else {
        return Err(Problem::not_found("run"));
    };
    let journal = Journal::open(service.store.as_ref(), &service.project, id)?;
    ok_tagged(call, &json!({ "run": run, "journal": journal.entries() }))
}
