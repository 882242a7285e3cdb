//! Drift that is nobody's mistake: the number of tasks that an autoscaler sets, the revision that a deployer brings, the
//! weights between two target groups. Which attributes of which types these are is knowledge (the rule `controlled`).

use std::collections::BTreeSet;

use rollback_inverse::{Knowledge, Rule};
use rollback_terraform::{Plan, ResourceChange};

/// Who moved an object; none where it may have been a person. Everything that has changed of it must be of a controller,
/// what the provider computes aside, and the plan must leave the object alone: where the configuration sets a value of its
/// own, the two of them are at odds, and a person should know.
pub(crate) fn controller(
    knowledge: &Knowledge,
    plan: &Plan,
    drift: &ResourceChange,
    attributes: &[String],
) -> Option<String> {
    let is_left_alone = plan
        .change(&drift.address)
        .is_none_or(|change| change.is_untouched() || change.is_noop());
    if drift.deletes() || !is_left_alone {
        return None;
    }
    let mut owners: BTreeSet<&str> = BTreeSet::new();
    for attribute in attributes {
        if knowledge.has_rule(&drift.kind, attribute, Rule::Computed) {
            continue;
        }
        let controlled = knowledge
            .rules(&drift.kind)
            .find(|rule| rule.attribute == *attribute && rule.rule == Rule::Controlled)?;
        owners.insert(&controlled.message);
    }
    let owners: Vec<&str> = owners.into_iter().collect();
    (!owners.is_empty()).then(|| owners.join(", "))
}
