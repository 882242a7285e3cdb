//! One stack's way back, prepared without touching anything live: the inverse plan, the joined state on a private copy,
//! Terraform's real plan over it, and the two reconciled.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use rollback_config::{Configuration, FileTree};
use rollback_inverse::redact::Redactor;
use rollback_inverse::{Elsewhere, Fate, Input, InversePlan, Joined, compute_beside, is_unique_id, join};
use rollback_policy::Evaluation;
use rollback_release::StackRecord;
use rollback_repository::CommitId;
use rollback_state::{Mode, State};
use rollback_terraform::{Plan, SealedPlan};
use sha2::{Digest, Sha256};

use crate::assigned::Values;
use crate::carry::{self, Carried};
use crate::closure;
use crate::collect::in_dir;
use crate::context::{Context, Stack};
use crate::deployed::{self, Deployed};
use crate::envelope::Envelope;
use crate::error::{EngineError, Result};
use crate::folder::{self, WorkFolder};
use crate::history::{self, End};
use crate::imported;
use crate::live::Live;
use crate::observe::Stage;
use crate::others;
use crate::own_path;
use crate::placed::{Placed, moved_providers};
use crate::policy::{self, Ends, Gate};
use crate::probe;
use crate::reconcile::{self, Guard, Reconciled, Refusal};
use crate::risk;
use crate::secrets;
use crate::serial;
use crate::target::Target;

/// What the caller wants of a stack.
pub struct Request<'a> {
    pub stack: &'a Stack,
    pub target: &'a Target,
    /// The commit that was deployed when the run began; found out where none is given.
    pub deployed: Option<&'a CommitId>,
    /// `-target` addresses.
    pub targets: &'a [String],
    /// The project's policy, and the rules of it that somebody overrides; none where it is not asked.
    pub gate: Option<(&'a Gate, &'a [String])>,
    /// Where the private folder is made; none to leave Terraform out of it.
    pub folder: Option<&'a Path>,
}

/// A stack, ready to be approved.
pub struct Prepared {
    pub stack: String,
    /// The root module's folder in the target's tree.
    pub dir: String,
    pub release: Option<String>,
    pub deployed: CommitId,
    pub live: Live,
    pub inverse: InversePlan,
    pub joined: Joined,
    /// The private folder that the plan was made in; none where Terraform was left out.
    pub work: Option<WorkFolder>,
    pub plan: Option<Plan>,
    /// The very bytes that the plan was read from, for terraform to apply.
    pub sealed: Option<SealedPlan>,
    pub reconciled: Reconciled,
    pub redactor: Arc<Redactor>,
    pub envelope: Envelope,
    /// What a policy is told of the two ends.
    pub ends: Ends,
    /// What the policy said; none where it was not asked, or not yet.
    pub evaluation: Option<Evaluation>,
}

/// What a target holds of one stack.
struct Goal {
    dir: String,
    record: Option<(String, StackRecord)>,
    state: Option<State>,
    configuration: Configuration,
}

