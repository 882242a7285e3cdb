//! Rollbacks: asked for, looked at, given up, taken up again, undone.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::http::{StatusCode, header};
use axum::response::Response;
use jiff::Timestamp;
use rollback_engine::again;
use rollback_engine::context::{Context, Given, Locking};
use rollback_engine::policy::PolicyOverride;
use rollback_engine::run::{Consent, Runs, Status};
use rollback_engine::steps;
use rollback_engine::target::Target;
use rollback_engine::versions;
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::records::sees_run;
use super::releases::chosen;
use crate::access::Permission;
use crate::call::{Call, Page, ok, ok_tagged, set, with_status};
use crate::given::Values;
use crate::problem::{self, Problem, Result};
use crate::rollback::{Again, Ended, IdempotencyKey, Known, Rollback, Rollbacks};
use crate::worker::{self, Work};

/// How long a thread may take to go once its attempt has ended.
const LEAVING: Duration = Duration::from_secs(2);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewRollback {
    revision: String,
    #[serde(default)]
    stacks: Vec<String>,
    #[serde(default)]
    targets: Vec<String>,
    reason: Option<String>,
    #[serde(default)]
    dry_run: bool,
    #[serde(default)]
    accept_data_loss: Vec<String>,
    #[serde(default)]
    accept_changes: Vec<String>,
    #[serde(default)]
    variables: BTreeMap<String, String>,
    nonce: Option<String>,
    #[serde(default)]
    override_policy: Vec<String>,
    /// Only these steps, and no stack unless some are named.
    #[serde(default)]
    steps: Vec<String>,
    #[serde(default)]
    skip_steps: Vec<String>,
    skip_checks: Option<String>,
    #[serde(default)]
    restore_databases: Vec<String>,
    #[serde(default)]
    lock_timeout_seconds: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Undo {
    #[serde(default)]
    dry_run: bool,
    #[serde(default)]
    skip_steps: Vec<String>,
    skip_checks: Option<String>,
    #[serde(default)]
    lock_timeout_seconds: u64,
    #[serde(default)]
    variables: BTreeMap<String, String>,
    nonce: Option<String>,
    reason: Option<String>,
    #[serde(default)]
    accept_data_loss: Vec<String>,
    #[serde(default)]
    accept_changes: Vec<String>,
    #[serde(default)]
    override_policy: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TakeUp {
    #[serde(default)]
    variables: BTreeMap<String, String>,
    nonce: Option<String>,
    #[serde(default)]
    skip_steps: Vec<String>,
    skip_checks: Option<String>,
    holder_is_dead: Option<String>,
    #[serde(default)]
    lock_timeout_seconds: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GiveUp {
    holder_is_dead: Option<String>,
    #[serde(default)]
    lock_timeout_seconds: u64,
}

/// The longest that somebody's lock is waited for.
const LONGEST_WAIT: u64 = 60 * 60;

/// How long to wait for a lock.
///
/// # Errors
/// Too long: a thread waits.
fn wait(seconds: u64) -> Result<u64> {
    match seconds <= LONGEST_WAIT {
        true => Ok(seconds),
        false => Err(Problem::bad_request(format!(
            "lock_timeout_seconds is at most {LONGEST_WAIT}"
        ))),
    }
}

/// A reason that says something.
///
/// # Errors
/// It is empty.
fn reason(name: &str, text: Option<String>) -> Result<Option<String>> {
    match text {
        Some(text) if text.trim().is_empty() => Err(Problem::bad_request(format!("{name} must say why"))),
        text => Ok(text),
    }
}

/// Values for variables, as a body brings them.
fn given(variables: BTreeMap<String, String>, nonce: Option<String>) -> Result<Given> {
    Values { variables, nonce }.given()
}

/// One that the principal may see.
pub fn find(call: &Call) -> Result<Known> {
    let who = call.who()?;
    let known = Rollbacks::new(&call.service).get(call.path("rollback"))?;
    known
        .filter(|known| who.sees_rollback(&known.rollback))
        .ok_or_else(|| Problem::not_found("rollback"))
}

fn accepted(call: &Call, known: &Known) -> Result<Response> {
    let rollbacks = Rollbacks::new(&call.service);
    let mut response = with_status(StatusCode::ACCEPTED, &rollbacks.describe(known)?)?;
    set(
        &mut response,
        header::LOCATION,
        &format!("/v1/rollbacks/{}", known.rollback.id),
    );
    Ok(response)
}

fn key_of(call: &Call) -> Result<Option<IdempotencyKey>> {
    let Some(value) = call.parts.headers.get("idempotency-key") else {
        return Ok(None);
    };
    let key = value.to_str().ok().filter(|key| (1..=255).contains(&key.len()));
    let key = key.ok_or_else(|| Problem::bad_request("Idempotency-Key is 1 to 255 visible ASCII characters"))?;
    Ok(Some(IdempotencyKey {
        principal: call.who()?.id.clone(),
        key: key.to_owned(),
        body_sha256: hex::encode(Sha256::digest(&call.body)),
    }))
}

/// Keeps it, starts it, answers 202; the same request again is answered with what the first one began.
fn begin(call: &Call, rollback: &Rollback, given: Given, key: Option<&IdempotencyKey>) -> Result<Response> {
    let rollbacks = Rollbacks::new(&call.service);
    let (id, is_new) = rollbacks.create(rollback, key)?;
    if is_new {
        call.service.held.keep(&id, given);
        worker::begin(&call.service, &id, Work::Start, &rollback.requested_by)?;
    }
    let known = rollbacks.get(&id)?.ok_or_else(|| Problem::not_found("rollback"))?;
    accepted(call, &known)
}

pub fn create(call: &Call) -> Result<Response> {
    let new: NewRollback = call.json()?;
    let key = key_of(call)?;
    let given = given(new.variables, new.nonce)?;
    let mut context = chosen(call, &new.stacks, "POST /v1/rollbacks")?;
    // What cannot be found out later either is said now.
    Target::resolve(&context, &new.revision)?;
    steps::choose(
        &mut context,
        &steps::About {
            only: &new.steps,
            skipped: &new.skip_steps,
            some_stacks: !new.stacks.is_empty(),
            some_objects: !new.targets.is_empty(),
        },
    )?;
    let asked = Rollback::asked_for(call.who()?);
    let databases = steps::databases(&context, &new.restore_databases, &asked.id)
        .map_err(|error| context.secrets.scrub_error(error))?;
    let rollback = Rollback {
        revision: new.revision,
        steps: Some(names(&context)),
        databases,
        lock_timeout_seconds: wait(new.lock_timeout_seconds)?,
        stacks: context.stacks.iter().map(|stack| stack.name.clone()).collect(),
        targets: new.targets,
        overrides: overrides(call, new.override_policy, new.reason.as_deref())?,
        reason: new.reason,
        dry_run: new.dry_run,
        consent: Consent {
            skip_checks: reason("skip_checks", new.skip_checks)?,
            ..consent(new.accept_data_loss, new.accept_changes)
        },
        ..asked
    };
    begin(call, &rollback, given, key.as_ref())
}

/// The steps that a context is about.
fn names(context: &Context) -> Vec<String> {
    context.parts.iter().map(|part| part.name.clone()).collect()
}

/// Rules that whoever asks overrides at once: that takes a permission of its own.
fn overrides(call: &Call, rules: Vec<String>, reason: Option<&str>) -> Result<Vec<PolicyOverride>> {
    if rules.is_empty() {
        return Ok(Vec::new());
    }
    let who = call.who()?;
    if !who.allows(Permission::Override) {
        return Err(Problem::new(
            &problem::FORBIDDEN,
            "overriding the policy takes the permission override",
        )
        .hint("somebody who has it POSTs to the rollback's overrides once the policy has denied it"));
    }
    let reason = reason.map(str::trim).filter(|reason| !reason.is_empty());
    let reason =
        reason.ok_or_else(|| Problem::bad_request("overriding a policy needs a reason: say it in `reason`"))?;
    let by = who.actor();
    Ok(rules
        .into_iter()
        .map(|rule| PolicyOverride {
            rule,
            by: by.clone(),
            reason: reason.to_owned(),
        })
        .collect())
}

fn consent(data_loss: Vec<String>, changes: Vec<String>) -> Consent {
    Consent {
        data_loss,
        changes,
        ..Consent::default()
    }
}

pub fn undo(call: &Call) -> Result<Response> {
    let new: Undo = call.json()?;
    let key = key_of(call)?;
    let given = given(new.variables, new.nonce)?;
    let who = call.who()?;
    let service = &call.service;
    let undone = call.path("rollback");
    // Runs of the command line can be undone here, too.
    let run = match Uuid::try_parse(undone) {
        Ok(_) => Runs::new(service.store.as_ref(), &service.project).get(undone)?,
        Err(_) => None,
    };
    let Some((run, _)) = run.filter(|(run, _)| sees_run(who, run)) else {
        return Err(Problem::not_found("rollback that began"));
    };
    if !run.status.is_over() && !matches!(run.status, Status::Halfway | Status::NeedsReconcile) {
        return Err(Problem::new(
            &problem::CONFLICT,
            format!("it is {}: there is nothing to undo yet", run.status.as_str()),
        ));
    }
    let mut context = chosen(call, &run.selected, "POST /v1/rollbacks")?;
    // What it did is undone, and nothing beside it.
    context.parts.retain(|part| run.steps.contains(&part.name));
    if run.is_about_steps_alone() {
        context.keep_steps_alone();
    }
    let about = steps::About {
        only: &[],
        skipped: &new.skip_steps,
        some_stacks: false,
        some_objects: false,
    };
    steps::choose(&mut context, &about)?;
    let rollback = Rollback {
        revision: format!("before {}", run.id),
        undo: Some(run.id),
        steps: Some(names(&context)),
        lock_timeout_seconds: wait(new.lock_timeout_seconds)?,
        dry_run: new.dry_run,
        stacks: run.selected,
        overrides: overrides(call, new.override_policy, new.reason.as_deref())?,
        reason: new.reason,
        consent: Consent {
            skip_checks: reason("skip_checks", new.skip_checks)?,
            ..consent(new.accept_data_loss, new.accept_changes)
        },
        ..Rollback::asked_for(who)
    };
    begin(call, &rollback, given, key.as_ref())
}

pub fn list(call: &Call) -> Result<Response> {
    let who = call.who()?;
    let limit = call.limit()?;
    let rollbacks = Rollbacks::new(&call.service);
    let mut before = call.cursor()?.map(|id: Uuid| id.to_string());
    let mut items = Vec::new();
    while items.len() < limit {
        let ids = rollbacks.ids(before.as_deref(), limit)?;
        before = ids.last().cloned();
        for id in &ids {
            let Some(known) = rollbacks.get(id)? else { continue };
            if who.sees_rollback(&known.rollback) {
                items.push(rollbacks.describe(&known)?);
                if items.len() == limit {
                    before = Some(id.clone());
                    break;
                }
            }
        }
        if ids.len() < limit && items.len() < limit {
            before = None;
            break;
        }
    }
    ok(&Page {
        items,
        next_cursor: before,
    })
}

pub fn get(call: &Call) -> Result<Response> {
    let known = find(call)?;
    ok_tagged(call, &Rollbacks::new(&call.service).describe(&known)?)
}

pub fn plan(call: &Call) -> Result<Response> {
    let known = find(call)?;
    ok(&shown(call, &known)?)
}

/// The plan as it was last shown.
pub fn shown(call: &Call, known: &Known) -> Result<Value> {
    let plan = Rollbacks::new(&call.service).plan(&known.rollback)?;
    plan.ok_or_else(|| Problem::new(&problem::CONFLICT, "there is no plan yet"))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewRestore {
    version: String,
    reason: Option<String>,
    #[serde(default)]
    dry_run: bool,
    #[serde(default)]
    accept_changes: Vec<String>,
    #[serde(default)]
    override_policy: Vec<String>,
    #[serde(default)]
    lock_timeout_seconds: u64,
}

/// A kept state becomes the current one, through the same guards as a rollback.
pub fn restore(call: &Call) -> Result<Response> {
    let new: NewRestore = call.json()?;
    let key = key_of(call)?;
    let stack = call.path("stack").to_owned();
    let context = chosen(call, &[stack], "POST /v1/stacks/…/restores")?;
    let version = versions::find(&context, versions::the_stack(&context)?, &new.version)?;
    let rollback = Rollback {
        revision: version.release.to_string(),
        restore: Some(version.release.to_string()),
        lock_timeout_seconds: wait(new.lock_timeout_seconds)?,
        stacks: context.stacks.iter().map(|stack| stack.name.clone()).collect(),
        overrides: overrides(call, new.override_policy, new.reason.as_deref())?,
        reason: new.reason,
        dry_run: new.dry_run,
        consent: consent(Vec::new(), new.accept_changes),
        ..Rollback::asked_for(call.who()?)
    };
    begin(call, &rollback, Given::default(), key.as_ref())
}

pub fn idle(call: &Call, known: &Known) -> Result<()> {
    let ended = known.rollback.ended.is_some();
    let patience = if ended { LEAVING } else { Duration::ZERO };
    if !call.service.workers.wait_for(&known.rollback.id, patience) {
        return Err(Problem::new(&problem::CONFLICT, "it is being worked on right now")
            .hint("wait until it awaits approval or has stopped"));
    }
    if known.is_over() {
        return Err(Problem::new(
            &problem::CONFLICT,
            format!("it is over ({})", known.status()),
        ));
    }
    Ok(())
}

pub fn cancel(call: &Call) -> Result<Response> {
    let give_up: GiveUp = call.json()?;
    let holder_is_dead = reason("holder_is_dead", give_up.holder_is_dead)?;
    let timeout = Duration::from_secs(wait(give_up.lock_timeout_seconds)?);
    let known = find(call)?;
    idle(call, &known)?;
    let id = &known.rollback.id;
    if known.run.is_some() {
        let mut context = chosen(call, &known.rollback.stacks, "POST /v1/rollbacks/…/cancel")?;
        context.locking = Locking {
            timeout,
            holder_is_dead,
        };
        again::abort(&context, Some(id)).map_err(|error| context.secrets.scrub_error(error))?;
    }
    let actor = call.who()?.actor();
    let rollbacks = Rollbacks::new(&call.service);
    rollbacks.change(id, |rollback| {
        rollback.ended = Some(Ended {
            at: Timestamp::now(),
            status: "cancelled".to_owned(),
            message: Some(format!("given up by {actor}")),
            hints: Vec::new(),
            denials: Vec::new(),
        });
    })?;
    let known = rollbacks.get(id)?.ok_or_else(|| Problem::not_found("rollback"))?;
    ok(&rollbacks.describe(&known)?)
}

pub fn resume(call: &Call) -> Result<Response> {
    let new: TakeUp = call.json()?;
    let given = given(new.variables, new.nonce)?;
    let known = find(call)?;
    idle(call, &known)?;
    if !new.skip_steps.is_empty() {
        let mut context = chosen(call, &known.rollback.stacks, "POST /v1/rollbacks/…/resume")?;
        if let Some(run) = &known.run {
            context.parts.retain(|part| run.steps.contains(&part.name));
        }
        steps::check_names(&context, &new.skip_steps)?;
    }
    let again = Again {
        skip_steps: new.skip_steps,
        skip_checks: reason("skip_checks", new.skip_checks)?,
        holder_is_dead: reason("holder_is_dead", new.holder_is_dead)?,
    };
    let waiting = new.lock_timeout_seconds.map(wait).transpose()?;
    Rollbacks::new(&call.service).change(&known.rollback.id, |rollback| {
        rollback.again.add(again.clone());
        if let Some(seconds) = waiting {
            rollback.lock_timeout_seconds = seconds;
        }
    })?;
    call.service.held.keep(&known.rollback.id, given);
    go_on(call, &known)?;
    accepted(call, &find(call)?)
}

/// Has it worked on again.
pub fn go_on(call: &Call, known: &Known) -> Result<()> {
    let work = match known.run {
        Some(_) => Work::Resume,
        None => Work::Start,
    };
    worker::begin(&call.service, &known.rollback.id, work, &call.who()?.actor())
}
