//! A plan for a tired person at three in the morning: what is lost for good first, then what goes, what comes back,
//! what changes.

use rollback_engine::document::{self, counts};
use rollback_engine::planning::Planned;
use rollback_engine::reconcile::outputs::{self, OutputChange};
use rollback_engine::reconcile::{Drift, Guard, Item, Reconciled, Refusal};
use rollback_engine::words::counted;
use rollback_inverse::{Fate, Reversibility};
use rollback_policy::{Evaluation, Verdict};
use rollback_runbook::step::{Reversibility as StepReversibility, StepPlan};
use serde_json::Value;

use crate::output::{Output, Tone};

/// How many attribute changes of one object are shown.
const MOST_CHANGES: usize = 12;

struct Group {
    /// What becomes of one object, and of several.
    one: &'static str,
    many: &'static str,
    symbol: &'static str,
    tone: Tone,
    fates: &'static [Fate],
}

const GROUPS: &[Group] = &[
    Group {
        one: "cannot be done",
        many: "cannot be done",
        symbol: "!!",
        tone: Tone::Danger,
        fates: &[Fate::Impossible],
    },
    Group {
        one: "goes",
        many: "go",
        symbol: "-",
        tone: Tone::Danger,
        fates: &[Fate::Destroy],
    },
    Group {
        one: "is destroyed and made anew",
        many: "are destroyed and made anew",
        symbol: "-/+",
        tone: Tone::Danger,
        fates: &[Fate::Replace],
    },
    Group {
        one: "comes back, empty",
        many: "come back, empty",
        symbol: "+",
        tone: Tone::Warning,
        fates: &[Fate::Create],
    },
    Group {
        one: "is taken in again",
        many: "are taken in again",
        symbol: "<-",
        tone: Tone::Good,
        fates: &[Fate::Adopt],
    },
    Group {
        one: "leaves the state, and is not destroyed",
        many: "leave the state, and are not destroyed",
        symbol: "->",
        tone: Tone::Warning,
        fates: &[Fate::Forget],
    },
    Group {
        one: "changes in place",
        many: "change in place",
        symbol: "~",
        tone: Tone::Warning,
        fates: &[Fate::Update],
    },
    Group {
        one: "gets its old address back",
        many: "get their old addresses back",
        symbol: "=",
        tone: Tone::Plain,
        fates: &[Fate::Move],
    },
];

/// Prints the plans of all stacks and steps.
pub fn print(output: &Output, planned: &Planned, refusals: &[Refusal]) {
    for stack in &planned.stacks {
        print_stack(
            output,
            &stack.stack,
            (stack.deployed.as_str(), &stack.envelope.target_commit),
            &View::of(&stack.reconciled),
            stack.evaluation.as_ref(),
            &serde_json::to_value(planned.estimates.stack(&stack.stack)).unwrap_or_default(),
        );
    }
    let refusals: Vec<(&str, &str, &str)> = refusals
        .iter()
        .map(|refusal| (refusal.address.as_str(), tag(refusal.guard), refusal.message.as_str()))
        .collect();
    print_steps(
        output,
        &document::steps(&planned.steps, &planned.estimates),
        planned.evaluation.as_ref(),
    );
    print_refusals(output, &refusals);
}

fn print_steps(output: &Output, steps: &[Value], evaluation: Option<&Evaluation>) {
    steps.iter().for_each(|step| print_step(output, step));
    if let Some(evaluation) = evaluation {
        print_evaluation(output, evaluation);
    }
}

/// Prints the plans of the document that [`document::plan`] makes, as a service sends it.
///
/// [`document::plan`]: rollback_engine::document::plan
pub fn print_document(output: &Output, plan: &Value) {
    let list = |name: &str| plan[name].as_array().map(Vec::as_slice).unwrap_or_default();
    let stacks = list("stacks");
    for stack in stacks {
        let name = text(stack, "name");
        let own = |one: &&Value| stacks.len() < 2 || text(one, "stack") == name;
        let view = View {
            warnings: list("warnings")
                .iter()
                .filter(own)
                .map(|one| text(one, "message").to_owned())
                .collect(),
            items: list("resource_changes").iter().filter(own).filter_map(item).collect(),
            outputs: outputs::of_document(&stack["output_changes"]),
            drift: list("resource_drift").iter().filter(own).map(drift).collect(),
            counts: text(stack, "summary").to_owned(),
        };
        let evaluation = evaluation(list("policy").iter().find(|one| text(one, "stack") == name));
        let way = (text(stack, "from_commit"), text(stack, "to_commit"));
        print_stack(output, name, way, &view, evaluation.as_ref(), &stack["expected"]);
    }
    let of_steps = evaluation(list("policy").iter().find(|one| one["stack"].is_null()));
    print_steps(output, list("steps"), of_steps.as_ref());
    let refusals: Vec<(&str, &str, &str)> = list("needs_acceptance")
        .iter()
        .map(|one| {
            let guard: Option<Guard> = serde_json::from_value(one["guard"].clone()).ok();
            (text(one, "address"), guard.map_or("", tag), text(one, "message"))
        })
        .collect();
    print_refusals(output, &refusals);
}

