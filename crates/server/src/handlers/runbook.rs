//! What runs beside Terraform, the record of a run, locks that are taken away, marks of releases, and who changed an object.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use jiff::Timestamp;
use rollback_engine::document::describe_release;
use rollback_engine::journal::Journal;
use rollback_engine::marking::{self, Change};
use rollback_engine::report::{Format, Report};
use rollback_engine::run::Runs;
use rollback_engine::steps;
use rollback_engine::unlock;
use rollback_engine::versions;
use serde::Deserialize;
use serde_json::json;

use super::records::sees_run;
use super::releases::chosen;
use crate::call::{Call, ok, with_status};
use crate::problem::{self, Problem, Result};

/// Every step, and whether it can be seen.
pub fn steps(call: &Call) -> Result<Response> {
    let context = chosen(call, &[], "GET /v1/steps")?;
    ok(&json!({ "steps": steps::seen(&context) }))
}

/// What one step can go to.
pub fn step(call: &Call) -> Result<Response> {
    let name = call.path("step");
    let context = chosen(call, &[], "GET /v1/steps/…")?;
    let found = steps::choices(&context, name).map_err(|error| context.secrets.scrub_error(error))?;
    let (table, choices) = found.ok_or_else(|| Problem::absent(steps::unknown(name)))?;
    ok(&json!({ "step": name, "kind": table.kind, "choices": choices }))
}

/// The record of a run, as the project's settings are now.
pub fn report(call: &Call) -> Result<Response> {
    let service = &call.service;
    let id = call.path("run");
    let (format, media) = match call.query("format")?.as_deref() {
        None | Some("json") => (Format::Json, "application/json"),
        Some("markdown") => (Format::Markdown, "text/markdown; charset=utf-8"),
        Some("ics") => (Format::Ics, "text/calendar; charset=utf-8"),
        Some(_) => return Err(Problem::bad_request("format is json, markdown or ics")),
    };
    if uuid::Uuid::try_parse(id).is_err() {
        return Err(Problem::not_found("run"));
    }
    let found = Runs::new(service.store.as_ref(), &service.project).get(id)?;
    let Some((run, _)) = found.filter(|(run, _)| call.who().is_ok_and(|who| sees_run(who, run))) else {
        return Err(Problem::not_found("run"));
    };
    let context = chosen(call, &run.selected, "GET /v1/runs/…/report")?;
    let journal = Journal::open(service.store.as_ref(), &service.project, id)?;
    let now = Timestamp::now();
    let report = Report::of(&context, &run, journal.entries(), now);
    let text = report.write(format, context.notices.report_template.as_deref(), now)?;
    let mut response = Response::new(Body::from(context.secrets.scrub(&text)));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    Ok(response)
}

/// In which releases an object or one of its attributes changed.
pub fn blame(call: &Call) -> Result<Response> {
    let address = call
        .query("address")?
        .ok_or_else(|| Problem::bad_request("name the object: ?address=ADDRESS[.ATTRIBUTE]"))?;
    let changes = versions::blame(&call.service.catalogue(), call.path("stack"), &address)?;
    ok(&json!({ "address": address, "changes": changes }))
}

/// Who works on a stack.
pub fn lock(call: &Call) -> Result<Response> {
    let stack = call.path("stack").to_owned();
    let context = chosen(call, std::slice::from_ref(&stack), "GET /v1/stacks/…/lock")?;
    let examined = unlock::examine(&context, &stack)?.ok_or_else(|| Problem::absent(unlock::not_locked(&stack)))?;
    ok(&json!({ "stack": stack, "holder": examined.holder, "child_may_live": examined.child_may_live }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewLockRelease {
    reason: String,
    /// Although its run applies and is not known to be dead.
    #[serde(default)]
    force: bool,
}

/// Takes a lock away from its holder.
pub fn release_lock(call: &Call) -> Result<Response> {
    let new: NewLockRelease = call.json()?;
    if new.reason.trim().is_empty() {
        return Err(Problem::bad_request(
            "`reason` must say why: it is what others will read later",
        ));
    }
    let stack = call.path("stack").to_owned();
    let context = chosen(call, std::slice::from_ref(&stack), "POST /v1/stacks/…/lock/release")?;
    let release = unlock::release(&context, &stack, &new.reason, new.force)?;
    tracing::warn!(stack, by = release.by, "a lock was taken away from its holder");
    with_status(StatusCode::CREATED, &json!({ "release": release }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewMark {
    change: Change,
    reason: Option<String>,
}

/// Marks a release: it says something about all stacks that it is of.
pub fn mark(call: &Call) -> Result<Response> {
    let new: NewMark = call.json()?;
    let who = call.who()?;
    let found = call.service.catalogue().find(call.path("release"))?;
    let seen = found.stacks.iter().filter(|stack| who.sees(&stack.name)).count();
    if seen == 0 && !who.sees_all() {
        return Err(Problem::not_found("release"));
    }
    if seen < found.stacks.len() {
        return Err(Problem::new(
            &problem::FORBIDDEN,
            "the token is not for all stacks that the release is of",
        ));
    }
    let mark = marking::mark(
        &call.service.catalogue(),
        &who.actor(),
        &found,
        new.change,
        new.reason.as_deref(),
    )?;
    let mut document = describe_release(&found);
    document["mark"] = json!(mark);
    ok(&document)
}
