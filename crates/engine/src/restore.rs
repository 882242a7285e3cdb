//! A kept state becomes the current one. The infrastructure itself is not touched, so that this is for states that are lost
//! or wrong; everything else is a rollback's work. A run like any other: report, guards, approval, backup, journal.

use std::time::Instant;

use rollback_inverse::{Fate, Input, InversePlan, compute};
use rollback_policy::Evaluation;
use rollback_release::{Release, ReleaseId, ReleaseKind, StateVersion};
use rollback_state::State;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::context::{Context, Stack};
use crate::drive::{Approver, Drive, Options, Outcome, begin};
use crate::envelope::{self, Envelope};
use crate::error::{EngineError, Kind, Result};
use crate::folder::private_folder;
use crate::guard::refused;
use crate::journal::Event;
use crate::live::{self, Live};
use crate::observe::Stage;
use crate::planning::moment_of_options;
use crate::policy::{Gate, Judged, Phase, PolicyRecord, check_reason, held_open, not_accepted, restore_denials};
use crate::reconcile::{Guard, Refusal};
use crate::run::{Consent, Purpose, Run, Runs, StackTarget, Status};
use crate::serial;
use crate::versions;
use crate::words::counted;
use crate::writing::{self, Reading};

/// What making an old state the current one would mean.
#[derive(Debug, Serialize, Deserialize)]
pub struct RestoreReport {
    pub stack: String,
    /// The release that keeps it.
    pub version: String,
    pub commit: String,
    pub sha256: String,
    /// The serial that it gets.
    pub serial: u64,
    /// Live objects that the old state does not know: nobody would manage them any more.
    pub orphans: Vec<String>,
    /// Objects that the old state has and the live one does not: they may not exist.
    pub claims: Vec<String>,
    /// Objects that come back under another address.
    pub moved: Vec<String>,
    /// The live state cannot be read: what it held is not known.
    pub live_is_damaged: bool,
    /// Of the bytes that are written.
    pub result_sha256: String,
    /// What the policy says to it; none where it was not asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Evaluation>,
}

/// A restore, looked at and not done yet.
pub struct Restore {
    pub report: RestoreReport,
    live: Live,
    old: State,
    state: State,
    inverse: InversePlan,
    verdict: Option<PolicyRecord>,
}

/// Looks at what a restore would mean. Changes nothing.
///
/// # Errors
/// The version is not there, or is of another lineage.
pub fn look(context: &Context, stack: &Stack, version: &StateVersion) -> Result<Restore> {
    let old = context.catalogue().state(&version.state)?;
    context.observer.stage(&stack.name, Stage::ReadingState);
    let live = Live::read_damaged(context, stack)?;
    let current = live
        .state()
        .cloned()
        .unwrap_or_else(|| State::empty(old.terraform_version(), old.lineage()));
    if !current.lineage().is_empty() && !old.lineage().is_empty() && current.lineage() != old.lineage() {
        return Err(EngineError::refused(format!(
            "the live state has lineage {} and the kept one {}: they are of different stacks",
            current.lineage(),
            old.lineage()
        ))
        .hint("check the backend and the workspace of the stack"));
    }
    // The kept state may be of another stack's release, and so of none that is looked at.
    let serial = serial::next(context, stack, &live)?.max(old.serial() + 1);
    let mut editor = old.edit();
    editor.set_serial(serial);
    let state = editor.finish()?;
    let plan = compute(&Input {
        current: &current,
        target: Some(&old),
        current_config: None,
        target_config: None,
        history: &[],
        knowledge: &context.knowledge,
        secrets: &[],
    });
    let of = |fates: &[Fate]| -> Vec<String> {
        plan.effective()
            .filter(|change| fates.contains(&change.fate))
            .map(|change| change.address().to_string())
            .collect()
    };
    let report = RestoreReport {
        live_is_damaged: live.damaged().is_some(),
        result_sha256: state.sha256(),
        policy: None,
        stack: stack.name.clone(),
        version: version.release.to_string(),
        commit: version.commit.clone(),
        sha256: version.state.sha256.clone(),
        serial,
        orphans: of(&[Fate::Destroy, Fate::Forget]),
        claims: of(&[Fate::Create, Fate::Adopt]),
        moved: plan
            .effective()
            .filter(|change| change.is_moved())
            .map(|change| {
                format!(
                    "{} -> {}",
                    change.previous_address().map(ToString::to_string).unwrap_or_default(),
                    change.address()
                )
            })
            .collect(),
    };
    Ok(Restore {
        report,
        live,
        old,
        state,
        inverse: plan,
        verdict: None,
    })
}

