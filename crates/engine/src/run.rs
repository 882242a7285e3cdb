//! A run: one rollback, as it is kept in the store.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rollback_release::{Operation, Store, Transacted, Version, all_entries, all_keys, keys};
use rollback_runbook::step::Binding;
use serde::{Deserialize, Serialize};

use crate::approval::Sufficient;
use crate::error::{EngineError, Result};
use crate::fence::{Fence, Fenced, persistently};
use crate::lock::to_bytes;
use crate::policy::PolicyOverride;
use crate::side_by_side::side_by_side;

/// What a run is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Purpose {
    /// Back (or forward) to a revision.
    To,
    /// Back to before another run.
    Undo { run: String },
    /// An old state becomes the current one.
    Restore { version: String },
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Nothing but reading has happened yet.
    Planning,
    /// Planned and shown; nobody has said yes.
    AwaitingApproval,
    /// Approved; effects may have happened.
    Applying,
    /// Stopped with effects done; `resume` goes on.
    Halfway,
    /// Its process fell silent while it applied, and was seen to be silent for a whole lease. Whether it and its
    /// Terraform are dead has to be found out; then `resume` goes on.
    NeedsReconcile,
    Completed,
    /// Ended without an effect.
    Failed,
    /// A guard said no; nothing changed.
    Refused,
    /// Given up by a person.
    Aborted,
}

impl Status {
    /// Whether the run has come to its end and holds nothing any more.
    pub fn is_over(self) -> bool {
        matches!(
            self,
            Status::Completed | Status::Failed | Status::Refused | Status::Aborted
        )
    }

    /// Whether effects may have happened, so that only `resume` or `abort` may touch the stacks.
    pub fn is_unfinished(self) -> bool {
        matches!(self, Status::Applying | Status::Halfway | Status::NeedsReconcile)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Status::Planning => "planning",
            Status::AwaitingApproval => "awaiting-approval",
            Status::Applying => "applying",
            Status::Halfway => "halfway",
            Status::NeedsReconcile => "needs-reconcile",
            Status::Completed => "completed",
            Status::Failed => "failed",
            Status::Refused => "refused",
            Status::Aborted => "aborted",
        }
    }
}

/// What the person who started the run said yes to beforehand.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consent {
    /// Addresses whose data may be lost.
    #[serde(default)]
    pub data_loss: Vec<String>,
    /// Addresses whose unexplained changes are accepted.
    #[serde(default)]
    pub changes: Vec<String>,
    /// Rules of the policy that are overridden.
    #[serde(default)]
    pub policy: Vec<String>,
    /// Why they are; the run's own reason where this is none.
    #[serde(default)]
    pub policy_reason: Option<String>,
    /// Steps that are left as they are after all.
    #[serde(default)]
    pub skipped_steps: Vec<String>,
    /// Why the checks are not asked.
    #[serde(default)]
    pub skip_checks: Option<String>,
    /// The same, each with who overrides it and why: what a run keeps, and an approval signs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<PolicyOverride>,
}

/// One stack's part in a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StackTarget {
    pub stack: String,
    /// The folder of the root module in the target's tree.
    pub dir: String,
    /// The release that holds the target's record of this stack, where there is one.
    pub release: Option<String>,
    /// The commit whose configuration was deployed when the run began.
    pub from_commit: String,
}

/// The record of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    pub format: u32,
    pub id: String,
    #[serde(flatten)]
    pub purpose: Purpose,
    /// The revision as the person wrote it.
    pub revision: String,
    /// The commit that it means.
    pub commit: String,
    /// The stacks that were asked for, by name; a resumed run works on these and no others.
    #[serde(default)]
    pub selected: Vec<String>,
    /// The steps that were asked for, by name.
    #[serde(default)]
    pub steps: Vec<String>,
    /// Where the databases go that are to be restored, by the name of their step: whoever resumes the run does not say it
    /// again.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub databases: BTreeMap<String, Binding>,
    pub stacks: Vec<StackTarget>,
    /// `-target` addresses.
    #[serde(default)]
    pub targets: Vec<String>,
    #[serde(default)]
    pub consent: Consent,
    pub reason: Option<String>,
    pub actor: String,
    pub created_at: Timestamp,
    pub ended_at: Option<Timestamp>,
    pub status: Status,
    /// The release that was taken of what was there before.
    pub backup: Option<String>,
    /// The release that was taken of what came out.
    pub result: Option<String>,
}

