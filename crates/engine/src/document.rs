//! Plans and releases as JSON, for machines: the same on the command line and over HTTP, with nothing in it that is
//! sensitive.

use rollback_inverse::Fate;
use rollback_release::{Release, ReleaseKind, Summary};
use serde_json::{Map, Value, json};

use crate::estimate::Estimates;
use crate::planning::Planned;
use crate::prepare::Prepared;
use crate::reconcile::{Item, Reconciled, outputs};
use crate::run::Consent;
use crate::steps::{PreparedStep, Runtime, Way, open_refusals};
use crate::words::counted;

/// What kind of release it is, and the run that it belongs to.
pub fn release_kind(kind: &ReleaseKind) -> (&'static str, Option<&str>) {
    match kind {
        ReleaseKind::Snapshot => ("snapshot", None),
        ReleaseKind::Backup { run } => ("backup", Some(run)),
        ReleaseKind::Result { run } => ("result", Some(run)),
        ReleaseKind::Imported(_) => ("imported", None),
    }
}

/// A release as JSON: what it is, no values.
pub fn describe_release(release: &Release) -> Value {
    let mut document = describe_summary(&Summary::of(release));
    let steps = Runtime::of(release).unwrap_or_default().steps;
    document["steps"] = steps
        .iter()
        .map(|(name, kept)| json!({ "name": name, "kind": kept.kind, "seen": kept.binding.is_some(), "error": kept.error }))
        .collect();
    document
}

/// As [`describe_release`].
pub fn describe_summary(release: &Summary) -> Value {
    let (kind, run) = release_kind(&release.kind);
    json!({
        "id": release.id.as_str(),
        "commit": release.commit,
        "name": release.name,
        "note": release.note,
        "kind": kind,
        "run": run,
        "created_at": release.created_at,
        "actor": release.actor,
        "reason": release.reason,
        "inferred": release.import(),
        "dirty": release.dirty,
        "stacks": release.stacks.iter().map(|stack| json!({
            "name": stack.name,
            "dir": stack.dir,
            "workspace": stack.workspace,
            "backend": { "kind": stack.backend.kind, "attributes": stack.backend.attributes, "left_out": stack.backend.left_out },
            "state": stack.state.as_ref().map(|state| json!({
                "sha256": state.sha256, "serial": state.serial, "lineage": state.lineage,
                "terraform_version": state.terraform_version, "instances": state.instances,
            })),
            "configuration_files": stack.configuration_files,
            "module_files": stack.module_files,
            "terraform": { "product": stack.terraform.product, "version": stack.terraform.version },
            "providers": stack.providers,
            "variables": stack.variables.iter().map(|variable| json!({
                "name": variable.name, "origin": variable.origin, "sensitive": variable.sensitive, "kept": variable.kept,
            })).collect::<Vec<_>>(),
            "variable_files": stack.variable_files.iter().map(|file| json!({
                "path": file.path, "tracked": file.tracked, "left_out": file.left_out,
            })).collect::<Vec<_>>(),
            "depends_on": stack.depends_on,
        })).collect::<Vec<_>>(),
    })
}

/// `2 destroy, 1 update`.
pub fn counts(plan: &Reconciled) -> String {
    let mut words = Vec::new();
    for fate in Fate::ALL {
        let count = plan.items.iter().filter(|item| item.fate == fate).count();
        if count > 0 {
            words.push(format!("{count} {fate}"));
        }
    }
    if !plan.outputs.is_empty() {
        words.push(counted(plan.outputs.len(), "output"));
    }
    words.join(", ")
}

/// Terraform's plan representation of all stacks as one document, with what the inverse plan adds to it.
pub fn plan(planned: &Planned) -> Value {
    let prepared = &planned.stacks;
    let many = prepared.len() > 1;
    let mut changes = Vec::new();
    let mut drift = Vec::new();
    let mut warnings = Vec::new();
    let mut refusals = Vec::new();
    for stack in prepared {
        for item in &stack.reconciled.items {
            changes.push(change(stack, item, many));
        }
        drift.extend(stack.reconciled.drift.iter().map(|drift| {
            json!({ "stack": stack.stack, "address": drift.address, "mode": "managed", "change": { "actions": drift.actions }, "attributes": drift.attributes, "controller": drift.controller })
        }));
        warnings.extend(
            stack
                .reconciled
                .warnings
                .iter()
                .map(|text| json!({ "stack": stack.stack, "message": text })),
        );
        refusals.extend(stack.reconciled.refusals.iter().map(|refusal| {
            json!({ "stack": stack.stack, "guard": refusal.guard, "address": refusal.address, "message": refusal.message })
        }));
    }
    // A step belongs to no stack.
    refusals.extend(open_refusals(&planned.steps, &Consent::default()).iter().map(|refusal| {
        json!({ "stack": null, "guard": refusal.guard, "address": refusal.address, "message": refusal.message })
    }));
    let version = prepared
        .iter()
        .map(|stack| stack.envelope.terraform_version.as_str())
        .find(|text| !text.is_empty());
    json!({
        "format_version": "1.2",
        "terraform_version": version,
        "resource_changes": changes,
        "resource_drift": drift,
        // Several stacks may have outputs of one name: each has its own beside it.
        "output_changes": match prepared.as_slice() {
            [one] => output_changes(one),
            _ => Map::new(),
        },
        "warnings": warnings,
        "needs_acceptance": refusals,
        "policy": planned.evaluations().map(|(stack, evaluation)| json!({ "stack": stack, "evaluation": evaluation }))
            .collect::<Vec<_>>(),
        "steps": steps(&planned.steps, &planned.estimates),
        "digest": planned.digest(),
        "stacks": prepared.iter().map(|stack| json!({
            "name": stack.stack,
            "from_commit": stack.deployed.as_str(),
            "to_commit": stack.envelope.target_commit,
            "release": stack.release,
            "serial": stack.envelope.serial,
            "lineage": stack.envelope.lineage,
            "summary": counts(&stack.reconciled),
            "output_changes": output_changes(stack),
            "expected": (!stack.reconciled.is_empty()).then(|| planned.estimates.stack(&stack.stack)).flatten(),
        })).collect::<Vec<_>>(),
    })
}

