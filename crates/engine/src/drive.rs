//! The run's state machine: prepare, show, guard, approve, back up, apply, verify, record. Every effect is preceded by
//! its intent in the journal; [`crate::recover`] looks at what a crash left.

use std::collections::BTreeSet;
use std::time::Instant;

use jiff::Timestamp;
use rollback_release::{Release, ReleaseId, ReleaseKind, Salt, Store, Version, write_stack};
use rollback_repository::CommitId;
use rollback_state::State;
use rollback_terraform::LocalState;
use serde::Serialize;
use uuid::Uuid;

use crate::apply;
use crate::collect::{Downloaded, collect};
use crate::context::{Context, Stack};
use crate::envelope::{self, Envelope};
use crate::error::{EngineError, Kind, Result};
use crate::journal::{Event, Journal};
use crate::live::Live;
use crate::lock::{Holder, Locks, Process, host_name};
use crate::observe::Stage;
use crate::prepare::{Prepared, Request, prepare};
use crate::reconcile::{Guard, Refusal};
use crate::recover;
use crate::run::{Consent, Purpose, Run, Runs, StackTarget, Status};
use crate::target::Target;

/// What the person who starts a run says.
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub consent: Consent,
    pub targets: Vec<String>,
    pub reason: Option<String>,
    /// Show and stop.
    pub dry_run: bool,
}

/// The answer to "shall this be applied?".
pub enum Answer {
    /// `how` goes on record: `--auto-approve`, a terminal.
    Yes {
        how: String,
    },
    No,
    /// There is nobody to ask.
    Nobody,
}

/// Shows a plan and asks.
pub trait Approver {
    /// Called once all stacks are prepared, before any guard speaks.
    fn show(&self, prepared: &[Prepared], refusals: &[Refusal]);
    /// Asks for the yes that a refusal needs; true adds its address to the consent.
    fn consent(&self, refusal: &Refusal) -> bool;
    /// Asks for the yes to everything.
    fn approve(&self, prepared: &[Prepared], digest: &str) -> Answer;
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
    pub seconds: f64,
}

/// Rolls back to a revision.
///
/// # Errors
/// See [`Kind`]: how it ended, and so what a person does next.
pub fn to(context: &Context, revision: &str, options: &Options, approver: &dyn Approver) -> Result<Outcome> {
    let target = Target::resolve(context, revision)?;
    start(context, Purpose::To, &target, options, approver)
}

/// Goes back to before a run.
///
/// # Errors
/// As [`to`]; and where the run changed nothing.
pub fn undo(context: &Context, run: Option<&str>, options: &Options, approver: &dyn Approver) -> Result<Outcome> {
    let runs = Runs::new(context.store.as_ref(), &context.project);
    let run = match run {
        Some(text) => runs.find(text)?.0,
        None => last_to_undo(context, &runs)?,
    };
    if !Journal::open(context.store.as_ref(), &context.project, &run.id)?.has_effect() {
        return Err(EngineError::failed(format!(
            "run {} changed nothing: there is nothing to undo",
            run.id
        )));
    }
    let backup = run
        .backup
        .as_ref()
        .ok_or_else(|| EngineError::failed(format!("run {} changed nothing: there is nothing to undo", run.id)))?;
    let id: ReleaseId = backup
        .parse()
        .map_err(|_| EngineError::failed(format!("{backup} is no release")))?;
    let target = Target::of_release(context, context.catalogue().get(&id)?)?;
    start(context, Purpose::Undo { run: run.id }, &target, options, approver)
}

/// The newest run that changed something, is no undo itself and was not undone yet: one `undo` after the other goes
/// back step by step.
fn last_to_undo(context: &Context, runs: &Runs<'_>) -> Result<Run> {
    let all = runs.all()?;
    let undone: Vec<&str> = all
        .iter()
        .filter(|(run, _)| run.status == Status::Completed)
        .filter_map(|(run, _)| match &run.purpose {
            Purpose::Undo { run } => Some(run.as_str()),
            _ => None,
        })
        .collect();
    for (run, _) in &all {
        let is_undo = matches!(run.purpose, Purpose::Undo { .. });
        if is_undo || run.backup.is_none() || undone.contains(&run.id.as_str()) {
            continue;
        }
        if Journal::open(context.store.as_ref(), &context.project, &run.id)?.has_effect() {
            return Ok(run.clone());
        }
    }
    let mut error = EngineError::failed("there is no run left to undo").hint("`infra-rollback runs` lists them");
    let last = all.iter().find(|(run, _)| matches!(run.purpose, Purpose::Undo { .. }));
    if let Some((last, _)) = last {
        error = error.hint(format!("`infra-rollback undo {}` undoes the last undo", last.id));
    }
    Err(error)
}

