//! From what people write to a commit.

use crate::{CommitId, Repository, RepositoryError, moment};
use git2::{ErrorCode, ObjectType};
use std::collections::BTreeSet;

/// Longer text is no revision.
const LONGEST: usize = 1024;
/// How many candidates of an ambiguous id, and how many similar names, an error lists.
const MOST_CANDIDATES: usize = 10;
const MOST_NEAREST: usize = 3;

/// Whether the text can be a revision at all. This is asked before anything else looks at it.
fn is_well_formed(revision: &str) -> bool {
    let mut inside = false;
    let mut previous = ' ';
    if revision.is_empty() || revision.len() > LONGEST || revision.starts_with(['-', ':', ' ']) {
        return false;
    }
    for character in revision.chars() {
        match character {
            '{' if previous == '@' && !inside => inside = true,
            '}' => inside = false,
            ' ' if inside => {}
            '.' | '_' | '/' | '-' | '@' | '{' | '~' | '^' | ':' | '+' => {}
            letter if letter.is_alphanumeric() => {}
            _ => return false,
        }
        previous = character;
    }
    true
}

impl Repository {
    /// The commit that a revision names: a full or short id, a tag (peeled), a branch, `origin/main`, `HEAD~2`,
    /// `main@{1 day ago}`, `@{2026-11-20}`.
    ///
    /// A time is looked up in the reference's own log, which says what it pointed to here at that time; where
    /// the log does not reach that far, along first parents by the commits' times.
    ///
    /// # Errors
    /// [`RepositoryError::BadCharacters`] before anything is looked up; [`RepositoryError::Unknown`] with the
    /// nearest names; [`RepositoryError::Ambiguous`] with the candidates.
    pub fn resolve(&self, revision: &str) -> Result<CommitId, RepositoryError> {
        if !is_well_formed(revision) {
            return Err(RepositoryError::BadCharacters {
                revision: revision.to_owned(),
            });
        }
        if let Some((name, inner, rest)) = split_time(revision) {
            let oid = self.at_time(revision, name, inner)?;
            return if rest.is_empty() {
                Ok(oid.into())
            } else {
                self.parse(&format!("{oid}{rest}"), revision)
            };
        }
        self.refuse_two_meanings(revision)?;
        self.parse(revision, revision)
    }

    /// Lets libgit2 read it; errors speak of what was written.
    fn parse(&self, text: &str, written: &str) -> Result<CommitId, RepositoryError> {
        let object = match self.git.revparse_single(text) {
            Ok(object) => object,
            Err(error) if error.code() == ErrorCode::Ambiguous => return self.ambiguous(written),
            Err(error) if error.code() == ErrorCode::UnbornBranch => return Err(RepositoryError::Unborn),
            Err(error) if matches!(error.code(), ErrorCode::NotFound | ErrorCode::InvalidSpec) => {
                let has_names = self
                    .git
                    .references()
                    .is_ok_and(|mut references| references.next().is_some());
                if !has_names && matches!(self.head_commit(), Err(RepositoryError::Unborn)) {
                    return Err(RepositoryError::Unborn);
                }
                return Err(self.unknown(written));
            }
            Err(error) => return Err(error.into()),
        };
        match object.peel_to_commit() {
            Ok(commit) => Ok(commit.id().into()),
            Err(_) => {
                let kind = object.kind().map_or("object", |kind| match kind {
                    ObjectType::Tree => "folder",
                    ObjectType::Blob => "file",
                    other => other.str(),
                });
                Err(RepositoryError::NotACommit {
                    revision: written.to_owned(),
                    kind: kind.to_owned(),
                })
            }
        }
    }

    /// Git silently prefers the tag where a branch has the same name. A rollback must not guess.
    fn refuse_two_meanings(&self, revision: &str) -> Result<(), RepositoryError> {
        let name = revision.split(['~', '^', '@', ':']).next().unwrap_or_default();
        let meanings: Vec<(String, git2::Oid)> = ["refs/tags/", "refs/heads/"]
            .iter()
            .filter_map(|prefix| {
                let full = format!("{prefix}{name}");
                let reference = self.git.find_reference(&full).ok()?;
                Some((full, reference.peel_to_commit().ok()?.id()))
            })
            .collect();
        if let [(_, tag), (_, branch)] = meanings.as_slice()
            && tag != branch
        {
            return Err(RepositoryError::AmbiguousName {
                revision: revision.to_owned(),
                meanings: meanings.into_iter().map(|(name, _)| name).collect(),
            });
        }
        Ok(())
    }

