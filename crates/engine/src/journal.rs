//! The journal of a run: each intent is written before its effect, so that whoever comes after a crash knows
//! what may have happened. Entries are only ever added.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use rollback_release::{Store, all_entries, keys};
use rollback_runbook::checks::Verification;
use rollback_runbook::notify::Phase;
use rollback_terraform::{ChildRecord, LockInfo};
use serde::{Deserialize, Serialize};

use crate::envelope::Envelope;
use crate::error::{EngineError, Result};
use crate::fence::{Fence, Fenced, persistently};
use crate::holder::Machine;
use crate::lease::Token;
use crate::lock::to_bytes;
use crate::steps::StepEnvelope;

/// What was about to happen, or has happened.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    Started {
        command: String,
        #[serde(default)]
        attempt: Attempt,
    },
    Resumed {
        actor: String,
        #[serde(default)]
        attempt: Attempt,
    },
    /// A person vouches that the process that held the run, which cannot be seen from here, and its Terraform are dead.
    HolderDeclaredDead {
        by: String,
        reason: String,
    },
    /// A person took the lock of a stack away from this run.
    LockReleased {
        stack: String,
        by: String,
        reason: String,
        /// Against what could be seen: that is a word for the death of what it had started.
        forced: bool,
    },
    /// A release of what was there before.
    BackupTaken {
        release: String,
    },
    Planned {
        stack: String,
        summary: String,
        envelope: Envelope,
    },
    /// A soft-mandatory rule of the policy said no, and somebody said yes all the same.
    PolicyOverridden {
        stack: String,
        rule: String,
        by: String,
        reason: String,
    },
    /// Somebody went ahead without the approvals that are asked for.
    GlassBroken {
        digest: String,
        by: String,
        reason: String,
    },
    Approved {
        digest: String,
        by: String,
        how: String,
    },
    /// Terraform's own lock on a remote state is about to be taken, under this ID.
    StateLockIntended {
        stack: String,
        lock: LockInfo,
    },
    /// That lock is given back, or somebody broke it.
    StateUnlocked {
        stack: String,
        lock_id: String,
    },
    /// What a step is to do.
    StepPlanned {
        envelope: Box<StepEnvelope>,
    },
    /// A step is about to be done.
    StepIntended {
        step: String,
    },
    /// It is where it was to go.
    StepDone {
        step: String,
        /// Where it is now, as JSON text.
        now: String,
        milliseconds: u64,
    },
    /// Terraform's state of a stack was told what a step has put in an object's place.
    TerraformTold {
        stack: String,
        step: String,
        address: String,
    },
    StepFailed {
        step: String,
        why: String,
        /// It is certain that it changed nothing.
        untouched: bool,
    },
    /// The live state is about to be replaced by the joined one.
    StateWriteIntended {
        stack: String,
        from_sha256: String,
        from_blob: String,
        to_sha256: String,
        to_blob: String,
    },
    StateWritten {
        stack: String,
    },
    /// Terraform is about to be started on the approved plan file.
    ApplyIntended {
        stack: String,
        plan_sha256: String,
        folder: String,
    },
    ApplyStarted {
        stack: String,
        child: ChildRecord,
    },
    Applied {
        stack: String,
        succeeded: bool,
        /// An integer: serde_json's exact numbers do not survive a flattened enum otherwise.
        milliseconds: u64,
        summary: String,
    },
    /// Terraform touched nothing, and the state is what it was before: this stack has no effect of the run.
    TakenBack {
        stack: String,
    },
    /// A state that Terraform could not store was found and stored.
    ErroredStateRecovered {
        stack: String,
        sha256: String,
    },
    /// A plan of the target's configuration over what came out; 0 is the promise kept.
    Verified {
        stack: String,
        changes_left: usize,
    },
    StackDone {
        stack: String,
    },
    /// A stack that was done has changes again, now that those which it reads are back.
    Reopened {
        stack: String,
    },
    ResultTaken {
        release: String,
    },
    /// The checks were asked.
    Checked {
        moment: CheckMoment,
        verification: Verification,
    },
    /// A person wants to go without what the checks say.
    ChecksSkipped {
        by: String,
        reason: String,
    },
    /// Somebody is about to be told of the run.
    NotificationIntended {
        channel: String,
        phase: Phase,
        /// The run's status as it is told.
        status: String,
    },
    /// They were, or it failed, which stops nothing.
    Notified {
        channel: String,
        phase: Phase,
        error: Option<String>,
    },
    Stopped {
        why: String,
    },
    Aborted {
        by: String,
        /// SHA-256 of what each stack's live state was then, by name.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        left: BTreeMap<String, String>,
    },
    Finished {
        status: String,
    },
}

