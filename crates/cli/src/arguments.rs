//! What can be said on the command line. The doc comments are the help.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

mod incident;
mod purpose;

pub use incident::{
    BakeArguments, BakeCommand, DrillArguments, OnFailure, ReportArguments, ReportFormat, SkipArguments,
    VerifyArguments,
};
pub use purpose::Purpose;

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

fn duration(text: &str) -> Result<Duration, String> {
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
    /// Only this object and what it needs; may be given several times
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
    /// Only this object and what it needs; may be given several times
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

#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Run the rules called test_… in a bundle, as `opa test` does (default: the project's bundles and the built-in one)
    Test {
        /// A folder, a .rego file or a .tar.gz
        #[arg(value_name = "DIR")]
        bundle: Option<PathBuf>,
        /// Only tests whose package.name matches
        #[arg(long, short, value_name = "REGEX")]
        run: Option<String>,
    },
    /// Ask the policy about a rollback, a plan or any document, as `conftest test` does; 3 where it refuses
    Check(PolicyCheckArguments),
    /// The bundle's digest, and its rules with how binding they are
    Show {
        /// This bundle instead of the project's; may be given several times
        #[arg(long, value_name = "DIR")]
        bundle: Vec<PathBuf>,
    },
    /// The very document that the policy is given for a rollback (sensitive values masked)
    Input {
        /// A commit, tag, branch, release name or `@{2 hours ago}`
        #[arg(value_name = "REV")]
        revision: String,
        #[command(flatten)]
        variables: VariableArguments,
    },
}

