//! Objects that travel from one repository into another: which of them the other lacks, and taken in one by one, each
//! checked against its id. No pack is parsed that somebody else made, no hook, filter or configuration of theirs plays a
//! part, and a reference is set only once everything that it leads to is there.

use std::collections::HashSet;
use std::path::Path;

use git2::{ObjectType, Oid};

use crate::{CommitId, Repository, RepositoryError};

/// More objects than these are no project's configuration.
const MOST_OBJECTS: usize = 2_000_000;
/// Trees nested deeper are broken or hostile.
const DEEPEST: usize = 200;
/// More references than these are nobody's tags.
const MOST_REFERENCES: usize = 10_000;

/// A branch or a tag, and the commit that it leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// `refs/heads/…` or `refs/tags/…`.
    pub name: String,
    pub commit: CommitId,
}

impl Reference {
    /// What is wrong with the name, if anything is.
    fn check(&self) -> Result<(), RepositoryError> {
        let name = &self.name;
        let place = name.starts_with("refs/heads/") || name.starts_with("refs/tags/");
        if place && name.len() <= 255 && git2::Reference::is_valid_name(name) {
            return Ok(());
        }
        Err(RepositoryError::BadReference { name: name.clone() })
    }
}

impl Repository {
    /// Branches and tags that lead to commits of the history of these commits.
    ///
    /// # Errors
    /// The history cannot be read.
    pub fn references_within(&self, commits: &[CommitId]) -> Result<Vec<Reference>, RepositoryError> {
        let mut walk = self.git.revwalk()?;
        for commit in commits {
            walk.push(commit.oid()?)?;
        }
        let history: HashSet<Oid> = walk.collect::<Result<_, _>>()?;
        let mut found = Vec::new();
        for reference in self.git.references()? {
            let reference = reference?;
            let (Ok(name), Ok(commit)) = (reference.name(), reference.peel_to_commit()) else {
                continue;
            };
            let one = Reference {
                name: name.to_owned(),
                commit: commit.id().into(),
            };
            if history.contains(&commit.id()) && one.check().is_ok() && found.len() < MOST_REFERENCES {
                found.push(one);
            }
        }
        Ok(found)
    }

    /// The ids of all objects that `wanted` lead to and `known` do not: commits, trees, files. Commits of `known` that
    /// are not here are passed over.
    ///
    /// # Errors
    /// [`RepositoryError::Incomplete`]: one of them is not here. [`RepositoryError::TooBig`].
    pub fn objects_beyond(&self, wanted: &[CommitId], known: &[CommitId]) -> Result<Vec<String>, RepositoryError> {
        let mut walk = self.git.revwalk()?;
        let mut reached = Reached {
            git: &self.git,
            odb: self.git.odb()?,
            seen: HashSet::new(),
            found: Vec::new(),
        };
        for commit in known {
            let oid = commit.oid()?;
            if let Ok(commit) = self.git.find_commit(oid) {
                walk.hide(oid)?;
                reached.tree(commit.tree_id(), 0)?;
            }
        }
        reached.found.clear();
        for commit in wanted {
            let oid = commit.oid()?;
            self.git.find_commit(oid).map_err(|_| incomplete(oid))?;
            walk.push(oid)?;
        }
        for oid in walk {
            let oid = oid.map_err(|error| RepositoryError::Incomplete {
                missing: error.message().to_owned(),
            })?;
            let commit = self.git.find_commit(oid).map_err(|_| incomplete(oid))?;
            reached.add(oid)?;
            reached.tree(commit.tree_id(), 0)?;
        }
        Ok(reached.found.into_iter().map(|oid| oid.to_string()).collect())
    }

    /// An object as it is hashed: `blob 12\0` and its content.
    ///
    /// # Errors
    /// It is not here.
    pub fn object_bytes(&self, id: &str) -> Result<Vec<u8>, RepositoryError> {
        let odb = self.git.odb()?;
        let object = odb.read(Oid::from_str(id)?)?;
        let mut bytes = format!("{} {}\0", object.kind().str(), object.len()).into_bytes();
        bytes.extend_from_slice(object.data());
        Ok(bytes)
    }
}

fn incomplete(oid: Oid) -> RepositoryError {
    RepositoryError::Incomplete {
        missing: oid.to_string(),
    }
}

struct Reached<'g> {
    git: &'g git2::Repository,
    odb: git2::Odb<'g>,
    seen: HashSet<Oid>,
    found: Vec<Oid>,
}

impl Reached<'_> {
    fn add(&mut self, oid: Oid) -> Result<(), RepositoryError> {
        self.found.push(oid);
        if self.seen.len() + self.found.len() > MOST_OBJECTS {
            return Err(too_big(format!("there are more than {MOST_OBJECTS} objects")));
        }
        Ok(())
    }

    fn tree(&mut self, oid: Oid, depth: usize) -> Result<(), RepositoryError> {
        if depth > DEEPEST {
            return Err(too_big(format!("folders are nested more than {DEEPEST} deep")));
        }
        if !self.seen.insert(oid) {
            return Ok(());
        }
        let tree = self.git.find_tree(oid).map_err(|_| incomplete(oid))?;
        self.add(oid)?;
        for entry in tree.iter() {
            match entry.kind() {
                Some(ObjectType::Tree) => self.tree(entry.id(), depth + 1)?,
                Some(ObjectType::Blob) if self.seen.insert(entry.id()) => {
                    if !self.odb.exists(entry.id()) {
                        return Err(incomplete(entry.id()));
                    }
                    self.add(entry.id())?;
                }
                // A submodule's commit is another repository's.
                _ => {}
            }
        }
        Ok(())
    }
}

fn too_big(message: String) -> RepositoryError {
    RepositoryError::TooBig {
        revision: "what was sent".to_owned(),
        message,
    }
}

