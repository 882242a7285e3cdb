//! What the service cannot know, brought to it: the commits that it lacks, and the files of the working folder that Git
//! does not have.

use std::path::{Component, Path, PathBuf};

use rollback_engine::context::{Located, SETTINGS};
use rollback_engine::error::{EngineError, Result};
use rollback_repository::{CommitId, Repository};
use serde::Deserialize;
use serde_json::{Value, json};
use tar::{Builder, EntryType, Header};

use crate::call::{Body, Call, Repeat};
use crate::server::Server;

/// The service takes no larger archive.
const LARGEST: usize = 256 << 20;
/// Larger files beside Git's are no configuration.
const LARGEST_FILE: u64 = 4 << 20;
/// More files of downloaded modules than these are somebody's application.
const MOST_FILES: usize = 8000;
const LEVEL: i32 = 3;

#[derive(Deserialize)]
struct Known {
    known: Vec<String>,
}

impl Server {
    /// Brings the checkout: HEAD with its history, the branches and tags in it, `more` commits, and what `terraform
    /// init` and a person have left beside them. Files of variables that Git does not have are left out: they hold
    /// secrets, and their values travel with the request that needs them.
    ///
    /// # Errors
    /// A shallow clone, files that cannot be read, and whatever the service has against it.
    pub fn bring(&self, located: &Located, folder: &Path, more: &[CommitId]) -> Result<()> {
        let repository = &located.repository;
        if repository.is_shallow() {
            return Err(
                EngineError::failed("this is a shallow clone: its history cannot be brought to the service")
                    .hint("`git fetch --unshallow` brings the rest (in CI: fetch-depth: 0)"),
            );
        }
        let known: Known = self.get("/v1/checkout")?;
        let known: Vec<CommitId> = known.known.iter().filter_map(|id| id.parse().ok()).collect();
        let bytes = archive(located, folder, more, &known)?;
        if bytes.len() > LARGEST {
            return Err(EngineError::failed(format!(
                "the checkout packs to {} MiB, and the service takes {}",
                bytes.len() >> 20,
                LARGEST >> 20
            ))
            .hint("start the service in a checkout of its own: `serve --repository DIR`"));
        }
        tracing::info!(bytes = bytes.len(), "the checkout is brought to the service");
        let _: Value = self.json(Call {
            method: "PUT",
            path: "/v1/checkout".to_owned(),
            body: Body::Bytes(bytes, "application/zstd"),
            repeat: Repeat::Safe,
        })?;
        Ok(())
    }
}

fn archive(located: &Located, folder: &Path, more: &[CommitId], known: &[CommitId]) -> Result<Vec<u8>> {
    let repository = &located.repository;
    let head = repository.head()?;
    let mut wanted = vec![head.clone()];
    wanted.extend(more.iter().cloned());
    let references = repository.references_within(&wanted)?;
    let files = beside(located)?;
    let deleted: Vec<&String> = files
        .iter()
        .filter(|(_, bytes)| bytes.is_none())
        .map(|(path, _)| path)
        .collect();
    let manifest = json!({
        "format": 1,
        "name": name_of(&located.root),
        "folder": relative(&located.root, folder),
        "head": head.as_str(),
        "branch": repository.branch(),
        "references": references.iter()
            .map(|one| json!({ "name": one.name, "commit": one.commit.as_str() })).collect::<Vec<_>>(),
        "commits": more.iter().map(CommitId::as_str).collect::<Vec<_>>(),
        "deleted": deleted,
    });
    let encoder = zstd::Encoder::new(Vec::new(), LEVEL)?;
    let mut builder = Builder::new(encoder);
    add(&mut builder, "checkout.json", manifest.to_string().as_bytes())?;
    for id in repository.objects_beyond(&wanted, known)? {
        add(&mut builder, &format!("objects/{id}"), &repository.object_bytes(&id)?)?;
    }
    for (path, bytes) in &files {
        if let Some(bytes) = bytes {
            add(&mut builder, &format!("files/{path}"), bytes)?;
        }
    }
    Ok(builder.into_inner()?.finish()?)
}

fn add(builder: &mut Builder<impl std::io::Write>, path: &str, bytes: &[u8]) -> Result<()> {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Regular);
    header.set_size(bytes.len() as u64);
    header.set_mode(0o600);
    builder.append_data(&mut header, path, bytes)?;
    Ok(())
}