/// Makes a kept state the current one, in a run of its own.
///
/// # Errors
/// See [`Kind`]: how it ended, and so what a person does next.
pub fn restore(
    context: &Context,
    version: &StateVersion,
    options: &Options,
    approver: &dyn Approver,
) -> Result<Outcome> {
    let purpose = Purpose::Restore {
        version: version.release.to_string(),
    };
    start(context, purpose, version, options, approver)
}

pub(crate) fn start(
    context: &Context,
    purpose: Purpose,
    version: &StateVersion,
    options: &Options,
    approver: &dyn Approver,
) -> Result<Outcome> {
    let started = Instant::now();
    if options.dry_run {
        let stack = versions::the_stack(context)?;
        check_reason(&options.consent, options.reason.as_deref())?;
        let mut restore = look(context, stack, version)?;
        let gate = Gate::open(context)?;
        let judged = restore.judged(context, stack, version)?;
        let moment = moment_of_options(context, &purpose, version.release.as_str(), options)?;
        restore.take_verdict(gate.judge_restore(context, &judged, &moment));
        let mut refusals = open_refusals(&restore.report, &options.consent);
        context.observer.pause();
        approver.show_restore(&restore.report, &refusals);
        refusals.retain(|refusal| !approver.consent(refusal));
        if !refusals.is_empty() {
            return Err(orphans_refused(&refusals));
        }
        restore.denials()?;
        return Ok(Outcome {
            run: None,
            status: "planned",
            commit: version.commit.clone(),
            digest: envelope::digest(&[&restore.envelope()], &[]),
            seconds: started.elapsed().as_secs_f64(),
            stacks: Vec::new(),
            steps: Vec::new(),
            backup: None,
            result: None,
            verification: None,
            warnings: Vec::new(),
        });
    }
    versions::the_stack(context)?;
    let mut drive = begin(
        context,
        purpose,
        version.release.as_str(),
        &version.commit,
        options,
        started,
    )?;
    let result = drive.restore(version, approver);
    drive.end(result)
}

/// The state that a run makes the current one, where it is a run of that kind.
///
/// # Errors
/// It is gone.
pub(crate) fn version_of(context: &Context, runs: &Runs<'_>, run: &Run) -> Result<Option<StateVersion>> {
    match &run.purpose {
        Purpose::To => Ok(None),
        Purpose::Restore { version } => versions::find(context, versions::the_stack(context)?, version).map(Some),
        Purpose::Undo { run } => {
            let undone = runs.find(run)?.0;
            before(context, runs, &undone)
        }
    }
}

/// The state that was there before a run which touched nothing but the state; `None` for any other run.
///
/// # Errors
/// It had none.
pub(crate) fn before(context: &Context, runs: &Runs<'_>, run: &Run) -> Result<Option<StateVersion>> {
    if !is_restore(runs, run)? {
        return Ok(None);
    }
    let backup = run.backup.as_ref().ok_or_else(|| {
        EngineError::failed(format!(
            "before run {} there was no state that could be read: there is nothing to go back to",
            run.id
        ))
        .hint("`infra-rollback state versions` lists the states that are kept")
    })?;
    let stack = match run.selected.as_slice() {
        [name] => context.stack(name)?,
        _ => versions::the_stack(context)?,
    };
    versions::find(context, stack, backup).map(Some)
}

fn is_restore(runs: &Runs<'_>, run: &Run) -> Result<bool> {
    match &run.purpose {
        Purpose::To => Ok(false),
        Purpose::Restore { .. } => Ok(true),
        Purpose::Undo { run } => is_restore(runs, &runs.find(run)?.0),
    }
}

/// Objects that nobody would manage any more each need a yes.
fn open_refusals(report: &RestoreReport, consent: &Consent) -> Vec<Refusal> {
    report
        .orphans
        .iter()
        .filter(|address| !consent.changes.contains(address))
        .map(|address| Refusal {
            guard: Guard::Surprise,
            address: address.clone(),
            message: "it lives, and the old state does not know it: nobody would manage it any more".to_owned(),
        })
        .collect()
}

fn orphans_refused(refusals: &[Refusal]) -> EngineError {
    refused(refusals)
        .hint("`infra-rollback to` destroys or moves them properly")
        .hint("for all of them: --accept-orphans")
}

