//! Releases, what differs between them, and whether one can be gone back to.

use std::collections::BTreeMap;

use axum::http::{StatusCode, header};
use axum::response::Response;
use rollback_engine::document::{self, describe_release, describe_summary};
use rollback_engine::drill::{self, Drill};
use rollback_engine::error::EngineError;
use rollback_engine::planning;
use rollback_engine::reconcile::Guard;
use rollback_engine::snapshot;
use rollback_engine::target::Target;
use rollback_inverse::{Fate, Input, Reversibility, compute};
use rollback_release::{Mark, Release, ReleaseId};
use rollback_state::State;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::access::Principal;
use crate::call::{Call, Page, ok, ok_tagged, set, with_status};
use crate::given::Values;
use crate::problem::{self, Problem, Result};
use crate::service::Asked;

/// Takes other people's stacks away, and with the first of them the paths, which tell of them; false where nothing is left.
fn is_seen<S>(who: &Principal, stacks: &mut Vec<S>, dirty: &mut Vec<String>, name: impl Fn(&S) -> &str) -> bool {
    let before = stacks.len();
    stacks.retain(|stack| who.sees(name(stack)));
    if stacks.len() < before {
        dirty.clear();
    }
    who.sees_all() || !stacks.is_empty()
}

pub fn list(call: &Call) -> Result<Response> {
    let who = call.who()?;
    let service = &call.service;
    let limit = call.limit()?;
    let mut before: Option<ReleaseId> = call.cursor()?;
    let marks = service.catalogue().marks()?;
    let mut items = Vec::new();
    'pages: loop {
        let (page, last) = service.catalogue().summaries_page(before.as_ref(), limit)?;
        let drills = match (page.items.last(), page.items.first()) {
            (Some(oldest), Some(newest)) => drill::last_between(
                service.store.as_ref(),
                &service.project,
                oldest.id.as_str(),
                newest.id.as_str(),
            )?,
            _ => BTreeMap::new(),
        };
        for mut release in page.items {
            before = Some(release.id.clone());
            if is_seen(who, &mut release.stacks, &mut release.dirty, |stack| {
                stack.name.as_str()
            }) {
                let (mark, drill) = (marks.get(&release.id), drills.get(release.id.as_str()));
                items.push(with_words(describe_summary(&release), mark, drill));
            }
            if items.len() == limit {
                break 'pages;
            }
        }
        before = last;
        if before.is_none() {
            break;
        }
    }
    ok(&Page {
        next_cursor: before.map(|id| id.to_string()),
        items,
    })
}

fn find(call: &Call, text: &str) -> Result<Release> {
    let mut release = call.service.catalogue().find(text)?;
    match is_seen(call.who()?, &mut release.stacks, &mut release.dirty, |stack| {
        stack.name.as_str()
    }) {
        true => Ok(release),
        false => Err(Problem::not_found("release")),
    }
}

/// A release's document with what was said about it, and with the last rehearsal of the way back to it.
fn with_words(mut value: Value, mark: Option<&Mark>, drill: Option<&Drill>) -> Value {
    value["mark"] = json!(mark);
    value["drill"] = json!(drill.map(|last| json!({ "reach": last.reach, "at": last.at, "by": last.by })));
    value
}

/// As [`with_words`], read for this one.
fn with_mark(call: &Call, value: Value, release: &ReleaseId, mark: Option<&Mark>) -> Result<Value> {
    let service = &call.service;
    let last = drill::last(service.store.as_ref(), &service.project, release.as_str())?;
    Ok(with_words(value, mark, last.as_ref()))
}

