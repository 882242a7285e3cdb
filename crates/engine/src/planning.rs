//! Planning: what a run would do, without one.

use std::collections::BTreeSet;

use jiff::Timestamp;
use rollback_policy::Evaluation;
use rollback_repository::CommitId;
use uuid::Uuid;

use crate::closure;
use crate::context::Context;
use crate::deployed;
use crate::drive::Options;
use crate::envelope::{self, Envelope};
use crate::error::{EngineError, Result};
use crate::estimate::Estimates;
use crate::guard::open_refusals;
use crate::policy::{self, Ends, Gate, Moment, Phase, PolicyRecord};
use crate::prepare::{Prepared, Prospect, Request, prepare};
use crate::reconcile::{Guard, Refusal};
use crate::run::{Consent, Purpose, Run, Runs};
use crate::steps::{self, PreparedStep, Runtime, StepEnvelope, Wanted};
use crate::target::Target;

/// What a run would do: with each stack, and with each step.
pub struct Planned {
    pub stacks: Vec<Prepared>,
    pub steps: Vec<PreparedStep>,
    /// Where the steps are now.
    pub(crate) runtime: Runtime,
    /// Between what the steps go; none where none has anything to do.
    pub(crate) ends: Option<Ends>,
    /// The policy's verdict on the steps.
    pub evaluation: Option<Evaluation>,
    /// How long former runs took.
    pub estimates: Estimates,
}

impl Planned {
    /// One stack alone.
    pub(crate) fn of_stack(stack: Prepared) -> Planned {
        Planned {
            stacks: vec![stack],
            steps: Vec::new(),
            runtime: Runtime::default(),
            ends: None,
            evaluation: None,
            estimates: Estimates::default(),
        }
    }

    /// The steps that have something to do.
    pub fn going(&self) -> impl Iterator<Item = &StepEnvelope> {
        self.steps.iter().filter_map(PreparedStep::envelope)
    }

    pub(crate) fn going_mut(&mut self) -> impl Iterator<Item = &mut StepEnvelope> {
        self.steps.iter_mut().filter_map(PreparedStep::envelope_mut)
    }

    /// The digest that a person approves.
    pub fn digest(&self) -> String {
        let envelopes: Vec<&Envelope> = self.stacks.iter().map(|stack| &stack.envelope).collect();
        let steps: Vec<&StepEnvelope> = self.going().collect();
        envelope::digest(&envelopes, &steps)
    }

    /// What needs an acceptance of its own and has none.
    pub fn open_refusals(&self, consent: &Consent) -> Vec<Refusal> {
        let mut open = open_refusals(&self.stacks, consent);
        open.extend(steps::open_refusals(&self.steps, consent));
        open
    }

    /// What the policy said to each stack, and without a name to the steps.
    pub fn evaluations(&self) -> impl Iterator<Item = (Option<&str>, &Evaluation)> {
        let stacks = self.stacks.iter();
        let of_stacks = stacks.filter_map(|stack| Some((Some(stack.stack.as_str()), stack.evaluation.as_ref()?)));
        of_stacks.chain(self.evaluation.iter().map(|evaluation| (None, evaluation)))
    }

    pub(crate) fn warnings(&self) -> impl Iterator<Item = String> {
        let of_stacks = (self.stacks.iter()).flat_map(|stack| stack.reconciled.warnings.clone());
        of_stacks.chain(self.steps.iter().filter_map(PreparedStep::warning))
    }

    /// By which policy's verdicts it may go on, stack by stack; the steps' without a name.
    pub(crate) fn policy_records(&self) -> impl Iterator<Item = (&str, &PolicyRecord)> {
        let stacks = self.stacks.iter();
        let of_stacks = stacks.filter_map(|stack| Some((stack.stack.as_str(), stack.envelope.policy.as_ref()?)));
        // One verdict is in all of them.
        let of_steps = self
            .going()
            .take(1)
            .filter_map(|step| Some(("", step.policy.as_ref()?)));
        of_stacks.chain(of_steps)
    }
}