impl Run {
    /// Whether it was asked for steps and for no stack.
    pub fn is_about_steps_alone(&self) -> bool {
        self.selected.is_empty() && !self.steps.is_empty()
    }

    /// The run that it undoes, if it is an undo.
    pub fn undoes(&self) -> Option<&str> {
        match &self.purpose {
            Purpose::Undo { run } => Some(run),
            _ => None,
        }
    }

    /// Whether it works on a stack. A record of before the stacks were named in it is about all of them.
    pub fn is_about(&self, stack: &str) -> bool {
        match self.selected.is_empty() {
            true => !self.is_about_steps_alone(),
            false => self.selected.iter().any(|name| name == stack),
        }
    }
}

/// The runs of one project in a store.
pub struct Runs<'s> {
    store: &'s dyn Store,
    project: &'s str,
}

impl<'s> Runs<'s> {
    pub fn new(store: &'s dyn Store, project: &'s str) -> Self {
        Runs { store, project }
    }

    fn key(&self, id: &str) -> String {
        keys::run_record(self.project, id)
    }

    /// Writes a new run's record under its fence; it is an error for it to exist.
    pub fn create(&self, run: &Run, fence: &Fence) -> Result<Version> {
        match fence.create(&self.key(&run.id), &to_bytes(run)?)? {
            Fenced::Yes(version) => Ok(version),
            Fenced::Conflict(_) => Err(EngineError::failed(format!("run {} exists already", run.id))),
        }
    }

    /// Replaces a run's record if nobody else has meanwhile, under the fence of the run that does it.
    pub fn update(&self, run: &Run, expected: &Version, fence: &Fence) -> Result<Version> {
        let key = self.key(&run.id);
        let bytes = to_bytes(run)?;
        let mut expected = expected.clone();
        loop {
            let found = match fence.replace(&key, &expected, &bytes)? {
                Fenced::Yes(version) => return Ok(version),
                Fenced::Conflict(found) => found,
            };
            match found {
                // Somebody who waited for us took note of our silence. The fence is ours: we are awake, and go on.
                Some((found, version)) if status_of(&found) == Some(Status::NeedsReconcile) => expected = version,
                _ => {
                    return Err(EngineError::failed(format!(
                        "the record of run {} was changed by somebody else meanwhile",
                        run.id
                    ))
                    .hint("look at it with `infra-rollback runs show`, then try again"));
                }
            }
        }
    }

    /// As [`Runs::update`], together with the use of an approval: both or neither.
    pub fn update_approved(
        &self,
        run: &Run,
        expected: &Version,
        approval: &Sufficient,
        fence: &Fence,
    ) -> Result<Version> {
        let bytes = to_bytes(run)?;
        let key = self.key(&run.id);
        let mut newer = None;
        loop {
            let approval = newer.as_ref().unwrap_or(approval);
            if let Fenced::Yes(version) = fence.replace_together(&key, expected, &bytes, approval.consume())? {
                return Ok(version);
            }
            // One more yes in this very moment changes the approval's record and nothing else.
            let run_is_as_seen = self.get(&run.id)?.is_some_and(|(_, version)| version == *expected);
            newer = match approval.as_it_is_now(self.store)? {
                Some(approval) if run_is_as_seen => Some(approval),
                _ => {
                    return Err(EngineError::refused(format!(
                        "run {}: its approval was used meanwhile, or its record was changed; nothing was changed",
                        run.id
                    )));
                }
            };
        }
    }

    /// Notes that a run's holder has fallen silent, if its lock still stands still and its record is as it was seen.
    pub(crate) fn mark_needs_reconcile(
        &self,
        mut run: Run,
        version: &Version,
        lock_key: &str,
        lock_version: &Version,
    ) -> Result<()> {
        if run.status != Status::Applying {
            return Ok(());
        }
        run.status = Status::NeedsReconcile;
        let bytes = to_bytes(&run)?;
        // Refused: something moved meanwhile, and then it is not silent.
        let _: Transacted = self.store.transact(&[
            Operation::Check {
                key: lock_key,
                expected: lock_version,
            },
            Operation::Replace {
                key: &self.key(&run.id),
                expected: version,
                value: &bytes,
            },
        ])?;
        Ok(())
    }

