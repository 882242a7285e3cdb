//! Who is who: which object of the current state is which of the target's.
//!
//! In this order: the provider's own identity; `moved` blocks; the address. Linear in the number of
//! objects, and objects that did not change at all are recognised by their bytes alone.

use std::collections::{HashMap, HashSet};

use rollback_config::Location;
use rollback_state::{Instance, InstanceId, Mode, State};
use serde_json::Value;

use crate::elsewhere::is_unique_id;
use crate::history::History;
use crate::json::provider_name;
use crate::plan::Identity;

/// An object that is in both states.
pub(crate) struct Pair<'a> {
    pub(crate) current: &'a Instance,
    pub(crate) target: &'a Instance,
    pub(crate) identity: Identity,
    /// The attributes are the same to the byte.
    pub(crate) identical: bool,
    /// As far as the provider tells it is the same object; false where it was replaced since.
    pub(crate) same_object: bool,
    /// The `moved` block that leads from one address to the other, where blocks told.
    pub(crate) moved: Option<Location>,
}

/// The objects of two states, paired.
#[derive(Default)]
pub(crate) struct Pairing<'a> {
    pub(crate) pairs: Vec<Pair<'a>>,
    /// Managed objects that only the current state has.
    pub(crate) added: Vec<&'a Instance>,
    /// Managed objects that only the target's state has.
    pub(crate) gone: Vec<&'a Instance>,
    /// Deposed objects of the current state.
    pub(crate) deposed: Vec<&'a Instance>,
}

/// Managed objects that are not leftovers.
fn is_live(instance: &Instance) -> bool {
    instance.mode() == Mode::Managed && instance.deposed().is_none()
}

pub(crate) fn pair<'a>(current: &'a State, target: Option<&'a State>, history: &History<'_>) -> Pairing<'a> {
    let mut pairing = Pairing::default();
    for instance in current.instances().filter(|instance| instance.mode() == Mode::Managed) {
        if instance.deposed().is_some() {
            pairing.deposed.push(instance);
        } else {
            pairing.added.push(instance);
        }
    }
    let Some(target) = target else { return pairing };
    pairing.gone = target.instances().filter(|instance| is_live(instance)).collect();
    let mut matcher = Matcher {
        current,
        target,
        pairing,
    };
    matcher.unchanged();
    matcher.by_provider();
    matcher.by_chain(history);
    matcher.by_address(history);
    matcher.pairing
}

struct Matcher<'a> {
    current: &'a State,
    target: &'a State,
    pairing: Pairing<'a>,
}

impl<'a> Matcher<'a> {
    /// Takes the pairs out of the two lists of what is still open; each names positions in them.
    ///
    /// `unchanged` says that the attributes are known to be the same to the byte.
    fn settle(&mut self, found: Vec<Found>, unchanged: bool) {
        let mut open_current: Vec<Option<&'a Instance>> = self.pairing.added.drain(..).map(Some).collect();
        let mut open_target: Vec<Option<&'a Instance>> = self.pairing.gone.drain(..).map(Some).collect();
        for Found {
            left,
            right,
            identity,
            moved,
        } in found
        {
            if let (Some(current), Some(target)) = (open_current[left].take(), open_target[right].take()) {
                let identical = unchanged || current.attributes_raw(self.current) == target.attributes_raw(self.target);
                let same_object = identical
                    || identity == Identity::Provider
                    || is_same_object(self.current, current, self.target, target);
                let identity = if same_object && current.identifier(self.current).is_some() {
                    Identity::Provider
                } else {
                    identity
                };
                self.pairing.pairs.push(Pair {
                    current,
                    target,
                    identity,
                    identical,
                    same_object,
                    moved,
                });
            }
        }
        self.pairing.added = open_current.into_iter().flatten().collect();
        self.pairing.gone = open_target.into_iter().flatten().collect();
    }

    /// Same address, same bytes: nearly all objects of nearly all rollbacks.
    fn unchanged(&mut self) {
        let is_unchanged = |instance: &Instance, other: &Instance| {
            let attributes = instance.attributes_raw(self.current);
            attributes.is_some()
                && attributes == other.attributes_raw(self.target)
                && (instance.provider() == other.provider() || source(instance) == source(other))
        };
        // The two lists have nearly the same order: a few steps ahead finds nearly all without hashing.
        const AHEAD: usize = 8;
        let (added, gone) = (&self.pairing.added, &self.pairing.gone);
        let mut found = Vec::with_capacity(added.len().min(gone.len()));
        let mut left_over = Vec::new();
        let mut next = 0;
        for (left, instance) in added.iter().enumerate() {
            let ahead = gone[next..]
                .iter()
                .take(AHEAD)
                .position(|other| other.id() == instance.id());
            match ahead {
                Some(steps) => {
                    let right = next + steps;
                    next = right + 1;
                    if is_unchanged(instance, gone[right]) {
                        found.push(Found::new(left, right, Identity::Address));
                    }
                }
                None => left_over.push(left),
            }
        }
        if !left_over.is_empty() {
            let positions = positions(gone);
            for left in left_over {
                let instance = added[left];
                if let Some(right) = positions.get(instance.id())
                    && is_unchanged(instance, gone[*right])
                {
                    found.push(Found::new(left, *right, Identity::Address));
                }
            }
        }
        self.settle(found, true);
    }

