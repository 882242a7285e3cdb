//! `[policy]`: which Rego judges a rollback, how binding its rules are, and what the built-in rules are told.

use std::collections::BTreeMap;

use super::ProjectError;
use super::read::Section;

/// `[policy]`. Texts are as written: what they mean is for the policy to say.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicySection {
    /// Folders, files or archives of Rego, relative to infra-rollback.toml (`bundle` and `bundles`).
    pub bundles: Vec<String>,
    /// Whether the built-in bundle judges as well.
    pub default: bool,
    /// Of rules that do not say how binding they are.
    pub level: Option<String>,
    /// `[policy.levels]`: by rule.
    pub levels: BTreeMap<String, String>,
    /// Rules that are not asked.
    pub disabled: Vec<String>,
    /// Only rules of these packages; empty for all.
    pub namespaces: Vec<String>,
    /// What environment this is: `production`.
    pub environment: Option<String>,
    /// Environments in which somebody else has to approve.
    pub four_eyes: Vec<String>,
    /// How old a target may be: `90d`.
    pub maximum_age: Option<String>,
    /// How many objects may change.
    pub blast_radius: Option<u64>,
    /// Of freeze windows that name none; UTC where nothing is said.
    pub time_zone: Option<String>,
    pub freeze: Vec<FreezeSection>,
    pub known_bad: Vec<KnownBadSection>,
    /// Data handed to the policies.
    pub data: toml::Table,
}

impl Default for PolicySection {
    fn default() -> Self {
        PolicySection {
            bundles: Vec::new(),
            default: true,
            level: None,
            levels: BTreeMap::new(),
            disabled: Vec::new(),
            namespaces: Vec::new(),
            environment: None,
            four_eyes: Vec::new(),
            maximum_age: None,
            blast_radius: None,
            time_zone: None,
            freeze: Vec::new(),
            known_bad: Vec::new(),
            data: toml::Table::new(),
        }
    }
}

/// `[[policy.freeze]]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FreezeSection {
    pub name: String,
    /// `fri 16:00`, `22:00`, `2026-12-20`.
    pub from: String,
    pub until: String,
    pub time_zone: Option<String>,
}

/// `[[policy.known_bad]]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownBadSection {
    /// A commit, or the name or id of a release.
    pub revision: String,
    pub reason: String,
}

const KEYS: &[&str] = &[
    "blast_radius",
    "bundle",
    "bundles",
    "data",
    "default",
    "disabled",
    "environment",
    "four_eyes",
    "freeze",
    "known_bad",
    "level",
    "levels",
    "maximum_age",
    "namespaces",
    "time_zone",
];

pub(super) fn read(policy: &Section<'_, '_>, raw: Option<&toml::Value>) -> Result<PolicySection, ProjectError> {
    policy.only(KEYS)?;
    policy.table("data")?;
    let data = raw
        .and_then(|table| table.get("data"))
        .and_then(toml::Value::as_table)
        .cloned();
    let mut bundles = policy.strings("bundles")?;
    bundles.extend(policy.string("bundle")?);
    let mut section = PolicySection {
        bundles,
        default: policy.switch("default")?.unwrap_or(true),
        level: policy.string("level")?,
        disabled: policy.strings("disabled")?,
        namespaces: policy.strings("namespaces")?,
        environment: policy.string("environment")?,
        four_eyes: policy.strings("four_eyes")?,
        maximum_age: policy.string("maximum_age")?,
        blast_radius: policy.count("blast_radius")?,
        time_zone: policy.string("time_zone")?,
        data: data.unwrap_or_default(),
        ..PolicySection::default()
    };
    if let Some(levels) = policy.table("levels")? {
        for key in levels.keys() {
            section.levels.insert(key.clone(), levels.required(&key)?);
        }
    }
    for freeze in policy.tables("freeze")? {
        freeze.only(&["name", "from", "until", "time_zone"])?;
        section.freeze.push(FreezeSection {
            name: freeze.required("name")?,
            from: freeze.required("from")?,
            until: freeze.required("until")?,
            time_zone: freeze.string("time_zone")?,
        });
    }
    for mark in policy.tables("known_bad")? {
        mark.only(&["revision", "reason"])?;
        section.known_bad.push(KnownBadSection {
            revision: mark.required("revision")?,
            reason: mark.required("reason")?,
        });
    }
    Ok(section)
}