#[derive(Debug, Args)]
pub struct PolicyCheckArguments {
    /// What a rollback to this revision would be judged as
    #[arg(value_name = "REV", required_unless_present_any = ["plan", "input"])]
    pub revision: Option<String>,
    /// The output of `terraform show -json PLANFILE`
    #[arg(long, value_name = "PLAN.json", conflicts_with_all = ["revision", "input"])]
    pub plan: Option<PathBuf>,
    /// Any JSON document, as it is (`-` for stdin)
    #[arg(long, value_name = "FILE", conflicts_with = "revision")]
    pub input: Option<PathBuf>,
    /// This bundle instead of the project's and the built-in one; may be given several times
    #[arg(long, value_name = "DIR")]
    pub bundle: Vec<PathBuf>,
    /// Only rules of this package and below it; may be given several times
    #[arg(long, value_name = "PACKAGE")]
    pub namespace: Vec<String>,
    #[command(flatten)]
    pub consent: ConsentArguments,
    /// Why a rule is overridden
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    #[command(flatten)]
    pub variables: VariableArguments,
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

#[derive(Debug, Subcommand)]
pub enum StateCommand {
    /// What a state file holds; its values are not shown
    Inspect {
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Every state that is kept, newest first
    Versions,
    /// The very bytes of a kept state, on stdout (a VERSION is a release, a sha256 or a `write:N` as `state versions` shows them)
    Pull {
        #[arg(value_name = "VERSION")]
        version: String,
        /// Write to this file, readable by you alone, instead of stdout
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Make a kept state the current one, as a new serial above every one seen
    Restore(RestoreArguments),
    /// The state as it was at a time, such as `2026-11-22T03:00:00Z` or `2 hours ago`
    At {
        #[arg(value_name = "TIME")]
        time: String,
    },
    /// Which release last changed an object or an attribute
    Blame {
        #[arg(value_name = "ADDRESS[.ATTRIBUTE]")]
        address: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum StoreCommand {
    /// Make the bucket and the table of the shared store where they are missing; what is there is left alone
    Create {
        /// Only say what is missing
        #[arg(long)]
        dry_run: bool,
    },
    /// Make the index of releases anew from the releases themselves
    RebuildIndex,
    /// Remove what nothing needs: blobs that nothing names and, where told to, old releases
    Gc(GcArguments),
    /// Copy everything (blobs, releases, runs, journals, marks) from one store into another, verified; goes on where it
    /// was cut off, and never writes over what differs
    Copy {
        /// The store to read: a folder, file://… or s3://…
        #[arg(value_name = "FROM")]
        from: String,
        /// The store to write
        #[arg(value_name = "TO")]
        to: String,
    },
}

#[derive(Debug, Args)]
pub struct GcArguments {
    /// Show what would be removed, with sizes, and stop
    #[arg(long)]
    pub dry_run: bool,
    /// Ask nothing
    #[arg(long)]
    pub auto_approve: bool,
    /// Keep so many of the newest releases; older ones go with their backups
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub keep_last: Option<u32>,
    /// Keep every release that is younger than this, such as 90d, 12w or 36h
    #[arg(long, value_name = "TIME", value_parser = age)]
    pub keep_within: Option<jiff::SignedDuration>,
    /// Leave blobs alone that were put within this time, named or not; at least 2d
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = age)]
    pub grace: jiff::SignedDuration,
}

/// `90d`, `12w`, `36h`, `1y`: days have 24 hours here, years 365 days.
fn age(text: &str) -> Result<jiff::SignedDuration, String> {
    let wrong = || format!("{text:?} is no time; write a number and one of h, d, w, y, such as 90d");
    let unit = text.chars().last().ok_or_else(wrong)?;
    let number: i64 = text[..text.len() - unit.len_utf8()].parse().map_err(|_| wrong())?;
    let hours = match unit {
        'h' => 1,
        'd' => 24,
        'w' => 7 * 24,
        'y' => 365 * 24,
        _ => return Err(wrong()),
    };
    let hours = number.checked_mul(hours).filter(|hours| (0..=876_000).contains(hours));
    hours.map(jiff::SignedDuration::from_hours).ok_or_else(wrong)
}

#[derive(Debug, Subcommand)]
pub enum ImportCommand {
    /// Every version of the state in a versioned bucket becomes a release
    #[command(name = "s3-versions")]
    S3Versions(ImportS3Arguments),
    /// Every commit that changed the state file becomes a release
    Git(ImportGitArguments),
}

#[derive(Debug, Args)]
pub struct ImportS3Arguments {
    /// The bucket (default: the one of the stack's backend)
    #[arg(long, requires = "key")]
    pub bucket: Option<String>,
    /// The object's key (default: that of the stack's backend and workspace)
    #[arg(long, requires = "bucket")]
    pub key: Option<String>,
    #[command(flatten)]
    pub common: ImportArguments,
}

#[derive(Debug, Args)]
pub struct ImportGitArguments {
    /// The state file, from the repository's top (default: where the stack's local backend has its state)
    #[arg(long, value_name = "FILE")]
    pub path: Option<String>,
    #[command(flatten)]
    pub common: ImportArguments,
}

#[derive(Debug, Args)]
pub struct ImportArguments {
    /// Which commit belongs to which state: CSV with the columns version_id (or serial, or sha256) and commit, or JSON
    #[arg(long, value_name = "FILE")]
    pub map: Option<PathBuf>,
    /// The branch whose commits were deployed (default: the one that is checked out)
    #[arg(long, value_name = "BRANCH")]
    pub branch: Option<String>,
    /// Only states written then or later, such as `2026-11-22T03:00:00Z` or `90 days ago`
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Only so many, the newest
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// Read everything and say what would become of it; keep nothing
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Debug, Args)]
pub struct ServeArguments {
    /// Where to listen; port 0 takes a free one. For anything but a loopback address give --tls-certificate, or put a
    /// proxy that speaks TLS in front
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8470")]
    pub listen: String,
    /// The checkout to plan and roll back in (default: the one of the current folder)
    #[arg(long, value_name = "DIR")]
    pub repository: Option<PathBuf>,
    /// Without a repository: keep states and answer for the project of this name
    #[arg(long, value_name = "NAME", conflicts_with = "repository")]
    pub project: Option<String>,
    /// Take in the projects of clients (`--server URL`), and keep the checkouts that they bring in this folder. What
    /// --config says of policy, terraform and knowledge counts for all of them
    #[arg(long, value_name = "DIR", conflicts_with = "repository")]
    pub checkouts: Option<PathBuf>,
    /// How many different people have to approve a rollback
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=20))]
    pub approvals: u8,
    /// Whoever asked for a rollback may not approve it
    #[arg(long)]
    pub four_eyes: bool,
    /// An Ed25519 key (`openssl genpkey -algorithm ed25519`) that signs checkpoints of the audit log
    #[arg(long, value_name = "FILE")]
    pub audit_key: Option<PathBuf>,
    /// Speak TLS, with this chain of certificates (PEM, the service's own first); read again when it changes (default:
    /// [tls] of the settings)
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_certificate: Option<PathBuf>,
    /// The certificate's key (PEM, unencrypted)
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    pub tls_key: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum TokensCommand {
    /// Make a token; it is shown once
    Create(NewTokenArguments),
    /// The tokens that there are, revoked ones too; never the tokens themselves
    List {
        /// The project, outside of its repository
        #[arg(long, value_name = "NAME")]
        project: Option<String>,
    },
    /// Make a token worthless, at once
    Revoke {
        /// Its id, or its name
        #[arg(value_name = "TOKEN")]
        token: String,
        /// The project, outside of its repository
        #[arg(long, value_name = "NAME")]
        project: Option<String>,
    },
}

