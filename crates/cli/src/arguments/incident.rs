//! What can be said to the commands around a rollback: checks, the record, rehearsals.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::{VariableArguments, duration};

/// A run without what the checks say: never silently.
#[derive(Clone, Debug, Default, Args)]
pub struct SkipArguments {
    /// Do not ask the checks before and after, and why; it goes on record
    #[arg(long, value_name = "REASON")]
    pub skip_checks: Option<String>,
}

#[derive(Debug, Args)]
pub struct VerifyArguments {
    /// Only this check; may be given several times
    #[arg(long = "check", value_name = "NAME")]
    pub checks: Vec<String>,
    /// Ask until all pass, for so long, such as `5m`; a check's own `within` counts more (default: ask once)
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration, hide_default_value = true)]
    pub within: Duration,
    /// Plan what is deployed with terraform, too: it must have nothing left to do
    #[arg(long)]
    pub terraform: bool,
}

#[derive(Debug, Args)]
pub struct ReportArguments {
    /// The run (default: the newest)
    #[arg(value_name = "RUN")]
    pub run: Option<String>,
    /// How it is written; `ics` is the invitation to the post-mortem
    #[arg(long, value_enum, default_value_t = ReportFormat::Markdown)]
    pub format: ReportFormat,
    /// Write to this file instead of stdout
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    Markdown,
    Json,
    Ics,
}

#[derive(Debug, Args)]
pub struct DrillArguments {
    /// A commit, tag, branch, release name or `@{2 hours ago}` (default: the release before the newest)
    #[arg(value_name = "REV")]
    pub revision: Option<String>,
    #[command(flatten)]
    pub variables: VariableArguments,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct BakeArguments {
    #[command(subcommand)]
    pub command: Option<BakeCommand>,
    /// For how long to watch, at most 180m
    #[arg(long, value_name = "DURATION", default_value = "30m", value_parser = window)]
    pub window: Duration,
    /// How often the checks are asked
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub every: Duration,
    /// So many times in a row they have to fail
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub times: u32,
    /// What fails already when it begins does not count; what answers three times slower than then does
    #[arg(long)]
    pub compare: bool,
    /// What to do when they fail
    #[arg(long, value_enum, default_value_t = OnFailure::Rollback)]
    pub on_failure: OnFailure,
    /// Where to go back to (default: the release before the newest)
    #[arg(long, value_name = "REV")]
    pub to: Option<String>,
    /// Roll back without asking; data loss and surprises still need a yes of their own
    #[arg(long)]
    pub auto_approve: bool,
    #[command(flatten)]
    pub variables: VariableArguments,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OnFailure {
    Rollback,
    /// Only end with 3
    None,
}

#[derive(Debug, Subcommand)]
pub enum BakeCommand {
    /// How it stands
    Show,
    /// Neither end nor roll back until `release`; the checks are asked all the same
    Hold {
        /// Why
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Take `hold` back
    Release,
    /// Watch longer
    Extend {
        /// So much longer, such as `15m`
        #[arg(value_name = "DURATION", value_parser = duration)]
        by: Duration,
    },
    /// Watch no longer
    Stop {
        /// Why
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
}

/// CloudFormation's limits for the time that it watches alarms.
fn window(text: &str) -> Result<Duration, String> {
    let window = duration(text)?;
    match window <= rollback_engine::bake::LONGEST {
        true => Ok(window),
        false => Err("at most 180m are watched; `bake extend` makes it longer".to_owned()),
    }
}