/// Plans as a run would, without one.
///
/// # Errors
/// As [`prepare`].
pub fn plan(context: &Context, target: &Target, targets: &[String], offline: bool) -> Result<Vec<Prepared>> {
    let folder = context.run_folder(&format!("plan-{}", Uuid::now_v7()));
    let prepared = prepare_all(
        context,
        target,
        targets,
        None,
        &[],
        (!offline).then_some(folder.as_path()),
    );
    // The folder holds states and plans: it must not stay behind.
    let _ = std::fs::remove_dir_all(&folder);
    prepared
}

fn prepare_all(
    context: &Context,
    target: &Target,
    targets: &[String],
    known: Option<&Run>,
    done: &[String],
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
struct Drive<'c> {
    context: &'c Context,
    runs: Runs<'c>,
    run: Run,
    version: Version,
    journal: Journal<'c>,
    started: Instant,
}

fn start(
    context: &Context,
    purpose: Purpose,
    target: &Target,
    options: &Options,
    approver: &dyn Approver,
) -> Result<Outcome> {
    let started = Instant::now();
    if options.dry_run {
        let prepared = plan(context, target, &options.targets, false)?;
        let refusals = open_refusals(&prepared, &options.consent);
        context.observer.pause();
        approver.show(&prepared, &refusals);
        let digest = digest_of(&prepared);
        return match refusals.is_empty() {
            true => Ok(outcome_without_run(context, target, digest, started, &prepared)),
            false => Err(refused(&refusals)),
        };
    }
    let id = Uuid::now_v7().to_string();
    let run = Run {
        format: 1,
        id: id.clone(),
        purpose,
        revision: target.revision.clone(),
        commit: target.commit.to_string(),
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
    let _locks = lock_for(context, &id)?;
    let runs = Runs::new(context.store.as_ref(), &context.project);
    nobody_stopped_halfway(context, &runs, &run.purpose)?;
    nobody_applies(context)?;
    let version = runs.create(&run)?;
    let journal = Journal::open(context.store.as_ref(), &context.project, &id)?;
    let mut drive = Drive {
        context,
        runs,
        run,
        version,
        journal,
        started,
    };
    drive.journal.append(Event::Started {
        command: context.command.clone(),
    })?;
    let result = drive.go(target, approver, false);
    drive.end(result)
}

/// A run that stopped halfway keeps its stacks until it is resumed, given up or undone.
fn nobody_stopped_halfway(context: &Context, runs: &Runs<'_>, purpose: &Purpose) -> Result<()> {
    for (other, _) in runs.unfinished()? {
        let undone = matches!(purpose, Purpose::Undo { run } if *run == other.id);
        let shared = context
            .stacks
            .iter()
            .find(|stack| other.selected.is_empty() || other.selected.contains(&stack.name));
        if let Some(stack) = shared.filter(|_| !undone) {
            return Err(EngineError::new(
                Kind::Locked,
                format!(
                    "stack {}: run {} of {} stopped halfway",
                    stack.name, other.id, other.actor
                ),
            )
            .hint(format!("`infra-rollback resume {}` finishes it", other.id))
            .hint(format!("`infra-rollback undo {}` goes back to before it", other.id))
            .hint(format!("`infra-rollback abort {}` leaves things as they are", other.id)));
        }
    }
    Ok(())
}

/// Whether somebody's terraform works on a local state right now: better said before an hour of planning than after.
fn nobody_applies(context: &Context) -> Result<()> {
    for stack in &context.stacks {
        if let Some(path) = Live::locate(context, stack)?.filter(|path| path.exists()) {
            drop(LocalState::lock(&path, "infra-rollback").map_err(|error| {
                crate::terraform_error(error).during(format!("stack {}: its state is in use", stack.name))
            })?);
        }
    }
    Ok(())
}

/// Takes the locks of the chosen stacks for a run.
///
/// # Errors
/// Somebody holds one of them.
pub fn lock_for<'c>(context: &'c Context, run: &str) -> Result<Locks<'c>> {
    let names: Vec<String> = context.stacks.iter().map(|stack| stack.name.clone()).collect();
    let holder = Holder {
        run: run.to_owned(),
        actor: context.actor.clone(),
        host: host_name(),
        process: Process::this(),
        since: Timestamp::now(),
        command: context.command.clone(),
    };
    Locks::acquire(context.store.as_ref(), &context.project, &names, &holder)
}

