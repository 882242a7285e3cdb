//! What can be said to the commands that keep a store in order.

use std::path::PathBuf;

use clap::{Args, Subcommand};

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
