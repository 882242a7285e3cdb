//! Whether the live state and a release's are of one stack.

use std::collections::BTreeSet;

use rollback_inverse::is_unique_id;
use rollback_state::{Mode, State};

use crate::context::Stack;
use crate::error::{EngineError, Result};
use crate::live::Live;

/// A warning where only the objects tell that they are.
///
/// # Errors
/// [`Kind::Refused`](crate::error::Kind::Refused) where the live state is gone, or is another stack's.
pub(super) fn check(stack: &Stack, live: &Live, target: Option<&State>) -> Result<Option<String>> {
    let warning = check_lineage(stack, live, target)?;
    if live.state().is_none() && target.is_some_and(|state| state.instances().next().is_some()) {
        return Err(EngineError::refused(format!(
            "stack {}: there is no live state at {}, though the release has one: terraform would make every object a second time",
            stack.name,
            live.location()
        ))
        .hint("if the state was lost, `infra-rollback state restore` brings a kept one back")
        .hint("if it moved, run `terraform init` in the stack's folder so that its backend is known"));
    }
    Ok(warning)
}

/// A state of another lineage is another stack's, or this one's that was made anew. But `terraform init -migrate-state` gives
/// a state that moves to another backend a new lineage, too (seen with 1.11): the objects tell.
fn check_lineage(stack: &Stack, live: &Live, target: Option<&State>) -> Result<Option<String>> {
    let (Some(live), Some(target)) = (live.state(), target) else {
        return Ok(None);
    };
    if !live.lineage().is_empty() && !target.lineage().is_empty() && live.lineage() != target.lineage() {
        if have_an_object_in_common(live, target) {
            return Ok(Some(format!(
                "the live state has lineage {} and the release has {}, and they have objects in common: the state was moved to \
                 another backend since",
                live.lineage(),
                target.lineage()
            )));
        }
        return Err(EngineError::refused(format!(
            "stack {}: the live state has lineage {} and the release has {}: the stack was created anew since, these are other objects",
            stack.name,
            live.lineage(),
            target.lineage()
        ))
        .hint("check the backend and the workspace of the stack; a release of another lineage cannot be gone back to"));
    }
    Ok(None)
}

/// Whether one object with an id that was made up is in both.
fn have_an_object_in_common(left: &State, right: &State) -> bool {
    let ids = |state: &State| -> BTreeSet<(String, String)> {
        let managed = state.instances().filter(|instance| instance.mode() == Mode::Managed);
        let named = managed.filter_map(|instance| {
            let id = instance.identifier(state).filter(|id| is_unique_id(id))?;
            Some((instance.address().resource.kind.clone(), id))
        });
        named.collect()
    };
    !ids(left).is_disjoint(&ids(right))
}
