//! Who works on a stack: `projects/<project>/locks/<stack>`, taken together with the stack's fence, renewed by a
//! [`crate::heartbeat`], removed only by the one who wrote it. The rules are in [`crate::lease`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rollback_release::{MAXIMUM_OPERATIONS, Operation, Store, StoreError, Transacted, Version, all_entries, keys};
use uuid::Uuid;

use crate::error::{EngineError, Kind, Result};
use crate::fence::{Fence, FenceRecord, persistently};
use crate::heartbeat::{Heartbeat, Held};
use crate::holder::{Holder, Machine, Process};
use crate::lease::{self, Grant, Precondition, Refusal, Seen, SeenLock, Watch};
use crate::run::Runs;

/// For how long a lock must stand still before anybody may call its holder gone. Long enough for a slow network, short
/// enough to be waited for.
pub const LEASE: Duration = Duration::from_secs(30);

/// Each write of a run checks the fences of all its stacks, and writes its record or an entry of its journal, at times
/// together with an approval.
const MAXIMUM_STACKS: usize = MAXIMUM_OPERATIONS - 2;

/// Who wants locks, and how.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    pub run: &'a str,
    pub actor: &'a str,
    pub command: &'a str,
    /// What this lock's own lease shall be.
    pub lease: Duration,
    /// For how long to wait for others; not at all by default.
    pub timeout: Duration,
    /// A person vouches that the former process of this run, on another machine, and its Terraform are dead.
    pub vouched: bool,
}

/// The locks that a run holds; released when dropped.
pub struct Locks {
    heartbeat: Heartbeat,
}

/// A lock that stands in the way.
struct InTheWay {
    stack: String,
    refusal: Refusal,
    holder: Holder,
    version: Version,
}

enum Attempt {
    Taken(Vec<Held>),
    InTheWay(Box<InTheWay>),
    /// Somebody wrote between the look and the write.
    Interfered,
}

/// A lock as it is in the store.
pub(crate) fn read(store: &dyn Store, project: &str, stack: &str) -> Result<Option<(Holder, Version)>> {
    let key = keys::lock(project, stack);
    let Some((bytes, version)) = persistently(|| store.get(&key))? else {
        return Ok(None);
    };
    Ok(Some((parse(&key, stack, &bytes)?, version)))
}

fn parse(key: &str, stack: &str, bytes: &[u8]) -> Result<Holder> {
    let mut holder: Holder = serde_json::from_slice(bytes)
        .map_err(|error| EngineError::failed(format!("the lock {key} cannot be read: {error}")))?;
    if holder.stack.is_empty() {
        stack.clone_into(&mut holder.stack);
    }
    Ok(holder)
}

