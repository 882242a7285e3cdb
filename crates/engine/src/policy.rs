//! Policy on what a run would do: asked before terraform is started in a target's configuration, once its real plan was
//! reconciled, and again right before the first effect. No verdict is a refusal.

mod drive;
mod facts;
mod mask;
mod record;

use jiff::Timestamp;
use rollback_config::project::PolicySection;
use rollback_inverse::Knowledge;
use rollback_inverse::redact::Redactor;
use rollback_policy::{
    Bundle, Evaluation, Finding, FreezeWindow, Level, Levels, Limits, Policy, PolicyError, Risk, parse_age,
};
use rollback_state::State;
use serde_json::json;

use crate::context::Context;
use crate::error::{EngineError, Result};
use crate::prepare::Prepared;
use crate::run::Consent;

pub(crate) use facts::{End, history, known_bad, providers};
pub use facts::{Ends, Moment, Phase};
pub use record::PolicyRecord;

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
            four_eyes: section
                .environment
                .as_ref()
                .is_some_and(|environment| section.four_eyes.contains(environment)),
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
        let left: Vec<&Finding> = evaluation.refusals().collect();
        if evaluation.verdict.allows() {
            return Ok(());
        }
        Err(refusal(&left, &evaluation))
    }

    /// Judges every stack that has a real plan, and writes the verdict into its envelope.
    pub fn judge(&self, context: &Context, prepared: &mut [Prepared], moment: &Moment<'_>) {
        let names: Vec<String> = prepared.iter().map(|stack| stack.stack.clone()).collect();
        for stack in prepared.iter_mut().filter(|stack| stack.plan.is_some()) {
            let document = facts::document(context, self, stack, &names, moment);
            let evaluation = self.policy.evaluate(&document.to_value(), &moment.consent.policy);
            stack.envelope.policy = Some(PolicyRecord::of(&evaluation, BY_CONSENT));
            stack.evaluation = Some(evaluation);
        }
    }

    /// Asks once more, right before the first effect: a freeze window may have begun, a policy changed.
    ///
    /// # Errors
    /// Refused where the verdict is another one now.
    pub fn judge_again(&self, context: &Context, prepared: &[Prepared], moment: &Moment<'_>) -> Result<()> {
        let names: Vec<String> = prepared.iter().map(|stack| stack.stack.clone()).collect();
        for stack in prepared.iter().filter(|stack| stack.plan.is_some()) {
            let document = facts::document(context, self, stack, &names, moment);
            let evaluation = self.policy.evaluate(&document.to_value(), &moment.consent.policy);
            if !evaluation.verdict.allows() {
                let left: Vec<&Finding> = evaluation.refusals().collect();
                return Err(
                    refusal(&left, &evaluation).during(format!("stack {}: right before the first effect", stack.stack))
                );
            }
        }
        Ok(())
    }

    /// The document that a stack is judged by.
    pub fn document(
        &self,
        context: &Context,
        stack: &Prepared,
        names: &[String],
        moment: &Moment<'_>,
    ) -> serde_json::Value {
        facts::document(context, self, stack, names, moment).to_value()
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

/// What the policy does not let pass, beside what the engine's own guards ask for.
pub fn open_denials(prepared: &[Prepared]) -> Result<()> {
    for stack in prepared {
        let Some(evaluation) = &stack.evaluation else { continue };
        let asked_for: Vec<&str> = stack
            .reconciled
            .refusals
            .iter()
            .map(|refusal| refusal.address.as_str())
            .collect();
        let left: Vec<&Finding> = evaluation
            .refusals()
            .filter(|finding| {
                let by_consent = BY_CONSENT.iter().any(|package| finding.rule.starts_with(package));
                let address = finding.address.as_deref().unwrap_or_default();
                !(by_consent && asked_for.contains(&address))
            })
            .collect();
        if !left.is_empty() || !evaluation.errors.is_empty() {
            return Err(refusal(&left, evaluation).during(format!("stack {}", stack.stack)));
        }
    }
    Ok(())
}

/// An override without a reason is none.
///
/// # Errors
/// Usage.
pub(crate) fn check_reason(consent: &Consent, reason: Option<&str>) -> Result<()> {
    let reasons = [reason, consent.policy_reason.as_deref()];
    let given = reasons.into_iter().flatten().any(|reason| !reason.trim().is_empty());
    if !consent.policy.is_empty() && !given {
        return Err(EngineError::usage("overriding a policy needs a reason").hint("say why: --reason TEXT"));
    }
    Ok(())
}

fn refusal(left: &[&Finding], evaluation: &Evaluation) -> EngineError {
    let mut lines: Vec<String> = left
        .iter()
        .map(|finding| format!("{} ({}): {}", finding.rule, finding.level, finding.message))
        .collect();
    lines.extend(
        evaluation
            .errors
            .iter()
            .map(|error| format!("{}: no verdict: {}", error.rule, error.message.replace('\n', " "))),
    );
    let mut error = EngineError::refused(format!(
        "the policy refuses it; nothing was changed.\n  {}",
        lines.join("\n  ")
    ));
    let mut soft: Vec<&str> = left
        .iter()
        .filter(|finding| finding.level == Level::SoftMandatory)
        .map(|finding| finding.rule.as_str())
        .collect();
    soft.dedup();
    for rule in soft {
        error = error.hint(format!("if that is meant: --override-policy {rule} --reason TEXT"));
    }
    for finding in left.iter().filter(|finding| finding.level == Level::HardMandatory) {
        let by_consent = BY_CONSENT.iter().any(|package| finding.rule.starts_with(package));
        error = error.hint(match (&finding.address, by_consent) {
            (Some(address), true) => format!("if that is meant: --accept-data-loss '{address}'"),
            _ => format!(
                "{} is hard-mandatory: change what it objects to, or its level under [policy.levels]",
                finding.rule
            ),
        });
    }
    if !evaluation.errors.is_empty() {
        error =
            error.hint("what cannot be judged does not pass: mend the policy, or take the rule out with `disabled`");
    }
    error
}
