//! Objects that the target's state has and today's has not: destroyed by an apply, or taken out by `terraform state rm`
//! and still there. Neither states nor configurations tell which; their provider does. While the real plan is made, a
//! second Terraform refreshes their old records and nothing else (`plan -refresh-only -target`).

use std::collections::{BTreeMap, BTreeSet};

use rollback_inverse::{Elsewhere, InversePlan, is_unique_id};
use rollback_state::{InstanceId, State};
use rollback_terraform::{Plan, PlanOptions, TerraformError};

use crate::folder::WorkFolder;

/// Providers whose objects exist in the state alone: a refresh finds whatever the record says.
const STATE_ALONE: &[&str] = &[
    "terraform.io/builtin/terraform",
    "hashicorp/archive",
    "hashicorp/cloudinit",
    "hashicorp/external",
    "hashicorp/http",
    "hashicorp/null",
    "hashicorp/random",
    "hashicorp/template",
    "hashicorp/time",
    "hashicorp/tls",
];

/// Records of the target's state whose objects may still be there, by the address that they would come back to.
pub(crate) fn candidates(plan: &InversePlan, target: Option<&State>) -> BTreeMap<String, InstanceId> {
    let Some(target) = target else { return BTreeMap::new() };
    let of = |change: &rollback_inverse::Change| {
        let id = change.gone()?;
        let is_real = !STATE_ALONE
            .iter()
            .any(|alone| change.provider.contains(&format!("{alone}\"]")));
        let has_id = target.instance(id)?.identifier(target).is_some();
        (is_real && has_id).then(|| (change.address().to_string(), id.clone()))
    };
    plan.changes.iter().filter_map(of).collect()
}

/// What is known where every one of them is taken for there.
pub(crate) fn all_there(elsewhere: &Elsewhere, candidates: &BTreeMap<String, InstanceId>) -> Elsewhere {
    let mut all = elsewhere.clone();
    candidates.values().for_each(|id| all.found(id.clone()));
    all
}

/// Of those that were found, the objects themselves, and those in whose place something is: a name can be given to
/// another object once the first one is gone, an id that was made up cannot.
pub(crate) fn told_apart(
    found: BTreeSet<String>,
    candidates: &BTreeMap<String, InstanceId>,
    target: Option<&State>,
) -> (BTreeSet<String>, BTreeSet<String>) {
    found.into_iter().partition(|address| {
        let instance = target.and_then(|target| Some((target, target.instance(&candidates[address])?)));
        instance.is_some_and(|(target, instance)| instance.identifier(target).is_some_and(|id| is_unique_id(&id)))
    })
}

/// The addresses of those that their provider has found, in a folder whose state has their records.
///
/// # Errors
/// Terraform's own: then nothing is known.
pub(crate) fn ask(
    work: &WorkFolder,
    candidates: &BTreeMap<String, InstanceId>,
) -> Result<BTreeSet<String>, TerraformError> {
    let options = PlanOptions {
        out: "infra-rollback.probe.tfplan".into(),
        refresh_only: true,
        targets: candidates.keys().cloned().collect(),
        lock: false,
        ..PlanOptions::default()
    };
    let outcome = work.folder.plan(&options, &mut |_| {})?;
    let plan: Plan = work.folder.show_plan(&outcome.plan_file)?;
    let gone = plan.deleted_outside();
    Ok(candidates
        .keys()
        .filter(|address| !gone.contains(address.as_str()))
        .cloned()
        .collect())
}
