//! Terraform's own plan of a way back, in a private folder; beside it, the providers are asked for objects that a state lost.

use std::path::Path;

use rollback_config::FileTree;
use rollback_inverse::Elsewhere;
use rollback_terraform::{Plan, SealedPlan};

use super::way::{Arranged, Way};
use crate::collect::in_dir;
use crate::context::Context;
use crate::deployed::Deployed;
use crate::error::{EngineError, Result};
use crate::folder::{self, WorkFolder};
use crate::observe::Stage;
use crate::probe;

pub(super) struct Planned {
    pub work: WorkFolder,
    /// The very bytes that the plan was read from.
    pub sealed: SealedPlan,
    pub plan: Plan,
    /// A line for each `import` block that was left out.
    pub left_out: Vec<String>,
}

/// Has Terraform plan what is arranged. An object that its provider still knows is arranged anew, to be taken in again.
///
/// # Errors
/// Terraform cannot plan it.
pub(super) fn plan(
    way: &Way<'_>,
    root: &Path,
    mut elsewhere: Elsewhere,
    arranged: &mut Arranged,
    warnings: &mut Vec<String>,
) -> Result<Planned> {
    let target = way.input.target;
    let candidates = probe::candidates(&arranged.inverse, target);
    if candidates.is_empty() {
        return way.plan(root, arranged);
    }
    let all_there = way.arrange(way.invert(&probe::all_there(&elsewhere, &candidates))?)?;
    let asking = way.folder(&root.join("probe"), &all_there)?;
    let (made, found) = std::thread::scope(|scope| {
        let asking = scope.spawn(|| probe::ask(&asking, &candidates));
        let made = way.plan(root, arranged);
        let found = asking.join();
        (made, found.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    let found = match found {
        Ok(found) => found,
        Err(error) => {
            warnings.push(format!(
                "whether these still exist could not be found out: {}: {error}",
                candidates.keys().cloned().collect::<Vec<_>>().join(", ")
            ));
            return made;
        }
    };
    let (found, in_the_way) = probe::told_apart(found, &candidates, target);
    warnings.extend(in_the_way.iter().map(|address| {
        format!(
            "{address}: something with its id is there already, so that terraform will most likely not be able to make it. \
             If it is the object of then, which the state lost, `terraform import` it first"
        )
    }));
    if found.is_empty() {
        return made;
    }
    for address in &found {
        elsewhere.found(candidates[address].clone());
    }
    *arranged = way.arrange(way.invert(&elsewhere)?)?;
    // Another folder: the first one's state is not the one to plan over.
    way.plan(&root.join("found"), arranged)
}

impl Way<'_> {
    fn folder(&self, root: &Path, arranged: &Arranged) -> Result<WorkFolder> {
        let Way { context, goal, .. } = self;
        let stack = self.request.stack;
        context.observer.stage(&stack.name, Stage::PreparingFolder);
        let mut keep_provider = arranged.carried.providers.clone();
        keep_provider.extend(goal.providers_too_new(&arranged.joined));
        folder::make(
            context,
            &folder::Recipe {
                stack,
                target: self.request.target,
                whole: self.request.targets.is_empty(),
                root,
                commit: self.commit,
                dir: &goal.dir,
                record: goal.record(),
                configuration: &goal.configuration,
                carried: &arranged.carried,
                deployed_lock: lock_of(context, self.deployed)?,
                keep_providers: &keep_provider,
                live: self.live,
                joined: &arranged.joined,
            },
        )
    }

    fn plan(&self, root: &Path, arranged: &Arranged) -> Result<Planned> {
        let work = self.folder(root, arranged)?;
        let stack = self.request.stack;
        self.context.observer.stage(&stack.name, Stage::Planning);
        let (sealed, plan, left_out) =
            work.plan_without_empty_imports(self.context, stack, self.request.targets, &self.goal.configuration)?;
        if plan.errored {
            return Err(EngineError::failed("terraform's plan is not whole"));
        }
        Ok(Planned {
            work,
            sealed,
            plan,
            left_out,
        })
    }
}

fn lock_of(context: &Context, deployed: &Deployed) -> Result<Option<Vec<u8>>> {
    // The release has what Terraform worked with, which may be newer than what the commit says.
    if let Some(blob) = deployed.record().and_then(|record| record.lock_file) {
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
