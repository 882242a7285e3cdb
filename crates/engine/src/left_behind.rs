//! What a run leaves behind whose process dies after its end was on record and before everything was given back: its locks
//! and its private folder. Nothing is owed to either, and nobody is asked to resume what is over.

use std::collections::BTreeSet;

use crate::context::Context;
use crate::drive::remove_run_folder;
use crate::error::Result;
use crate::lease::Life;
use crate::lock;
use crate::run::Runs;

/// Clears away what runs of this machine left that are over. What cannot be cleared away now is in nobody's way: a lock of
/// such a run is taken over like any other whose holder is dead ([`crate::lock`]).
pub(crate) fn clear_away(context: &Context) {
    if let Err(error) = try_to_clear_away(context) {
        tracing::warn!(%error, "what runs left that are over stays for now");
    }
}

fn try_to_clear_away(context: &Context) -> Result<()> {
    let (store, project) = (context.store.as_ref(), context.project.as_str());
    let runs = Runs::new(store, project);
    let mut at_work = BTreeSet::new();
    for holder in lock::list(store, project)? {
        if holder.life() == Life::Dead && runs.is_over(&holder.run)? {
            lock::release_of_dead(store, project, &holder)?;
        } else {
            at_work.insert(holder.run);
        }
    }
    let folder = context.run_folder("");
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        if !at_work.contains(&name) && runs.is_over(&name)? {
            remove_run_folder(context, &name);
        }
    }
    Ok(())
}
