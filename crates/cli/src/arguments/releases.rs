//! What can be said to the commands that keep and show releases.

use clap::{Args, Subcommand};

#[derive(Debug, Args)]
pub struct InitArguments {
    /// Write over an infra-rollback.toml that is there
    #[arg(long)]
    pub force: bool,
}

#[derive(Debug, Args)]
pub struct DemoArguments {
    /// Leave the folder for a look around
    #[arg(long)]
    pub keep: bool,
}

#[derive(Debug, Args)]
pub struct DoctorArguments {
    /// Try the shared store for minutes instead of seconds: 64 writers, 200 rounds of each race
    #[arg(long)]
    pub thorough: bool,
}

#[derive(Debug, Args)]
pub struct SnapshotArguments {
    /// A name to come back to, such as v1.4.2
    #[arg(long = "release", value_name = "NAME")]
    pub name: Option<String>,
    /// What a person should know about it
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct ReleasesArguments {
    #[command(subcommand)]
    pub command: Option<ReleasesCommand>,
    /// How many
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub limit: usize,
    /// The releases that runs took of what was before and after them, too
    #[arg(long)]
    pub all: bool,
}

#[derive(Debug, Subcommand)]
pub enum ReleasesCommand {
    /// Keep a release whatever its age; `store gc` never removes it
    Pin(MarkArguments),
    /// Let a pinned release go by age again
    Unpin(MarkArguments),
    /// Mark a release as broken: nobody should go back to it
    Bad(MarkArguments),
    /// Mark a release as one that works
    Good(MarkArguments),
    /// Take back `bad` or `good`
    Unmark(MarkArguments),
}

#[derive(Debug, Args)]
pub struct MarkArguments {
    /// A release by id, name or commit
    #[arg(value_name = "RELEASE")]
    pub release: String,
    /// Why; it is shown with the release
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

#[derive(Debug, Args)]
pub struct DiffArguments {
    #[arg(value_name = "FROM")]
    pub from: String,
    #[arg(value_name = "TO")]
    pub to: String,
    /// Only the objects in the states
    #[arg(long, conflicts_with = "only_config")]
    pub state: bool,
    /// Only the configuration, as a unified diff
    #[arg(long = "config", id = "only_config")]
    pub config: bool,
    /// A JSON Patch per changed object (secrets masked)
    #[arg(long)]
    pub patch: bool,
}
