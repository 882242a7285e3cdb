//! Releases, runs and locks, as the service lists them.

use jiff::Timestamp;
use rollback_client::{Call, segment};
use rollback_config::project::IncidentSection;
use rollback_engine::error::{EngineError, Result};
use rollback_engine::holder::Holder;
use rollback_engine::journal::Entry;
use rollback_engine::lease::Life;
use rollback_engine::report::{Item, Report, Sources, report};
use rollback_engine::run::Run;
use rollback_engine::unlock::LockRelease;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Connection;
use crate::arguments::{ReleaseLockArguments, ReleasesArguments, ReleasesCommand};
use crate::commands;
use crate::output::Output;

/// Releases, newest first.
pub fn releases(connection: &Connection, arguments: &ReleasesArguments, output: &Output) -> Result<()> {
    let shown = |release: &Value| arguments.all || release["kind"] != "backup";
    let enough = |found: &[Value]| found.iter().filter(|release| shown(release)).count() >= arguments.limit;
    let mut releases: Vec<Value> = connection.server.list("/v1/releases", enough)?;
    releases.retain(shown);
    releases.truncate(arguments.limit);
    commands::releases::print_list(output, &releases);
    output.document(&json!({ "releases": releases, "unreadable": [] }));
    Ok(())
}

/// One release.
pub fn release(connection: &Connection, name: &str, output: &Output) -> Result<()> {
    let release: Value = connection.server.get(format!("/v1/releases/{}", segment(name)))?;
    commands::releases::print_one(output, &release);
    output.document(&release);
    Ok(())
}

/// `releases pin`, `bad` and the like.
pub fn mark(connection: &Connection, command: &ReleasesCommand, output: &Output) -> Result<()> {
    let (arguments, change) = commands::releases::change_of(command);
    let mut body = json!({ "change": change });
    if let Some(reason) = &arguments.reason {
        body["reason"] = json!(reason);
    }
    let path = format!("/v1/releases/{}/marks", segment(&arguments.release));
    let release: Value = connection.server.json(Call::post(path, body))?;
    commands::releases::tell_marked(output, &release);
    Ok(())
}

/// Runs, newest first.
pub fn runs(connection: &Connection, limit: usize, output: &Output) -> Result<()> {
    let mut runs: Vec<Run> = connection
        .server
        .list("/v1/runs", |found: &[Run]| found.len() >= limit)?;
    runs.truncate(limit);
    commands::runs::print_list(output, &runs);
    Ok(())
}

/// A run by its id or the beginning of it.
pub fn find_run(connection: &Connection, text: &str) -> Result<Run> {
    let named = |run: &Run| run.id == text || (text.len() >= 4 && run.id.starts_with(text));
    let runs: Vec<Run> = connection.server.list("/v1/runs", |_: &[Run]| false)?;
    let mut found: Vec<Run> = runs.into_iter().filter(named).collect();
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err(EngineError::failed(format!("there is no run {text}")).hint("`infra-rollback runs` lists them")),
        _ => Err(EngineError::usage(format!("{text} is the beginning of several runs")).hint("write more of the id")),
    }
}

/// One run with its journal.
pub fn run(connection: &Connection, text: &str, output: &Output) -> Result<()> {
    #[derive(Deserialize)]
    struct Shown {
        run: Run,
        journal: Vec<Entry>,
    }
    let found = find_run(connection, text)?;
    let shown: Shown = connection.server.get(format!("/v1/runs/{}", segment(&found.id)))?;
    // Its checklist depends on settings that only the service has; without a repository there, on none.
    let report: Result<Value> = connection.server.get(format!("/v1/runs/{}/report", segment(&found.id)));
    let checklist: Vec<Item> = match report {
        Ok(report) => serde_json::from_value(report["checklist"].clone()).unwrap_or_default(),
        Err(_) => report_without_settings(&shown.run, &shown.journal).checklist,
    };
    commands::runs::print_one(output, &shown.run, &shown.journal, &checklist);
    Ok(())
}

/// As a project without any settings would have it.
fn report_without_settings(run: &Run, journal: &[Entry]) -> Report {
    report(&Sources {
        run,
        journal,
        incident: &IncidentSection::default(),
        notifies: true,
        inviting: Vec::new(),
        now: Timestamp::now(),
    })
}

/// Who works on what. Whether a holder lives is for the service to see: it is nearer to it.
pub fn locks(connection: &Connection, output: &Output) -> Result<()> {
    let items: Vec<Value> = connection.server.whole("/v1/locks")?;
    let locks: Vec<(Holder, Life)> = items
        .iter()
        .filter(|item| item["kind"] == "run")
        .filter_map(|item| {
            let life = match item["life"].as_str() {
                Some("alive") => Life::Alive,
                Some("dead") => Life::Dead,
                _ => Life::Unknown,
            };
            Some((serde_json::from_value(item["holder"].clone()).ok()?, life))
        })
        .collect();
    let runs: Vec<Run> = connection.server.list("/v1/runs", |_: &[Run]| false)?;
    let unfinished: Vec<Run> = runs.into_iter().filter(|run| run.status.is_unfinished()).collect();
    commands::locks::print_list(output, &locks, &unfinished);
    Ok(())
}

/// `locks release`: who holds it is asked first, so that one knows from whom it is taken.
pub fn release_lock(connection: &Connection, arguments: &ReleaseLockArguments, output: &Output) -> Result<()> {
    #[derive(Deserialize)]
    struct Examined {
        holder: Holder,
    }
    #[derive(Deserialize)]
    struct Done {
        release: LockRelease,
    }
    commands::locks::check_reason(arguments)?;
    let path = format!("/v1/stacks/{}/lock", segment(&arguments.stack));
    let examined: Examined = connection.server.get(&path)?;
    commands::locks::ask_before_release(arguments, &examined.holder, output)?;
    let body = json!({ "reason": arguments.reason, "force": arguments.force });
    let done: Done = connection.server.json(Call::post(format!("{path}/release"), body))?;
    commands::locks::tell_released(output, &done.release);
    Ok(())
}
