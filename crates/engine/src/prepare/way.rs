//! From what is deployed to the target: everything that is known of a stack's way back before Terraform is asked.

use rollback_config::FileTree;
use rollback_inverse::{Elsewhere, Input, InversePlan, Joined, compute_beside, join};
use rollback_repository::CommitId;

use super::Request;
use super::goal::Goal;
use crate::assigned::Values;
use crate::carry::{self, Carried};
use crate::closure;
use crate::context::Context;
use crate::deployed::Deployed;
use crate::error::Result;
use crate::live::Live;
use crate::serial;

pub(super) struct Way<'a> {
    pub context: &'a Context,
    pub request: &'a Request<'a>,
    /// The target's.
    pub commit: &'a CommitId,
    pub goal: &'a Goal,
    pub goal_tree: Option<&'a dyn FileTree>,
    pub goal_values: Values<'a>,
    pub deployed: &'a Deployed,
    pub deployed_tree: Option<&'a dyn FileTree>,
    pub deployed_values: Values<'a>,
    pub live: &'a Live,
    pub input: Input<'a>,
}

/// An inverse plan, and what it needs beside the target's configuration.
pub(super) struct Arranged {
    pub inverse: InversePlan,
    pub carried: Carried,
    pub joined: Joined,
}

impl Way<'_> {
    /// The inverse plan of what was chosen.
    ///
    /// # Errors
    /// What was chosen is not there.
    pub fn invert(&self, elsewhere: &Elsewhere) -> Result<InversePlan> {
        let mut inverse = compute_beside(&self.input, elsewhere);
        let (current, target) = (self.input.current, self.input.target);
        closure::restrict(&mut inverse, self.request.targets, current, target)?;
        Ok(inverse)
    }

    /// # Errors
    /// The states cannot be joined, or a provider's configuration cannot be carried over.
    pub fn arrange(&self, inverse: InversePlan) -> Result<Arranged> {
        let current = self.input.current;
        let carried = carry::carry(
            &inverse.orphaned_providers,
            &self.deployed.configuration,
            &|name| self.deployed_values.value(name),
            &self.goal.configuration,
        )?;
        let serial = current.serial() + 1;
        let mut joined = join(current, self.input.target, &inverse, serial, &carried.rewrites)?;
        if !joined.edited {
            // Nothing is written then, so that the plan must be of the very bytes that are live.
            joined.state = current.clone();
        } else if self.request.folder.is_some() {
            // Only what may be written is worth the look at everything that was ever written.
            let mut editor = joined.state.edit();
            editor.set_serial(serial::next(self.context, self.request.stack, self.live)?);
            joined.state = editor.finish()?;
        }
        Ok(Arranged {
            inverse,
            carried,
            joined,
        })
    }
}