    /// The same id of the same type of the same provider, once in each state.
    fn by_provider(&mut self) {
        let mut groups: HashMap<(&str, &str, String), Group> = HashMap::new();
        for (position, instance) in self.pairing.gone.iter().enumerate() {
            if let Some(identifier) = instance.identifier(self.target) {
                groups
                    .entry((kind(instance), source(instance), identifier))
                    .or_default()
                    .target
                    .push(position);
            }
        }
        if groups.is_empty() {
            return;
        }
        for (position, instance) in self.pairing.added.iter().enumerate() {
            if let Some(identifier) = instance.identifier(self.current)
                && let Some(group) = groups.get_mut(&(kind(instance), source(instance), identifier))
            {
                group.current.push(position);
            }
        }
        groups.retain(|_, group| !group.current.is_empty());
        // What is settled already may have the same id (`none` of a random_password): then the id
        // alone tells nothing.
        let wanted: HashSet<&str> = groups.keys().map(|(kind, ..)| *kind).collect();
        for (position, pair) in self.pairing.pairs.iter().enumerate() {
            if wanted.contains(kind(pair.current))
                && let Some(identifier) = pair.current.identifier(self.current)
                && let Some(group) = groups.get_mut(&(kind(pair.current), source(pair.current), identifier))
            {
                group.settled.push(position);
            }
        }
        let mut found = Vec::new();
        for group in groups.values() {
            self.match_group(group, &mut found);
        }
        self.settle(found, false);
    }

    fn match_group(&self, group: &Group, found: &mut Vec<Found>) {
        if let ([left], [right], []) = (&group.current[..], &group.target[..], &group.settled[..]) {
            let (current, target) = (self.pairing.added[*left], self.pairing.gone[*right]);
            if is_same_object(self.current, current, self.target, target) {
                found.push(Found::new(*left, *right, Identity::Provider));
            }
            return;
        }
        // Several of one id: the ARN, or where they live, may tell them apart.
        let mut by_place: HashMap<String, (Vec<usize>, Vec<usize>)> = HashMap::new();
        for position in &group.current {
            if let Some(place) = place_of(self.current, self.pairing.added[*position]) {
                by_place.entry(place).or_default().0.push(*position);
            }
        }
        for position in &group.target {
            if let Some(place) = place_of(self.target, self.pairing.gone[*position]) {
                by_place.entry(place).or_default().1.push(*position);
            }
        }
        for position in &group.settled {
            if let Some(place) = place_of(self.current, self.pairing.pairs[*position].current) {
                by_place.remove(&place);
            }
        }
        for (lefts, rights) in by_place.values() {
            if let ([left], [right]) = (&lefts[..], &rights[..]) {
                found.push(Found::new(*left, *right, Identity::Provider));
            }
        }
    }

    /// `moved` blocks lead from the current address to one that is still open.
    fn by_chain(&mut self, history: &History<'_>) {
        let positions = positions(&self.pairing.gone);
        let mut claims: HashMap<usize, Vec<(usize, Option<Location>)>> = HashMap::new();
        for (left, instance) in self.pairing.added.iter().enumerate() {
            let trace = history.to_target(instance.address());
            if let Some(address) = trace.address
                && address != *instance.address()
                && let Some(right) = positions.get(&InstanceId::from(address))
                && source(instance) == source(self.pairing.gone[*right])
            {
                claims.entry(*right).or_default().push((left, trace.moved));
            }
        }
        let found = claims
            .into_iter()
            .filter_map(|(right, mut claims)| {
                let (left, moved) = claims.pop()?;
                claims.is_empty().then_some(Found {
                    left,
                    right,
                    identity: Identity::Chain,
                    moved,
                })
            })
            .collect();
        self.settle(found, false);
    }

