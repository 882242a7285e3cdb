//! What is looked into for somebody: rehearsals, checks, what the policy would say.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{StatusCode, header};
use axum::response::Response;
use jiff::Timestamp;
use rollback_engine::context::Context;
use rollback_engine::drill;
use rollback_engine::drive::Options;
use rollback_engine::error::EngineError;
use rollback_engine::planning;
use rollback_engine::run::Consent;
use rollback_engine::target::Target;
use rollback_engine::verification::{self, Verified, at_rest, choose};
use serde::Deserialize;
use serde_json::{Value, json};

use super::releases::chosen;
use crate::call::{Call, ok_tagged, set, with_status};
use crate::given::Values;
use crate::problem::{Problem, Result};
use crate::tasks::{self, Kind};

/// The longest that checks are asked until they pass.
const LONGEST: u64 = 60 * 60;

/// Has it looked into, and says where what was found will be.
fn begin(
    call: &Call,
    kind: Kind,
    context: Context,
    work: impl FnOnce(&mut Context) -> rollback_engine::error::Result<Value> + Send + 'static,
) -> Result<Response> {
    let stacks = context.stacks.iter().map(|stack| stack.name.clone()).collect();
    let actor = context.actor.clone();
    let command = context.command.clone();
    let given = context.given.clone();
    let named: Vec<String> = context.stacks.iter().map(|stack| stack.name.clone()).collect();
    let namespaces = context.settings.policy.namespaces.clone();
    // A context looks on from the thread that it was opened in: the task opens its own.
    drop(context);
    let by = actor.clone();
    let task = tasks::begin(&call.service, kind, stacks, &actor, move |service| {
        let asked = crate::service::Asked {
            stacks: &named,
            actor: &by,
            command: &command,
        };
        let mut context = service
            .context(&asked)
            .map_err(|problem| EngineError::failed(problem.detail))?;
        context.given = given;
        context.settings.policy.namespaces = namespaces;
        let found = work(&mut context);
        found.map_err(|error| context.secrets.scrub_error(error))
    })?;
    let mut response = with_status(StatusCode::ACCEPTED, &tasks::describe(&call.service, &task)?)?;
    set(&mut response, header::LOCATION, &format!("/v1/tasks/{}", task.id));
    Ok(response)
}

