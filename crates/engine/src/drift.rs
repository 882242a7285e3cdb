//! Drift that is nobody's mistake: the number of tasks that an autoscaler sets, the revision that a deployer brings, the
//! weights between two target groups. Which attributes of which types these are is knowledge (the rule `controlled`).

use std::collections::BTreeSet;

use rollback_inverse::{Knowledge, Rule};
use rollback_terraform::{Plan, ResourceChange};

/// Whether anybody has changed the object. Terraform also reports objects of which only marks or the record's form differ, and
/// those with an attribute that is another one at every look (the time up to which a database can be restored).
pub(crate) fn is_somebodys(knowledge: &Knowledge, drift: &ResourceChange, attributes: &[String]) -> bool {
    let is_volatile = |attribute: &String| knowledge.has_rule(&drift.kind, attribute, Rule::Volatile);
    drift.deletes() || !attributes.iter().all(is_volatile)
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn counts(kind: &str, actions: &[&str], attributes: &[&str]) -> bool {
        let row = json!({ "address": format!("{kind}.x"), "mode": "managed", "type": kind, "change": { "actions": actions } });
        let drift: ResourceChange = serde_json::from_value(row).unwrap();
        let attributes: Vec<String> = attributes.iter().map(|name| (*name).to_owned()).collect();
        is_somebodys(&Knowledge::built_in(), &drift, &attributes)
    }

    #[test]
    fn nobody_has_changed_what_passes_by_itself_or_differs_in_nothing() {
        let update = &["update"][..];
        assert!(!counts("aws_db_instance", update, &["latest_restorable_time"]));
        assert!(!counts("terraform_data", update, &[]));
        assert!(counts("terraform_data", &["delete"], &[]));
        assert!(counts("aws_db_instance", update, &["latest_restorable_time", "tags"]));
        // What the provider computes can be somebody's doing all the same: a stopped machine, another content.
        assert!(counts("aws_instance", update, &["instance_state"]));
        assert!(counts("aws_s3_object", update, &["etag"]));
    }
}
