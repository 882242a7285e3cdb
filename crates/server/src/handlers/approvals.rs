//! Approvals: a yes to the plan of one digest.

use axum::http::StatusCode;
use axum::response::Response;
use jiff::{SignedDuration, Timestamp};
use rollback_engine::approval::{Approvals, Given};
use rollback_engine::run::Consent;
use serde::Deserialize;
use serde_json::{Value, json};

use super::rollbacks::find;
use crate::call::{Call, ok, with_status};
use crate::problem::{self, Problem, Result};
use crate::rollback::{Known, Rollbacks};
use crate::worker::{self, Work};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewApproval {
    /// The digest that the plan shows.
    digest: String,
    comment: Option<String>,
    #[serde(default)]
    accept_data_loss: Vec<String>,
    #[serde(default)]
    accept_changes: Vec<String>,
}

fn describe(call: &Call, known: &Known) -> Result<Value> {
    let rollbacks = Rollbacks::new(&call.service);
    let mut value = match rollbacks.digest(known)? {
        Some(digest) => rollbacks.describe_approval(known, &digest)?,
        None => json!({ "digest": null, "needed": call.service.approvals.count,
            "by_requester": call.service.approvals.by_requester, "given": [],
            "missing_acceptance": { "data_loss": [], "changes": [] } }),
    };
    value["status"] = json!(known.status());
    Ok(value)
}

pub fn list(call: &Call) -> Result<Response> {
    ok(&describe(call, &find(call)?)?)
}

pub fn create(call: &Call) -> Result<Response> {
    let new: NewApproval = call.json()?;
    let known = find(call)?;
    let who = call.who()?;
    let service = &call.service;
    let rollbacks = Rollbacks::new(service);
    let Some(digest) = rollbacks.digest(&known)? else {
        let why = match service.workers.is_at(&known.rollback.id) {
            true => "it is being worked on: there is nothing to approve now".to_owned(),
            false => format!("it is {}: there is nothing to approve", known.status()),
        };
        return Err(Problem::new(&problem::CONFLICT, why));
    };
    if new.digest != digest {
        return Err(Problem::new(
            &problem::WRONG_DIGEST,
            "the plan that awaits approval has another digest than the one approved",
        )
        .with("digest", json!(digest))
        .hint(format!(
            "look at it: GET /v1/rollbacks/{}/plan, then approve its digest",
            known.rollback.id
        )));
    }
    if !service.approvals.by_requester && who.id == known.rollback.requested_by_id {
        return Err(
            Problem::new(&problem::FORBIDDEN, "whoever asked for a rollback may not approve it")
                .hint("somebody else with the role approver has to"),
        );
    }
    let id = &known.rollback.id;
    let now = Timestamp::now();
    let lifetime = SignedDuration::try_from(service.approvals.lifetime).unwrap_or(SignedDuration::from_hours(24));
    let given = Given {
        by: who.actor(),
        at: now,
        expires_at: now.checked_add(lifetime).unwrap_or(now),
        comment: new.comment,
        consent: Consent {
            data_loss: new.accept_data_loss,
            changes: new.accept_changes,
            ..Consent::default()
        },
    };
    let approval = Approvals::new(service.store.as_ref(), &service.project, id).give(&digest, &given)?;
    let enough = approval.standing().count() >= service.approvals.count;
    let needs = rollbacks.needs(&known, Some(&approval))?;
    let value = describe(call, &known)?;
    if enough && needs.is_empty() {
        match worker::begin(service, id, Work::Resume, &known.rollback.requested_by) {
            Ok(()) => {}
            // Another yes of the same moment has begun it.
            Err(problem) if problem.code == &problem::CONFLICT => {}
            Err(problem) => return Err(problem),
        }
    }
    with_status(StatusCode::CREATED, &value)
}
