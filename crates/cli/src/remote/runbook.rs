//! `steps`, `verify`, `drill` and `report`: the service looks, with its own settings and credentials.

use rollback_client::{Call, segment};
use rollback_engine::drill::Drill;
use rollback_engine::error::{EngineError, Result};
use rollback_engine::report::Format;
use rollback_engine::run::Run;
use rollback_engine::verification::Verified;
use serde_json::{Value, json};

use super::{Connection, records, tasks, variables};
use crate::arguments::{DrillArguments, Global, ReportArguments, StepsArguments, VerifyArguments};
use crate::commands;
use crate::output::Output;

/// The steps, or what one of them can go to.
pub fn steps(connection: &Connection, arguments: &StepsArguments, output: &Output) -> Result<()> {
    let path = match &arguments.step {
        Some(name) => format!("/v1/steps/{}", segment(name)),
        None => "/v1/steps".to_owned(),
    };
    let document: Value = connection.server.get(path)?;
    commands::steps::print(output, &document);
    output.document(&document);
    Ok(())
}

/// 3 where something does not pass.
pub fn verify(connection: &Connection, global: &Global, arguments: &VerifyArguments, output: &Output) -> Result<u8> {
    connection.bring(None)?;
    let body = json!({
        "checks": arguments.checks, "within_seconds": arguments.within.as_secs(), "terraform": arguments.terraform,
        "stacks": global.stacks,
    });
    let verified: Verified = tasks::ask(connection, "/v1/verifications", body)?;
    Ok(commands::verify::tell(output, &verified))
}

/// 3 where there is no way back.
pub fn drill(connection: &Connection, global: &Global, arguments: &DrillArguments, output: &Output) -> Result<u8> {
    let revision = arguments.revision.as_deref();
    connection.bring(revision)?;
    let mut body = json!({ "stacks": global.stacks });
    if let Some(revision) = revision {
        body["revision"] = json!(connection.revision(revision)?);
    }
    variables::put(&mut body, connection.variables(global, &arguments.variables)?)?;
    let drill: Drill = tasks::ask(connection, "/v1/drills", body)?;
    Ok(commands::drill::tell(output, &drill))
}

/// The record of a run, as the service writes it.
pub fn report(connection: &Connection, arguments: &ReportArguments, output: &Output) -> Result<()> {
    let run = match &arguments.run {
        Some(text) => records::find_run(connection, text)?,
        None => {
            let runs: Vec<Run> = connection.server.list("/v1/runs", |found: &[Run]| !found.is_empty())?;
            runs.into_iter().next().ok_or_else(commands::report::no_run)?
        }
    };
    let format = match commands::report::format_of(arguments, output) {
        Format::Json => "json",
        Format::Markdown => "markdown",
        Format::Ics => "ics",
    };
    let path = format!("/v1/runs/{}/report?format={format}", segment(&run.id));
    let answer = connection.server.call(&Call::get(path))?;
    let text = String::from_utf8(answer.body).map_err(|_| EngineError::failed("the service's report is no text"))?;
    commands::report::hand_over(&text, arguments, output)
}
