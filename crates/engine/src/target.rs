//! What a revision means: a commit, and the release that holds what was deployed of it.

use std::collections::BTreeMap;

use rollback_release::{CatalogueError, Release, ReleaseId, ReleaseKind, StackRecord};
use rollback_repository::CommitId;

use crate::context::Context;
use crate::error::{EngineError, Result};
use crate::live::Live;

/// Where a run goes to.
pub struct Target {
    pub revision: String,
    pub commit: CommitId,
    /// The releases that may hold a stack's record, the best first.
    releases: Vec<Release>,
    /// Whether these very releases are meant, and not whatever there is of their commit.
    is_of_releases: bool,
    /// Of each stack of the project, as it is selected now: one commit may be deployed in several.
    workspaces: BTreeMap<String, String>,
}

impl Target {
    fn new(context: &Context, revision: &str, commit: CommitId, releases: Vec<Release>) -> Target {
        let others = context.others("").filter(|other| context.stack(&other.name).is_err());
        let stacks = context.stacks.iter().cloned().chain(others);
        let workspaces = stacks.filter_map(|stack| {
            let workspace = Live::workspace_of(context, &stack).ok()?;
            Some((stack.name, workspace))
        });
        Target {
            revision: revision.to_owned(),
            commit,
            releases,
            is_of_releases: false,
            workspaces: workspaces.collect(),
        }
    }

    fn of_very_releases(context: &Context, revision: &str, commit: CommitId, releases: Vec<Release>) -> Target {
        Target {
            is_of_releases: true,
            ..Target::new(context, revision, commit, releases)
        }
    }

    /// Finds what a person means: a release by name or id, else a revision of Git.
    ///
    /// # Errors
    /// Nothing is called so, or several things are.
    pub fn resolve(context: &Context, revision: &str) -> Result<Target> {
        let catalogue = context.catalogue();
        let known = |found: std::result::Result<Option<Vec<Release>>, CatalogueError>| match found {
            Err(CatalogueError::NotFound { .. } | CatalogueError::Ambiguous { .. }) => Ok(Some(Vec::new())),
            found => found.map_err(EngineError::from),
        };
        let indexed = catalogue.find_indexed(revision);
        let by_name = match known(indexed.map(|found| found.map(|listing| listing.items)))? {
            Some(found) => found,
            // A branch, a time, a commit: Git knows it, and reading every manifest for its name would tell nothing.
            None => match context.repository.resolve(revision) {
                Ok(commit) => return Target::of_commit(context, revision, commit),
                Err(_) => known(catalogue.find_all(revision).map(|listing| Some(listing.items)))?.unwrap_or_default(),
            },
        };
        // A person who gives an id or a name means that very release; a commit means its best one.
        let named: Vec<Release> = by_name
            .iter()
            .filter(|release| {
                release.name.as_deref() == Some(revision)
                    || (revision.len() >= 8 && release.id.as_str().starts_with(&revision.to_ascii_lowercase()))
            })
            .cloned()
            .collect();
        if let Some(first) = named.first() {
            let commit = commit_of(context, first)?;
            if first.name.as_deref() == Some(revision)
                && let Ok(other) = context.repository.resolve(revision)
                && other != commit
            {
                context.observer.warning(&format!(
                    "{revision} is the name of release {:.8}, of commit {}; Git's {revision} is commit {}, for which say {}",
                    first.id.as_str(),
                    commit.short(),
                    other.short(),
                    other.short()
                ));
            }
            return Ok(Target::of_very_releases(context, revision, commit, named));
        }
        match (context.repository.resolve(revision), by_name.first()) {
            (Ok(commit), _) => Target::of_commit(context, revision, commit),
            // Git has lost the commit that is named; its release is there.
            (Err(_), Some(release)) => {
                let commit = commit_of(context, release)?;
                Target::of_commit(context, revision, commit)
            }
            (Err(error), None) => Err(error.into()),
        }
    }

