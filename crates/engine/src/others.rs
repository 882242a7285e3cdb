//! What the other stacks of the project have: an object that went from one to another goes back to it.

use rollback_inverse::{Elsewhere, Fate, InversePlan};
use rollback_state::State;

use crate::context::Context;
use crate::error::Result;
use crate::live::Live;
use crate::target::Target;

/// Whether anything of a plan could be otherwise if another stack had the object: only then are the others looked at.
pub(crate) fn matter(context: &Context, plan: &InversePlan) -> bool {
    context.settings.stacks.len() > 1
        && plan
            .changes
            .iter()
            .any(|change| change.fate == Fate::Destroy || change.gone().is_some())
}

/// Looks at the stacks beside this one, now and at the target.
///
/// # Errors
/// A state of the target cannot be read.
pub(crate) fn look(context: &Context, own: &str, target: &Target, elsewhere: &mut Elsewhere) -> Result<()> {
    for stack in context.others(own) {
        let Some((_, record)) = target.release_of(&stack.name) else {
            continue;
        };
        // What cannot be read now says nothing; where that stack is rolled back itself, it says so there.
        let Ok(live) = Live::read(context, &stack) else {
            continue;
        };
        let Some(now) = live.state() else { continue };
        let then = match &record.state {
            Some(state) => context.catalogue().state(state)?,
            None => State::empty("1.5.0", ""),
        };
        elsewhere.stack(&stack.name, now, &then);
    }
    Ok(())
}