/// Prepares a stack.
///
/// # Errors
/// Anything that makes the way back unknown or impossible; nothing has changed then. `Ok(None)` where the target does
/// not have the stack.
pub fn prepare(context: &Context, request: &Request<'_>) -> Result<Option<Prepared>> {
    let stack = request.stack;
    context.observer.stage(&stack.name, Stage::ReadingState);
    let live = Live::read(context, stack)?;
    let current = match live.state() {
        Some(state) => state.clone(),
        None => State::empty("1.5.0", ""),
    };
    context.observer.stage(&stack.name, Stage::ReadingHistory);
    let deployed = match request.deployed {
        Some(commit) => deployed::of_commit(context, stack, commit)?,
        None => deployed::find(context, stack, live.state())?,
    };
    let mut warnings = Vec::new();
    let commit = request.target.commit_of(context, &stack.name)?;
    let Some(goal) = goal(context, stack, request.target, &commit, &deployed, &mut warnings)? else {
        return Ok(None);
    };
    warnings.extend(check_lineage(stack, &live, goal.state.as_ref())?);
    if live.state().is_none()
        && goal
            .state
            .as_ref()
            .is_some_and(|state| state.instances().next().is_some())
    {
        return Err(EngineError::refused(format!(
            "stack {}: there is no live state at {}, though the release has one: terraform would make every object a second time",
            stack.name,
            live.location()
        ))
        .hint("if the state was lost, `infra-rollback state restore` brings a kept one back")
        .hint("if it moved, run `terraform init` in the stack's folder so that its backend is known"));
    }

    let between = history::between(
        &context.repository,
        context.store.as_ref(),
        &stack.name,
        &End {
            commit: &deployed.commit,
            dir: &deployed.dir,
            configuration: &deployed.configuration,
        },
        &End {
            commit: &commit,
            dir: &goal.dir,
            configuration: &goal.configuration,
        },
        &mut warnings,
    )?;
    let steps = history::steps(&deployed.configuration, &between, &goal.configuration);
    let records = [
        deployed.release.as_ref().map(|(_, record)| record),
        goal.record.as_ref().map(|(_, record)| record),
    ];
    let secrets = secrets::of_variables(context, &[&deployed.configuration, &goal.configuration], &records);
    let input = Input {
        current: &current,
        target: goal.state.as_ref(),
        current_config: Some(&deployed.configuration),
        target_config: Some(&goal.configuration),
        history: &steps,
        knowledge: &context.knowledge,
        secrets: &secrets,
    };
    let mut elsewhere = Elsewhere::default();
    let invert = |elsewhere: &Elsewhere| -> Result<InversePlan> {
        let mut inverse = compute_beside(&input, elsewhere);
        closure::restrict(&mut inverse, request.targets, &current, goal.state.as_ref())?;
        Ok(inverse)
    };
    let mut inverse = invert(&elsewhere)?;
    if others::matter(context, &inverse) {
        others::look(context, &stack.name, request.target, &mut elsewhere)?;
        inverse = invert(&elsewhere)?;
    }
    let back_to = imported::Goal {
        target: request.target,
        end: End {
            commit: &commit,
            dir: &goal.dir,
            configuration: &goal.configuration,
        },
    };
    let made = imported::made_by_terraform(context, stack, &back_to, &inverse, &current)?;
    if !made.is_empty() {
        made.into_iter().for_each(|object| elsewhere.made(object));
        inverse = invert(&elsewhere)?;
    }
    let states: Vec<&State> = std::iter::once(&current).chain(goal.state.as_ref()).collect();
    let redactor = Arc::new(Redactor::new(
        states,
        secrets.iter().map(String::as_str),
        &context.knowledge,
    ));
    // Whatever is said from here on, errors of terraform among it, is said without what these states hold secret.
    context.secrets.hide(Arc::clone(&redactor));
    let deployed_tree = context.repository.tree(&deployed.commit).ok();
    let goal_tree = context.repository.tree(&commit).ok();
    let deployed_values = Values::new(
        context,
        stack,
        deployed_tree.as_ref().map(|tree| tree as &dyn FileTree),
        &deployed.dir,
        deployed.release.as_ref().map(|(_, record)| record),
    );
    let arrange = |inverse: &InversePlan| -> Result<(Carried, Joined)> {
        let carried = carry::carry(
            &inverse.orphaned_providers,
            &deployed.configuration,
            &|name| deployed_values.value(name),
            &goal.configuration,
        )?;
        let serial = current.serial() + 1;
        let mut joined = join(&current, goal.state.as_ref(), inverse, serial, &carried.rewrites)?;
        if !joined.edited {
            // Nothing is written then, so that the plan must be of the very bytes that are live.
            joined.state = current.clone();
        } else if request.folder.is_some() {
            // Only what may be written is worth the look at everything that was ever written.
            let mut editor = joined.state.edit();
            editor.set_serial(serial::next(context, stack, &live)?);
            joined.state = editor.finish()?;
        }
        Ok((carried, joined))
    };
    let (mut carried, mut joined) = arrange(&inverse)?;

    let ends = ends(context, request, &commit, &goal, &deployed, &joined)?;
    if let Some((gate, overrides)) = request.gate {
        gate.before_terraform(&ends.risks, overrides)?;
    }
    let way = Way {
        context,
        request,
        commit: &commit,
        goal: &goal,
        deployed: &deployed,
        live: &live,
    };
    let (work, sealed, plan) = match request.folder {
        Some(root) => {
            let candidates = probe::candidates(&inverse, goal.state.as_ref());
            let asking = match candidates.is_empty() {
                true => None,
                false => {
                    let all_there = invert(&probe::all_there(&elsewhere, &candidates))?;
                    let (carried, joined) = arrange(&all_there)?;
                    Some(way.folder(&root.join("probe"), &joined, &carried)?)
                }
            };
            let (mut made, found) = std::thread::scope(|scope| {
                let asking = (asking.as_ref()).map(|work| scope.spawn(|| probe::ask(work, &candidates)));
                let made = way.plan(root, &joined, &carried);
                let found = asking.map(|asking| asking.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
                (made, found)
            });
            match found {
                Some(Ok(found)) => {
                    let (found, in_the_way) = probe::told_apart(found, &candidates, goal.state.as_ref());
                    warnings.extend(in_the_way.iter().map(|address| {
                        format!(
                            "{address}: something with its id is there already, so that terraform will most likely not be \
                             able to make it. If it is the object of then, which the state lost, `terraform import` it first"
                        )
                    }));
                    if !found.is_empty() {
                        for address in &found {
                            elsewhere.found(candidates[address].clone());
                        }
                        inverse = invert(&elsewhere)?;
                        (carried, joined) = arrange(&inverse)?;
                        // Another folder: the first one's state is not the one to plan over.
                        made = way.plan(&root.join("found"), &joined, &carried);
                    }
                }
                Some(Err(error)) if made.is_ok() => warnings.push(format!(
                    "whether {} still exist(s) could not be found out: {error}",
                    candidates.keys().cloned().collect::<Vec<_>>().join(", ")
                )),
                _ => {}
            }
            let (work, sealed, plan) = made?;
            (Some(work), Some(sealed), Some(plan))
        }
        None => (None, None, None),
    };
    warnings.extend(carried.notes.iter().cloned());
    let goal_values = Values::new(
        context,
        stack,
        goal_tree.as_ref().map(|tree| tree as &dyn FileTree),
        &goal.dir,
        goal.record.as_ref().map(|(_, record)| record),
    );
    let missing = goal_values.missing(&goal.configuration);
    let mut reconciled = reconcile::reconcile(&reconcile::Input {
        inverse: &inverse,
        knowledge: &context.knowledge,
        plan: plan.as_ref(),
        target: goal.state.as_ref(),
        target_config: Some(&goal.configuration),
        deployed_config: Some(&deployed.configuration),
        redactor: &redactor,
        targets: request.targets,
        missing: &missing,
    });
    reconciled.warnings.splice(0..0, warnings);
    reconciled.refusals.extend(moved_providers(
        &Placed {
            configuration: &deployed.configuration,
            values: &deployed_values,
            tree: deployed_tree.as_ref().map(|tree| tree as &dyn FileTree),
        },
        &Placed {
            configuration: &goal.configuration,
            values: &goal_values,
            tree: goal_tree.as_ref().map(|tree| tree as &dyn FileTree),
        },
        &current,
    ));
    if let (Some(plan), Some(folder)) = (&plan, request.folder) {
        reconciled.refusals.extend(own_path::refusals(plan, folder));
    }
    if !between.is_known {
        reconciled.refusals.extend(unknown_history(&inverse));
    }
    reconciled.refusals.extend(joined.unresolved.iter().map(|left| Refusal {
        guard: Guard::Surprise,
        address: left.address.to_string(),
        message: format!("it was let go since and may still exist: {}", left.why),
    }));
    let envelope = Envelope {
        stack: stack.name.clone(),
        plan_digest: plan.as_ref().map(Plan::digest).unwrap_or_default(),
        state_sha256: live.state().map(State::sha256).unwrap_or_default(),
        lineage: current.lineage().to_owned(),
        serial: current.serial(),
        target_commit: commit.to_string(),
        lock_file_sha256: work
            .as_ref()
            .and_then(WorkFolder::lock_file)
            .map(|bytes| hex::encode(Sha256::digest(bytes))),
        terraform_version: plan
            .as_ref()
            .map(|plan| plan.terraform_version.clone())
            .unwrap_or_default(),
        refactors: refactors(&inverse),
        policy: None,
        effects: effects(&reconciled, plan.as_ref()),
    };
    Ok(Some(Prepared {
        stack: stack.name.clone(),
        dir: goal.dir,
        release: goal.record.map(|(id, _)| id),
        deployed: deployed.commit,
        live,
        inverse,
        joined,
        sealed,
        work,
        plan,
        reconciled,
        redactor,
        envelope,
        ends,
        evaluation: None,
    }))
}

/// What was imported on the way may be destroyed where nobody can tell.
fn unknown_history(inverse: &InversePlan) -> Option<Refusal> {
    let destroyed = |change: &&rollback_inverse::Change| change.fate == Fate::Destroy;
    let addresses: Vec<String> = (inverse.effective().filter(destroyed))
        .map(|change| change.address().to_string())
        .collect();
    (!addresses.is_empty()).then(|| Refusal {
        guard: Guard::Surprise,
        address: "history".to_owned(),
        message: format!(
            "the commits on the way are not in this clone, so that nobody can tell whether an import block took in what would \
             be destroyed: {}. Fetch them (`git fetch --unshallow`)",
            addresses.join(", ")
        ),
    })
}

/// What a policy is told of what is deployed and of where it goes.
fn ends(
    context: &Context,
    request: &Request<'_>,
    commit: &CommitId,
    goal: &Goal,
    deployed: &Deployed,
    joined: &Joined,
) -> Result<Ends> {
    let release = request
        .target
        .release_of(&request.stack.name)
        .map(|(release, _)| release);
    let from = policy::End {
        commit: &deployed.commit,
        dir: &deployed.dir,
        release: deployed.release.as_ref().map(|(release, _)| release),
        record: deployed.release.as_ref().map(|(_, record)| record),
    };
    let to = policy::End {
        commit,
        dir: &goal.dir,
        release,
        record: goal.record.as_ref().map(|(_, record)| record),
    };
    let target_files = context.repository.tree(commit).ok();
    let deployed_files = context.repository.tree(&deployed.commit).ok();
    Ok(Ends {
        from: from.place(context),
        to: to.place(context),
        risks: risk::find(&risk::Sides {
            target: &goal.configuration,
            deployed: &deployed.configuration,
            target_files: target_files.as_ref().map(|tree| tree as &dyn FileTree),
            deployed_files: deployed_files.as_ref().map(|tree| tree as &dyn FileTree),
            target_record: to.record,
            target_state: goal.state.as_ref(),
            deployed_record: from.record,
            joined: &joined.state,
        }),
        providers: policy::providers(context, &from, &to, &too_new_for_target(joined, goal)),
        known_bad: policy::known_bad(context, commit.as_str(), release)?,
    })
}

/// What the target has of the stack; none where it did not exist then.
fn goal(
    context: &Context,
    stack: &Stack,
    target: &Target,
    commit: &CommitId,
    deployed: &Deployed,
    warnings: &mut Vec<String>,
) -> Result<Option<Goal>> {
    let store = context.store.as_ref();
    if let Some((release, record)) = target.release_of(&stack.name) {
        warnings.extend(inferred(release));
        let state = record
            .state
            .as_ref()
            .map(|state| context.catalogue().state(state))
            .transpose()?;
        let configuration = history::configuration_at(&context.repository, store, commit, &record.dir, Some(record))?;
        if !release.dirty.is_empty() {
            warnings.push(format!(
                "release {:.8} was taken with uncommitted changes, which a rollback does not have: {}",
                release.id.as_str(),
                release.dirty.join(", ")
            ));
        }
        return Ok(Some(Goal {
            dir: record.dir.clone(),
            record: Some((release.id.to_string(), record.clone())),
            state,
            configuration,
        }));
    }
    let known = [stack.dir.as_str(), deployed.dir.as_str()];
    let Some(dir) = history::dir_at(&context.repository, commit, &stack.name, &known)? else {
        return Ok(None);
    };
    let configuration = history::configuration_at(&context.repository, store, commit, &dir, None)?;
    warnings.push(format!(
        "there is no snapshot of commit {}: its configuration comes from Git and what it had is told by moved blocks alone, \
         so values given at that apply and objects moved by hand are not known",
        commit.short()
    ));
    Ok(Some(Goal {
        dir,
        record: None,
        state: None,
        configuration,
    }))
}

/// What a person has to know before going back to a release that was taken in from a history.
fn inferred(release: &rollback_release::Release) -> Option<String> {
    let import = release.import()?;
    let unknown = if import.unknown.is_empty() {
        String::new()
    } else {
        format!("; not known are: {}", import.unknown.join("; "))
    };
    Some(format!(
        "release {:.8} was imported from {}: its commit {}{unknown}",
        release.id.as_str(),
        import.source,
        import.commit_by
    ))
}

/// A state of another lineage is another stack's, or this one's that was made anew. But `terraform init -migrate-state` gives
/// a state that moves to another backend a new lineage, too (seen with 1.11): the objects tell.
fn check_lineage(stack: &Stack, live: &Live, target: Option<&State>) -> Result<Option<String>> {
    let (Some(live), Some(target)) = (live.state(), target) else {
        return Ok(None);
    };
    if !live.lineage().is_empty() && !target.lineage().is_empty() && live.lineage() != target.lineage() {
        if have_an_object_in_common(live, target) {
            return Ok(Some(format!(
                "the live state has lineage {} and the release has {}, and they have objects in common: the state was moved to \
                 another backend since",
                live.lineage(),
                target.lineage()
            )));
        }
        return Err(EngineError::refused(format!(
            "stack {}: the live state has lineage {} and the release has {}: the stack was created anew since, these are other objects",
            stack.name,
            live.lineage(),
            target.lineage()
        ))
        .hint("check the backend and the workspace of the stack; a release of another lineage cannot be gone back to"));
    }
    Ok(None)
}

/// Whether one object with an id that was made up is in both.
fn have_an_object_in_common(left: &State, right: &State) -> bool {
    let ids = |state: &State| -> BTreeSet<(String, String)> {
        let managed = state.instances().filter(|instance| instance.mode() == Mode::Managed);
        let named = managed.filter_map(|instance| {
            let id = instance.identifier(state).filter(|id| is_unique_id(id))?;
            Some((instance.address().resource.kind.clone(), id))
        });
        named.collect()
    };
    !ids(left).is_disjoint(&ids(right))
}

/// From what is deployed to the target, for the folders in which Terraform plans it.
struct Way<'a> {
    context: &'a Context,
    request: &'a Request<'a>,
    commit: &'a CommitId,
    goal: &'a Goal,
    deployed: &'a Deployed,
    live: &'a Live,
}

