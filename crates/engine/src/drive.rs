//! The run's state machine: prepare, show, guard, approve, back up, apply, verify, record. Every effect is preceded by
//! its intent in the journal; [`crate::recover`] looks at what a crash left.

use std::path::PathBuf;
use std::time::Instant;

use jiff::Timestamp;
use rollback_release::Version;
use rollback_repository::CommitId;
use rollback_runbook::checks::Verification;
use serde::Serialize;
use uuid::Uuid;

use crate::apply;
use crate::approval::Sufficient;
use crate::context::Context;
use crate::envelope::{self, Envelope};
use crate::error::{EngineError, Kind, Result};
use crate::guard::{lock_for, nobody_applies, nobody_stopped_halfway, open_refusals, refused};
use crate::journal::{Attempt, Event, Journal};
use crate::lock::Locks;
use crate::policy::{self, Gate, Moment, Phase, check_reason, open_denials};
use crate::prepare::{Prepared, Request, prepare};
use crate::reconcile::{Guard, Refusal};
use crate::recover;
use crate::restore::RestoreReport;
use crate::run::{Consent, Purpose, Run, Runs, StackTarget, Status};
use crate::target::Target;
use crate::undo::close_undone;

/// What the person who starts a run says.
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub consent: Consent,
    pub targets: Vec<String>,
    pub reason: Option<String>,
    /// Show and stop.
    pub dry_run: bool,
    /// The run's id where the caller has told it to somebody already; a new one otherwise.
    pub id: Option<String>,
}

/// The answer to "shall this be applied?".
pub enum Answer {
    /// `how` goes on record: `--auto-approve`, a terminal.
    Yes {
        how: String,
    },
    /// People said yes elsewhere; it is used up when the run begins to apply.
    Approved(Sufficient),
    No,
    /// There is nobody to ask.
    Nobody,
}

/// Shows a plan and asks.
pub trait Approver {
    /// Called once all stacks are prepared, before any guard speaks.
    fn show(&self, prepared: &[Prepared], refusals: &[Refusal]);
    /// As [`Approver::show`], of a stack that has changes again now that those which it reads are back.
    fn show_again(&self, prepared: &[Prepared], refusals: &[Refusal]);
    /// Asks for the yes that a refusal needs; true adds its address to the consent.
    fn consent(&self, refusal: &Refusal) -> bool;
    /// Whether that yes may still come, so that the run waits for it rather than ends.
    fn consent_may_come(&self) -> bool {
        false
    }
    /// Asks for the yes to everything.
    fn approve(&self, prepared: &[Prepared], digest: &str) -> Answer;
    /// As [`Approver::show`], for a state that becomes the current one.
    fn show_restore(&self, report: &RestoreReport, refusals: &[Refusal]) {
        let _ = (report, refusals);
    }
    /// As [`Approver::approve`], for a state that becomes the current one.
    fn approve_restore(&self, report: &RestoreReport, digest: &str) -> Answer {
        let _ = (report, digest);
        Answer::Nobody
    }
}

/// How a run ended well.
#[derive(Debug, Serialize)]
pub struct Outcome {
    pub run: Option<String>,
    pub status: &'static str,
    pub commit: String,
    pub digest: String,
    pub seconds: f64,
    pub stacks: Vec<StackOutcome>,
    pub backup: Option<String>,
    pub result: Option<String>,
    /// What the checks said afterwards; none where there are none.
    pub verification: Option<Verification>,
    pub warnings: Vec<String>,
}

/// How it went for one stack.
#[derive(Debug, Serialize)]
pub struct StackOutcome {
    pub stack: String,
    pub effects: usize,
    pub verified: bool,
    /// Changes that a plan of the target's configuration still shows.
    pub changes_left: usize,
    /// What it reads of another stack changed after it was verified.
    pub changed_again: bool,
    pub seconds: f64,
}

impl StackOutcome {
    /// Of a stack that needed nothing so far.
    pub(crate) fn new(stack: &str) -> Self {
        StackOutcome {
            stack: stack.to_owned(),
            effects: 0,
            verified: true,
            changes_left: 0,
            changed_again: false,
            seconds: 0.0,
        }
    }
}

/// Rolls back to a revision.
///
/// # Errors
/// See [`Kind`]: how it ended, and so what a person does next.
pub fn to(context: &Context, revision: &str, options: &Options, approver: &dyn Approver) -> Result<Outcome> {
    let target = Target::resolve(context, revision)?;
    start(context, Purpose::To, &target, options, approver)
}

