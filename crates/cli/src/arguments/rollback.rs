//! What can be said to the commands that plan and run a rollback.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::SkipArguments;

/// Values for the target's variables: they go to terraform by its environment and are not kept.
#[derive(Clone, Debug, Default, Args)]
pub struct VariableArguments {
    /// A value that was given with -var when the target was applied; may be given several times
    #[arg(long = "var", value_name = "NAME=VALUE")]
    pub variables: Vec<String>,
    /// A file of variables beside those the stack names; may be given several times
    #[arg(long = "var-file", value_name = "FILE")]
    pub variable_files: Vec<PathBuf>,
}

/// Yes to what --auto-approve does not cover.
#[derive(Clone, Debug, Default, Args)]
pub struct ConsentArguments {
    /// The data of this object may be lost; may be given several times. STACK:ADDRESS means that of one stack
    #[arg(long, value_name = "ADDRESS")]
    pub accept_data_loss: Vec<String>,
    /// This object may change in a way that the inverse plan does not explain; may be given several times.
    /// STACK:ADDRESS means that of one stack
    #[arg(long, value_name = "ADDRESS")]
    pub accept_change: Vec<String>,
    /// This soft-mandatory rule of the policy is overridden, for the reason that --reason gives; may be given several times
    #[arg(long, value_name = "RULE")]
    pub override_policy: Vec<String>,
}

/// For how long to wait for somebody's lock.
#[derive(Clone, Debug, Args)]
pub struct WaitArguments {
    /// Wait this long for a stack that somebody has locked, such as `30s` or `5m`
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration, hide_default_value = true)]
    pub lock_timeout: Duration,
}