impl Locks {
    /// Takes the locks of all named stacks for a run, or none of them. `waiting` hears once whom it waits for.
    ///
    /// # Errors
    /// [`Kind::Locked`]: somebody holds one of them. [`Kind::Usage`]: more stacks than one transaction can check.
    pub fn acquire(
        store: &Arc<dyn Store>,
        project: &str,
        stacks: &[String],
        wanted: &Wanted<'_>,
        waiting: &dyn Fn(&str, &Holder),
    ) -> Result<Self> {
        if stacks.len() > MAXIMUM_STACKS {
            return Err(EngineError::usage(format!(
                "one run can work on {MAXIMUM_STACKS} stacks at most; these are {}",
                stacks.len()
            ))
            .hint("choose fewer with --stack NAME"));
        }
        // One order for everybody, so that two runs over several stacks do not hold half each in turns.
        let mut names: Vec<&str> = stacks.iter().map(String::as_str).collect();
        names.sort_unstable();
        let began = Instant::now();
        let mut watches: BTreeMap<String, Watch<Version>> = BTreeMap::new();
        let mut told = false;
        let mut interfered = 0;
        loop {
            let mut held: Vec<Held> = Vec::new();
            let mut in_the_way = None;
            for chunk in names.chunks(MAXIMUM_OPERATIONS / 2) {
                let attempt = attempt(store.as_ref(), project, chunk, wanted, &mut watches, began);
                match attempt {
                    Ok(Attempt::Taken(taken)) => held.extend(taken),
                    Ok(Attempt::InTheWay(found)) => {
                        in_the_way = Some(Some(found));
                        break;
                    }
                    Ok(Attempt::Interfered) => {
                        in_the_way = Some(None);
                        break;
                    }
                    Err(error) => {
                        crate::heartbeat::release(store.as_ref(), project, &held);
                        return Err(error);
                    }
                }
            }
            let Some(in_the_way) = in_the_way else {
                return Ok(Locks {
                    heartbeat: Heartbeat::start(Arc::clone(store), project, held, wanted.lease),
                });
            };
            crate::heartbeat::release(store.as_ref(), project, &held);
            let is_late = began.elapsed() >= wanted.timeout;
            let Some(found) = in_the_way else {
                interfered += 1;
                if interfered >= 5 && is_late {
                    return Err(EngineError::new(
                        Kind::Locked,
                        format!("stack {} is locked by others in quick turns", names.join(", ")),
                    )
                    .hint("try again, or wait with --lock-timeout 30s"));
                }
                // Each a little later than the others, by what its process drew.
                std::thread::sleep(Duration::from_millis(u64::from(Uuid::new_v4().as_bytes()[0] % 16)));
                continue;
            };
            if found.refusal == Refusal::NeedsReconcile {
                // A note for others: who asks is told in any case.
                if let Err(error) = mark_needs_reconcile(store.as_ref(), project, &found) {
                    tracing::warn!(%error, run = %found.holder.run, "it could not be noted that the run needs to be reconciled");
                }
            }
            if found.refusal != Refusal::Held || is_late {
                return Err(refused(&found, wanted));
            }
            if !told {
                told = true;
                waiting(&found.stack, &found.holder);
            }
            let lease = Duration::from_millis(found.holder.lease_milliseconds);
            let left = wanted.timeout.saturating_sub(began.elapsed());
            std::thread::sleep(lease::look_interval(lease).min(left));
        }
    }

    /// The fences that were given with these locks.
    pub fn fence(&self) -> Fence {
        self.heartbeat.fence()
    }

    /// Marks the locks: from now on effects may happen, and nobody but the same run may take them over.
    ///
    /// # Errors
    /// They are lost; the store.
    pub fn mark_applying(&self) -> Result<()> {
        self.heartbeat.renew(true)
    }

    /// Renews the locks now.
    ///
    /// # Errors
    /// They are lost; the store.
    pub fn renew(&self) -> Result<()> {
        self.heartbeat.renew(false)
    }
}

