//! The checkout of one project that its clients bring. Each one brought is a folder of its own, so that what began with
//! an earlier one goes on with that; Git's objects are shared.

use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use rollback_repository::{CommitId, Mirror, Repository, RepositoryError};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::archive::{self, Brought};
use crate::problem::{self, Problem, Result};

/// After how long a checkout that is not the current one any more goes: no planning takes longer.
const KEPT: Duration = Duration::from_secs(6 * 60 * 60);
/// The file that names the current one.
const CURRENT: &str = "current.json";

/// A checkout, as it is on record beside it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Checkout {
    generation: String,
    name: String,
    /// The folder in it in which the person stood; empty for the top.
    pub folder: String,
    pub commit: String,
    pub brought_by: String,
    pub brought_at: Timestamp,
}

/// Those of one project.
pub struct Checkouts {
    folder: PathBuf,
    project: String,
    bringing: Arc<Mutex<()>>,
}

impl Checkouts {
    /// Below a folder of their own; `bringing` is held while one is brought.
    pub fn new(folder: PathBuf, project: &str, bringing: Arc<Mutex<()>>) -> Checkouts {
        Checkouts {
            folder,
            project: project.to_owned(),
            bringing,
        }
    }

    /// The one that was brought last.
    pub fn current(&self) -> Option<Checkout> {
        let bytes = std::fs::read(self.folder.join(CURRENT)).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Its top on disk.
    pub fn root(&self, checkout: &Checkout) -> PathBuf {
        self.folder.join(&checkout.generation).join(&checkout.name)
    }

    /// The commits that need not be brought again.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn known(&self) -> Result<Vec<CommitId>> {
        let folder = self.objects();
        match folder.is_dir() {
            true => Mirror::open(&folder).and_then(|mirror| mirror.known()).map_err(broken),
            false => Ok(Vec::new()),
        }
    }

    fn objects(&self) -> PathBuf {
        self.folder.join("objects.git")
    }

    /// Takes an archive in; it is the current checkout once `check` has nothing against it.
    ///
    /// # Errors
    /// Then the former one stays.
    pub fn bring(&self, bytes: &[u8], actor: &str, check: impl FnOnce(&Path) -> Result<()>) -> Result<Checkout> {
        let _alone = self.bringing.lock().unwrap_or_else(PoisonError::into_inner);
        private_folder(&self.folder).map_err(unwritable)?;
        let mirror = Mirror::open(&self.objects()).map_err(broken)?;
        let brought = archive::read(bytes, &mirror)?;
        let checkout = Checkout {
            generation: Uuid::now_v7().to_string(),
            name: brought.manifest.name.clone(),
            folder: brought.manifest.folder.clone(),
            commit: brought.head.to_string(),
            brought_by: actor.to_owned(),
            brought_at: Timestamp::now(),
        };
        let whole = self.folder.join(&checkout.generation);
        let made = self
            .make(&mirror, &brought, &self.root(&checkout))
            .and_then(|()| check(&self.root(&checkout).join(&checkout.folder)))
            .and_then(|()| self.make_current(&checkout).map_err(unwritable));
        if let Err(problem) = made {
            let _ = std::fs::remove_dir_all(&whole);
            return Err(problem);
        }
        self.remove_old(&checkout);
        Ok(checkout)
    }

    fn make(&self, mirror: &Mirror, brought: &Brought, root: &Path) -> Result<()> {
        let parent = root.parent().unwrap_or(root);
        private_folder(parent).map_err(unwritable)?;
        let branch = brought.manifest.branch.as_deref();
        mirror
            .check_out(root, &brought.head, branch, &brought.references)
            .map_err(broken)?;
        for path in &brought.manifest.deleted {
            let _ = std::fs::remove_file(root.join(path));
        }
        for (path, bytes) in &brought.files {
            write(root, path, bytes).map_err(|error| {
                Problem::new(&problem::NOT_A_CHECKOUT, format!("{path:?} cannot be written: {error}"))
            })?;
        }
        let project = Repository::open(root)
            .and_then(|made| made.root_commit())
            .map_err(broken)?;
        if project != self.project {
            return Err(Problem::new(
                &problem::NOT_A_CHECKOUT,
                format!("it is of project {project:.10}, not of {:.10}", self.project),
            ));
        }
        Ok(())
    }

    fn make_current(&self, checkout: &Checkout) -> std::io::Result<()> {
        let next = self.folder.join(format!("{CURRENT}.{}", checkout.generation));
        let mut file = private_file(&next)?;
        file.write_all(&serde_json::to_vec(checkout).unwrap_or_default())?;
        file.sync_all()?;
        std::fs::rename(next, self.folder.join(CURRENT))
    }

    fn remove_old(&self, current: &Checkout) {
        for entry in std::fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let generation = name.to_str().and_then(|name| Uuid::try_parse(name).ok());
            let Some(generation) = generation.filter(|one| one.to_string() != current.generation) else {
                continue;
            };
            let made = generation.get_timestamp().map_or(0, |time| time.to_unix().0);
            let age = Timestamp::now().as_second().saturating_sub_unsigned(made);
            if age > KEPT.as_secs() as i64
                && let Err(error) = std::fs::remove_dir_all(entry.path())
            {
                tracing::warn!(%error, "an old checkout cannot be removed");
            }
        }
    }
}

/// What the repository has to say of what was sent; what is ours is not told.
fn broken(error: RepositoryError) -> Box<Problem> {
    match error {
        RepositoryError::Git(error) => {
            tracing::error!(%error, "a checkout");
            Problem::new(&problem::NOT_A_CHECKOUT, "Git cannot make a checkout of it")
        }
        RepositoryError::Write { path, message } => {
            tracing::error!(path, message, "a checkout");
            unwritable(std::io::Error::other("a file"))
        }
        other => {
            let hint = other.hint();
            let problem = Problem::new(&problem::NOT_A_CHECKOUT, other.to_string());
            match hint {
                Some(hint) => problem.hint(hint),
                None => problem,
            }
        }
    }
}

fn unwritable(error: std::io::Error) -> Box<Problem> {
    tracing::error!(%error, "the folder of checkouts");
    Problem::new(
        &problem::UNAVAILABLE,
        "the service's folder of checkouts cannot be written now",
    )
}

/// Writes below a folder in which there is no link: it was made from regular files alone.
fn write(root: &Path, path: &str, bytes: &[u8]) -> std::io::Result<()> {
    let target = root.join(path);
    if let Some(parent) = target.parent() {
        private_folder(parent)?;
    }
    match std::fs::remove_file(&target) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    private_file(&target)?.write_all(bytes)
}

fn private_folder(path: &Path) -> std::io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn private_file(path: &Path) -> std::io::Result<std::fs::File> {
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}
