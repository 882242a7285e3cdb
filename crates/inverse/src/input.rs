//! What the inverse plan is computed from.

use rollback_config::Configuration;
use rollback_state::State;

use crate::Knowledge;

/// Which way in time one goes from the entry before to this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// This configuration is older than the one before it: `moved` and `removed` blocks of the one
    /// before tell what happened between the two.
    Back,
    /// This configuration is newer than the one before it: its own blocks tell.
    Forward,
}

/// One configuration on the way from the current release to the target.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// The configuration as it stood there.
    pub configuration: &'a Configuration,
    /// How one comes here from the entry before; without meaning for the first.
    pub direction: Direction,
}

/// Everything that [`crate::compute`] looks at. It reads no file and calls no provider.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    /// The state as it is now.
    pub current: &'a State,
    /// The state at the target; none where no snapshot has it.
    pub target: Option<&'a State>,
    /// The configuration that belongs to the current state.
    pub current_config: Option<&'a Configuration>,
    /// The configuration that is gone back to.
    pub target_config: Option<&'a Configuration>,
    /// The way from the current configuration to the target's, both included, one entry for each
    /// distinct configuration. May be empty: then the two above stand for it, as one step back.
    pub history: &'a [Step<'a>],
    /// What is known of resource types.
    pub knowledge: &'a Knowledge,
    /// Strings that must never show beside what the states mark as sensitive: the values of
    /// sensitive variables, for example.
    pub secrets: &'a [String],
}