/// When checks were asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckMoment {
    /// Before the first effect: what it was like then.
    Before,
    /// After the last one: whether it did what it was for.
    After,
}

/// Where an attempt runs and what it may write: the machine of its process, and the fences that it was given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    #[serde(default)]
    pub machine: Option<Machine>,
    #[serde(default)]
    pub fences: BTreeMap<String, Token>,
}

impl Attempt {
    /// An attempt of this process.
    pub fn here(fence: &Fence) -> Self {
        Attempt {
            machine: Some(Machine::this()),
            fences: fence.tokens().map(|(stack, token)| (stack.to_owned(), token)).collect(),
        }
    }
}

/// One line of the journal.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    pub sequence: u64,
    pub at: Timestamp,
    #[serde(flatten)]
    pub event: Event,
}

/// A run's journal in a store.
pub struct Journal<'s> {
    project: &'s str,
    run: String,
    entries: Vec<Entry>,
    fence: Option<Fence>,
}

impl<'s> Journal<'s> {
    /// Opens a run's journal and reads what it holds; to add to it takes a fence, see [`Journal::fenced`].
    pub fn open(store: &dyn Store, project: &'s str, run: &str) -> Result<Self> {
        let read = |prefix: String| -> Result<Vec<Entry>> {
            persistently(|| all_entries(store, &prefix))?
                .iter()
                .map(|entry| {
                    serde_json::from_slice(&entry.value).map_err(|error| {
                        EngineError::failed(format!("journal entry {} cannot be read: {error}", entry.key))
                    })
                })
                .collect()
        };
        let mut entries = read(keys::journal(project, run))?;
        if entries.first().is_none_or(|first| first.sequence != 1) {
            let mut former = read(keys::former_journal(project, run))?;
            former.append(&mut entries);
            entries = former;
        }
        Ok(Journal {
            project,
            run: run.to_owned(),
            entries,
            fence: None,
        })
    }

    /// Open for adding, as long as the fence is that of the run's stacks.
    #[must_use]
    pub fn fenced(mut self, fence: Fence) -> Self {
        self.fence = Some(fence);
        self
    }

    /// The run's id.
    pub fn run(&self) -> &str {
        &self.run
    }

    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Whether this process was seen to have lost its locks: it may write nothing more.
    pub fn is_fenced_out(&self) -> bool {
        self.fence.as_ref().is_some_and(Fence::is_lost)
    }

    /// The entry that comes next, as it would be written now.
    pub(crate) fn next(&self, event: Event) -> Entry {
        Entry {
            sequence: self.entries.last().map_or(1, |entry| entry.sequence + 1),
            at: Timestamp::now(),
            event,
        }
    }

    /// Adds one entry; when it returns, the entry is durable.
    ///
    /// # Errors
    /// Somebody else has the lock of one of the run's stacks, or has written in its journal: this process must stop.
    pub fn append(&mut self, event: Event) -> Result<()> {
        let fence = self
            .fence
            .as_ref()
            .ok_or_else(|| EngineError::failed(format!("the journal of run {} is open for reading", self.run)))?;
        let entry = self.next(event);
        let sequence = entry.sequence;
        crash_point(&format!("before:{sequence}"));
        let key = keys::journal_step(self.project, &self.run, sequence);
        match fence.create(&key, &to_bytes(&entry)?)? {
            Fenced::Yes(_) => {}
            Fenced::Conflict(_) => {
                return Err(
                    EngineError::failed("another process is driving this run").hint("`infra-rollback locks` says who")
                );
            }
        }
        self.entries.push(entry);
        crash_point(&format!("after:{sequence}"));
        Ok(())
    }

    /// Whether the run has finished this stack.
    pub fn stack_done(&self, stack: &str) -> bool {
        self.entries
            .iter()
            .rev()
            .find_map(|entry| match &entry.event {
                Event::StackDone { stack: named } if named == stack => Some(true),
                Event::Reopened { stack: named } if named == stack => Some(false),
                _ => None,
            })
            .unwrap_or(false)
    }

