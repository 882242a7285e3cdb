//! Sensitive paths as a tree that is walked beside a value.

use std::collections::HashMap;

use rollback_state::{Path, PathStep};
use serde_json::Value;

/// Where in the attributes of an object the state marks values as sensitive.
#[derive(Clone, Debug, Default)]
pub(crate) struct PathTree {
    masked: bool,
    children: HashMap<String, PathTree>,
}

impl PathTree {
    /// The union of all the paths.
    pub(crate) fn new<'p>(paths: impl IntoIterator<Item = &'p Path>) -> Self {
        let mut root = PathTree::default();
        for path in paths {
            root.insert(path);
        }
        root
    }

    fn insert(&mut self, path: &Path) {
        let mut node = self;
        for step in path {
            let key = match step {
                PathStep::Attribute(name) => name.clone(),
                PathStep::Index(Value::String(key)) => key.clone(),
                PathStep::Index(Value::Number(number)) => number.to_string(),
                // An element of a set is named by its whole value: then the set as a whole is masked.
                PathStep::Index(_) => break,
            };
            node = node.children.entry(key).or_default();
        }
        node.masked = true;
    }

    /// Whether the value here is sensitive as a whole, or of a shape that the paths do not fit.
    pub(crate) fn masks(&self, value: &Value) -> bool {
        if self.masked {
            return !value.is_null();
        }
        match value {
            _ if self.children.is_empty() => false,
            Value::Object(_) => false,
            Value::Array(_) => !self
                .children
                .keys()
                .all(|key| key.bytes().all(|byte| byte.is_ascii_digit())),
            Value::Null => false,
            _ => true,
        }
    }

    /// The tree below one key of an object. Attributes of dynamic type are stored as
    /// `{"value": …, "type": …}` while their paths leave that step out.
    pub(crate) fn child(&self, object: &serde_json::Map<String, Value>, key: &str) -> Option<&PathTree> {
        match self.children.get(key) {
            Some(child) => Some(child),
            None if key == "value" && is_dynamic(object) => Some(self),
            None => None,
        }
    }

    /// The tree below one element of a list.
    pub(crate) fn element(&self, index: usize) -> Option<&PathTree> {
        if self.children.is_empty() {
            None
        } else {
            self.children.get(index.to_string().as_str())
        }
    }
}

/// Whether an object is how a state stores a value of dynamic type.
pub(super) fn is_dynamic(object: &serde_json::Map<String, Value>) -> bool {
    object.len() == 2 && object.contains_key("value") && object.contains_key("type")
}
