//! What will not be as it was at the target, so that what is made of it may differ too.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

use rollback_state::{Address, InstanceId, Mode, State};
use rollback_terraform::{Plan, ResourceChange};
use serde_json::Value;

use super::equality::{contains_true, same, unwrap_dynamic};
use crate::reconcile::Input;

/// A resource of the configuration: its module's path, its type and name.
pub(super) type Object = (Vec<String>, String, String);

/// Resources whose objects will not be what they were at the target, so that what is made of them may differ too.
#[derive(Default)]
pub struct Moving {
    /// By what is known before they are made as well as by what is not.
    pub(super) in_any_way: BTreeSet<Object>,
    /// By what is known.
    pub(super) known: BTreeSet<Object>,
    same_data: OnceCell<BTreeSet<Object>>,
}

/// What differences may be explained by.
pub fn moving(input: &Input<'_>, plan: &Plan) -> Moving {
    let mut moving = Moving::default();
    let Some(target) = input.target else {
        return moving;
    };
    let is_known_to_differ = |real: &ResourceChange, address: &Address| {
        if real.change.after.is_null() {
            return true;
        }
        let id = InstanceId {
            address: address.clone(),
            deposed: None,
        };
        let Some(had) = target.instance(&id).map(|instance| instance.attributes(target)) else {
            return true;
        };
        had.iter().any(|(name, want)| {
            let brings = &real.change.after[name.as_str()];
            !contains_true(&real.change.after_unknown[name.as_str()]) && !same(unwrap_dynamic(want, brings), brings)
        })
    };
    for real in &plan.resource_changes {
        let Some(address) = real.address.parse::<Address>().ok() else {
            continue;
        };
        if real.deposed.is_some() || !real.is_managed() {
            continue;
        }
        let is_known = is_known_to_differ(real, &address);
        if !is_known && !contains_true(&real.change.after_unknown) {
            continue;
        }
        let object = object_of(&address);
        if is_known {
            moving.known.insert(object.clone());
        }
        moving.in_any_way.insert(object);
    }
    moving
}

impl Moving {
    /// Data sources that tell what they told at the target: what is made of them differs for another reason.
    pub(super) fn same_data(&self, input: &Input<'_>) -> &BTreeSet<Object> {
        self.same_data.get_or_init(|| match (input.plan, input.target) {
            (Some(plan), Some(target)) => same_data(plan, target),
            _ => BTreeSet::new(),
        })
    }
}

/// Data sources are read while Terraform plans: their values are in the plan's `prior_state`. Those whose reading is put off are in
/// `resource_changes`, and tell nothing yet.
fn same_data(plan: &Plan, target: &State) -> BTreeSet<Object> {
    let mut read = BTreeMap::new();
    collect_data(&plan.raw()["prior_state"]["values"]["root_module"], &mut read);
    for put_off in plan.resource_changes.iter().filter(|change| !change.is_managed()) {
        read.remove(put_off.address.as_str());
    }
    let mut found: BTreeMap<Object, bool> = BTreeMap::new();
    for instance in target.instances().filter(|instance| instance.mode() == Mode::Data) {
        let address = instance.address();
        let values = read.remove(address.to_string().as_str());
        let is_same = values.is_some_and(|values| {
            let mut had = instance.attributes(target).into_iter();
            had.all(|(name, had)| {
                let tells = &values[name.as_str()];
                same(unwrap_dynamic(&had, tells), tells)
            })
        });
        *found.entry(object_of(address)).or_insert(true) &= is_same;
    }
    // What the target did not read is new.
    for address in read.into_keys().filter_map(|address| address.parse::<Address>().ok()) {
        found.insert(object_of(&address), false);
    }
    found
        .into_iter()
        .filter_map(|(object, is_same)| is_same.then_some(object))
        .collect()
}

fn collect_data<'p>(module: &'p Value, into: &mut BTreeMap<&'p str, &'p Value>) {
    for resource in module["resources"].as_array().into_iter().flatten() {
        if resource["mode"] == "data"
            && let Some(address) = resource["address"].as_str()
        {
            into.insert(address, &resource["values"]);
        }
    }
    for child in module["child_modules"].as_array().into_iter().flatten() {
        collect_data(child, into);
    }
}

pub(super) fn object_of(address: &Address) -> Object {
    let path = address.resource.module.config_path();
    let path = path.iter().map(|name| (*name).to_owned()).collect();
    (path, address.resource.kind.clone(), address.resource.name.clone())
}