    /// A prefix of several objects: the commits among them. One alone is what was meant.
    fn ambiguous(&self, written: &str) -> Result<CommitId, RepositoryError> {
        let prefix: String = written
            .chars()
            .take_while(char::is_ascii_hexdigit)
            .collect::<String>()
            .to_ascii_lowercase();
        let mut commits = BTreeSet::new();
        self.git.odb()?.foreach(|oid| {
            if oid.to_string().starts_with(&prefix)
                && let Ok(commit) = self
                    .git
                    .find_object(*oid, None)
                    .and_then(|object| object.peel_to_commit())
            {
                commits.insert(commit.id());
            }
            true
        })?;
        let mut commits = commits.into_iter().collect::<Vec<_>>();
        if let [only] = commits.as_slice() {
            let rest = written.get(prefix.len()..).unwrap_or_default();
            return if rest.is_empty() {
                Ok((*only).into())
            } else {
                self.parse(&format!("{only}{rest}"), written)
            };
        }
        commits.truncate(MOST_CANDIDATES);
        let candidates = commits
            .iter()
            .filter_map(|oid| {
                let commit = self.git.find_commit(*oid).ok()?;
                let summary = String::from_utf8_lossy(commit.summary_bytes().unwrap_or_default()).into_owned();
                Some(format!(
                    "{} ({summary})",
                    &oid.to_string()[..(prefix.len() + 6).min(40)]
                ))
            })
            .collect();
        Err(RepositoryError::Ambiguous {
            revision: written.to_owned(),
            candidates,
        })
    }

    /// The error for a name that is not there, with the names that look like it.
    fn unknown(&self, written: &str) -> RepositoryError {
        let name = written.split(['~', '^', '@', ':']).next().unwrap_or_default();
        let mut near: Vec<(usize, String)> = Vec::new();
        for reference in self.git.references().into_iter().flatten().flatten() {
            let Ok(short) = reference.shorthand() else { continue };
            let distance = if short.rsplit('/').next() == Some(name) {
                0
            } else {
                strsim::damerau_levenshtein(short, name)
            };
            if distance <= 1 + name.chars().count() / 3 {
                near.push((distance, short.to_owned()));
            }
        }
        near.sort();
        near.dedup();
        let nearest = near.into_iter().take(MOST_NEAREST).map(|(_, name)| name).collect();
        RepositoryError::Unknown {
            revision: written.to_owned(),
            nearest,
            shallow: self.git.is_shallow(),
        }
    }

    /// What a reference pointed to at a time.
    fn at_time(&self, written: &str, name: &str, inner: &str) -> Result<git2::Oid, RepositoryError> {
        let bad = |message: String| RepositoryError::BadTime {
            revision: written.to_owned(),
            message,
        };
        let now = jiff::Zoned::now();
        let time = moment::parse(inner, &now).ok_or_else(|| bad(format!("{inner:?} is no time")))?;
        if time > now.timestamp().as_second() {
            return Err(bad("that time has not come yet".into()));
        }
        let (reference, tip) = if matches!(name, "" | "HEAD" | "@") {
            ("HEAD".to_owned(), self.head_commit()?.id())
        } else {
            self.refuse_two_meanings(name)?;
            let full = self.git.resolve_reference_from_short_name(name).ok();
            let full = full
                .and_then(|reference| reference.name().ok().map(str::to_owned))
                .unwrap_or_default();
            (full, self.parse(name, written)?.oid()?)
        };
        if let Some(oid) = self.in_reference_log(&reference, time) {
            return Ok(oid);
        }
        self.by_commit_time(tip, time)?
            .ok_or_else(|| match self.git.is_shallow() {
                true => bad("the history of this shallow clone does not reach that far".into()),
                false => bad("the history does not reach that far".into()),
            })
    }

    /// The commit that a reference pointed to at a time, if its log knows.
    fn in_reference_log(&self, reference: &str, time: i64) -> Option<git2::Oid> {
        let log = self.git.reflog(reference).ok()?;
        // Newest first. Clocks go backwards now and then: the newest entry that is old enough wins, as in Git.
        let entry = log.iter().find(|entry| entry.committer().when().seconds() <= time)?;
        let id = entry.id_new();
        self.git.find_commit(id).ok().map(|commit| commit.id())
    }

    /// The newest commit along first parents that was committed by then.
    fn by_commit_time(&self, tip: git2::Oid, time: i64) -> Result<Option<git2::Oid>, RepositoryError> {
        let mut commit = self.git.find_commit(tip)?;
        loop {
            if commit.time().seconds() <= time {
                return Ok(Some(commit.id()));
            }
            commit = match commit.parent(0) {
                Ok(parent) => parent,
                Err(_) => return Ok(None),
            };
        }
    }
}

/// `main@{1 day ago}~2` as `("main", "1 day ago", "~2")`. What Git itself reads (`@{1}`, `@{-1}`, `@{upstream}`)
/// is left to it.
fn split_time(revision: &str) -> Option<(&str, &str, &str)> {
    let (name, after) = revision.split_once("@{")?;
    let (inner, rest) = after.split_once('}')?;
    let is_number = !inner.is_empty() && inner.trim_start_matches('-').bytes().all(|byte| byte.is_ascii_digit());
    let is_word = matches!(inner.to_ascii_lowercase().as_str(), "u" | "upstream" | "push");
    (!is_number && !is_word).then_some((name, inner, rest))
}

#[cfg(test)]
#[path = "revision_tests.rs"]
mod tests;
