//! What a release keeps of the steps: where each one was.

use std::collections::BTreeMap;

use rollback_release::Release;
use rollback_runbook::Part;
use rollback_runbook::step::{Binding, StepError};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::context::Context;
use crate::error::{EngineError, Result};

/// The record in [`Release::runtime`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Runtime {
    /// By the step's name.
    #[serde(default)]
    pub steps: BTreeMap<String, Kept>,
}

/// What is kept of one step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    pub kind: String,
    /// Where it was; none where it could not be seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binding: Option<Binding>,
    /// Why it could not be seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Runtime {
    /// What a release has; nothing where it has none.
    ///
    /// # Errors
    /// A newer version wrote what cannot be understood here.
    pub fn of(release: &Release) -> Result<Runtime> {
        if release.runtime.is_null() {
            return Ok(Runtime::default());
        }
        Runtime::deserialize(&release.runtime).map_err(|error| {
            EngineError::failed(format!(
                "release {}: what ran beside Terraform cannot be read: {error}",
                release.id
            ))
            .hint("a newer infra-rollback may have written it")
        })
    }

    /// As it lies in a release; null where there is nothing.
    pub fn to_value(&self) -> Value {
        match self.steps.is_empty() {
            true => Value::Null,
            false => serde_json::to_value(self).unwrap_or_default(),
        }
    }
}

/// Looks at all steps side by side, in their order.
pub fn look(parts: &[Part]) -> Vec<Result<Binding, StepError>> {
    std::thread::scope(|scope| {
        let looking: Vec<_> = parts.iter().map(|part| scope.spawn(|| part.step.look())).collect();
        looking
            .into_iter()
            .map(|one| one.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}

/// A configured step, and whether it can be seen.
#[derive(Clone, Debug, Serialize)]
pub struct Seen {
    pub name: String,
    pub kind: String,
    /// What has to be done before it, where the settings say so.
    pub after: Option<Vec<String>>,
    /// Why it cannot be seen.
    pub error: Option<String>,
}

/// Looks at every step; no secret that is known is in what stands in the way.
pub fn seen(context: &Context) -> Vec<Seen> {
    let found = look(&context.parts);
    let parts = context.parts.iter().zip(found);
    parts
        .map(|(part, found)| Seen {
            name: part.name.clone(),
            kind: part.kind.clone(),
            after: part.after.clone(),
            error: found.err().map(|error| context.secrets.scrub(&error.message)),
        })
        .collect()
}

/// Where all steps are now, for a release. One that cannot be seen does not keep the release from being made: that is
/// said, and is on record.
pub(crate) fn capture(context: &Context) -> (Runtime, Vec<String>) {
    let mut runtime = Runtime::default();
    let mut warnings = Vec::new();
    for (part, found) in context.parts.iter().zip(look(&context.parts)) {
        let (binding, error) = match found {
            Ok(binding) => (Some(binding), None),
            Err(error) => {
                let why = context.secrets.scrub(&error.message);
                warnings.push(format!(
                    "step {}: where it is cannot be seen, so a rollback to this release will leave it as it is: {why}",
                    part.name
                ));
                (None, Some(why))
            }
        };
        let kind = part.kind.clone();
        runtime.steps.insert(part.name.clone(), Kept { kind, binding, error });
    }
    (runtime, warnings)
}