/// What a person knows and the program cannot see.
#[derive(Clone, Debug, Args)]
pub struct VouchArguments {
    /// The process that held the run on another machine and its terraform are dead, and how you know; it goes on record
    #[arg(long, value_name = "REASON")]
    pub holder_is_dead: Option<String>,
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let span: jiff::SignedDuration = text
        .parse()
        .map_err(|_| format!("{text:?} is no duration: `30s`, `5m` and `1h 30m` are"))?;
    Duration::try_from(span).map_err(|_| format!("{text:?} is negative"))
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct LocksArguments {
    #[command(subcommand)]
    pub command: Option<LocksCommand>,
}

#[derive(Debug, Subcommand)]
pub enum LocksCommand {
    /// Take the lock of a stack away from its holder, who can write nothing more from then on
    Release(ReleaseLockArguments),
}

#[derive(Debug, Args)]
pub struct ReleaseLockArguments {
    #[arg(value_name = "STACK")]
    pub stack: String,
    /// Why; it goes on record
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Although its run applies and is not known to be dead
    #[arg(long)]
    pub force: bool,
    /// Ask nothing
    #[arg(long)]
    pub yes: bool,
}

#[derive(Debug, Args)]
pub struct PlanArguments {
    /// A commit, tag, branch, release name or `@{2 hours ago}`
    #[arg(value_name = "REV", required_unless_present = "from_state")]
    pub revision: Option<String>,
    /// Plan from this state file …
    #[arg(long, value_name = "FILE", requires = "to_state", conflicts_with = "revision")]
    pub from_state: Option<PathBuf>,
    /// … to this one, without repository, store or terraform
    #[arg(long, value_name = "FILE", requires = "from_state")]
    pub to_state: Option<PathBuf>,
    /// The configuration that belongs to --from-state
    #[arg(long, value_name = "DIR", requires = "from_state")]
    pub from_config: Option<PathBuf>,
    /// The configuration that belongs to --to-state
    #[arg(long, value_name = "DIR", requires = "from_state")]
    pub to_config: Option<PathBuf>,
    /// Only what the two releases tell; terraform is not asked
    #[arg(long)]
    pub offline: bool,
    /// Only this object and what it needs: an address, or STACK:ADDRESS; may be given several times
    #[arg(long = "target", value_name = "ADDRESS")]
    pub targets: Vec<String>,
    /// Exit with 2 when there is something to do
    #[arg(long)]
    pub detailed_exitcode: bool,
    #[command(flatten)]
    pub only: OnlyStepArguments,
    #[command(flatten)]
    pub steps: StepArguments,
    #[command(flatten)]
    pub databases: DatabaseArguments,
    #[command(flatten)]
    pub variables: VariableArguments,
}

/// Which `[[step]]`s a rollback is about.
#[derive(Debug, Default, Args)]
pub struct StepArguments {
    /// Leave this [[step]] as it is; may be given several times
    #[arg(long = "skip-step", value_name = "NAME")]
    pub skip_step: Vec<String>,
}

/// Which `[[step]]`s a rollback is about, where it is not about everything.
#[derive(Debug, Default, Args)]
pub struct OnlyStepArguments {
    /// Only this [[step]], and no stack unless --stack names one; may be given several times
    #[arg(long = "step", value_name = "NAME", conflicts_with = "targets")]
    pub only: Vec<String>,
}

/// Which databases are restored; a release alone never makes one go back.
#[derive(Debug, Default, Args)]
pub struct DatabaseArguments {
    /// Restore the database of this [[step]]: from a snapshot (default: the newest one) or to a moment, into a new instance
    #[arg(long = "restore-database", value_name = "NAME[=SNAPSHOT|TIME]")]
    pub restore_database: Vec<String>,
}

#[derive(Debug, Args)]
pub struct StepsArguments {
    /// What this [[step]] can go to: the images of a repository, the snapshots of a database
    #[arg(value_name = "NAME")]
    pub step: Option<String>,
}

#[derive(Debug, Args)]
pub struct ToArguments {
    /// A commit, tag, branch, release name or `@{2 hours ago}`
    #[arg(value_name = "REV", allow_hyphen_values = false)]
    pub revision: String,
    /// Ask nothing; data loss and surprises still need a yes of their own
    #[arg(long)]
    pub auto_approve: bool,
    #[command(flatten)]
    pub consent: ConsentArguments,
    /// Only this object and what it needs: an address, or STACK:ADDRESS; may be given several times
    #[arg(long = "target", value_name = "ADDRESS")]
    pub targets: Vec<String>,
    /// Show the plan as `to` would apply it, and stop
    #[arg(long)]
    pub dry_run: bool,
    /// Why; it goes on record
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    #[command(flatten)]
    pub skipping: SkipArguments,
    #[command(flatten)]
    pub only: OnlyStepArguments,
    #[command(flatten)]
    pub steps: StepArguments,
    #[command(flatten)]
    pub databases: DatabaseArguments,
    #[command(flatten)]
    pub waiting: WaitArguments,
    #[command(flatten)]
    pub variables: VariableArguments,
}

#[derive(Debug, Args)]
pub struct UndoArguments {
    /// The run to undo (default: the last one that changed something)
    #[arg(value_name = "RUN")]
    pub run: Option<String>,
    /// Ask nothing; data loss and surprises still need a yes of their own
    #[arg(long)]
    pub auto_approve: bool,
    #[command(flatten)]
    pub consent: ConsentArguments,
    /// Show the plan and stop
    #[arg(long)]
    pub dry_run: bool,
    /// Why; it goes on record
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    #[command(flatten)]
    pub skipping: SkipArguments,
    #[command(flatten)]
    pub steps: StepArguments,
    #[command(flatten)]
    pub waiting: WaitArguments,
    #[command(flatten)]
    pub variables: VariableArguments,
}

#[derive(Debug, Args)]
pub struct ResumeArguments {
    #[arg(value_name = "RUN")]
    pub run: Option<String>,
    /// Ask nothing; data loss and surprises still need a yes of their own
    #[arg(long)]
    pub auto_approve: bool,
    #[command(flatten)]
    pub consent: ConsentArguments,
    #[command(flatten)]
    pub skipping: SkipArguments,
    #[command(flatten)]
    pub steps: StepArguments,
    #[command(flatten)]
    pub waiting: WaitArguments,
    #[command(flatten)]
    pub vouching: VouchArguments,
    #[command(flatten)]
    pub variables: VariableArguments,
    /// Why a rule of the policy is overridden
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

#[derive(Debug, Args)]
pub struct ApproveArguments {
    /// The run (default: the one that awaits approval)
    #[arg(value_name = "RUN")]
    pub run: Option<String>,
    /// Ask nothing; data loss and surprises still need a yes of their own
    #[arg(long)]
    pub auto_approve: bool,
    #[command(flatten)]
    pub consent: ConsentArguments,
    /// What the record should say
    #[arg(long, value_name = "TEXT")]
    pub comment: Option<String>,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct RunsArguments {
    #[command(subcommand)]
    pub command: Option<RunsCommand>,
    /// How many
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub limit: usize,
}

#[derive(Debug, Subcommand)]
pub enum RunsCommand {
    /// One run with its journal
    Show {
        #[arg(value_name = "RUN")]
        run: String,
    },
}