/// Plans as a run would, without one.
///
/// # Errors
/// As [`prepare`].
pub fn plan(context: &Context, target: &Target, targets: &[String], offline: bool) -> Result<Vec<Prepared>> {
    plan_with(
        context,
        Purpose::To,
        target,
        &Options {
            targets: targets.to_vec(),
            ..Options::default()
        },
        offline,
    )
}

/// As [`plan`], judged by the policy as a run with these options would be.
///
/// # Errors
/// As [`prepare`]; a policy that can give no verdict.
pub fn plan_with(
    context: &Context,
    purpose: Purpose,
    target: &Target,
    options: &Options,
    offline: bool,
) -> Result<Vec<Prepared>> {
    let folder = context.run_folder(&format!("plan-{}", Uuid::now_v7()));
    let gate = (!offline).then(|| Gate::open(context)).transpose()?;
    let prepared = prepare_all(
        context,
        target,
        &options.targets,
        None,
        &[],
        gate.as_ref().map(|gate| (gate, options.consent.policy.as_slice())),
        (!offline).then_some(folder.as_path()),
    );
    // The folder holds states and plans: it must not stay behind.
    let _ = std::fs::remove_dir_all(&folder);
    let mut prepared = prepared?;
    if let Some(gate) = gate {
        let moment = moment_of_options(context, &purpose, target, options)?;
        gate.judge(context, &mut prepared, &moment);
    }
    Ok(prepared)
}

/// The documents that the policy is given for a rollback, one for each stack; nothing is judged.
///
/// # Errors
/// As [`prepare`].
pub fn policy_documents(context: &Context, target: &Target, options: &Options) -> Result<Vec<serde_json::Value>> {
    let prepared = plan_with(context, Purpose::To, target, options, false)?;
    let gate = Gate::open(context)?;
    let moment = moment_of_options(context, &Purpose::To, target, options)?;
    let names: Vec<String> = prepared.iter().map(|stack| stack.stack.clone()).collect();
    Ok(prepared
        .iter()
        .map(|stack| gate.document(context, stack, &names, &moment))
        .collect())
}

/// What a policy is told of a run that is none yet.
///
/// # Errors
/// The store cannot be read.
fn moment_of_options<'a>(
    context: &'a Context,
    purpose: &'a Purpose,
    target: &'a Target,
    options: &'a Options,
) -> Result<Moment<'a>> {
    Ok(Moment {
        phase: Phase::Plan,
        now: Timestamp::now(),
        id: None,
        purpose,
        revision: &target.revision,
        actor: &context.actor,
        reason: options.reason.as_deref(),
        consent: &options.consent,
        approvals: Vec::new(),
        halfway: false,
        history: policy::history(&Runs::new(context.store.as_ref(), &context.project), None)?,
    })
}

fn prepare_all(
    context: &Context,
    target: &Target,
    targets: &[String],
    known: Option<&Run>,
    done: &[String],
    gate: Option<(&Gate, &[String])>,
    folder: Option<&std::path::Path>,
) -> Result<Vec<Prepared>> {
    let mut all = Vec::new();
    for stack in &context.stacks {
        if done.contains(&stack.name) {
            continue;
        }
        let recorded = known.and_then(|run| run.stacks.iter().find(|part| part.stack == stack.name));
        if known.is_some_and(|run| !run.stacks.is_empty()) && recorded.is_none() {
            continue;
        }
        let deployed: Option<CommitId> = recorded
            .map(|part| context.repository.resolve(&part.from_commit))
            .transpose()?;
        let folder = folder.map(|folder| folder.join(&stack.name));
        let request = Request {
            stack,
            target,
            deployed: deployed.as_ref(),
            targets,
            gate,
            folder: folder.as_deref(),
        };
        let prepared = prepare(context, &request).map_err(|error| {
            if context.stacks.len() > 1 {
                error.during(format!("stack {}", stack.name))
            } else {
                error
            }
        })?;
        match prepared {
            Some(prepared) => all.push(prepared),
            None => context.observer.warning(&format!(
                "stack {} did not exist at {}: it is left as it is",
                stack.name,
                target.commit.short()
            )),
        }
    }
    if all.is_empty() && done.is_empty() {
        return Err(
            EngineError::failed(format!("none of the stacks existed at {}", target.commit.short()))
                .hint("check the revision, and the folders of the stacks in infra-rollback.toml"),
        );
    }
    Ok(all)
}

