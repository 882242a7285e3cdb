//! A policy bundle: Rego modules and data, from a folder, a single file, a `.tar.gz` as `opa build` makes it, or built in.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::archive;
use crate::error::PolicyError;

/// Files of one bundle at most.
pub(crate) const MOST_FILES: usize = 2000;
/// Bytes of one bundle at most.
pub(crate) const MOST_BYTES: u64 = 32 << 20;
/// Folders below one another at most.
const MOST_DEPTH: usize = 16;

macro_rules! built_in {
    ($($name:literal),+ $(,)?) => {
        &[$((
            concat!("default/", $name, ".rego"),
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../policies/default/", $name, ".rego")),
            concat!("default/", $name, "_test.rego"),
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../policies/default/", $name, "_test.rego")),
        )),+]
    };
}

const BUILT_IN: &[(&str, &str, &str, &str)] = built_in![
    "age",
    "blast_radius",
    "configuration",
    "data_loss",
    "drift",
    "exposure",
    "four_eyes",
    "freeze_window",
    "known_bad",
    "prevent_destroy",
    "providers",
    "stateful",
];

/// Rego modules, their tests and their data, by path.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Bundle {
    /// Where it came from, for people.
    pub origin: String,
    modules: BTreeMap<String, String>,
    tests: BTreeMap<String, String>,
    data: BTreeMap<String, Vec<u8>>,
    /// Rules in it are not ours.
    foreign: bool,
}

impl Bundle {
    /// The policy that is on when nothing is configured.
    pub fn built_in() -> Bundle {
        let mut bundle = Bundle {
            origin: "built in".to_owned(),
            ..Bundle::default()
        };
        for (path, text, test_path, test) in BUILT_IN {
            bundle.modules.insert((*path).to_owned(), (*text).to_owned());
            bundle.tests.insert((*test_path).to_owned(), (*test).to_owned());
        }
        bundle
    }

    /// Reads a folder, a `.rego` file, or a `.tar.gz`. Files that are neither Rego nor `data.json`/`data.yaml` are left
    /// alone, and so are hidden folders.
    ///
    /// # Errors
    /// [`PolicyError::Unreadable`]; [`PolicyError::Hostile`] for links, paths that lead out, what is too much;
    /// [`PolicyError::Empty`] where there is no Rego in it.
    pub fn read(path: &Path) -> Result<Bundle, PolicyError> {
        let unreadable = |error: std::io::Error| PolicyError::Unreadable {
            path: path.to_owned(),
            reason: error.to_string(),
        };
        let mut bundle = Bundle {
            origin: path.display().to_string(),
            foreign: true,
            ..Bundle::default()
        };
        // A link to a folder that somebody names is what they mean; links inside of it are not followed.
        let found = std::fs::metadata(path).map_err(unreadable)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if found.is_dir() {
            bundle.read_folder(path, path, 0, &mut 0)?;
        } else if name.ends_with(".rego") {
            let bytes = std::fs::read(path).map_err(unreadable)?;
            bundle.take(path, &name, bytes)?;
        } else {
            for (name, bytes) in archive::read(path)? {
                bundle.take(path, &name, bytes)?;
            }
        }
        if bundle.modules.is_empty() && bundle.tests.is_empty() {
            return Err(PolicyError::Empty { origin: bundle.origin });
        }
        Ok(bundle)
    }

