//! What differs between the attributes of one object now and at the target.

use std::collections::HashMap;

use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, PatchOperation, RemoveOperation, ReplaceOperation};
use serde_json::{Map, Value};

use crate::number;
use crate::redact::{PathTree, Redactor, SENSITIVE, is_worth_masking};

/// Values of the target that stand for others now: the ids of objects that were replaced since and
/// are kept. What refers to them does not differ by referring to the new ones.
pub(crate) type Translation = HashMap<String, String>;

/// The differences of two sets of attributes.
#[derive(Default)]
pub(crate) struct Differences {
    /// From now to the target, masked.
    pub(crate) patch: Vec<PatchOperation>,
    /// The top-level attributes that differ in value.
    pub(crate) names: Vec<String>,
}

/// The top-level attributes whose values differ, translated ones left out.
///
/// An attribute that one side lacks and the other has as null does not differ: a newer provider adds such.
pub(crate) fn differing_names(
    before: &Map<String, Value>,
    after: &Map<String, Value>,
    translation: &Translation,
) -> Vec<String> {
    let mut names: Vec<String> = after
        .iter()
        .filter(|(name, after)| !is_same(before.get(*name).unwrap_or(&Value::Null), after, translation))
        .map(|(name, _)| name.clone())
        .chain(
            before
                .iter()
                .filter(|(name, before)| !after.contains_key(*name) && !before.is_null())
                .map(|(name, _)| name.clone()),
        )
        .collect();
    names.sort_unstable();
    names
}

/// All the differences, with sensitive values masked.
pub(crate) fn differences(
    redactor: &Redactor,
    kind: &str,
    tree: &PathTree,
    before: &Map<String, Value>,
    after: &Map<String, Value>,
    translation: &Translation,
) -> Differences {
    let mut walk = Walk {
        redactor,
        path: PointerBuf::new(),
        patch: Vec::new(),
    };
    walk.objects(Some(kind), Some(tree), before, after);
    Differences {
        patch: walk.patch,
        names: differing_names(before, after, translation),
    }
}

/// Whether two values say the same: numbers by value, translated strings by what they stand for.
fn is_same(before: &Value, after: &Value, translation: &Translation) -> bool {
    match (before, after) {
        (Value::Number(before), Value::Number(after)) => number::equal(before, after),
        (Value::String(before), Value::String(after)) => {
            before == after || translation.get(after).is_some_and(|now| now == before)
        }
        (Value::Array(before), Value::Array(after)) => {
            before.len() == after.len()
                && before
                    .iter()
                    .zip(after)
                    .all(|(before, after)| is_same(before, after, translation))
        }
        (Value::Object(before), Value::Object(after)) => {
            before.len() == after.len()
                && before
                    .iter()
                    .all(|(key, before)| after.get(key).is_some_and(|after| is_same(before, after, translation)))
        }
        (before, after) => before == after,
    }
}

/// Goes down two values at once and writes operations that apply one after the other.
struct Walk<'r> {
    redactor: &'r Redactor,
    path: PointerBuf,
    patch: Vec<PatchOperation>,
}