/// Goes on with a run that stopped.
///
/// # Errors
/// As [`to`]; and where there is no such run.
pub fn resume(context: &Context, run: Option<&str>, consent: &Consent, approver: &dyn Approver) -> Result<Outcome> {
    let runs = Runs::new(context.store.as_ref(), &context.project);
    let (mut run, _) = match run {
        Some(text) => runs.find(text)?,
        None => open_run(&runs)?,
    };
    if run.status.is_over() {
        return Err(EngineError::failed(format!(
            "run {} is over ({}): there is nothing to resume",
            run.id,
            run.status.as_str()
        ))
        .hint("`infra-rollback to` starts a new one"));
    }
    check_selection(context, &run)?;
    let _locks = lock_for(context, &run.id)?;
    // What it holds is read again now that nobody else can change it.
    let (fresh, version) = runs
        .get(&run.id)?
        .ok_or_else(|| EngineError::failed(format!("run {} is gone", run.id)))?;
    run = fresh;
    for address in &consent.data_loss {
        if !run.consent.data_loss.contains(address) {
            run.consent.data_loss.push(address.clone());
        }
    }
    for address in &consent.changes {
        if !run.consent.changes.contains(address) {
            run.consent.changes.push(address.clone());
        }
    }
    let target = target_of(context, &run)?;
    let journal = Journal::open(context.store.as_ref(), &context.project, &run.id)?;
    if !journal.has_effect() {
        // Nothing was done: what is deployed is found out anew, and kept anew, as for a run that starts now.
        run.stacks.clear();
        run.backup = None;
    }
    let mut drive = Drive {
        context,
        runs,
        run,
        version,
        journal,
        started: Instant::now(),
    };
    drive.journal.append(Event::Resumed {
        actor: context.actor.clone(),
    })?;
    let result = drive.recover_all().and_then(|()| drive.go(&target, approver, true));
    drive.end(result)
}

/// The run to resume when none is named.
fn open_run(runs: &Runs<'_>) -> Result<(Run, Version)> {
    let mut open: Vec<(Run, Version)> = runs
        .all()?
        .into_iter()
        .filter(|(run, _)| !run.status.is_over())
        .collect();
    if open.iter().any(|(run, _)| run.status.is_unfinished()) {
        open.retain(|(run, _)| run.status.is_unfinished());
    }
    open.truncate(if open.iter().all(|(run, _)| run.status.is_unfinished()) {
        open.len()
    } else {
        1
    });
    match open.len() {
        0 => Err(EngineError::failed("there is no run to resume").hint("`infra-rollback runs` lists them")),
        1 => Ok(open.remove(0)),
        _ => {
            let ids: Vec<&str> = open.iter().map(|(run, _)| run.id.as_str()).collect();
            Err(EngineError::usage("several runs stopped halfway").hint(format!("name one: {}", ids.join(", "))))
        }
    }
}

fn target_of(context: &Context, run: &Run) -> Result<Target> {
    if let Purpose::Undo { run } = &run.purpose {
        let undone = Runs::new(context.store.as_ref(), &context.project).find(run)?.0;
        let backup = undone.backup.and_then(|id| id.parse::<ReleaseId>().ok());
        let backup = backup.ok_or_else(|| EngineError::failed(format!("run {run} has no backup to go back to")))?;
        return Target::of_release(context, context.catalogue().get(&backup)?);
    }
    let releases: Vec<&str> = run.stacks.iter().filter_map(|part| part.release.as_deref()).collect();
    let commit = context.repository.resolve(&run.commit)?;
    if releases.is_empty() {
        return Target::of_commit(context, &run.revision, commit);
    }
    Target::of_releases(context, &run.revision, commit, &releases)
}

