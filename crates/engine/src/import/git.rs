//! The states that a file in Git had: one for each commit of the branch that changed the file.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rollback_config::{FileTree, TreeError};
use rollback_release::BackendRecord;

use super::{Content, Found, Source, Unread};
use crate::collect::in_dir;
use crate::context::{Context, Stack};
use crate::error::{EngineError, Result};
use crate::live::Live;

/// A state that is kept in Git beside its configuration.
pub struct GitHistory<'c> {
    context: &'c Context,
    name: String,
    path: String,
    branch: Option<String>,
}

impl<'c> GitHistory<'c> {
    /// The history of a file. Without a path (relative to the repository's top) it is where the stack's local backend
    /// has its state.
    ///
    /// # Errors
    /// No path was given and the stack's backend is not a local one in the repository.
    pub fn new(
        context: &'c Context,
        stack: &Stack,
        path: Option<&str>,
        branch: Option<&str>,
    ) -> Result<GitHistory<'c>> {
        let path = match path {
            Some(path) => path.trim_start_matches("./").to_owned(),
            None => state_path(context, stack)?,
        };
        Ok(GitHistory {
            context,
            name: format!("git:{path}"),
            path,
            branch: branch.map(str::to_owned),
        })
    }

    fn read(&self, found: &Found) -> Result<Content, Unread> {
        let all = |error: EngineError| Unread::All(error);
        let Some(commit) = &found.commit else {
            return Err(Unread::One("it is of no commit".to_owned()));
        };
        let tree = self
            .context
            .repository
            .tree(commit)
            .map_err(|error| all(error.into()))?;
        match tree.read(&self.path) {
            Ok(Some(bytes)) => Ok(Content {
                bytes,
                labels: BTreeMap::new(),
            }),
            Ok(None) => Err(Unread::One(format!("commit {} has no {}", commit.short(), self.path))),
            Err(error @ TreeError::TooLarge { .. }) => Err(Unread::One(error.to_string())),
            Err(error) => Err(all(EngineError::failed(error.to_string()))),
        }
    }
}

fn state_path(context: &Context, stack: &Stack) -> Result<String> {
    let file = Live::locate(context, stack)?;
    let inside = file.as_deref().and_then(|file| file.strip_prefix(&context.root).ok());
    match (inside, &file) {
        (Some(path), _) => Ok(path.to_string_lossy().into_owned()),
        // The backend moved away since: the usual place is where it was.
        (None, None) => Ok(in_dir(&stack.dir, "terraform.tfstate")),
        (None, Some(file)) => Err(EngineError::usage(format!(
            "the state of stack {} lies outside of the repository, at {}",
            stack.name,
            file.display()
        ))
        .hint("name the file that Git had with --path")),
    }
}

impl Source for GitHistory<'_> {
    fn name(&self) -> &str {
        &self.name
    }

    fn backend(&self) -> BackendRecord {
        BackendRecord::new("local", serde_json::Map::new())
    }

    fn versions(&self) -> Result<Vec<Found>> {
        let repository = &self.context.repository;
        let tip = match &self.branch {
            Some(branch) => repository.resolve(branch)?,
            None => repository.head()?,
        };
        let line = repository.first_parents(&tip, &[&self.path])?;
        let mut versions = Vec::new();
        for commit in line.commits.into_iter().filter(|commit| commit.changed) {
            versions.push(Found {
                version: commit.id.to_string(),
                time: Timestamp::from_second(commit.time).unwrap_or(Timestamp::UNIX_EPOCH),
                size: None,
                actor: Some(repository.commit_info(&commit.id)?.author),
                commit: Some(commit.id),
                deleted: !commit.present,
            });
        }
        if versions.is_empty() {
            return Err(
                EngineError::failed(format!("no commit of this branch has a file {}", self.path))
                    .hint("name the file with --path, from the repository's top, or another branch with --branch"),
            );
        }
        Ok(versions)
    }

    fn contents<'s>(&'s self, wanted: Vec<Found>) -> Box<dyn Iterator<Item = Result<Content, Unread>> + 's> {
        Box::new(wanted.into_iter().map(|found| self.read(&found)))
    }
}
