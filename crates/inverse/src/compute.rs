//! Puts the plan together.

use std::collections::{HashMap, HashSet};

use rollback_config::refactor::Tracer;
use rollback_state::{Address, Instance, ModulePath};

use crate::context::Context;
use crate::matching::Pairing;
use crate::plan::{Change, Fate, OrphanedProvider};
use crate::{Elsewhere, Input, InversePlan, judge, providers, single};

/// The inverse plan. Never fails: what is not known is said in the plan's notes and warnings.
///
/// Linear in the size of the states. Where the attributes of an object are the same to the byte they
/// are not even parsed.
pub fn compute(input: &Input<'_>) -> InversePlan {
    compute_beside(input, &Elsewhere::default())
}

/// As [`compute`], with what is known of objects beyond the two states.
pub fn compute_beside(input: &Input<'_>, elsewhere: &Elsewhere) -> InversePlan {
    let (context, pairing) = Context::new(input, elsewhere);
    let mut warnings = warnings(input);
    warnings.extend(schema_warnings(input, &pairing));

    let mut changes = judge::pairs(&context, &pairing.pairs);
    let kept: Vec<&Instance> = pairing.pairs.iter().map(|pair| pair.current).collect();
    // Only a configuration says that an address is to be filled.
    let mut taken = HashSet::new();
    if input.target_config.is_some() {
        taken.extend(changes.iter().filter_map(|change| change.to.clone()));
        taken.extend(pairing.gone.iter().map(|instance| context.placed(instance.address())));
    }
    changes.extend(single::added(&context, &pairing.added, &mut taken, &kept));
    changes.extend(
        pairing
            .deposed
            .iter()
            .map(|instance| single::deposed(&context, instance)),
    );
    for instance in &pairing.gone {
        match single::gone(&context, instance) {
            Some(change) => changes.push(change),
            None => warnings.push(format!(
                "{} is in the target's state, but its configuration does not declare it: it is not made anew.",
                instance.address()
            )),
        }
    }
    changes.extend(single::undeployed(&context, &taken));

    park(&context, &mut changes);
    let orphaned_providers = orphans(&context, &changes);
    changes.sort_by(|left, right| {
        (left.address(), &left.from, left.fate).cmp(&(right.address(), &right.from, right.fate))
    });
    InversePlan {
        changes,
        orphaned_providers,
        warnings,
        terraform_version: input.current.terraform_version().to_string(),
    }
}

fn warnings(input: &Input<'_>) -> Vec<String> {
    let mut warnings = Vec::new();
    match (input.target, input.target_config) {
        (None, None) => warnings.push("Neither a state nor a configuration of the target is known: everything is kept.".to_string()),
        (None, Some(_)) => warnings.push(
            "No snapshot of the target's state: who is who comes from the configurations alone, and what changes within an object is not known."
                .to_string(),
        ),
        (Some(target), _) => {
            let (now, then) = (input.current.lineage(), target.lineage());
            if !now.is_empty() && !then.is_empty() && now != then {
                warnings.push("The two states have different lineages: they may belong to different stacks.".to_string());
            }
        }
    }
    for module in input
        .target_config
        .iter()
        .flat_map(|configuration| &configuration.unresolved)
    {
        warnings.push(format!(
            "The target's module.{} is not at hand ({}): what it declares is not known.",
            module.path.join(".module."),
            module.reason
        ));
    }
    warnings
}

/// Objects that the target's provider may refuse to read even to destroy them.
fn schema_warnings(input: &Input<'_>, pairing: &Pairing<'_>) -> Vec<String> {
    let Some(target) = input.target else { return Vec::new() };
    let mut newest: HashMap<&str, Option<u64>> = HashMap::new();
    for instance in pairing
        .added
        .iter()
        .chain(&pairing.deposed)
        .filter(|instance| instance.schema_version() > 0)
    {
        newest.insert(instance.address().resource.kind.as_str(), None);
    }
    if newest.is_empty() {
        return Vec::new();
    }
    for instance in target.instances() {
        if let Some(version) = newest.get_mut(instance.address().resource.kind.as_str()) {
            *version = (*version).max(Some(instance.schema_version()));
        }
    }
    pairing
        .added
        .iter()
        .chain(&pairing.deposed)
        .filter_map(|instance| {
            let kind = instance.address().resource.kind.as_str();
            let then = newest.get(kind).copied().flatten()?;
            let now = instance.schema_version();
            (now > then).then(|| {
                format!(
                    "{} was written by a newer provider (schema version {now}; the target's {kind}: {then}): the target's \
                     provider may refuse to read it.",
                    instance.id()
                )
            })
        })
        .collect()
}