    /// What is left at one address in both states. Where a `removed` block let go of the one and another took its address
    /// since, they are two that live side by side.
    fn by_address(&mut self, history: &History<'_>) {
        let positions = positions(&self.pairing.gone);
        let found = self
            .pairing
            .added
            .iter()
            .enumerate()
            .filter_map(|(left, instance)| {
                let right = *positions.get(instance.id())?;
                let other = self.pairing.gone[right];
                let lives_on = self.are_surely_two(instance, other)
                    && (history.to_current(other.address()).let_go.is_some()
                        || history.to_target(instance.address()).let_go.is_some());
                (!lives_on).then(|| Found::new(left, right, Identity::Address))
            })
            .collect();
        self.settle(found, false);
    }

    /// Whether both have ids that were made up, and not the same one.
    fn are_surely_two(&self, current: &Instance, target: &Instance) -> bool {
        match (current.identifier(self.current), target.identifier(self.target)) {
            (Some(now), Some(then)) => now != then && is_unique_id(&now) && is_unique_id(&then),
            _ => false,
        }
    }
}

fn positions<'i>(instances: &[&'i Instance]) -> HashMap<&'i InstanceId, usize> {
    instances
        .iter()
        .enumerate()
        .map(|(position, instance)| (instance.id(), position))
        .collect()
}

/// A pair, as positions among what is still open.
struct Found {
    left: usize,
    right: usize,
    identity: Identity,
    moved: Option<Location>,
}

impl Found {
    fn new(left: usize, right: usize, identity: Identity) -> Self {
        Found {
            left,
            right,
            identity,
            moved: None,
        }
    }
}

/// Objects with one type, provider and id; positions among what is open, or among the pairs.
#[derive(Default)]
struct Group {
    current: Vec<usize>,
    target: Vec<usize>,
    settled: Vec<usize>,
}

pub(crate) fn kind(instance: &Instance) -> &str {
    &instance.address().resource.kind
}

/// The provider's source, one name for Terraform's and OpenTofu's registry: `hashicorp/aws`.
pub(crate) fn source(instance: &Instance) -> &str {
    let name = provider_name(instance.provider());
    ["registry.terraform.io/", "registry.opentofu.org/"]
        .iter()
        .find_map(|registry| name.strip_prefix(registry))
        .unwrap_or(name)
}

/// Attributes that say which object it is, beside the id.
const DISTINCTIVE: [&str; 2] = ["arn", "unique_id"];

/// Whether nothing that names the object differs: id, ARN, Terraform's `identity`.
fn is_same_object(current: &State, left: &Instance, target: &State, right: &Instance) -> bool {
    let differ = |left: Option<String>, right: Option<String>| matches!((left, right), (Some(l), Some(r)) if l != r);
    if differ(left.identifier(current), right.identifier(target)) {
        return false;
    }
    if let (Some(left), Some(right)) = (left.identity(current), right.identity(target))
        && left != right
        && same_keys(&left, &right)
    {
        return false;
    }
    !DISTINCTIVE.iter().any(|name| {
        differ(
            left.string_attribute(current, name),
            right.string_attribute(target, name),
        )
    })
}

fn same_keys(left: &Value, right: &Value) -> bool {
    match (left.as_object(), right.as_object()) {
        (Some(left), Some(right)) => left.len() == right.len() && left.keys().all(|key| right.contains_key(key)),
        _ => true,
    }
}

/// Where an object lives, as far as its attributes say; none where they say nothing.
pub(crate) fn place_of(state: &State, instance: &Instance) -> Option<String> {
    if let Some(arn) = instance.string_attribute(state, "arn").filter(|arn| !arn.is_empty()) {
        return Some(arn);
    }
    if let Some(identity) = instance.identity(state) {
        return Some(identity.to_string());
    }
    let parts: Vec<String> = [
        "self_link",
        "account_id",
        "project",
        "region",
        "location",
        "zone",
        "namespace",
    ]
    .iter()
    .filter_map(|name| Some(format!("{name}={}", instance.string_attribute(state, name)?)))
    .collect();
    (!parts.is_empty()).then(|| parts.join(" "))
}

/// Another object of the list that is surely the same real object: the same ARN, or the same
/// attributes to the byte and an id.
pub(crate) fn is_same_real_object(state: &State, left: &Instance, right: &Instance) -> bool {
    if kind(left) != kind(right)
        || left.identifier(state).is_none()
        || left.identifier(state) != right.identifier(state)
    {
        return false;
    }
    let arn = |instance: &Instance| instance.string_attribute(state, "arn").filter(|arn| !arn.is_empty());
    match (arn(left), arn(right)) {
        (Some(left), Some(right)) => left == right,
        _ => left.attributes_raw(state) == right.attributes_raw(state),
    }
}