    /// A bundle of modules at hand.
    pub fn of_modules<'m>(origin: &str, modules: impl IntoIterator<Item = (&'m str, &'m str)>) -> Bundle {
        let mut bundle = Bundle {
            origin: origin.to_owned(),
            foreign: true,
            ..Bundle::default()
        };
        for (path, text) in modules {
            bundle.place(path).insert(path.to_owned(), text.to_owned());
        }
        bundle
    }

    /// A bundle of nothing but one `data.json`.
    pub fn of_data(origin: &str, json: Vec<u8>) -> Bundle {
        Bundle {
            origin: origin.to_owned(),
            data: BTreeMap::from([("data.json".to_owned(), json)]),
            ..Bundle::default()
        }
    }

    /// Both together.
    pub fn with(mut self, other: Bundle) -> Bundle {
        let prefix = other.origin.clone();
        let named = |path: String| format!("{prefix}/{path}");
        self.origin = format!("{} + {}", self.origin, other.origin);
        self.foreign |= other.foreign;
        self.modules
            .extend(other.modules.into_iter().map(|(path, text)| (named(path), text)));
        self.tests
            .extend(other.tests.into_iter().map(|(path, text)| (named(path), text)));
        // Where a data file lies says where its values go: it keeps its path, marked apart by what no path has.
        self.data.extend(
            other
                .data
                .into_iter()
                .map(|(path, bytes)| (format!("{prefix}\0{path}"), bytes)),
        );
        self
    }

    /// Whether somebody else wrote rules of it.
    pub(crate) fn is_foreign(&self) -> bool {
        self.foreign
    }

    fn place(&mut self, path: &str) -> &mut BTreeMap<String, String> {
        if path.ends_with("_test.rego") {
            &mut self.tests
        } else {
            &mut self.modules
        }
    }

    fn read_folder(&mut self, top: &Path, folder: &Path, depth: usize, bytes: &mut u64) -> Result<(), PolicyError> {
        let unreadable = |path: &Path, error: std::io::Error| PolicyError::Unreadable {
            path: path.to_owned(),
            reason: error.to_string(),
        };
        let hostile = |reason: String| PolicyError::Hostile {
            path: top.to_owned(),
            reason,
        };
        if depth > MOST_DEPTH {
            return Err(hostile(format!("folders lie more than {MOST_DEPTH} deep")));
        }
        for entry in std::fs::read_dir(folder).map_err(|error| unreadable(folder, error))? {
            let path = entry.map_err(|error| unreadable(folder, error))?.path();
            let relative = path.strip_prefix(top).unwrap_or(&path);
            let Some(name) = relative.to_str().map(|name| name.replace('\\', "/")) else {
                continue;
            };
            if name.rsplit('/').next().is_some_and(|last| last.starts_with('.')) {
                continue;
            }
            let kind = std::fs::symlink_metadata(&path).map_err(|error| unreadable(&path, error))?;
            if kind.is_dir() {
                self.read_folder(top, &path, depth + 1, bytes)?;
            } else if is_policy(&name) {
                if !kind.is_file() {
                    return Err(hostile(format!("{name} is no regular file")));
                }
                *bytes += kind.len();
                if *bytes > MOST_BYTES || self.count() >= MOST_FILES {
                    return Err(hostile(format!(
                        "it holds more than {MOST_FILES} files or {} MiB",
                        MOST_BYTES >> 20
                    )));
                }
                let bytes = std::fs::read(&path).map_err(|error| unreadable(&path, error))?;
                self.take(top, &name, bytes)?;
            }
        }
        Ok(())
    }

    fn count(&self) -> usize {
        self.modules.len() + self.tests.len() + self.data.len()
    }

    fn take(&mut self, origin: &Path, name: &str, bytes: Vec<u8>) -> Result<(), PolicyError> {
        if !name.ends_with(".rego") {
            if is_policy(name) {
                self.data.insert(name.to_owned(), bytes);
            }
            return Ok(());
        }
        let text = String::from_utf8(bytes).map_err(|_| PolicyError::Unreadable {
            path: PathBuf::from(origin),
            reason: format!("{name} is not UTF-8"),
        })?;
        self.place(name).insert(name.to_owned(), text);
        Ok(())
    }

    /// Path and text of each module that is no test.
    pub fn modules(&self) -> impl Iterator<Item = (&str, &str)> {
        self.modules.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// Path and text of each `*_test.rego`.
    pub fn tests(&self) -> impl Iterator<Item = (&str, &str)> {
        self.tests.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// The `data` document: each `data.json` or `data.yaml` under the names of the folders that it lies in, as in OPA's
    /// bundles.
    ///
    /// # Errors
    /// [`PolicyError::Data`]: no object, or two files that say different things of one place.
    pub fn data(&self) -> Result<Value, PolicyError> {
        let mut whole = Map::new();
        for (key, bytes) in &self.data {
            let file = key.rsplit('\0').next().unwrap_or(key);
            let wrong = |reason: String| PolicyError::Data {
                file: file.to_owned(),
                reason,
            };
            let value: Value = if file.ends_with(".json") {
                serde_json::from_slice(bytes).map_err(|error| wrong(error.to_string()))?
            } else {
                yaml_serde::from_slice(bytes).map_err(|error| wrong(error.to_string()))?
            };
            let Value::Object(mut object) = value else {
                return Err(wrong("it is no object".to_owned()));
            };
            let folders: Vec<&str> = file.split('/').collect();
            for folder in folders[..folders.len() - 1].iter().rev() {
                object = Map::from_iter([((*folder).to_owned(), Value::Object(object))]);
            }
            merge(&mut whole, object).map_err(|place| wrong(format!("{place} is given twice")))?;
        }
        Ok(Value::Object(whole))
    }

    /// SHA-256 over what decides: modules and data by path, in the order of their paths, whatever order the file system
    /// has. Tests do not count.
    pub fn digest(&self) -> String {
        let mut whole = Sha256::new();
        let modules = self.modules.iter().map(|(path, text)| (path, text.as_bytes()));
        let data = self.data.iter().map(|(path, bytes)| (path, bytes.as_slice()));
        let mut files: Vec<(&String, &[u8])> = modules.chain(data).collect();
        files.sort();
        for (path, bytes) in files {
            // Lengths first, so that no two sets of files read the same.
            whole.update((path.len() as u64).to_be_bytes());
            whole.update(path.as_bytes());
            whole.update((bytes.len() as u64).to_be_bytes());
            whole.update(bytes);
        }
        hex::encode(whole.finalize())
    }
}

pub(crate) fn is_policy(name: &str) -> bool {
    let last = name.rsplit('/').next().unwrap_or(name);
    last.ends_with(".rego") || matches!(last, "data.json" | "data.yaml" | "data.yml")
}

fn merge(into: &mut Map<String, Value>, from: Map<String, Value>) -> Result<(), String> {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (None, value) => {
                into.insert(key, value);
            }
            (Some(Value::Object(old)), Value::Object(new)) => {
                merge(old, new).map_err(|place| format!("{key}.{place}"))?;
            }
            (Some(_), _) => return Err(key),
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "bundle_tests.rs"]
mod tests;
