//! `check PLAN.json`: can this forward plan be rolled back? For CI, before the deploy.

use rollback_engine::error::{EngineError, Result};
use rollback_inverse::{Knowledge, Redactor, Reversibility, Update};
use rollback_terraform::{Plan, ResourceChange};
use serde_json::json;

use crate::arguments::{CheckArguments, Global};
use crate::output::{Output, Tone};
use crate::session;

/// 0 where everything could be undone, 3 where something could not.
pub fn run(global: &Global, arguments: &CheckArguments, output: &Output) -> Result<u8> {
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
    let knowledge = session::knowledge_here(global)?;
    let redactor = Redactor::new([], std::iter::empty::<String>(), &knowledge);
    let mut findings = Vec::new();
    for change in plan.resource_changes.iter().filter(|change| change.is_managed()) {
        let found = judge(change, &knowledge, &redactor);
        findings.extend(
            found
                .into_iter()
                .map(|(reversibility, why)| (change, reversibility, why)),
        );
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
fn judge(change: &ResourceChange, knowledge: &Knowledge, redactor: &Redactor) -> Vec<(Reversibility, String)> {
    if change.has_unknown_action() {
        return vec![(
            Reversibility::Irreversible,
            "terraform plans an action that this version does not know".to_owned(),
        )];
    }
    if change.deletes() {
        return vec![of_deletion(knowledge, &change.kind)];
    }
    if !change.updates() {
        return Vec::new();
    }
    let body = &change.change;
    let update = Update {
        kind: &change.kind,
        before: &body.before,
        after: &body.after,
        unknown: &body.after_unknown,
        shown_before: &redactor.mask_marked(&change.kind, &body.before_sensitive, &body.before),
        shown_after: &redactor.mask_marked(&change.kind, &body.after_sensitive, &body.after),
    };
    let obstacles = update.obstacles(knowledge).into_iter();
    obstacles.map(|found| (found.reversibility, found.reason)).collect()
}

fn of_deletion(knowledge: &Knowledge, kind: &str) -> (Reversibility, String) {
    let known = knowledge.kind(kind);
    let destroy = known.map_or(Reversibility::Lossless, |known| known.destroy);
    let reason = match known {
        Some(known) if destroy >= Reversibility::DataLoss && !known.holds.is_empty() => format!(
            "it would be destroyed, and {} with it: a rollback makes it anew, empty",
            known.holds
        ),
        _ => "it would be destroyed; a rollback makes it anew with another id".to_owned(),
    };
    (destroy.max(Reversibility::RecreatedEmpty), reason)
}