/// The id of an object in the form of [`Repository::object_bytes`].
///
/// # Errors
/// [`RepositoryError::BadObject`].
pub fn hash_object(bytes: &[u8]) -> Result<String, RepositoryError> {
    let (kind, content) = parts(bytes).map_err(|why| RepositoryError::BadObject {
        id: String::new(),
        message: why.to_owned(),
    })?;
    Ok(Oid::hash_object(kind, content)?.to_string())
}

/// Kind and content of an object as it is hashed.
fn parts(bytes: &[u8]) -> Result<(ObjectType, &[u8]), &'static str> {
    let none = "it has no header";
    let end = bytes.iter().take(32).position(|byte| *byte == 0).ok_or(none)?;
    let header = std::str::from_utf8(&bytes[..end]).map_err(|_| none)?;
    let (kind, length) = header.split_once(' ').ok_or(none)?;
    let content = &bytes[end + 1..];
    if length != content.len().to_string() {
        return Err("its length is not the one in its header");
    }
    match kind {
        "commit" => Ok((ObjectType::Commit, content)),
        "tree" => Ok((ObjectType::Tree, content)),
        "blob" => Ok((ObjectType::Blob, content)),
        _ => Err("it is neither commit nor tree nor file"),
    }
}

/// A bare repository that takes in what others bring, and makes working folders of it.
pub struct Mirror {
    repository: Repository,
}

impl Mirror {
    /// Opens the one in a folder, or makes it.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn open(folder: &Path) -> Result<Mirror, RepositoryError> {
        let git = match git2::Repository::open_bare(folder) {
            Ok(git) => git,
            Err(_) => init(folder, true)?,
        };
        Ok(Mirror {
            repository: Repository { git },
        })
    }

    /// The commits that it has with everything that they lead to.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn known(&self) -> Result<Vec<CommitId>, RepositoryError> {
        let mut found = Vec::new();
        for reference in self.repository.git.references_glob("refs/known/*")? {
            if let Some(oid) = reference?.target() {
                found.push(oid.into());
            }
        }
        Ok(found)
    }

    /// Takes in one object, in the form of [`Repository::object_bytes`].
    ///
    /// # Errors
    /// [`RepositoryError::BadObject`]: it is not what its id says.
    pub fn put(&self, id: &str, bytes: &[u8]) -> Result<(), RepositoryError> {
        let bad = |why: &str| RepositoryError::BadObject {
            id: id.chars().take(40).collect(),
            message: why.to_owned(),
        };
        let wanted: CommitId = id.parse().map_err(|_| bad("this is no id"))?;
        let (kind, content) = parts(bytes).map_err(bad)?;
        // Asked before anything is written.
        if Oid::hash_object(kind, content)? != wanted.oid()? {
            return Err(bad("its content has another id"));
        }
        self.repository.git.odb()?.write(kind, content)?;
        Ok(())
    }

    /// Believes these commits from now on, once all that they lead to is there.
    ///
    /// # Errors
    /// [`RepositoryError::Incomplete`].
    pub fn accept(&self, commits: &[CommitId]) -> Result<(), RepositoryError> {
        self.repository.objects_beyond(commits, &self.known()?)?;
        for commit in commits {
            let name = format!("refs/known/{commit}");
            self.repository.git.reference(&name, commit.oid()?, true, "brought")?;
        }
        Ok(())
    }

    /// Makes a working folder of a commit: regular files only, those of the commit, and a repository of its own that
    /// borrows the objects from here.
    ///
    /// # Errors
    /// A reference with a name that none may have; as [`Repository::materialise`].
    pub fn check_out(
        &self,
        folder: &Path,
        head: &CommitId,
        branch: Option<&str>,
        references: &[Reference],
    ) -> Result<(), RepositoryError> {
        if references.len() > MOST_REFERENCES {
            return Err(too_big(format!(
                "there are more than {MOST_REFERENCES} branches and tags"
            )));
        }
        for reference in references {
            reference.check()?;
        }
        let git = init(folder, false)?;
        let write = |path: &Path, text: &str| {
            std::fs::write(path, text).map_err(|error| RepositoryError::Write {
                path: path.display().to_string(),
                message: error.to_string(),
            })
        };
        let objects = self.repository.git.path().join("objects");
        write(
            &git.path().join("objects/info/alternates"),
            &format!("{}\n", objects.display()),
        )?;
        drop(git);
        let repository = Repository::open(folder)?;
        for reference in references {
            let oid = reference.commit.oid()?;
            repository.git.find_commit(oid).map_err(|_| incomplete(oid))?;
            repository.git.reference(&reference.name, oid, true, "brought")?;
        }
        let on_branch = branch.map(|name| format!("refs/heads/{name}")).filter(|name| {
            references
                .iter()
                .any(|reference| reference.name == *name && reference.commit == *head)
        });
        match on_branch {
            Some(name) => repository.git.set_head(&name)?,
            None => repository.git.set_head_detached(head.oid()?)?,
        }
        repository.materialise(head, folder, &|_| true)?;
        let mut index = repository.git.index()?;
        index.read_tree(&repository.commit(head)?.tree()?)?;
        index.write()?;
        Ok(())
    }
}

/// An empty repository: no template, and so no hooks.
fn init(folder: &Path, bare: bool) -> Result<git2::Repository, RepositoryError> {
    let mut options = git2::RepositoryInitOptions::new();
    options
        .bare(bare)
        .mkpath(true)
        .external_template(false)
        .mode(git2::RepositoryInitMode::from_bits_retain(0o700))
        .initial_head("main");
    Ok(git2::Repository::init_opts(folder, &options)?)
}

#[cfg(test)]
#[path = "mirror_tests.rs"]
mod tests;