    /// The last intent to write this stack's state, and whether it was seen to end.
    pub fn last_state_write(&self, stack: &str) -> Option<(&Event, bool)> {
        let position = self.entries.iter().rposition(
            |entry| matches!(&entry.event, Event::StateWriteIntended { stack: named, .. } if named == stack),
        )?;
        let ended = self.entries[position..]
            .iter()
            .any(|entry| matches!(&entry.event, Event::StateWritten { stack: named } if named == stack));
        Some((&self.entries[position].event, ended))
    }

    /// The lock on this stack's remote state that was meant to be taken and not seen to be given back.
    pub fn open_lock(&self, stack: &str) -> Option<&LockInfo> {
        let mut open = None;
        for entry in &self.entries {
            match &entry.event {
                Event::StateLockIntended { stack: named, lock } if named == stack => open = Some(lock),
                Event::StateUnlocked { stack: named, .. } if named == stack => open = None,
                _ => {}
            }
        }
        open
    }

    /// The Terraform process that was last started on this stack and not seen to end.
    pub fn open_child(&self, stack: &str) -> Option<&ChildRecord> {
        let mut open = None;
        for entry in &self.entries {
            match &entry.event {
                Event::ApplyStarted { stack: named, child } if named == stack => open = Some(child),
                Event::Applied { stack: named, .. } if named == stack => open = None,
                _ => {}
            }
        }
        open
    }

    /// The machine on which that process was started; `None` where nobody wrote it down, or a person has vouched since
    /// that it is dead.
    pub fn machine_of_open_child(&self, stack: &str) -> Option<&Machine> {
        let started = self
            .entries
            .iter()
            .rposition(|entry| matches!(&entry.event, Event::ApplyStarted { stack: named, .. } if named == stack))?;
        let vouched = self.entries[started..].iter().any(|entry| match &entry.event {
            Event::HolderDeclaredDead { .. } => true,
            Event::LockReleased {
                stack: named, forced, ..
            } => *forced && named == stack,
            _ => false,
        });
        let machine = self.entries[..started]
            .iter()
            .rev()
            .find_map(|entry| match &entry.event {
                Event::Started { attempt, .. } | Event::Resumed { attempt, .. } => Some(attempt.machine.as_ref()),
                _ => None,
            });
        machine.flatten().filter(|_| !vouched)
    }

    /// The folder in which Terraform was last to apply on this stack.
    pub fn apply_folder(&self, stack: &str) -> Option<&str> {
        self.entries.iter().rev().find_map(|entry| match &entry.event {
            Event::ApplyIntended {
                stack: named, folder, ..
            } if named == stack => Some(folder.as_str()),
            _ => None,
        })
    }

    /// The envelope that was approved for this stack: the last one that was shown before the last yes. One that was
    /// planned after it, and refused or never answered, is nobody's approval.
    pub fn approved(&self, stack: &str) -> Option<&Envelope> {
        let yes = self
            .entries
            .iter()
            .rposition(|entry| matches!(entry.event, Event::Approved { .. }))?;
        self.entries[..yes].iter().rev().find_map(|entry| match &entry.event {
            Event::Planned {
                stack: named, envelope, ..
            } if named == stack => Some(envelope),
            _ => None,
        })
    }

    /// Whether the run has brought this step to where it was to go.
    pub fn step_done(&self, step: &str) -> bool {
        self.entries
            .iter()
            .any(|entry| matches!(&entry.event, Event::StepDone { step: named, .. } if named == step))
    }

    /// What a step was to do when it was begun for the first time, if it was: where it was then, nobody can see any more.
    pub fn begun_step(&self, step: &str) -> Option<&StepEnvelope> {
        let begun = |entry: &Entry| matches!(&entry.event, Event::StepIntended { step: named } if named == step);
        let first = self.entries.iter().position(begun)?;
        self.entries[..first].iter().rev().find_map(|entry| match &entry.event {
            Event::StepPlanned { envelope } if envelope.step == step => Some(envelope.as_ref()),
            _ => None,
        })
    }

    /// Where this step has come to, as JSON text, if it has.
    pub fn step_came_to(&self, step: &str) -> Option<&str> {
        self.entries.iter().rev().find_map(|entry| match &entry.event {
            Event::StepDone { step: named, now, .. } if named == step => Some(now.as_str()),
            _ => None,
        })
    }

