//! `policy check REV` and `policy input`: the service plans, and its policy judges.

use rollback_engine::error::{EngineError, Result};
use rollback_policy::Evaluation;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Connection, tasks, variables};
use crate::arguments::{Global, PolicyCheckArguments, VariableArguments};
use crate::commands;
use crate::output::Output;

#[derive(Deserialize)]
struct Results {
    results: Vec<Judged>,
}

#[derive(Deserialize)]
struct Judged {
    subject: String,
    evaluation: Evaluation,
}

#[derive(Deserialize)]
struct Documents {
    documents: Vec<Value>,
}

/// 3 where the policy refuses.
pub fn check(
    connection: &Connection,
    global: &Global,
    arguments: &PolicyCheckArguments,
    output: &Output,
) -> Result<u8> {
    if !arguments.bundle.is_empty() {
        return Err(EngineError::usage(
            "--bundle is not done through a service: what judges there is the service's own policy",
        )
        .hint("leave --bundle out; or try a bundle on `policy input REV`: policy check --input FILE --bundle DIR"));
    }
    let revision = arguments.revision.as_deref().unwrap_or_default();
    connection.bring(Some(revision))?;
    let consent = &arguments.consent;
    let mut body = json!({
        "revision": connection.revision(revision)?, "stacks": global.stacks, "namespaces": arguments.namespace,
        "accept_data_loss": consent.accept_data_loss, "accept_changes": consent.accept_change,
        "override_policy": consent.override_policy,
    });
    if let Some(reason) = &arguments.reason {
        body["reason"] = json!(reason);
    }
    variables::put(&mut body, connection.variables(global, &arguments.variables)?)?;
    let found: Results = tasks::ask(connection, "/v1/policy/evaluations", body)?;
    let results: Vec<(String, Evaluation)> = found
        .results
        .into_iter()
        .map(|judged| (judged.subject, judged.evaluation))
        .collect();
    commands::policy::tell_results(output, &results)
}

/// The documents that the policy is given.
pub fn input(
    connection: &Connection,
    global: &Global,
    revision: &str,
    given: &VariableArguments,
    output: &Output,
) -> Result<()> {
    connection.bring(Some(revision))?;
    let mut body = json!({ "revision": connection.revision(revision)?, "stacks": global.stacks });
    variables::put(&mut body, connection.variables(global, given)?)?;
    let found: Documents = tasks::ask(connection, "/v1/policy/inputs", body)?;
    commands::policy::tell_input(output, &found.documents);
    Ok(())
}