/// A run goes on with its own stacks, neither fewer nor more: the caller opens the context with them.
fn check_selection(context: &Context, run: &Run) -> Result<()> {
    let here: BTreeSet<&str> = context.stacks.iter().map(|stack| stack.name.as_str()).collect();
    let asked: BTreeSet<&str> = run.selected.iter().map(String::as_str).collect();
    if asked.is_empty() || here == asked {
        return Ok(());
    }
    let names: Vec<String> = run.selected.iter().map(|name| format!("--stack {name}")).collect();
    Err(EngineError::usage(format!(
        "run {} is about other stacks than the ones chosen here",
        run.id
    ))
    .hint(format!("its stacks are: {}", names.join(" "))))
}

/// The stacks of the run that `resume` or `abort` would take up; empty where it says nothing of them.
///
/// # Errors
/// There is no such run.
pub fn stacks_of_run(store: &dyn Store, project: &str, run: Option<&str>) -> Result<Vec<String>> {
    let runs = Runs::new(store, project);
    let (run, _) = match run {
        Some(text) => runs.find(text)?,
        None => open_run(&runs)?,
    };
    Ok(run.selected)
}

/// Gives a run up. What it changed stays.
///
/// # Errors
/// It is over, or still runs.
pub fn abort(context: &Context, run: Option<&str>) -> Result<Run> {
    let runs = Runs::new(context.store.as_ref(), &context.project);
    let (run, _) = match run {
        Some(text) => runs.find(text)?,
        None => open_run(&runs)?,
    };
    if run.status.is_over() {
        return Err(EngineError::failed(format!(
            "run {} is over ({})",
            run.id,
            run.status.as_str()
        )));
    }
    check_selection(context, &run)?;
    let _locks = lock_for(context, &run.id)?;
    let (run, version) = runs
        .get(&run.id)?
        .ok_or_else(|| EngineError::failed(format!("run {} is gone", run.id)))?;
    let journal = Journal::open(context.store.as_ref(), &context.project, &run.id)?;
    let mut drive = Drive {
        context,
        runs,
        run,
        version,
        journal,
        started: Instant::now(),
    };
    drive.recover_all()?;
    drive.journal.append(Event::Aborted {
        by: context.actor.clone(),
    })?;
    drive.run.status = Status::Aborted;
    drive.run.ended_at = Some(Timestamp::now());
    drive.save()?;
    remove_run_folder(context, &drive.run.id);
    Ok(drive.run)
}

