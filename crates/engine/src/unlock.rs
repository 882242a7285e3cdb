//! `locks release`: a person takes a lock away from its holder. Who and why go on record in the very transaction that
//! raises the fence, under the project and in the run's journal; from then on the former holder writes nothing more.

use jiff::Timestamp;
use rollback_release::{Operation, Transacted, keys};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::context::Context;
use crate::error::{EngineError, Kind, Result};
use crate::fence::{FenceRecord, persistently};
use crate::holder::Holder;
use crate::journal::{Event, Journal};
use crate::lease::{self, Life, Token};
use crate::lock::{read, read_fence, to_bytes};
use crate::run::{Runs, Status};

/// The record of a lock that was taken away.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LockRelease {
    pub id: String,
    pub stack: String,
    pub at: Timestamp,
    /// Who took it away.
    pub by: String,
    pub command: String,
    pub reason: String,
    pub forced: bool,
    /// The value of the fence from then on.
    pub fence: Token,
    /// From whom.
    pub holder: Holder,
}

/// What is known of a lock that somebody wants to take away.
pub struct Examined {
    pub holder: Holder,
    /// Whether a Terraform that its run has started may still work.
    pub child_may_live: bool,
}

/// That nobody works on a stack.
pub fn not_locked(stack: &str) -> EngineError {
    EngineError::failed(format!("stack {stack} is not locked")).hint("`infra-rollback locks` lists all locks")
}

/// Looks at a lock; `None` where the stack is not locked, for which there are the words of [`not_locked`].
///
/// # Errors
/// The store cannot be read, or the record of the lock is damaged.
pub fn examine(context: &Context, stack: &str) -> Result<Option<Examined>> {
    let Some((holder, _)) = read(context.store.as_ref(), &context.project, stack)? else {
        return Ok(None);
    };
    let journal = Journal::open(context.store.as_ref(), &context.project, &holder.run)?;
    let child_may_live = journal.open_child(stack).is_some_and(|child| {
        let elsewhere = journal
            .machine_of_open_child(stack)
            .is_some_and(|machine| !machine.is_this());
        elsewhere || child.is_alive()
    });
    Ok(Some(Examined { holder, child_may_live }))
}

/// Takes a lock away.
///
/// # Errors
/// [`Kind::Refused`]: its run applies and is not known to be dead, and `forced` is not said.
pub fn release(context: &Context, stack: &str, reason: &str, forced: bool) -> Result<LockRelease> {
    // Each attempt starts from what is there; a holder that writes at the same moment comes first.
    for _ in 0..10 {
        let examined = examine(context, stack)?.ok_or_else(|| not_locked(stack))?;
        let Some(release) = attempt(context, stack, reason, forced, &examined)? else {
            continue;
        };
        return Ok(release);
    }
    Err(EngineError::new(
        Kind::Locked,
        format!("the records of stack {stack} change all the time: its holder is at work"),
    ))
}

fn attempt(
    context: &Context,
    stack: &str,
    reason: &str,
    forced: bool,
    examined: &Examined,
) -> Result<Option<LockRelease>> {
    let store = context.store.as_ref();
    let project = &context.project;
    let Some((holder, lock_version)) = read(store, project, stack)? else {
        return Ok(None);
    };
    if !lease::may_release(holder.applying, holder.life(), examined.child_may_live, forced) {
        return Err(refused(stack, &holder, examined.child_may_live));
    }
    let id = Uuid::now_v7().to_string();
    let fence = read_fence(store, project, stack)?;
    let number = fence.as_ref().map_or(holder.fence, |(fence, _)| fence.number) + 1;
    let release = LockRelease {
        id: id.clone(),
        stack: stack.to_owned(),
        at: Timestamp::now(),
        by: context.actor.clone(),
        command: context.command.clone(),
        reason: reason.to_owned(),
        forced,
        fence: number,
        holder,
    };
    let keys = [
        keys::lock(project, stack),
        keys::fence(project, stack),
        keys::lock_release(project, &id),
    ];
    let fence_bytes = to_bytes(&FenceRecord {
        number,
        raised_by: format!("{} (`locks release`: {reason})", context.actor),
    })?;
    let release_bytes = to_bytes(&release)?;
    let mut operations = vec![
        Operation::Remove {
            key: &keys[0],
            expected: &lock_version,
        },
        match &fence {
            Some((_, expected)) => Operation::Replace {
                key: &keys[1],
                expected,
                value: &fence_bytes,
            },
            None => Operation::Create {
                key: &keys[1],
                value: &fence_bytes,
            },
        },
        Operation::Create {
            key: &keys[2],
            value: &release_bytes,
        },
    ];
    // The run hears of it where it has a record; what it was doing is now to be found out.
    let runs = Runs::new(store, project);
    let run = runs.get(&release.holder.run)?;
    let entry = Journal::open(store, project, &release.holder.run)?.next(Event::LockReleased {
        stack: stack.to_owned(),
        by: context.actor.clone(),
        reason: reason.to_owned(),
        forced,
    });
    let entry_key = keys::journal_step(project, &release.holder.run, entry.sequence);
    let entry_bytes = to_bytes(&entry)?;
    let run_key = keys::run_record(project, &release.holder.run);
    let mut run_bytes = Vec::new();
    if let Some((run, version)) = &run {
        operations.push(Operation::Create {
            key: &entry_key,
            value: &entry_bytes,
        });
        if run.status == Status::Applying {
            let mut run = run.clone();
            run.status = Status::NeedsReconcile;
            run_bytes = to_bytes(&run)?;
            operations.push(Operation::Replace {
                key: &run_key,
                expected: version,
                value: &run_bytes,
            });
        }
    }
    let answer = store.transact(&operations);
    drop(operations);
    drop(run_bytes);
    match answer {
        Ok(Transacted::Yes(_)) => Ok(Some(release)),
        // Our own record is there where the answer was lost.
        Ok(Transacted::Refused { .. }) | Err(_) => match persistently(|| store.get(&keys[2]))? {
            Some(_) => Ok(Some(release)),
            None => match answer {
                Err(error) if !error.is_transient() => Err(error.into()),
                _ => Ok(None),
            },
        },
    }
}

fn refused(stack: &str, holder: &Holder, child_may_live: bool) -> EngineError {
    let why = match (holder.life(), child_may_live) {
        (Life::Alive, _) => "its run applies and its process lives",
        (_, true) => "its run was applying and the terraform that it started may still work",
        (Life::Dead, _) | (Life::Unknown, false) => {
            "its run was applying, and whether its process is dead cannot be seen from here"
        }
    };
    let error = EngineError::refused(format!(
        "the lock of stack {stack} is not taken away: {why}. It is held by {}",
        holder.describe()
    ));
    let error = match holder.life() {
        Life::Alive => error.hint(format!("wait for process {}, or end it first", holder.process.pid)),
        _ => error.hint(format!("look on {}", holder.machine.host)),
    };
    error
        .hint(format!(
            "`infra-rollback resume {}` or `abort` take the lock over in good order",
            holder.run
        ))
        .hint("when you are sure that nothing of it works any more: --force; it goes on record")
}
