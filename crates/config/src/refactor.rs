//! Following an object's address from one configuration to another through `moved` blocks.
//!
//! The rules are Terraform's (seen with 1.11.4):
//! - `a -> b` without keys carries every instance of a resource; `module.a -> module.b` without keys every
//!   instance of a module, whatever keys it has. With a key on either side exactly one instance moves, and no
//!   key means the instance without one.
//! - Endpoints count from the module of the block, for every instance of that module. Keys on the way are
//!   exact: `module.c.x` is not `module.c["k"].x`, and `[0]` is not `["0"]`.
//! - Blocks chain, and one within a module applies before the move of that module.
//! - A move whose destination is occupied does not happen.
//! - When `count` comes or goes, `a` and `a[0]` are one object without a block, but only if no block, stale
//!   ones included, names that resource, and not for modules.

use crate::model::{Configuration, Declaration, Endpoint, Moved, Repetition, names};
use rollback_state::{Address, Key, Mode};
use std::collections::{HashMap, HashSet};

/// An address on the other side, and how it was reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    pub address: Address,
    /// The blocks on the way, nearest first.
    pub steps: Vec<Step>,
}

/// One step of a trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The address after this step.
    pub address: Address,
    /// Where the `moved` block stands; `None` for what Terraform moves by itself (`a` and `a[0]`).
    pub at: Option<crate::Location>,
}

/// The address that the object at `address` in `new` had in `old`, by the `moved` blocks of `new`.
///
/// `None` where the older configuration certainly declares no such object: it was added. What only a module
/// that is not at hand or a computed key could tell counts as declared. A block that `old` has too is stale: it
/// is followed only where the older configuration does not declare where it leads to, and declares where it comes
/// from. Without an older configuration every block is followed as far as it leads.
pub fn trace_back(new: &Configuration, old: Option<&Configuration>, address: &Address) -> Option<Address> {
    Tracer::new(new, old).back(address).map(|trace| trace.address)
}

/// The address that the object at `address` in `old` gets in `new`, by the `moved` blocks of `new`.
///
/// `None` where the newer configuration certainly declares no such object: it is destroyed, or let go.
pub fn trace_forward(old: Option<&Configuration>, new: &Configuration, address: &Address) -> Option<Address> {
    Tracer::new(new, old).forward(address).map(|trace| trace.address)
}

/// [`trace_back`] through several configurations, newest first.
pub fn trace_back_through(history: &[&Configuration], address: &Address) -> Option<Address> {
    let mut address = address.clone();
    for pair in history.windows(2) {
        address = trace_back(pair[0], Some(pair[1]), &address)?;
    }
    Some(address)
}

/// [`trace_forward`] through several configurations, oldest first.
pub fn trace_forward_through(history: &[&Configuration], address: &Address) -> Option<Address> {
    let mut address = address.clone();
    for pair in history.windows(2) {
        address = trace_forward(Some(pair[0]), pair[1], &address)?;
    }
    Some(address)
}

/// Which block of a configuration an endpoint is about, without keys: where to look for blocks.
type Place = (Vec<String>, Option<(Mode, String, String)>);

/// Blocks followed one after the other, more than any chain has.
const LONGEST_CHAIN: usize = 400;
/// Addresses tried for one trace; only blocks made to mislead lead to so many.
const MOST_ADDRESSES: usize = 500;

struct Block<'c> {
    base: &'c [String],
    moved: &'c Moved,
    stale: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Back,
    Forward,
}

/// The `moved` blocks of one configuration against an older one, indexed for many addresses.
pub struct Tracer<'c> {
    new: &'c Configuration,
    old: Option<&'c Configuration>,
    blocks: Vec<Block<'c>>,
    by_from: HashMap<Place, Vec<usize>>,
    by_to: HashMap<Place, Vec<usize>>,
}

