//! `to`, `undo` and `resume`: the runs, with a person or without.

use std::io::{BufRead, Write};

use rollback_engine::again;
use rollback_engine::context::Context;
use rollback_engine::document;
use rollback_engine::drive::{self, Answer, Approver, Options, Outcome};
use rollback_engine::error::{EngineError, Result};
use rollback_engine::planning::Planned;
use rollback_engine::reconcile::{Guard, Refusal};
use rollback_engine::restore::RestoreReport;
use rollback_engine::run::Consent;
use rollback_engine::steps;
use rollback_engine::undo;
use rollback_engine::words::counted;
use rollback_runbook::checks::Verification;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::arguments::{
    ConsentArguments, DatabaseArguments, Global, ResumeArguments, SkipArguments, ToArguments, UndoArguments,
};
use crate::output::{Output, Tone};
use crate::{plan_view, restore_view, session};

/// Asks on the terminal, or says yes because the command line did.
pub(super) struct Person<'o> {
    output: &'o Output,
    auto_approve: bool,
    /// Every orphan of a restore is accepted.
    accept_orphans: bool,
    /// The plan, for the document of `--json`.
    shown: std::cell::RefCell<Option<Value>>,
}

impl Approver for Person<'_> {
    fn show(&self, planned: &Planned, refusals: &[Refusal]) {
        plan_view::print(self.output, planned, refusals);
        *self.shown.borrow_mut() = Some(document::plan(planned));
    }

    fn show_again(&self, planned: &Planned, refusals: &[Refusal]) {
        self.output
            .line("\nNow that those which it reads are back, this is left to do:");
        plan_view::print(self.output, planned, refusals);
    }

    fn show_restore(&self, report: &RestoreReport, _: &[Refusal]) {
        restore_view::print(self.output, report);
        *self.shown.borrow_mut() = serde_json::to_value(report).ok();
    }

    fn approve_restore(&self, _: &RestoreReport, digest: &str) -> Answer {
        self.yes(&format!(
            "\nMake it the current state? Plan {digest:.12}. Only `yes` is a yes:"
        ))
    }

    fn consent(&self, refusal: &Refusal) -> bool {
        if self.accept_orphans {
            return true;
        }
        if self.auto_approve || !self.output.can_ask() {
            return false;
        }
        let what = match refusal.guard {
            Guard::DataLoss => "loses data for good",
            Guard::Surprise => "is not explained by the releases",
            Guard::Difference => "gets a value that it never had",
            Guard::Impossible => "will most likely fail",
        };
        self.ask(&format!(
            "{} {what}. Type its address to accept that, or press enter to stop:",
            refusal.address
        ))
        .is_some_and(|answer| answer == refusal.address)
    }

    fn approve(&self, planned: &Planned, digest: &str) -> Answer {
        let effects: usize = planned.stacks.iter().map(|stack| stack.reconciled.items.len()).sum();
        let objects = counted(effects, "object");
        let what = match (planned.stacks.is_empty(), planned.going().count()) {
            (false, 0) => format!("Apply this to {objects}"),
            (false, count) => format!("Apply this to {objects} and do {}", counted(count, "step")),
            (true, count) => format!("Do {}", counted(count, "step")),
        };
        self.yes(&format!("\n{what}? Plan {digest:.12}. Only `yes` is a yes:"))
    }
}

impl<'o> Person<'o> {
    pub(super) fn new(output: &'o Output, auto_approve: bool) -> Self {
        Person {
            output,
            auto_approve,
            accept_orphans: false,
            shown: Default::default(),
        }
    }

    pub(super) fn accepting_orphans(self, accept_orphans: bool) -> Self {
        Person { accept_orphans, ..self }
    }

