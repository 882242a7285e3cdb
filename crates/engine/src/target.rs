//! What a revision means: a commit, and the release that holds what was deployed of it.

use rollback_release::{CatalogueError, Release, ReleaseId, ReleaseKind, StackRecord};
use rollback_repository::CommitId;

use crate::context::Context;
use crate::error::{EngineError, Result};

/// Where a run goes to.
pub struct Target {
    pub revision: String,
    pub commit: CommitId,
    /// The releases that may hold a stack's record, the best first.
    releases: Vec<Release>,
}

impl Target {
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
            .into_iter()
            .filter(|release| {
                release.name.as_deref() == Some(revision)
                    || (revision.len() >= 8 && release.id.as_str().starts_with(&revision.to_ascii_lowercase()))
            })
            .collect();
        if let Some(first) = named.first() {
            let commit = commit_of(context, first)?;
            return Ok(Target {
                revision: revision.to_owned(),
                commit,
                releases: named,
            });
        }
        let commit = context.repository.resolve(revision)?;
        Target::of_commit(context, revision, commit)
    }

    /// A commit, with the releases of it.
    pub fn of_commit(context: &Context, revision: &str, commit: CommitId) -> Result<Target> {
        let mut releases: Vec<Release> = context
            .catalogue()
            .by_commit(commit.as_str())?
            .into_iter()
            .filter(|release| !matches!(release.kind, ReleaseKind::Backup { .. }))
            .collect();
        releases.sort_by_key(|release| release.kind.rank());
        Ok(Target {
            revision: revision.to_owned(),
            commit,
            releases,
        })
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
        Ok(Target {
            revision: revision.to_owned(),
            commit,
            releases,
        })
    }

    /// The commit that a stack goes to: the target's, or the one that its record names.
    ///
    /// # Errors
    /// Git does not have it.
    pub fn commit_of(&self, context: &Context, stack: &str) -> Result<CommitId> {
        match self.release_of(stack).and_then(|(_, record)| record.commit.as_deref()) {
            Some(commit) => Ok(context.repository.resolve(commit)?),
            None => Ok(self.commit.clone()),
        }
    }

    /// One very release.
    pub fn of_release(context: &Context, release: Release) -> Result<Target> {
        let commit = commit_of(context, &release)?;
        Ok(Target {
            revision: release.id.to_string(),
            commit,
            releases: vec![release],
        })
    }

    /// The releases of it, the best first.
    pub fn releases(&self) -> &[Release] {
        &self.releases
    }

    /// The release that holds this stack, if any does.
    pub fn release_of(&self, stack: &str) -> Option<(&Release, &StackRecord)> {
        self.releases
            .iter()
            .find_map(|release| Some((release, release.stack(stack)?)))
    }
}

/// A release's commit as Git has it; where Git lost it, its id all the same: the release holds the files.
fn commit_of(context: &Context, release: &Release) -> Result<CommitId> {
    context
        .repository
        .resolve(&release.commit)
        .or_else(|error| release.commit.parse().map_err(|_| error))
        .map_err(|error| {
            EngineError::from(error)
                .during(format!("release {} is of commit {:.10}", release.id, release.commit))
                .hint("fetch it: `git fetch --all`, or `git fetch origin <commit>`")
        })
}
