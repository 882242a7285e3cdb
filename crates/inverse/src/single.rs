//! The fate of an object that only one of the two sides has.

use std::collections::{HashMap, HashSet};

use rollback_config::{Configuration, Declaration, Repetition};
use rollback_state::{Address, Instance, InstanceId, Key, Mode, ModulePath, ModuleStep};
use serde_json::{Map, Value};

use crate::context::Context;
use crate::history::{Trace, import_of};
use crate::matching::is_same_real_object;
use crate::plan::{Change, Fate, Identity, TakenIn};
use crate::rules;

const NO_STATE: &str = "No snapshot has its attributes at the target; Terraform's own plan tells what changes.";

/// What only the current state has.
pub(crate) fn added(
    context: &Context<'_>,
    added: &[&Instance],
    taken: &mut HashSet<Address>,
    kept: &[&Instance],
) -> Vec<Change> {
    let mut changes = Vec::with_capacity(added.len());
    let mut doomed = Vec::new();
    for instance in added {
        let trace = context.history.to_target(instance.address());
        let change = declared(context, instance, &trace, taken)
            .or_else(|| back_to_its_stack(context, instance))
            .or_else(|| let_go_again(context, instance, &trace));
        match change {
            Some(change) => changes.push(change),
            None => doomed.push(*instance),
        }
    }
    let twins = twins(context, &doomed, kept);
    changes.extend(doomed.into_iter().map(|instance| match twins.get(instance.id()) {
        Some(twin) => twin_of(context, instance, twin),
        None => context.destroy(instance, "It was added since."),
    }));
    changes
}

