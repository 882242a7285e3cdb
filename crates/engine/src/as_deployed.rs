//! Whether a stack's live state is what a deploy of HEAD left, as far as can be told: what a snapshot keeps under a commit
//! is what a rollback to that commit brings back.

use rollback_config::load;
use rollback_release::{ReleaseId, ReleaseKind};
use rollback_repository::CommitId;
use rollback_state::State;

use crate::collect::module_files;
use crate::context::{Context, Stack};
use crate::deployed::LOOK_BACK;
use crate::error::{EngineError, Kind, Result};
use crate::guard::stopped_halfway;
use crate::history::dir_at;
use crate::journal::{Event, Journal};
use crate::live::Live;
use crate::run::{Run, Runs, Status};

/// What Terraform writes into its locks where it only looks (`statemgr.LockInfo.Operation`).
const LOOKS_ONLY: &[&str] = &["OperationTypePlan", "OperationTypeRefresh"];

/// How many of the newest runs are looked at for one of the stack.
const RUNS_BACK: usize = 5;

/// Whoever applies while the state is read leaves half of two commits in it.
///
/// # Errors
/// [`Kind::Locked`] where somebody holds Terraform's own lock for more than a look. A warning where that cannot be told.
pub(crate) fn nobody_applies(context: &Context, stack: &Stack, live: &Live) -> Result<Option<String>> {
    let holder = match live.storage(context)?.holder() {
        Ok(holder) => holder,
        Err(error) => {
            return Ok(Some(format!(
                "stack {}: whether terraform is at work on it cannot be told: {error}",
                stack.name
            )));
        }
    };
    match holder.filter(|holder| !LOOKS_ONLY.contains(&holder.operation.as_str())) {
        None => Ok(None),
        Some(holder) => Err(EngineError::new(
            Kind::Locked,
            format!(
                "stack {}: somebody is at work on its state ({} by {} since {}): what lies there now may be half of two commits",
                stack.name, holder.operation, holder.who, holder.created
            ),
        )
        .hint("take the snapshot when that is done")
        .hint("if that process is gone, `terraform force-unlock` in the stack's folder gives its lock back")),
    }
}

/// After a rollback the checkout is usually still the commit that was rolled back, or one that changed something else.
///
/// # Errors
/// [`Kind::Refused`] where the state is still the one that a rollback left, and the configuration the one that was rolled
/// back: it is not HEAD's.
pub(crate) fn not_rolled_back(context: &Context, stack: &Stack, head: &CommitId, live: Option<&State>) -> Result<()> {
    let Some(live) = live else { return Ok(()) };
    let newest = context.catalogue().list(LOOK_BACK)?;
    let releases = newest.items.iter();
    let Some((release, record)) = releases
        .filter(|release| !matches!(release.kind, ReleaseKind::Backup { .. }))
        .find_map(|release| Some((release, release.stack(&stack.name)?)))
    else {
        return Ok(());
    };
    let (ReleaseKind::Result { run }, Some(left)) = (&release.kind, &record.state) else {
        return Ok(());
    };
    let commit = release.commit_of(record);
    let runs = Runs::new(context.store.as_ref(), &context.project);
    let Some((run, _)) = runs.get(run)?.filter(|_| commit != head.as_str()) else {
        return Ok(());
    };
    let Some(part) = run.stacks.iter().find(|part| part.stack == stack.name) else {
        return Ok(());
    };
    if was_nothing_to_do(context, stack, &run, live)? {
        return Ok(());
    }
    let is_untouched = left.sha256 == live.sha256() || has_same_objects(&context.catalogue().state(left)?, live);
    if !is_untouched || !is_same_configuration(context, stack, head, &part.from_commit)? {
        return Ok(());
    }
    Err(EngineError::refused(format!(
        "stack {}: its state is what the rollback from {:.10} to {commit:.10} left (run {}), and nothing was applied since: as \
         a release of {} it would bring {commit:.10} back",
        stack.name,
        part.from_commit,
        run.id,
        head.short(),
    ))
    .hint(format!("what is deployed is kept already, as release {}", release.id))
    .hint(format!(
        "apply {} first, or check out what is deployed: git checkout {commit:.10}",
        head.short()
    )))
}