/// A stack without settings has its name from the folder's.
fn name_of(root: &Path) -> String {
    let name = root.file_name().map(|name| name.to_string_lossy().into_owned());
    name.filter(|name| !name.contains('\\') && !name.chars().any(char::is_control))
        .unwrap_or_else(|| "stack".to_owned())
}

fn relative(root: &Path, folder: &Path) -> String {
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let Ok(below) = folder.strip_prefix(root) else {
        return String::new();
    };
    let parts: Vec<_> = below
        .components()
        .map(|part| part.as_os_str().to_string_lossy())
        .collect();
    parts.join("/")
}

/// Files beside the commit, by path; without bytes where the commit's file is deleted here.
type Files = Vec<(String, Option<Vec<u8>>)>;

fn beside(located: &Located) -> Result<Files> {
    let (root, repository) = (&located.root, &located.repository);
    let mut files = Files::new();
    let mut changed = repository.is_dirty(&[SETTINGS])?;
    for stack in &located.stacks {
        let dir = root.join(&stack.dir);
        changed.extend(repository.is_dirty(&[stack.dir.as_str()])?);
        for name in [
            ".terraform/terraform.tfstate",
            ".terraform/environment",
            ".terraform.lock.hcl",
        ] {
            let path = join(&stack.dir, name);
            if name == ".terraform.lock.hcl" && is_tracked(repository, &path)? {
                continue;
            }
            if let Some(bytes) = read(&dir.join(name))? {
                files.push((path, Some(bytes)));
            }
        }
        modules(
            &dir.join(".terraform/modules"),
            &join(&stack.dir, ".terraform/modules"),
            &mut files,
        )?;
    }
    changed.sort();
    changed.dedup();
    for path in changed {
        let tracked = is_tracked(repository, &path)?;
        let secret = (path.ends_with(".tfvars") || path.ends_with(".tfvars.json")) && !tracked;
        let state = path.contains(".tfstate");
        if secret || state || files.iter().any(|(known, _)| *known == path) {
            continue;
        }
        match read(&root.join(&path))? {
            Some(bytes) => files.push((path, Some(bytes))),
            None if tracked && !root.join(&path).exists() => files.push((path, None)),
            None => {}
        }
    }
    Ok(files)
}

fn is_tracked(repository: &Repository, path: &str) -> Result<bool> {
    Ok(repository.is_tracked(path)?)
}

fn join(dir: &str, name: &str) -> String {
    match dir {
        "" => name.to_owned(),
        dir => format!("{dir}/{name}"),
    }
}

/// A regular file of reasonable size; links are not followed.
fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    match std::fs::symlink_metadata(path) {
        Ok(data) if data.is_file() && data.len() <= LARGEST_FILE => {
            Ok(Some(std::fs::read(path).map_err(|error| {
                EngineError::failed(format!("{} cannot be read: {error}", path.display()))
            })?))
        }
        _ => Ok(None),
    }
}

/// What `terraform init` downloaded: regular files, without anything of Git.
fn modules(folder: &Path, path: &str, files: &mut Files) -> Result<()> {
    let mut pending = vec![(folder.to_owned(), path.to_owned())];
    let mut count = 0;
    while let Some((folder, path)) = pending.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries.flatten() {
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            let here = folder.join(&name);
            let inside = format!("{path}/{name}");
            // A link to a file within is a copy of it; one that leads elsewhere is left out.
            let target = inside_of(&here, &folder);
            let Some(target) = target.filter(|_| !matches!(name.as_str(), ".git" | ".terraform")) else {
                continue;
            };
            if target.is_dir() && !entry.path().is_symlink() {
                pending.push((here, inside));
            } else if let Some(bytes) = read(&target)? {
                count += 1;
                if count > MOST_FILES {
                    return Err(EngineError::failed(format!(
                        "{} has more than {MOST_FILES} files",
                        folder.display()
                    )));
                }
                files.push((inside, Some(bytes)));
            }
        }
    }
    Ok(())
}

/// Where a path leads, if that lies in the `.terraform/modules` folder that it is in.
fn inside_of(path: &Path, folder: &Path) -> Option<PathBuf> {
    let target = path.canonicalize().ok()?;
    let whole = folder.canonicalize().ok()?;
    let mut top = PathBuf::new();
    let mut parts = whole.components().peekable();
    while let Some(part) = parts.next() {
        top.push(part);
        let next = parts.peek().copied();
        if part == Component::Normal(".terraform".as_ref()) && next == Some(Component::Normal("modules".as_ref())) {
            top.push("modules");
            return target.starts_with(&top).then_some(target);
        }
    }
    None
}
