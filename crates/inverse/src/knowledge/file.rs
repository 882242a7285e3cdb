//! How a knowledge file is written, and what is said about one that is not.
//!
//! ```toml
//! [types]
//! aws_db_instance = { holds = "the database with its rows", destroy = "data-loss", adopt = true }
//!
//! [rules.aws_db_instance]
//! allocated_storage = { rule = "no-decrease", message = "RDS storage cannot shrink." }
//! password = { rule = "sensitive" }
//! ```

use std::collections::BTreeMap;

use serde::Deserialize;
use thiserror::Error;

use super::{ANY, AttributeRule, Rule, TypeKnowledge};
use crate::Reversibility;

/// Why a knowledge file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KnowledgeError {
    /// Not TOML, or a key or a word that is not known there.
    #[error("{file}:{line}:{column}: {message}")]
    Invalid {
        /// The file as the caller named it.
        file: String,
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
        /// What is wrong, with the key named.
        message: String,
    },
}

impl KnowledgeError {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        Some(
            "A knowledge file has [types] with TYPE = { holds, destroy, recreate, adopt } and \
             [rules.TYPE] with ATTRIBUTE = { rule, message }; \"*\" stands for any type."
                .to_string(),
        )
    }
}

/// A file that was read and found good.
pub(super) struct File {
    pub(super) types: Vec<(String, TypeKnowledge)>,
    pub(super) rules: Vec<(String, AttributeRule)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(default)]
    types: BTreeMap<String, RawType>,
    #[serde(default)]
    rules: BTreeMap<String, BTreeMap<String, OneOrMany>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawType {
    #[serde(default)]
    holds: String,
    #[serde(default = "data_loss")]
    destroy: Reversibility,
    recreate: Option<String>,
    #[serde(default = "yes")]
    adopt: bool,
}

fn yes() -> bool {
    true
}

fn data_loss() -> Reversibility {
    Reversibility::DataLoss
}

/// A rule, or a list of several about one attribute.
struct OneOrMany(Vec<RawRule>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    rule: Rule,
    #[serde(default)]
    message: String,
}

/// Written by hand, as an untagged enum would answer an unknown key with "did not match any variant".
impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = OneOrMany;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("{ rule = \"…\", message = \"…\" } or a list of these")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<OneOrMany, A::Error> {
                RawRule::deserialize(serde::de::value::MapAccessDeserializer::new(map))
                    .map(|rule| OneOrMany(vec![rule]))
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut sequence: A) -> Result<OneOrMany, A::Error> {
                let mut rules = Vec::new();
                while let Some(rule) = sequence.next_element()? {
                    rules.push(rule);
                }
                Ok(OneOrMany(rules))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

pub(super) fn parse(file_name: &str, text: &str) -> Result<File, KnowledgeError> {
    let invalid = |offset: usize, message: String| {
        let (line, column) = place(text, offset);
        KnowledgeError::Invalid {
            file: file_name.to_string(),
            line,
            column,
            message,
        }
    };
    let raw: Raw = toml::from_str(text).map_err(|error| {
        let offset = error.span().map_or(0, |span| span.start);
        invalid(offset, error.message().to_string())
    })?;
    let mut file = File {
        types: Vec::new(),
        rules: Vec::new(),
    };
    for (kind, known) in raw.types {
        if !is_name(&kind) {
            return Err(invalid(
                text.find(&kind).unwrap_or(0),
                format!("`{kind}` is not the name of a resource type"),
            ));
        }
        file.types.push((
            kind,
            TypeKnowledge {
                holds: known.holds,
                destroy: known.destroy,
                recreate: known.recreate,
                adopt: known.adopt,
            },
        ));
    }
    for (kind, attributes) in raw.rules {
        if kind != ANY && !is_name(&kind) {
            return Err(invalid(
                text.find(&kind).unwrap_or(0),
                format!("`{kind}` is neither the name of a resource type nor \"*\""),
            ));
        }
        for (attribute, OneOrMany(rules)) in attributes {
            for raw in rules {
                let rule = AttributeRule {
                    attribute: attribute.clone(),
                    rule: raw.rule,
                    message: raw.message,
                };
                file.rules.push((kind.clone(), rule));
            }
        }
    }
    Ok(file)
}

fn is_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && text
            .chars()
            .all(|each| each.is_ascii_alphanumeric() || each == '_' || each == '-')
}

/// Line and column, both from 1, of a byte offset.
fn place(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    (line, column)
}