/// What a run needs from beginning to end.
pub(crate) struct Drive<'c> {
    pub(crate) context: &'c Context,
    pub(crate) runs: Runs<'c>,
    pub(crate) run: Run,
    pub(crate) version: Version,
    pub(crate) journal: Journal<'c>,
    pub(crate) locks: Locks,
    pub(crate) started: Instant,
    /// To be used up when the run begins to apply.
    pub(crate) approval: Option<Sufficient>,
    /// The private folder of this attempt, below the run's.
    pub(crate) folder: Option<PathBuf>,
}

pub(crate) fn start(
    context: &Context,
    purpose: Purpose,
    target: &Target,
    options: &Options,
    approver: &dyn Approver,
) -> Result<Outcome> {
    let started = Instant::now();
    if options.dry_run {
        check_reason(&options.consent, options.reason.as_deref())?;
        let prepared = plan_with(context, purpose, target, options, false)?;
        let refusals = open_refusals(&prepared, &options.consent);
        context.observer.pause();
        approver.show(&prepared, &refusals);
        let digest = digest_of(&prepared);
        return match refusals.is_empty() {
            true => open_denials(&prepared).map(|()| outcome_without_run(target, digest, started, &prepared)),
            false => Err(refused(&refusals)),
        };
    }
    let mut drive = begin(
        context,
        purpose,
        &target.revision,
        target.commit.as_str(),
        options,
        started,
    )?;
    let result = drive.go(target, approver, false);
    drive.end(result)
}

/// Begins a run: the locks of its stacks, its record, its journal.
pub(crate) fn begin<'c>(
    context: &'c Context,
    purpose: Purpose,
    revision: &str,
    commit: &str,
    options: &Options,
    started: Instant,
) -> Result<Drive<'c>> {
    let id = options.id.clone().unwrap_or_else(|| Uuid::now_v7().to_string());
    let run = Run {
        format: 1,
        id: id.clone(),
        purpose,
        revision: revision.to_owned(),
        commit: commit.to_owned(),
        selected: context.stacks.iter().map(|stack| stack.name.clone()).collect(),
        stacks: Vec::new(),
        targets: options.targets.clone(),
        consent: options.consent.clone(),
        reason: options.reason.clone(),
        actor: context.actor.clone(),
        created_at: Timestamp::now(),
        ended_at: None,
        status: Status::Planning,
        backup: None,
        result: None,
    };
    let locks = lock_for(context, &id)?;
    let runs = Runs::new(context.store.as_ref(), &context.project);
    nobody_stopped_halfway(context, &runs, &run.purpose)?;
    nobody_applies(context)?;
    let version = runs.create(&run, &locks.fence())?;
    let journal = Journal::open(context.store.as_ref(), &context.project, &id)?.fenced(locks.fence());
    let mut drive = Drive {
        context,
        runs,
        run,
        version,
        journal,
        locks,
        started,
        approval: None,
        folder: None,
    };
    drive.journal.append(Event::Started {
        command: context.command.clone(),
        attempt: Attempt::here(&drive.locks.fence()),
    })?;
    Ok(drive)
}