/// One, for whoever may see its stacks.
pub fn get(call: &Call) -> Result<Response> {
    let who = call.who()?;
    let task = tasks::get(&call.service, call.path("task"))?;
    let task = task
        .filter(|task| task.stacks.iter().all(|stack| who.sees(stack)))
        .ok_or_else(|| Problem::not_found("task"))?;
    ok_tagged(call, &tasks::describe(&call.service, &task)?)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewDrill {
    /// The release before the newest where none is named.
    revision: Option<String>,
    #[serde(default)]
    stacks: Vec<String>,
    #[serde(default)]
    variables: BTreeMap<String, String>,
    nonce: Option<String>,
}

/// Rehearses the way back to a release.
pub fn rehearse(call: &Call) -> Result<Response> {
    let new: NewDrill = call.json()?;
    let given = Values {
        variables: new.variables,
        nonce: new.nonce,
    };
    let given = given.given()?;
    let mut context = chosen(call, &new.stacks, "POST /v1/drills")?;
    context.given = given;
    let revision = match new.revision {
        Some(revision) => revision,
        None => drill::previous(&context)?,
    };
    Target::resolve(&context, &revision)?;
    begin(call, Kind::Drill, context, move |context| {
        Ok(json!(drill::drill(context, &revision)?))
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewVerification {
    #[serde(default)]
    checks: Vec<String>,
    #[serde(default)]
    within_seconds: u64,
    #[serde(default)]
    terraform: bool,
    #[serde(default)]
    stacks: Vec<String>,
}

/// Asks the checks, and terraform where that is wanted.
pub fn verify(call: &Call) -> Result<Response> {
    let new: NewVerification = call.json()?;
    if new.within_seconds > LONGEST {
        return Err(Problem::bad_request(format!("within_seconds is at most {LONGEST}")));
    }
    let context = chosen(call, &new.stacks, "POST /v1/verifications")?;
    let known: Vec<&str> = context.checks.iter().map(|check| check.name.as_str()).collect();
    verification::check_names(&known, &new.checks)?;
    if known.is_empty() && !new.terraform {
        return Err(verification::no_check().into());
    }
    begin(call, Kind::Verification, context, move |context| {
        // Nobody else has them yet.
        let checks = Arc::into_inner(std::mem::take(&mut context.checks)).unwrap_or_default();
        context.checks = Arc::new(choose(checks, &new.checks)?);
        let patience = Duration::from_secs(new.within_seconds);
        let asked = (!context.checks.is_empty()).then(|| verification::ask(context, Timestamp::now(), patience));
        let stacks = new.terraform.then(|| at_rest(context)).transpose()?;
        Ok(json!(Verified::new(asked, stacks)))
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewEvaluation {
    revision: String,
    #[serde(default)]
    stacks: Vec<String>,
    /// Only rules of these packages and below them.
    #[serde(default)]
    namespaces: Vec<String>,
    reason: Option<String>,
    #[serde(default)]
    accept_data_loss: Vec<String>,
    #[serde(default)]
    accept_changes: Vec<String>,
    #[serde(default)]
    override_policy: Vec<String>,
    #[serde(default)]
    variables: BTreeMap<String, String>,
    nonce: Option<String>,
}

/// What the policy would say to a rollback; none is begun, so that to name rules that would be overridden takes nothing.
pub fn evaluate(call: &Call) -> Result<Response> {
    let new: NewEvaluation = call.json()?;
    let given = Values {
        variables: new.variables,
        nonce: new.nonce,
    };
    let given = given.given()?;
    let mut context = chosen(call, &new.stacks, "POST /v1/policy/evaluations")?;
    context.given = given;
    if !new.namespaces.is_empty() {
        context.settings.policy.namespaces = new.namespaces;
    }
    Target::resolve(&context, &new.revision)?;
    let options = Options {
        consent: Consent {
            data_loss: new.accept_data_loss,
            changes: new.accept_changes,
            policy: new.override_policy,
            policy_reason: new.reason.clone(),
            ..Consent::default()
        },
        reason: new.reason,
        ..Options::default()
    };
    let revision = new.revision;
    begin(call, Kind::PolicyEvaluation, context, move |context| {
        let target = Target::resolve(context, &revision)?;
        let found = planning::evaluations(context, &target, &options)?;
        let results: Vec<Value> = found
            .iter()
            .map(|(subject, evaluation)| json!({ "subject": subject, "evaluation": evaluation }))
            .collect();
        Ok(json!({ "results": results }))
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewInput {
    revision: String,
    #[serde(default)]
    stacks: Vec<String>,
    #[serde(default)]
    variables: BTreeMap<String, String>,
    nonce: Option<String>,
}

/// The documents that the policy is given for a rollback, what is sensitive masked.
pub fn input(call: &Call) -> Result<Response> {
    let new: NewInput = call.json()?;
    let given = Values {
        variables: new.variables,
        nonce: new.nonce,
    };
    let given = given.given()?;
    let mut context = chosen(call, &new.stacks, "POST /v1/policy/inputs")?;
    context.given = given;
    Target::resolve(&context, &new.revision)?;
    let revision = new.revision;
    begin(call, Kind::PolicyInput, context, move |context| {
        let target = Target::resolve(context, &revision)?;
        let documents = planning::policy_documents(context, &target, &Options::default())?;
        let text = context.secrets.scrub(&Value::Array(documents).to_string());
        serde_json::from_str(&text)
            .map(|documents: Value| json!({ "documents": documents }))
            .map_err(|error| EngineError::failed(error.to_string()))
    })
}
