//! Who works on a stack. The lock is a record in the store, made by create-if-absent; it names the run, the person
//! and the process, so that the one who is refused can ask. A lock whose process is dead on this very machine is
//! left over from a crash: it goes with its run, by `resume` or `abort`.

use jiff::Timestamp;
use rollback_release::{Created, Replaced, Store, Version};
use serde::{Deserialize, Serialize};

use crate::error::{EngineError, Kind, Result};
use crate::run::Runs;

/// A process, told apart from a later one of the same number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    pub pid: u32,
    pub start_time: String,
}

impl Process {
    /// This process.
    pub fn this() -> Process {
        let pid = std::process::id();
        Process {
            pid,
            start_time: rollback_terraform::start_time(pid).unwrap_or_default(),
        }
    }

    fn is_alive(&self) -> bool {
        rollback_terraform::start_time(self.pid).is_some_and(|start_time| start_time == self.start_time)
    }
}

/// The holder of a lock.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Holder {
    pub run: String,
    pub actor: String,
    pub host: String,
    pub process: Process,
    pub since: Timestamp,
    pub command: String,
}

impl Holder {
    /// Whether the holding process is known to be dead: only ever known for this machine.
    pub fn is_dead(&self) -> bool {
        self.host == host_name() && !self.process.is_alive()
    }

    pub fn describe(&self) -> String {
        format!(
            "run {} of {} (process {} on {}, since {:.0}, `{}`)",
            self.run, self.actor, self.process.pid, self.host, self.since, self.command
        )
    }
}

/// The name of this machine.
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The locks that a run holds; released when dropped.
pub struct Locks<'s> {
    store: &'s dyn Store,
    held: Vec<(String, Version)>,
}

fn key(project: &str, stack: &str) -> String {
    format!("projects/{project}/locks/{stack}")
}

impl<'s> Locks<'s> {
    /// Takes the locks of all named stacks for a run, or none of them.
    pub fn acquire(store: &'s dyn Store, project: &str, stacks: &[String], holder: &Holder) -> Result<Self> {
        let mut locks = Locks {
            store,
            held: Vec::new(),
        };
        let bytes = serde_json::to_vec(holder).map_err(|error| EngineError::failed(error.to_string()))?;
        // One order for everybody, so that two runs over several stacks cannot hold half each for ever.
        let mut names: Vec<&String> = stacks.iter().collect();
        names.sort();
        for stack in names {
            let key = key(project, stack);
            let version = locks.acquire_one(project, stack, &key, &bytes, holder)?;
            locks.held.push((key, version));
        }
        Ok(locks)
    }

    fn acquire_one(&self, project: &str, stack: &str, key: &str, bytes: &[u8], holder: &Holder) -> Result<Version> {
        // Twice: the holder may let go between our two looks.
        for _ in 0..3 {
            if let Created::Yes(version) = self.store.create(key, bytes)? {
                return Ok(version);
            }
            let Some((found, version)) = self.store.get(key)? else {
                continue;
            };
            let other: Holder = serde_json::from_slice(&found)
                .map_err(|error| EngineError::failed(format!("the lock {key} cannot be read: {error}")))?;
            if other.is_dead() {
                let run = Runs::new(self.store, project).get(&other.run)?;
                let unfinished = run.as_ref().is_some_and(|(run, _)| run.status.is_unfinished());
                if unfinished && other.run != holder.run {
                    return Err(EngineError::new(
                        Kind::Locked,
                        format!("stack {stack} is held by {}, which stopped halfway", other.describe()),
                    )
                    .hint(format!("`infra-rollback resume {}` finishes it", other.run))
                    .hint(format!("`infra-rollback abort {}` gives it up", other.run)));
                }
                if let Replaced::Yes(version) = self.store.replace(key, &version, bytes)? {
                    return Ok(version);
                }
                continue;
            }
            return Err(
                EngineError::new(Kind::Locked, format!("stack {stack} is locked by {}", other.describe()))
                    .hint("wait for it, or ask them; `infra-rollback locks` lists all"),
            );
        }
        Err(EngineError::new(
            Kind::Locked,
            format!("stack {stack} is locked by others in quick turns"),
        )
        .hint("try again"))
    }
}

impl Drop for Locks<'_> {
    fn drop(&mut self) {
        for (key, version) in self.held.drain(..).rev() {
            if let Err(error) = self.store.remove(&key, &version) {
                tracing::warn!(%key, %error, "the lock could not be released");
            }
        }
    }
}

/// All locks of a project.
pub fn list(store: &dyn Store, project: &str) -> Result<Vec<(String, Holder)>> {
    let prefix = key(project, "");
    let mut found = Vec::new();
    for key in store.list(&prefix, None, 10_000)? {
        let Some((bytes, _)) = store.get(&key)? else { continue };
        let holder = serde_json::from_slice(&bytes)
            .map_err(|error| EngineError::failed(format!("the lock {key} cannot be read: {error}")))?;
        found.push((key[prefix.len()..].to_owned(), holder));
    }
    Ok(found)
}