impl Walk<'_> {
    fn objects(
        &mut self,
        kind: Option<&str>,
        tree: Option<&PathTree>,
        before: &Map<String, Value>,
        after: &Map<String, Value>,
    ) {
        for (key, value) in after {
            let child = tree.and_then(|tree| tree.child(after, key).or_else(|| tree.child(before, key)));
            let old = before.get(key);
            let secret = self.redactor.is_secret_entry(kind, after, key)
                || old.is_some() && self.redactor.is_secret_entry(kind, before, key);
            self.enter(kind, key);
            match old {
                None => {
                    let value = self.masked(secret, child, value);
                    self.patch.push(PatchOperation::Add(AddOperation {
                        path: self.path.clone(),
                        value,
                    }));
                }
                Some(old) if secret && (is_worth_masking(old) || is_worth_masking(value)) => {
                    if !is_same(old, value, &Translation::new()) {
                        let value = self.masked(true, child, value);
                        self.replace(value);
                    }
                }
                Some(old) => self.values(child, old, value),
            }
            self.path.pop_back();
        }
        for key in before.keys().filter(|key| !after.contains_key(*key)) {
            self.enter(kind, key);
            self.patch.push(PatchOperation::Remove(RemoveOperation {
                path: self.path.clone(),
            }));
            self.path.pop_back();
        }
    }

    /// The names of attributes are no secrets; the keys of a map may be.
    fn enter(&mut self, kind: Option<&str>, key: &str) {
        match kind {
            Some(_) => self.path.push_back(key),
            None => self.path.push_back(self.redactor.scrub_key(key)),
        }
    }

    fn values(&mut self, tree: Option<&PathTree>, before: &Value, after: &Value) {
        if is_same(before, after, &Translation::new()) {
            return;
        }
        if tree.is_some_and(|tree| tree.masks(before) || tree.masks(after)) {
            // Neither how long it is nor which of its keys changed is told.
            let value = if after.is_null() {
                Value::Null
            } else {
                Value::from(SENSITIVE)
            };
            return self.replace(value);
        }
        match (before, after) {
            (Value::Object(before), Value::Object(after)) => self.objects(None, tree, before, after),
            (Value::Array(before), Value::Array(after)) => self.arrays(tree, before, after),
            _ => {
                let value = self.masked(false, tree, after);
                self.replace(value);
            }
        }
    }

    /// What both ends share stays, so that one element taken out of a list is one operation.
    fn arrays(&mut self, tree: Option<&PathTree>, before: &[Value], after: &[Value]) {
        let none = Translation::new();
        let same = |(before, after): &(&Value, &Value)| is_same(before, after, &none);
        let head = before.iter().zip(after).take_while(same).count();
        let tail = before[head..]
            .iter()
            .rev()
            .zip(after[head..].iter().rev())
            .take_while(same)
            .count();
        let (old, new) = (&before[head..before.len() - tail], &after[head..after.len() - tail]);
        for (offset, (old, new)) in old.iter().zip(new).enumerate() {
            self.path.push_back(head + offset);
            self.values(tree.and_then(|tree| tree.element(head + offset)), old, new);
            self.path.pop_back();
        }
        let common = old.len().min(new.len());
        for (offset, value) in new[common..].iter().enumerate() {
            let index = head + common + offset;
            self.path.push_back(index);
            let value = self.masked(false, tree.and_then(|tree| tree.element(index)), value);
            self.patch.push(PatchOperation::Add(AddOperation {
                path: self.path.clone(),
                value,
            }));
            self.path.pop_back();
        }
        for offset in (common..old.len()).rev() {
            self.path.push_back(head + offset);
            self.patch.push(PatchOperation::Remove(RemoveOperation {
                path: self.path.clone(),
            }));
            self.path.pop_back();
        }
    }

    fn replace(&mut self, value: Value) {
        self.patch.push(PatchOperation::Replace(ReplaceOperation {
            path: self.path.clone(),
            value,
        }));
    }

    fn masked(&self, secret: bool, tree: Option<&PathTree>, value: &Value) -> Value {
        if secret && is_worth_masking(value) {
            return Value::from(SENSITIVE);
        }
        self.redactor.mask(None, tree, value).value
    }
}

/// Attributes that providers compute, by their names; used where no configuration tells.
const COMPUTED: [&str; 44] = [
    "id",
    "arn",
    "self_link",
    "unique_id",
    "owner_id",
    "tags_all",
    "effective_labels",
    "terraform_labels",
    "fingerprint",
    "label_fingerprint",
    "etag",
    "endpoint",
    "address",
    "dns_name",
    "domain_name_target",
    "hosted_zone_id",
    "zone_id",
    "status",
    "state",
    "creation_date",
    "create_date",
    "create_time",
    "creation_time",
    "created_at",
    "created_time",
    "creation_timestamp",
    "last_modified",
    "last_updated",
    "updated_at",
    "update_time",
    "latest_restorable_time",
    "resource_id",
    "association_id",
    "allocation_id",
    "instance_state",
    "private_dns",
    "public_dns",
    "primary_network_interface_id",
    "generated_id",
    "generation",
    "output",
    "uid",
    "revision",
    "arn_suffix",
];

/// Whether a provider, not a person, sets an attribute of this name: ids, ARNs, addresses, times.
pub(crate) fn looks_computed(name: &str) -> bool {
    COMPUTED.contains(&name) || name.starts_with("arn_") || name == "arn_without_revision"
}
