//! What can be said to the service, and to the commands about its tokens and its record.

use std::path::PathBuf;

use clap::{Args, Subcommand};

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
