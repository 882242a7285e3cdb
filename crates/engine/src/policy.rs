//! Policy on what a run would do: asked before terraform is started in a target's configuration, once its real plan was
//! reconciled, and again right before the first effect. No verdict is a refusal.

mod denied;
mod drive;
mod facts;
mod judging;
mod mask;
mod overriding;
mod record;
mod restore;

use jiff::Timestamp;
use rollback_config::project::PolicySection;
use rollback_inverse::Knowledge;
use rollback_inverse::redact::Redactor;
use rollback_policy::{
    Bundle, Document, Evaluation, Finding, FreezeWindow, Level, Levels, Limits, Policy, PolicyError, Risk, parse_age,
};
use rollback_state::State;
use serde_json::json;

use crate::context::Context;
use crate::error::{EngineError, Result};

pub use denied::Denial;
pub(crate) use denied::{held_open, not_accepted};
pub(crate) use facts::{End, ends_of_steps, history, known_bad, providers};
pub use facts::{Ends, Moment, Phase};
pub use judging::open_denials;
pub use overriding::PolicyOverride;
pub(crate) use overriding::check_reason;
pub use record::PolicyRecord;
pub(crate) use restore::{Judged, restore_denials};

/// The rules whose override is `--accept-data-loss ADDRESS`: the engine's own guard asks for it, object by object.
const BY_CONSENT: &[&str] = &["rollback.data_loss.", "rollback.prevent_destroy."];
/// The package that is asked before terraform is started.
const CONFIGURATION: &str = "rollback.configuration";

/// The project's policy, ready to judge.
pub struct Gate {
    policy: Policy,
    windows: Vec<FreezeWindow>,
    maximum_age: Option<i64>,
    four_eyes: bool,
}

/// What is wrong with the policy refuses: without a verdict nothing may happen.
pub fn refused(error: &PolicyError) -> EngineError {
    let refused = EngineError::refused(format!("there can be no verdict of the policy: {error}"));
    match error.hint() {
        Some(hint) => refused.hint(hint),
        None => refused,
    }
}

/// Whether somebody else than who asked has to approve where these settings hold.
pub fn wants_four_eyes(section: &PolicySection) -> bool {
    let environment = section.environment.as_ref();
    environment.is_some_and(|environment| section.four_eyes.contains(environment))
}

/// The bundle that a project's settings mean: the built-in one, and its own beside it.
///
/// # Errors
/// A bundle that is missing, broken or hostile, as a refusal.
pub fn bundle(context: &Context) -> Result<Bundle> {
    let section = &context.settings.policy;
    bundle_of(section, &context.root)
}

/// As [`bundle`], without a context.
///
/// # Errors
/// As [`bundle`].
pub fn bundle_of(section: &PolicySection, root: &std::path::Path) -> Result<Bundle> {
    let mut whole: Option<Bundle> = section.default.then(Bundle::built_in);
    for path in &section.bundles {
        let mut read = Bundle::read(&root.join(path)).map_err(|error| refused(&error))?;
        // The same bundle has the same digest wherever the repository lies.
        read.origin.clone_from(path);
        whole = Some(match whole {
            Some(whole) => whole.with(read),
            None => read,
        });
    }
    let whole = whole.ok_or_else(|| {
        EngineError::refused(
            "there can be no verdict of the policy: [policy] turns the built-in bundle off and names no other",
        )
        .hint("name a `bundle`, or leave `default = false` out")
    })?;
    if section.data.is_empty() {
        return Ok(whole);
    }
    let data = serde_json::to_vec(&section.data).map_err(|error| EngineError::refused(error.to_string()))?;
    Ok(whole.with(Bundle::of_data("infra-rollback.toml", data)))
}

/// How binding the rules are, as the settings say.
///
/// # Errors
/// A word that is no level.
pub fn levels(section: &PolicySection) -> Result<Levels> {
    let level = |text: &str| {
        Level::parse(text).ok_or_else(|| {
            EngineError::usage(format!("[policy]: {text:?} is no level"))
                .hint("the levels are advisory, soft-mandatory and hard-mandatory")
        })
    };
    Ok(Levels {
        default: section.level.as_deref().map(level).transpose()?,
        rules: section
            .levels
            .iter()
            .map(|(rule, text)| Ok((rule.clone(), level(text)?)))
            .collect::<Result<_>>()?,
        disabled: section.disabled.iter().cloned().collect(),
        namespaces: section.namespaces.clone(),
    })
}

