//! The releases that a run takes: of what was there before its first effect, and of what came out.

use std::path::Path;

use rollback_config::LockFile;
use rollback_release::{Release, ReleaseId, ReleaseKind, Salt, StackRecord, write_stack};
use rollback_state::State;

use crate::collect::{Downloaded, collect};
use crate::context::Context;
use crate::deployed;
use crate::drive::Drive;
use crate::error::{EngineError, Result};
use crate::history::tree_at;
use crate::journal::Event;
use crate::live::Live;
use crate::observe::Stage;
use crate::planning::Planned;
use crate::steps;
use crate::target::Target;

impl Drive<'_> {
    /// A release of what is there now, before the first effect: what `undo` goes back to.
    pub(crate) fn back_up(&mut self, planned: &Planned) -> Result<()> {
        let (prepared, runtime) = (&planned.stacks, &planned.runtime);
        if self.run.backup.is_some() || (prepared.is_empty() && runtime.steps.is_empty()) {
            return Ok(());
        }
        let context = self.context;
        let salt = Salt::of_project(context.store.as_ref(), &context.project)?;
        let commit = match prepared.first() {
            Some(stack) => stack.deployed.clone(),
            None => deployed::last(context)?,
        };
        let mut release = Release::new(commit.as_str(), context.actor.clone());
        release.runtime = runtime.to_value();
        release.kind = ReleaseKind::Backup {
            run: self.run.id.clone(),
        };
        release.reason = self.run.reason.clone();
        for stack in prepared {
            context.observer.stage(&stack.stack, Stage::BackingUp);
            let known = context.stack(&stack.stack)?;
            let deployed = deployed::of_commit(context, known, &stack.deployed)?;
            let record = deployed.record();
            let tree = tree_at(&context.repository, context.store.as_ref(), &stack.deployed, record)?;
            let folder = context.root.join(&known.dir);
            let downloaded = match &deployed.release {
                Some((_, record)) => Downloaded::Record(record),
                None => Downloaded::Folder(&folder),
            };
            let collected = collect(context, known, tree.as_ref(), &deployed.dir, &downloaded, &stack.live)?;
            let mut record = write_stack(&collected.parts, &salt, context.store.as_ref())
                .map_err(|error| EngineError::failed(error.to_string()))?;
            if let Some((_, deployed)) = &deployed.release {
                record.variable_files = deployed.variable_files.clone();
                record.variables = deployed.variables.clone();
            }
            record.commit = (stack.deployed.as_str() != release.commit).then(|| stack.deployed.to_string());
            release.stacks.push(record);
        }
        context.catalogue().commit(&release)?;
        self.journal.append(Event::BackupTaken {
            release: release.id.to_string(),
        })?;
        self.run.backup = Some(release.id.to_string());
        Ok(())
    }

    /// A release of what came out.
    pub(crate) fn record_result(&mut self, target: &Target, folder: &Path, at_target: bool) -> Result<()> {
        let context = self.context;
        let taken = self.journal.entries().iter().find_map(|entry| match &entry.event {
            Event::ResultTaken { release } => Some(release.clone()),
            _ => None,
        });
        if taken.is_some() {
            self.run.result = taken;
            return Ok(());
        }
        let salt = Salt::of_project(context.store.as_ref(), &context.project)?;
        // What only some objects went back to is not what is deployed now.
        let partial = !self.run.targets.is_empty() || self.run.stacks.is_empty();
        let from = self.run.stacks.first().map(|part| part.from_commit.clone());
        let commit = match (partial, from) {
            (false, _) => target.commit.to_string(),
            (true, Some(from)) => from,
            (true, None) => deployed::last(context)?.to_string(),
        };
        let mut release = Release::new(commit, context.actor.clone());
        let before = match (partial, &self.run.backup) {
            (true, Some(backup)) => match backup.parse::<ReleaseId>() {
                Ok(id) => Some(context.catalogue().get(&id)?),
                Err(_) => None,
            },
            _ => None,
        };
        let run = self.run.id.clone();
        // A mixture is kept for the record and never taken for the deploy of a commit.
        release.kind = if partial || !at_target {
            ReleaseKind::Backup { run }
        } else {
            ReleaseKind::Result { run }
        };
        release.reason = self.run.reason.clone();
        for part in self.run.stacks.clone() {
            let Ok(known) = context.stack(&part.stack) else {
                continue;
            };
            context.observer.stage(&part.stack, Stage::Recording);
            let live = Live::read(context, known)?;
            let known_record = match &before {
                Some(before) => before.stack(&part.stack),
                None => target.release_of(&part.stack).map(|(_, record)| record),
            };
            let record = match known_record {
                // Everything but the state is what that release has.
                Some(record) => {
                    let mut record = record.clone();
                    let root = folder.join(&part.stack).join("tree").join(&part.dir);
                    keep_lock_file(context, &mut record, &root)?;
                    for instance in live.state().iter().flat_map(|state| state.instances()) {
                        let version = record
                            .schema_versions
                            .entry(instance.address().resource.kind.clone())
                            .or_default();
                        *version = instance.schema_version().max(*version);
                    }
                    record.state = live
                        .state()
                        .map(|state: &State| crate::live::keep(context, &part.stack, state))
                        .transpose()?;
                    record
                }
                None => {
                    let tree = context.repository.tree(&target.commit)?;
                    let root = folder.join(&part.stack).join("tree").join(&part.dir);
                    let collected = collect(context, known, &tree, &part.dir, &Downloaded::Folder(&root), &live)?;
                    write_stack(&collected.parts, &salt, context.store.as_ref())
                        .map_err(|error| EngineError::failed(error.to_string()))?
                }
            };
            release.stacks.push(record);
        }
        if !self.run.steps.is_empty() {
            let (runtime, unseen) = steps::capture(context);
            release.runtime = runtime.to_value();
            unseen.iter().for_each(|warning| context.observer.warning(warning));
        }
        context.catalogue().commit(&release)?;
        self.journal.append(Event::ResultTaken {
            release: release.id.to_string(),
        })?;
        self.run.result = Some(release.id.to_string());
        Ok(())
    }
}

/// The lock file that Terraform really worked with: a newer provider may have been kept.
fn keep_lock_file(context: &Context, record: &mut StackRecord, root: &Path) -> Result<()> {
    let Ok(bytes) = std::fs::read(root.join(".terraform.lock.hcl")) else {
        return Ok(());
    };
    if let Ok(lock) = LockFile::parse(&bytes) {
        record.providers = lock
            .providers
            .into_iter()
            .map(|(name, locked)| (name, locked.version))
            .collect();
    }
    record.lock_file = Some(context.store.put_blob(&bytes)?);
    Ok(())
}
