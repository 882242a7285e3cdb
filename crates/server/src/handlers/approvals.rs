//! Approvals: a yes to the plan of one digest.

use axum::http::StatusCode;
use axum::response::Response;
use jiff::{SignedDuration, Timestamp};
use rollback_engine::approval::{Approval, Approvals, Broken, Given};
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewBreak {
    digest: String,
    reason: String,
    #[serde(default)]
    accept_data_loss: Vec<String>,
    #[serde(default)]
    accept_changes: Vec<String>,
}

fn describe(call: &Call, known: &Known) -> Result<Value> {
    let rollbacks = Rollbacks::new(&call.service);
    let quorum = rollbacks.quorum(&known.rollback);
    let mut value = match rollbacks.digest(known)? {
        Some(digest) => rollbacks.describe_approval(known, &digest)?,
        None => json!({ "digest": null, "needed": quorum.needed, "by_requester": quorum.without.is_none(), "given": [],
            "broken_glass": null, "denials": known.denials(),
            "missing_acceptance": { "data_loss": [], "changes": [] } }),
    };
    value["status"] = json!(known.status());
    Ok(value)
}

pub fn list(call: &Call) -> Result<Response> {
    ok(&describe(call, &find(call)?)?)
}

/// Refuses a word that is not about the plan that waits for one.
fn check_digest(call: &Call, known: &Known, named: &str) -> Result<()> {
    let service = &call.service;
    let Some(digest) = Rollbacks::new(service).digest(known)? else {
        let why = match service.workers.is_at(&known.rollback.id) {
            true => "it is being worked on: there is nothing to approve now".to_owned(),
            false => format!("it is {}: there is nothing to approve", known.status()),
        };
        return Err(Problem::new(&problem::CONFLICT, why));
    };
    if named != digest {
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
    if let Some(denial) = known.denials().first() {
        return Err(Problem::new(
            &problem::CONFLICT,
            format!("the policy denies this plan: {} ({})", denial.rule, denial.level),
        )
        .hint("whoever has the permission override POSTs the rule and a reason to the rollback's overrides first"));
    }
    Ok(())
}

/// From now on, for as long as a yes is good.
fn lifetime(call: &Call) -> (Timestamp, Timestamp) {
    let now = Timestamp::now();
    let lifetime = SignedDuration::try_from(call.service.approvals.lifetime).unwrap_or(SignedDuration::from_hours(24));
    (now, now.checked_add(lifetime).unwrap_or(now))
}

fn consent(data_loss: Vec<String>, changes: Vec<String>) -> Consent {
    Consent {
        data_loss,
        changes,
        ..Consent::default()
    }
}

pub fn create(call: &Call) -> Result<Response> {
    let new: NewApproval = call.json()?;
    let known = find(call)?;
    let who = call.who()?;
    let service = &call.service;
    check_digest(call, &known, &new.digest)?;
    let quorum = Rollbacks::new(service).quorum(&known.rollback);
    if quorum.without.as_ref().is_some_and(|other| other.is(&who.person())) {
        return Err(
            Problem::new(&problem::FORBIDDEN, "whoever asked for a rollback may not approve it")
                .hint("somebody else with the role approver has to"),
        );
    }
    let (at, expires_at) = lifetime(call);
    let given = Given {
        by: who.actor(),
        marks: who.marks.clone(),
        at,
        expires_at,
        comment: new.comment,
        consent: consent(new.accept_data_loss, new.accept_changes),
    };
    let id = &known.rollback.id;
    let approval = Approvals::new(service.store.as_ref(), &service.project, id).give(&new.digest, &given)?;
    service.metrics.word("approval");
    begin_if_enough(call, &known, &approval)
}

/// Goes ahead without the approvals that are asked for; what loses data still has to be named, and what the policy denies
/// stays denied.
pub fn break_glass(call: &Call) -> Result<Response> {
    let new: NewBreak = call.json()?;
    let known = find(call)?;
    let reason = new.reason.trim();
    if reason.is_empty() {
        return Err(Problem::bad_request("breaking the glass needs a reason"));
    }
    check_digest(call, &known, &new.digest)?;
    let (at, expires_at) = lifetime(call);
    let broken = Broken {
        by: call.who()?.actor(),
        at,
        expires_at,
        reason: reason.to_owned(),
        consent: consent(new.accept_data_loss, new.accept_changes),
    };
    let (service, id) = (&call.service, &known.rollback.id);
    tracing::error!(
        run = id,
        by = broken.by,
        reason,
        "BREAK GLASS: a rollback goes ahead without its approvals"
    );
    let approval = Approvals::new(service.store.as_ref(), &service.project, id).break_glass(&new.digest, &broken)?;
    service.metrics.word("break-glass");
    begin_if_enough(call, &known, &approval)
}

fn begin_if_enough(call: &Call, known: &Known, approval: &Approval) -> Result<Response> {
    let service = &call.service;
    let rollbacks = Rollbacks::new(service);
    let enough = approval.suffices(&rollbacks.quorum(&known.rollback));
    let needs = rollbacks.needs(known, Some(approval))?;
    let value = describe(call, known)?;
    if enough && needs.is_empty() {
        match worker::begin(service, &known.rollback.id, Work::Resume, &known.rollback.requested_by) {
            Ok(()) => {}
            // Another yes of the same moment has begun it.
            Err(problem) if problem.code == &problem::CONFLICT => {}
            Err(problem) => return Err(problem),
        }
    }
    with_status(StatusCode::CREATED, &value)
}
