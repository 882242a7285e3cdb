//! Objects at whose address an `import` block stands, though Terraform itself made them: the imported one was replaced since, or
//! the block was written when the object was there already. They are not let go but destroyed, as everything that was
//! made since the target.
//!
//! An id in an `import` block has a format of its own (`CLUSTER/SERVICE`, `subnet-…/rtb-…`), and names change in place. So
//! only what proves it counts: ids that are made up at random, and the releases in between, which saw the object first.
//! Without a proof it is let go: an orphan costs money, a destroyed object that somebody had made by hand costs more.

use rollback_inverse::{InversePlan, TakenIn, is_imported_on, is_unique_id};
use rollback_release::{Release, StackRecord};
use rollback_state::{Address, InstanceId, State};

use crate::context::{Context, Stack};
use crate::error::Result;
use crate::history::{self, End};
use crate::target::Target;

/// How many of the releases since the target are looked at.
const MOST: usize = 50;

/// Where it goes back to.
pub(crate) struct Goal<'a> {
    pub target: &'a Target,
    pub end: End<'a>,
}

/// Those of a plan that Terraform made.
///
/// # Errors
/// The store cannot be read.
pub(crate) fn made_by_terraform(
    context: &Context,
    stack: &Stack,
    goal: &Goal<'_>,
    plan: &InversePlan,
    current: &State,
) -> Result<Vec<InstanceId>> {
    let taken_in: Vec<(&InstanceId, &TakenIn)> = plan
        .changes
        .iter()
        .filter_map(|change| Some((change.from.as_ref()?, change.taken_in.as_ref()?)))
        .collect();
    let mut made = Vec::new();
    let mut open = Vec::new();
    for (object, block) in taken_in {
        match is_another(current, object, block) {
            true => made.push(object.clone()),
            false => open.push(object),
        }
    }
    if !open.is_empty() {
        made.extend(seen_without_import(context, stack, goal, open, current)?);
    }
    Ok(made)
}

/// Whether the block names ids that were made up at random, and the object has none of them.
fn is_another(current: &State, object: &InstanceId, block: &TakenIn) -> bool {
    let (Some(id), Some(instance)) = (&block.id, current.instance(object)) else {
        return false;
    };
    let attributes = serde_json::Value::Object(instance.attributes(current)).to_string();
    let separators = |letter: char| !(letter.is_ascii_alphanumeric() || letter == '-');
    let mut unique = id.split(separators).filter(|part| is_unique_id(part)).peekable();
    unique.peek().is_some() && unique.all(|part| !attributes.contains(part))
}

/// Those that the first release which had them tells of: it had another object at the address, or no `import` block had
/// taken in what it had.
fn seen_without_import(
    context: &Context,
    stack: &Stack,
    goal: &Goal<'_>,
    mut open: Vec<&InstanceId>,
    current: &State,
) -> Result<Vec<InstanceId>> {
    let Some((release, _)) = goal.target.release_of(&stack.name) else {
        return Ok(Vec::new());
    };
    let catalogue = context.catalogue();
    let since: Vec<_> = catalogue
        .summaries(usize::MAX)?
        .into_iter()
        .filter(|summary| summary.created_at > release.created_at)
        .collect();
    let mut made = Vec::new();
    for summary in since.into_iter().rev().take(MOST) {
        if open.is_empty() {
            break;
        }
        let release = catalogue.get(&summary.id)?;
        let Some(record) = release.stack(&stack.name) else {
            continue;
        };
        let Some(state) = record.state.as_ref().map(|state| catalogue.state(state)).transpose()? else {
            continue;
        };
        let mut rest = Vec::new();
        for object in open {
            let now = current
                .instance(object)
                .and_then(|instance| instance.identifier(current));
            // `terraform state mv` may have given it another address since.
            let same = now.as_ref().and_then(|now| {
                let resource = &object.address.resource;
                state.instances().find(|instance| {
                    let here = &instance.address().resource;
                    (here.mode, &here.kind) == (resource.mode, &resource.kind)
                        && instance.identifier(&state).as_ref() == Some(now)
                })
            });
            let Some(first) = same.or_else(|| state.instance(object)) else {
                rest.push(object);
                continue;
            };
            let seen = Seen {
                release: &release,
                record,
                address: first.address(),
                identifier: first.identifier(&state),
            };
            // A name can be changed in place, and never becomes an id that was made up.
            let is_other =
                matches!((&seen.identifier, now), (Some(first), Some(now)) if *first != now && is_unique_id(&now));
            if is_other || seen.was_there_before(context, stack, goal)? {
                made.push(object.clone());
            }
        }
        open = rest;
    }
    Ok(made)
}

/// An object in the first release that has it.
struct Seen<'a> {
    release: &'a Release,
    record: &'a StackRecord,
    address: &'a Address,
    identifier: Option<String>,
}

impl Seen<'_> {
    /// Whether no `import` block on the way from the target to the release took it in.
    fn was_there_before(&self, context: &Context, stack: &Stack, goal: &Goal<'_>) -> Result<bool> {
        let Seen { release, record, .. } = self;
        let commit = context.commit_of_record(release.commit_of(record))?;
        let store = context.store.as_ref();
        let configuration = history::configuration_at(&context.repository, store, &commit, &record.dir, Some(record))?;
        let from = End {
            commit: &commit,
            dir: &record.dir,
            configuration: &configuration,
        };
        let between = history::between(
            &context.repository,
            store,
            &stack.name,
            &from,
            &goal.end,
            &mut Vec::new(),
        )?;
        let way = history::steps(&configuration, &between, goal.end.configuration);
        Ok(between.is_known && !is_imported_on(&way, self.address, self.identifier.as_deref()))
    }
}