/// An object that is to be destroyed makes way where another returns to its address, and where a `moved` block of the target
/// would have Terraform take it for another one: Terraform follows a block as long as its destination is free, however old
/// the block is.
fn park(context: &Context<'_>, changes: &mut [Change]) {
    let input = context.input;
    let arriving: HashSet<Address> = changes
        .iter()
        .filter(|change| change.is_moved() || change.fate == Fate::Adopt)
        .filter_map(|change| change.to.clone())
        .collect();
    let stale = StaleMoves::of(input, changes);
    if arriving.is_empty() && stale.is_none() {
        return;
    }
    let mut used: Option<HashSet<Address>> = None;
    for change in changes
        .iter_mut()
        .filter(|change| change.to.is_none() && change.fate != Fate::Forget)
    {
        let Some(from) = change.from.as_ref().filter(|from| !single::untouched(from)) else {
            continue;
        };
        let taken_for = stale.as_ref().and_then(|stale| stale.leads(&from.address));
        let note = match &taken_for {
            _ if arriving.contains(&from.address) => {
                "Another object returns to its address: until it is destroyed it has one of its own.".to_string()
            }
            Some(other) => format!(
                "A moved block of the target would have it taken for {other}, which it never was: until it is destroyed it \
                 has an address of its own."
            ),
            None => continue,
        };
        let used = used.get_or_insert_with(|| {
            let states = std::iter::once(input.current).chain(input.target);
            states
                .flat_map(|state| state.instances().map(|instance| instance.address().clone()))
                .collect()
        });
        let free = (1u32..).find_map(|attempt| {
            let mut address = from.address.clone();
            address.resource.name = format!("{}_rolled_back_{attempt}", address.resource.name);
            // A block that moves its whole module would take it along.
            if stale.as_ref().is_some_and(|stale| stale.leads(&address).is_some()) {
                address.resource.module = ModulePath::default();
            }
            let declared = input
                .target_config
                .is_some_and(|target| target.resource(&address.resource).is_some());
            (!declared && used.insert(address.clone())).then_some(address)
        });
        change.notes.push(note);
        context.note_lost_provisioner(change, free.as_ref());
        change.parked = free;
    }
}

/// The `moved` blocks of the target, which Terraform follows whenever it plans the target's configuration.
struct StaleMoves<'a> {
    blocks: Tracer<'a>,
    /// Addresses that have an object in the joined state: a block that leads there is not followed.
    occupied: HashSet<Address>,
}

impl<'a> StaleMoves<'a> {
    /// `None` where there is no such block.
    fn of(input: &Input<'a>, changes: &[Change]) -> Option<StaleMoves<'a>> {
        let target = input.target_config?;
        target.moved_blocks().next()?;
        let occupied = changes
            .iter()
            .filter(|change| change.from.is_some() || change.fate == Fate::Adopt)
            .filter_map(|change| change.to.clone())
            .collect();
        Some(StaleMoves {
            blocks: Tracer::new(target, None),
            occupied,
        })
    }

    /// Where Terraform would carry what is at an address.
    fn leads(&self, address: &Address) -> Option<Address> {
        let first = self.blocks.carried(address).steps.into_iter().next()?;
        (first.at.is_some() && !self.occupied.contains(&first.address)).then_some(first.address)
    }
}

/// What Terraform could not plan for want of the provider's block. For what the target's configuration
/// declares Terraform takes the provider from there, whatever the state says.
fn orphans(context: &Context<'_>, changes: &[Change]) -> Vec<OrphanedProvider> {
    let Some(target) = context.input.target_config else {
        return Vec::new();
    };
    let before = context.current_config();
    let mut known: HashMap<&str, bool> = HashMap::new();
    changes
        .iter()
        .filter(|change| change.to.is_none() && change.fate != Fate::Forget)
        .filter_map(|change| {
            let instance = change.from.as_ref()?;
            let provider = change.provider.as_str();
            let configured = *known
                .entry(provider)
                .or_insert_with(|| providers::is_configured(provider, target, before));
            (!configured).then(|| OrphanedProvider {
                instance: instance.clone(),
                provider: provider.to_string(),
            })
        })
        .collect()
}
