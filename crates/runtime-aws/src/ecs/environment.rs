//! `ecs-environment`: the variables and references to secrets of a service's containers go back; everything else stays
//! as it is now.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rollback_config::project::StepTable;
use rollback_runbook::Made;
use rollback_runbook::step::{Binding, Progress, Reversibility, Step, StepChange, StepError, StepPlan, USUAL_PATIENCE};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::definition;
use super::place::{Name, Place};
use super::rollout::{Way, roll_out};
use crate::account::Account;
use crate::failure::AfterChange;
use crate::settings::{parse, read};

/// What stands for a value.
const MASKED: &str = "(not shown)";

/// The keys of a container that give it its variables.
const KEYS: [&str; 3] = ["environment", "secrets", "environmentFiles"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    cluster: String,
    service: String,
    /// By default all containers.
    container: Option<String>,
}

struct EcsEnvironment {
    place: Place,
    container: Option<String>,
    patience: Duration,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Variables {
    /// ARN
    service: String,
    /// ARN of the revision that they were read from.
    task_definition: String,
    /// Container to its `environment` (with values), `secrets` (references) and `environmentFiles`, as ECS has them.
    containers: BTreeMap<String, Map<String, Value>>,
}

pub(crate) fn environment(table: &StepTable, account: &Account) -> Made<dyn Step> {
    let (common, settings, account): (_, Settings, _) = read("step", table, account)?;
    let step = EcsEnvironment {
        place: Place::of(account, settings.cluster, settings.service),
        container: settings.container,
        patience: common.timeout.unwrap_or(USUAL_PATIENCE),
    };
    Ok((common, Box::new(step)))
}

impl Step for EcsEnvironment {
    fn look(&self) -> Result<Binding, StepError> {
        let service = self.place.service()?;
        let revision = self.place.revision_of(&service)?;
        let mut containers = BTreeMap::new();
        for (name, container) in definition::containers(&revision.definition) {
            if self.container.as_deref().is_some_and(|wanted| wanted != name) {
                continue;
            }
            let kept = KEYS
                .iter()
                .filter_map(|key| Some(((*key).to_owned(), container.get(*key)?.clone())));
            containers.insert(name.to_owned(), kept.collect());
        }
        if let Some(wanted) = self
            .container
            .as_ref()
            .filter(|wanted| !containers.contains_key(*wanted))
        {
            return Err(no_container(&self.place.name, wanted));
        }
        Ok(json!(Variables {
            service: service.service_arn.unwrap_or_default(),
            task_definition: revision.arn,
            containers,
        }))
    }

    fn plan(&self, now: &Binding, target: &Binding) -> Result<Option<StepPlan>, StepError> {
        let (now, target): (Variables, Variables) = (parse(now)?, parse(target)?);
        let mut plan = StepPlan {
            reversibility: Reversibility::Lossless,
            ..StepPlan::default()
        };
        for (name, before) in &target.containers {
            match now.containers.get(name) {
                Some(now) => plan.changes.extend(changes_of(name, &json!(now), &json!(before))),
                None => plan.notes.push(format!(
                    "container {name} is no longer there: its variables have no place"
                )),
            }
        }
        Ok((!plan.changes.is_empty()).then_some(plan))
    }

    fn go(&self, _: &Binding, target: &Binding, progress: &dyn Progress) -> Result<Binding, StepError> {
        let target: Variables = parse(target)?;
        let service = self.place.service()?;
        let mut wanted = self.place.revision_of(&service)?.definition;
        for (name, container) in definition::containers_mut(&mut wanted) {
            let Some(before) = target.containers.get(&name) else {
                continue;
            };
            // What differs in nothing but order stays as it is, so that no revision is registered for it.
            if changes_of(&name, &Value::Object(container.clone()), &json!(before)).is_empty() {
                continue;
            }
            for key in KEYS {
                match before.get(key) {
                    Some(value) => drop(container.insert(key.to_owned(), value.clone())),
                    None => drop(container.shift_remove(key)),
                }
            }
        }
        let way = Way {
            known: Some(&target.task_definition),
            ..Way::default()
        };
        roll_out(&self.place, &wanted, &way, self.patience, progress)?;
        self.look().after_change()
    }
}

pub(super) fn no_container(name: &Name, container: &str) -> StepError {
    StepError::untouched(format!("{} has no container {container}", name.full()))
        .hint("look at `container` of the table")
}

/// What differs in the variables of the containers that both definitions have. Values are not shown.
pub(super) fn variable_changes(now: &Value, target: &Value) -> Vec<StepChange> {
    let current: BTreeMap<&str, &Value> = definition::containers(now).collect();
    definition::containers(target)
        .filter_map(|(name, after)| Some(changes_of(name, current.get(name)?, after)))
        .flatten()
        .collect()
}

fn changes_of(container: &str, now: &Value, target: &Value) -> Vec<StepChange> {
    let mut changes = Vec::new();
    let values = |of: &Value| definition::named(of, "environment", "value");
    differences(&values(now), &values(target), |name, from, to| {
        changes.push(StepChange {
            what: format!("variable {name} of container {container}"),
            from: from.map(|_| MASKED.to_owned()),
            to: to.map(|_| match from {
                Some(_) => "(another value, not shown)".to_owned(),
                None => MASKED.to_owned(),
            }),
        });
    });
    let references = |of: &Value| definition::named(of, "secrets", "valueFrom");
    differences(&references(now), &references(target), |name, from, to| {
        changes.push(StepChange {
            what: format!("secret {name} of container {container}"),
            from: from.map(str::to_owned),
            to: to.map(str::to_owned),
        });
    });
    let files = |of: &Value| -> BTreeMap<String, String> {
        let files = of.get("environmentFiles").and_then(Value::as_array);
        let files = files
            .into_iter()
            .flatten()
            .filter_map(|file| definition::text(file, "value"));
        files.map(|file| (file.to_owned(), file.to_owned())).collect()
    };
    differences(&files(now), &files(target), |_, from, to| {
        changes.push(StepChange {
            what: format!("file of variables of container {container}"),
            from: from.map(str::to_owned),
            to: to.map(str::to_owned),
        });
    });
    changes
}

fn differences(
    now: &BTreeMap<String, String>,
    target: &BTreeMap<String, String>,
    mut tell: impl FnMut(&str, Option<&str>, Option<&str>),
) {
    let names: BTreeSet<&String> = now.keys().chain(target.keys()).collect();
    for name in names {
        let (from, to) = (now.get(name), target.get(name));
        if from != to {
            tell(name, from.map(String::as_str), to.map(String::as_str));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_told_and_no_value() {
        let now = json!({"environment": [{"name": "LOG_LEVEL", "value": "hunter2"}, {"name": "NEW", "value": "hunter3"},
            {"name": "SAME", "value": "same"}], "secrets": [{"name": "KEY", "valueFrom": "arn:new"}]});
        let target = json!({"environment": [{"name": "SAME", "value": "same"}, {"name": "LOG_LEVEL", "value": "hunter4"}],
            "secrets": [{"name": "KEY", "valueFrom": "arn:old"}]});
        let changes = changes_of("app", &now, &target);
        let told = serde_json::to_string(&changes).unwrap();
        assert!(!told.contains("hunter") && !told.contains("SAME"), "{told}");
        assert_eq!(changes.len(), 3, "{told}");
        assert_eq!(changes[1].what, "variable NEW of container app");
        assert_eq!(
            (changes[1].to.as_deref(), changes[2].to.as_deref()),
            (None, Some("arn:old"))
        );
        assert!(changes_of("app", &target, &target).is_empty());
    }
}
