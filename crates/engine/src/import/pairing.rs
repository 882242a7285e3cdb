//! Which commit was deployed when a state was written.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rollback_release::CommitBy;
use rollback_repository::{CommitId, Line};

use super::{Content, Found, Options};
use crate::context::{Context, Stack};
use crate::error::Result;
use crate::history::{configuration_at, dir_at};

/// Under these names pipelines put the commit into an object's metadata or tags (in lower case, `_` as `-`).
const COMMIT_LABELS: [&str; 17] = [
    "git-commit",
    "git-sha",
    "git-commit-sha",
    "git-revision",
    "commit",
    "commit-id",
    "commit-sha",
    "sha",
    "revision",
    "vcs-revision",
    "github-sha",
    "ci-commit-sha",
    "bitbucket-commit",
    "circle-sha1",
    "build-sourceversion",
    "codebuild-resolved-source-version",
    "buildkite-commit",
];

/// Under these names pipelines put who deployed.
const ACTOR_LABELS: [&str; 7] = [
    "actor",
    "github-actor",
    "gitlab-user-login",
    "deployed-by",
    "triggered-by",
    "user",
    "author",
];

/// A commit, and how it was found.
pub(super) struct Paired {
    pub commit: CommitId,
    pub by: CommitBy,
    /// What was tried first and led nowhere.
    pub notes: Vec<String>,
}

/// The line of commits along which states are paired by time.
pub(super) struct Pairing {
    branch: String,
    line: Line,
}

impl Pairing {
    /// Reads the branch's line.
    ///
    /// # Errors
    /// There is no such branch.
    pub fn of(context: &Context, stack: &Stack, options: &Options) -> Result<Pairing> {
        let repository = &context.repository;
        let (tip, branch) = match &options.branch {
            Some(branch) => (repository.resolve(branch)?, branch.clone()),
            None => (
                repository.head()?,
                repository.branch().unwrap_or_else(|| "HEAD".to_owned()),
            ),
        };
        let dir = dir_at(repository, &tip, &stack.name, &[&stack.dir])?.unwrap_or_else(|| stack.dir.clone());
        // Where the stack was before and which local modules it reaches count as its files.
        let mut watched = vec![stack.dir.clone(), dir.clone()];
        if let Ok(configuration) = configuration_at(repository, context.store.as_ref(), &tip, &dir, None) {
            let modules = configuration.modules.values().map(|module| module.dir.clone());
            watched.extend(modules.filter(|dir| !dir.contains(".terraform/")));
        }
        watched.sort();
        watched.dedup();
        let watched: Vec<&str> = watched.iter().map(String::as_str).collect();
        Ok(Pairing {
            branch,
            line: repository.first_parents(&tip, &watched)?,
        })
    }

    /// The commit that a person or a pipeline named; none where nobody did.
    pub fn stated(
        context: &Context,
        found: &Found,
        content: &Content,
        mapped: Option<(CommitId, &'static str)>,
    ) -> Result<Paired, Vec<String>> {
        let paired = |commit, by| {
            Ok(Paired {
                commit,
                by,
                notes: Vec::new(),
            })
        };
        if let Some((commit, property)) = mapped {
            let property = property.to_owned();
            return paired(commit, CommitBy::Mapping { property });
        }
        if let Some(commit) = &found.commit {
            return paired(commit.clone(), CommitBy::Tracked);
        }
        let mut notes = Vec::new();
        for (name, value) in labelled(&content.labels, &COMMIT_LABELS) {
            let value = value.trim();
            // Only what can be nothing but a commit: a branch may have moved since.
            if !(7..=64).contains(&value.len()) || !value.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                continue;
            }
            match context.repository.resolve(&value.to_ascii_lowercase()) {
                Ok(commit) => return paired(commit, CommitBy::Metadata { name: name.clone() }),
                Err(_) => notes.push(format!(
                    "its metadata name commit {value:.12} ({name}), which Git does not have here: `git fetch --all`"
                )),
            }
        }
        Err(notes)
    }

    /// The last commit before a time: one that changed the stack, else any.
    pub fn by_time(&self, time: Timestamp, notes: Vec<String>) -> Result<Paired, String> {
        // A commit of the very second was not deployed in it.
        let second = time.as_second() + i64::from(time.subsec_nanosecond() > 0);
        let find = |touched: bool| {
            let commit = self
                .line
                .last_before(second, |commit| commit.present && (commit.changed || !touched))?;
            Some(Paired {
                commit: commit.id.clone(),
                by: CommitBy::Time {
                    branch: self.branch.clone(),
                    touched,
                },
                notes: notes.clone(),
            })
        };
        find(true).or_else(|| find(false)).ok_or_else(|| {
            let rest = if self.line.complete {
                "name its commit with --map, or another line of commits with --branch"
            } else {
                "this is a shallow clone: `git fetch --unshallow` brings the rest"
            };
            format!("no commit of the stack on {} is as old as it; {rest}", self.branch)
        })
    }
}

/// Who wrote the state, as far as is known.
pub(super) fn actor(found: &Found, content: &Content) -> String {
    let labelled = labelled(&content.labels, &ACTOR_LABELS)
        .next()
        .map(|(_, value)| value.as_str());
    let actor = found.actor.as_deref().or(labelled).unwrap_or("unknown");
    // Anybody may have written it there.
    actor.chars().filter(|letter| !letter.is_control()).take(200).collect()
}

/// Labels with one of these names, in the order of the names.
fn labelled<'l>(
    labels: &'l BTreeMap<String, String>,
    names: &'l [&'l str],
) -> impl Iterator<Item = (&'l String, &'l String)> {
    let normal = |name: &str| name.to_ascii_lowercase().replace('_', "-");
    names
        .iter()
        .flat_map(move |wanted| labels.iter().filter(move |(name, _)| normal(name) == *wanted))
}
