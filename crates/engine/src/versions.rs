//! The auditor's questions: every state that is kept, the state at a time, who changed what last; and making an old
//! state the current one.

use jiff::Timestamp;
use rollback_inverse::{Fate, Input, compute};
use rollback_release::{Release, ReleaseId, StateRecord, StateVersion};
use rollback_state::{InstanceId, State};
use rollback_terraform::{Folder, FolderOptions, InitOptions, LocalState};
use serde::Serialize;
use uuid::Uuid;

use crate::context::{Context, Stack};
use crate::error::{EngineError, Result};
use crate::folder::private_folder;
use crate::live::{self, Live};
use crate::target::Target;
use crate::terraform_error;

/// The one stack that a question about states is about.
///
/// # Errors
/// There are several and none was named.
pub fn the_stack(context: &Context) -> Result<&Stack> {
    match context.stacks.as_slice() {
        [one] => Ok(one),
        several => {
            let names: Vec<&str> = several.iter().map(|stack| stack.name.as_str()).collect();
            Err(EngineError::usage("there are several stacks")
                .hint(format!("name one with --stack: {}", names.join(", "))))
        }
    }
}

/// A version by the sha256 of its bytes (or the beginning of it), by release, or by any revision that has one.
///
/// # Errors
/// There is none, or several.
pub fn find(context: &Context, stack: &Stack, text: &str) -> Result<StateVersion> {
    let versions = context.catalogue().state_versions(&stack.name)?.items;
    let lower = text.to_ascii_lowercase();
    if lower.len() >= 8 && lower.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let mut hits: Vec<&StateVersion> = versions
            .iter()
            .filter(|version| version.state.sha256.starts_with(&lower))
            .collect();
        hits.dedup_by(|a, b| a.state.sha256 == b.state.sha256);
        if let [one] = hits.as_slice() {
            let release = context.catalogue().get(&one.release)?;
            let state = release.stack(&stack.name).and_then(|record| record.state.clone());
            if let Some(state) = state.filter(|state| state.sha256 == one.state.sha256) {
                return Ok(StateVersion {
                    state,
                    ..(*one).clone()
                });
            }
        }
    }
    let release = match context.catalogue().find(text) {
        Ok(release) => release,
        Err(error) => {
            let target = Target::resolve(context, text).map_err(|_| EngineError::from(error))?;
            match target.release_of(&stack.name) {
                Some((release, _)) => release.clone(),
                None => {
                    return Err(
                        EngineError::failed(format!("no state of commit {} is kept", target.commit.short()))
                            .hint("`infra-rollback state versions` lists what is"),
                    );
                }
            }
        }
    };
    versions
        .into_iter()
        .find(|version| version.release == release.id)
        // The index found it; what it is, the release itself says.
        .and_then(|version| {
            let state = release.stack(&stack.name)?.state.clone()?;
            Some(StateVersion { state, ..version })
        })
        .ok_or_else(|| EngineError::failed(format!("release {} has no state of stack {}", release.id, stack.name)))
}

/// When an object or one of its attributes last changed, as far as releases tell.
#[derive(Debug, Serialize)]
pub struct Blame {
    pub release: String,
    pub commit: String,
    pub created_at: Timestamp,
    pub actor: String,
    /// `added`, `changed`, `moved` or `removed`.
    pub what: String,
    /// Attributes that differ from the release before.
    pub attributes: Vec<String>,
}

/// Every release in which the object (or the attribute) changed, newest first.
///
/// # Errors
/// The address cannot be read, or nothing is known of it.
pub fn blame(context: &Context, stack: &Stack, text: &str) -> Result<Vec<Blame>> {
    let (id, attribute) = parse_subject(text)?;
    let mut versions = context.catalogue().state_versions(&stack.name)?.items;
    versions.dedup_by(|a, b| a.state.sha256 == b.state.sha256);
    versions.reverse();
    let mut found = Vec::new();
    let mut before: Option<State> = None;
    for version in versions {
        let state = context.catalogue().state(&version.state)?;
        let (old, new) = (
            before
                .as_ref()
                .and_then(|state| state.instance(&id).map(|i| (state, i))),
            state.instance(&id),
        );
        let what = match (old, new) {
            (None, None) => None,
            (None, Some(_)) => Some(("added", Vec::new())),
            (Some(_), None) => Some(("removed", Vec::new())),
            (Some((old_state, old)), Some(new)) => {
                if old.attributes_raw(old_state) == new.attributes_raw(&state) {
                    None
                } else {
                    let (a, b) = (old.attributes(old_state), new.attributes(&state));
                    let mut names: Vec<String> = a
                        .keys()
                        .chain(b.keys())
                        .filter(|name| a.get(*name) != b.get(*name))
                        .cloned()
                        .collect();
                    names.sort();
                    names.dedup();
                    names.retain(|name| attribute.as_ref().is_none_or(|wanted| wanted == name));
                    (!names.is_empty()).then_some(("changed", names))
                }
            }
        };
        if let Some((what, attributes)) = what {
            found.push(Blame {
                release: version.release.to_string(),
                commit: version.commit,
                created_at: version.created_at,
                actor: version.actor,
                what: what.to_owned(),
                attributes,
            });
        }
        before = Some(state);
    }
    if found.is_empty() {
        return Err(EngineError::failed(format!("no kept state has {text}"))
            .hint("write the address as `terraform state list` does, quotes and all"));
    }
    found.reverse();
    Ok(found)
}