pub fn get(call: &Call) -> Result<Response> {
    let release = find(call, call.path("release"))?;
    let mark = call.service.catalogue().marks()?.remove(&release.id);
    let value = with_mark(call, describe_release(&release), &release.id, mark.as_ref())?;
    ok_tagged(call, &value)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewRelease {
    name: Option<String>,
    note: Option<String>,
    #[serde(default)]
    stacks: Vec<String>,
    /// The commit that the caller means.
    commit: Option<String>,
    #[serde(default)]
    variables: BTreeMap<String, String>,
    nonce: Option<String>,
}

/// The stacks that are meant, all of which the principal must see; all of the repository's where none is named.
pub fn chosen(call: &Call, stacks: &[String], command: &str) -> Result<rollback_engine::context::Context> {
    let who = call.who()?;
    if stacks.iter().any(|stack| !who.sees(stack)) {
        return Err(Problem::not_found("stack"));
    }
    let actor = who.actor();
    let asked = Asked {
        stacks,
        actor: &actor,
        command,
    };
    let context = call.service.context(&asked)?;
    if context.stacks.iter().any(|stack| !who.sees(&stack.name)) {
        return Err(
            Problem::new(&problem::FORBIDDEN, "the token is not for all stacks of the project")
                .hint("name those that are meant in `stacks`"),
        );
    }
    Ok(context)
}

pub fn create(call: &Call) -> Result<Response> {
    let new: NewRelease = call.json()?;
    let values = Values {
        variables: new.variables,
        nonce: new.nonce,
    };
    let given = values.given()?;
    let mut context = chosen(call, &new.stacks, "POST /v1/releases")?;
    context.given = given;
    if let Some(wanted) = &new.commit {
        let head = context.repository.head().map_err(EngineError::from)?;
        if head.as_str() != wanted {
            return Err(Problem::new(
                &problem::CONFLICT,
                format!(
                    "the service's checkout is at commit {}, not at {wanted:.10}",
                    head.short()
                ),
            )
            .hint("bring it there first: `git pull` on the service's machine, or PUT /v1/checkout"));
        }
    }
    let options = snapshot::Options {
        name: new.name,
        note: new.note,
    };
    let taken = snapshot::take(&context, &options).map_err(|error| context.secrets.scrub_error(error))?;
    let mut value = describe_release(&taken.release);
    value["warnings"] = json!(taken.warnings);
    let mut response = with_status(StatusCode::CREATED, &value)?;
    set(
        &mut response,
        header::LOCATION,
        &format!("/v1/releases/{}", taken.release.id),
    );
    Ok(response)
}

pub fn diff(call: &Call) -> Result<Response> {
    let to = call
        .query("to")?
        .ok_or_else(|| Problem::bad_request("name the other release: ?to=RELEASE"))?;
    let (from, to) = (find(call, call.path("release"))?, find(call, &to)?);
    let mut names: Vec<&str> = from
        .stacks
        .iter()
        .chain(&to.stacks)
        .map(|stack| stack.name.as_str())
        .collect();
    names.sort_unstable();
    names.dedup();
    let catalogue = call.service.catalogue();
    let state = |release: &Release, name: &str| -> Result<Option<State>> {
        let record = release.stack(name).and_then(|stack| stack.state.as_ref());
        Ok(record.map(|record| catalogue.state(record)).transpose()?)
    };
    let mut stacks = Vec::new();
    for name in names {
        let (old, new) = (state(&from, name)?, state(&to, name)?);
        let empty = || State::empty("1.5.0", "");
        let (old, new) = (old.unwrap_or_else(empty), new.unwrap_or_else(empty));
        let plan = compute(&Input {
            current: &old,
            target: Some(&new),
            current_config: None,
            target_config: None,
            history: &[],
            knowledge: &call.service.knowledge,
            secrets: &[],
        });
        let files = |release: &Release| {
            release
                .stack(name)
                .map(|stack| stack.configuration.clone())
                .unwrap_or_default()
        };
        let (before, after) = (files(&from), files(&to));
        let mut changed: Vec<&String> = before.keys().chain(after.keys()).collect();
        changed.retain(|path| before.get(*path) != after.get(*path));
        changed.sort();
        changed.dedup();
        let mut value = plan.to_json();
        value["name"] = json!(name);
        value["configuration_files"] = json!(changed);
        value["patches"] = plan
            .effective()
            .map(|change| {
                json!({ "address": change.address().to_string(), "fate": change.fate,
                    "previous_address": change.previous_address().map(|from| from.to_string()), "patch": change.patch })
            })
            .collect();
        stacks.push(value);
    }
    ok(&json!({ "from": from.id, "to": to.id, "stacks": stacks }))
}

pub fn eligibility(call: &Call) -> Result<Response> {
    let to = call
        .query("to")?
        .ok_or_else(|| Problem::bad_request("name a revision: ?to=REVISION"))?;
    let context = chosen(call, &call.queries("stack")?, "GET /v1/eligibility")?;
    let scrub = |error| context.secrets.scrub_error(error);
    let target = Target::resolve(&context, &to).map_err(scrub)?;
    let planned = planning::plan(&context, &target, &[], true).map_err(scrub)?;
    let prepared = &planned.stacks;
    let items = || prepared.iter().flat_map(|stack| &stack.reconciled.items);
    let mut fates: BTreeMap<&str, usize> = BTreeMap::new();
    for item in items() {
        *fates.entry(item.fate.as_str()).or_default() += 1;
    }
    let refusals: Vec<Value> = prepared
        .iter()
        .flat_map(|stack| stack.reconciled.refusals.iter().map(|refusal| (&stack.stack, refusal)))
        .map(|(stack, refusal)| {
            json!({ "stack": stack, "guard": refusal.guard, "address": refusal.address, "message": refusal.message })
        })
        .collect();
    let impossible = prepared.iter().any(|stack| {
        let refusals = &stack.reconciled.refusals;
        refusals.iter().any(|refusal| refusal.guard == Guard::Impossible)
    }) || items().any(|item| item.fate == Fate::Impossible);
    let lost: Vec<&str> = items()
        .filter(|item| item.reversibility >= Reversibility::DataLoss)
        .map(|item| item.address.as_str())
        .collect();
    let empty: Vec<&str> = items()
        .filter(|item| item.fate == Fate::Create)
        .map(|item| item.address.as_str())
        .collect();
    let plan = document::plan(&planned);
    ok(&json!({
        "to": to,
        "commit": target.commit.as_str(),
        "eligible": !impossible,
        "free": refusals.is_empty(),
        "changes": items().count(),
        "fates": fates,
        "data_loss": lost,
        "recreated_empty": empty,
        "needs_acceptance": refusals,
        "stacks": plan["stacks"],
        "plan": plan,
    }))
}