impl Restore {
    /// What is approved: these very bytes in the place of those that were looked at.
    fn envelope(&self) -> Envelope {
        let report = &self.report;
        let effects = |what: &str, addresses: &[String]| -> Vec<String> {
            addresses.iter().map(|address| format!("{what} {address}")).collect()
        };
        Envelope {
            stack: report.stack.clone(),
            plan_digest: self.state.sha256(),
            state_sha256: hex::encode(Sha256::digest(self.looked_at())),
            lineage: self.state.lineage().to_owned(),
            serial: self.live.state().map(State::serial).unwrap_or_default(),
            target_commit: report.commit.clone(),
            lock_file_sha256: None,
            terraform_version: self.state.terraform_version().to_owned(),
            policy: self.verdict.clone(),
            refactors: effects("move", &report.moved),
            effects: [effects("orphan", &report.orphans), effects("claim", &report.claims)].concat(),
        }
    }

    fn judged<'s>(&self, context: &Context, stack: &'s Stack, version: &StateVersion) -> Result<Judged<'s>> {
        Judged::new(context, stack, self.live.state(), &self.old, version, &self.inverse)
    }

    fn take_verdict(&mut self, (evaluation, record): (Evaluation, PolicyRecord)) {
        self.report.policy = Some(evaluation);
        self.verdict = Some(record);
    }

    /// What the policy says against it.
    fn denials(&self) -> Result<()> {
        let evaluation = self.report.policy.as_ref();
        evaluation.map_or(Ok(()), |evaluation| restore_denials(&self.report.stack, evaluation))
    }

    /// The live bytes that the report is about.
    fn looked_at(&self) -> &[u8] {
        let state = self.live.state().map(State::bytes);
        state.or(self.live.damaged()).unwrap_or_default()
    }
}