    pub fn get(&self, id: &str) -> Result<Option<(Run, Version)>> {
        let key = self.key(id);
        let Some((bytes, version)) = persistently(|| self.store.get(&key))? else {
            return Ok(None);
        };
        Ok(Some((parse(id, &bytes)?, version)))
    }

    /// Whether a run has a record, and it says that the run is over: nothing of it is going on any more.
    pub fn is_over(&self, id: &str) -> Result<bool> {
        Ok(self.get(id)?.is_some_and(|(run, _)| run.status.is_over()))
    }

    /// The run that a person named by its id or the beginning of it.
    pub fn find(&self, text: &str) -> Result<(Run, Version)> {
        let prefix = keys::runs(self.project);
        let hits: Vec<String> = all_keys(self.store, &format!("{prefix}{}", keys::segment(text)))?
            .iter()
            .filter_map(|key| key.strip_prefix(&prefix)?.strip_suffix("/record"))
            .map(str::to_owned)
            .collect();
        match hits.as_slice() {
            [one] => Ok(self
                .get(one)?
                .ok_or_else(|| EngineError::failed(format!("run {one} is gone")))?),
            [] => Err(EngineError::failed(format!("there is no run {text}")).hint("`infra-rollback runs` lists them")),
            several => Err(
                EngineError::failed(format!("{text} is the beginning of {} runs", several.len()))
                    .hint(format!("give more of it: {}", several.join(", "))),
            ),
        }
    }

    /// Newest first.
    pub fn all(&self) -> Result<Vec<(Run, Version)>> {
        let prefix = keys::runs(self.project);
        let mut runs = Vec::new();
        for entry in all_entries(self.store, &prefix)?.into_iter().rev() {
            if let Some(id) = entry
                .key
                .strip_prefix(&prefix)
                .and_then(|rest| rest.strip_suffix("/record"))
            {
                runs.push((parse(id, &entry.value)?, entry.version));
            }
        }
        Ok(runs)
    }

    /// Those that began before `before`, newest first, at most `limit`, and whether there are more: the rest is not read.
    pub fn page(&self, before: Option<&str>, limit: usize) -> Result<(Vec<Run>, bool)> {
        let (ids, more) = self.ids(before, limit)?;
        let mut runs = Vec::new();
        for found in side_by_side(&ids, |id| self.get(id)) {
            runs.extend(found?.map(|(run, _)| run));
        }
        Ok((runs, more))
    }

    /// The newest ones, newest first.
    pub fn newest(&self, most: usize) -> Result<Vec<Run>> {
        Ok(self.page(None, most)?.0)
    }

    /// The ids of the newest ones, newest first. No record is read.
    pub fn newest_ids(&self, most: usize) -> Result<Vec<String>> {
        Ok(self.ids(None, most)?.0)
    }

    fn ids(&self, before: Option<&str>, limit: usize) -> Result<(Vec<String>, bool)> {
        let prefix = keys::runs(self.project);
        let mut before = before.map(|id| self.key(id));
        let mut ids = Vec::new();
        loop {
            // Approvals lie among the records; there are few of them.
            let wanted = (limit + 1 - ids.len()) * 2;
            let found = self.store.list_newest(&prefix, before.as_deref(), wanted)?;
            for key in &found {
                let Some(id) = key.strip_prefix(&prefix).and_then(|rest| rest.strip_suffix("/record")) else {
                    continue;
                };
                if ids.len() == limit {
                    return Ok((ids, true));
                }
                ids.push(id.to_owned());
            }
            if found.len() < wanted {
                return Ok((ids, false));
            }
            before = found.last().cloned();
        }
    }

    /// The newest run that stopped with effects done.
    pub fn unfinished(&self) -> Result<Vec<(Run, Version)>> {
        Ok(self
            .all()?
            .into_iter()
            .filter(|(run, _)| run.status.is_unfinished())
            .collect())
    }
}

fn parse(id: &str, bytes: &[u8]) -> Result<Run> {
    let run: Run = serde_json::from_slice(bytes).map_err(|error| {
        EngineError::failed(format!("the record of run {id} cannot be read: {error}"))
            .hint("a newer infra-rollback may have written it")
    })?;
    if run.format > 1 {
        return Err(
            EngineError::failed(format!("run {id} was written by a newer infra-rollback"))
                .hint("update infra-rollback on this machine"),
        );
    }
    Ok(run)
}

fn status_of(bytes: &[u8]) -> Option<Status> {
    serde_json::from_slice(bytes).ok().map(|run: Run| run.status)
}
