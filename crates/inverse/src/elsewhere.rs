//! What is known of objects beyond the two states of a stack: that another stack has them, or that their provider still
//! finds them. An object that went from one stack to another must go back to it, not be destroyed here and made anew
//! there; one that somebody took out of the state by hand was never destroyed.

use std::collections::{HashMap, HashSet};

use rollback_state::{Instance, InstanceId, Mode, State};

use crate::matching::{kind, place_of, source};

/// Which object it is, whichever state tells of it: provider, type, id, and where it lives as far as its attributes say.
type Key = (String, String, String, Option<String>);

/// What is known of objects beyond the two states.
#[derive(Clone, Debug, Default)]
pub struct Elsewhere {
    /// Objects that came to another stack since, by its name.
    went: HashMap<Key, String>,
    /// Objects that left another stack since, by its name.
    came: HashMap<Key, String>,
    /// Objects of the target's state that their provider has found.
    found: HashSet<InstanceId>,
    /// Objects of the current state that Terraform itself made, whatever an `import` block says.
    made: HashSet<InstanceId>,
}

impl Elsewhere {
    /// Another stack, now and at the target.
    pub fn stack(&mut self, name: &str, current: &State, target: &State) {
        let (now, then) = (keys(current), keys(target));
        self.went
            .extend(now.difference(&then).map(|key| (key.clone(), name.to_owned())));
        self.came
            .extend(then.difference(&now).map(|key| (key.clone(), name.to_owned())));
    }

    /// An object of the target's state that its provider has found.
    pub fn found(&mut self, instance: InstanceId) {
        self.found.insert(instance);
    }

    /// An object of the current state that Terraform itself made, though there is an `import` block for its address: it
    /// took the place of what was imported, or the block came later.
    pub fn made(&mut self, instance: InstanceId) {
        self.made.insert(instance);
    }

    /// The stack that has an object of the target's state now.
    pub(crate) fn has_it(&self, target: &State, instance: &Instance) -> Option<&str> {
        self.went.get(&key(target, instance)?).map(String::as_str)
    }

    /// The stack that had an object of the current state at the target.
    pub(crate) fn had_it(&self, current: &State, instance: &Instance) -> Option<&str> {
        self.came.get(&key(current, instance)?).map(String::as_str)
    }

    pub(crate) fn is_made(&self, instance: &Instance) -> bool {
        self.made.contains(instance.id())
    }

    pub(crate) fn is_found(&self, instance: &Instance) -> bool {
        self.found.contains(instance.id())
    }
}

fn keys(state: &State) -> HashSet<Key> {
    let managed = |instance: &&Instance| instance.mode() == Mode::Managed && instance.deposed().is_none();
    state
        .instances()
        .filter(managed)
        .filter_map(|instance| key(state, instance))
        .collect()
}

fn key(state: &State, instance: &Instance) -> Option<Key> {
    let id = instance.identifier(state)?;
    let place = place_of(state, instance);
    // `default/app` is in every cluster: without a place only an id that nothing else can have tells.
    if place.is_none() && !is_unique_id(&id) {
        return None;
    }
    Some((source(instance).to_owned(), kind(instance).to_owned(), id, place))
}

/// Whether an id is one of those that are made up at random, so that no other object can have it: a UUID, `rtbassoc-0b5c8f2f7d1d9e6a3`, a long number.
pub fn is_unique_id(id: &str) -> bool {
    const ENOUGH: usize = 12;
    let longest = id
        .split(|character: char| !character.is_ascii_hexdigit())
        .filter(|run| run.contains(|character: char| character.is_ascii_digit()))
        .map(str::len)
        .max();
    longest.is_some_and(|length| length >= ENOUGH)
}
