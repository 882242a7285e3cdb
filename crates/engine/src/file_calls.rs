//! Files that a configuration reads by `file("…")` and its like, where the path is written out.

use std::collections::BTreeSet;

use rollback_config::{Configuration, FileTree};

use crate::collect::in_dir;
use crate::context::Context;

const READERS: &[&str] = &["file(", "templatefile(", "filebase64(", "fileexists("];
const HASHES: &[&str] = &[
    "filemd5(",
    "filesha1(",
    "filesha256(",
    "filesha512(",
    "filebase64sha256(",
    "filebase64sha512(",
];

/// One such call.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FileCall {
    pub path: String,
    /// Whether the path begins at the module that calls; otherwise at the root module.
    pub is_of_module: bool,
}

/// The calls in a text of HCL.
pub(crate) fn of(text: &str) -> Vec<FileCall> {
    let mut found = Vec::new();
    for reader in READERS.iter().chain(HASHES) {
        for (at, _) in text.match_indices(reader) {
            let before = text[..at].chars().next_back();
            if before.is_some_and(|letter| letter.is_alphanumeric() || letter == '_') {
                continue;
            }
            let rest = text[at + reader.len()..].trim_start();
            let Some(path) = rest.strip_prefix('"').and_then(|rest| rest.split('"').next()) else {
                continue;
            };
            let of_module = path.strip_prefix("${path.module}/");
            let of_root = path.strip_prefix("${path.root}/");
            let written = of_module.or(of_root).unwrap_or(path);
            if !written.contains("${") && !written.contains("%{") {
                found.push(FileCall {
                    path: written.to_owned(),
                    is_of_module: of_module.is_some(),
                });
            }
        }
    }
    found
}

/// Files that a configuration reads, that lie in the work tree, and that the commit does not have.
pub(crate) fn not_in_git(
    context: &Context,
    tree: &dyn FileTree,
    root: &str,
    configuration: &Configuration,
) -> BTreeSet<String> {
    let mut missing = BTreeSet::new();
    for file in &configuration.files {
        let Ok(Some(bytes)) = tree.read(file) else { continue };
        let module = file.rsplit_once('/').map_or("", |(dir, _)| dir);
        for call in of(&String::from_utf8_lossy(&bytes)) {
            let Some(path) = within(&in_dir(if call.is_of_module { module } else { root }, &call.path)) else {
                continue;
            };
            if matches!(tree.read(&path), Ok(None)) && context.root.join(&path).is_file() {
                missing.insert(path);
            }
        }
    }
    missing
}

/// A path of the repository without `.` and `..`; none where it leads out of it.
fn within(path: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" if parts.is_empty() && path.starts_with('/') => return None,
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_are_written_out_are_found() {
        let text = r#"a = file("${path.module}/x") + templatefile("t.tpl", {}) + file("${var.p}/y") + my_file("z") + filemd5("${path.root}/h")"#;
        let found: Vec<(String, bool)> = of(text)
            .into_iter()
            .map(|call| (call.path, call.is_of_module))
            .collect();
        let expected = [("x", true), ("t.tpl", false), ("h", false)];
        assert_eq!(
            found,
            expected.map(|(path, is_of_module)| (path.to_owned(), is_of_module))
        );
    }

    #[test]
    fn a_path_that_leads_out_is_no_path_of_the_repository() {
        assert_eq!(within("a/./b/../c").as_deref(), Some("a/c"));
        assert_eq!(within("a/../../c"), None);
        assert_eq!(within("/etc/passwd"), None);
    }
}