impl Drive<'_> {
    pub(crate) fn save(&mut self) -> Result<()> {
        self.version = self.runs.update(&self.run, &self.version, &self.locks.fence())?;
        Ok(())
    }

    /// Looks at what a crash left of each stack.
    pub(crate) fn recover_all(&mut self) -> Result<()> {
        for stack in &self.context.stacks {
            recover::stack(self.context, stack, &mut self.journal)?;
        }
        Ok(())
    }

    /// From planning to the record.
    pub(crate) fn go(&mut self, target: &Target, approver: &dyn Approver, resumed: bool) -> Result<Outcome> {
        let done: Vec<String> = self
            .context
            .stacks
            .iter()
            .filter(|stack| self.journal.stack_done(&stack.name))
            .map(|stack| stack.name.clone())
            .collect();
        // A folder of its own for each attempt: what an earlier one left is evidence and may hold errored.tfstate.
        let folder = self
            .context
            .run_folder(&self.run.id)
            .join(format!("attempt-{}", self.journal.entries().len()));
        self.folder = Some(folder.clone());
        let known = (!self.run.stacks.is_empty()).then(|| self.run.clone());
        policy::check_reason(&self.run.consent, self.run.reason.as_deref())?;
        let gate = Gate::open(self.context)?;
        let asked = self.begin_asking();
        let overrides = self.run.consent.policy.clone();
        let mut prepared = prepare_all(
            self.context,
            target,
            &self.run.targets.clone(),
            known.as_ref(),
            &done,
            Some((&gate, &overrides)),
            Some(&folder),
        )?;
        self.judge(&gate, &mut prepared)?;
        if self.run.stacks.is_empty() {
            self.run.stacks = prepared
                .iter()
                .map(|stack| StackTarget {
                    stack: stack.stack.clone(),
                    dir: stack.dir.clone(),
                    release: stack.release.clone(),
                    from_commit: stack.deployed.to_string(),
                })
                .collect();
        }
        let approved: Vec<Envelope> = prepared
            .iter()
            .filter_map(|stack| self.journal.approved(&stack.stack).cloned())
            .collect();
        let was_awaiting = self.run.status == Status::AwaitingApproval;
        let shown = self
            .journal
            .last_planned(&prepared.iter().map(|stack| stack.stack.as_str()).collect::<Vec<_>>());
        let was_approved = self
            .journal
            .entries()
            .iter()
            .any(|entry| matches!(entry.event, Event::Approved { .. }));
        self.planned(&prepared)?;
        self.guard(&gate, &mut prepared, approver)?;
        let digest = digest_of(&prepared);
        // Once something was done, what is left of the approved plan may be done; before that only that very plan.
        let had_effect = self.journal.has_effect();
        let nothing_new = resumed
            && was_approved
            && prepared.iter().all(|stack| {
                approved.iter().any(|envelope| {
                    envelope.stack == stack.stack
                        && if had_effect {
                            stack.envelope.is_part_of(envelope)
                        } else {
                            stack.envelope == *envelope
                        }
                })
            });
        if !nothing_new {
            if let Some(shown) = shown.filter(|shown| resumed && was_awaiting && *shown != digest) {
                return Err(EngineError::new(
                    Kind::AwaitingApproval,
                    format!(
                        "the plan has changed since it was shown ({shown:.12} then, {digest:.12} now): look at it again"
                    ),
                )
                .hint(format!(
                    "`infra-rollback resume {} --auto-approve` applies this one",
                    self.run.id
                )));
            }
            self.approve(&gate, &prepared, &digest, approver)?;
        }
        self.record_before(asked)?;
        self.back_up(&prepared)?;
        gate.judge_again(self.context, &prepared, &self.moment(Phase::Apply)?)?;
        self.begin_applying()?;
        let mut stacks = Vec::new();
        let mut warnings = Vec::new();
        for stack in &prepared {
            let begun = Instant::now();
            let known = self.context.stack(&stack.stack)?.clone();
            let left = apply::stack(self.context, &known, stack, &self.run.targets, &mut self.journal)?;
            warnings.extend(left.warning(&stack.stack));
            self.journal.append(Event::StackDone {
                stack: stack.stack.clone(),
            })?;
            stacks.push(StackOutcome {
                stack: stack.stack.clone(),
                effects: stack.reconciled.items.len(),
                verified: left.changes == 0,
                changes_left: left.changes,
                changed_again: false,
                seconds: begun.elapsed().as_secs_f64(),
            });
        }
        self.settle(&gate, target, &folder, approver, &mut stacks, &mut warnings)?;
        let at_target = stacks.iter().all(|stack| !stack.changed_again);
        self.record_result(target, &folder, at_target)?;
        let verification = self.ask_after()?;
        warnings.extend(prepared.iter().flat_map(|stack| stack.reconciled.warnings.clone()));
        Ok(Outcome {
            run: Some(self.run.id.clone()),
            status: Status::Completed.as_str(),
            commit: self.run.commit.clone(),
            digest,
            seconds: self.started.elapsed().as_secs_f64(),
            stacks,
            backup: self.run.backup.clone(),
            result: self.run.result.clone(),
            verification,
            warnings,
        })
    }

    /// From here on effects may have happened; an approval given elsewhere is used up, and nobody but this very run may
    /// take the locks over, however long we are silent.
    pub(crate) fn begin_applying(&mut self) -> Result<()> {
        self.locks.mark_applying()?;
        if !self.run.status.is_unfinished() {
            self.run.status = Status::Applying;
        }
        match self.approval.take() {
            Some(approval) => {
                let fence = self.locks.fence();
                self.version = self.runs.update_approved(&self.run, &self.version, &approval, &fence)?;
                Ok(())
            }
            None => self.save(),
        }
    }

    /// Lets every guard speak; what no one says yes to refuses the run.
    fn guard(&mut self, gate: &Gate, prepared: &mut [Prepared], approver: &dyn Approver) -> Result<()> {
        let before = self.run.consent.clone();
        let open = open_refusals(prepared, &self.run.consent);
        self.context.observer.pause();
        approver.show(prepared, &open);
        let left = self.without_consent(open, approver);
        let may_come = |error: EngineError| match approver.consent_may_come() {
            true => error.kind(Kind::AwaitingApproval),
            false => error,
        };
        if !left.is_empty() {
            return Err(may_come(refused(&left)));
        }
        // What was accepted on the way is something that the policy judges by.
        if self.run.consent != before {
            self.judge_anew(gate, prepared)?;
        }
        open_denials(prepared).map_err(may_come)?;
        self.put_overrides_on_record(prepared)
    }

    /// Puts on record what was planned, and what it is that an approval signs.
    pub(crate) fn planned(&mut self, prepared: &[Prepared]) -> Result<()> {
        for stack in prepared {
            self.journal.append(Event::Planned {
                stack: stack.stack.clone(),
                summary: summary(stack),
                envelope: stack.envelope.clone(),
            })?;
        }
        Ok(())
    }

    /// Asks for each refusal's own yes and keeps it with the run; what is left got none.
    pub(crate) fn without_consent(&mut self, open: Vec<Refusal>, approver: &dyn Approver) -> Vec<Refusal> {
        let mut left = Vec::new();
        for refusal in open {
            if approver.consent(&refusal) {
                match refusal.guard {
                    Guard::DataLoss => self.run.consent.data_loss.push(refusal.address),
                    _ => self.run.consent.changes.push(refusal.address),
                }
            } else {
                left.push(refusal);
            }
        }
        left
    }

    pub(crate) fn approve(
        &mut self,
        gate: &Gate,
        prepared: &[Prepared],
        digest: &str,
        approver: &dyn Approver,
    ) -> Result<()> {
        let answer = approver.approve(prepared, digest);
        let own = self.context.actor == self.run.actor;
        if matches!(answer, Answer::Yes { .. }) && gate.wants_four_eyes() && own {
            return Err(EngineError::new(
                Kind::AwaitingApproval,
                format!("somebody other than {} has to approve it here", self.run.actor),
            )
            .hint(format!(
                "they look at it and say yes: `infra-rollback resume {}`",
                self.run.id
            )));
        }
        self.answered(answer, digest)
    }

    /// Puts an answer on record.
    pub(crate) fn answered(&mut self, answer: Answer, digest: &str) -> Result<()> {
        match answer {
            Answer::Yes { how } => self.journal.append(Event::Approved {
                digest: digest.to_owned(),
                by: self.context.actor.clone(),
                how,
            }),
            Answer::Approved(approval) => {
                self.journal.append(Event::Approved {
                    digest: digest.to_owned(),
                    by: approval.by.clone(),
                    how: "approvals".to_owned(),
                })?;
                self.approval = Some(approval);
                Ok(())
            }
            Answer::No => Err(EngineError::refused("not approved")),
            Answer::Nobody => Err(EngineError::new(
                Kind::AwaitingApproval,
                "the plan is ready and nobody is here to approve it",
            )
            .hint(format!(
                "`infra-rollback resume {} --auto-approve` applies it",
                self.run.id
            ))
            .hint(format!("`infra-rollback abort {}` drops it", self.run.id))),
        }
    }

    /// Writes down how it ended, and gives the private folder back where nothing is owed to it any more.
    pub(crate) fn end(mut self, result: Result<Outcome>) -> Result<Outcome> {
        let status = match &result {
            Ok(_) => Status::Completed,
            // Whatever went wrong: something was done and is not finished.
            Err(_) if self.journal.has_effect() => Status::Halfway,
            Err(error) => match error.kind {
                Kind::AwaitingApproval => Status::AwaitingApproval,
                Kind::Refused => Status::Refused,
                _ => Status::Failed,
            },
        };
        if self.journal.is_fenced_out() {
            return self.fenced_out(result);
        }
        match &result {
            Ok(_) => self.journal.append(Event::Finished {
                status: status.as_str().to_owned(),
            })?,
            Err(error) => self.journal.append(Event::Stopped {
                why: self.context.secrets.scrub(&error.message),
            })?,
        }
        self.run.status = status;
        if status.is_over() {
            self.run.ended_at = Some(Timestamp::now());
        }
        self.save()?;
        if status == Status::Completed
            && let Purpose::Undo { run } = &self.run.purpose
        {
            close_undone(self.context, &self.runs, run, &self.locks.fence())?;
        }
        if status.is_over() {
            remove_run_folder(self.context, &self.run.id);
        }
        result.map_err(|error| match status {
            Status::Halfway => {
                let error = error
                    .hint(format!(
                        "`infra-rollback resume {}` goes on when the cause is gone",
                        self.run.id
                    ))
                    .hint(format!("`infra-rollback undo {}` goes back to before it", self.run.id));
                // What the guards and the locks say keeps its own exit code; a failure with effects is halfway.
                if error.kind == Kind::Failed {
                    error.kind(Kind::Halfway)
                } else {
                    error
                }
            }
            Status::Failed | Status::Refused if !error.message.contains("nothing was changed") => {
                error.hint("nothing was changed")
            }
            _ => error,
        })
    }
}

