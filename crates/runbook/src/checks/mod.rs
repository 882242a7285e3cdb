//! The checks of infra-rollback.toml: the runbook's verification steps 1 to 3 and whatever a command can find out. `logs`
//! and `metrics` come from the adapter that speaks to AWS.

mod command;
mod endpoints;
mod expectation;
mod http;
mod passfile;
mod postgres;
mod request;
mod runner;

use std::path::Path;
use std::time::Duration;

use rollback_config::project::{CHECK_KINDS, StepTable, nearest};

use crate::check::Check;
use crate::settings::{Common, Made, Period, SettingsError};

pub(crate) use request::parse as parse_url;
pub use runner::{Asked, Verification, ask_once, verify};

/// A check with its name, and how often it is asked.
pub struct NamedCheck {
    pub name: String,
    pub kind: String,
    pub check: Box<dyn Check>,
    pub repetition: Repetition,
}

/// How often a check is asked before its answer counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repetition {
    /// It is asked until it passes, for so long; `None`: as long as the caller has patience.
    pub within: Option<Duration>,
    /// The pause between two questions.
    pub every: Duration,
    /// So many times in a row it has to pass.
    pub times: u32,
}

/// Where settings say nothing.
const EVERY: Duration = Duration::from_secs(2);

/// All checks of these tables, in their order. `root` is the folder of infra-rollback.toml; `other` makes those that are not
/// made here: `None` for a kind that it does not know either.
///
/// # Errors
/// A kind that nobody knows, two checks of one name, and what is wrong with a table.
pub fn checks(
    tables: &[StepTable],
    root: &Path,
    other: impl Fn(&StepTable) -> Option<Made<dyn Check>>,
) -> Result<Vec<NamedCheck>, SettingsError> {
    let mut checks: Vec<NamedCheck> = Vec::new();
    for table in tables {
        let (_, check) = match table.kind.as_str() {
            "http" => http::of_table(table),
            "endpoints" => endpoints::of_table(table),
            "postgres" => postgres::of_table(table, root),
            "command" => command::of_table(table, root),
            kind => other(table).unwrap_or_else(|| {
                let nearest = nearest(kind, CHECK_KINDS.iter().copied());
                Err(
                    error(table, format!("there is no check of the kind `{kind}`")).hint(match nearest {
                        Some(nearest) => format!("did you mean `{nearest}`?"),
                        None => format!("there are: {}", CHECK_KINDS.join(", ")),
                    }),
                )
            }),
        }?;
        checks.push(NamedCheck {
            name: name_of(table, &checks)?,
            kind: table.kind.clone(),
            check,
            repetition: repetition(table)?,
        });
    }
    Ok(checks)
}

/// As a kind's maker gives it.
fn made(common: Common, check: impl Check + 'static) -> Made<dyn Check> {
    Ok((common, Box::new(check)))
}

/// Its name; where none is given the kind, with a number if there are several.
fn name_of(table: &StepTable, before: &[NamedCheck]) -> Result<String, SettingsError> {
    let taken = |name: &str| before.iter().any(|check| check.name == name);
    match &table.name {
        Some(name) if taken(name) => {
            Err(error(table, format!("there are two checks called `{name}`")).hint("rename one of them"))
        }
        Some(name) => Ok(name.clone()),
        None => Ok((1..)
            .map(|number| match number {
                1 => table.kind.clone(),
                number => format!("{}-{number}", table.kind),
            })
            .find(|name| !taken(name))
            .unwrap_or_default()),
    }
}

fn repetition(table: &StepTable) -> Result<Repetition, SettingsError> {
    let period = |key: &str| {
        let value = table.table.get(key).cloned();
        let period = value.map(Period::try_from).transpose();
        period
            .map(|period| period.map(|period| period.0))
            .map_err(|message| error(table, format!("`{key}`: {message}")))
    };
    let times = match table.table.get("times") {
        None => 1,
        Some(value) => value
            .as_integer()
            .and_then(|times| u32::try_from(times).ok())
            .filter(|times| (1..=1000).contains(times))
            .ok_or_else(|| error(table, "`times` must be a whole number from 1 to 1000"))?,
    };
    Ok(Repetition {
        within: period("within")?,
        every: period("every")?.unwrap_or(EVERY),
        times,
    })
}

/// What is wrong with a check's table.
fn error(table: &StepTable, message: impl std::fmt::Display) -> SettingsError {
    SettingsError::of("check", table, message)
}