impl Gate {
    /// Reads the settings and compiles the bundle.
    ///
    /// # Errors
    /// Whatever leaves the policy without a verdict, as a refusal; settings that cannot be understood.
    pub fn open(context: &Context) -> Result<Gate> {
        let section = &context.settings.policy;
        let policy = Policy::compile(&bundle(context)?, &levels(section)?, Limits::default())
            .map_err(|error| refused(&error))?;
        Gate::with(policy, section)
    }

    /// A gate with a policy of one's own.
    ///
    /// # Errors
    /// Settings that cannot be understood.
    pub fn with(policy: Policy, section: &PolicySection) -> Result<Gate> {
        let zone = section.time_zone.as_deref().unwrap_or("UTC");
        let usage = |error: rollback_policy::FreezeError| EngineError::usage(format!("[policy]: {error}"));
        let windows = section
            .freeze
            .iter()
            .map(|freeze| {
                let zone = freeze.time_zone.as_deref().unwrap_or(zone);
                FreezeWindow::parse(&freeze.name, &freeze.from, &freeze.until, zone).map_err(usage)
            })
            .collect::<Result<_>>()?;
        Ok(Gate {
            policy,
            windows,
            maximum_age: section
                .maximum_age
                .as_deref()
                .map(|text| parse_age(text).map(|age| age.as_secs()).map_err(usage))
                .transpose()?,
            four_eyes: wants_four_eyes(section),
        })
    }

    /// Whether somebody else than who asked has to approve here.
    pub fn wants_four_eyes(&self) -> bool {
        self.four_eyes
    }

    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Refuses a target's configuration that runs what the current one does not, before terraform is started in it.
    ///
    /// # Errors
    /// Refused, with what it was and how to override it.
    pub fn before_terraform(&self, risks: &[Risk], overrides: &[String]) -> Result<()> {
        if risks.is_empty() {
            return Ok(());
        }
        let input = json!({ "rollback": { "risks": risks, "phase": "configuration" } });
        let Some(evaluation) = self.policy.evaluate_package(CONFIGURATION, &input, overrides) else {
            return Ok(());
        };
        if evaluation.verdict.allows() {
            return Ok(());
        }
        Err(refusal_of("", &evaluation))
    }

    fn evaluate(&self, document: &Document, moment: &Moment<'_>) -> Evaluation {
        self.policy
            .evaluate(&document.to_value(), &moment.consent.overridden_rules())
    }

    /// What of a verdict is part of what is approved.
    fn record(&self, evaluation: &Evaluation, moment: &Moment<'_>) -> PolicyRecord {
        PolicyRecord {
            overrides: overriding::used(&self.policy, evaluation, moment),
            ..PolicyRecord::of(evaluation, BY_CONSENT)
        }
    }

    fn open_windows(&self, now: Timestamp) -> Vec<rollback_policy::Freeze> {
        self.windows
            .iter()
            .filter_map(|window| {
                Some(rollback_policy::Freeze {
                    name: window.name.clone(),
                    until: window.ends(now)?,
                })
            })
            .collect()
    }
}

/// A plan's JSON as a policy is given it where there is no rollback: masked, with nothing under `rollback`.
pub fn plan_document(plan: &rollback_terraform::Plan, knowledge: &Knowledge) -> serde_json::Value {
    let redactor = Redactor::new(std::iter::empty::<&State>(), std::iter::empty::<String>(), knowledge);
    serde_json::Value::Object(mask::plan(plan, &redactor))
}

/// The refusal that an evaluation is as a whole.
fn refusal_of(stack: &str, evaluation: &Evaluation) -> EngineError {
    let left: Vec<&Finding> = evaluation.refusals().collect();
    denied::refusal(denied::denials(stack, evaluation, &left).collect())
}
