//! What can be said on the command line. The doc comments are the help.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

mod incident;
mod policy;
mod purpose;
mod releases;
mod rollback;
mod service;
mod state;
mod store;

pub use incident::{
    BakeArguments, BakeCommand, DrillArguments, OnFailure, ReportArguments, ReportFormat, SkipArguments,
    VerifyArguments,
};
pub use policy::{CheckArguments, PolicyCheckArguments, PolicyCommand};
pub use purpose::Purpose;
pub use releases::{
    DemoArguments, DiffArguments, DoctorArguments, InitArguments, MarkArguments, ReleasesArguments, ReleasesCommand,
    SnapshotArguments,
};
use rollback::duration;
pub use rollback::{
    ApproveArguments, ConsentArguments, DatabaseArguments, LocksArguments, LocksCommand, PlanArguments,
    ReleaseLockArguments, ResumeArguments, RunsArguments, RunsCommand, StepArguments, StepsArguments, ToArguments,
    UndoArguments, VariableArguments, VouchArguments, WaitArguments,
};
pub use service::{
    AuditCommand, AuditLogArguments, AuditVerifyArguments, NewTokenArguments, ServeArguments, TokensCommand,
};
pub use state::{RestoreArguments, StateCommand};
pub use store::{GcArguments, ImportArguments, ImportCommand, ImportGitArguments, ImportS3Arguments, StoreCommand};

/// Get production back: snapshots Terraform stacks per release and rolls them back, object by object.
#[derive(Debug, Parser)]
#[command(name = "infra-rollback", version, max_term_width = 110)]
#[command(
    after_help = "Exit codes: 0 done, 1 failed and nothing changed, 2 usage, 3 refused by a guard, \
                        4 stopped halfway (`resume`), 5 locked by someone, 6 awaiting approval."
)]
pub struct Arguments {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Clone, Debug, Default, Args)]
pub struct Global {
    /// The project's configuration (default: infra-rollback.toml at the top of the repository)
    // Not global: `diff` has a --config of its own.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where releases are kept: a folder, or `s3://BUCKET[/PREFIX][?table=NAME&region=…]` (default: the embedded store
    /// under $INFRA_ROLLBACK_HOME)
    #[arg(long, global = true, value_name = "URL")]
    pub store: Option<String>,
    /// Ask a running service instead: its URL. The token comes from INFRA_ROLLBACK_TOKEN
    #[arg(long, global = true, value_name = "URL", conflicts_with = "store")]
    pub server: Option<String>,
    /// With --server: trust the certificates in this file (PEM) instead of the system's, for a private authority
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "INFRA_ROLLBACK_SERVER_CA",
        hide_env_values = true
    )]
    pub server_ca: Option<PathBuf>,
    /// Only this stack; may be given several times
    #[arg(long = "stack", global = true, value_name = "NAME")]
    pub stacks: Vec<String>,
    /// One JSON document on stdout
    #[arg(long, global = true)]
    pub json: bool,
    /// Say more; twice for the details of what is called
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// What the command does with the store; nothing that is typed.
    #[arg(skip)]
    pub purpose: Purpose,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Look at the repository and write infra-rollback.toml
    Init(InitArguments),
    /// The whole story in a temporary folder, with real terraform and no cloud
    Demo(DemoArguments),
    /// Check terraform, git, the store and the stacks, and say how to mend what is wrong
    Doctor(DoctorArguments),
    /// Keep HEAD and every stack's state as a release (do this after each apply)
    Snapshot(SnapshotArguments),
    /// The releases that are kept, newest first
    Releases(ReleasesArguments),
    /// One release, whole
    Show {
        #[arg(value_name = "RELEASE")]
        release: String,
    },
    /// What differs between two releases
    Diff(DiffArguments),
    /// What it would take to get back to a revision; changes nothing
    Plan(PlanArguments),
    /// Roll back to a revision: a commit, tag, branch, release name or `@{2 hours ago}`
    To(ToArguments),
    /// Go back to before a run (default: the last one), through the same guards
    Undo(UndoArguments),
    /// Go on with a run that stopped halfway or awaits approval (default: the one unfinished)
    Resume(ResumeArguments),
    /// Give up a run that stopped halfway; what it changed stays as it is
    Abort {
        #[arg(value_name = "RUN")]
        run: Option<String>,
        #[command(flatten)]
        waiting: WaitArguments,
        #[command(flatten)]
        vouching: VouchArguments,
    },
    /// Say yes to the plan of a rollback that a service is to carry out (with --server)
    Approve(ApproveArguments),
    /// The runs so far, or one of them with its journal
    Runs(RunsArguments),
    /// Look into states: of a file, of any release, at any time
    #[command(subcommand)]
    State(StateCommand),
    /// Make and look after the store itself
    #[command(subcommand)]
    Store(StoreCommand),
    /// Make releases of the states that were kept before: versions of an object in S3, a file in Git
    #[command(subcommand)]
    Import(ImportCommand),
    /// What runs beside Terraform and goes back with it: where each [[step]] is, what it can go to
    Steps(StepsArguments),
    /// Ask the checks of infra-rollback.toml whether all is well; 3 where it is not
    Verify(VerifyArguments),
    /// Rehearse the way back to a release, without effects: reachable, at a price, or not (3)
    Drill(DrillArguments),
    /// Watch the checks after a deploy, and roll back when they fail; goes on where it was killed
    Bake(BakeArguments),
    /// The record of a run: what happened, who decided, what was lost, what the checks said, what is left to do
    Report(ReportArguments),
    /// Can this forward plan be rolled back? For CI, before the deploy
    Check(CheckArguments),
    /// The policy that judges rollbacks: test it, ask it, look at it
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Who works on which stack now, or take a lock away from somebody
    Locks(LocksArguments),
    /// Serve the API and Terraform's HTTP state backend, until SIGTERM or Ctrl-C
    Serve(ServeArguments),
    /// The tokens of the API: who may call it, and what for
    #[command(subcommand)]
    Tokens(TokensCommand),
    /// Who asked the service for what, and that nobody has changed the record of it
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Print a completion script for a shell
    Completions { shell: clap_complete::Shell },
    /// Print the manual page
    Man,
}

#[cfg(test)]
mod tests {
    use super::Arguments;
    use clap::{CommandFactory, Parser};

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn both_meanings_of_config_are_understood() {
        let parsed = Arguments::try_parse_from(["infra-rollback", "--config", "x.toml", "diff", "--config", "a", "b"]);
        assert!(parsed.unwrap().global.config.is_some());
    }
}
