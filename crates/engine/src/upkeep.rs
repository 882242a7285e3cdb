//! What retention must leave alone for the sake of runs.

use std::collections::{BTreeMap, BTreeSet};

use rollback_release::ReleaseId;

use crate::context::Context;
use crate::error::Result;
use crate::run::{Run, Runs};

/// The releases that runs still need, each with the reason: everything that a run names which is not over, and of each
/// stack what undoing the last run that changed it goes back to.
///
/// # Errors
/// A run's record cannot be read: it may need anything.
pub fn needed_releases(context: &Context) -> Result<BTreeMap<ReleaseId, String>> {
    let mut needed = BTreeMap::new();
    let mut undoable: BTreeSet<String> = BTreeSet::new();
    for (run, _) in Runs::new(context.store.as_ref(), &context.project).all()? {
        if !run.status.is_over() {
            let reason = format!("run {} is {}", run.id, run.status.as_str());
            needed.extend(named_by(&run).map(|id| (id, reason.clone())));
        }
        if run.backup.is_some() {
            let names: Vec<String> = run.stacks.iter().map(|part| part.stack.clone()).collect();
            let is_last = names.iter().any(|name| !undoable.contains(name));
            if is_last {
                let reason = format!("undoing run {} goes back to it", run.id);
                for id in named_by(&run) {
                    needed.entry(id).or_insert_with(|| reason.clone());
                }
            }
            undoable.extend(names);
        }
    }
    Ok(needed)
}

fn named_by(run: &Run) -> impl Iterator<Item = ReleaseId> + '_ {
    let targets = run.stacks.iter().filter_map(|part| part.release.as_ref());
    (targets.chain(&run.backup).chain(&run.result)).filter_map(|text| text.parse().ok())
}