/// Plans as a run would, without one.
///
/// # Errors
/// As [`prepare`].
pub fn plan(context: &Context, target: &Target, targets: &[String], offline: bool) -> Result<Planned> {
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
) -> Result<Planned> {
    let folder = context.run_folder(&format!("plan-{}", Uuid::now_v7()));
    let gate = (!offline).then(|| Gate::open(context)).transpose()?;
    let wanted = match offline || !options.targets.is_empty() {
        true => Vec::new(),
        false => steps::wanted(context, target)?,
    };
    let overrides = options.consent.overridden_rules();
    let prepared = beside_steps(context, target, &wanted, || {
        prepare_all(
            context,
            target,
            &options.targets,
            None,
            &[],
            gate.as_ref().map(|gate| (gate, overrides.as_slice())),
            (!offline).then_some(folder.as_path()),
        )
    });
    // The folder holds states and plans: it must not stay behind.
    let _ = std::fs::remove_dir_all(&folder);
    let mut prepared = prepared?;
    if let Some(gate) = gate {
        let moment = moment_of_options(context, &purpose, &target.revision, options)?;
        gate.judge(context, &mut prepared, &moment);
    }
    Ok(prepared)
}

/// The documents that the policy is given for a rollback, one for each stack and one for the steps; nothing is judged.
///
/// # Errors
/// As [`prepare`].
pub fn policy_documents(context: &Context, target: &Target, options: &Options) -> Result<Vec<serde_json::Value>> {
    let planned = plan_with(context, Purpose::To, target, options, false)?;
    let gate = Gate::open(context)?;
    let moment = moment_of_options(context, &Purpose::To, &target.revision, options)?;
    Ok(gate.documents(context, &planned, &moment))
}

/// What the policy says to a rollback, by stack, and to its steps; nothing is begun.
///
/// # Errors
/// As [`plan_with`].
pub fn evaluations(context: &Context, target: &Target, options: &Options) -> Result<Vec<(String, Evaluation)>> {
    let planned = plan_with(context, Purpose::To, target, options, false)?;
    let judged = planned.evaluations();
    Ok(judged
        .map(|(stack, evaluation)| (stack.unwrap_or("steps").to_owned(), evaluation.clone()))
        .collect())
}

/// What a policy is told of a run that is none yet.
///
/// # Errors
/// The store cannot be read.
pub(crate) fn moment_of_options<'a>(
    context: &'a Context,
    purpose: &'a Purpose,
    revision: &'a str,
    options: &'a Options,
) -> Result<Moment<'a>> {
    Ok(Moment {
        phase: Phase::Plan,
        now: Timestamp::now(),
        id: None,
        purpose,
        revision,
        actor: &context.actor,
        reason: options.reason.as_deref(),
        consent: &options.consent,
        approvals: Vec::new(),
        broken_glass: None,
        halfway: false,
        history: policy::history(&Runs::new(context.store.as_ref(), &context.project), None)?,
    })
}

