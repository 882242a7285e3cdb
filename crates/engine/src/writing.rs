//! Replacing a live state, wherever it lies: under Terraform's own locks, from looking at what is there to the last byte that
//! is kept beside it. The lock's ID and the write are in the journal before they happen, so that whoever comes after a crash
//! gives back our lock and no other, and knows whether the write was done.

use rollback_state::State;
use rollback_terraform::{LockInfo, StateStorage, StoredState, TerraformError, Unlocked};
use sha2::{Digest, Sha256};

use crate::context::{Context, Stack};
use crate::error::{EngineError, Kind, Result};
use crate::journal::{Event, Journal};
use crate::live::Live;
use crate::terraform_error;

/// How the state is read that is replaced.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// As terraform reads it.
    Checked,
    /// Damaged or not: it goes.
    Whatever,
}

/// Replaces the state of a stack. `make` sees the bytes that are there under the lock (empty where there is no state) and
/// says what takes their place; with `None` nothing is written. True when something was.
///
/// # Errors
/// [`Kind::Halfway`] where it is not known whether the state was written, or the lock could not be given back. After any
/// other error nothing was written.
pub(crate) fn replace(
    context: &Context,
    stack: &str,
    live: &Live,
    reading: Reading,
    journal: &mut Journal<'_>,
    make: impl FnOnce(&[u8]) -> Result<Option<State>>,
) -> Result<bool> {
    let storage = live.storage(context)?;
    let info = lock_info(journal.run());
    if storage.lock_outlives_process() {
        journal.append(Event::StateLockIntended {
            stack: stack.to_owned(),
            lock: info.clone(),
        })?;
    }
    let result = match storage.lock(&info) {
        Ok(()) => under_lock(context, stack, storage, &info, reading, journal, make),
        Err(error) => Err(locked(stack, error)),
    };
    // Also where it was not taken: an answer may have been lost.
    match give_back(context, stack, storage, &info, journal) {
        Ok(()) => result,
        Err(error) => match result {
            // What went wrong first is what a person wants to know.
            Err(first) => Err(error
                .hints
                .into_iter()
                .fold(first, EngineError::hint)
                .kind(Kind::Halfway)),
            Ok(_) => Err(error.kind(Kind::Halfway)),
        },
    }
}

fn lock_info(run: &str) -> LockInfo {
    LockInfo {
        info: format!("infra-rollback, run {run}"),
        ..LockInfo::new("infra-rollback", std::path::Path::new(""))
    }
}

/// Says whose lock it is; one that a run of ours left behind is told apart.
fn locked(stack: &str, error: TerraformError) -> EngineError {
    let left_by = match &error {
        TerraformError::Locked {
            holder: Some(holder), ..
        } => holder.info.strip_prefix("infra-rollback, run ").map(str::to_owned),
        _ => None,
    };
    let error = terraform_error(error).during(format!("stack {stack}"));
    match left_by {
        Some(run) => error.hint(format!(
            "if that run was cut off, `infra-rollback resume {run}` or `infra-rollback abort {run}` gives its lock back"
        )),
        None => error,
    }
}

fn under_lock(
    context: &Context,
    stack: &str,
    storage: &dyn StateStorage,
    info: &LockInfo,
    reading: Reading,
    journal: &mut Journal<'_>,
    make: impl FnOnce(&[u8]) -> Result<Option<State>>,
) -> Result<bool> {
    let found = match reading {
        Reading::Checked => storage.read(),
        Reading::Whatever => storage.read_unchecked(),
    };
    let found = found.map_err(|error| terraform_error(error).during(format!("stack {stack}")))?;
    let before = found.as_ref().map(|state| state.bytes.as_slice()).unwrap_or_default();
    let Some(after) = make(before)? else {
        return Ok(false);
    };
    let from_blob = context.store.put_blob(before)?;
    let to_blob = context.store.put_blob_like(after.bytes(), Some(&from_blob))?;
    journal.append(Event::StateWriteIntended {
        stack: stack.to_owned(),
        from_sha256: hex::encode(Sha256::digest(before)),
        from_blob: from_blob.to_string(),
        to_sha256: after.sha256(),
        to_blob: to_blob.to_string(),
    })?;
    if let Err(error) = storage.write(after.bytes(), found.as_ref(), info) {
        was_it_written(stack, storage, &after, found.as_ref(), error)?;
    }
    journal.append(Event::StateWritten {
        stack: stack.to_owned(),
    })?;
    Ok(true)
}

