//! What the policy said to a rollback, and overrides of what it denies.

use axum::http::StatusCode;
use axum::response::Response;
use rollback_engine::policy::PolicyOverride;
use serde::Deserialize;
use serde_json::{Value, json};

use super::rollbacks::{find, go_on, idle};
use crate::call::{Call, ok, with_status};
use crate::problem::{self, Problem, Result};
use crate::rollback::{Known, Rollbacks};

/// The evaluations of the plan as it was last shown, one for each stack, and what stands in the way of it.
pub fn evaluations(call: &Call) -> Result<Response> {
    let known = find(call)?;
    let rollbacks = Rollbacks::new(&call.service);
    // Where the configuration was refused before there could be a plan, the denials tell all that there is.
    let plan = rollbacks.plan(&known.rollback)?.unwrap_or_default();
    let items = plan["policy"].as_array().cloned().unwrap_or_default();
    ok(
        &json!({ "items": items, "digest": rollbacks.digest(&known)?, "denials": known.denials(),
        "overrides": known.rollback.overrides, "four_eyes": known.rollback.four_eyes, "status": known.status() }),
    )
}

fn describe(known: &Known) -> Value {
    json!({ "items": known.rollback.overrides, "denials": known.denials(), "status": known.status() })
}

pub fn list(call: &Call) -> Result<Response> {
    ok(&describe(&find(call)?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewOverride {
    rules: Vec<String>,
    reason: String,
}

/// Overrides rules that have denied it, and has it planned again: the new plan has another digest, which tells of the
/// override, and waits for approvals of its own.
pub fn create(call: &Call) -> Result<Response> {
    let new: NewOverride = call.json()?;
    let known = find(call)?;
    let reason = new.reason.trim();
    if reason.is_empty() || new.rules.is_empty() {
        return Err(Problem::bad_request("an override names its rules and has a reason"));
    }
    for rule in &new.rules {
        let denial = known.denials().iter().find(|denial| denial.rule == *rule);
        match denial.map(|denial| denial.level.as_str()) {
            Some("soft-mandatory") => {}
            Some(level) => {
                let why = format!("{rule} is {level}: nobody can override it");
                return Err(Problem::new(&problem::REFUSED, why)
                    .hint("change what it objects to, or its level under [policy.levels] of infra-rollback.toml"));
            }
            None => {
                let why = format!("{rule} does not deny this rollback as it is now");
                return Err(Problem::new(&problem::CONFLICT, why)
                    .hint("GET the rollback's evaluations: `denials` names what stands in the way"));
            }
        }
    }
    idle(call, &known)?;
    let by = call.who()?.actor();
    let rollbacks = Rollbacks::new(&call.service);
    rollbacks.change(&known.rollback.id, |rollback| {
        for rule in &new.rules {
            if !rollback.overrides.iter().any(|one| one.rule == *rule) {
                rollback.overrides.push(PolicyOverride {
                    rule: rule.clone(),
                    by: by.clone(),
                    reason: reason.to_owned(),
                });
            }
        }
    })?;
    tracing::warn!(
        run = known.rollback.id,
        by,
        rules = new.rules.join(", "),
        "the policy is overridden"
    );
    call.service.metrics.word("override");
    go_on(call, &known)?;
    with_status(StatusCode::CREATED, &describe(&find(call)?))
}
