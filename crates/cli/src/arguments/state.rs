//! What can be said to the commands that read and restore states.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::WaitArguments;

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
