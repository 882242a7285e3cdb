//! The `[[notify]]` of infra-rollback.toml: who hears of a rollback, and by what. What speaks to SNS comes from the adapter
//! that speaks to AWS. No secret stands in the file: the names of the environment variables that hold them do.

mod command;
mod slack;
mod smtp;
mod webhook;

use std::path::Path;

use rollback_config::project::{NOTIFY_KINDS, StepTable, nearest};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::settings::{Common, Made, SettingsError};
use crate::step::StepError;

/// When something is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// It was decided, and is about to change something.
    Start,
    /// It goes on.
    Update,
    /// It ended, or stopped halfway.
    End,
    /// A rehearsal found the way back worse than the one before.
    Drill,
}

impl Phase {
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Start => "start",
            Phase::Update => "update",
            Phase::End => "end",
            Phase::Drill => "drill",
        }
    }
}

/// What is said; without secrets.
#[derive(Clone, Debug)]
pub struct Message {
    /// The same for the same message, whoever gets it: who gets it twice can tell.
    pub id: String,
    pub phase: Phase,
    /// One line.
    pub subject: String,
    /// For a person.
    pub text: String,
    /// For a machine.
    pub document: Value,
    /// An invitation to the post-mortem (`.ics`), at the end.
    pub invitation: Option<String>,
}

/// Brings messages to somebody.
pub trait Channel: Send + Sync {
    /// Sends it; a few seconds are enough, nothing waits longer.
    ///
    /// # Errors
    /// It was not taken. Whether somebody got it nevertheless is not certain.
    fn send(&self, message: &Message) -> Result<(), StepError>;

    /// The environment variables without which it cannot send.
    fn needs(&self) -> Vec<&str> {
        Vec::new()
    }
}

/// A channel with its name.
pub struct NamedChannel {
    pub name: String,
    pub kind: String,
    /// What it is told of.
    pub phases: Vec<Phase>,
    pub channel: Box<dyn Channel>,
}

/// All channels of these tables, in their order. `other` makes those that are not made here.
///
/// # Errors
/// A kind that nobody knows, two of one name, and what is wrong with a table.
pub fn channels(
    tables: &[StepTable],
    root: &Path,
    other: impl Fn(&StepTable) -> Option<Made<dyn Channel>>,
) -> Result<Vec<NamedChannel>, SettingsError> {
    let mut channels: Vec<NamedChannel> = Vec::new();
    for table in tables {
        let phases = phases(table)?;
        let mut own = table.clone();
        own.table.remove("on");
        let (common, channel) = match table.kind.as_str() {
            "slack" => slack::of_table(&own),
            "webhook" => webhook::of_table(&own),
            "smtp" => smtp::of_table(&own),
            "command" => command::of_table(&own, root),
            kind => other(&own).unwrap_or_else(|| {
                let nearest = nearest(kind, NOTIFY_KINDS.iter().copied().filter(|known| *known != kind));
                Err(
                    error(table, format!("nothing of the kind `{kind}` can be told")).hint(match nearest {
                        Some(nearest) => format!("did you mean `{nearest}`?"),
                        None => format!("there are: {}", NOTIFY_KINDS.join(", ")),
                    }),
                )
            }),
        }?;
        if channels.iter().any(|channel| channel.name == common.name) {
            return Err(
                error(table, format!("there are two called `{}`", common.name)).hint("give each a `name` of its own")
            );
        }
        channels.push(NamedChannel {
            name: common.name,
            kind: table.kind.clone(),
            phases,
            channel,
        });
    }
    Ok(channels)
}

fn phases(table: &StepTable) -> Result<Vec<Phase>, SettingsError> {
    match table.table.get("on") {
        None => Ok(vec![Phase::Start, Phase::Update, Phase::End, Phase::Drill]),
        Some(value) => Vec::<Phase>::deserialize(value.clone()).map_err(|_| {
            error(
                table,
                "`on` must be a list of \"start\", \"update\", \"end\" and \"drill\"",
            )
        }),
    }
}

fn error(table: &StepTable, message: impl std::fmt::Display) -> SettingsError {
    SettingsError::of("notify", table, message)
}

/// As a kind's maker gives it.
fn made(common: Common, channel: impl Channel + 'static) -> Made<dyn Channel> {
    Ok((common, Box::new(channel)))
}

/// What an environment variable holds.
fn secret(variable: &str) -> Result<String, StepError> {
    let value = std::env::var(variable).ok().filter(|value| !value.trim().is_empty());
    value.map(|value| value.trim().to_owned()).ok_or_else(|| {
        StepError::untouched(format!("${variable} is not set"))
            .hint(format!("set {variable} where infra-rollback runs"))
    })
}