    /// The envelope that was approved for this step: see [`Journal::approved`].
    pub fn approved_step(&self, step: &str) -> Option<&StepEnvelope> {
        let yes = self
            .entries
            .iter()
            .rposition(|entry| matches!(entry.event, Event::Approved { .. }))?;
        self.entries[..yes].iter().rev().find_map(|entry| match &entry.event {
            Event::StepPlanned { envelope } if envelope.step == step => Some(envelope.as_ref()),
            _ => None,
        })
    }

    /// What the steps were to do when the run was last planned, each one's last word.
    pub fn steps_last_planned(&self) -> Vec<&StepEnvelope> {
        let attempt = |entry: &Entry| matches!(entry.event, Event::Started { .. } | Event::Resumed { .. });
        let planned = |entry: &Entry| matches!(entry.event, Event::Planned { .. } | Event::StepPlanned { .. });
        let last = self.entries.iter().rposition(planned).unwrap_or(0);
        let begin = self.entries[..last].iter().rposition(attempt).unwrap_or(0);
        let mut steps: Vec<&StepEnvelope> = Vec::new();
        for entry in &self.entries[begin..] {
            if let Event::StepPlanned { envelope } = &entry.event {
                match steps.iter_mut().find(|known| known.step == envelope.step) {
                    Some(known) => *known = envelope,
                    None => steps.push(envelope),
                }
            }
        }
        steps
    }

    /// The digest of what was last planned for these stacks together, in their order, and for the steps.
    pub fn last_planned(&self, stacks: &[&str]) -> Option<String> {
        let envelopes: Option<Vec<&Envelope>> = stacks
            .iter()
            .map(|stack| {
                self.entries.iter().rev().find_map(|entry| match &entry.event {
                    Event::Planned {
                        stack: named, envelope, ..
                    } if named == stack => Some(envelope),
                    _ => None,
                })
            })
            .collect();
        let steps = self.steps_last_planned();
        envelopes
            .filter(|envelopes| !(envelopes.is_empty() && steps.is_empty()))
            .map(|envelopes| crate::envelope::digest(&envelopes, &steps))
    }

    /// Whether any effect may have happened and was not taken back. A lock that may have been left behind is one.
    pub fn has_effect(&self) -> bool {
        let mut touched = BTreeSet::new();
        let mut locked = BTreeSet::new();
        let mut steps = BTreeSet::new();
        for entry in &self.entries {
            match &entry.event {
                // What an earlier attempt left is not undone by a later one that did nothing.
                Event::Resumed { .. } if !touched.is_empty() || !steps.is_empty() => return true,
                Event::StepIntended { step } => {
                    steps.insert(step.as_str());
                }
                Event::StepFailed {
                    step, untouched: true, ..
                } => {
                    steps.remove(step.as_str());
                }
                Event::StateWriteIntended { stack, .. } | Event::ApplyIntended { stack, .. } => {
                    touched.insert(stack.as_str());
                }
                Event::TakenBack { stack } => {
                    touched.remove(stack.as_str());
                }
                Event::StateLockIntended { stack, .. } => {
                    locked.insert(stack.as_str());
                }
                Event::StateUnlocked { stack, .. } => {
                    locked.remove(stack.as_str());
                }
                _ => {}
            }
        }
        !touched.is_empty() || !locked.is_empty() || !steps.is_empty()
    }
}

/// In debug builds `INFRA_ROLLBACK_CRASH=before:3` or `after:3` kills this process, as `kill -9` would, before or
/// after the third journal entry is written: the tests walk through all of them. `over` is after the record of the run says
/// that it is over. `INFRA_ROLLBACK_STOP` stops it there, as a machine does that is put to sleep.
pub(crate) fn crash_point(here: &str) {
    if !cfg!(debug_assertions) {
        return;
    }
    for (variable, signal) in [
        ("INFRA_ROLLBACK_CRASH", rustix::process::Signal::KILL),
        ("INFRA_ROLLBACK_STOP", rustix::process::Signal::STOP),
    ] {
        if std::env::var(variable).is_ok_and(|wanted| wanted == here) {
            let _ = rustix::process::kill_process(rustix::process::getpid(), signal);
        }
    }
}
