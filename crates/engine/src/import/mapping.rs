//! Which commit belongs to which state, as a person wrote it down: CSV or JSON.
//!
//! ```text
//! version_id,commit            or without the first line: VERSION,COMMIT
//! 3sL4kqtJlcpXroDTDmJ,v1.4.1
//! ```
//! ```text
//! {"3sL4kqtJlcpXroDTDmJ": "v1.4.1", "118": "2f0c9a1"}
//! [{"serial": 118, "commit": "2f0c9a1"}, {"sha256": "9f86…", "commit": "v1.4.2"}]
//! ```

use std::collections::{BTreeMap, BTreeSet};

use rollback_repository::{CommitId, Repository};
use serde_json::Value;

use crate::error::{EngineError, Result};

/// The properties of a state by which it can be named, in the order in which they are looked up.
const PROPERTIES: [&str; 3] = ["version", "sha256", "serial"];

/// States to commits.
#[derive(Debug, Default)]
pub struct Mapping {
    /// Property and its value to the commit; the property is empty where the file does not say which it is.
    entries: BTreeMap<(String, String), CommitId>,
    used: BTreeSet<(String, String)>,
}

/// One line: which property, its value, the commit as written, where it stands.
struct Line {
    property: &'static str,
    value: String,
    commit: String,
    place: String,
}

impl Mapping {
    /// Reads a mapping. Commits may be written as anything that Git knows: ids, tags, branches.
    ///
    /// # Errors
    /// The file is neither, names a commit that Git does not have, or names two commits for one state.
    pub fn parse(name: &str, bytes: &[u8], repository: &Repository) -> Result<Mapping> {
        let text = std::str::from_utf8(bytes)
            .map_err(|_| EngineError::usage(format!("{name} is not UTF-8")).hint("write it as UTF-8 text"))?;
        let text = text.trim_start_matches('\u{feff}');
        let lines = if text.trim_start().starts_with(['{', '[']) {
            of_json(name, text)?
        } else {
            of_csv(name, text)?
        };
        let mut mapping = Mapping::default();
        for line in lines {
            let commit = repository
                .resolve(&line.commit)
                .map_err(|error| EngineError::from(error).during(&line.place))?;
            let key = (line.property.to_owned(), normal(line.property, &line.value));
            let before = mapping.entries.insert(key, commit.clone());
            if before.is_some_and(|before| before != commit) {
                return Err(
                    EngineError::usage(format!("{}: {} has two commits", line.place, line.value))
                        .hint("remove the line that is wrong"),
                );
            }
        }
        Ok(mapping)
    }

    /// The commit of a state and the property that named it.
    pub(super) fn find(&mut self, version: &str, sha256: &str, serial: u64) -> Option<(CommitId, &'static str)> {
        let values = [version.to_owned(), sha256.to_owned(), serial.to_string()];
        for (property, value) in PROPERTIES.into_iter().zip(values) {
            for kind in [property, ""] {
                let key = (kind.to_owned(), value.clone());
                if let Some(commit) = self.entries.get(&key) {
                    let commit = commit.clone();
                    self.used.insert(key);
                    return Some((commit, property));
                }
            }
        }
        None
    }

    /// Lines that fitted no state.
    pub(super) fn unused(&self) -> impl Iterator<Item = &str> {
        self.entries
            .keys()
            .filter(|key| !self.used.contains(*key))
            .map(|(_, value)| value.as_str())
    }
}

fn normal(property: &str, value: &str) -> String {
    match property {
        "sha256" => value.to_ascii_lowercase(),
        // Without a name only a digest has 64 hexadecimal digits.
        "" if value.len() == 64 && value.bytes().all(|byte| byte.is_ascii_hexdigit()) => value.to_ascii_lowercase(),
        _ => value.to_owned(),
    }
}

fn property(name: &str) -> Option<&'static str> {
    match name.trim().to_ascii_lowercase().replace(['-', ' '], "_").as_str() {
        "version" | "version_id" | "versionid" => Some("version"),
        "sha256" => Some("sha256"),
        "serial" => Some("serial"),
        _ => None,
    }
}

fn is_commit(name: &str) -> bool {
    name.trim().eq_ignore_ascii_case("commit")
}