impl Drive<'_> {
    /// How it ends for a process that has lost its locks: nothing is written, and nothing of what it left is removed.
    fn fenced_out(self, result: Result<Outcome>) -> Result<Outcome> {
        let error = match result {
            Err(error) => error,
            Ok(_) => EngineError::new(Kind::Locked, "this run has lost its locks"),
        };
        if !self.journal.has_effect() {
            // Somebody may have taken the run up again: what lies beside this attempt is theirs.
            if let Some(folder) = &self.folder {
                let _ = std::fs::remove_dir_all(folder);
                let _ = std::fs::remove_dir(self.context.run_folder(&self.run.id));
            }
            return Err(error.hint("nothing was changed"));
        }
        let run = &self.run.id;
        Err(error
            .kind(Kind::Halfway)
            .hint(format!("`infra-rollback runs show {run}` tells how far it came")))
    }
}

/// A run's private folder holds states and plans and must not stay behind; but a state that nobody has stored does.
pub(crate) fn remove_run_folder(context: &Context, run: &str) {
    fn holds_errored_state(folder: &std::path::Path) -> bool {
        std::fs::read_dir(folder).is_ok_and(|entries| {
            entries.filter_map(std::result::Result::ok).any(|entry| {
                entry.file_name() == rollback_terraform::errored::FILE_NAME
                    || (entry.file_type().is_ok_and(|kind| kind.is_dir()) && holds_errored_state(&entry.path()))
            })
        })
    }
    let folder = context.run_folder(run);
    if !holds_errored_state(&folder) {
        let _ = std::fs::remove_dir_all(folder);
    }
}

