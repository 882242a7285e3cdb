//! The inverse plan and Terraform's own, held against each other, with everything else that stands in the way.

use rollback_inverse::redact::Redactor;
use rollback_inverse::{Change, Fate, InversePlan};
use rollback_terraform::Plan;

use super::way::{Arranged, Way};
use crate::awaited::Awaited;
use crate::own_path;
use crate::placed::{Placed, moved_providers};
use crate::reconcile::{self, Guard, Reconciled, Refusal};

pub(super) fn judge(
    way: &Way<'_>,
    arranged: &Arranged,
    plan: Option<&Plan>,
    redactor: &Redactor,
    is_history_known: bool,
) -> (Reconciled, Option<Awaited>) {
    let Way { goal, deployed, .. } = way;
    let inverse = &arranged.inverse;
    let missing = way.goal_values.missing(&goal.configuration);
    let input = reconcile::Input {
        inverse,
        knowledge: way.input.knowledge,
        plan,
        target: way.input.target,
        target_config: Some(&goal.configuration),
        deployed_config: Some(&deployed.configuration),
        redactor,
        targets: way.request.targets,
        missing: &missing,
    };
    let mut reconciled = reconcile::reconcile(&input);
    let awaited = Awaited::of(&input);
    reconciled.refusals.extend(moved_providers(
        &Placed {
            configuration: &deployed.configuration,
            values: &way.deployed_values,
            tree: way.deployed_tree,
        },
        &Placed {
            configuration: &goal.configuration,
            values: &way.goal_values,
            tree: way.goal_tree,
        },
        way.input.current,
    ));
    if let (Some(plan), Some(folder)) = (plan, way.request.folder) {
        reconciled.refusals.extend(own_path::refusals(plan, folder));
    }
    if !is_history_known {
        reconciled.refusals.extend(unknown_history(inverse));
    }
    reconciled.refusals.extend(other_workspace(way));
    reconciled
        .refusals
        .extend(arranged.joined.unresolved.iter().map(|left| Refusal {
            guard: Guard::Surprise,
            address: left.address.to_string(),
            message: format!("it was let go since and may still exist: {}", left.why),
        }));
    (reconciled, awaited)
}

/// Whoever has a snapshot of one workspace and stands in another may have forgotten to select it.
fn other_workspace(way: &Way<'_>) -> Option<Refusal> {
    let there = way.goal.only_in_workspace.as_ref()?;
    let here = way.live.workspace();
    Some(Refusal {
        guard: Guard::Surprise,
        address: format!("workspace.{here}"),
        message: format!(
            "workspace {here} is selected, and of commit {} there is a snapshot of workspace {there} alone: without one \
             the configuration alone tells what {here} had. `terraform workspace select {there}` goes to the other one",
            way.commit.short()
        ),
    })
}

/// What was imported on the way may be destroyed where nobody can tell.
fn unknown_history(inverse: &InversePlan) -> Option<Refusal> {
    let destroyed = |change: &&Change| change.fate == Fate::Destroy;
    let addresses: Vec<String> = (inverse.effective().filter(destroyed))
        .map(|change| change.address().to_string())
        .collect();
    (!addresses.is_empty()).then(|| Refusal {
        guard: Guard::Surprise,
        address: "history".to_owned(),
        message: format!(
            "the commits on the way are not in this clone, so that nobody can tell whether an import block took in what would \
             be destroyed: {}. Fetch them (`git fetch --unshallow`)",
            addresses.join(", ")
        ),
    })
}
