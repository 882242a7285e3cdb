//! `.terraform.lock.hcl`.

use crate::error::ConfigError;
use crate::source::{Document, Source};
use std::collections::BTreeMap;

const NAME: &str = ".terraform.lock.hcl";

/// The provider versions that a configuration is locked to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LockFile {
    /// By address: `registry.terraform.io/hashicorp/aws`.
    pub providers: BTreeMap<String, LockedProvider>,
}

/// One `provider` block of the lock file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LockedProvider {
    pub version: String,
    /// As written; `""` where there is none.
    pub constraints: String,
    pub hashes: Vec<String>,
    /// The block as written, without the line break after it.
    pub text: String,
}

/// The lock file cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(".terraform.lock.hcl:{line}:{column}: {message}")]
pub struct LockFileError {
    pub line: usize,
    pub column: usize,
    pub message: String,
}

impl LockFileError {
    /// What a person can do next.
    pub fn hint(&self) -> Option<String> {
        Some("restore .terraform.lock.hcl from Git, or let `terraform init` write it anew".into())
    }
}

impl From<ConfigError> for LockFileError {
    fn from(error: ConfigError) -> LockFileError {
        let (line, column) = error.location().map_or((1, 1), |at| (at.line, at.column));
        let message = match error {
            ConfigError::Syntax { message, .. } | ConfigError::Invalid { message, .. } => message,
            ConfigError::Encoding { .. } => "the file is not valid UTF-8".into(),
            other => other.to_string(),
        };
        LockFileError { line, column, message }
    }
}

impl LockFile {
    /// Reads a lock file. Blocks other than `provider` are ignored, as Terraform does.
    ///
    /// # Errors
    /// Where it is not HCL, or a provider block is not as Terraform writes it.
    pub fn parse(bytes: &[u8]) -> Result<LockFile, LockFileError> {
        let source = Source::new(NAME, bytes.to_vec())?;
        let document = Document::parse(&source)?;
        let mut file = LockFile::default();
        for block in document.body(&source)?.blocks("provider") {
            let error = |message: String| {
                let at = block.at();
                LockFileError {
                    line: at.line,
                    column: at.column,
                    message,
                }
            };
            let [address] = block.labels.as_slice() else {
                return Err(error(
                    "a `provider` block takes one label, the provider's address".into(),
                ));
            };
            if address.split('/').count() != 3 {
                return Err(error(format!(
                    "{address:?} is not the address of a provider (host/namespace/type)"
                )));
            }
            let string = |name: &str| block.body.get(name).and_then(|value| value.string());
            let hashes = block.body.get("hashes").and_then(|value| {
                value
                    .items()?
                    .iter()
                    .map(crate::source::Value::string)
                    .collect::<Option<Vec<String>>>()
            });
            let provider = LockedProvider {
                version: string("version").ok_or_else(|| error(format!("{address} has no `version`")))?,
                constraints: string("constraints").unwrap_or_default(),
                hashes: hashes.unwrap_or_default(),
                text: block.text(),
            };
            if file.providers.insert(address.clone(), provider).is_some() {
                return Err(error(format!("{address} is locked twice")));
            }
        }
        Ok(file)
    }

