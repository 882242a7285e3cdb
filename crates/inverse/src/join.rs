//! The joined state: every object that lives now under the address that it had at the target.
//!
//! Terraform, planning the target's configuration over it, moves nothing, destroys what was added
//! since, and takes in again what was let go since. Swaps and rotations are simultaneous moves.

use std::collections::HashSet;

use rollback_state::{Address, EditError, InstanceId, State};
use thiserror::Error;

use crate::{Fate, InversePlan};

/// A provider address to be written in the place of the one that an object has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderRewrite {
    /// The object, as it stands in the current state.
    pub instance: InstanceId,
    /// The provider address that it is expected to have: `provider["registry.terraform.io/hashicorp/aws"].west`.
    pub from: String,
    /// The one to write.
    pub to: String,
}

/// What the joined state could not bring about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unresolved {
    /// The object's address at the target.
    pub address: Address,
    /// Why, in one plain sentence.
    pub why: String,
}

/// The joined state.
#[derive(Clone, Debug)]
pub struct Joined {
    /// The state; the current one to the byte where `edited` is false.
    pub state: State,
    /// Whether anything but the serial differs from the current state.
    pub edited: bool,
    /// Objects that should have been taken in, of which no state holds a record.
    pub unresolved: Vec<Unresolved>,
}

/// Why no joined state can be made.
#[derive(Debug, Error)]
pub enum JoinError {
    /// The plan names an object that the state does not have: it was made from another state.
    #[error("{instance} is in the inverse plan but not in the state: the state has changed since the plan was made")]
    NotInState {
        /// The object.
        instance: Box<InstanceId>,
    },
    /// A rewrite expects another provider address than the object has.
    #[error("{instance} is managed by {found}, not by {expected}")]
    OtherProvider {
        /// The object.
        instance: Box<InstanceId>,
        /// The provider address that it has.
        found: String,
        /// The one that was expected.
        expected: String,
    },
    /// The state refuses the edit.
    #[error("the joined state cannot be written: {0}")]
    Edit(#[source] Box<EditError>),
}

impl From<EditError> for JoinError {
    fn from(error: EditError) -> Self {
        JoinError::Edit(Box::new(error))
    }
}

impl JoinError {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            JoinError::NotInState { .. } | JoinError::OtherProvider { .. } => {
                Some("Compute the inverse plan again from the state as it is now.".to_string())
            }
            JoinError::Edit(error) => error.hint().or_else(|| match **error {
                EditError::Collision { .. } => {
                    Some("Move one of the two aside with `terraform state mv`, then plan again.".to_string())
                }
                _ => None,
            }),
        }
    }
}

/// Makes the joined state of a plan with the given serial.
///
/// `current` and `target` are the states that the plan was computed from.
///
/// # Errors
/// [`JoinError`]: the state is not the one that the plan was made from, or the edit is refused.
pub fn join(
    current: &State,
    target: Option<&State>,
    plan: &InversePlan,
    serial: u64,
    rewrites: &[ProviderRewrite],
) -> Result<Joined, JoinError> {
    let mut editor = current.edit();
    let mut edited = false;
    let mut unresolved = Vec::new();
    let rewritten: HashSet<&InstanceId> = rewrites.iter().map(|rewrite| &rewrite.instance).collect();
    for change in &plan.changes {
        let Some(from) = &change.from else {
            if change.fate == Fate::Adopt {
                let to = change.to.as_ref().unwrap_or_else(|| change.address());
                match (&change.record.counterpart, target) {
                    (Some(counterpart), Some(target)) => {
                        editor.graft(target, counterpart, to)?;
                        edited = true;
                    }
                    _ => unresolved.push(Unresolved {
                        address: to.clone(),
                        why: format!(
                            "no snapshot holds the id of {to}: import it by hand, or Terraform makes a second one"
                        ),
                    }),
                }
            }
            continue;
        };
        if current.instance(from).is_none() {
            return Err(JoinError::NotInState {
                instance: Box::new(from.clone()),
            });
        }
        if change.fate == Fate::Forget {
            editor.remove(from)?;
            edited = true;
            continue;
        }
        let record = &change.record;
        if record.take_body
            && let (Some(counterpart), Some(target)) = (&record.counterpart, target)
        {
            editor.replace(from, target, counterpart)?;
            edited = true;
        } else if record.lift_taint {
            editor.set_tainted(from, false)?;
            edited = true;
        }
        if let Some(provider) = &record.provider
            && !rewritten.contains(from)
        {
            editor.set_provider(from, provider)?;
            edited = true;
        }
        let to = change.parked.as_ref().or(change.to.as_ref());
        if let Some(to) = to.filter(|to| **to != from.address) {
            editor.move_to(from, to)?;
            edited = true;
        }
    }
    for rewrite in rewrites {
        let instance = current
            .instance(&rewrite.instance)
            .ok_or_else(|| JoinError::NotInState {
                instance: Box::new(rewrite.instance.clone()),
            })?;
        if instance.provider() != rewrite.from {
            return Err(JoinError::OtherProvider {
                instance: Box::new(rewrite.instance.clone()),
                found: instance.provider().to_string(),
                expected: rewrite.from.clone(),
            });
        }
        editor.set_provider(&rewrite.instance, &rewrite.to)?;
        edited = true;
    }
    editor.set_serial(serial);
    Ok(Joined {
        state: editor.finish()?,
        edited,
        unresolved,
    })
}
