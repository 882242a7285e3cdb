//! One stack's way back, prepared without touching anything live: the inverse plan, the joined state on a private copy,
//! Terraform's real plan over it, and the two reconciled.

mod ends;
mod envelope;
mod goal;
mod judged;
mod lineage;
mod planned;
mod way;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use rollback_config::FileTree;
use rollback_inverse::redact::Redactor;
use rollback_inverse::{Elsewhere, Input, InversePlan, Joined};
use rollback_policy::Evaluation;
use rollback_repository::CommitId;
use rollback_state::State;
use rollback_terraform::{Plan, SealedPlan};

use self::planned::Planned;
use self::way::Way;
use crate::assigned::Values;
use crate::awaited::Awaited;
use crate::closure;
use crate::context::{Context, Stack};
use crate::deployed;
use crate::envelope::Envelope;
use crate::error::Result;
use crate::folder::WorkFolder;
use crate::history::{self, End};
use crate::imported;
use crate::live::Live;
use crate::observe::Stage;
use crate::others;
use crate::policy::{Ends, Gate};
use crate::reconcile::Reconciled;
use crate::secrets;
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
    pub awaited: Option<Awaited>,
    /// The root module's variables, of what is deployed and of the target.
    pub declares: BTreeSet<String>,
    /// The `-target` addresses of this stack; empty for all of it.
    pub targets: Vec<String>,
}

/// What becomes of a stack.
pub enum Prospect {
    /// The target does not have it.
    Absent,
    /// None of the objects that were named are in it.
    NotNamed,
    Prepared(Box<Prepared>),
}

impl Prospect {
    pub fn prepared(self) -> Option<Prepared> {
        match self {
            Prospect::Prepared(prepared) => Some(*prepared),
            Prospect::Absent | Prospect::NotNamed => None,
        }
    }
}

/// Prepares a stack.
///
/// # Errors
/// Anything that makes the way back unknown or impossible; nothing has changed then.
pub fn prepare(context: &Context, request: &Request<'_>) -> Result<Prospect> {
    let stack = request.stack;
    let others: Vec<&str> = context.stacks.iter().map(|stack| stack.name.as_str()).collect();
    let Some(targets) = closure::of_stack(request.targets, &stack.name, &others) else {
        return Ok(Prospect::NotNamed);
    };
    let request = &Request {
        targets: &targets,
        ..*request
    };
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
    let Some(goal) = goal::goal(context, stack, request.target, &commit, &deployed, &live, &mut warnings)? else {
        return Ok(Prospect::Absent);
    };
    warnings.extend(lineage::check(stack, &live, goal.state.as_ref())?);
    let target_end = End {
        commit: &commit,
        dir: &goal.dir,
        configuration: &goal.configuration,
    };
    let between = history::between(
        &context.repository,
        context.store.as_ref(),
        &stack.name,
        &End {
            commit: &deployed.commit,
            dir: &deployed.dir,
            configuration: &deployed.configuration,
        },
        &target_end,
        &mut warnings,
    )?;
    let secrets = secrets::of_variables(
        context,
        &[&deployed.configuration, &goal.configuration],
        &[deployed.record(), goal.record()],
    );
    let deployed_tree = context.repository.tree(&deployed.commit).ok();
    let deployed_tree = deployed_tree.as_ref().map(|tree| tree as &dyn FileTree);
    let goal_tree = context.repository.tree(&commit).ok();
    let goal_tree = goal_tree.as_ref().map(|tree| tree as &dyn FileTree);
    let way = Way {
        context,
        request,
        commit: &commit,
        goal: &goal,
        goal_tree,
        goal_values: Values::new(context, stack, goal_tree, &goal.dir, goal.record()),
        deployed: &deployed,
        deployed_tree,
        deployed_values: Values::new(context, stack, deployed_tree, &deployed.dir, deployed.record()),
        live: &live,
        input: Input {
            current: &current,
            target: goal.state.as_ref(),
            current_config: Some(&deployed.configuration),
            target_config: Some(&goal.configuration),
            history: &history::steps(&deployed.configuration, &between, &goal.configuration),
            knowledge: &context.knowledge,
            secrets: &secrets,
        },
    };
    let (inverse, elsewhere) = inverse(&way, target_end)?;
    if !targets.is_empty() && !targets.iter().any(|named| closure::has(&inverse, named)) {
        return Ok(Prospect::NotNamed);
    }
    let redactor = Arc::new(Redactor::new(
        std::iter::once(&current).chain(&goal.state),
        secrets.iter().map(String::as_str),
        &context.knowledge,
    ));
    // Whatever is said from here on, errors of terraform among it, is said without what these states hold secret.
    context.secrets.hide(Arc::clone(&redactor));
    let mut arranged = way.arrange(inverse)?;
    let ends = ends::ends(&way, &arranged.joined)?;
    if let Some((gate, overrides)) = request.gate {
        gate.before_terraform(&ends.risks, overrides)?;
    }
    let planned = match request.folder {
        Some(root) => Some(planned::plan(&way, root, elsewhere, &mut arranged, &mut warnings)?),
        None => None,
    };
    warnings.extend(arranged.carried.notes.iter().cloned());
    warnings.extend(planned.iter().flat_map(|planned| planned.left_out.iter().cloned()));
    let plan = planned.as_ref().map(|planned| &planned.plan);
    let (mut reconciled, awaited) = judged::judge(&way, &arranged, plan, &redactor, between.is_known);
    reconciled.warnings.splice(0..0, warnings);
    let envelope = envelope::of(&way, &arranged.inverse, planned.as_ref(), &reconciled);
    let declares = [&deployed.configuration, &goal.configuration]
        .into_iter()
        .filter_map(|configuration| configuration.root())
        .flat_map(|root| root.variables.keys().cloned())
        .collect();
    let (work, sealed, plan) = match planned {
        Some(Planned { work, sealed, plan, .. }) => (Some(work), Some(sealed), Some(plan)),
        None => (None, None, None),
    };
    Ok(Prospect::Prepared(Box::new(Prepared {
        stack: stack.name.clone(),
        inverse: arranged.inverse,
        joined: arranged.joined,
        dir: goal.dir,
        release: goal.record.map(|(id, _)| id),
        deployed: deployed.commit,
        live,
        sealed,
        work,
        plan,
        reconciled,
        redactor,
        envelope,
        ends,
        evaluation: None,
        awaited,
        declares,
        targets: targets.clone(),
    })))
}

/// The inverse plan, beside what other stacks have and what Terraform itself made; a provider may tell more.
fn inverse(way: &Way<'_>, target: End<'_>) -> Result<(InversePlan, Elsewhere)> {
    let Way { context, request, .. } = way;
    let mut elsewhere = Elsewhere::default();
    let mut inverse = way.invert(&elsewhere)?;
    if others::matter(context, &inverse) {
        others::look(context, &request.stack.name, request.target, &mut elsewhere)?;
        inverse = way.invert(&elsewhere)?;
    }
    let goal = imported::Goal {
        target: request.target,
        end: target,
    };
    let made = imported::made_by_terraform(context, request.stack, &goal, &inverse, way.input.current)?;
    if !made.is_empty() {
        made.into_iter().for_each(|object| elsewhere.made(object));
        inverse = way.invert(&elsewhere)?;
    }
    Ok((inverse, elsewhere))
}