impl<'c> Tracer<'c> {
    /// The blocks of `new`, told apart into new and stale ones by what `old` has.
    pub fn new(new: &'c Configuration, old: Option<&'c Configuration>) -> Tracer<'c> {
        let known: HashSet<(&[String], &Endpoint, &Endpoint)> = old
            .into_iter()
            .flat_map(Configuration::moved_blocks)
            .map(|(module, moved)| (module.path.as_slice(), &moved.from, &moved.to))
            .collect();
        let mut tracer = Tracer {
            new,
            old,
            blocks: Vec::new(),
            by_from: HashMap::new(),
            by_to: HashMap::new(),
        };
        for (module, moved) in new.moved_blocks() {
            let base = module.path.as_slice();
            let index = tracer.blocks.len();
            tracer.by_from.entry(place(base, &moved.from)).or_default().push(index);
            tracer.by_to.entry(place(base, &moved.to)).or_default().push(index);
            let stale = known.contains(&(base, &moved.from, &moved.to));
            tracer.blocks.push(Block { base, moved, stale });
        }
        tracer
    }

    /// As [`trace_back`], with the way.
    pub fn back(&self, address: &Address) -> Option<Trace> {
        let mut steps = Vec::new();
        if let Some((_, trace)) = self.search(address, &mut steps, &mut HashSet::new(), &mut HashSet::new()) {
            return Some(trace);
        }
        let before = self.implied(address, Direction::Back)?;
        let step = Step {
            address: before.clone(),
            at: None,
        };
        (self.old?.declaration(&before) != Declaration::Absent).then(|| Trace {
            address: before,
            steps: vec![step],
        })
    }

    /// The best end of the ways that lead back from here: declared before unknown, the nearest block first.
    fn search(
        &self,
        here: &Address,
        steps: &mut Vec<Step>,
        used: &mut HashSet<usize>,
        seen: &mut HashSet<Address>,
    ) -> Option<(Declaration, Trace)> {
        if steps.len() > LONGEST_CHAIN || seen.len() > MOST_ADDRESSES || !seen.insert(here.clone()) {
            return None;
        }
        let arrived = |steps: &Vec<Step>| Trace {
            address: here.clone(),
            steps: steps.clone(),
        };
        let declaration = self.old.map(|old| old.declaration(here));
        if declaration == Some(Declaration::Declared) {
            return Some((Declaration::Declared, arrived(steps)));
        }
        let mut best = None;
        for (index, before) in self.matching(here, Direction::Back) {
            let block = &self.blocks[index];
            let leads_nowhere = block.stale
                && (declaration != Some(Declaration::Absent)
                    || self
                        .old
                        .is_some_and(|old| old.declaration(&before) == Declaration::Absent));
            if leads_nowhere || !used.insert(index) {
                continue;
            }
            steps.push(Step {
                address: before.clone(),
                at: Some(block.moved.at.clone()),
            });
            let found = self.search(&before, steps, used, seen);
            steps.pop();
            used.remove(&index);
            if let Some((declaration, trace)) = found {
                if declaration == Declaration::Declared {
                    return Some((declaration, trace));
                }
                best = best.or(Some((declaration, trace)));
            }
        }
        match declaration {
            Some(Declaration::Absent) => best,
            _ => best.or_else(|| Some((Declaration::Unknown, arrived(steps)))),
        }
    }

    /// As [`trace_forward`], with the way.
    pub fn forward(&self, address: &Address) -> Option<Trace> {
        let trace = self.carried(address);
        (self.new.declaration(&trace.address) != Declaration::Absent).then_some(trace)
    }

    /// Where the blocks of `new` carry an address, whether it is declared there or not: a `removed` block may wait for it.
    pub fn carried(&self, address: &Address) -> Trace {
        let mut here = address.clone();
        let mut steps = Vec::new();
        let mut used = HashSet::new();
        while steps.len() < LONGEST_CHAIN {
            let is_occupied = |after: &Address| {
                self.old
                    .is_some_and(|old| old.declaration(after) == Declaration::Declared)
            };
            let next = self
                .matching(&here, Direction::Forward)
                .into_iter()
                .find(|(index, after)| !used.contains(index) && !is_occupied(after));
            let Some((index, after)) = next else { break };
            used.insert(index);
            steps.push(Step {
                address: after.clone(),
                at: Some(self.blocks[index].moved.at.clone()),
            });
            here = after;
        }
        if steps.is_empty()
            && self.new.declaration(&here) == Declaration::Absent
            && let Some(after) = self.implied(&here, Direction::Forward)
        {
            steps.push(Step {
                address: after.clone(),
                at: None,
            });
            here = after;
        }
        Trace { address: here, steps }
    }

    /// The blocks that carry an address, with where they carry it, the most specific first: what a module moves
    /// within itself comes before the move of the module, in both directions.
    fn matching(&self, address: &Address, direction: Direction) -> Vec<(usize, Address)> {
        let index = if direction == Direction::Back {
            &self.by_to
        } else {
            &self.by_from
        };
        let resource = &address.resource;
        let path = names(&resource.module);
        let whole = (
            path.clone(),
            Some((resource.mode, resource.kind.clone(), resource.name.clone())),
        );
        let modules = (1..=path.len()).rev().map(|length| (path[..length].to_vec(), None));
        let mut found = Vec::new();
        for place in std::iter::once(whole).chain(modules) {
            for index in index.get(&place).into_iter().flatten() {
                let Block { base, moved, .. } = &self.blocks[*index];
                let (from, to) = match direction {
                    Direction::Back => (&moved.to, &moved.from),
                    Direction::Forward => (&moved.from, &moved.to),
                };
                if let Some(result) = carry(base.len(), from, to, address) {
                    found.push((*index, result));
                }
            }
        }
        found
    }

    /// What Terraform moves without a block: `a` and `a[0]` are one object where `count` comes or goes in the
    /// newer configuration. Backwards `address` is the newer name, forwards the older.
    fn implied(&self, address: &Address, direction: Direction) -> Option<Address> {
        let resource = &address.resource;
        let counted = match self.new.resource(resource)?.repetition {
            Repetition::Count(_) => true,
            Repetition::None => false,
            Repetition::ForEach(_) => return None,
        };
        let place = (
            names(&resource.module),
            Some((resource.mode, resource.kind.clone(), resource.name.clone())),
        );
        if self.by_from.contains_key(&place) || self.by_to.contains_key(&place) {
            return None;
        }
        let zero = Some(Key::Int(0));
        let (new, old) = if counted { (zero, None) } else { (None, zero) };
        let (here, there) = if direction == Direction::Back {
            (new, old)
        } else {
            (old, new)
        };
        (address.key == here).then(|| Address {
            resource: resource.clone(),
            key: there,
        })
    }
}