fn outcome_without_run(target: &Target, digest: String, started: Instant, prepared: &[Prepared]) -> Outcome {
    Outcome {
        run: None,
        status: "planned",
        commit: target.commit.to_string(),
        digest,
        seconds: started.elapsed().as_secs_f64(),
        stacks: prepared
            .iter()
            .map(|stack| StackOutcome {
                stack: stack.stack.clone(),
                effects: stack.reconciled.items.len(),
                verified: false,
                changes_left: stack.reconciled.items.len(),
                changed_again: false,
                seconds: 0.0,
            })
            .collect(),
        backup: None,
        result: None,
        verification: None,
        warnings: prepared
            .iter()
            .flat_map(|stack| stack.reconciled.warnings.clone())
            .collect(),
    }
}

/// The digest that a person approves.
pub fn digest_of(prepared: &[Prepared]) -> String {
    let envelopes: Vec<&Envelope> = prepared.iter().map(|stack| &stack.envelope).collect();
    envelope::digest(&envelopes)
}

pub(crate) fn summary(prepared: &Prepared) -> String {
    use std::collections::BTreeMap;
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for item in &prepared.reconciled.items {
        *counts.entry(item.fate.as_str()).or_default() += 1;
    }
    if counts.is_empty() {
        return "nothing to do".to_owned();
    }
    counts
        .iter()
        .map(|(fate, count)| format!("{count} {fate}"))
        .collect::<Vec<_>>()
        .join(", ")
}
