//! Keeping a store small and in order: what may be removed, removing it, and copying all of it.
//!
//! A collection of garbage and a snapshot may run at the same time, and neither waits for a lock. Three things together
//! make that safe. Putting bytes that are there already makes them young, with what they stand on, and only what is old
//! is removed. Before blobs are removed their addresses are written down ([`keys::REMOVALS`]), and then it is looked
//! whether a release is being committed; a commit announces itself first and then looks whether anything it needs is
//! written down: whichever comes second sees the other. And a blob goes before what it stands on, so that whatever is
//! cut off when leaves nothing that cannot be read.

mod collect;
mod copy;
mod records;
mod retention;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use jiff::{Timestamp, ToSpan};
use serde::{Deserialize, Serialize};

use crate::{BlobId, CatalogueError, Release, Store, StoreError, keys};

pub use collect::{Collected, Options, Plan, Retained, carry_out, plan};
pub use copy::{Conflict, Copied, CopyError, Damaged, copy};
pub use retention::Retention;

/// What is told while a long piece of work goes on: its name, how many are done, of how many.
pub type Progress<'p> = &'p mut dyn FnMut(&str, usize, usize);

/// Blobs that are being removed, or have been a short while ago.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Removal {
    at: Timestamp,
    done: bool,
    blobs: Vec<BlobId>,
}

/// After this long whoever wrote a removal down and did not finish it is dead.
const DEAD_MINUTES: i64 = 10;

/// So long a commit waits for a collection of garbage.
const PATIENCE: Duration = Duration::from_secs(60);

/// Returns once nothing that the release needs is being removed, and all of it that was going to be is there.
pub(crate) fn outlive_removals(store: &dyn Store, release: &Release) -> Result<(), CatalogueError> {
    let started = Instant::now();
    loop {
        let entries = crate::all_entries(store, keys::REMOVALS)?;
        if entries.is_empty() {
            return Ok(());
        }
        let mut needed = release.blobs();
        for state in release.stacks.iter().filter_map(|stack| stack.state.as_ref()) {
            needed.extend(store.blob_bases(&state.blob)?);
        }
        let mut wait = false;
        let mut doubtful: BTreeSet<BlobId> = BTreeSet::new();
        for entry in entries {
            // What is no list of blobs names none.
            let Ok(removal) = serde_json::from_slice::<Removal>(&entry.value) else {
                continue;
            };
            let hit: Vec<BlobId> = removal.blobs.into_iter().filter(|id| needed.contains(id)).collect();
            wait |= !hit.is_empty() && !removal.done && removal.at > Timestamp::now() - DEAD_MINUTES.minutes();
            doubtful.extend(hit);
        }
        if !wait {
            for id in doubtful {
                if !store.has_blob(&id)? {
                    return Err(CatalogueError::Invalid {
                        release: release.id.clone(),
                        reason: format!(
                            "blob {id} was removed by `store gc` meanwhile, as no release needed it: take it again"
                        ),
                    });
                }
            }
            return Ok(());
        }
        if started.elapsed() > PATIENCE {
            return Err(StoreError::Busy {
                place: "the collection of garbage (`store gc`)".to_owned(),
                waited_seconds: PATIENCE.as_secs(),
            }
            .into());
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}
