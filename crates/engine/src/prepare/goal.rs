//! What a target holds of one stack.

use std::collections::BTreeSet;

use rollback_config::Configuration;
use rollback_inverse::Joined;
use rollback_release::{Release, StackRecord};
use rollback_repository::CommitId;
use rollback_state::{Mode, State};

use crate::context::{Context, Stack};
use crate::deployed::Deployed;
use crate::error::Result;
use crate::history;
use crate::live::Live;
use crate::target::Target;

/// What a target holds of one stack.
pub(super) struct Goal {
    pub dir: String,
    pub record: Option<(String, StackRecord)>,
    pub state: Option<State>,
    pub configuration: Configuration,
    /// The workspace that there is a snapshot of, where there is none of the one that is selected.
    pub only_in_workspace: Option<String>,
}

impl Goal {
    /// Providers of objects whose schema version is above anything the target's release had: its older provider cannot
    /// read them, the deployed one can.
    pub fn providers_too_new(&self, joined: &Joined) -> BTreeSet<String> {
        let Some((_, record)) = &self.record else {
            return BTreeSet::new();
        };
        joined
            .state
            .instances()
            .filter(|instance| instance.mode() == Mode::Managed)
            .filter(|instance| {
                record
                    .schema_versions
                    .get(&instance.address().resource.kind)
                    .is_some_and(|known| instance.schema_version() > *known)
            })
            .filter_map(|instance| {
                let (_, rest) = instance.provider().split_once("provider[\"")?;
                Some(rest.split_once("\"]")?.0.to_owned())
            })
            .collect()
    }

    pub fn record(&self) -> Option<&StackRecord> {
        self.record.as_ref().map(|(_, record)| record)
    }
}

/// What the target has of the stack; none where it did not exist then.
///
/// # Errors
/// The store or the commit cannot be read.
pub(super) fn goal(
    context: &Context,
    stack: &Stack,
    target: &Target,
    commit: &CommitId,
    deployed: &Deployed,
    live: &Live,
    warnings: &mut Vec<String>,
) -> Result<Option<Goal>> {
    let store = context.store.as_ref();
    // A state that moved to a workspace of another name is the same one.
    let is_the_live_one = |record: &StackRecord| {
        let kept = record.state.as_ref().map(|state| state.lineage.as_str());
        live.state().is_some_and(|state| Some(state.lineage()) == kept)
    };
    let elsewhere = target.release_elsewhere(&stack.name);
    let moved = elsewhere.filter(|(_, record)| is_the_live_one(record));
    if let Some((release, record)) = target.release_of(&stack.name).or(moved) {
        warnings.extend(inferred(release));
        let state = record
            .state
            .as_ref()
            .map(|state| context.catalogue().state(state))
            .transpose()?;
        let configuration = history::configuration_at(&context.repository, store, commit, &record.dir, Some(record))?;
        if !release.dirty.is_empty() {
            warnings.push(format!(
                "release {:.8} was taken with uncommitted changes, which a rollback does not have: {}",
                release.id.as_str(),
                release.dirty.join(", ")
            ));
        }
        return Ok(Some(Goal {
            dir: record.dir.clone(),
            record: Some((release.id.to_string(), record.clone())),
            state,
            configuration,
            only_in_workspace: None,
        }));
    }
    if let Some(refusal) = target.in_other_workspace(&stack.name) {
        return Err(refusal);
    }
    let known = [stack.dir.as_str(), deployed.dir.as_str()];
    let Some(dir) = history::dir_at(&context.repository, commit, &stack.name, &known)? else {
        return Ok(None);
    };
    let configuration = history::configuration_at(&context.repository, store, commit, &dir, None)?;
    warnings.push(format!(
        "there is no snapshot of commit {}: its configuration comes from Git and what it had is told by moved blocks alone, \
         so values given at that apply and objects moved by hand are not known",
        commit.short()
    ));
    Ok(Some(Goal {
        dir,
        record: None,
        state: None,
        configuration,
        only_in_workspace: elsewhere.map(|(_, record)| record.workspace.clone()),
    }))
}

/// What a person has to know before going back to a release that was taken in from a history.
fn inferred(release: &Release) -> Option<String> {
    let import = release.import()?;
    let unknown = if import.unknown.is_empty() {
        String::new()
    } else {
        format!("; not known are: {}", import.unknown.join("; "))
    };
    Some(format!(
        "release {:.8} was imported from {}: its commit {}{unknown}",
        release.id.as_str(),
        import.source,
        import.commit_by
    ))
}