fn evaluation(judged: Option<&Value>) -> Option<Evaluation> {
    serde_json::from_value(judged?["evaluation"].clone()).ok()
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_default()
}

fn texts(value: &Value) -> Vec<String> {
    let list = value.as_array().into_iter().flatten();
    list.filter_map(|one| one.as_str().map(str::to_owned)).collect()
}

/// A change of the document as the item that it was made from.
fn item(change: &Value) -> Option<Item> {
    let optional = |name: &str| change[name].as_str().map(str::to_owned);
    Some(Item {
        address: text(change, "address").to_owned(),
        previous_address: optional("previous_address"),
        deposed: optional("deposed"),
        kind: text(change, "type").to_owned(),
        provider: text(change, "provider_name").to_owned(),
        fate: serde_json::from_value(change["fate"].clone()).ok()?,
        actions: texts(&change["change"]["actions"]),
        reversibility: serde_json::from_value(change["reversibility"].clone()).ok()?,
        reason: text(change, "reason").to_owned(),
        changes: texts(&change["differences"]),
        notes: texts(&change["notes"]),
        importing: change["change"]["importing"]["id"].as_str().map(str::to_owned),
        explained: change["explained"].as_bool().unwrap_or(true),
    })
}

fn drift(one: &Value) -> Drift {
    Drift {
        address: text(one, "address").to_owned(),
        actions: texts(&one["change"]["actions"]),
        attributes: texts(&one["attributes"]),
        controller: one["controller"].as_str().map(str::to_owned),
    }
}

/// What is shown of one stack's plan.
struct View {
    warnings: Vec<String>,
    items: Vec<Item>,
    outputs: Vec<OutputChange>,
    drift: Vec<Drift>,
    /// `2 destroy, 1 update`.
    counts: String,
}

impl View {
    fn of(plan: &Reconciled) -> View {
        View {
            warnings: plan.warnings.clone(),
            items: plan.items.clone(),
            outputs: plan.outputs.clone(),
            drift: plan.drift.clone(),
            counts: counts(plan),
        }
    }
}

fn print_stack(
    output: &Output,
    name: &str,
    way: (&str, &str),
    view: &View,
    evaluation: Option<&Evaluation>,
    expected: &Value,
) {
    output.line("");
    output.heading(&format!("stack {name}: from {:.10} to {:.10}", way.0, way.1));
    print_view(output, view);
    if !view.items.is_empty() || !view.outputs.is_empty() {
        print_expected(output, expected);
    }
    if let Some(evaluation) = evaluation {
        print_evaluation(output, evaluation);
    }
}

/// How long something is likely to take, as the document has it. What was never done is not spoken of.
fn print_expected(output: &Output, expected: &Value) {
    let (Some(seconds), Some(times)) = (expected["seconds"].as_f64(), expected["times"].as_u64()) else {
        return;
    };
    let whose = match expected["of_its_kind"].as_bool() {
        Some(true) => " of others of its kind",
        _ => "",
    };
    let once = if times == 1 { "once" } else { "the median of" };
    let count = if times == 1 {
        String::new()
    } else {
        format!(" {times} times")
    };
    output.line(&format!("    takes about {} ({once}{count}{whose})", length(seconds)));
}

/// `0.4 s`, `12 s`, `3 min`, `2.5 h`
fn length(seconds: f64) -> String {
    match seconds {
        under if under < 10.0 => format!("{under:.1} s"),
        under if under < 120.0 => format!("{under:.0} s"),
        under if under < 2.0 * 3600.0 => format!("{:.0} min", under / 60.0),
        long => format!("{:.1} h", long / 3600.0),
    }
}

fn print_refusals(output: &Output, refusals: &[(&str, &str, &str)]) {
    if refusals.is_empty() {
        return;
    }
    output.line("");
    output.toned(Tone::Danger, "needs a yes of its own:");
    for (address, tag, message) in refusals {
        output.toned(Tone::Danger, &format!("  {address} {tag}"));
        output.line(&format!("      {message}"));
    }
}

