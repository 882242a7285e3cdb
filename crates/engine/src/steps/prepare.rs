//! What each step would do on the way to a target.

use std::collections::BTreeMap;

use rollback_release::ReleaseKind;
use rollback_runbook::Part;
use rollback_runbook::step::{Binding, Reversibility, StepError};

use super::capture::Runtime;
use super::record::StepEnvelope;
use crate::context::Context;
use crate::error::{EngineError, Result};
use crate::reconcile::{Guard, Refusal};
use crate::run::Consent;
use crate::target::Target;

/// A step, and where a release had it.
#[derive(Clone)]
pub struct Wanted {
    pub part: Part,
    /// None with the reason why it is left as it is.
    pub target: Result<Binding, String>,
    /// What an earlier attempt of the run has begun to do.
    pub begun: Option<StepEnvelope>,
    /// Nobody asks for it but a release.
    pub only_by_release: bool,
}

/// What a step does in a run.
#[derive(Clone)]
pub struct PreparedStep {
    pub part: Part,
    pub way: Way,
}

/// Where it goes.
#[derive(Clone)]
pub enum Way {
    /// There is nothing to do.
    There,
    /// It is left as it is, and why.
    Left(String),
    Goes(Box<StepEnvelope>),
}

impl PreparedStep {
    /// Why it is left as it is, where it is.
    pub fn left(&self) -> Option<&str> {
        match &self.way {
            Way::Left(why) => Some(why),
            _ => None,
        }
    }

    pub(crate) fn warning(&self) -> Option<String> {
        let why = self.left()?;
        Some(format!("step {} is left as it is: {why}", self.part.name))
    }

    pub(crate) fn envelope_mut(&mut self) -> Option<&mut StepEnvelope> {
        match &mut self.way {
            Way::Goes(envelope) => Some(envelope),
            _ => None,
        }
    }

    /// What is approved, where there is something to do.
    pub fn envelope(&self) -> Option<&StepEnvelope> {
        match &self.way {
            Way::Goes(envelope) => Some(envelope),
            _ => None,
        }
    }
}

/// Where the target has each of the chosen steps.
///
/// # Errors
/// A release's record cannot be read.
pub(crate) fn wanted(context: &Context, target: &Target) -> Result<Vec<Wanted>> {
    let mut known = Vec::new();
    for release in target.releases() {
        known.push((release.id.as_str(), Runtime::of(release)?));
    }
    // An undo goes to what a run has kept of before it.
    let is_undo = (target.releases().iter()).any(|release| matches!(release.kind, ReleaseKind::Backup { .. }));
    let mut all = Vec::new();
    for part in &context.parts {
        if let Some(asked) = &part.asked {
            all.push(Wanted {
                part: part.clone(),
                target: Ok(asked.clone()),
                begun: None,
                only_by_release: false,
            });
            continue;
        }
        let mut found = Err("no release of the target knows where it was".to_owned());
        for (release, runtime) in &known {
            let Some(kept) = runtime.steps.get(&part.name) else {
                continue;
            };
            found = match (&kept.binding, &kept.error) {
                _ if kept.kind != part.kind => Err(format!(
                    "release {release:.8} has it as a {} step, and it is a {} step now",
                    kept.kind, part.kind
                )),
                (Some(binding), _) => Ok(binding.clone()),
                (None, why) => Err(format!(
                    "it could not be seen when release {release:.8} was made: {}",
                    why.as_deref().unwrap_or_default()
                )),
            };
            if found.is_ok() {
                break;
            }
        }
        all.push(Wanted {
            part: part.clone(),
            target: found,
            begun: None,
            only_by_release: !is_undo,
        });
    }
    Ok(all)
}

