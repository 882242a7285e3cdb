//! A plan for a tired person at three in the morning: what is lost for good first, then what goes, what comes back,
//! what changes; and for a machine, Terraform's own plan representation.

use rollback_engine::prepare::Prepared;
use rollback_engine::reconcile::{Guard, Item, Reconciled, Refusal};
use rollback_inverse::{Fate, Reversibility};
use serde_json::{Map, Value, json};

use crate::output::{Output, Tone};

/// How many attribute changes of one object are shown.
const MOST_CHANGES: usize = 12;

struct Group {
    title: &'static str,
    symbol: &'static str,
    tone: Tone,
    fates: &'static [Fate],
}

const GROUPS: &[Group] = &[
    Group {
        title: "cannot be done",
        symbol: "!!",
        tone: Tone::Danger,
        fates: &[Fate::Impossible],
    },
    Group {
        title: "goes",
        symbol: "-",
        tone: Tone::Danger,
        fates: &[Fate::Destroy],
    },
    Group {
        title: "is destroyed and made anew",
        symbol: "-/+",
        tone: Tone::Danger,
        fates: &[Fate::Replace],
    },
    Group {
        title: "comes back, empty",
        symbol: "+",
        tone: Tone::Warning,
        fates: &[Fate::Create],
    },
    Group {
        title: "is taken in again",
        symbol: "<-",
        tone: Tone::Good,
        fates: &[Fate::Adopt],
    },
    Group {
        title: "is let go, and lives on",
        symbol: "->",
        tone: Tone::Warning,
        fates: &[Fate::Forget],
    },
    Group {
        title: "changes in place",
        symbol: "~",
        tone: Tone::Warning,
        fates: &[Fate::Update],
    },
    Group {
        title: "gets its old address back",
        symbol: "=",
        tone: Tone::Plain,
        fates: &[Fate::Move],
    },
];

/// Prints the plans of all stacks.
pub fn print(output: &Output, prepared: &[Prepared], refusals: &[Refusal]) {
    for stack in prepared {
        output.line("");
        output.heading(&format!(
            "stack {}: from {:.10} to {:.10}",
            stack.stack,
            stack.deployed.as_str(),
            stack.envelope.target_commit
        ));
        print_one(output, &stack.reconciled);
    }
    if !refusals.is_empty() {
        output.line("");
        output.toned(Tone::Danger, "needs a yes of its own:");
        for refusal in refusals {
            output.toned(Tone::Danger, &format!("  {} {}", refusal.address, tag(refusal.guard)));
            output.line(&format!("      {}", refusal.message));
        }
    }
}

fn tag(guard: Guard) -> &'static str {
    match guard {
        Guard::DataLoss => "[data loss]",
        Guard::Surprise => "[surprise]",
        Guard::Difference => "[differs]",
        Guard::Impossible => "[impossible]",
    }
}

/// Prints one stack's plan.
pub fn print_one(output: &Output, plan: &Reconciled) {
    for warning in &plan.warnings {
        output.toned(Tone::Warning, &format!("  ! {warning}"));
    }
    if plan.items.is_empty() {
        output.toned(Tone::Good, "  Nothing to do: everything is as it was.");
        return;
    }
    let lost: Vec<&Item> = plan
        .items
        .iter()
        .filter(|item| item.reversibility >= Reversibility::DataLoss)
        .collect();
    if !lost.is_empty() {
        output.toned(Tone::Danger, "  LOST FOR GOOD:");
        for item in &lost {
            output.toned(Tone::Danger, &format!("    {} ({})", item.address, item.reversibility));
        }
    }
    for group in GROUPS {
        let items: Vec<&Item> = plan
            .items
            .iter()
            .filter(|item| group.fates.contains(&item.fate))
            .collect();
        if items.is_empty() {
            continue;
        }
        output.heading(&format!("  {} {}:", items.len(), group.title));
        for item in items {
            print_item(output, group, item);
        }
    }
    if !plan.drift.is_empty() {
        output.toned(
            Tone::Warning,
            &format!(
                "  {} changed outside of Terraform since the last apply:",
                plan.drift.len()
            ),
        );
        for drift in &plan.drift {
            output.line(&format!(
                "    {} ({}: {})",
                drift.address,
                drift.actions.join("+"),
                drift.attributes.join(", ")
            ));
        }
    }
    output.heading(&format!("  In all: {}.", counts(plan)));
}

fn print_item(output: &Output, group: &Group, item: &Item) {
    let from = item
        .previous_address
        .as_ref()
        .map(|from| format!("  (now {from})"))
        .unwrap_or_default();
    let deposed = item
        .deposed
        .as_ref()
        .map(|key| format!(" (deposed {key})"))
        .unwrap_or_default();
    let surprise = if item.explained {
        ""
    } else {
        "  [not explained by the releases]"
    };
    output.toned(
        group.tone,
        &format!("    {} {}{deposed}{from}{surprise}", group.symbol, item.address),
    );
    if item.fate != Fate::Move {
        output.toned(Tone::Faint, &format!("        {}", item.reason));
    }
    for change in item.changes.iter().take(MOST_CHANGES) {
        output.line(&format!("        {change}"));
    }
    if item.changes.len() > MOST_CHANGES {
        output.line(&format!(
            "        … and {} more attributes",
            item.changes.len() - MOST_CHANGES
        ));
    }
    for note in &item.notes {
        output.toned(Tone::Faint, &format!("        {note}"));
    }
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
    words.join(", ")
}

/// Terraform's plan representation of all stacks as one document, with what the inverse plan adds to it.
pub fn document(prepared: &[Prepared]) -> Value {
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
            json!({ "stack": stack.stack, "address": drift.address, "mode": "managed", "change": { "actions": drift.actions }, "attributes": drift.attributes })
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
    let version = prepared
        .iter()
        .map(|stack| stack.envelope.terraform_version.as_str())
        .find(|text| !text.is_empty());
    json!({
        "format_version": "1.2",
        "terraform_version": version,
        "resource_changes": changes,
        "resource_drift": drift,
        "warnings": warnings,
        "needs_acceptance": refusals,
        "digest": rollback_engine::drive::digest_of(prepared),
        "stacks": prepared.iter().map(|stack| json!({
            "name": stack.stack,
            "from_commit": stack.deployed.as_str(),
            "to_commit": stack.envelope.target_commit,
            "release": stack.release,
            "serial": stack.envelope.serial,
            "lineage": stack.envelope.lineage,
            "summary": counts(&stack.reconciled),
        })).collect::<Vec<_>>(),
    })
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
    change.insert("notes".into(), json!(item.notes));
    change.insert("explained".into(), json!(item.explained));
    if many {
        change.insert("stack".into(), json!(stack.stack));
    }
    Value::Object(change)
}