/// A step of the document.
fn print_step(output: &Output, step: &Value) {
    output.line("");
    output.heading(&format!("step {} ({})", text(step, "name"), text(step, "kind")));
    let plan: StepPlan = match (step["why"].as_str(), serde_json::from_value(step["plan"].clone())) {
        (Some(why), _) => return output.toned(Tone::Warning, &format!("  is left as it is: {why}")),
        (None, Ok(plan)) => plan,
        (None, Err(_)) => return output.line("  nothing to do: it is there already"),
    };
    for change in plan.changes.iter().take(MOST_CHANGES) {
        let way = match (&change.from, &change.to) {
            (Some(from), Some(to)) => format!(": {from} -> {to}"),
            (None, Some(to)) => format!(": {to}"),
            (Some(from), None) => format!(": {from} -> (none)"),
            (None, None) => String::new(),
        };
        output.toned(Tone::Warning, &format!("  ~ {}{way}", change.what));
    }
    if plan.changes.len() > MOST_CHANGES {
        output.line(&format!("    and {} more", plan.changes.len() - MOST_CHANGES));
    }
    if plan.reversibility != StepReversibility::Lossless {
        output.toned(Tone::Danger, &format!("  {}", plan.reversibility.as_str()));
    }
    for note in &plan.notes {
        output.line(&format!("    {note}"));
    }
    print_expected(output, &step["expected"]);
    for obstacle in &plan.obstacles {
        output.toned(Tone::Danger, &format!("  !! cannot be done: {obstacle}"));
    }
}

/// What the policy said: each finding with its rule and level, and how many rules said nothing.
pub fn print_evaluation(output: &Output, evaluation: &Evaluation) {
    let tone = match evaluation.verdict {
        Verdict::Pass => Tone::Good,
        Verdict::Warn | Verdict::Overridden => Tone::Warning,
        Verdict::Refused | Verdict::None => Tone::Danger,
    };
    output.toned(
        tone,
        &format!(
            "  Policy: {} ({}, bundle {:.12})",
            evaluation.verdict.as_str(),
            counted(evaluation.rules, "rule"),
            evaluation.bundle_digest
        ),
    );
    for finding in &evaluation.findings {
        let (tone, mark) = match (finding.refuses(), finding.overridden) {
            (true, _) => (Tone::Danger, ""),
            (_, true) => (Tone::Warning, ", overridden"),
            _ => (Tone::Warning, ""),
        };
        output.toned(tone, &format!("    {} ({}{mark})", finding.rule, finding.level));
        output.line(&format!("        {}", finding.message));
    }
    for error in &evaluation.errors {
        output.toned(Tone::Danger, &format!("    {} (no verdict)", error.rule));
        output.line(&format!("        {}", error.message));
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
    print_view(output, &View::of(plan));
}

fn print_view(output: &Output, plan: &View) {
    for warning in &plan.warnings {
        output.toned(Tone::Warning, &format!("  ! {warning}"));
    }
    if plan.items.is_empty() && plan.outputs.is_empty() {
        // What is said above may be that something is not.
        let whole = match plan.warnings.is_empty() {
            true => "  Nothing to do: everything is as it was.",
            false => "  Nothing to do.",
        };
        output.toned(Tone::Good, whole);
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
        let title = if items.len() == 1 { group.one } else { group.many };
        output.heading(&format!("  {} {title}:", items.len()));
        for item in items {
            print_item(output, group, item);
        }
    }
    if !plan.outputs.is_empty() {
        let title = if plan.outputs.len() == 1 {
            "output changes"
        } else {
            "outputs change"
        };
        output.heading(&format!("  {} {title}:", plan.outputs.len()));
        for one in &plan.outputs {
            output.toned(Tone::Warning, &format!("    {} {}", symbol_of(&one.action), one.line));
        }
    }
    let (controlled, drift): (Vec<&Drift>, Vec<&Drift>) = plan.drift.iter().partition(|one| one.controller.is_some());
    if !drift.is_empty() {
        let title = format!("  {} changed outside of Terraform since the last apply:", drift.len());
        output.toned(Tone::Warning, &title);
        for drift in drift {
            output.line(&format!(
                "    {} ({}: {})",
                drift.address,
                drift.actions.join("+"),
                drift.attributes.join(", ")
            ));
        }
    }
    if !controlled.is_empty() {
        output.line("  moved by those whose work it is, and left alone:");
        for drift in controlled {
            let who = drift.controller.as_deref().unwrap_or_default();
            output.line(&format!(
                "    {} ({}: {who})",
                drift.address,
                drift.attributes.join(", ")
            ));
        }
    }
    output.heading(&format!("  In all: {}.", plan.counts));
}

fn symbol_of(action: &str) -> &'static str {
    match action {
        "create" => "+",
        "delete" => "-",
        _ => "~",
    }
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
