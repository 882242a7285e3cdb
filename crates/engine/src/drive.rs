//! The run's state machine: prepare, show, guard, approve, back up, apply, verify, record. Every effect is preceded by
//! its intent in the journal; [`crate::recover`] looks at what a crash left.

mod approver;
mod end;
mod outcome;

use std::path::{Path, PathBuf};
use std::time::Instant;

use jiff::Timestamp;
use rollback_release::Version;
use uuid::Uuid;

use crate::approval::Sufficient;
use crate::before::Before;
use crate::context::Context;
use crate::error::{EngineError, Kind, Result};
use crate::guard::{lock_for, nobody_applies, nobody_stopped_halfway, refused};
use crate::journal::{Attempt, Event, Journal};
use crate::left_behind;
use crate::lock::Locks;
use crate::notifying::Updates;
use crate::planning::{Planned, beside_steps, plan_with, prepare_all};
use crate::policy::{self, Gate, Phase, check_reason, held_open, not_accepted, open_denials};
use crate::reconcile::{Guard, Refusal};
use crate::recover;
use crate::run::{Consent, Purpose, Run, Runs, StackTarget, Status};
use crate::steps::{self, Done};
use crate::target::Target;

pub use self::approver::{Answer, Approver};
pub(crate) use self::end::remove_run_folder;
pub(crate) use self::outcome::summary;
pub use self::outcome::{Outcome, StackOutcome};

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

/// Rolls back to a revision.
///
/// # Errors
/// See [`Kind`]: how it ended, and so what a person does next.
pub fn to(context: &Context, revision: &str, options: &Options, approver: &dyn Approver) -> Result<Outcome> {
    let target = Target::resolve(context, revision)?;
    start(context, Purpose::To, &target, options, approver)
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
    /// Tells people now and then that it goes on.
    pub(crate) updates: Option<Updates>,
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
        let planned = plan_with(context, purpose, target, options, false)?;
        let refusals = planned.open_refusals(&options.consent);
        context.observer.pause();
        approver.show(&planned, &refusals);
        steps::obstacles(&planned.steps)?;
        return match refusals.is_empty() {
            true => open_denials(&planned).map(|()| outcome::of_plan(target, started, &planned)),
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
    let steps = steps_of(context, &purpose, options);
    let run = Run {
        format: 1,
        id: id.clone(),
        purpose,
        revision: revision.to_owned(),
        commit: commit.to_owned(),
        selected: context.stacks.iter().map(|stack| stack.name.clone()).collect(),
        steps,
        databases: (context.parts.iter())
            .filter_map(|part| Some((part.name.clone(), part.asked.clone()?)))
            .collect(),
        stacks: Vec::new(),
        targets: options.targets.clone(),
        consent: (options.consent.clone()).signed(&context.actor, options.reason.as_deref()),
        reason: options.reason.clone(),
        actor: context.actor.clone(),
        created_at: Timestamp::now(),
        ended_at: None,
        status: Status::Planning,
        backup: None,
        result: None,
    };
    left_behind::clear_away(context);
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
        updates: None,
    };
    drive.journal.append(Event::Started {
        command: context.command.clone(),
        attempt: Attempt::here(&drive.locks.fence()),
    })?;
    Ok(drive)
}

/// The steps that a run is about: none where only the state is restored, or only some objects go back.
fn steps_of(context: &Context, purpose: &Purpose, options: &Options) -> Vec<String> {
    if matches!(purpose, Purpose::Restore { .. }) || !options.targets.is_empty() {
        return Vec::new();
    }
    context.parts.iter().map(|part| part.name.clone()).collect()
}

