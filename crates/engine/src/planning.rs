//! Planning: what a run would do, without one.

use jiff::Timestamp;
use rollback_repository::CommitId;
use uuid::Uuid;

use crate::context::Context;
use crate::drive::Options;
use crate::error::{EngineError, Result};
use crate::policy::{self, Gate, Moment, Phase};
use crate::prepare::{Prepared, Request, prepare};
use crate::run::{Purpose, Run, Runs};
use crate::steps::{self, PreparedStep, Runtime, Wanted};
use crate::target::Target;

/// What a run would do: with each stack, and with each step.
pub struct Planned {
    pub stacks: Vec<Prepared>,
    pub steps: Vec<PreparedStep>,
    /// Where the steps are now.
    pub(crate) runtime: Runtime,
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
    let prepared = beside_steps(&wanted, || {
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
        gate.judge(context, &mut prepared.stacks, &moment);
    }
    Ok(prepared)
}

/// The documents that the policy is given for a rollback, one for each stack; nothing is judged.
///
/// # Errors
/// As [`prepare`].
pub fn policy_documents(context: &Context, target: &Target, options: &Options) -> Result<Vec<serde_json::Value>> {
    let prepared = plan_with(context, Purpose::To, target, options, false)?.stacks;
    let gate = Gate::open(context)?;
    let moment = moment_of_options(context, &Purpose::To, &target.revision, options)?;
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
pub(crate) fn beside_steps(wanted: &[Wanted], stacks: impl FnOnce() -> Result<Vec<Prepared>>) -> Result<Planned> {
    let (stacks, steps) = std::thread::scope(|scope| {
        let looking = scope.spawn(|| steps::prepare(wanted));
        let stacks = stacks();
        let steps = looking.join();
        (stacks, steps.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    let (stacks, (steps, runtime)) = (stacks?, steps?);
    Ok(Planned { stacks, steps, runtime })
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
    if all.is_empty() && done.is_empty() && !context.stacks.is_empty() {
        return Err(
            EngineError::failed(format!("none of the stacks existed at {}", target.commit.short()))
                .hint("check the revision, and the folders of the stacks in infra-rollback.toml"),
        );
    }
    Ok(all)
}
