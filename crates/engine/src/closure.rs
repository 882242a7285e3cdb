//! `--target`: only the named objects and what they need, as Terraform's own `-target` drags it along.

use std::collections::BTreeSet;

use rollback_inverse::{Change, InversePlan};
use rollback_state::{Address, InstanceId, State};

use crate::error::{EngineError, Result};

/// Of the `--target`s those that are about a stack: an address, which is meant in every stack that has it, or a stack and an
/// address, `network:aws_vpc.main`. `None` where there is not one.
pub fn of_stack(targets: &[String], stack: &str, others: &[&str]) -> Option<Vec<String>> {
    let own: Vec<String> = targets
        .iter()
        .filter_map(|named| match named.split_once(':') {
            Some((of, address)) if of == stack => Some(address.to_owned()),
            Some((of, _)) if others.contains(&of) => None,
            _ => Some(named.clone()),
        })
        .collect();
    (targets.is_empty() || !own.is_empty()).then_some(own)
}

/// Whether a plan has an object of that name, on either side.
pub fn has(plan: &InversePlan, named: &str) -> bool {
    let alone = BTreeSet::from([named.to_owned()]);
    plan.changes.iter().any(|change| is_wanted(change, &alone))
}

/// What to say of a `--target` that no stack has: leaving everything as it is would not be what was meant.
pub fn unknown(named: &str) -> EngineError {
    EngineError::usage(format!(
        "--target {named}: there is no such object, neither now nor at the target"
    ))
    .hint("write the address as `terraform state list` does, quotes and all")
}

/// Leaves out of the plan every object that is neither named nor needed by one that is: it stays where and as it is.
///
/// # Errors
/// A named object that has another address at the target: Terraform plans the target's configuration, and would find nothing there
/// to do. One whose address another object has now: that one would have to go out of the way, and nobody named it.
pub fn restrict(plan: &mut InversePlan, targets: &[String], current: &State, target: Option<&State>) -> Result<()> {
    if targets.is_empty() {
        return Ok(());
    }
    let named: BTreeSet<String> = targets.iter().cloned().collect();
    for change in &plan.changes {
        if let (Some(from), Some(to)) = (&change.from, &change.to)
            && is_named(&from.address, &named)
            && !is_named(to, &named)
        {
            return Err(EngineError::usage(format!(
                "--target {}: it is {to} at the target, and an object is named as it was then",
                from.address
            ))
            .hint(format!("--target '{to}'")));
        }
    }
    let mut wanted = named;
    loop {
        let before = wanted.len();
        let mut needed: Vec<String> = Vec::new();
        for change in plan.changes.iter().filter(|change| is_wanted(change, &wanted)) {
            if let Some(instance) = change.from.as_ref().and_then(|id| current.instance(id)) {
                needed.extend(instance.dependencies(current));
            }
            if let (Some(state), Some(to)) = (target, &change.to)
                && let Some(instance) = state.instance(&InstanceId {
                    address: to.clone(),
                    deposed: None,
                })
            {
                needed.extend(instance.dependencies(state));
            }
        }
        wanted.extend(needed);
        if wanted.len() == before {
            break;
        }
    }
    plan.changes.retain(|change| is_wanted(change, &wanted));
    let mut pushed_away = plan.changes.iter().filter(|change| change.parked.is_some());
    if let Some(from) = pushed_away.find_map(|change| change.from.as_ref()) {
        return Err(EngineError::usage(format!(
            "--target cannot give back an address that another object has now: {} would have to leave it first",
            from.address
        ))
        .hint("go back as a whole, without --target"));
    }
    let kept: BTreeSet<InstanceId> = plan.changes.iter().filter_map(|change| change.from.clone()).collect();
    plan.orphaned_providers.retain(|orphan| kept.contains(&orphan.instance));
    Ok(())
}

fn is_wanted(change: &Change, wanted: &BTreeSet<String>) -> bool {
    let mut names = change.from.iter().map(|id| &id.address).chain(&change.to);
    names.any(|address| is_named(address, wanted))
}

fn is_named(address: &Address, wanted: &BTreeSet<String>) -> bool {
    let (full, config) = (address.to_string(), address.resource.config().to_string());
    wanted.iter().any(|wanted| covers(wanted, &full) || *wanted == config)
}

/// A resource covers its instances, a module what is in it.
fn covers(wanted: &str, address: &str) -> bool {
    address
        .strip_prefix(wanted)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('[') || rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::covers;

    #[test]
    fn a_resource_covers_its_instances_and_nothing_else() {
        assert!(covers("terraform_data.a", "terraform_data.a[0]"));
        assert!(covers("module.m", "module.m.terraform_data.a"));
        assert!(!covers("terraform_data.a", "terraform_data.ab"));
    }
}
