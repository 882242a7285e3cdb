//! `check PLAN.json`: can this forward plan be rolled back? For CI, before the deploy.

use rollback_engine::error::{EngineError, Result};
use rollback_inverse::{Knowledge, Reversibility};
use rollback_terraform::{Plan, ResourceChange};
use serde_json::json;

use crate::arguments::CheckArguments;
use crate::output::{Output, Tone};

/// 0 where everything could be undone, 3 where something could not.
pub fn run(arguments: &CheckArguments, output: &Output) -> Result<u8> {
    let bytes = std::fs::read(&arguments.plan)
        .map_err(|error| EngineError::failed(format!("{} cannot be read: {error}", arguments.plan.display())))?;
    let plan = Plan::parse(bytes).map_err(|error| {
        let hint = error.hint();
        let error = rollback_engine::terraform_error(error).during(arguments.plan.display());
        match hint {
            Some(hint) if error.hints.is_empty() => error.hint(hint),
            _ => error,
        }
    })?;
    let knowledge = Knowledge::built_in();
    let mut findings = Vec::new();
    for change in plan.resource_changes.iter().filter(|change| change.is_managed()) {
        if let Some((reversibility, why)) = judge(change, &knowledge) {
            findings.push((change, reversibility, why));
        }
    }
    findings.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.address.cmp(&b.0.address)));
    let worst = findings
        .iter()
        .map(|(_, reversibility, _)| *reversibility)
        .max()
        .unwrap_or_default();
    for (change, reversibility, why) in &findings {
        let tone = if reversibility.needs_acceptance() {
            Tone::Danger
        } else {
            Tone::Warning
        };
        output.toned(tone, &format!("{} ({reversibility})", change.address));
        output.line(&format!("    {why}"));
    }
    if findings.is_empty() {
        output.toned(Tone::Good, "Everything in this plan can be undone.");
    }
    output.document(&json!({
        "reversible": !worst.needs_acceptance(),
        "worst": worst.as_str(),
        "changes": plan.resource_changes.len(),
        "findings": findings.iter().map(|(change, reversibility, why)| json!({
            "address": change.address,
            "actions": change.change.actions.iter().map(|action| action.as_str()).collect::<Vec<_>>(),
            "reversibility": reversibility.as_str(),
            "reason": why,
        })).collect::<Vec<_>>(),
    }));
    Ok(if worst.needs_acceptance() { 3 } else { 0 })
}

/// What a later rollback could not bring back.
fn judge(change: &ResourceChange, knowledge: &Knowledge) -> Option<(Reversibility, String)> {
    if change.has_unknown_action() {
        return Some((
            Reversibility::Irreversible,
            "terraform plans an action that this version does not know".to_owned(),
        ));
    }
    if !change.deletes() {
        return None;
    }
    match knowledge.kind(&change.kind) {
        Some(known) if !known.holds.is_empty() => Some((
            known.destroy.max(Reversibility::DataLoss),
            format!(
                "it would be destroyed, and {} with it: a rollback makes it anew, empty",
                known.holds
            ),
        )),
        Some(known) if known.destroy > Reversibility::Lossless => Some((
            known.destroy,
            "it would be destroyed; a rollback makes another one".to_owned(),
        )),
        _ => Some((
            Reversibility::RecreatedEmpty,
            "it would be destroyed; a rollback makes it anew with another id".to_owned(),
        )),
    }
}
