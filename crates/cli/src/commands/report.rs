//! `report`: the record of a run.

use jiff::Timestamp;
use rollback_engine::context::{Located, Place};
use rollback_engine::error::{EngineError, Result};
use rollback_engine::journal::Journal;
use rollback_engine::report::{Report, Sources, report};
use rollback_engine::run::Runs;
use rollback_runbook::templates;
use serde::Serialize;

use crate::arguments::{Global, ReportArguments, ReportFormat};
use crate::output::Output;
use crate::session;

/// What a template of reports is given.
#[derive(Serialize)]
struct Words<'a> {
    report: &'a Report,
}

/// Writes it.
pub fn run(global: &Global, arguments: &ReportArguments, output: &Output) -> Result<()> {
    let folder = std::env::current_dir()?;
    let kept = session::open_store(&folder, global, None)?;
    let located = match kept.located {
        Some(located) => located,
        None => Located::find(&Place {
            folder: &folder,
            settings_file: global.config.as_deref(),
            stacks: &[],
        })?,
    };
    let runs = Runs::new(kept.store.as_ref(), &kept.project);
    let run = match &arguments.run {
        Some(text) => runs.find(text)?.0,
        None => runs.newest(1)?.into_iter().next().ok_or_else(|| {
            EngineError::failed("there was no run yet").hint("`infra-rollback to REV` makes the first one")
        })?,
    };
    let journal = Journal::open(kept.store.as_ref(), &kept.project, &run.id)?;
    let now = Timestamp::now();
    let tables = &located.settings.notifications;
    let inviting = tables.iter().filter(|table| table.kind == "smtp");
    let report = report(&Sources {
        run: &run,
        journal: journal.entries(),
        incident: &located.settings.incident,
        notifies: !tables.is_empty(),
        inviting: inviting
            .map(|table| table.name.as_deref().unwrap_or(&table.kind))
            .collect(),
        now,
    });
    let format = match output.is_json() {
        true => ReportFormat::Json,
        false => arguments.format,
    };
    let text = match format {
        ReportFormat::Ics => report.invitation(now).to_ics(),
        ReportFormat::Json => serde_json::to_string_pretty(&report)
            .map(|text| text + "\n")
            .map_err(|error| EngineError::failed(error.to_string()))?,
        ReportFormat::Markdown => {
            let own = session::template(&located, located.settings.incident.report_template.as_deref())?;
            let (name, template) = match &own {
                Some(own) => ("incident.report_template", own.as_str()),
                None => ("report", templates::REPORT),
            };
            templates::render(name, template, Words { report: &report })
                .map(|text| text.trim_end().to_owned() + "\n")
                .map_err(EngineError::usage)?
        }
    };
    let text = output.secrets().scrub(&text);
    match &arguments.output {
        None => Ok(output.bytes(text.as_bytes())?),
        Some(path) => {
            std::fs::write(path, text).map_err(|error| EngineError::failed(format!("{}: {error}", path.display())))
        }
    }
}