    fn yes(&self, question: &str) -> Answer {
        if self.auto_approve {
            return Answer::Yes {
                how: "--auto-approve".to_owned(),
            };
        }
        if !self.output.can_ask() {
            return Answer::Nobody;
        }
        match self.ask(question) {
            Some(answer) if answer == "yes" => Answer::Yes {
                how: "typed yes".to_owned(),
            },
            _ => Answer::No,
        }
    }
}

impl Person<'_> {
    /// A machine that is refused has to know what there is to accept.
    pub(super) fn with_plan(&self, mut error: EngineError) -> EngineError {
        error.detail = self.shown.borrow_mut().take().map(Box::new);
        error
    }

    fn ask(&self, question: &str) -> Option<String> {
        self.output.note(Tone::Strong, question);
        let _ = std::io::stderr().flush();
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line).ok()?;
        Some(line.trim().to_owned())
    }
}

pub fn consent(arguments: &ConsentArguments, reason: Option<&str>, skipping: &SkipArguments) -> Consent {
    Consent {
        data_loss: arguments.accept_data_loss.clone(),
        changes: arguments.accept_change.clone(),
        policy: arguments.override_policy.clone(),
        policy_reason: reason.map(str::to_owned),
        skipped_steps: Vec::new(),
        skip_checks: skipping.skip_checks.clone(),
        ..Consent::default()
    }
}

/// Has databases restored: gives the run's id, by which this restore is told from every other one. None where no database
/// is to be restored.
///
/// # Errors
/// As [`steps::databases`].
pub fn restore_databases(context: &mut Context, arguments: &DatabaseArguments) -> Result<Option<String>> {
    let id = Uuid::now_v7().to_string();
    let targets = steps::databases(context, &arguments.restore_database, &id)?;
    steps::send(context, &targets);
    Ok((!targets.is_empty()).then_some(id))
}

/// `to`.
pub fn run(global: &Global, arguments: &ToArguments, output: &Output) -> Result<()> {
    let mut context = session::open(global, &arguments.variables, output)?;
    steps::choose(
        &mut context,
        &steps::About {
            only: &arguments.only.only,
            skipped: &arguments.steps.skip_step,
            some_stacks: !global.stacks.is_empty(),
            some_objects: !arguments.targets.is_empty(),
        },
    )?;
    let id = restore_databases(&mut context, &arguments.databases)?;
    context.locking = session::locking(&arguments.waiting, None);
    let person = Person::new(output, arguments.auto_approve);
    let options = Options {
        consent: consent(&arguments.consent, arguments.reason.as_deref(), &arguments.skipping),
        targets: arguments.targets.clone(),
        reason: arguments.reason.clone(),
        dry_run: arguments.dry_run,
        id,
    };
    let outcome =
        drive::to(&context, &arguments.revision, &options, &person).map_err(|error| person.with_plan(error))?;
    drop(context);
    tell(output, &person, &outcome);
    Ok(())
}

/// `undo`.
pub fn undo(global: &Global, arguments: &UndoArguments, output: &Output) -> Result<()> {
    let mut context = session::open_to_undo(global, arguments.run.as_deref(), &arguments.variables, output)?;
    steps::choose(
        &mut context,
        &steps::About {
            only: &[],
            skipped: &arguments.steps.skip_step,
            some_stacks: false,
            some_objects: false,
        },
    )?;
    context.locking = session::locking(&arguments.waiting, None);
    let person = Person::new(output, arguments.auto_approve);
    let options = Options {
        consent: consent(&arguments.consent, arguments.reason.as_deref(), &arguments.skipping),
        targets: Vec::new(),
        reason: arguments.reason.clone(),
        dry_run: arguments.dry_run,
        id: None,
    };
    let outcome =
        undo::undo(&context, arguments.run.as_deref(), &options, &person).map_err(|error| person.with_plan(error))?;
    drop(context);
    tell(output, &person, &outcome);
    Ok(())
}