/// Plans the stacks while the steps are looked at.
pub(crate) fn beside_steps(
    context: &Context,
    target: &Target,
    wanted: &[Wanted],
    stacks: impl FnOnce() -> Result<Vec<Prepared>>,
) -> Result<Planned> {
    let (stacks, steps) = std::thread::scope(|scope| {
        let looking = scope.spawn(|| steps::prepare(wanted));
        let stacks = stacks();
        let steps = looking.join();
        (stacks, steps.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    let (stacks, (steps, runtime)) = (stacks?, steps?);
    let mut planned = Planned {
        stacks,
        steps,
        runtime,
        ends: None,
        evaluation: None,
        estimates: Estimates::default(),
    };
    let steps_go = planned.going().next().is_some();
    // What is not done takes no time, and former runs have not to be read for it.
    if steps_go || planned.stacks.iter().any(|stack| !stack.reconciled.is_empty()) {
        planned.estimates = Estimates::of(context.store.as_ref(), &context.project)?;
    }
    if steps_go {
        let deployed = match planned.stacks.first() {
            Some(stack) => stack.deployed.clone(),
            None => deployed::last(context)?,
        };
        planned.ends = Some(policy::ends_of_steps(context, &deployed, target)?);
    }
    Ok(planned)
}

pub(crate) fn prepare_all(
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
            .map(|part| context.commit_of_record(&part.from_commit))
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
            if context.settings.stacks.len() > 1 {
                let error = error.during(format!("stack {}", stack.name));
                match stack.depends_on.as_slice() {
                    [] => error,
                    others => error.hint(format!(
                        "if it reads what {} has no more: bring that back first, `infra-rollback to {} --stack {}`, then \
                         this one",
                        others.join(", "),
                        target.revision,
                        others.join(" --stack ")
                    )),
                }
            } else {
                error
            }
        })?;
        match prepared {
            Prospect::Prepared(prepared) => all.push(*prepared),
            Prospect::NotNamed => {}
            Prospect::Absent => context.observer.warning(&format!(
                "stack {} did not exist at {}: it is left as it is",
                stack.name,
                target.commit.short()
            )),
        }
    }
    refuse_forgotten(context, target, &mut all);
    if done.is_empty() {
        all_are_there(targets, &all)?;
        all_are_declared(context, &all)?;
    }
    if all.is_empty() && done.is_empty() && !context.stacks.is_empty() {
        return Err(
            EngineError::failed(format!("none of the stacks existed at {}", target.commit.short()))
                .hint("check the revision, and the folders of the stacks in infra-rollback.toml"),
        );
    }
    Ok(all)
}

/// Every `--target` names something that at least one of the stacks has.
fn all_are_there(targets: &[String], all: &[Prepared]) -> Result<()> {
    let is_there = |named: &&String| {
        all.iter().any(|prepared| {
            let own = named
                .strip_prefix(prepared.stack.as_str())
                .and_then(|rest| rest.strip_prefix(':'));
            closure::has(&prepared.inverse, own.unwrap_or(named.as_str()))
        })
    };
    match targets.iter().find(|named| !is_there(named)) {
        Some(named) => Err(closure::unknown(named)),
        None => Ok(()),
    }
}

/// Every variable that is given is declared by one of the stacks, now or at the target: a slip of the pen must not be taken for
/// a value.
fn all_are_declared(context: &Context, all: &[Prepared]) -> Result<()> {
    let given = context.given.variables.iter().map(|(name, _)| name);
    let unknown = given.filter(|name| !all.iter().any(|prepared| prepared.declares.contains(*name)));
    match unknown.into_iter().next() {
        Some(name) if !all.is_empty() => {
            let known: BTreeSet<&str> = (all.iter())
                .flat_map(|prepared| prepared.declares.iter().map(String::as_str))
                .collect();
            let known: Vec<&str> = known.into_iter().collect();
            Err(EngineError::usage(format!(
                "--var {name}: no stack that goes back declares such a variable"
            ))
            .hint(match known.as_slice() {
                [] => "none of them has a variable".to_owned(),
                known => format!("the variables are: {}", known.join(", ")),
            }))
        }
        _ => Ok(()),
    }
}

/// Stacks of the target's release that the settings have no more: who goes back to all of it must not miss them.
fn refuse_forgotten(context: &Context, target: &Target, all: &mut [Prepared]) {
    let settings = &context.settings.stacks;
    // Who names stacks means those.
    if settings.is_empty() || context.stacks.len() < settings.len() {
        return;
    }
    let (Some(first), Some(release)) = (all.first_mut(), target.releases().first()) else {
        return;
    };
    for record in &release.stacks {
        // In the same folder it has only got another name.
        let is_here = context
            .stacks
            .iter()
            .any(|stack| stack.name == record.name || stack.dir == record.dir);
        if is_here {
            continue;
        }
        first.reconciled.refusals.push(Refusal {
            guard: Guard::Surprise,
            address: format!("stack.{}", record.name),
            message: format!(
                "the release has a stack {}, in {}, which infra-rollback.toml does not have any more: it would not be brought \
                 back. Put its [[stack]] there again to bring it back too",
                record.name,
                if record.dir.is_empty() { "the top folder" } else { &record.dir }
            ),
        });
    }
}