/// Looks at all stacks, and takes them in one transaction where nobody stands in the way.
fn attempt(
    store: &dyn Store,
    project: &str,
    stacks: &[&str],
    wanted: &Wanted<'_>,
    watches: &mut BTreeMap<String, Watch<Version>>,
    began: Instant,
) -> Result<Attempt> {
    let nonce = Uuid::new_v4().to_string();
    let mut writes: Vec<(Held, Grant<Version>)> = Vec::new();
    for stack in stacks {
        let asked = began.elapsed();
        let lock = read(store, project, stack)?;
        let answered = began.elapsed();
        let fence = read_fence(store, project, stack)?;
        let applying = match &lock {
            // Killed after its end was on record: nothing of it is going on any more.
            Some((holder, _)) if holder.applying && holder.run != wanted.run => {
                !Runs::new(store, project).is_over(&holder.run)?
            }
            Some((holder, _)) => holder.applying,
            None => false,
        };
        let seen = Seen {
            lock: lock.as_ref().map(|(holder, version)| {
                let lease = Duration::from_millis(holder.lease_milliseconds).max(Duration::from_millis(1));
                let still = watches
                    .entry((*stack).to_owned())
                    .or_default()
                    .look(version.clone(), asked, answered);
                SeenLock {
                    version: version.clone(),
                    applying,
                    life: holder.life(),
                    // A record of before there were leases is never renewed: standing still says nothing about it.
                    expired: holder.lease_milliseconds > 0 && still >= lease,
                    same_run: holder.run == wanted.run,
                }
            }),
            fence: fence.as_ref().map(|(record, version)| (record.number, version.clone())),
        };
        let grant = match (lease::take(&seen, wanted.vouched), lock) {
            (Ok(grant), _) => grant,
            (Err(refusal), Some((holder, version))) => {
                return Ok(Attempt::InTheWay(Box::new(InTheWay {
                    stack: (*stack).to_owned(),
                    refusal,
                    holder,
                    version,
                })));
            }
            (Err(_), None) => return Ok(Attempt::Interfered),
        };
        let now = Timestamp::now();
        let holder = Holder {
            stack: (*stack).to_owned(),
            run: wanted.run.to_owned(),
            actor: wanted.actor.to_owned(),
            machine: Machine::this(),
            process: Process::this(),
            since: now,
            command: wanted.command.to_owned(),
            nonce: nonce.clone(),
            fence: grant.token,
            lease_milliseconds: u64::try_from(wanted.lease.as_millis()).unwrap_or(u64::MAX),
            beats: 0,
            last_beat_at: Some(now),
            applying: grant.applying,
        };
        writes.push((Held::new(project, holder), grant));
    }
    write(store, project, writes)
}

pub(crate) fn read_fence(store: &dyn Store, project: &str, stack: &str) -> Result<Option<(FenceRecord, Version)>> {
    let key = keys::fence(project, stack);
    let Some((bytes, version)) = persistently(|| store.get(&key))? else {
        return Ok(None);
    };
    let record = serde_json::from_slice(&bytes)
        .map_err(|error| EngineError::failed(format!("the fence {key} cannot be read: {error}")))?;
    Ok(Some((record, version)))
}

fn write(store: &dyn Store, project: &str, mut writes: Vec<(Held, Grant<Version>)>) -> Result<Attempt> {
    let bytes: Vec<(Vec<u8>, Vec<u8>)> = writes
        .iter()
        .map(|(held, grant)| {
            let fence = FenceRecord {
                number: grant.token,
                raised_by: format!("run {}", held.holder.run),
            };
            Ok((held.bytes()?, to_bytes(&fence)?))
        })
        .collect::<Result<_>>()?;
    let mut operations = Vec::new();
    for ((held, grant), (lock, fence)) in writes.iter().zip(&bytes) {
        operations.push(conditional(&grant.lock, &held.lock_key, lock));
        operations.push(conditional(&grant.fence, &held.fence_key, fence));
    }
    let answer: Result<Transacted, StoreError> = store.transact(&operations);
    drop(operations);
    match answer {
        Ok(Transacted::Yes(versions)) => {
            for ((held, _), versions) in writes.iter_mut().zip(versions.chunks(2)) {
                held.version = versions[0].clone();
                held.fence_version = versions[1].clone();
            }
        }
        // Done all the same, where the answer was lost: then all of the locks carry our nonce.
        Ok(Transacted::Refused { .. }) | Err(_) => {
            for (held, _) in &mut writes {
                let lock = read(store, project, &held.holder.stack)?;
                let fence = read_fence(store, project, &held.holder.stack)?;
                match (lock, fence) {
                    (Some((lock, version)), Some((fence, fence_version)))
                        if lock.nonce == held.holder.nonce && fence.number == held.holder.fence =>
                    {
                        held.version = version;
                        held.fence_version = fence_version;
                    }
                    _ => {
                        return match answer {
                            Err(error) if !error.is_transient() => Err(error.into()),
                            _ => Ok(Attempt::Interfered),
                        };
                    }
                }
            }
        }
    }
    Ok(Attempt::Taken(writes.into_iter().map(|(held, _)| held).collect()))
}

