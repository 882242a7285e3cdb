//! Edits of a state that leave every byte alone which they do not concern.
//!
//! An [`Editor`] collects what is to happen to single objects; [`Editor::finish`] decides what becomes of each
//! (`plan`) and which entry of `resources` it ends up in (`layout`), and splices the bytes (`splice`, `render`).

mod attributes;
mod layout;
mod plan;
mod render;
mod splice;

use std::collections::BTreeMap;

pub use attributes::Revalued;

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
        id: Box<InstanceId>,
    },
    /// Two objects would stand at one address.
    #[error("two objects would stand at {id}: {first}, and {second}")]
    Collision {
        /// The address.
        id: Box<InstanceId>,
        /// Where one of them comes from.
        first: String,
        /// Where the other comes from.
        second: String,
    },
    /// Two edits of one object contradict each other.
    #[error("{id} cannot be {first} and {second} at once")]
    Contradiction {
        /// The object.
        id: Box<InstanceId>,
        /// What was asked for first.
        first: String,
        /// What was asked for then.
        second: String,
    },
    /// An object would get another type or mode than its attributes are of.
    #[error("{from} cannot become {to}: it would be of another type")]
    TypeChange {
        /// Where the attributes come from.
        from: Box<InstanceId>,
        /// Where they would stand.
        to: Box<Address>,
    },
    /// The result is not a state: a defect of this crate, found before anything was written.
    #[error("the edited state would not be valid: {0}")]
    Invalid(#[from] StateError),
}

impl EditError {
    /// What to do next, where a person can do something.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            EditError::NotFound { .. } => "`terraform state list` prints what is in the state",
            EditError::Collision { .. } => "move or remove one of the two as well",
            EditError::Contradiction { .. } => "decide for one of the two",
            EditError::TypeChange { .. } => "take the object's attributes from a state where it has the other type",
            EditError::Invalid(_) => "please report this; the state was not changed",
        };
        Some(hint.to_owned())
    }
}

/// Collects edits of a state; [`Editor::finish`] makes them all at once.
///
/// Ids are those of the state before the edits, so that moves are simultaneous: two objects can change places. Where
/// no object of the state has an id, one that was grafted to that address is meant.
#[derive(Clone, Debug)]
pub struct Editor {
    state: State,
    serial: Option<u64>,
    lineage: Option<String>,
    changes: BTreeMap<usize, Change>,
    grafts: Vec<Graft>,
}

/// What happens to one object of the state.
#[derive(Clone, Debug, Default)]
struct Change {
    removed: bool,
    to: Option<Address>,
    body: Option<(State, usize)>,
    details: Details,
}

/// An object of another state that comes in.
#[derive(Clone, Debug)]
struct Graft {
    from: State,
    position: usize,
    id: InstanceId,
    details: Details,
}

/// What can be set on any object.
#[derive(Clone, Debug, Default)]
struct Details {
    provider: Option<String>,
    tainted: Option<bool>,
}

impl Editor {
    pub(crate) fn new(state: State) -> Self {
        Self {
            state,
            serial: None,
            lineage: None,
            changes: BTreeMap::new(),
            grafts: Vec::new(),
        }
    }

    /// Sets the serial.
    pub fn set_serial(&mut self, serial: u64) {
        self.serial = Some(serial);
    }

    /// Sets the lineage.
    pub fn set_lineage(&mut self, lineage: &str) {
        self.lineage = Some(lineage.to_owned());
    }

    /// Takes an object out, and with the last object of a resource the resource.
    ///
    /// # Errors
    /// [`EditError::NotFound`]; [`EditError::Contradiction`] where it is also moved or replaced.
    pub fn remove(&mut self, id: &InstanceId) -> Result<(), EditError> {
        let change = self.change(id)?;
        if change.to.is_some() || change.body.is_some() {
            let first = if change.to.is_some() { "moved" } else { "replaced" };
            return Err(contradiction(id, first, "removed"));
        }
        change.removed = true;
        Ok(())
    }

