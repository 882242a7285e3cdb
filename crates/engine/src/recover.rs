//! After a crash: is Terraform still running, did it leave a state behind, was our own write of the state cut off? The
//! journal says what may have happened, the world is asked what did.

use std::path::Path;
use std::time::Duration;

use rollback_release::BlobId;
use rollback_state::State;
use rollback_terraform::{Folder, FolderOptions, LocalState, LoggedEnd, Recovered, recover_errored_state};
use sha2::{Digest, Sha256};

use crate::context::{Context, Stack};
use crate::error::{EngineError, Kind, Result};
use crate::journal::{Event, Journal};
use crate::live::Live;
use crate::observe::Stage;
use crate::prepare::Prepared;
use crate::terraform_error;
use crate::writing::{self, Reading};

/// Looks at what a crash left of a stack, and mends what is ours.
///
/// # Errors
/// A state that a person has to look at.
pub fn stack(context: &Context, stack: &Stack, journal: &mut Journal<'_>) -> Result<()> {
    if let Some(child) = journal.open_child(&stack.name).cloned() {
        if let Some(machine) = journal
            .machine_of_open_child(&stack.name)
            .filter(|machine| !machine.is_this())
        {
            return Err(EngineError::new(
                Kind::Locked,
                format!(
                    "stack {}: terraform (process {}) was started on {} and nobody saw it end; from here it cannot be seen \
                     whether it still works",
                    stack.name, child.pid, machine.host
                ),
            )
            .hint(format!("resume or abort the run on {}", machine.host))
            .hint("or make sure that it is dead and say so: --holder-is-dead REASON; it goes on record"));
        }
        if child.is_alive() {
            context.observer.stage(&stack.name, Stage::WaitingForTerraform);
            context.observer.warning(&format!(
                "terraform (process {}), which an earlier attempt started, still works on stack {}: waiting for it",
                child.pid, stack.name
            ));
            while !child.wait(Duration::from_secs(3600), Duration::from_millis(100)) {}
        }
        let outcome = child.outcome_from_log().map_err(terraform_error);
        let (succeeded, summary) = match &outcome {
            Ok(outcome) => (
                outcome.end == LoggedEnd::Complete,
                format!(
                    "{} done, {} failed, as its log tells",
                    outcome.summary.completed(),
                    outcome.summary.errored()
                ),
            ),
            Err(error) => (false, format!("its log cannot be read: {error}")),
        };
        journal.append(Event::Applied {
            stack: stack.name.clone(),
            succeeded,
            milliseconds: 0,
            summary,
        })?;
    }
    let touched = journal.apply_folder(&stack.name).is_some() || journal.last_state_write(&stack.name).is_some();
    if touched && let Some(path) = local_file(context, stack)?.filter(|path| path.exists()) {
        // Taking the lock and letting go of it clears away the note that a killed process left beside the state.
        drop(LocalState::lock(&path, "infra-rollback").map_err(terraform_error)?);
    }
    writing::settle(context, stack, journal)?;
    state_write(context, stack, journal)?;
    cut_off_by_terraform(context, stack, journal)?;
    if let Some(folder) = journal.apply_folder(&stack.name).map(str::to_owned) {
        errored_state(context, stack, Path::new(&folder), journal)?;
    }
    Ok(())
}

