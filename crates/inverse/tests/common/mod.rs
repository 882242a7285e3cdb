//! What the tests share: states and configurations written short, and questions about plans.
#![allow(dead_code)]

pub mod states;

use std::sync::LazyLock;

use rollback_config::{Configuration, MemoryTree, load};
use rollback_inverse::{
    Change, Direction, Elsewhere, Fate, Input, InversePlan, Joined, Knowledge, Step, compute, compute_beside, join,
};
use rollback_state::{Address, InstanceId, Mode, State};
use serde_json::{Value, json};

pub const AWS: &str = "provider[\"registry.terraform.io/hashicorp/aws\"]";
pub const BUILT_IN: &str = "provider[\"terraform.io/builtin/terraform\"]";

/// Read once: it is the slowest part of a small plan.
pub static KNOWLEDGE: LazyLock<Knowledge> = LazyLock::new(Knowledge::built_in);

/// An object of a state that is being written.
#[derive(Clone)]
pub struct Object {
    pub address: Address,
    pub provider: String,
    pub attributes: Value,
    pub extra: Value,
}

/// An object with an id and further attributes.
pub fn object(address: &str, id: &str, more: Value) -> Object {
    let address: Address = address.parse().expect("an address");
    let mut attributes = json!({ "id": id });
    merge(&mut attributes, more);
    let provider = if address.resource.kind.starts_with("aws_") {
        AWS
    } else {
        BUILT_IN
    };
    Object {
        address,
        provider: provider.to_string(),
        attributes,
        extra: json!({}),
    }
}

impl Object {
    pub fn with(mut self, extra: Value) -> Self {
        merge(&mut self.extra, extra);
        self
    }

    pub fn provider(mut self, provider: &str) -> Self {
        self.provider = provider.to_string();
        self
    }

    pub fn sensitive(self, attribute: &str) -> Self {
        self.with(json!({ "sensitive_attributes": [[{ "type": "get_attr", "value": attribute }]] }))
    }
}

fn merge(into: &mut Value, more: Value) {
    if let (Value::Object(into), Value::Object(more)) = (into, more) {
        into.extend(more);
    }
}

pub fn state(objects: &[Object]) -> State {
    state_with(objects, json!({}))
}

pub fn state_with(objects: &[Object], outputs: Value) -> State {
    let resources: Vec<Value> = objects
        .iter()
        .map(|object| {
            let resource = &object.address.resource;
            let mut entry = json!({
                "mode": resource.mode.as_str(), "type": resource.kind, "name": resource.name, "provider": object.provider,
            });
            if !resource.module.is_root() {
                merge(&mut entry, json!({ "module": resource.module.to_string() }));
            }
            let mut instance = json!({ "schema_version": 0, "attributes": object.attributes, "sensitive_attributes": [] });
            match &object.address.key {
                Some(rollback_state::Key::Int(index)) => merge(&mut instance, json!({ "index_key": index })),
                Some(rollback_state::Key::Str(key)) => merge(&mut instance, json!({ "index_key": key })),
                None => {}
            }
            merge(&mut instance, object.extra.clone());
            merge(&mut entry, json!({ "instances": [instance] }));
            entry
        })
        .collect();
    let document = json!({
        "version": 4, "terraform_version": "1.11.4", "serial": 3, "lineage": "l", "outputs": outputs, "resources": resources,
    });
    State::parse(document.to_string()).expect("a state")
}

/// A configuration of one root module.
pub fn config(text: &str) -> Configuration {
    configs(&[("main.tf", text)])
}

pub fn configs(files: &[(&str, &str)]) -> Configuration {
    let tree = files
        .iter()
        .fold(MemoryTree::default(), |tree, (path, text)| tree.with(path, text));
    load(&tree, "", None).expect("a configuration")
}

pub fn plan_states(current: &State, target: &State) -> InversePlan {
    plan_beside(current, target, &Elsewhere::default())
}

/// With what is known beyond the two states.
pub fn plan_beside(current: &State, target: &State, elsewhere: &Elsewhere) -> InversePlan {
    let input = Input {
        current,
        target: Some(target),
        current_config: None,
        target_config: None,
        history: &[],
        knowledge: &KNOWLEDGE,
        secrets: &[],
    };
    compute_beside(&input, elsewhere)
}

/// With configurations from the current one back to the target's.
pub fn plan_back(current: &State, target: Option<&State>, configurations: &[&Configuration]) -> InversePlan {
    plan_way(current, target, configurations, Direction::Back)
}

pub fn plan_way(
    current: &State,
    target: Option<&State>,
    configurations: &[&Configuration],
    direction: Direction,
) -> InversePlan {
    let history: Vec<Step<'_>> = configurations
        .iter()
        .map(|configuration| Step {
            configuration,
            direction,
        })
        .collect();
    compute(&Input {
        current,
        target,
        current_config: configurations.first().copied(),
        target_config: configurations.last().copied(),
        history: &history,
        knowledge: &KNOWLEDGE,
        secrets: &[],
    })
}

pub fn change<'p>(plan: &'p InversePlan, address: &str) -> &'p Change {
    let mut found = plan
        .changes
        .iter()
        .filter(|change| change.address().to_string() == address);
    match (found.next(), found.next()) {
        (Some(change), None) => change,
        (None, _) => panic!("no change at {address}: {:#?}", fates(plan)),
        _ => panic!("several changes at {address}: {:#?}", fates(plan)),
    }
}

/// `fate previous -> address`, one line for each change.
pub fn fates(plan: &InversePlan) -> Vec<String> {
    plan.changes
        .iter()
        .map(|change| match change.previous_address() {
            Some(previous) => format!("{} {previous} -> {}", change.fate, change.address()),
            None => format!("{} {}", change.fate, change.address()),
        })
        .collect()
}

pub fn fate(plan: &InversePlan, address: &str) -> Fate {
    change(plan, address).fate
}

pub fn joined(current: &State, target: Option<&State>, plan: &InversePlan) -> Joined {
    join(current, target, plan, current.serial() + 1, &[]).expect("a joined state")
}

/// `address = id` for every managed object.
pub fn homes(state: &State) -> Vec<String> {
    let mut homes: Vec<String> = state
        .instances()
        .filter(|instance| instance.mode() == Mode::Managed)
        .map(|instance| format!("{} = {}", instance.id(), instance.identifier(state).unwrap_or_default()))
        .collect();
    homes.sort();
    homes
}

pub fn id(text: &str) -> InstanceId {
    text.parse().expect("an address")
}

/// The row of the plan's JSON for an address.
pub fn row<'j>(json: &'j Value, address: &str) -> &'j Value {
    json["resource_changes"]
        .as_array()
        .and_then(|rows| rows.iter().find(|row| row["address"] == address))
        .unwrap_or_else(|| panic!("no row for {address}"))
}