/// `aws_instance.web["a"].tags`: an address, and what comes after it.
fn parse_subject(text: &str) -> Result<(InstanceId, Option<String>)> {
    if let Ok(address) = text.parse() {
        return Ok((InstanceId { address, deposed: None }, None));
    }
    if let Some((address, attribute)) = text.rsplit_once('.')
        && let Ok(address) = address.parse()
    {
        return Ok((InstanceId { address, deposed: None }, Some(attribute.to_owned())));
    }
    Err(EngineError::usage(format!("{text:?} is no address"))
        .hint("for example aws_db_instance.main, or aws_db_instance.main.engine_version"))
}

/// What making an old state the current one would mean.
#[derive(Debug, Serialize)]
pub struct RestoreReport {
    pub stack: String,
    pub version: String,
    pub sha256: String,
    pub serial: u64,
    /// Live objects that the old state does not know: nobody would manage them any more.
    pub orphans: Vec<String>,
    /// Objects that the old state has and the live one does not: they may not exist.
    pub claims: Vec<String>,
    /// Objects that come back under another address.
    pub moved: Vec<String>,
    /// The live state cannot be read: what it held is not known.
    pub live_is_damaged: bool,
}

/// A restore, looked at and not done yet.
pub struct Restore {
    pub report: RestoreReport,
    live: Live,
    state: State,
}

/// Looks at what a restore would mean. Changes nothing.
///
/// # Errors
/// The version is not there, or is of another lineage.
pub fn prepare_restore(context: &Context, stack: &Stack, version: &StateVersion) -> Result<Restore> {
    let old = context.catalogue().state(&version.state)?;
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
    let mut serial = current.serial();
    for other in context.catalogue().state_versions(&stack.name)? {
        serial = serial.max(other.state.serial);
    }
    let mut editor = old.edit();
    editor.set_serial(serial + 1);
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
        stack: stack.name.clone(),
        version: version.release.to_string(),
        sha256: version.state.sha256.clone(),
        serial: serial + 1,
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
    Ok(Restore { report, live, state })
}

/// Makes the old state the current one, under Terraform's own lock. What was there is kept as a release first.
///
/// # Errors
/// Locked, changed meanwhile, or the backend refuses.
pub fn restore(context: &Context, stack: &Stack, restore: &Restore, reason: Option<&str>) -> Result<StateRecord> {
    let _locks = crate::guard::lock_for(context, &format!("restore-{}", Uuid::now_v7()))?;
    if let Some(state) = restore.live.state() {
        keep_before(context, stack, state, reason)?;
    }
    if let Some(bytes) = restore.live.damaged() {
        // No release can hold what is no state; nothing is thrown away all the same.
        let folder = context.home.join("damaged");
        private_folder(&folder)?;
        std::fs::write(folder.join(format!("{}-{}.tfstate", stack.name, Uuid::now_v7())), bytes)?;
    }
    match restore.live.file() {
        Some(path) => {
            let lock = LocalState::lock(&path, "infra-rollback").map_err(terraform_error)?;
            let found = lock.read().map_err(terraform_error)?;
            let looked_at = restore.live.state().map(State::bytes).or(restore.live.damaged());
            if found != looked_at.unwrap_or_default() {
                return Err(
                    EngineError::failed("somebody changed the live state meanwhile; nothing was changed")
                        .hint("run the command again"),
                );
            }
            lock.write_in_place(restore.state.bytes()).map_err(terraform_error)?;
        }
        None => {
            let folder = context.run_folder(&format!("restore-{}", Uuid::now_v7()));
            private_folder(&folder)?;
            let result = push(context, restore, &folder);
            let _ = std::fs::remove_dir_all(&folder);
            result?;
        }
    }
    live::keep(context, &stack.name, &restore.state)
}

fn push(context: &Context, restore: &Restore, path: &std::path::Path) -> Result<()> {
    restore.live.backend().write_override(path).map_err(terraform_error)?;
    let options = FolderOptions {
        workspace: restore.live.workspace_variable(),
        environment_extra: context.settings.terraform.environment.clone(),
        ..FolderOptions::default()
    };
    // An override needs something to override: the block alone, as its own file, says the same.
    std::fs::rename(
        path.join(rollback_terraform::OVERRIDE_FILE),
        path.join("backend.tf.json"),
    )?;
    let folder = Folder::new(&context.terraform, path, options);
    folder
        .init(&InitOptions {
            reconfigure: true,
            ..InitOptions::default()
        })
        .map_err(terraform_error)?;
    let file = path.join("push.tfstate");
    std::fs::write(&file, restore.state.bytes())?;
    folder.state_push(&file, false).map_err(terraform_error)
}

/// What was there before a restore, as a release: `undo` by hand stays possible.
fn keep_before(context: &Context, stack: &Stack, state: &State, reason: Option<&str>) -> Result<ReleaseId> {
    let deployed = crate::deployed::find(context, stack, Some(state))?;
    let mut release = Release::new(deployed.commit.as_str(), context.actor.clone());
    release.kind = rollback_release::ReleaseKind::Backup {
        run: format!("restore-{}", Uuid::now_v7()),
    };
    release.reason = reason.map(str::to_owned);
    let mut record = deployed.release.map(|(_, record)| record).unwrap_or_default();
    record.name = stack.name.clone();
    record.dir = deployed.dir;
    record.state = Some(live::keep(context, &stack.name, state)?);
    release.stacks.push(record);
    context.catalogue().commit(&release)?;
    Ok(release.id)
}
