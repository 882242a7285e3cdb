//! What can be said to the commands around a rollback: checks, the record, rehearsals.

use std::time::Duration;

use clap::Args;

use super::duration;

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
