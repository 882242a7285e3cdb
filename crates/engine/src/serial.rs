//! The serial of a state that we are about to write.

use rollback_release::{BlobId, States};
use rollback_terraform::StateHeader;

use crate::context::{Context, Stack};
use crate::error::{EngineError, Result};
use crate::journal::{Event, Journal};
use crate::live::Live;
use crate::run::Runs;

/// One more than every serial that was ever seen of a stack's state: by the backend's present and former versions, by releases,
/// by writes through the service, by runs whose result no release keeps. Terraform applies a saved plan whenever lineage and
/// serial are those of the state (1.11, `backend/local`), so that no serial may come twice.
///
/// Serials of other lineages count, too: a serial that is higher than it has to be does no harm.
///
/// # Errors
/// The backend or the store cannot be read.
pub(crate) fn next(context: &Context, stack: &Stack, live: &Live) -> Result<u64> {
    let mut highest = live
        .storage(context)?
        .highest_serial()
        .map_err(crate::terraform_error)?;
    for version in context.catalogue().state_versions(&stack.name)? {
        highest = highest.max(version.state.serial);
    }
    let written = States::new(context.store.as_ref(), &context.project, &stack.name, live.workspace())
        .highest_serial()
        .map_err(|error| EngineError::failed(error.to_string()))?;
    Ok(highest.max(written).max(meant_by_runs(context, stack)?) + 1)
}

/// The highest serial that runs meant to write which are over and have no release of their result. What an unfinished run meant
/// to write either lies in the backend, or was seen by nobody: it may mean the same once more.
fn meant_by_runs(context: &Context, stack: &Stack) -> Result<u64> {
    let mut highest = 0;
    for (run, _) in Runs::new(context.store.as_ref(), &context.project).all()? {
        if !run.status.is_over() || run.result.is_some() || !run.is_about(&stack.name) {
            continue;
        }
        for entry in Journal::open(context.store.as_ref(), &context.project, &run.id)?.entries() {
            if let Event::StateWriteIntended {
                stack: named, to_blob, ..
            } = &entry.event
                && *named == stack.name
                && let Ok(id) = to_blob.parse::<BlobId>()
                && let Ok(bytes) = context.store.get_blob(&id)
                && let Ok(header) = StateHeader::parse(&bytes)
            {
                highest = highest.max(header.serial);
            }
        }
    }
    Ok(highest)
}
