//! `report`: the record of a run.

use jiff::Timestamp;
use rollback_engine::context::{Located, Place};
use rollback_engine::error::{EngineError, Result};
use rollback_engine::journal::Journal;
use rollback_engine::report::{Format, Sources, report};
use rollback_engine::run::Runs;

use crate::arguments::{Global, ReportArguments, ReportFormat};
use crate::output::Output;
use crate::session;

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
        None => runs.newest(1)?.into_iter().next().ok_or_else(no_run)?,
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
    let format = format_of(arguments, output);
    let template = match format {
        Format::Markdown => session::template(&located, located.settings.incident.report_template.as_deref())?,
        _ => None,
    };
    hand_over(&report.write(format, template.as_deref(), now)?, arguments, output)
}

/// As it was asked for; `--json` means one of the formats.
pub fn format_of(arguments: &ReportArguments, output: &Output) -> Format {
    match arguments.format {
        _ if output.is_json() => Format::Json,
        ReportFormat::Markdown => Format::Markdown,
        ReportFormat::Json => Format::Json,
        ReportFormat::Ics => Format::Ics,
    }
}

/// Into a file, or on stdout.
///
/// # Errors
/// It cannot be written.
pub fn hand_over(text: &str, arguments: &ReportArguments, output: &Output) -> Result<()> {
    let text = output.secrets().scrub(text);
    match &arguments.output {
        None => Ok(output.bytes(text.as_bytes())?),
        Some(path) => {
            std::fs::write(path, text).map_err(|error| EngineError::failed(format!("{}: {error}", path.display())))
        }
    }
}

/// There is nothing to tell of.
pub fn no_run() -> EngineError {
    EngineError::failed("there was no run yet").hint("`infra-rollback to REV` makes the first one")
}