/// A write that failed may have been done all the same: the answer was lost, or only what is kept beside is missing. As long
/// as the lock is ours, a look tells.
fn was_it_written(
    stack: &str,
    storage: &dyn StateStorage,
    after: &State,
    before: Option<&StoredState>,
    error: TerraformError,
) -> Result<()> {
    let not_written = matches!(
        error,
        TerraformError::ChangedMeanwhile { .. }
            | TerraformError::Locked { .. }
            | TerraformError::SerialTooLow { .. }
            | TerraformError::LineageMismatch { .. }
    );
    let error = terraform_error(error).during(format!("stack {stack}"));
    if not_written {
        return Err(error);
    }
    match storage.read_unchecked() {
        Ok(Some(now)) if now.bytes == after.bytes() => storage
            .mend(&now)
            .map_err(|second| error.hint(terraform_error(second).message).kind(Kind::Halfway)),
        Ok(now) if now.as_ref().map(|state| &state.bytes) == before.map(|state| &state.bytes) => Err(error),
        _ => Err(error.kind(Kind::Halfway)),
    }
}

fn give_back(
    context: &Context,
    stack: &str,
    storage: &dyn StateStorage,
    info: &LockInfo,
    journal: &mut Journal<'_>,
) -> Result<()> {
    let unlocked = storage.unlock(info).map_err(|error| {
        terraform_error(error)
            .during(format!("stack {stack}: its state's lock cannot be given back"))
            .hint(format!(
                "`terraform force-unlock {}` in the stack's folder gives the lock back by force",
                info.id
            ))
    })?;
    if journal.open_lock(stack).is_none() {
        return Ok(());
    }
    let written = matches!(journal.last_state_write(stack), Some((_, true)));
    if written && unlocked != Unlocked::Yes {
        context.observer.warning(&format!(
            "stack {stack}: somebody broke the lock on its state while it was written{}",
            match unlocked {
                Unlocked::HeldBy(holder) => format!("; it is held by {holder} now"),
                _ => String::new(),
            }
        ));
    }
    journal.append(Event::StateUnlocked {
        stack: stack.to_owned(),
        lock_id: info.id.clone(),
    })
}

/// After a crash: the lock that was left behind is taken up under its own ID, a write that was cut off is looked at and
/// mended, and the lock is given back. Locks of others stay.
///
/// # Errors
/// Somebody holds the lock by now, or the backend cannot be reached.
pub(crate) fn settle(context: &Context, stack: &Stack, journal: &mut Journal<'_>) -> Result<()> {
    let Some(info) = journal.open_lock(&stack.name).cloned() else {
        return Ok(());
    };
    let live = Live::unread(context, stack)?;
    let storage = live.storage(context)?;
    storage.lock(&info).map_err(|error| locked(&stack.name, error))?;
    let settled = settle_write(context, stack, storage, journal);
    give_back(context, &stack.name, storage, &info, journal)?;
    settled
}

fn settle_write(context: &Context, stack: &Stack, storage: &dyn StateStorage, journal: &mut Journal<'_>) -> Result<()> {
    let Some((Event::StateWriteIntended { to_sha256, .. }, false)) = journal.last_state_write(&stack.name) else {
        return Ok(());
    };
    let to_sha256 = to_sha256.clone();
    let found = storage.read_unchecked().map_err(terraform_error)?;
    if let Some(state) = found.filter(|state| hex::encode(Sha256::digest(&state.bytes)) == to_sha256) {
        storage.mend(&state).map_err(terraform_error)?;
        context.observer.warning(&format!(
            "stack {}: the write of its state was done, though nobody saw its end",
            stack.name
        ));
        journal.append(Event::StateWritten {
            stack: stack.name.clone(),
        })?;
    }
    Ok(())
}