impl Drive<'_> {
    /// From the report to the record.
    pub(crate) fn restore(&mut self, version: &StateVersion, approver: &dyn Approver) -> Result<Outcome> {
        let context = self.context;
        let stack = match self.run.selected.as_slice() {
            [name] => context.stack(name)?,
            _ => versions::the_stack(context)?,
        };
        let digest = match self.journal.last_state_write(&stack.name) {
            // It was written before a crash: what is left is the record.
            Some((_, true)) => self.journal.last_planned(&[&stack.name]).unwrap_or_default(),
            _ => self.restore_now(stack, version, approver)?,
        };
        if !self.journal.stack_done(&stack.name) {
            self.journal.append(Event::StackDone {
                stack: stack.name.clone(),
            })?;
        }
        self.record_restored(stack)?;
        Ok(Outcome {
            run: Some(self.run.id.clone()),
            status: Status::Completed.as_str(),
            commit: self.run.commit.clone(),
            digest,
            seconds: self.started.elapsed().as_secs_f64(),
            // None of their objects was touched.
            stacks: Vec::new(),
            steps: Vec::new(),
            backup: self.run.backup.clone(),
            result: self.run.result.clone(),
            verification: None,
            warnings: Vec::new(),
        })
    }

    fn restore_now(&mut self, stack: &Stack, version: &StateVersion, approver: &dyn Approver) -> Result<String> {
        let context = self.context;
        check_reason(&self.run.consent, self.run.reason.as_deref())?;
        let gate = Gate::open(context)?;
        let mut restore = look(context, stack, version)?;
        let judged = restore.judged(context, stack, version)?;
        restore.take_verdict(gate.judge_restore(context, &judged, &self.moment(Phase::Plan)?));
        let envelope = restore.envelope();
        let digest = envelope::digest(&[&envelope], &[]);
        let approved = self.journal.approved(&stack.name) == Some(&envelope);
        self.journal.append(Event::Planned {
            stack: stack.name.clone(),
            summary: format!(
                "the state of release {:.8} as serial {}, {}",
                restore.report.version,
                restore.report.serial,
                counted(restore.report.orphans.len(), "orphan")
            ),
            envelope: envelope.clone(),
        })?;
        if self.undoes_what_is_there(stack, &restore)? {
            // What would be orphaned is what the restore only claimed: nothing else happened since.
            self.run.consent.changes.extend(restore.report.orphans.iter().cloned());
        }
        self.guard_restore(&restore, approver)?;
        self.overrides_on_record(&stack.name, envelope.policy.as_ref())?;
        if !approved {
            let answer = approver.approve_restore(&restore.report, &digest);
            self.answered_by_another(&gate, answer, &digest)?;
        }
        self.keep_before_restore(stack, &restore)?;
        gate.judge_restore_again(context, &judged, &self.moment(Phase::Apply)?)
            .map_err(|error| held_open(error, approver))?;
        self.begin_applying()?;
        context.observer.stage(&stack.name, Stage::WritingState);
        let reading = match restore.live.damaged() {
            Some(_) => Reading::Whatever,
            None => Reading::Checked,
        };
        let written = writing::replace(
            context,
            &stack.name,
            &restore.live,
            reading,
            &mut self.journal,
            |found| {
                if found == restore.looked_at() {
                    Ok(Some(restore.state.clone()))
                } else {
                    Err(crate::apply::changed_meanwhile(&stack.name))
                }
            },
        );
        match written {
            Ok(_) => Ok(digest),
            Err(error) => {
                if error.kind != Kind::Halfway {
                    self.journal.append(Event::TakenBack {
                        stack: stack.name.clone(),
                    })?;
                }
                Err(error)
            }
        }
    }

    /// Whether this run undoes another one whose state is still there, to the byte.
    fn undoes_what_is_there(&self, stack: &Stack, restore: &Restore) -> Result<bool> {
        let Purpose::Undo { run } = &self.run.purpose else {
            return Ok(false);
        };
        let Some(result) = self
            .runs
            .find(run)?
            .0
            .result
            .and_then(|id| id.parse::<ReleaseId>().ok())
        else {
            return Ok(false);
        };
        let release = self.context.catalogue().get(&result)?;
        let then = release.stack(&stack.name).and_then(|record| record.state.as_ref());
        Ok(then.is_some_and(|then| restore.live.state().is_some_and(|live| live.sha256() == then.sha256)))
    }

    fn guard_restore(&mut self, restore: &Restore, approver: &dyn Approver) -> Result<()> {
        let open = open_refusals(&restore.report, &self.run.consent);
        self.context.observer.pause();
        approver.show_restore(&restore.report, &open);
        let mut left = Vec::new();
        for refusal in open {
            if approver.consent(&refusal) {
                self.run.consent.changes.push(refusal.address);
            } else {
                left.push(refusal);
            }
        }
        if !left.is_empty() {
            return Err(not_accepted(orphans_refused(&left), restore.denials().err(), approver));
        }
        restore.denials().map_err(|error| held_open(error, approver))
    }

    /// What is there is kept before it goes: as a release, or, where it is no state, as a file.
    fn keep_before_restore(&mut self, stack: &Stack, restore: &Restore) -> Result<()> {
        let context = self.context;
        if let Some(bytes) = restore.live.damaged() {
            let folder = context.home.join("damaged");
            private_folder(&folder)?;
            let file = folder.join(format!("{}-{}.tfstate", stack.name, Uuid::now_v7()));
            std::fs::write(&file, bytes)?;
            context.observer.warning(&format!(
                "stack {}: what was there, and is no state, is kept as {}",
                stack.name,
                file.display()
            ));
        }
        let Some(state) = restore.live.state().filter(|_| self.run.backup.is_none()) else {
            return Ok(());
        };
        context.observer.stage(&stack.name, Stage::BackingUp);
        let release = self.release_of_state(stack, state)?;
        self.journal.append(Event::BackupTaken {
            release: release.to_string(),
        })?;
        self.run.backup = Some(release.to_string());
        Ok(())
    }

    fn record_restored(&mut self, stack: &Stack) -> Result<()> {
        let taken = self.journal.entries().iter().find_map(|entry| match &entry.event {
            Event::ResultTaken { release } => Some(release.clone()),
            _ => None,
        });
        if taken.is_some() {
            self.run.result = taken;
            return Ok(());
        }
        self.context.observer.stage(&stack.name, Stage::Recording);
        let live = Live::read(self.context, stack)?;
        if let Some(state) = live.state() {
            let release = self.release_of_state(stack, state)?;
            self.journal.append(Event::ResultTaken {
                release: release.to_string(),
            })?;
            self.run.result = Some(release.to_string());
        }
        Ok(())
    }

    /// Keeps a state with the record of what is deployed. As a backup: it is never taken for the deploy of a commit.
    fn release_of_state(&mut self, stack: &Stack, state: &State) -> Result<ReleaseId> {
        let context = self.context;
        let deployed = crate::deployed::find(context, stack, Some(state))?;
        let mut release = Release::new(deployed.commit.as_str(), context.actor.clone());
        release.kind = ReleaseKind::Backup {
            run: self.run.id.clone(),
        };
        release.reason = self.run.reason.clone();
        if self.run.stacks.is_empty() {
            self.run.stacks = vec![StackTarget {
                stack: stack.name.clone(),
                dir: deployed.dir.clone(),
                release: None,
                from_commit: deployed.commit.to_string(),
            }];
        }
        let mut record = deployed.release.map(|(_, record)| record).unwrap_or_default();
        record.name = stack.name.clone();
        record.dir = deployed.dir;
        record.state = Some(live::keep(context, &stack.name, state)?);
        release.stacks.push(record);
        context.catalogue().commit(&release)?;
        Ok(release.id)
    }
}