fn of_csv(name: &str, text: &str) -> Result<Vec<Line>> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .comment(Some(b'#'))
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    // (property, column) pairs and the column of the commit.
    let mut columns: (Vec<(&'static str, usize)>, usize) = (vec![("", 0)], 1);
    let mut lines = Vec::new();
    for (index, row) in reader.records().enumerate() {
        let row = row.map_err(|error| EngineError::usage(format!("{name}: {error}")).hint(HINT))?;
        let number = row.position().map_or(index as u64 + 1, csv::Position::line);
        if index == 0
            && let Some(commit) = row.iter().position(is_commit)
        {
            let named = row.iter().enumerate();
            let found: Vec<_> = named
                .filter_map(|(column, name)| Some((property(name)?, column)))
                .collect();
            if found.is_empty() {
                return Err(EngineError::usage(format!("{name}: no column names the states")).hint(HINT));
            }
            columns = (found, commit);
            continue;
        }
        let place = format!("{name}, line {number}");
        let commit = row.get(columns.1).filter(|commit| !commit.is_empty());
        let commit = commit.ok_or_else(|| EngineError::usage(format!("{place}: there is no commit")).hint(HINT))?;
        let values = columns
            .0
            .iter()
            .filter_map(|(property, column)| Some((*property, row.get(*column)?)));
        let mut named = values.filter(|(_, value)| !value.is_empty()).peekable();
        if named.peek().is_none() {
            return Err(EngineError::usage(format!("{place}: nothing names the state")).hint(HINT));
        }
        // The first that is given names it: the others may be there for people.
        if let Some((property, value)) = named.next() {
            lines.push(Line {
                property,
                value: value.to_owned(),
                commit: commit.to_owned(),
                place,
            });
        }
    }
    Ok(lines)
}

fn of_json(name: &str, text: &str) -> Result<Vec<Line>> {
    let broken = |message: String| EngineError::usage(message).hint(HINT);
    let document: Value = serde_json::from_str(text).map_err(|error| broken(format!("{name}: {error}")))?;
    let scalar = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let mut lines = Vec::new();
    match &document {
        Value::Object(pairs) => {
            for (key, commit) in pairs {
                let place = format!("{name}, {key}");
                let commit = scalar(commit).ok_or_else(|| broken(format!("{place}: the commit is no text")))?;
                lines.push(Line {
                    property: "",
                    value: key.clone(),
                    commit,
                    place,
                });
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                let place = format!("{name}, entry {}", index + 1);
                let fields = item.as_object().into_iter().flatten();
                let commit = fields
                    .clone()
                    .find(|(field, _)| is_commit(field))
                    .and_then(|(_, value)| scalar(value));
                let named = fields
                    .clone()
                    .find_map(|(field, value)| Some((property(field)?, scalar(value)?)));
                let (Some(commit), Some((property, value))) = (commit, named) else {
                    return Err(broken(format!(
                        "{place}: it needs a commit, and a version_id, serial or sha256"
                    )));
                };
                lines.push(Line {
                    property,
                    value,
                    commit,
                    place,
                });
            }
        }
        _ => return Err(broken(format!("{name} is no mapping"))),
    }
    Ok(lines)
}

const HINT: &str = "a mapping is CSV with the columns version_id (or serial, or sha256) and commit, or JSON such as \
                    {\"VERSION\": \"COMMIT\"}";

#[cfg(test)]
mod tests {
    use super::*;

    fn values(lines: Vec<Line>) -> Vec<(&'static str, String, String)> {
        lines
            .into_iter()
            .map(|line| (line.property, line.value, line.commit))
            .collect()
    }

    fn one(property: &'static str, value: &str, commit: &str) -> (&'static str, String, String) {
        (property, value.to_owned(), commit.to_owned())
    }

    #[test]
    fn every_way_of_writing_it() {
        for (text, expected) in [
            ("abc,v1\n7,v2\n", vec![one("", "abc", "v1"), one("", "7", "v2")]),
            (
                "# by hand\ncommit,Version-ID\nv1,abc\n",
                vec![one("version", "abc", "v1")],
            ),
            (
                "serial, sha256 ,commit\n7,,v1\n,ff,v2\n",
                vec![one("serial", "7", "v1"), one("sha256", "ff", "v2")],
            ),
            ("\"a,b\",v1\r\n", vec![one("", "a,b", "v1")]),
        ] {
            assert_eq!(values(of_csv("m", text).unwrap()), expected, "{text:?}");
        }
        for (text, expected) in [
            (r#"{"abc": "v1"}"#, vec![one("", "abc", "v1")]),
            (r#"[{"serial": 7, "commit": "v1"}]"#, vec![one("serial", "7", "v1")]),
        ] {
            assert_eq!(values(of_json("m", text).unwrap()), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_mapping_is_refused_with_its_place() {
        for (text, place) in [
            ("abc\n", "line 1"),
            ("version,commit\nabc,v1\nabd,\n", "line 3"),
            ("version,commit\n,v1\n", "line 2"),
            ("who,commit\nme,v1\n", "no column"),
        ] {
            let error = of_csv("m", text).err().unwrap();
            assert!(error.message.contains(place), "{text:?}: {error}");
        }
        for text in ["[1]", "{\"a\": [1]}", "{", "[{\"commit\": \"v1\"}]"] {
            assert!(of_json("m", text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_version_counts_before_a_serial() {
        let id = |digit: &str| digit.repeat(40).parse::<CommitId>().unwrap();
        let mut mapping = Mapping::default();
        for (property, value, commit) in [("", "7", "a"), ("serial", "8", "b"), ("version", "9", "c")] {
            mapping
                .entries
                .insert((property.to_owned(), value.to_owned()), id(commit));
        }
        assert_eq!(mapping.find("7", "", 8), Some((id("a"), "version")));
        assert_eq!(mapping.find("x", "", 7), Some((id("a"), "serial")));
        assert_eq!(mapping.find("x", "", 9), None, "that is a version's name, not a serial");
        assert_eq!(mapping.unused().collect::<Vec<_>>(), ["8", "9"]);
    }
}