fn place(base: &[String], endpoint: &Endpoint) -> Place {
    let mut path = base.to_vec();
    path.extend(endpoint.module.iter().map(|step| step.name.clone()));
    (path, endpoint.resource.clone())
}

/// Where a block carries an address, if it does. `base` is how many steps of the path lead to the block's module.
fn carry(base: usize, from: &Endpoint, to: &Endpoint, address: &Address) -> Option<Address> {
    let (above, below) = address.resource.module.0.split_at_checked(base)?;
    let carries_all = from.key.is_none() && to.key.is_none();
    let mut result = address.clone();
    let mut path = above.to_vec();
    path.extend(to.module.iter().cloned());
    match (&from.resource, &to.resource) {
        (Some(_), Some((mode, kind, name))) => {
            if below != from.module || (!carries_all && address.key != from.key) {
                return None;
            }
            result.resource.mode = *mode;
            result.resource.kind.clone_from(kind);
            result.resource.name.clone_from(name);
            if !carries_all {
                result.key.clone_from(&to.key);
            }
        }
        (None, None) => {
            let (last, before) = from.module.split_last()?;
            let (way, rest) = below.split_at_checked(from.module.len())?;
            let (instance, way) = way.split_last()?;
            if way != before || instance.name != last.name || (!carries_all && instance.key != last.key) {
                return None;
            }
            if carries_all {
                path.last_mut()?.key.clone_from(&instance.key);
            }
            path.extend(rest.iter().cloned());
        }
        _ => return None,
    }
    result.resource.module.0 = path;
    Some(result)
}

#[cfg(test)]
#[path = "refactor_tests.rs"]
mod tests;
