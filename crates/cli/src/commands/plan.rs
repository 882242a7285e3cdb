//! `plan`: what it would take.

use std::path::Path;

use rollback_config::{Configuration, DiskTree, Manifest, load};
use rollback_engine::document;
use rollback_engine::error::{EngineError, Result};
use rollback_engine::planning;
use rollback_engine::reconcile::{self, reconcile};
use rollback_engine::steps;
use rollback_engine::target::Target;
use rollback_inverse::redact::Redactor;
use rollback_inverse::{Direction, Input, Step, compute};
use rollback_state::State;

use super::to::restore_databases;
use crate::arguments::{Global, PlanArguments};
use crate::output::Output;
use crate::{plan_view, session};

/// Plans; nothing is changed. 2 with `--detailed-exitcode` where there is something to do.
pub fn run(global: &Global, arguments: &PlanArguments, output: &Output) -> Result<u8> {
    let something = match (&arguments.from_state, &arguments.to_state) {
        (Some(from), Some(to)) => of_files(global, from, to, arguments, output)?,
        _ => of_revision(global, arguments, output)?,
    };
    Ok(if something && arguments.detailed_exitcode { 2 } else { 0 })
}

fn of_revision(global: &Global, arguments: &PlanArguments, output: &Output) -> Result<bool> {
    let revision = arguments
        .revision
        .as_deref()
        .ok_or_else(|| EngineError::usage("name a revision"))?;
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
    restore_databases(&mut context, &arguments.databases)?;
    let target = Target::resolve(&context, revision)?;
    let planned = planning::plan(&context, &target, &arguments.targets, arguments.offline)?;
    drop(context);
    let refusals = planned.open_refusals(&Default::default());
    plan_view::print(output, &planned, &refusals);
    output.document(&document::plan(&planned));
    Ok(planned.going().next().is_some() || planned.stacks.iter().any(|stack| !stack.reconciled.is_empty()))
}

/// Two files, read side by side: no repository, no store, no terraform.
fn of_files(global: &Global, from: &Path, to: &Path, arguments: &PlanArguments, output: &Output) -> Result<bool> {
    let (current, target) = std::thread::scope(|scope| {
        let target = scope.spawn(|| read(to));
        let current = read(from);
        (
            current,
            target.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
        )
    });
    let (current, target) = (current?, target?);
    let current_config = arguments.from_config.as_deref().map(configuration).transpose()?;
    let target_config = arguments.to_config.as_deref().map(configuration).transpose()?;
    let history: Vec<Step<'_>> = match (&current_config, &target_config) {
        (Some(current), Some(target)) => vec![
            Step {
                configuration: current,
                direction: Direction::Back,
            },
            Step {
                configuration: target,
                direction: Direction::Back,
            },
        ],
        _ => Vec::new(),
    };
    let knowledge = session::knowledge_here(global)?;
    let plan = compute(&Input {
        current: &current,
        target: Some(&target),
        current_config: current_config.as_ref(),
        target_config: target_config.as_ref(),
        history: &history,
        knowledge: &knowledge,
        secrets: &[],
    });
    let something = !plan.is_empty();
    if output.is_json() {
        output.plain_document(&plan.to_json());
        return Ok(something);
    }
    let redactor = Redactor::new([&current, &target], std::iter::empty::<String>(), &knowledge);
    let reconciled = reconcile(&reconcile::Input {
        inverse: &plan,
        knowledge: &knowledge,
        plan: None,
        target: Some(&target),
        target_config: target_config.as_ref(),
        deployed_config: current_config.as_ref(),
        redactor: &redactor,
        targets: &[],
        missing: &Default::default(),
    });
    plan_view::print_one(output, &reconciled);
    Ok(something)
}

/// A state file.
pub fn read(path: &Path) -> Result<State> {
    let bytes = std::fs::read(path)
        .map_err(|error| EngineError::failed(format!("{} cannot be read: {error}", path.display())))?;
    State::parse(bytes).map_err(|error| EngineError::from(error).during(path.display()))
}

fn configuration(folder: &Path) -> Result<Configuration> {
    let manifest = std::fs::read(folder.join(".terraform/modules/modules.json"))
        .ok()
        .and_then(|bytes| Manifest::parse(&bytes).ok());
    Ok(load(&DiskTree::new(folder.to_path_buf()), "", manifest.as_ref())?)
}