/// What a run left that was given up on the way is neither commit's.
///
/// # Errors
/// [`Kind::Refused`] where nothing was applied since, and the run had begun to change things.
pub(crate) fn not_given_up(context: &Context, stack: &Stack, live: Option<&State>) -> Result<()> {
    let Some(live) = live else { return Ok(()) };
    let runs = Runs::new(context.store.as_ref(), &context.project);
    let newest = runs
        .newest(RUNS_BACK)?
        .into_iter()
        .find(|run| run.is_about(&stack.name));
    let Some(run) = newest.filter(|run| run.status == Status::Aborted) else {
        return Ok(());
    };
    let journal = Journal::open(context.store.as_ref(), &context.project, &run.id)?;
    let is_left = journal.entries().iter().any(|entry| match &entry.event {
        Event::Aborted { left, .. } => left.get(&stack.name) == Some(&live.sha256()),
        _ => false,
    });
    if !is_left || was_nothing_to_do(context, stack, &run, live)? {
        return Ok(());
    }
    Err(EngineError::refused(format!(
        "stack {}: its state is what run {} left, which was given up on the way to {:.10}, and nothing was applied since: it \
         is neither commit's",
        stack.name, run.id, run.commit
    ))
    .hint("apply HEAD first, or go back to a whole release: infra-rollback to REV"))
}

/// Whether a run left what was there before it.
fn was_nothing_to_do(context: &Context, stack: &Stack, run: &Run, live: &State) -> Result<bool> {
    let Some(backup) = run.backup.as_ref().and_then(|id| id.parse::<ReleaseId>().ok()) else {
        return Ok(true);
    };
    let backup = context.catalogue().get(&backup)?;
    let before = backup.stack(&stack.name).and_then(|record| record.state.as_ref());
    Ok(match before {
        Some(before) => has_same_objects(&context.catalogue().state(before)?, live),
        None => false,
    })
}

/// Whether nothing but the serial tells two states apart.
fn has_same_objects(left: &State, right: &State) -> bool {
    left.instances().len() == right.instances().len()
        && left.instances().zip(right.instances()).all(|(one, other)| {
            one.id() == other.id()
                && one.tainted() == other.tainted()
                && one.attributes_raw(left) == other.attributes_raw(right)
        })
}

/// Whether a stack's configuration is the same to the byte in two commits.
fn is_same_configuration(context: &Context, stack: &Stack, head: &CommitId, other: &str) -> Result<bool> {
    if head.as_str() == other {
        return Ok(true);
    }
    let files = |commit: &CommitId| -> Result<_> {
        let tree = context.repository.tree(commit)?;
        let dir = dir_at(&context.repository, commit, &stack.name, &[&stack.dir])?.unwrap_or_else(|| stack.dir.clone());
        let configuration = load(&tree, &dir, None)?;
        let mut files = module_files(&tree, &configuration, &mut Vec::new())?;
        files.retain(|path, _| {
            configuration.files.contains(path) || path.ends_with(".tfvars") || path.ends_with(".tfvars.json")
        });
        Ok((dir, files))
    };
    let other = context.commit_of_record(other)?;
    // What cannot be read says nothing.
    Ok(matches!((files(head), files(&other)), (Ok(head), Ok(other)) if head == other))
}

/// What a run left halfway is neither commit's.
///
/// # Errors
/// [`Kind::Locked`]: such a run has to be finished, undone or given up first.
pub(crate) fn nothing_halfway(context: &Context, stack: &Stack) -> Result<()> {
    let runs = Runs::new(context.store.as_ref(), &context.project);
    let mut unfinished = runs.unfinished()?.into_iter();
    match unfinished.find(|(run, _)| run.is_about(&stack.name)) {
        None => Ok(()),
        Some((run, _)) => Err(stopped_halfway(&runs, &format!("stack {}", stack.name), &run)),
    }
}
