//! The root modules of a working folder: folders with Terraform files that no other folder calls as a module.

use std::path::{Path, PathBuf};

use rollback_config::{DiskTree, load};

use crate::context::has_configuration;

/// How deep root modules are looked for.
const DEEPEST: usize = 6;

/// Root modules by name and folder, the folder relative to `root`. Libraries of modules, examples and fixtures are left
/// out: they are nobody's production.
pub fn find(root: &Path) -> Vec<(String, String)> {
    let mut folders = Vec::new();
    collect(root, root, 0, &mut folders);
    let tree = DiskTree::new(root.to_path_buf());
    let mut called = Vec::new();
    for dir in &folders {
        if let Ok(configuration) = load(&tree, dir, None) {
            called.extend(
                configuration
                    .modules
                    .values()
                    .filter(|module| !module.path.is_empty())
                    .map(|module| module.dir.clone()),
            );
        }
    }
    let mut stacks: Vec<(String, String)> = folders
        .into_iter()
        .filter(|dir| !called.contains(dir))
        .filter(|dir| {
            !dir.split('/')
                .any(|part| matches!(part, "modules" | "examples" | "example" | "test" | "tests" | "fixtures"))
        })
        .map(|dir| (name_of(root, &dir), dir))
        .collect();
    // Two folders of one name are told apart by their whole path.
    for index in 0..stacks.len() {
        if stacks.iter().filter(|(name, _)| *name == stacks[index].0).count() > 1 {
            stacks[index].0 = stacks[index].1.replace('/', "-");
        }
    }
    stacks
}

fn name_of(root: &Path, dir: &str) -> String {
    dir.rsplit('/')
        .find(|part| !part.is_empty() && *part != "terraform")
        .map_or_else(
            || {
                root.file_name()
                    .map_or_else(|| "stack".to_owned(), |name| name.to_string_lossy().into_owned())
            },
            str::to_owned,
        )
}

fn collect(root: &Path, folder: &Path, depth: usize, found: &mut Vec<String>) {
    if has_configuration(folder) {
        let relative = folder.strip_prefix(root).unwrap_or(folder);
        found.push(relative.to_string_lossy().into_owned());
    }
    if depth == DEEPEST {
        return;
    }
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let mut folders: Vec<PathBuf> = entries
        .filter_map(std::result::Result::ok)
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            !name.starts_with('.') && !matches!(name.as_str(), "node_modules" | "target" | "vendor")
        })
        .collect();
    folders.sort();
    for folder in folders {
        collect(root, &folder, depth + 1, found);
    }
}