impl Way<'_> {
    fn folder(&self, root: &Path, joined: &Joined, carried: &Carried) -> Result<WorkFolder> {
        let Way { context, goal, .. } = self;
        let stack = self.request.stack;
        context.observer.stage(&stack.name, Stage::PreparingFolder);
        let mut keep_provider = carried.providers.clone();
        keep_provider.extend(too_new_for_target(joined, goal));
        folder::make(
            context,
            &folder::Recipe {
                stack,
                target: self.request.target,
                whole: self.request.targets.is_empty(),
                root,
                commit: self.commit,
                dir: &goal.dir,
                record: goal.record.as_ref().map(|(_, record)| record),
                configuration: &goal.configuration,
                carried,
                deployed_lock: lock_of(context, self.deployed)?,
                keep_providers: &keep_provider,
                live: self.live,
                joined,
            },
        )
    }

    fn plan(&self, root: &Path, joined: &Joined, carried: &Carried) -> Result<(WorkFolder, SealedPlan, Plan)> {
        let work = self.folder(root, joined, carried)?;
        let stack = self.request.stack;
        self.context.observer.stage(&stack.name, Stage::Planning);
        let (sealed, plan) = work.plan(self.context, stack, self.request.targets)?;
        if plan.errored {
            return Err(EngineError::failed("terraform's plan is not whole"));
        }
        Ok((work, sealed, plan))
    }
}

