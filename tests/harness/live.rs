//! Terraform's state, read by the tests' own eyes.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// Object ids by address, managed objects only, deposed ones left out.
pub type Objects = BTreeMap<String, String>;

/// A state file.
#[derive(Clone, Debug)]
pub struct StateFile {
    pub bytes: Vec<u8>,
    pub json: Value,
}

impl StateFile {
    /// # Panics
    /// It is no JSON.
    #[track_caller]
    pub fn parse(bytes: Vec<u8>) -> Self {
        let json = serde_json::from_slice(&bytes).unwrap_or_else(|error| {
            panic!(
                "the state cannot be parsed: {error}: {}",
                String::from_utf8_lossy(&bytes)
            )
        });
        StateFile { bytes, json }
    }

    pub fn serial(&self) -> u64 {
        self.json["serial"].as_u64().unwrap_or(0)
    }

    fn instances(&self) -> impl Iterator<Item = (String, &Value)> {
        let resources = self.json["resources"].as_array();
        resources
            .into_iter()
            .flatten()
            .filter(|resource| resource["mode"] == "managed")
            .flat_map(|resource| {
                let parts = [&resource["module"], &resource["type"], &resource["name"]];
                let place: Vec<&str> = parts.iter().filter_map(|part| part.as_str()).collect();
                let place = place.join(".");
                let instances = resource["instances"].as_array();
                instances
                    .into_iter()
                    .flatten()
                    .map(move |instance| (format!("{place}{}", key(&instance["index_key"])), instance))
            })
    }

    pub fn objects(&self) -> Objects {
        self.instances()
            .filter(|(_, instance)| instance.get("deposed").is_none())
            .map(|(address, instance)| {
                let id = instance["attributes"]["id"].as_str().unwrap_or_default();
                (address, id.to_owned())
            })
            .collect()
    }

    /// The address and the id of each deposed object.
    pub fn deposed(&self) -> Vec<(String, String)> {
        self.instances()
            .filter(|(_, instance)| instance.get("deposed").is_some())
            .map(|(address, instance)| {
                let id = instance["attributes"]["id"].as_str().unwrap_or_default();
                (address, id.to_owned())
            })
            .collect()
    }

    /// The attributes of one object.
    #[track_caller]
    pub fn attributes(&self, address: &str) -> &Value {
        let found = self.instances().find(|(found, _)| found == address);
        &found.unwrap_or_else(|| panic!("the state has no {address}")).1["attributes"]
    }
}

/// An instance key as Terraform writes it in an address.
fn key(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => {
            let mut quoted = String::new();
            let mut letters = text.chars().peekable();
            while let Some(letter) = letters.next() {
                match letter {
                    '\n' => quoted.push_str("\\n"),
                    '\r' => quoted.push_str("\\r"),
                    '\t' => quoted.push_str("\\t"),
                    '"' => quoted.push_str("\\\""),
                    '\\' => quoted.push_str("\\\\"),
                    '$' | '%' if letters.peek() == Some(&'{') => {
                        quoted.push(letter);
                        quoted.push(letter);
                    }
                    other => quoted.push(other),
                }
            }
            format!("[\"{quoted}\"]")
        }
        number => format!("[{number}]"),
    }
}

/// What became of objects: addresses that are gone, that are new, and those that moved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Happened {
    pub gone: BTreeSet<String>,
    pub new: BTreeSet<String>,
    pub moved: BTreeSet<(String, String)>,
}

/// Compares two looks at a state by the ids of the objects.
pub fn happened(before: &Objects, after: &Objects) -> Happened {
    let home: BTreeMap<&String, &String> = after.iter().map(|(address, id)| (id, address)).collect();
    let known: BTreeSet<&String> = before.values().collect();
    Happened {
        gone: before
            .iter()
            .filter(|(_, id)| !home.contains_key(id))
            .map(|(address, _)| address.clone())
            .collect(),
        new: after
            .iter()
            .filter(|(_, id)| !known.contains(id))
            .map(|(address, _)| address.clone())
            .collect(),
        moved: before
            .iter()
            .filter_map(|(address, id)| Some((address.clone(), (*home.get(id)?).clone())))
            .filter(|(from, to)| from != to)
            .collect(),
    }
}

impl Happened {
    /// What a plan's document says will become of objects.
    #[track_caller]
    pub fn foretold_by(plan: &Value) -> Self {
        let mut told = Happened::default();
        let changes = plan["resource_changes"].as_array();
        for change in changes.unwrap_or_else(|| panic!("no plan: {plan}")) {
            if change["mode"].as_str().is_some_and(|mode| mode != "managed") || change.get("deposed").is_some() {
                continue;
            }
            let address = change["address"].as_str().unwrap_or_default().to_owned();
            let was = change["previous_address"].as_str().unwrap_or(&address).to_owned();
            let actions: Vec<&str> = change["change"]["actions"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect();
            let goes = actions.contains(&"delete") || actions.contains(&"forget");
            if goes {
                told.gone.insert(was.clone());
            }
            if actions.contains(&"create") || change["change"]["importing"].is_object() {
                told.new.insert(address.clone());
            }
            if was != address && !goes {
                told.moved.insert((was, address));
            }
        }
        told
    }
}