    /// The text of a lock file in which `provider`'s block is this entry's: in the place of the one that
    /// was there, or where the order of the addresses puts it. Every other byte stays.
    ///
    /// # Errors
    /// Where `text` is not a lock file, or the entry's text is not one block of this provider.
    pub fn merge_entry(text: &[u8], provider: &str, entry: &LockedProvider) -> Result<Vec<u8>, LockFileError> {
        let alone = LockFile::parse(entry.text.as_bytes())?;
        if alone.providers.len() != 1 || !alone.providers.contains_key(provider) {
            let message = format!("the entry to merge is not one block of {provider}");
            return Err(LockFileError {
                line: 1,
                column: 1,
                message,
            });
        }
        let file = LockFile::parse(text)?;
        // `parse` has seen that it is UTF-8.
        let mut text = String::from_utf8_lossy(text).into_owned();
        if let Some(known) = file.providers.get(provider) {
            if let Some(at) = text.find(&known.text) {
                text.replace_range(at..at + known.text.len(), &entry.text);
            }
            return Ok(text.into_bytes());
        }
        let after = file.providers.iter().find(|(address, _)| address.as_str() > provider);
        match after.and_then(|(_, next)| text.find(&next.text)) {
            Some(at) => text.insert_str(at, &format!("{}\n\n", entry.text)),
            None => {
                let ending = match text.as_str() {
                    "" => "",
                    text if text.ends_with("\n\n") => "",
                    text if text.ends_with('\n') => "\n",
                    _ => "\n\n",
                };
                text.push_str(&format!("{ending}{}\n", entry.text));
            }
        }
        Ok(text.into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REAL: &str = r#"# This file is maintained automatically by "terraform init".
# Manual edits may be lost in future updates.

provider "registry.terraform.io/hashicorp/aws" {
  version     = "5.100.0"
  constraints = "~> 5.0"
  hashes = [
    "h1:edXOJWE4ORX8Fm+dpVpICzMZJat4AX0VRCAy/xkcOc0=",
    "zh:054b8dd49f0549c9a7cc27d159e45327b7b65cf404da5e5a20da154b90b8a644",
  ]
}

provider "registry.terraform.io/hashicorp/random" {
  version = "3.7.2"
  hashes = [
    "h1:x",
  ]
}
"#;

    fn entry(address: &str, version: &str) -> (String, LockedProvider) {
        let text =
            format!("provider \"{address}\" {{\n  version = \"{version}\"\n  hashes = [\n    \"h1:n\",\n  ]\n}}");
        (
            address.to_owned(),
            LockFile::parse(text.as_bytes()).unwrap().providers[address].clone(),
        )
    }

    #[test]
    fn reads_what_terraform_writes() {
        let file = LockFile::parse(REAL.as_bytes()).unwrap();
        let aws = &file.providers["registry.terraform.io/hashicorp/aws"];
        assert_eq!(
            (aws.version.as_str(), aws.constraints.as_str(), aws.hashes.len()),
            ("5.100.0", "~> 5.0", 2)
        );
        assert!(aws.text.starts_with("provider \"") && aws.text.ends_with('}'));
        assert_eq!(file.providers["registry.terraform.io/hashicorp/random"].constraints, "");
        assert!(LockFile::parse(b"").unwrap().providers.is_empty());
    }

    #[test]
    fn merging_changes_one_block_only() {
        let (aws, old) = entry("registry.terraform.io/hashicorp/aws", "4.0.0");
        let merged = String::from_utf8(LockFile::merge_entry(REAL.as_bytes(), &aws, &old).unwrap()).unwrap();
        let file = LockFile::parse(merged.as_bytes()).unwrap();
        assert_eq!(file.providers[&aws], old);
        assert!(merged.starts_with("# This file") && merged.ends_with("  ]\n}\n"));
        let restored = &LockFile::parse(REAL.as_bytes()).unwrap().providers[&aws];
        assert_eq!(
            LockFile::merge_entry(merged.as_bytes(), &aws, restored).unwrap(),
            REAL.as_bytes()
        );
    }

    #[test]
    fn a_new_block_goes_where_the_order_puts_it() {
        let (first, provider) = entry("registry.terraform.io/hashicorp/archive", "1.0.0");
        let merged = LockFile::merge_entry(REAL.as_bytes(), &first, &provider).unwrap();
        let merged = String::from_utf8(merged).unwrap();
        assert_eq!(merged.replace(&format!("{}\n\n", provider.text), ""), REAL);
        assert!(merged.find("archive").unwrap() < merged.find("hashicorp/aws").unwrap());
        let (last, provider) = entry("registry.terraform.io/hashicorp/tls", "1.0.0");
        let merged = String::from_utf8(LockFile::merge_entry(REAL.as_bytes(), &last, &provider).unwrap()).unwrap();
        assert_eq!(merged, format!("{REAL}\n{}\n", provider.text));
        let alone = LockFile::merge_entry(b"", &last, &provider).unwrap();
        assert_eq!(alone, format!("{}\n", provider.text).into_bytes());
        assert!(
            LockFile::merge_entry(REAL.as_bytes(), &first, &provider).is_err(),
            "another provider's text"
        );
    }

    #[test]
    fn broken_files_say_where() {
        for (text, expected) in [
            ("provider \"a\" {\n}\n", "1:1: \"a\" is not the address"),
            ("\n provider \"a/b/c\" {\n}\n", "2:2: a/b/c has no `version`"),
            ("provider {\n}\n", "1:1: a `provider` block takes one label"),
            ("provider \"a/b/c\" {\n version = \n}\n", "2:"),
        ] {
            let error = LockFile::parse(text.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with(&format!(".terraform.lock.hcl:{expected}")), "{error}");
        }
        assert_eq!(
            LockFile::parse(b"\xff").unwrap_err().message,
            "the file is not valid UTF-8"
        );
        for end in 0..REAL.len() {
            let _ = LockFile::parse(&REAL.as_bytes()[..end]);
        }
    }
}
