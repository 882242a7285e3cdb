//! What an approval signs of one stack's way back.

use rollback_inverse::{Fate, InversePlan};
use rollback_state::State;
use rollback_terraform::Plan;
use sha2::{Digest, Sha256};

use super::planned::Planned;
use super::way::Way;
use crate::envelope::Envelope;
use crate::reconcile::Reconciled;

pub(super) fn of(way: &Way<'_>, inverse: &InversePlan, planned: Option<&Planned>, reconciled: &Reconciled) -> Envelope {
    let plan = planned.map(|planned| &planned.plan);
    let current = way.input.current;
    Envelope {
        stack: way.request.stack.name.clone(),
        plan_digest: plan.map(Plan::digest).unwrap_or_default(),
        state_sha256: way.live.state().map(State::sha256).unwrap_or_default(),
        lineage: current.lineage().to_owned(),
        serial: current.serial(),
        target_commit: way.commit.to_string(),
        lock_file_sha256: planned
            .and_then(|planned| planned.work.lock_file())
            .map(|bytes| hex::encode(Sha256::digest(bytes))),
        terraform_version: plan.map(|plan| plan.terraform_version.clone()).unwrap_or_default(),
        refactors: refactors(inverse),
        policy: None,
        effects: effects(reconciled, plan),
    }
}

/// What happens to each object, with a digest of what comes out of it.
fn effects(reconciled: &Reconciled, plan: Option<&Plan>) -> Vec<String> {
    reconciled
        .items
        .iter()
        .map(|item| {
            let real = plan.and_then(|plan| {
                let same = |real: &&rollback_terraform::ResourceChange| {
                    real.address == item.address && real.deposed == item.deposed
                };
                plan.resource_changes.iter().find(same)
            });
            let outcome = real.map(|real| (&real.change.actions, &real.change.after, &real.change.after_unknown));
            let digest = hex::encode(Sha256::digest(serde_json::to_vec(&outcome).unwrap_or_default()));
            format!("{} {} {digest:.16}", item.fate, item.address)
        })
        .collect()
}

/// What the joined state does by itself, in words that the approval signs.
fn refactors(inverse: &InversePlan) -> Vec<String> {
    inverse
        .effective()
        .filter(|change| change.is_moved() || matches!(change.fate, Fate::Forget | Fate::Adopt))
        .map(|change| {
            let from = change.from.as_ref().map(ToString::to_string).unwrap_or_default();
            let to = change.to.as_ref().map(ToString::to_string).unwrap_or_default();
            format!("{}: {from} -> {to}", change.fate)
        })
        .collect()
}
