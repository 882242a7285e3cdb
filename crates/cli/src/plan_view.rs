//! A plan for a tired person at three in the morning: what is lost for good first, then what goes, what comes back,
//! what changes.

use rollback_engine::document::counts;
use rollback_engine::prepare::Prepared;
use rollback_engine::reconcile::{Guard, Item, Reconciled, Refusal};
use rollback_inverse::{Fate, Reversibility};
use rollback_policy::{Evaluation, Verdict};

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
        if let Some(evaluation) = &stack.evaluation {
            print_evaluation(output, evaluation);
        }
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
            "  Policy: {} ({} rules, bundle {:.12})",
            evaluation.verdict.as_str(),
            evaluation.rules,
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
