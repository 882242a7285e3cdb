//! Writing under a fence: each record of a run is written in one transaction with a check that the fences of all its
//! stacks are still those that it was given. Who was overtaken writes nothing more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rollback_release::{Operation, Store, StoreError, Transacted, Version, keys};
use serde::{Deserialize, Serialize};

use crate::error::{EngineError, Kind, Result};
use crate::lease::{self, Refused, Token};

/// The record of a fence: `projects/<project>/fences/<stack>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FenceRecord {
    pub number: Token,
    /// Who raised it: a run that took the lock, or the id of a release of somebody's lock.
    pub raised_by: String,
}

/// A stack's fence as it was given to a run.
#[derive(Clone, Debug)]
struct Guard {
    stack: String,
    key: String,
    token: Token,
    version: Version,
}

/// The fences of all stacks of a run. Clones share the knowledge that they are lost.
#[derive(Clone)]
pub struct Fence {
    store: Arc<dyn Store>,
    project: Arc<str>,
    guards: Arc<Vec<Guard>>,
    lost: Arc<AtomicBool>,
}

/// What a write under a fence has come to.
pub(crate) enum Fenced {
    Yes(Version),
    /// The fences are ours, and the record is not what was expected: this is there now.
    Conflict(Option<(Vec<u8>, Version)>),
}

impl Fence {
    /// `guards`: the stack, the value of its fence and the version of its fence's record.
    pub(crate) fn new(store: Arc<dyn Store>, project: &str, guards: Vec<(String, Token, Version)>) -> Self {
        let guards = guards
            .into_iter()
            .map(|(stack, token, version)| Guard {
                key: keys::fence(project, &stack),
                stack,
                token,
                version,
            })
            .collect();
        Fence {
            store,
            project: project.into(),
            guards: Arc::new(guards),
            lost: Arc::default(),
        }
    }

    /// The stacks with the values of their fences.
    pub fn tokens(&self) -> impl Iterator<Item = (&str, Token)> {
        self.guards.iter().map(|guard| (guard.stack.as_str(), guard.token))
    }

    /// Whether somebody else was seen to have a stack of this run.
    pub fn is_lost(&self) -> bool {
        self.lost.load(Ordering::SeqCst)
    }

    pub(crate) fn lose(&self) {
        self.lost.store(true, Ordering::SeqCst);
    }

    /// Writes a record where none is, if the fences are ours.
    ///
    /// # Errors
    /// Somebody has the lock of a stack by now ([`Kind::Locked`]); the store.
    pub(crate) fn create(&self, key: &str, value: &[u8]) -> Result<Fenced> {
        self.write(&[Operation::Create { key, value }], value)
    }

    /// Writes a record if it still is the version that was seen and the fences are ours.
    ///
    /// # Errors
    /// As [`Fence::create`].
    pub(crate) fn replace(&self, key: &str, expected: &Version, value: &[u8]) -> Result<Fenced> {
        self.write(&[Operation::Replace { key, expected, value }], value)
    }

    /// As [`Fence::replace`], together with another write: both or neither.
    ///
    /// # Errors
    /// As [`Fence::create`].
    pub(crate) fn replace_together(
        &self,
        key: &str,
        expected: &Version,
        value: &[u8],
        other: Operation<'_>,
    ) -> Result<Fenced> {
        self.write(&[Operation::Replace { key, expected, value }, other], value)
    }

    /// `value` is what the first of the writes writes: by it the whole is known to be done.
    fn write(&self, writes: &[Operation<'_>], value: &[u8]) -> Result<Fenced> {
        let mut operations: Vec<Operation<'_>> = self
            .guards
            .iter()
            .map(|guard| Operation::Check {
                key: &guard.key,
                expected: &guard.version,
            })
            .collect();
        operations.extend(writes);
        // A conditional write can be repeated as it is: what was done and not acknowledged is found in its place.
        let versions = match persistently(|| self.store.transact(&operations))? {
            Transacted::Yes(versions) => versions,
            Transacted::Refused { .. } => return self.refused(writes[0].key(), value),
        };
        let version = versions.into_iter().nth(self.guards.len());
        version
            .map(Fenced::Yes)
            .ok_or_else(|| EngineError::failed("the store did not tell what it wrote"))
    }

    fn refused(&self, key: &str, value: &[u8]) -> Result<Fenced> {
        let overtaken = self.overtaken()?;
        let found = persistently(|| self.store.get(key))?;
        let is_ours = found.as_ref().is_some_and(|(found, _)| found == value);
        match (lease::read_refusal(overtaken.is_none(), is_ours), found) {
            (Refused::DoneBefore, Some((_, version))) => Ok(Fenced::Yes(version)),
            (Refused::Overtaken, _) => {
                self.lose();
                Err(self.overtaken_error(overtaken.as_ref()))
            }
            (_, found) => Ok(Fenced::Conflict(found)),
        }
    }

    /// The first stack whose fence is not ours any more, with who raised it.
    fn overtaken(&self) -> Result<Option<(String, String)>> {
        for guard in self.guards.iter() {
            let found = persistently(|| self.store.get(&guard.key))?;
            match found {
                Some((_, version)) if version == guard.version => {}
                Some((bytes, _)) => {
                    let by = serde_json::from_slice(&bytes).map(|record: FenceRecord| record.raised_by);
                    return Ok(Some((guard.stack.clone(), by.unwrap_or_default())));
                }
                None => return Ok(Some((guard.stack.clone(), String::new()))),
            }
        }
        Ok(None)
    }

    fn overtaken_error(&self, overtaken: Option<&(String, String)>) -> EngineError {
        let (stack, by) = overtaken.map_or(("?", ""), |(stack, by)| (stack.as_str(), by.as_str()));
        let lock = crate::lock::read(self.store.as_ref(), &self.project, stack)
            .ok()
            .flatten();
        let who = match lock {
            Some((holder, _)) => format!("{} has it now", holder.describe()),
            None if by.is_empty() => "it was taken away".to_owned(),
            None => format!("it was taken away by {by}"),
        };
        EngineError::new(
            Kind::Locked,
            format!("stack {stack}: this run has lost its lock: {who}; this process writes and starts nothing more"),
        )
        .hint("`infra-rollback locks` says who works on what")
        .hint("`infra-rollback runs` says what became of this run; `resume` goes on with it where something is left")
    }
}

/// Repeats what may succeed a moment later.
pub(crate) fn persistently<T>(mut call: impl FnMut() -> Result<T, StoreError>) -> Result<T, StoreError> {
    for pause in [50, 250] {
        match call() {
            Err(error) if error.is_transient() => std::thread::sleep(Duration::from_millis(pause)),
            result => return result,
        }
    }
    call()
}
