//! `command`: whatever else can be found out by running something; exit status 0 is a yes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use rollback_config::project::StepTable;
use serde::Deserialize;

use super::{error, made};
use crate::check::{Check, Verdict};
use crate::process::Shell;
use crate::settings::{Common, Made, read};
use crate::step::{Silent, StepError};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    command: Line,
    dir: Option<PathBuf>,
    #[serde(default)]
    environment: Vec<String>,
    /// What its output must have in it.
    contains: Option<String>,
}

/// A line for `/bin/sh`, or a program and its arguments.
#[derive(Debug, Deserialize)]
#[serde(try_from = "toml::Value")]
struct Line(String);

impl TryFrom<toml::Value> for Line {
    type Error = &'static str;

    fn try_from(value: toml::Value) -> Result<Line, &'static str> {
        let line = match value {
            toml::Value::String(line) if !line.trim().is_empty() => Some(line),
            toml::Value::Array(words) if !words.is_empty() => {
                let words: Option<Vec<String>> = words.iter().map(|word| word.as_str().map(quoted)).collect();
                words.map(|words| format!("exec {}", words.join(" ")))
            }
            _ => None,
        };
        line.map(Line)
            .ok_or("`command` is a line for the shell, or a list of a program and its arguments")
    }
}

/// As a shell reads it back, whatever is in it.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

const TIMEOUT: Duration = Duration::from_secs(60);

/// So many of its last lines are shown where it fails.
const LINES: usize = 10;

struct Command {
    shell: Shell,
    contains: Option<String>,
}

pub(super) fn of_table(table: &StepTable, root: &Path) -> Made<dyn Check> {
    let (common, own): (Common, Settings) = read("check", table)?;
    if let Some(name) = own
        .environment
        .iter()
        .find(|name| name.is_empty() || name.contains('='))
    {
        return Err(error(
            table,
            format!("`environment` lists names of variables, and {name:?} is none"),
        ));
    }
    let check = Command {
        shell: Shell {
            line: own.command.0,
            folder: root.join(own.dir.unwrap_or_default()),
            environment: own.environment,
            variables: Vec::new(),
            timeout: common.timeout.unwrap_or(TIMEOUT),
            note: None,
        },
        contains: own.contains,
    };
    made(common, check)
}

impl Check for Command {
    fn ask(&self, since: Timestamp) -> Result<Verdict, StepError> {
        let mut shell = self.shell.clone();
        shell
            .variables
            .push(("INFRA_ROLLBACK_SINCE".to_owned(), since.to_string()));
        let ended = match shell.run(&Silent) {
            Ok(ended) => ended,
            Err(error) if error.untouched => return Err(error),
            Err(error) => return Ok(Verdict::failed(error.message)),
        };
        let output = self.masked(&format!("{}{}", ended.stdout, ended.stderr));
        let missing = self.contains.as_ref().filter(|text| !output.contains(text.as_str()));
        let summary = match (ended.status.success(), missing) {
            (true, None) => return Ok(Verdict::passed(ended.how())),
            (true, Some(expected)) => format!("its output has no `{expected}`"),
            (false, _) => ended.how(),
        };
        Ok(Verdict {
            details: last_lines(&output),
            ..Verdict::failed(summary)
        })
    }
}

impl Command {
    /// What was let through by name may be a token, and commands print what they are told.
    fn masked(&self, text: &str) -> String {
        let matches = |name: &str| {
            self.shell
                .environment
                .iter()
                .any(|allowed| match allowed.strip_suffix('*') {
                    Some(prefix) => name.starts_with(prefix),
                    None => name == allowed,
                })
        };
        let mut values: Vec<String> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(name, value)| matches(name) && value.len() >= 4)
            .map(|(_, value)| value)
            .collect();
        values.sort_by_key(|value| std::cmp::Reverse(value.len()));
        values
            .iter()
            .fold(text.to_owned(), |text, value| text.replace(value, "…"))
    }
}

fn last_lines(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim_end)
        .filter(|line| !line.is_empty())
        .collect();
    lines[lines.len().saturating_sub(LINES)..]
        .iter()
        .map(|line| line.chars().take(300).collect())
        .collect()
}
