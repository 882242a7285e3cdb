//! `# METADATA` comments above rules and packages, as OPA has them: a block of YAML.
//!
//! ```rego
//! # METADATA
//! # title: Public buckets do not come back
//! # custom:
//! #   level: soft-mandatory
//! deny contains msg if { … }
//! ```

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::error::PolicyError;
use crate::evaluation::Level;

/// What is said of one rule, or of every rule of a package.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Metadata {
    #[serde(default)]
    pub(crate) title: Option<String>,
    #[serde(default)]
    pub(crate) description: Option<String>,
    #[serde(default)]
    pub(crate) custom: Custom,
}

/// The part that is ours.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Custom {
    #[serde(default)]
    pub(crate) level: Option<Level>,
}

/// The metadata of one file: of its package, and of its rules by name.
#[derive(Debug, Default)]
pub(crate) struct FileMetadata {
    pub(crate) package: Metadata,
    pub(crate) rules: BTreeMap<String, Metadata>,
}

/// Reads every block. A rule that has several definitions takes the strictest level that one of them names.
///
/// # Errors
/// A block that is no YAML, or a level that there is not: a misread level could let something pass.
pub(crate) fn read(file: &str, text: &str) -> Result<FileMetadata, PolicyError> {
    let mut found = FileMetadata::default();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if line.trim() != "# METADATA" {
            continue;
        }
        let mut block = String::new();
        while let Some(comment) = lines.peek().and_then(|line| line.trim_start().strip_prefix('#')) {
            block.push_str(comment.strip_prefix(' ').unwrap_or(comment));
            block.push('\n');
            lines.next();
        }
        let subject = lines.clone().find(|line| !line.trim().is_empty()).unwrap_or_default();
        let name = head(subject);
        let metadata: Option<Metadata> = yaml_serde::from_str(&block).map_err(|error| PolicyError::Metadata {
            file: file.to_owned(),
            subject: name.to_owned(),
            reason: error.to_string(),
        })?;
        let metadata = metadata.unwrap_or_default();
        if name == "package" {
            found.package = metadata;
        } else {
            let known = found.rules.entry(name.to_owned()).or_default();
            known.custom.level = known.custom.level.max(metadata.custom.level);
            known.title = known.title.take().or(metadata.title);
            known.description = known.description.take().or(metadata.description);
        }
    }
    Ok(found)
}

/// The first word of a rule: `deny` of `deny[msg] {`, `package` of `package a.b`.
fn head(line: &str) -> &str {
    let line = line.trim_start();
    let line = line.strip_prefix("default ").map_or(line, str::trim_start);
    let end = line
        .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .unwrap_or(line.len());
    &line[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_of_rules_and_packages() {
        let text = "# METADATA\n# title: All\n# custom:\n#   level: advisory\npackage a.b\n\n# METADATA\n# custom: { level: hard-mandatory }\ndeny[msg] { msg := 1 }\n# METADATA\n# description: x\ndeny contains 2 if true\n";
        let found = read("x.rego", text).unwrap();
        assert_eq!(found.package.custom.level, Some(Level::Advisory));
        assert_eq!(found.package.title.as_deref(), Some("All"));
        let rule = &found.rules["deny"];
        assert_eq!(rule.custom.level, Some(Level::HardMandatory));
        assert_eq!(rule.description.as_deref(), Some("x"));
    }

    #[test]
    fn a_level_that_there_is_not_is_an_error() {
        for block in [
            "# custom:\n#   level: mandatory\n",
            "# custom: [\n",
            "# custom:\n#   level: 3\n",
        ] {
            let error = read("x.rego", &format!("# METADATA\n{block}deny[m] {{ m = 1 }}\n")).unwrap_err();
            assert!(error.to_string().contains("deny"), "{error}");
        }
    }
}