/// A write of the joined state that was not seen to end: redone where it was cut off.
fn state_write(context: &Context, stack: &Stack, journal: &mut Journal<'_>) -> Result<()> {
    let Some((event, ended)) = journal.last_state_write(&stack.name) else {
        return Ok(());
    };
    let Event::StateWriteIntended {
        from_sha256,
        to_sha256,
        to_blob,
        ..
    } = event.clone()
    else {
        return Ok(());
    };
    if ended {
        return Ok(());
    }
    let Some(path) = local_file(context, stack)? else {
        // Settled with its lock, or a push: that is one request, it was done or not, and the new plan starts from either.
        return Ok(());
    };
    let lock = LocalState::lock(&path, "infra-rollback").map_err(terraform_error)?;
    let found = lock.read().map_err(terraform_error)?;
    let sha256 = hex::encode(Sha256::digest(&found));
    if sha256 == from_sha256 {
        return Ok(());
    }
    if sha256 != to_sha256 {
        if State::parse(found).is_ok() {
            // Whole, and neither ours nor the former one: somebody has written it since.
            return Ok(());
        }
        let id: BlobId = to_blob
            .parse()
            .map_err(|_| EngineError::failed(format!("{to_blob} is no blob")))?;
        let bytes = context.store.get_blob(&id)?;
        lock.write_in_place(&bytes).map_err(terraform_error)?;
        context.observer.warning(&format!(
            "stack {}: the state was cut off in the middle of a write; it is whole again",
            stack.name
        ));
    }
    drop(lock);
    journal.append(Event::StateWritten {
        stack: stack.name.clone(),
    })
}

/// A local state that a killed Terraform left cut off in the middle of a write: the copy that it made when it began, in
/// the private folder, or the joined state takes its place. What was done meanwhile the refresh of the next plan finds,
/// but for objects that were just made: those are named by Terraform's log.
fn cut_off_by_terraform(context: &Context, stack: &Stack, journal: &mut Journal<'_>) -> Result<()> {
    let (Some(folder), Some(path)) = (
        journal.apply_folder(&stack.name).map(str::to_owned),
        local_file(context, stack)?,
    ) else {
        return Ok(());
    };
    if !path.exists() {
        return Ok(());
    }
    let lock = LocalState::lock(&path, "infra-rollback").map_err(terraform_error)?;
    let found = lock.read().map_err(terraform_error)?;
    if State::parse(found.clone()).is_ok() {
        return Ok(());
    }
    let mut candidates: Vec<Vec<u8>> = Vec::new();
    for name in [rollback_terraform::errored::FILE_NAME, "terraform.tfstate.backup"] {
        candidates.extend(std::fs::read(Path::new(&folder).join(name)));
    }
    if let Some((Event::StateWriteIntended { to_blob, .. }, _)) = journal.last_state_write(&stack.name)
        && let Ok(id) = to_blob.parse::<BlobId>()
    {
        candidates.push(context.store.get_blob(&id)?);
    }
    let Some(whole) = candidates.into_iter().find(|bytes| State::parse(bytes.clone()).is_ok()) else {
        return Err(EngineError::new(
            Kind::Halfway,
            format!(
                "stack {}: the state at {} is cut off, and no copy of it was found",
                stack.name,
                path.display()
            ),
        )
        .hint("`infra-rollback state restore` brings a kept one back"));
    };
    let damaged = context.home.join("damaged");
    crate::folder::private_folder(&damaged)?;
    std::fs::write(
        damaged.join(format!("{}-{}.tfstate", stack.name, uuid::Uuid::now_v7())),
        &found,
    )?;
    lock.write_in_place(&whole).map_err(terraform_error)?;
    context.observer.warning(&format!(
        "stack {}: terraform was killed while it wrote the state; the copy from before is back, look out for objects that it \
         made last",
        stack.name
    ));
    Ok(())
}

/// The local state's file, without reading it: it may be cut off.
fn local_file(context: &Context, stack: &Stack) -> Result<Option<std::path::PathBuf>> {
    Live::locate(context, stack)
}