/// `resume`.
pub fn resume(global: &Global, arguments: &ResumeArguments, output: &Output) -> Result<()> {
    let mut context = session::open_for_run(global, arguments.run.as_deref(), &arguments.variables, output)?;
    context.locking = session::locking(&arguments.waiting, Some(&arguments.vouching));
    steps::check_names(&context, &arguments.steps.skip_step)?;
    let person = Person::new(output, arguments.auto_approve);
    let mut consent = consent(&arguments.consent, arguments.reason.as_deref(), &arguments.skipping);
    consent.skipped_steps.clone_from(&arguments.steps.skip_step);
    let outcome = again::resume(&context, arguments.run.as_deref(), &consent, &person)
        .map_err(|error| person.with_plan(error))?;
    drop(context);
    tell(output, &person, &outcome);
    Ok(())
}

/// What came out, with times.
pub(super) fn tell(output: &Output, person: &Person<'_>, outcome: &Outcome) {
    let document = match serde_json::to_value(outcome) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    };
    let shown = person.shown.borrow().clone().unwrap_or_else(|| json!(null));
    tell_document(output, document, shown);
}

/// The same from an [`Outcome`] as a document, with what was shown: a plan, or the report of a restore.
pub fn tell_document(output: &Output, mut outcome: Map<String, Value>, shown: Value) {
    tell_words(output, &outcome);
    if shown.get("result_sha256").is_some() {
        outcome.insert("sha256".into(), shown["result_sha256"].clone());
        outcome.insert("serial".into(), shown["serial"].clone());
        outcome.insert("report".into(), shown);
    } else {
        outcome.insert("plan".into(), shown);
    }
    output.document(&Value::Object(outcome));
}

fn tell_words(output: &Output, outcome: &Map<String, Value>) {
    let text = |name: &str| outcome.get(name).and_then(Value::as_str);
    let list = |name: &str| {
        outcome
            .get(name)
            .and_then(Value::as_array)
            .map_or(&[][..], Vec::as_slice)
    };
    let seconds = |value: Option<&Value>| value.and_then(Value::as_f64).unwrap_or_default();
    output.line("");
    for warning in list("warnings").iter().filter_map(Value::as_str) {
        output.note(Tone::Warning, &format!("! {warning}"));
    }
    let stacks = list("stacks");
    let Some(run) = text("run") else {
        let digest = text("digest").unwrap_or_default();
        output.line(&format!("Dry run: nothing was changed. Plan {digest:.12}."));
        return;
    };
    let steps = list("steps");
    if stacks.is_empty() && steps.is_empty() {
        output.toned(
            Tone::Good,
            &format!("Done: the state is the current one again (run {run})."),
        );
    } else {
        output.toned(
            Tone::Good,
            &format!(
                "Done: back at {:.10} in {:.1} s (run {run}).",
                text("commit").unwrap_or_default(),
                seconds(outcome.get("seconds"))
            ),
        );
    }
    for stack in stacks {
        let verified = if stack["verified"] == true {
            "verified: terraform has nothing left to do"
        } else {
            "NOT at rest: see the warnings"
        };
        output.line(&format!(
            "  {}: {} changed in {:.1} s, {verified}",
            stack["stack"].as_str().unwrap_or_default(),
            counted(stack["effects"].as_u64().unwrap_or_default(), "object"),
            seconds(stack.get("seconds"))
        ));
    }
    for step in steps {
        let when = match step["earlier"] == true {
            true => ", before it was resumed",
            false => "",
        };
        output.line(&format!(
            "  {}: {} done in {:.1} s{when}",
            step["step"].as_str().unwrap_or_default(),
            counted(step["changes"].as_u64().unwrap_or_default(), "change"),
            seconds(step.get("seconds"))
        ));
    }
    let verification = outcome.get("verification").cloned().unwrap_or_default();
    if let Ok(verification) = serde_json::from_value::<Verification>(verification) {
        super::verify::print(output, &verification);
    }
    if text("backup").is_some() {
        output.line(&format!("  Undo it: infra-rollback undo {run}"));
    }
}