/// Providers of objects whose schema version is above anything the target's release had: its older provider cannot
/// read them, the deployed one can.
fn too_new_for_target(joined: &Joined, goal: &Goal) -> BTreeSet<String> {
    let Some((_, record)) = &goal.record else {
        return BTreeSet::new();
    };
    joined
        .state
        .instances()
        .filter(|instance| instance.mode() == Mode::Managed)
        .filter(|instance| {
            record
                .schema_versions
                .get(&instance.address().resource.kind)
                .is_some_and(|known| instance.schema_version() > *known)
        })
        .filter_map(|instance| {
            let (_, rest) = instance.provider().split_once("provider[\"")?;
            Some(rest.split_once("\"]")?.0.to_owned())
        })
        .collect()
}

fn lock_of(context: &Context, deployed: &Deployed) -> Result<Option<Vec<u8>>> {
    // The release has what Terraform worked with, which may be newer than what the commit says.
    if let Some(blob) = deployed.release.as_ref().and_then(|(_, record)| record.lock_file) {
        return Ok(Some(context.store.get_blob(&blob)?));
    }
    let path = in_dir(&deployed.dir, ".terraform.lock.hcl");
    if let Ok(tree) = context.repository.tree(&deployed.commit)
        && let Ok(Some(bytes)) = tree.read(&path)
    {
        return Ok(Some(bytes));
    }
    Ok(std::fs::read(context.root.join(&path)).ok())
}

/// What happens to each object, with a digest of what comes out of it.
fn effects(reconciled: &Reconciled, plan: Option<&Plan>) -> Vec<String> {
    reconciled
        .items
        .iter()
        .map(|item| {
            let real = plan.and_then(|plan| {
                let same = |real: &&rollback_terraform::ResourceChange| {
                    real.address == item.address && real.deposed == item.deposed
                };
                plan.resource_changes.iter().find(same)
            });
            let outcome = real.map(|real| (&real.change.actions, &real.change.after, &real.change.after_unknown));
            let digest = hex::encode(Sha256::digest(serde_json::to_vec(&outcome).unwrap_or_default()));
            format!("{} {} {digest:.16}", item.fate, item.address)
        })
        .collect()
}

/// What the joined state does by itself, in words that the approval signs.
fn refactors(inverse: &InversePlan) -> Vec<String> {
    inverse
        .effective()
        .filter(|change| change.is_moved() || matches!(change.fate, Fate::Forget | Fate::Adopt))
        .map(|change| {
            let from = change.from.as_ref().map(ToString::to_string).unwrap_or_default();
            let to = change.to.as_ref().map(ToString::to_string).unwrap_or_default();
            format!("{}: {from} -> {to}", change.fate)
        })
        .collect()
}
