//! `--target`: only the named objects and what they need, as Terraform's own `-target` drags it along.

use std::collections::BTreeSet;

use rollback_inverse::{Change, InversePlan};
use rollback_state::{Address, InstanceId, State};

use crate::error::{EngineError, Result};

/// Leaves out of the plan every object that is neither named nor needed by one that is: it stays where and as it is.
///
/// # Errors
/// A named object that neither side knows: leaving everything as it is would not be what was meant. One that has another address at
/// the target: Terraform plans the target's configuration, and would find nothing there to do. One whose address another object has
/// now: that one would have to go out of the way, and nobody named it.
pub fn restrict(plan: &mut InversePlan, targets: &[String], current: &State, target: Option<&State>) -> Result<()> {
    if targets.is_empty() {
        return Ok(());
    }
    for named in targets {
        let alone = BTreeSet::from([named.clone()]);
        if !plan.changes.iter().any(|change| is_wanted(change, &alone)) {
            return Err(EngineError::usage(format!(
                "--target {named}: there is no such object, neither now nor at the target"
            ))
            .hint("write the address as `terraform state list` does, quotes and all"));
        }
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