fn output_changes(stack: &Prepared) -> Map<String, Value> {
    let plan = stack.plan.as_ref();
    plan.map(|plan| outputs::document(plan, &stack.redactor))
        .unwrap_or_default()
}

/// What the steps do; their lines are masked where they were made.
pub fn steps(steps: &[PreparedStep], estimates: &Estimates) -> Vec<Value> {
    steps.iter().map(|one| step(one, estimates)).collect()
}

fn step(step: &PreparedStep, estimates: &Estimates) -> Value {
    let (status, why, plan) = match &step.way {
        Way::There => ("nothing-to-do", None, None),
        Way::Left(why) => ("left-as-it-is", Some(why), None),
        Way::Goes(envelope) => ("goes", None, Some(&envelope.plan)),
    };
    let (name, kind) = (&step.part.name, &step.part.kind);
    let expected = plan.and_then(|_| estimates.step(name, kind));
    json!({ "name": name, "kind": kind, "status": status, "why": why, "plan": plan, "expected": expected })
}

fn change(stack: &Prepared, item: &Item, many: bool) -> Value {
    let real = stack.plan.as_ref().and_then(|plan| {
        plan.resource_changes
            .iter()
            .find(|real| real.address == item.address && real.deposed == item.deposed)
    });
    let mut body = Map::new();
    body.insert("actions".into(), json!(item.actions));
    if let Some(real) = real {
        let mask = |marks: &Value, value: &Value| stack.redactor.mask_marked(&item.kind, marks, value);
        body.insert(
            "before".into(),
            mask(&real.change.before_sensitive, &real.change.before),
        );
        body.insert("after".into(), mask(&real.change.after_sensitive, &real.change.after));
        body.insert("after_unknown".into(), real.change.after_unknown.clone());
        body.insert("before_sensitive".into(), real.change.before_sensitive.clone());
        body.insert("after_sensitive".into(), real.change.after_sensitive.clone());
    } else if let Some(planned) = stack
        .inverse
        .changes
        .iter()
        .find(|change| change.address().to_string() == item.address)
    {
        body.insert("before".into(), planned.before().cloned().unwrap_or(Value::Null));
        body.insert("after".into(), planned.after().cloned().unwrap_or(Value::Null));
    }
    if item.fate == Fate::Adopt {
        body.insert("importing".into(), json!({ "id": item.importing }));
    }
    let parsed = item.address.parse::<rollback_state::Address>().ok();
    let mut change = Map::new();
    change.insert("address".into(), json!(item.address));
    if let Some(previous) = &item.previous_address {
        change.insert("previous_address".into(), json!(previous));
    }
    if let Some(address) = &parsed {
        if !address.resource.module.is_root() {
            change.insert("module_address".into(), json!(address.resource.module.to_string()));
        }
        change.insert("name".into(), json!(address.resource.name));
        match &address.key {
            Some(rollback_state::Key::Int(index)) => change.insert("index".into(), json!(index)),
            Some(rollback_state::Key::Str(key)) => change.insert("index".into(), json!(key)),
            None => None,
        };
    }
    change.insert("mode".into(), json!("managed"));
    change.insert("type".into(), json!(item.kind));
    change.insert("provider_name".into(), json!(item.provider));
    if let Some(deposed) = &item.deposed {
        change.insert("deposed".into(), json!(deposed));
    }
    change.insert("change".into(), Value::Object(body));
    change.insert("fate".into(), json!(item.fate));
    change.insert("reversibility".into(), json!(item.reversibility));
    change.insert("reason".into(), json!(item.reason));
    change.insert("differences".into(), json!(item.changes));
    change.insert("notes".into(), json!(item.notes));
    change.insert("explained".into(), json!(item.explained));
    if many {
        change.insert("stack".into(), json!(stack.stack));
    }
    Value::Object(change)
}
