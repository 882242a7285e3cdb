//! What is known of resource types: what they hold, what cannot come back, which attributes go one way only.
//!
//! Knowledge is data: the files under `policies/knowledge` are compiled in, and a project may add its
//! own ([`Knowledge::extend`]); what is read later wins.

mod file;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

pub use file::KnowledgeError;

use crate::Reversibility;

/// What is known of one resource type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeKnowledge {
    /// What is lost when it goes, in words: `the database with its rows`. Empty for types that hold nothing.
    pub holds: String,
    /// How much of a destroy can be taken back.
    pub destroy: Reversibility,
    /// What a person should know before it is made anew.
    pub recreate: Option<String>,
    /// Whether the provider can take an existing object in again by its id.
    pub adopt: bool,
}

/// What an attribute's change, or its value when the object goes, means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// No rule: takes back one that was read before.
    Allow,
    /// The number cannot go down: a volume does not shrink.
    NoDecrease,
    /// The version cannot go down.
    NoDowngrade,
    /// Once true, it cannot become false again.
    NoDisable,
    /// Once set, it cannot change at all.
    NoChange,
    /// A change destroys the object and makes it anew.
    ReplaceOnChange,
    /// A change never replaces the object.
    InPlace,
    /// A change loses data.
    DataLossOnChange,
    /// Switching it off loses data: point-in-time recovery and its history.
    DataLossOnDisable,
    /// A smaller number loses data: fewer backups.
    DataLossOnDecrease,
    /// A smaller number loses data, and 0 is the largest of all: nothing expires.
    DataLossOnShorterRetention,
    /// While it is true the object cannot be destroyed.
    BlocksDestroyWhenTrue,
    /// While it has this state (`true`), what the object holds goes with it without a question.
    DataLossWhenTrue,
    /// Worth saying when the object is destroyed and it is true.
    NoteWhenTrue,
    /// Worth saying when the object is destroyed and it is not true.
    NoteWhenFalse,
    /// The value is a secret, whatever the state says.
    Sensitive,
    /// The provider computes it: a difference is nobody's change.
    Computed,
    /// It is another one at every look, without anybody's doing: it does not count as drift.
    Volatile,
    /// A controller or a deployer moves it; the message says who.
    Controlled,
}

/// A rule about one attribute of a type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttributeRule {
    /// The top-level attribute.
    pub attribute: String,
    /// What it means.
    pub rule: Rule,
    /// A plain sentence, or what a person can do about it.
    pub message: String,
}

/// Everything that is known of resource types.
#[derive(Clone, Debug, Default)]
pub struct Knowledge {
    types: HashMap<String, TypeKnowledge>,
    rules: HashMap<String, Vec<AttributeRule>>,
}

/// Rules for attributes of this name whatever the type.
const ANY: &str = "*";

const BUILT_IN: [(&str, &str); 4] = [
    (
        "policies/knowledge/common.toml",
        include_str!("../../../../policies/knowledge/common.toml"),
    ),
    (
        "policies/knowledge/aws.toml",
        include_str!("../../../../policies/knowledge/aws.toml"),
    ),
    (
        "policies/knowledge/google.toml",
        include_str!("../../../../policies/knowledge/google.toml"),
    ),
    (
        "policies/knowledge/azure.toml",
        include_str!("../../../../policies/knowledge/azure.toml"),
    ),
];

impl Knowledge {
    /// Nothing is known: every destroy counts as lossless. For tests.
    pub fn empty() -> Self {
        Knowledge::default()
    }

    /// What is compiled in.
    pub fn built_in() -> Self {
        let mut knowledge = Knowledge::default();
        for (name, text) in BUILT_IN {
            // A test reads every built-in file, so that this cannot fail in the field.
            knowledge.extend(name, text).expect("built-in knowledge is valid");
        }
        knowledge
    }

    /// Reads one more file over what is known; its entries win.
    ///
    /// # Errors
    /// [`KnowledgeError`] names the file and the line, the unknown key or word, and what is allowed there.
    /// Nothing is taken in then.
    pub fn extend(&mut self, file_name: &str, text: &str) -> Result<(), KnowledgeError> {
        let file = file::parse(file_name, text)?;
        for (kind, known) in file.types {
            self.types.insert(kind, known);
        }
        for (kind, rule) in file.rules {
            let rules = self.rules.entry(kind).or_default();
            // One type may have several rules for one attribute (`no-decrease` and a note): the
            // later wins where the two are of one kind, and `allow` takes back all of them.
            if rule.rule == Rule::Allow {
                rules.retain(|known| known.attribute != rule.attribute);
            } else {
                rules.retain(|known| known.attribute != rule.attribute || known.rule != rule.rule);
            }
            rules.push(rule);
        }
        Ok(())
    }

    /// What is known of a type.
    pub fn kind(&self, kind: &str) -> Option<&TypeKnowledge> {
        self.types.get(kind)
    }

    /// How many types are known.
    pub fn len(&self) -> usize {
        self.types.len()
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.types.is_empty() && self.rules.is_empty()
    }

    /// The names of the types that are known, in no order.
    pub fn kinds(&self) -> impl Iterator<Item = &str> {
        self.types.keys().map(String::as_str)
    }

    /// The rules of a type, those for any type after them.
    ///
    /// A type's own rule for an attribute, `allow` among them, hides the general ones for it.
    pub fn rules<'k>(&'k self, kind: &str) -> impl Iterator<Item = &'k AttributeRule> {
        let own = self.rules.get(kind).map(Vec::as_slice).unwrap_or_default();
        let general = self.rules.get(ANY).map(Vec::as_slice).unwrap_or_default();
        own.iter()
            .chain(
                general
                    .iter()
                    .filter(|rule| own.iter().all(|own| own.attribute != rule.attribute)),
            )
            .filter(|rule| rule.rule != Rule::Allow)
    }

    /// Every rule with the type that it is for.
    pub(crate) fn all_rules(&self) -> impl Iterator<Item = (&str, &AttributeRule)> {
        self.rules
            .iter()
            .flat_map(|(kind, rules)| rules.iter().map(|rule| (kind.as_str(), rule)))
    }

    /// Whether a type's attribute has the rule.
    pub fn has_rule(&self, kind: &str, attribute: &str, rule: Rule) -> bool {
        self.rules(kind)
            .any(|known| known.attribute == attribute && known.rule == rule)
    }
}
