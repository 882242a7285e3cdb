//! What a client brings: an archive (tar, compressed with zstd) of Git objects and of the few files beside them that Git
//! does not have. It may be hostile: only regular files under the names below, within limits of number and size, and no
//! path that leads out of the folder or into Git's own.
//!
//! | entry | is |
//! |---|---|
//! | `checkout.json` | [`Manifest`], the first entry |
//! | `objects/ID` | a Git object as it is hashed: `blob 12\0` and its content |
//! | `files/PATH` | a file of the working folder that differs from the commit, or that `terraform init` left there |

use std::io::Read;

use rollback_repository::{CommitId, Mirror, Reference};
use serde::Deserialize;
use tar::EntryType;

use crate::call::without_values;
use crate::problem::{self, Problem, Result};

/// All entries together, unpacked: 1 GiB.
const MOST_BYTES: u64 = 1 << 30;
/// The files beside Git's objects together, which are held in memory: 256 MiB.
const MOST_FILE_BYTES: usize = 256 << 20;
/// One entry: 64 MiB, as the largest blob that is read from a repository.
const LARGEST: u64 = 64 << 20;
const MOST_ENTRIES: usize = 1_000_000;
const FORMAT: u32 = 1;

/// What the checkout is.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    pub format: u32,
    /// What the folder is called: a stack without settings has its name from it.
    pub name: String,
    /// The folder in it in which the person stands; empty for the top.
    #[serde(default)]
    pub folder: String,
    /// The commit that is checked out.
    pub head: String,
    #[serde(default)]
    pub branch: Option<String>,
    #[serde(default)]
    pub references: Vec<Named>,
    /// More commits that are to be there.
    #[serde(default)]
    pub commits: Vec<String>,
    /// Files of the commit that are deleted in the working folder.
    #[serde(default)]
    pub deleted: Vec<String>,
}

/// A branch or a tag.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Named {
    pub name: String,
    pub commit: String,
}

/// An archive that was read, its objects taken in.
#[derive(Debug)]
pub struct Brought {
    pub manifest: Manifest,
    pub head: CommitId,
    pub references: Vec<Reference>,
    /// Paths below the working folder, checked.
    pub files: Vec<(String, Vec<u8>)>,
}

fn refused(why: impl std::fmt::Display) -> Box<Problem> {
    Problem::new(&problem::NOT_A_CHECKOUT, format!("the archive is not taken in: {why}"))
}

/// Whether a file may be written at this path of a working folder: nothing of Git's, and of Terraform's data only what
/// tells backend, workspace and downloaded modules.
///
/// # Errors
/// What is wrong with it.
pub fn check_path(path: &str) -> std::result::Result<(), &'static str> {
    let (dir, inside) = match path.strip_prefix(".terraform/") {
        Some(inside) => ("", Some(inside)),
        None => match path.split_once("/.terraform/") {
            Some((dir, inside)) => (dir, Some(inside)),
            None => (path, None),
        },
    };
    if !dir.is_empty() {
        rollback_release::check_relative_path(dir)?;
    }
    match inside {
        None if dir.is_empty() => Err("is empty"),
        None | Some("terraform.tfstate" | "environment") => Ok(()),
        Some(inside) => match inside.strip_prefix("modules/") {
            Some(module) => rollback_release::check_relative_path(module),
            None => Err("lies in .terraform"),
        },
    }
}

/// Reads an archive and takes its objects into the mirror; everything that they lead to must be there afterwards.
///
/// # Errors
/// Whatever is not as it should be; what was taken in until then are objects that nothing leads to.
pub fn read(bytes: &[u8], mirror: &Mirror) -> Result<Brought> {
    let decoder = zstd::Decoder::new(bytes).map_err(|_| refused("it is not compressed with zstd"))?;
    let mut archive = tar::Archive::new(decoder.take(MOST_BYTES));
    let mut manifest: Option<Manifest> = None;
    let mut files: Vec<(String, Vec<u8>)> = Vec::new();
    let mut file_bytes = 0;
    let entries = archive.entries().map_err(|_| refused("it is no tar"))?;
    for (count, entry) in entries.enumerate() {
        if count >= MOST_ENTRIES {
            return Err(refused(format!("it has more than {MOST_ENTRIES} entries")));
        }
        let entry = entry.map_err(|_| refused("it is damaged, or larger than 1 GiB"))?;
        let path = entry.path_bytes().into_owned();
        let path = String::from_utf8(path).map_err(|_| refused("a name in it is not UTF-8"))?;
        if entry.header().entry_type() != EntryType::Regular {
            return Err(refused(format!("{path:?} is no regular file")));
        }
        if entry.size() > LARGEST {
            return Err(refused(format!("{path:?} has more than {LARGEST} bytes")));
        }
        let mut content = Vec::new();
        entry
            .take(LARGEST)
            .read_to_end(&mut content)
            .map_err(|_| refused("it is damaged, or larger than 1 GiB"))?;
        if manifest.is_none() {
            if path != "checkout.json" {
                return Err(refused("its first entry is not checkout.json"));
            }
            let odd = |error| refused(format!("checkout.json: {}", without_values(&error)));
            manifest = Some(serde_json::from_slice(&content).map_err(odd)?);
        } else if let Some(id) = path.strip_prefix("objects/") {
            mirror.put(id, &content).map_err(refused)?;
        } else if let Some(path) = path.strip_prefix("files/") {
            check_path(path).map_err(|why| refused(format!("the path {path:?} {why}")))?;
            file_bytes += content.len();
            if file_bytes > MOST_FILE_BYTES {
                return Err(refused("its files have more than 256 MiB"));
            }
            files.push((path.to_owned(), content));
        } else {
            return Err(refused(format!("there is no place for {path:?}")));
        }
    }
    let manifest = manifest.ok_or_else(|| refused("it is empty"))?;
    check(&manifest)?;
    let commit = |text: &str| {
        text.parse::<CommitId>()
            .map_err(|_| refused(format!("{text:?} is no commit")))
    };
    let head = commit(&manifest.head)?;
    let references: Vec<Reference> = manifest
        .references
        .iter()
        .map(|named| {
            Ok(Reference {
                name: named.name.clone(),
                commit: commit(&named.commit)?,
            })
        })
        .collect::<Result<_>>()?;
    let mut wanted = vec![head.clone()];
    wanted.extend(references.iter().map(|reference| reference.commit.clone()));
    for text in &manifest.commits {
        wanted.push(commit(text)?);
    }
    wanted.sort();
    wanted.dedup();
    mirror.accept(&wanted).map_err(refused)?;
    Ok(Brought {
        manifest,
        head,
        references,
        files,
    })
}

fn check(manifest: &Manifest) -> Result<()> {
    if manifest.format != FORMAT {
        return Err(refused(format!(
            "its format is {}, and {FORMAT} is known here",
            manifest.format
        )));
    }
    let one = |what: &str, path: &str| {
        rollback_release::check_relative_path(path).map_err(|why| refused(format!("the {what} {path:?} {why}")))
    };
    one("name", &manifest.name)?;
    if manifest.name.contains('/') {
        return Err(refused("the name is more than one part of a path"));
    }
    if !manifest.folder.is_empty() {
        one("folder", &manifest.folder)?;
    }
    for path in &manifest.deleted {
        one("deleted path", path)?;
    }
    Ok(())
}

#[cfg(test)]
#[path = "archive_tests.rs"]
mod tests;
