//! A report as people and their tools take it.

use jiff::Timestamp;
use rollback_runbook::templates;
use serde::Serialize;

use super::{Report, Sources, report};
use crate::context::Context;
use crate::error::{EngineError, Result};
use crate::journal::Entry;
use crate::run::Run;

/// How a report is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Markdown,
    Json,
    /// The invitation to the post-mortem.
    Ics,
}

/// What a template of reports is given.
#[derive(Serialize)]
struct Words<'a> {
    report: &'a Report,
}

impl Report {
    /// Of a run of this project, as its settings are now.
    pub fn of(context: &Context, run: &Run, journal: &[Entry], now: Timestamp) -> Report {
        report(&Sources {
            run,
            journal,
            incident: &context.settings.incident,
            notifies: !context.notices.channels.is_empty(),
            inviting: context.notices.inviting(),
            now,
        })
    }

    /// Written out; `template` is one of the project's own, for Markdown.
    ///
    /// # Errors
    /// The template cannot be used.
    pub fn write(&self, format: Format, template: Option<&str>, now: Timestamp) -> Result<String> {
        match format {
            Format::Ics => Ok(self.invitation(now).to_ics()),
            Format::Json => serde_json::to_string_pretty(self)
                .map(|text| text + "\n")
                .map_err(|error| EngineError::failed(error.to_string())),
            Format::Markdown => {
                let (name, template) = match template {
                    Some(own) => ("incident.report_template", own),
                    None => ("report", templates::REPORT),
                };
                templates::render(name, template, Words { report: self })
                    .map(|text| text.trim_end().to_owned() + "\n")
                    .map_err(EngineError::usage)
            }
        }
    }
}