    /// Moves one object to another address. All moves are simultaneous.
    ///
    /// A deposed object stays deposed under its key, and it moves only if it is named itself. Where all that stood
    /// at a configuration address goes to one other, `dependencies` that mention it are rewritten, as Terraform does
    /// for `moved` blocks.
    ///
    /// # Errors
    /// [`EditError::NotFound`]; [`EditError::Contradiction`] where it is also removed, or moved elsewhere.
    pub fn move_to(&mut self, id: &InstanceId, to: &Address) -> Result<(), EditError> {
        let change = self.change(id)?;
        if change.removed {
            return Err(contradiction(id, "removed", "moved"));
        }
        match &change.to {
            Some(already) if already != to => Err(contradiction(
                id,
                &format!("moved to {already}"),
                &format!("moved to {to}"),
            )),
            _ => {
                change.to = Some(to.clone());
                Ok(())
            }
        }
    }

    /// Takes an object of another state in, at the given address, with its resource's provider.
    ///
    /// Its dependencies are kept as that state has them. A deposed object stays deposed.
    ///
    /// # Errors
    /// [`EditError::NotFound`] where the other state has no such object.
    pub fn graft(&mut self, from: &State, id: &InstanceId, to: &Address) -> Result<(), EditError> {
        let position = from.position(id).ok_or_else(|| not_found(id))?;
        let id = InstanceId {
            address: to.clone(),
            deposed: id.deposed.clone(),
        };
        self.grafts.push(Graft {
            from: from.clone(),
            position,
            id,
            details: Details::default(),
        });
        Ok(())
    }

    /// Gives an object the body of an object of another state: everything but its key and whether it is deposed.
    ///
    /// Its resource keeps its provider, and its dependencies are as the other state has them.
    ///
    /// # Errors
    /// [`EditError::NotFound`] for either object; [`EditError::Contradiction`] where it is also removed, or replaced
    /// already.
    pub fn replace(&mut self, id: &InstanceId, from: &State, from_id: &InstanceId) -> Result<(), EditError> {
        let position = from.position(from_id).ok_or_else(|| not_found(from_id))?;
        let change = self.change(id)?;
        if change.removed {
            return Err(contradiction(id, "removed", "replaced"));
        }
        if change.body.is_some() {
            return Err(contradiction(id, "replaced", "replaced again"));
        }
        change.body = Some((from.clone(), position));
        Ok(())
    }

    /// Sets the provider configuration, such as `provider["registry.terraform.io/hashicorp/aws"].west`.
    ///
    /// An object with a provider of its own (OpenTofu) gets it there. Otherwise its resource gets it, and where other
    /// objects of the resource keep theirs, it goes to an entry of its own.
    ///
    /// # Errors
    /// [`EditError::NotFound`]; [`EditError::Contradiction`] where it is removed.
    pub fn set_provider(&mut self, id: &InstanceId, provider: &str) -> Result<(), EditError> {
        self.details(id)?.provider = Some(provider.to_owned());
        Ok(())
    }

    /// Marks an object as tainted, or not.
    ///
    /// # Errors
    /// [`EditError::NotFound`]; [`EditError::Contradiction`] where it is removed.
    pub fn set_tainted(&mut self, id: &InstanceId, tainted: bool) -> Result<(), EditError> {
        self.details(id)?.tainted = Some(tainted);
        Ok(())
    }

    /// Makes the edits and reads the result. Without edits the result has the very same bytes.
    ///
    /// # Errors
    /// [`EditError::Collision`] where two objects would stand at one address, [`EditError::TypeChange`] where one
    /// would get another type.
    pub fn finish(self) -> Result<State, EditError> {
        plan::finish(&self)
    }

    fn change(&mut self, id: &InstanceId) -> Result<&mut Change, EditError> {
        let position = self.state.position(id).ok_or_else(|| not_found(id))?;
        Ok(self.changes.entry(position).or_default())
    }

    fn details(&mut self, id: &InstanceId) -> Result<&mut Details, EditError> {
        if self.state.position(id).is_some() {
            let change = self.change(id)?;
            if change.removed {
                return Err(contradiction(id, "removed", "changed"));
            }
            return Ok(&mut change.details);
        }
        match self.grafts.iter_mut().find(|graft| graft.id == *id) {
            Some(graft) => Ok(&mut graft.details),
            None => Err(not_found(id)),
        }
    }
}

fn not_found(id: &InstanceId) -> EditError {
    EditError::NotFound {
        id: Box::new(id.clone()),
    }
}

fn contradiction(id: &InstanceId, first: &str, second: &str) -> EditError {
    EditError::Contradiction {
        id: Box::new(id.clone()),
        first: first.to_owned(),
        second: second.to_owned(),
    }
}