/// Looks at the chosen steps and plans their way, side by side. Also where each one is now, for the backup.
///
/// # Errors
/// A step cannot be seen: then it is not known what to do.
pub fn prepare(wanted: &[Wanted]) -> Result<(Vec<PreparedStep>, Runtime)> {
    let found: Vec<_> = std::thread::scope(|scope| {
        let looking: Vec<_> = wanted.iter().map(|one| scope.spawn(|| prepare_one(one))).collect();
        looking
            .into_iter()
            .map(|one| one.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    one_step_for_one_database(wanted, &found)?;
    let mut prepared = Vec::new();
    let mut runtime = Runtime::default();
    for (one, found) in wanted.iter().zip(found) {
        let part = &one.part;
        let (now, way) = found.map_err(|error| {
            step_error(&part.name, error).hint(format!("`--skip-step {}` goes on without it", part.name))
        })?;
        let kept = super::Kept {
            kind: part.kind.clone(),
            binding: Some(now),
            error: None,
        };
        runtime.steps.insert(part.name.clone(), kept);
        prepared.push(PreparedStep {
            part: part.clone(),
            way,
        });
    }
    Ok((prepared, runtime))
}

fn prepare_one(one: &Wanted) -> Result<(Binding, Way), StepError> {
    let now = one.part.step.look()?;
    let target = match &one.target {
        Ok(target) => target,
        Err(why) => return Ok((now, Way::Left(why.clone()))),
    };
    let planned = one.part.step.plan(&now, target)?;
    if let Some(begun) = &one.begun {
        // It may look as if it were there, and be cut off in the middle: it is gone once more, from where it was.
        let plan = planned.filter(|plan| plan.obstacles.is_empty());
        let plan = plan.unwrap_or_else(|| begun.plan.clone());
        let envelope = StepEnvelope {
            plan,
            policy: None,
            to: target.to_string(),
            ..begun.clone()
        };
        return Ok((now, Way::Goes(Box::new(envelope))));
    }
    if one.only_by_release && planned.is_some() && is_database(&one.part.kind) {
        let why = format!(
            "a database goes back only where that is asked for: --restore-database {}",
            one.part.name
        );
        return Ok((now, Way::Left(why)));
    }
    let way = match planned {
        None => Way::There,
        Some(plan) => Way::Goes(Box::new(StepEnvelope {
            step: one.part.name.clone(),
            kind: one.part.kind.clone(),
            from: now.to_string(),
            to: target.to_string(),
            plan,
            policy: None,
        })),
    };
    Ok((now, way))
}

/// Steps go side by side: two that restore one instance would take its name from each other.
///
/// # Errors
/// Refused, with both names.
fn one_step_for_one_database(
    wanted: &[Wanted],
    found: &[std::result::Result<(Binding, Way), StepError>],
) -> Result<()> {
    let mut restored: BTreeMap<&str, &str> = BTreeMap::new();
    for (one, found) in wanted.iter().zip(found) {
        let Ok((now, Way::Goes(_))) = found else { continue };
        let Some(instance) = now["instance"].as_str().filter(|_| is_database(&one.part.kind)) else {
            continue;
        };
        let name = one.part.name.as_str();
        if let Some(other) = restored.insert(instance, name) {
            return Err(EngineError::refused(format!(
                "steps {other} and {name} would both put another one in the place of database {instance}, side by side"
            ))
            .hint(format!(
                "leave one of them out: --skip-step {name}, or do one alone: --step {other}"
            )));
        }
    }
    Ok(())
}

/// Whether a step is of a kind that restores databases.
pub(super) fn is_database(kind: &str) -> bool {
    kind.starts_with("rds-")
}

/// A step's word as the engine's; `name` is the step's.
pub fn step_error(name: &str, error: StepError) -> EngineError {
    let made = EngineError::failed(format!("step {name}: {}", error.message));
    match error.hint {
        Some(hint) => made.hint(hint),
        None => made,
    }
}

/// What stands in the way of a step stands in the way of the run.
///
/// # Errors
/// Refused, with every obstacle.
pub(crate) fn obstacles(steps: &[PreparedStep]) -> Result<()> {
    let plans = |step: &PreparedStep| {
        step.envelope()
            .map(|envelope| envelope.plan.obstacles.clone())
            .unwrap_or_default()
    };
    let lines: Vec<String> = steps
        .iter()
        .flat_map(|step| {
            plans(step)
                .into_iter()
                .map(|why| format!("step {}: {why}", step.part.name))
        })
        .collect();
    if lines.is_empty() {
        return Ok(());
    }
    let mut error = EngineError::refused(format!("nothing was changed.\n  {}", lines.join("\n  ")));
    for step in steps.iter().filter(|step| !plans(step).is_empty()) {
        error = error.hint(format!("`--skip-step {}` goes on without it", step.part.name));
    }
    Err(error)
}

/// What needs an acceptance of its own and has none. A step is named by its name, which no address of an object can be.
pub fn open_refusals(steps: &[PreparedStep], consent: &Consent) -> Vec<Refusal> {
    steps
        .iter()
        .filter_map(PreparedStep::envelope)
        .filter(|envelope| envelope.plan.reversibility != Reversibility::Lossless)
        .filter(|envelope| !consent.data_loss.contains(&envelope.step))
        .map(|envelope| Refusal {
            guard: Guard::DataLoss,
            address: envelope.step.clone(),
            message: format!(
                "the {} step is {}: {}",
                envelope.kind,
                envelope.plan.reversibility.as_str(),
                envelope
                    .plan
                    .notes
                    .first()
                    .map_or("it cannot be taken back", String::as_str)
            ),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use rollback_runbook::Common;
    use rollback_runbook::step::{Progress, Step, StepPlan};
    use serde_json::json;

    use super::*;
    use crate::error::Kind;

    /// A database that a step finds and restores; what it does with AWS is tried in `runtime-aws`.
    struct Database(&'static str);

    impl Step for Database {
        fn look(&self) -> std::result::Result<Binding, StepError> {
            Ok(json!({"instance": self.0}))
        }

        fn plan(&self, now: &Binding, target: &Binding) -> std::result::Result<Option<StepPlan>, StepError> {
            Ok((target["snapshot"] != now["snapshot"]).then(StepPlan::default))
        }

        fn go(&self, _: &Binding, _: &Binding, _: &dyn Progress) -> std::result::Result<Binding, StepError> {
            Err(StepError::untouched("nobody goes here"))
        }
    }

    fn wanted(name: &str, kind: &str, instance: &'static str, asked: bool) -> Wanted {
        let common = Common {
            name: name.to_owned(),
            ..Common::default()
        };
        let target = match asked {
            true => json!({"snapshot": "s1"}),
            false => json!({"instance": instance}),
        };
        Wanted {
            part: Part::new(kind, common, Box::new(Database(instance))),
            target: Ok(target),
            begun: None,
            only_by_release: !asked,
        }
    }

    #[test]
    fn two_steps_that_restore_one_database_are_no_run() {
        let snapshot = || wanted("snapshot", "rds-restore", "prod", true);
        let moment = || wanted("moment", "rds-pitr", "prod", true);
        let error = prepare(&[snapshot(), moment()]).err().unwrap();
        let told = format!("{error} {:?}", error.hints);
        for words in [
            "snapshot",
            "moment",
            "database prod",
            "--skip-step moment",
            "--step snapshot",
        ] {
            assert!(told.contains(words), "{words}: {told}");
        }
        assert_eq!(error.kind, Kind::Refused);

        // One that only a release speaks of stays as it is; another database is another one; and what is no database may
        // have an instance of the same name.
        let left = wanted("moment", "rds-pitr", "prod", false);
        let other = wanted("moment", "rds-pitr", "other", true);
        let machine = wanted("machine", "command", "prod", true);
        for beside in [left, other, machine] {
            let name = beside.part.name.clone();
            let prepared = prepare(&[snapshot(), beside]);
            let (steps, _) = prepared.unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(steps[0].envelope().is_some());
        }
    }
}