/// Stores a state that Terraform could not store.
///
/// # Errors
/// It belongs to another lineage, or cannot be stored now either.
pub fn errored_state(context: &Context, stack: &Stack, folder: &Path, journal: &mut Journal<'_>) -> Result<()> {
    let Some(errored) = recover_errored_state(folder).map_err(terraform_error)? else {
        return Ok(());
    };
    let halfway = |error: EngineError| {
        error
            .during(format!(
                "stack {}: terraform left {} and it could not be stored",
                stack.name,
                errored.path.display()
            ))
            .kind(Kind::Halfway)
            .hint("it is the only record of what was done: do not remove it; `resume` tries again")
    };
    // Its objects are kept first, whatever comes then.
    context
        .store
        .put_blob(&errored.bytes)
        .map_err(|error| halfway(error.into()))?;
    match local_file(context, stack).map_err(halfway)? {
        Some(path) => {
            let lock = LocalState::lock(&path, "infra-rollback").map_err(|error| halfway(terraform_error(error)))?;
            let found = lock.read().map_err(|error| halfway(terraform_error(error)))?;
            let current = State::parse(found).ok();
            if let Some(current) = &current {
                if current.lineage() != errored.header.lineage {
                    return Err(halfway(EngineError::failed(
                        "it is of another lineage than the live state",
                    )));
                }
                if current.serial() >= errored.header.serial {
                    if let Ok(left) = State::parse(errored.bytes.clone())
                        && !same_but_serial(current, &left)
                    {
                        context.observer.warning(&format!(
                            "stack {}: terraform left {} and the live state is newer: objects that only it names are managed by nobody; it is kept",
                            stack.name,
                            errored.path.display()
                        ));
                        return Ok(());
                    }
                    let _ = std::fs::rename(&errored.path, folder.join(rollback_terraform::errored::PUSHED_NAME));
                    return Ok(());
                }
            }
            lock.write_in_place(&errored.bytes)
                .map_err(|error| halfway(terraform_error(error)))?;
            std::fs::rename(&errored.path, folder.join(rollback_terraform::errored::PUSHED_NAME))?;
        }
        None => {
            let live = Live::read(context, stack).map_err(halfway)?;
            let options = FolderOptions {
                workspace: live.workspace_variable(),
                environment_extra: context.settings.terraform.environment.clone(),
                ..FolderOptions::default()
            };
            let folder = Folder::new(&context.terraform, folder, options);
            match folder
                .push_errored_state()
                .map_err(|error| halfway(terraform_error(error)))?
            {
                Recovered::Pushed { .. } => {}
                _ => return Ok(()),
            }
        }
    }
    journal.append(Event::ErroredStateRecovered {
        stack: stack.name.clone(),
        sha256: errored.sha256,
    })
}

/// Puts the former state back after the joined one was written and nothing else happened, under a newer serial: serials
/// only rise.
///
/// # Errors
/// Somebody else has written since, or it cannot be written: then the joined state stays.
pub fn take_back(context: &Context, prepared: &Prepared, journal: &mut Journal<'_>) -> Result<()> {
    let former = match prepared.live.state() {
        Some(state) => state.clone(),
        None => return Err(EngineError::failed("there was no state before")),
    };
    let joined = &prepared.joined.state;
    let written = writing::replace(
        context,
        &prepared.stack,
        &prepared.live,
        Reading::Checked,
        journal,
        |found| {
            let now = State::parse(found.to_vec())?;
            if !same_but_serial(&now, joined) {
                return Err(EngineError::failed(
                    "somebody has written the state since: it is left as it is",
                ));
            }
            let mut editor = former.edit();
            editor.set_serial(now.serial().max(joined.serial()) + 1);
            Ok(Some(editor.finish()?))
        },
    )?;
    debug_assert!(written, "there was something to put back");
    Ok(())
}

/// Whether two states say the same; a backend may write the text anew and raise the serial by itself.
fn same_but_serial(a: &State, b: &State) -> bool {
    let content = |state: &State| {
        let mut value: serde_json::Value = serde_json::from_slice(state.bytes()).unwrap_or_default();
        if let Some(map) = value.as_object_mut() {
            map.remove("serial");
            // Fields that Terraform leaves out or writes as null at will.
            map.retain(|_, value| !value.is_null());
        }
        value
    };
    content(a) == content(b)
}