    /// A commit, with the releases of it.
    pub fn of_commit(context: &Context, revision: &str, commit: CommitId) -> Result<Target> {
        let mut releases: Vec<Release> = context
            .catalogue()
            .by_commit(commit.as_str())?
            .into_iter()
            .filter(|release| !matches!(release.kind, ReleaseKind::Backup { .. }))
            .collect();
        // What a run over some of the stacks left was not deployed together with the others of this commit.
        let most = releases.iter().map(|release| release.stacks.len()).max().unwrap_or(0);
        let is_part =
            |release: &Release| matches!(release.kind, ReleaseKind::Result { .. }) && release.stacks.len() < most;
        releases.sort_by_key(|release| (release.kind.rank(), is_part(release)));
        Ok(Target::new(context, revision, commit, releases))
    }

    /// The very releases that a run took as its target.
    ///
    /// # Errors
    /// One of them is gone.
    pub fn of_releases(context: &Context, revision: &str, commit: CommitId, ids: &[&str]) -> Result<Target> {
        let mut releases = Vec::new();
        for id in ids {
            let id: ReleaseId = id
                .parse()
                .map_err(|_| EngineError::failed(format!("{id} is no release")))?;
            releases.push(context.catalogue().get(&id)?);
        }
        Ok(Target::of_very_releases(context, revision, commit, releases))
    }

    /// The commit that a stack goes to: the target's, or the one that its record names.
    ///
    /// # Errors
    /// Git does not have it.
    pub fn commit_of(&self, context: &Context, stack: &str) -> Result<CommitId> {
        match self.release_of(stack).and_then(|(_, record)| record.commit.as_deref()) {
            Some(commit) => context.commit_of_record(commit),
            None => Ok(self.commit.clone()),
        }
    }

    /// One very release.
    pub fn of_release(context: &Context, release: Release) -> Result<Target> {
        let commit = commit_of(context, &release)?;
        Ok(Target::of_very_releases(
            context,
            &release.id.to_string(),
            commit,
            vec![release.clone()],
        ))
    }

    /// The releases of it, the best first.
    pub fn releases(&self) -> &[Release] {
        &self.releases
    }

    /// The release that holds this stack in the workspace that is selected now, if any does: each workspace has objects of
    /// its own.
    pub fn release_of(&self, stack: &str) -> Option<(&Release, &StackRecord)> {
        let here = self.workspaces.get(stack);
        self.known(stack)
            .find(|(_, record)| here.is_none_or(|workspace| record.workspace == *workspace))
    }

    /// The best release that holds this stack where none does in the workspace that is selected now.
    pub(crate) fn release_elsewhere(&self, stack: &str) -> Option<(&Release, &StackRecord)> {
        match self.release_of(stack) {
            Some(_) => None,
            None => self.known(stack).next(),
        }
    }

    /// That a release that was asked for by its own name, or by a run, is of another workspace.
    pub(crate) fn in_other_workspace(&self, stack: &str) -> Option<EngineError> {
        let (release, record) = self.release_elsewhere(stack).filter(|_| self.is_of_releases)?;
        let here = self.workspaces.get(stack)?;
        let there = &record.workspace;
        Some(
            EngineError::refused(format!(
                "stack {stack}: release {:.8} is of workspace {there}, and workspace {here} is selected",
                release.id.as_str()
            ))
            .hint(format!(
                "select it: `terraform workspace select {there}`, or set TF_WORKSPACE={there}"
            )),
        )
    }

    fn known(&self, stack: &str) -> impl Iterator<Item = (&Release, &StackRecord)> {
        self.releases
            .iter()
            .filter_map(move |release| Some((release, release.stack(stack)?)))
    }
}

/// A release's commit as Git has it; where Git lost it, its id all the same: the release holds the files.
fn commit_of(context: &Context, release: &Release) -> Result<CommitId> {
    context.commit_of_record(&release.commit).map_err(|error| {
        error
            .during(format!("release {} is of commit {:.10}", release.id, release.commit))
            .hint("fetch it: `git fetch --all`, or `git fetch origin <commit>`")
    })
}