#[derive(Debug, Args)]
pub struct NewTokenArguments {
    /// Whom or what it is for, such as github-actions; `--stack` binds it to stacks
    #[arg(long, value_name = "NAME")]
    pub name: String,
    /// viewer looks; auditor reads raw states and the audit log; operator applies and rolls back; approver says yes;
    /// admin does everything
    #[arg(long, value_parser = ["viewer", "auditor", "operator", "approver", "admin"])]
    pub role: String,
    /// What it may do beside what the role allows: read-metrics, override (the policy), break-glass (go ahead without
    /// approvals); may be given several times
    #[arg(long, value_name = "PERMISSION", value_parser = ["read-metrics", "override", "break-glass"])]
    pub grant: Vec<String>,
    /// How long it is good for, such as 90d or 12h (default: until it is revoked)
    #[arg(long, value_name = "DURATION")]
    pub expires: Option<String>,
    /// The project, outside of its repository
    #[arg(long, value_name = "NAME")]
    pub project: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// The entries, newest last
    Log(AuditLogArguments),
    /// Sign a checkpoint of the log as it is, and print it: keep it elsewhere
    Checkpoint {
        /// The Ed25519 key that signs (`openssl genpkey -algorithm ed25519`)
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// The project, outside of its repository
        #[arg(long, value_name = "NAME")]
        project: Option<String>,
    },
    /// Check that the log is one unbroken chain
    Verify(AuditVerifyArguments),
    /// All entries as they were written, one per line, for `audit verify --from`
    Export {
        /// Write to this file instead of stdout
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
        /// The project, outside of its repository
        #[arg(long, value_name = "NAME")]
        project: Option<String>,
    },
}

#[derive(Debug, Args)]
pub struct AuditLogArguments {
    /// How many, the newest
    #[arg(long, default_value_t = 50, value_name = "N")]
    pub limit: usize,
    /// Only those whose actor contains this
    #[arg(long, value_name = "TEXT")]
    pub actor: Option<String>,
    /// Only those whose action begins so, such as state.write or rollbacks
    #[arg(long, value_name = "TEXT")]
    pub action: Option<String>,
    /// Only those whose object contains this
    #[arg(long, value_name = "TEXT")]
    pub object: Option<String>,
    /// Only those since this time, such as `2026-11-22T03:00:00Z` or `2 hours ago`
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// The project, outside of its repository
    #[arg(long, value_name = "NAME")]
    pub project: Option<String>,
}

#[derive(Debug, Args)]
pub struct AuditVerifyArguments {
    /// An export to verify, instead of the store: nothing else is needed
    #[arg(long, value_name = "FILE")]
    pub from: Option<PathBuf>,
    /// What an earlier `audit verify` said: the log must still have it, so that cutting off and writing anew show
    #[arg(long, value_name = "NUMBER:HASH")]
    pub seen: Vec<String>,
    /// The public key (`openssl pkey -pubout`) that every checkpoint must be signed by; there must be one
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// A checkpoint that was kept elsewhere: the log must still be what it was of; may be given several times
    #[arg(long, value_name = "FILE")]
    pub checkpoint: Vec<PathBuf>,
    /// The project, outside of its repository
    #[arg(long, value_name = "NAME")]
    pub project: Option<String>,
}

#[derive(Debug, Args)]
pub struct RestoreArguments {
    #[arg(value_name = "VERSION")]
    pub version: String,
    /// Ask nothing
    #[arg(long)]
    pub auto_approve: bool,
    /// Let go of objects that live now and the old state does not know
    #[arg(long)]
    pub accept_orphans: bool,
    /// This soft-mandatory rule of the policy is overridden, for the reason that --reason gives; may be given several times
    #[arg(long, value_name = "RULE")]
    pub override_policy: Vec<String>,
    /// Show what it would mean and stop
    #[arg(long)]
    pub dry_run: bool,
    /// Why; it goes on record
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    #[command(flatten)]
    pub waiting: WaitArguments,
}

#[derive(Debug, Args)]
pub struct CheckArguments {
    /// The output of `terraform show -json PLANFILE`
    #[arg(value_name = "PLAN.json")]
    pub plan: PathBuf,
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