impl Drive<'_> {
    fn save(&mut self) -> Result<()> {
        self.version = self.runs.update(&self.run, &self.version)?;
        Ok(())
    }

    /// Looks at what a crash left of each stack.
    fn recover_all(&mut self) -> Result<()> {
        for stack in &self.context.stacks {
            recover::stack(self.context, stack, &mut self.journal)?;
        }
        Ok(())
    }

    /// From planning to the record.
    fn go(&mut self, target: &Target, approver: &dyn Approver, resumed: bool) -> Result<Outcome> {
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
        let known = (!self.run.stacks.is_empty()).then(|| self.run.clone());
        let prepared = prepare_all(
            self.context,
            target,
            &self.run.targets.clone(),
            known.as_ref(),
            &done,
            Some(&folder),
        )?;
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
        for stack in &prepared {
            self.journal.append(Event::Planned {
                stack: stack.stack.clone(),
                summary: summary(stack),
                envelope: stack.envelope.clone(),
            })?;
        }
        self.guard(&prepared, approver)?;
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
            self.approve(&prepared, &digest, approver)?;
        }
        self.back_up(&prepared)?;
        if !self.run.status.is_unfinished() {
            self.run.status = Status::Applying;
        }
        self.save()?;
        let mut stacks = Vec::new();
        let mut warnings = Vec::new();
        for stack in &prepared {
            let begun = Instant::now();
            let known = self.context.stack(&stack.stack)?.clone();
            let left = apply::stack(self.context, &known, stack, &self.run.targets, &mut self.journal)?;
            if left.changes > 0 {
                warnings.push(format!(
                    "stack {}: a plan of the target's configuration still shows {} update(s) in place: {}",
                    stack.stack,
                    left.changes,
                    left.addresses.join(", ")
                ));
            }
            self.journal.append(Event::StackDone {
                stack: stack.stack.clone(),
            })?;
            stacks.push(StackOutcome {
                stack: stack.stack.clone(),
                effects: stack.reconciled.items.len(),
                verified: left.changes == 0,
                changes_left: left.changes,
                seconds: begun.elapsed().as_secs_f64(),
            });
        }
        if prepared.len() > 1 {
            self.look_again(&prepared, &mut stacks, &mut warnings)?;
        }
        self.record_result(target, &folder)?;
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
            warnings,
        })
    }

    /// A stack goes back before those it depends on; what it reads of them may have changed by now.
    fn look_again(
        &self,
        prepared: &[Prepared],
        outcomes: &mut [StackOutcome],
        warnings: &mut Vec<String>,
    ) -> Result<()> {
        for (stack, outcome) in prepared.iter().zip(outcomes) {
            let known = self.context.stack(&stack.stack)?;
            if known.depends_on.is_empty() {
                continue;
            }
            let left = apply::look_again(self.context, known, stack, &self.run.targets)?;
            if !left.is_empty() {
                outcome.verified = false;
                outcome.changes_left = left.len();
                warnings.push(format!(
                    "stack {}: now that what it depends on is back, it has changes again: {}; `infra-rollback to {}` once more \
                     shows and applies them",
                    stack.stack,
                    left.join(", "),
                    self.run.revision
                ));
            }
        }
        Ok(())
    }

    /// Lets every guard speak; what no one says yes to refuses the run.
    fn guard(&mut self, prepared: &[Prepared], approver: &dyn Approver) -> Result<()> {
        let open = open_refusals(prepared, &self.run.consent);
        self.context.observer.pause();
        approver.show(prepared, &open);
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
        if left.is_empty() { Ok(()) } else { Err(refused(&left)) }
    }

    fn approve(&mut self, prepared: &[Prepared], digest: &str, approver: &dyn Approver) -> Result<()> {
        match approver.approve(prepared, digest) {
            Answer::Yes { how } => self.journal.append(Event::Approved {
                digest: digest.to_owned(),
                by: self.context.actor.clone(),
                how,
            }),
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

    /// A release of what is there now, before the first effect: what `undo` goes back to.
    fn back_up(&mut self, prepared: &[Prepared]) -> Result<()> {
        if self.run.backup.is_some() || prepared.is_empty() {
            return Ok(());
        }
        let context = self.context;
        let salt = Salt::of_project(context.store.as_ref(), &context.project)?;
        let mut release = Release::new(prepared[0].deployed.as_str(), context.actor.clone());
        release.kind = ReleaseKind::Backup {
            run: self.run.id.clone(),
        };
        release.reason = self.run.reason.clone();
        for stack in prepared {
            context.observer.stage(&stack.stack, Stage::BackingUp);
            let known = context.stack(&stack.stack)?;
            let tree = context.repository.tree(&stack.deployed)?;
            let deployed = crate::deployed::of_commit(context, known, &stack.deployed)?;
            let folder = context.root.join(&known.dir);
            let downloaded = match &deployed.release {
                Some((_, record)) => Downloaded::Record(record),
                None => Downloaded::Folder(&folder),
            };
            let collected = collect(context, known, &tree, &deployed.dir, &downloaded, &stack.live)?;
            let mut record = write_stack(&collected.parts, &salt, context.store.as_ref())
                .map_err(|error| EngineError::failed(error.to_string()))?;
            if let Some((_, deployed)) = &deployed.release {
                record.variable_files = deployed.variable_files.clone();
                record.variables = deployed.variables.clone();
            }
            record.commit = (stack.deployed.as_str() != release.commit).then(|| stack.deployed.to_string());
            release.stacks.push(record);
        }
        context.catalogue().commit(&release)?;
        self.journal.append(Event::BackupTaken {
            release: release.id.to_string(),
        })?;
        self.run.backup = Some(release.id.to_string());
        Ok(())
    }

    /// A release of what came out.
    fn record_result(&mut self, target: &Target, folder: &std::path::Path) -> Result<()> {
        let context = self.context;
        let taken = self.journal.entries().iter().find_map(|entry| match &entry.event {
            Event::ResultTaken { release } => Some(release.clone()),
            _ => None,
        });
        if taken.is_some() {
            self.run.result = taken;
            return Ok(());
        }
        let salt = Salt::of_project(context.store.as_ref(), &context.project)?;
        // What only some objects went back to is not what is deployed now.
        let partial = !self.run.targets.is_empty();
        let from = self.run.stacks.first().map(|part| part.from_commit.clone());
        let commit = from.filter(|_| partial).unwrap_or_else(|| target.commit.to_string());
        let mut release = Release::new(commit, context.actor.clone());
        let before = match (partial, &self.run.backup) {
            (true, Some(backup)) => match backup.parse::<ReleaseId>() {
                Ok(id) => Some(context.catalogue().get(&id)?),
                Err(_) => None,
            },
            _ => None,
        };
        let run = self.run.id.clone();
        // A mixture is kept for the record and never taken for the deploy of a commit.
        release.kind = if partial {
            ReleaseKind::Backup { run }
        } else {
            ReleaseKind::Result { run }
        };
        release.reason = self.run.reason.clone();
        for part in self.run.stacks.clone() {
            let Ok(known) = context.stack(&part.stack) else {
                continue;
            };
            context.observer.stage(&part.stack, Stage::Recording);
            let live = Live::read(context, known)?;
            let known_record = match &before {
                Some(before) => before.stack(&part.stack),
                None => target.release_of(&part.stack).map(|(_, record)| record),
            };
            let record = match known_record {
                // Everything but the state is what that release has.
                Some(record) => {
                    let mut record = record.clone();
                    record.state = live
                        .state()
                        .map(|state: &State| crate::live::keep(context, state))
                        .transpose()?;
                    record
                }
                None => {
                    let tree = context.repository.tree(&target.commit)?;
                    let root = folder.join(&part.stack).join("tree").join(&part.dir);
                    let collected = collect(context, known, &tree, &part.dir, &Downloaded::Folder(&root), &live)?;
                    write_stack(&collected.parts, &salt, context.store.as_ref())
                        .map_err(|error| EngineError::failed(error.to_string()))?
                }
            };
            release.stacks.push(record);
        }
        context.catalogue().commit(&release)?;
        self.journal.append(Event::ResultTaken {
            release: release.id.to_string(),
        })?;
        self.run.result = Some(release.id.to_string());
        Ok(())
    }

    /// Writes down how it ended, and gives the private folder back where nothing is owed to it any more.
    fn end(mut self, result: Result<Outcome>) -> Result<Outcome> {
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
            close_undone(self.context, &self.runs, run)?;
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

/// A run that was undone is over: nobody may resume it later.
fn close_undone(context: &Context, runs: &Runs<'_>, undone: &str) -> Result<()> {
    let Some((mut run, version)) = runs.get(undone)? else {
        return Ok(());
    };
    if run.status.is_over() {
        return Ok(());
    }
    run.status = Status::Aborted;
    run.ended_at = Some(Timestamp::now());
    runs.update(&run, &version)?;
    remove_run_folder(context, undone);
    Ok(())
}

/// A run's private folder holds states and plans and must not stay behind; but a state that nobody has stored does.
fn remove_run_folder(context: &Context, run: &str) {
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

fn outcome_without_run(
    context: &Context,
    target: &Target,
    digest: String,
    started: Instant,
    prepared: &[Prepared],
) -> Outcome {
    let _ = context;
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
                seconds: 0.0,
            })
            .collect(),
        backup: None,
        result: None,
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

/// The refusals that the consent does not cover.
pub fn open_refusals(prepared: &[Prepared], consent: &Consent) -> Vec<Refusal> {
    prepared
        .iter()
        .flat_map(|stack| &stack.reconciled.refusals)
        .filter(|refusal| {
            let accepted = match refusal.guard {
                Guard::DataLoss => &consent.data_loss,
                _ => &consent.changes,
            };
            !accepted.contains(&refusal.address)
        })
        .cloned()
        .collect()
}

fn refused(refusals: &[Refusal]) -> EngineError {
    let lines: Vec<String> = refusals
        .iter()
        .map(|refusal| format!("{}: {}", refusal.address, refusal.message))
        .collect();
    let mut error = EngineError::refused(format!("nothing was changed.\n  {}", lines.join("\n  ")));
    for refusal in refusals {
        error = error.hint(match refusal.guard {
            Guard::DataLoss => format!("if that is meant: --accept-data-loss '{}'", refusal.address),
            Guard::Difference => format!(
                "give the value as it was then (--var NAME=VALUE), or if the new one is meant: --accept-change '{}'",
                refusal.address
            ),
            Guard::Surprise | Guard::Impossible => format!("if that is meant: --accept-change '{}'", refusal.address),
        });
    }
    error
}

fn summary(prepared: &Prepared) -> String {
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

/// The stack as the settings name it, for those who only have its name.
pub fn stack_named<'c>(context: &'c Context, name: &str) -> Result<&'c Stack> {
    context.stack(name)
}
