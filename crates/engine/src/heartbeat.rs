//! The renewal of a run's locks while it works, and their release. A renewal replaces what one has written oneself, and
//! never makes anything anew: a lock that is gone is lost.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::Timestamp;
use rollback_release::{MAXIMUM_OPERATIONS, Operation, Replaced, Store, Transacted, Version, keys};

use crate::error::{EngineError, Kind, Result};
use crate::fence::{Fence, persistently};
use crate::holder::Holder;
use crate::lease;

/// A lock that is held, as it was last written.
pub(crate) struct Held {
    pub holder: Holder,
    pub lock_key: String,
    pub fence_key: String,
    pub version: Version,
    pub fence_version: Version,
}

impl Held {
    /// Before it is written.
    pub(crate) fn new(project: &str, holder: Holder) -> Self {
        Held {
            lock_key: keys::lock(project, &holder.stack),
            fence_key: keys::fence(project, &holder.stack),
            holder,
            version: Version::new(""),
            fence_version: Version::new(""),
        }
    }

    pub(crate) fn bytes(&self) -> Result<Vec<u8>> {
        crate::lock::to_bytes(&self.holder)
    }
}

struct Shared {
    store: Arc<dyn Store>,
    project: String,
    held: Mutex<Vec<Held>>,
    fence: Fence,
    stopped: Mutex<bool>,
    wake: Condvar,
}

/// Renews until it is dropped, and then releases.
pub(crate) struct Heartbeat {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

fn enter<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Heartbeat {
    pub(crate) fn start(store: Arc<dyn Store>, project: &str, held: Vec<Held>, lease: Duration) -> Self {
        let guards = held
            .iter()
            .map(|held| (held.holder.stack.clone(), held.holder.fence, held.fence_version.clone()))
            .collect();
        let shared = Arc::new(Shared {
            fence: Fence::new(Arc::clone(&store), project, guards),
            store,
            project: project.to_owned(),
            held: Mutex::new(held),
            stopped: Mutex::new(false),
            wake: Condvar::new(),
        });
        let beating = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("heartbeat".to_owned())
            .spawn(move || beating.beat(lease));
        let thread = match thread {
            Ok(thread) => Some(thread),
            Err(error) => {
                // The fence protects all the same; only the lease can be called over.
                tracing::warn!(%error, "the locks are not renewed");
                None
            }
        };
        Heartbeat { shared, thread }
    }

    pub(crate) fn fence(&self) -> Fence {
        self.shared.fence.clone()
    }

    pub(crate) fn renew(&self, mark_applying: bool) -> Result<()> {
        self.shared.renew(mark_applying)
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        *enter(&self.shared.stopped) = true;
        self.shared.wake.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let held = std::mem::take(&mut *enter(&self.shared.held));
        release(self.shared.store.as_ref(), &self.shared.project, &held);
    }
}

impl Shared {
    fn beat(&self, lease: Duration) {
        let interval = lease::beat_interval(lease);
        let mut pause = interval;
        loop {
            let stopped = enter(&self.stopped);
            let waited = self.wake.wait_timeout_while(stopped, pause, |stopped| !*stopped);
            if waited.is_ok_and(|(stopped, _)| *stopped) {
                return;
            }
            match self.renew(false) {
                Ok(()) => pause = interval,
                Err(error) if self.fence.is_lost() => {
                    tracing::warn!(%error, "a lock is lost");
                    return;
                }
                Err(error) => {
                    tracing::warn!(%error, "the locks could not be renewed; trying again");
                    pause = interval / 4;
                }
            }
        }
    }

    fn renew(&self, mark_applying: bool) -> Result<()> {
        let mut held = enter(&self.held);
        for chunk in held.chunks_mut(MAXIMUM_OPERATIONS) {
            // Twice: the first refusal may be a renewal of ours whose answer was lost.
            if !self.renew_chunk(chunk, mark_applying)? && !self.renew_chunk(chunk, mark_applying)? {
                return Err(EngineError::new(
                    Kind::Locked,
                    "the locks were changed by somebody else meanwhile",
                ));
            }
        }
        Ok(())
    }

    /// False: they are ours, in another version than was known.
    fn renew_chunk(&self, chunk: &mut [Held], mark_applying: bool) -> Result<bool> {
        let mut renewed = Vec::new();
        for held in chunk.iter() {
            let mut holder = held.holder.clone();
            holder.beats += 1;
            holder.last_beat_at = Some(Timestamp::now());
            holder.applying |= mark_applying;
            let bytes = crate::lock::to_bytes(&holder)?;
            renewed.push((holder, bytes));
        }
        let operations: Vec<Operation<'_>> = chunk
            .iter()
            .zip(&renewed)
            .map(|(held, (_, bytes))| Operation::Replace {
                key: &held.lock_key,
                expected: &held.version,
                value: bytes,
            })
            .collect();
        if let Transacted::Yes(versions) = persistently(|| self.store.transact(&operations))? {
            for ((held, (holder, _)), version) in chunk.iter_mut().zip(renewed).zip(versions) {
                held.holder = holder;
                held.version = version;
            }
            return Ok(true);
        }
        for held in chunk {
            match crate::lock::read(self.store.as_ref(), &self.project, &held.holder.stack)? {
                Some((found, version)) if found.nonce == held.holder.nonce => {
                    held.holder = found;
                    held.version = version;
                }
                found => {
                    self.fence.lose();
                    let who = found.map_or_else(
                        || "nobody has it now".to_owned(),
                        |(holder, _)| format!("{} has it now", holder.describe()),
                    );
                    return Err(EngineError::new(
                        Kind::Locked,
                        format!("stack {}: this run has lost its lock: {who}", held.holder.stack),
                    )
                    .hint("`infra-rollback locks` says who works on what"));
                }
            }
        }
        Ok(false)
    }
}

/// Removes locks that are ours, and no others.
pub(crate) fn release(store: &dyn Store, project: &str, held: &[Held]) {
    for held in held.iter().rev() {
        if let Err(error) = release_one(store, project, held) {
            tracing::warn!(stack = %held.holder.stack, %error, "the lock could not be released");
        }
    }
}

fn release_one(store: &dyn Store, project: &str, held: &Held) -> Result<()> {
    if let Replaced::Yes(_) = persistently(|| store.remove(&held.lock_key, &held.version))? {
        return Ok(());
    }
    // It is gone, or somebody else's, or a renewal of ours whose answer was lost.
    if let Some((found, version)) = crate::lock::read(store, project, &held.holder.stack)?
        && found.nonce == held.holder.nonce
    {
        let _ = persistently(|| store.remove(&held.lock_key, &version))?;
    }
    Ok(())
}