impl Drive<'_> {
    pub(crate) fn save(&mut self) -> Result<()> {
        self.version = self.runs.update(&self.run, &self.version, &self.locks.fence())?;
        Ok(())
    }

    /// Looks at what a crash left of each stack.
    pub(crate) fn recover_all(&mut self) -> Result<()> {
        for stack in self.context.written_stacks() {
            recover::stack(self.context, stack, &mut self.journal)?;
        }
        // Before anything is planned from a state that speaks of what is no longer there.
        self.tell_terraform()
    }

    /// From planning to the record.
    pub(crate) fn go(&mut self, target: &Target, approver: &dyn Approver, resumed: bool) -> Result<Outcome> {
        // A folder of its own for each attempt: what an earlier one left is evidence and may hold errored.tfstate.
        let folder = self
            .context
            .run_folder(&self.run.id)
            .join(format!("attempt-{}", self.journal.entries().len()));
        self.folder = Some(folder.clone());
        policy::check_reason(&self.run.consent, self.run.reason.as_deref())?;
        let gate = Gate::open(self.context)?;
        let asked = self.begin_asking();
        let mut planned = self
            .plan_all(target, &gate, &folder)
            .map_err(|error| held_open(error, approver))?;
        self.judge(&gate, &mut planned)?;
        let before = Before::of(self, &planned);
        self.put_plan_on_record(&planned)?;
        self.guard(&gate, &mut planned, approver)?;
        let digest = planned.digest();
        if !(resumed && before.covers(&planned, self.journal.has_effect())) {
            before.is_still(&digest, resumed, &self.run)?;
            self.approve(&gate, &planned, &digest, approver)?;
        }
        self.record_before(asked)?;
        self.back_up(&planned)?;
        gate.judge_again(self.context, &planned, &self.moment(Phase::Apply)?)
            .map_err(|error| held_open(error, approver))?;
        self.announce_start()?;
        self.begin_applying()?;
        let forward = self.is_forward(target, &planned)?;
        let Done {
            mut stacks,
            mut steps,
            mut warnings,
        } = self.do_parts(&planned, forward)?;
        steps.extend(self.done_before());
        self.settle(&gate, target, &folder, approver, &mut stacks, &mut warnings)?;
        let at_target = stacks.iter().all(|stack| !stack.changed_again && !stack.otherwise);
        self.record_result(target, &folder, at_target)?;
        let verification = self.ask_after()?;
        warnings.extend(planned.warnings());
        Ok(Outcome {
            run: Some(self.run.id.clone()),
            status: Status::Completed.as_str(),
            commit: self.run.commit.clone(),
            digest,
            seconds: self.started.elapsed().as_secs_f64(),
            stacks,
            steps,
            backup: self.run.backup.clone(),
            result: self.run.result.clone(),
            verification,
            warnings,
        })
    }

    /// Plans what is left to do of the run, and keeps with it what it is about.
    fn plan_all(&mut self, target: &Target, gate: &Gate, folder: &Path) -> Result<Planned> {
        let context = self.context;
        let done: Vec<String> = context
            .stacks
            .iter()
            .filter(|stack| self.journal.stack_done(&stack.name))
            .map(|stack| stack.name.clone())
            .collect();
        let known = (!self.run.stacks.is_empty()).then_some(&self.run);
        let overrides = self.run.consent.overridden_rules();
        let wanted = self.wanted_steps(target)?;
        let planned = beside_steps(context, target, &wanted, || {
            prepare_all(
                context,
                target,
                &self.run.targets,
                known,
                &done,
                Some((gate, &overrides)),
                Some(folder),
            )
        })?;
        if self.run.stacks.is_empty() {
            self.run.stacks = planned
                .stacks
                .iter()
                .map(|stack| StackTarget {
                    stack: stack.stack.clone(),
                    dir: stack.dir.clone(),
                    release: stack.release.clone(),
                    from_commit: stack.deployed.to_string(),
                })
                .collect();
        }
        Ok(planned)
    }

    /// The steps that are left to do, and where each one goes.
    fn wanted_steps(&self, target: &Target) -> Result<Vec<steps::Wanted>> {
        let mut wanted = steps::wanted(self.context, target)?;
        wanted.retain(|one| {
            let name = &one.part.name;
            self.run.steps.contains(name)
                && !self.run.consent.skipped_steps.contains(name)
                && !self.journal.step_done(name)
        });
        // A run that was approved goes where it was approved to go, whatever has been asked for since.
        for one in &mut wanted {
            one.begun = self.journal.begun_step(&one.part.name).cloned();
            if let Some(asked) = self.run.databases.get(&one.part.name) {
                one.target = Ok(asked.clone());
                one.only_by_release = false;
            }
            if let Some(approved) = self.journal.approved_step(&one.part.name) {
                one.target = Ok(approved.target()?);
            }
        }
        Ok(wanted)
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
    fn guard(&mut self, gate: &Gate, planned: &mut Planned, approver: &dyn Approver) -> Result<()> {
        let before = self.run.consent.clone();
        let open = planned.open_refusals(&self.run.consent);
        self.context.observer.pause();
        approver.show(planned, &open);
        steps::obstacles(&planned.steps)?;
        let left = self.without_consent(open, approver);
        if !left.is_empty() {
            return Err(not_accepted(refused(&left), open_denials(planned).err(), approver));
        }
        // What was accepted on the way is something that the policy judges by.
        if self.run.consent != before {
            self.judge_anew(gate, planned)?;
        }
        open_denials(planned).map_err(|error| held_open(error, approver))?;
        self.put_overrides_on_record(planned)
    }

    /// Puts on record what was planned, and what it is that an approval signs.
    pub(crate) fn put_plan_on_record(&mut self, planned: &Planned) -> Result<()> {
        self.planned_steps(planned)?;
        for stack in &planned.stacks {
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
        planned: &Planned,
        digest: &str,
        approver: &dyn Approver,
    ) -> Result<()> {
        let answer = approver.approve(planned, digest);
        self.answered_by_another(gate, answer, digest)
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
                let (by, how) = self.glass_on_record(&approval, digest)?;
                self.journal.append(Event::Approved {
                    digest: digest.to_owned(),
                    by,
                    how,
                })?;
                self.approval = Some(*approval);
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
}
