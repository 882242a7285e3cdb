//! One variable of a service, for steps that point an application elsewhere.

use std::time::Duration;

use rollback_runbook::step::{Progress, StepError};
use serde_json::Value;

use super::definition;
use super::place::Place;
use super::rollout::{Way, roll_out};

/// Its value. The first container that has it, where none is named.
pub(crate) fn variable(place: &Place, container: Option<&str>, variable: &str) -> Result<String, StepError> {
    let service = place.service()?;
    let revision = place.revision_of(&service)?;
    definition::containers(&revision.definition)
        .filter(|(name, _)| container.is_none_or(|wanted| wanted == *name))
        .find_map(|(_, object)| definition::named(object, "environment", "value").remove(variable))
        .ok_or_else(|| {
            StepError::untouched(format!("{} has no variable {variable}", place.name.full()))
                .hint("look at `repoint` of the table; what comes from a secret can be a { parameter = \"…\" } alone")
        })
}

/// Brings the service to a revision in which the variable has this value.
pub(crate) fn set_variable(
    place: &Place,
    container: Option<&str>,
    (variable, value): (&str, &str),
    patience: Duration,
    progress: &dyn Progress,
) -> Result<(), StepError> {
    let service = place.service()?;
    let mut wanted = place.revision_of(&service)?.definition;
    for (name, object) in definition::containers_mut(&mut wanted) {
        if container.is_some_and(|wanted| wanted != name) {
            continue;
        }
        let entries = object.get_mut("environment").and_then(Value::as_array_mut);
        for entry in entries.into_iter().flatten() {
            if definition::text(entry, "name") == Some(variable) {
                entry["value"] = Value::String(value.to_owned());
            }
        }
    }
    roll_out(place, &wanted, &Way::default(), patience, progress)
}
