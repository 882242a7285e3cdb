//! Edits by span.

use crate::address::{Address, InstanceId};
use crate::error::StateError;
use crate::state::State;

/// Why an edit cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EditError {
    /// The state has no such object.
    #[error("{id} is not in the state")]
    NotFound {
        /// What was asked for.
        id: InstanceId,
    },
    /// Two objects would stand at one address.
    #[error("{id} would hold two objects: {first}, and {second}")]
    Collision {
        /// The address.
        id: InstanceId,
        /// One of them.
        first: String,
        /// The other.
        second: String,
    },
    /// Two edits of one object contradict each other.
    #[error("{id} is {first} and also {second}")]
    Contradiction {
        /// The object.
        id: InstanceId,
        /// What was asked for first.
        first: String,
        /// What was asked for then.
        second: String,
    },
    /// An object cannot change its type or mode.
    #[error("{from} cannot become {to}: its type would change")]
    TypeChange {
        /// The object.
        from: InstanceId,
        /// What it should become.
        to: Address,
    },
    /// The result is not a state; a defect of this crate.
    #[error("the edited state is not valid")]
    Invalid(#[from] StateError),
}

impl EditError {
    /// What to do next, where a person can do something.
    pub fn hint(&self) -> Option<String> {
        None
    }
}

/// Collects edits of a state; [`Editor::finish`] makes them all at once.
///
/// Every id is that of the state before the edits.
#[derive(Clone, Debug)]
pub struct Editor {
    state: State,
}

#[allow(unused_variables, missing_docs)]
impl Editor {
    pub(crate) fn new(state: State) -> Self {
        Self { state }
    }
    pub fn set_serial(&mut self, serial: u64) {}
    pub fn set_lineage(&mut self, lineage: &str) {}
    pub fn remove(&mut self, id: &InstanceId) -> Result<(), EditError> {
        Ok(())
    }
    pub fn move_to(&mut self, id: &InstanceId, to: &Address) -> Result<(), EditError> {
        Ok(())
    }
    pub fn graft(&mut self, from: &State, id: &InstanceId, to: &Address) -> Result<(), EditError> {
        Ok(())
    }
    pub fn replace(&mut self, id: &InstanceId, from: &State, from_id: &InstanceId) -> Result<(), EditError> {
        Ok(())
    }
    pub fn set_provider(&mut self, id: &InstanceId, provider: &str) -> Result<(), EditError> {
        Ok(())
    }
    pub fn set_tainted(&mut self, id: &InstanceId, tainted: bool) -> Result<(), EditError> {
        Ok(())
    }
    pub fn finish(self) -> Result<State, EditError> {
        Ok(self.state)
    }
}