fn conditional<'a>(precondition: &'a Precondition<Version>, key: &'a str, value: &'a [u8]) -> Operation<'a> {
    match precondition {
        Precondition::Absent => Operation::Create { key, value },
        Precondition::Is(expected) => Operation::Replace { key, expected, value },
    }
}

pub(crate) fn to_bytes<T: serde::Serialize>(value: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| EngineError::failed(error.to_string()))
}

/// Notes in the run's record that its holder has fallen silent while it applied. The lock stays as it is: should the
/// holder wake up, it goes on.
fn mark_needs_reconcile(store: &dyn Store, project: &str, found: &InTheWay) -> Result<()> {
    let runs = Runs::new(store, project);
    if let Some((run, version)) = runs.get(&found.holder.run)? {
        runs.mark_needs_reconcile(run, &version, &keys::lock(project, &found.stack), &found.version)?;
    }
    Ok(())
}

fn refused(found: &InTheWay, wanted: &Wanted<'_>) -> EngineError {
    let stack = &found.stack;
    let holder = &found.holder;
    let who = holder.describe();
    let run = &holder.run;
    let here = holder.machine.is_this();
    let error = |text: String| EngineError::new(Kind::Locked, text);
    match found.refusal {
        Refusal::StoppedHalfway => error(format!("stack {stack} is held by {who}, which stopped halfway"))
            .hint(format!("`infra-rollback resume {run}` finishes it"))
            .hint(format!("`infra-rollback undo {run}` goes back to before it"))
            .hint(format!("`infra-rollback abort {run}` gives it up")),
        Refusal::NeedsReconcile => {
            let error = error(format!(
                "stack {stack} is held by {who}, which was applying and has not been heard of for its whole lease: the run \
                 needs to be reconciled, and nobody else may touch the stack until then"
            ));
            let error = if here {
                error.hint(format!(
                    "process {} on this machine still exists: let it go on, or end it",
                    holder.process.pid
                ))
            } else {
                error
            };
            error
                .hint(format!("`infra-rollback resume {run}` on {} finishes it", holder.machine.host))
                .hint(format!(
                    "where that machine is gone: `infra-rollback resume {run} --holder-is-dead REASON`, when you know that \
                     neither it nor its terraform runs"
                ))
        }
        Refusal::Unproven => error(format!(
            "run {run} is held by {who} on another machine, and it cannot be seen from here whether that process and the \
             terraform that it started are dead"
        ))
        .hint(format!("resume it on {}", holder.machine.host))
        .hint("or make sure that both are dead and say so: --holder-is-dead REASON; it goes on record"),
        Refusal::Held => {
            let error = error(format!("stack {stack} is locked by {who}"))
                .hint("wait for it (--lock-timeout 5m), or ask them; `infra-rollback locks` lists all");
            if holder.life() == lease::Life::Unknown && wanted.timeout.is_zero() {
                error.hint(format!(
                    "should it be gone: --lock-timeout {}s waits until its lease is over; `infra-rollback locks release \
                     {stack} --reason TEXT` takes the lock away",
                    holder.lease_milliseconds.div_ceil(1000) + 5
                ))
            } else {
                error
            }
        }
    }
}

/// Removes a lock that is still as it was read, of a holder that is dead.
pub(crate) fn release_of_dead(store: &dyn Store, project: &str, dead: &Holder) -> Result<()> {
    if let Some((holder, version)) = read(store, project, &dead.stack)?
        && holder.nonce == dead.nonce
    {
        let _ = persistently(|| store.remove(&keys::lock(project, &dead.stack), &version))?;
    }
    Ok(())
}

/// All locks of a project, in the order of stacks.
pub fn list(store: &dyn Store, project: &str) -> Result<Vec<Holder>> {
    let prefix = keys::in_project(project, "locks/");
    all_entries(store, &prefix)?
        .into_iter()
        .map(|entry| parse(&entry.key, &entry.key[prefix.len()..], &entry.value))
        .collect()
}