/// Objects that stay and are the same real ones as some that are to be destroyed, by the latter's ids.
fn twins<'i>(
    context: &Context<'_>,
    doomed: &[&'i Instance],
    kept: &[&'i Instance],
) -> HashMap<&'i InstanceId, &'i Instance> {
    let state = context.input.current;
    let kind = |instance: &'i Instance| instance.address().resource.kind.as_str();
    let mut by_identifier: HashMap<(&str, String), Vec<&Instance>> = HashMap::new();
    for instance in doomed {
        if let Some(id) = instance.identifier(state) {
            by_identifier.entry((kind(instance), id)).or_default().push(instance);
        }
    }
    let kinds: HashSet<&str> = by_identifier.keys().map(|(kind, _)| *kind).collect();
    let mut twins = HashMap::new();
    for instance in kept.iter().filter(|instance| kinds.contains(kind(instance))) {
        let same_id = instance
            .identifier(state)
            .and_then(|id| by_identifier.get(&(kind(instance), id)));
        for other in same_id.into_iter().flatten() {
            if is_same_real_object(state, other, instance) {
                twins.insert(other.id(), *instance);
            }
        }
    }
    twins
}

/// The target's configuration declares it although no state of the target has it.
fn declared(context: &Context<'_>, instance: &Instance, trace: &Trace, taken: &mut HashSet<Address>) -> Option<Change> {
    let configuration = context.input.target_config;
    let candidates = trace.address.iter().chain(std::iter::once(instance.address()));
    let Some(configuration) = configuration else {
        // Nothing at all is known of the target: nothing may be destroyed.
        context.input.target.is_none().then_some(())?;
        return Some(keep(
            instance,
            instance.address().clone(),
            "Nothing is known of the target.",
        ));
    };
    let to = candidates.map(|address| context.placed(address)).find(|address| {
        let declared = match configuration.declaration(address) {
            Declaration::Declared => true,
            Declaration::Absent => false,
            // Which keys there were only the target's state can tell.
            Declaration::Unknown => context.input.target.is_none(),
        };
        declared && address.resource.kind == instance.address().resource.kind && !taken.contains(address)
    })?;
    taken.insert(to.clone());
    let mut change = keep(instance, to, "The target's configuration declares it.");
    if let Some(previous) = change.previous_address().map(Address::to_string) {
        change.fate = Fate::Move;
        change.identity = Identity::Chain;
        change.reason = match &trace.moved {
            Some(at) => {
                format!("A moved block ({at}) renamed it to {previous} since; it goes back to the address that it had.")
            }
            None => format!(
                "It was {previous} since; it goes back to the address that the target's configuration declares."
            ),
        };
    }
    change.notes.push(match context.input.target {
        None => NO_STATE.to_string(),
        Some(_) => "The target's state does not have it; Terraform's own plan tells what changes.".to_string(),
    });
    if instance.tainted() {
        change.fate = Fate::Replace;
        change.record.tainted = true;
        change.reason = "It is marked tainted: Terraform makes it anew.".to_string();
        let kind = instance.address().resource.kind.as_str();
        let attributes = instance.attributes(context.input.current);
        rules::apply(
            context.input.knowledge,
            kind,
            &mut change,
            &[],
            &attributes,
            &Map::new(),
        );
        context.protect(&mut change, crate::Reversibility::DataLoss);
    }
    Some(change)
}

fn keep(instance: &Instance, to: Address, reason: &str) -> Change {
    let mut change = Change::new(Some(instance.id().clone()), Some(to), Fate::Keep, reason);
    change.identity = Identity::Address;
    change.provider = instance.provider().to_string();
    change
}

/// It existed before Terraform took it in, or the target lets go of it by its own block.
fn let_go_again(context: &Context<'_>, instance: &Instance, trace: &Trace) -> Option<Change> {
    let target = context.input.target_config;
    let end = trace.address.as_ref().unwrap_or(instance.address());
    let named = || {
        let identifier = instance.identifier(context.input.current)?;
        context
            .history
            .import_naming(&instance.address().resource.kind, &identifier)
    };
    let taken_in = trace
        .imported
        .as_ref()
        .or_else(named)
        .filter(|_| target.is_none_or(|target| import_of(target, end).is_none()))
        .filter(|_| !context.elsewhere.is_made(instance));
    let reason = match (taken_in, &trace.let_go) {
        (Some(import), _) => format!(
            "It existed before Terraform took it in ({}): it is let go, not destroyed.",
            import.at
        ),
        (_, Some(at)) => format!("A removed block ({at}) lets go of it: it is not destroyed."),
        _ => return None,
    };
    let mut change = forget(context, instance, reason);
    change.taken_in = taken_in.map(|import| TakenIn {
        id: import
            .id
            .as_ref()
            .and_then(|id| id.literal.as_ref()?.as_str().map(str::to_owned)),
    });
    Some(change)
}

/// Another stack had it at the target.
fn back_to_its_stack(context: &Context<'_>, instance: &Instance) -> Option<Change> {
    let stack = context.elsewhere.had_it(context.input.current, instance)?;
    let reason = format!("It came from stack {stack} since and goes back there: it is let go here, not destroyed.");
    let mut change = forget(context, instance, reason);
    change.notes.push(format!(
        "Where stack {stack} is not rolled back as well, nobody manages it afterwards."
    ));
    Some(change)
}

fn forget(context: &Context<'_>, instance: &Instance, reason: String) -> Change {
    let mut change = Change::new(Some(instance.id().clone()), None, Fate::Forget, reason);
    let kind = instance.address().resource.kind.as_str();
    change.provider = instance.provider().to_string();
    change.id = context.shown_id(instance);
    let attributes = Value::Object(instance.attributes(context.input.current));
    change.before = Some(
        context
            .redactor
            .mask_object(kind, &context.sensitive(Some(instance), None), &attributes),
    );
    change
}

fn twin_of(context: &Context<'_>, instance: &Instance, twin: &Instance) -> Change {
    let reason = format!(
        "It is the same object as {}, which stays: destroying one would destroy both.",
        twin.address()
    );
    forget(context, instance, reason)
}

/// What a replacement left behind.
pub(crate) fn deposed(context: &Context<'_>, instance: &Instance) -> Change {
    let reason = "It was left over when it was replaced and its destroy failed.";
    let mut change = context.destroy(instance, reason);
    change
        .notes
        .push("Terraform destroys it with the next apply that covers its resource, whichever the release.".to_string());
    change
}

/// What only the target's state has. None for what its configuration does not declare.
pub(crate) fn gone(context: &Context<'_>, instance: &Instance) -> Option<Change> {
    let to = context.placed(instance.address());
    let state = context.input.target?;
    if context
        .input
        .target_config
        .is_some_and(|target| target.declaration(&to) == Declaration::Absent)
    {
        return None;
    }
    let kind = to.resource.kind.as_str();
    let attributes = instance.attributes(state);
    let id = instance.identifier(state).and_then(|id| context.showable_id(kind, id));
    let trace = context.history.to_current(instance.address());
    let has_it = context
        .elsewhere
        .has_it(state, instance)
        .map(|stack| format!("Stack {stack} has it now: it comes back from there, and is taken in again."));
    let is_found = (context.elsewhere.is_found(instance))
        .then(|| "It still exists, though the state lost it: it is taken in again.".to_owned());
    let mut change = match has_it.or_else(|| let_go_since(&trace)).or(is_found) {
        Some(reason) => {
            let mut change = Change::new(None, Some(to.clone()), Fate::Adopt, reason);
            change.record.counterpart = Some(instance.id().clone());
            change.id = id;
            change
                .notes
                .push("If it was destroyed by hand since, Terraform makes a new one instead.".to_string());
            change
        }
        None => {
            let mut change = Change::new(
                None,
                Some(to.clone()),
                Fate::Create,
                "It was destroyed since and is made anew.",
            );
            change.record.counterpart = Some(instance.id().clone());
            change
        }
    };
    change.provider = instance.provider().to_string();
    rules::apply(
        context.input.knowledge,
        kind,
        &mut change,
        &[],
        &Map::new(),
        &attributes,
    );
    let tree = context.sensitive(None, Some(instance));
    change.after = Some(context.redactor.mask_object(kind, &tree, &Value::Object(attributes)));
    Some(change)
}

fn let_go_since(trace: &Trace) -> Option<String> {
    match (&trace.let_go, &trace.imported) {
        (Some(at), _) => Some(format!(
            "A removed block ({at}) let go of it since without destroying it: it is taken in again."
        )),
        (None, Some(import)) => Some(format!(
            "It exists without Terraform, which takes it in on the way to the target ({}).",
            import.at
        )),
        _ => None,
    }
}

/// What the target's configuration declares beyond the states: it will be created, or taken in where
/// a block let go of it.
pub(crate) fn undeployed(context: &Context<'_>, taken: &HashSet<Address>) -> Vec<Change> {
    let Some(configuration) = context.input.target_config else {
        return Vec::new();
    };
    let resources: HashSet<_> = taken.iter().map(|address| address.resource.config()).collect();
    let mut changes = Vec::new();
    for (module, resource) in configuration
        .resources()
        .filter(|(_, resource)| resource.mode == Mode::Managed)
    {
        let (modules, modules_known) = module_instances(configuration, &module.path);
        let (keys, keys_known) = keys_of(&resource.repetition);
        let known = modules_known && keys_known;
        for module in &modules {
            for key in &keys {
                let address = Address {
                    resource: rollback_state::ResourceAddress {
                        module: module.clone(),
                        mode: Mode::Managed,
                        kind: resource.kind.clone(),
                        name: resource.name.clone(),
                    },
                    key: key.clone(),
                };
                // With a state at hand it tells which instances there were where literals do not.
                let skip = match known {
                    true => taken.contains(&address),
                    false => context.input.target.is_some() || resources.contains(&address.resource.config()),
                };
                if !skip {
                    changes.push(declared_only(context, address, known));
                }
            }
        }
    }
    changes
}

fn declared_only(context: &Context<'_>, address: Address, known: bool) -> Change {
    let kind = address.resource.kind.clone();
    let trace = context.history.to_current(&address);
    let mut change = match let_go_since(&trace) {
        Some(reason) => {
            let mut change = Change::new(None, Some(address), Fate::Adopt, reason);
            let importable = context.input.knowledge.kind(&kind).is_none_or(|known| known.adopt);
            change.hint = Some(if importable {
                "No snapshot holds its id: import it by hand first, or Terraform makes a second one.".to_string()
            } else {
                "No snapshot holds its record and its provider cannot import it: Terraform makes a second one."
                    .to_string()
            });
            change
        }
        None => Change::new(
            None,
            Some(address),
            Fate::Create,
            "The target's configuration declares it and it does not exist now.",
        ),
    };
    change.notes.push(match context.input.target {
        None => NO_STATE.to_string(),
        Some(_) => "The target's state does not have it either: it was declared there and never made.".to_string(),
    });
    if !known {
        change
            .notes
            .push("How many instances there are depends on values that are not literal.".to_string());
    }
    rules::apply(
        context.input.knowledge,
        &kind,
        &mut change,
        &[],
        &Map::new(),
        &Map::new(),
    );
    change
}

/// The instances of a module as far as literals tell, and whether they do; else its path without keys.
fn module_instances(configuration: &Configuration, path: &[String]) -> (Vec<ModulePath>, bool) {
    let mut instances = vec![ModulePath::root()];
    for depth in 0..path.len() {
        let repetition = configuration
            .modules
            .get(&path[..depth])
            .and_then(|module| Some(&module.calls.get(&path[depth])?.repetition));
        let (keys, known) = repetition.map_or((vec![None], false), keys_of);
        if !known {
            let steps = path
                .iter()
                .map(|name| ModuleStep {
                    name: name.clone(),
                    key: None,
                })
                .collect();
            return (vec![ModulePath(steps)], false);
        }
        instances = instances
            .iter()
            .flat_map(|instance| {
                keys.iter().map(|key| {
                    let mut instance = instance.clone();
                    instance.0.push(ModuleStep {
                        name: path[depth].clone(),
                        key: key.clone(),
                    });
                    instance
                })
            })
            .collect();
    }
    (instances, true)
}

/// The keys of `count` and `for_each`, and whether they are known.
fn keys_of(repetition: &Repetition) -> (Vec<Option<Key>>, bool) {
    /// More than anyone writes down; a literal `count` may be any number.
    const MOST: i64 = 10_000;
    match repetition {
        Repetition::None => (vec![None], true),
        Repetition::Count(Some(count)) if *count <= MOST => {
            ((0..*count).map(|index| Some(Key::Int(index))).collect(), true)
        }
        Repetition::ForEach(Some(keys)) => (keys.iter().map(|key| Some(Key::Str(key.clone()))).collect(), true),
        Repetition::Count(_) | Repetition::ForEach(_) => (vec![None], false),
    }
}

/// Addresses of data sources and leftovers, which stay where they are.
pub(crate) fn untouched(id: &InstanceId) -> bool {
    id.deposed.is_some() || id.address.resource.mode == Mode::Data
}
