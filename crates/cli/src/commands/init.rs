//! `init`: looks for root modules and writes infra-rollback.toml.

use std::path::{Path, PathBuf};

use rollback_config::{DiskTree, load};
use rollback_engine::context::{SETTINGS, has_configuration};
use rollback_engine::error::{EngineError, Result};
use rollback_repository::Repository;
use serde_json::json;

use crate::arguments::{Global, InitArguments};
use crate::output::{Output, Tone};

/// How deep root modules are looked for.
const DEEPEST: usize = 6;

/// Writes the file.
pub fn run(global: &Global, arguments: &InitArguments, output: &Output) -> Result<()> {
    let repository = Repository::open(&std::env::current_dir()?)?;
    let root = repository
        .workdir()
        .ok_or_else(|| EngineError::failed("this is a bare repository: there is no working folder with stacks"))?
        .canonicalize()?;
    let path = global.config.clone().unwrap_or_else(|| root.join(SETTINGS));
    if path.exists() && !arguments.force {
        return Err(EngineError::failed(format!("{} is there already", path.display()))
            .hint("edit it, or write over it with --force"));
    }
    let stacks = find_stacks(&root);
    if stacks.is_empty() {
        return Err(
            EngineError::failed(format!("no Terraform root module was found below {}", root.display()))
                .hint("a root module is a folder with .tf files that no other one calls as a module"),
        );
    }
    let text = settings(&stacks);
    std::fs::write(&path, &text)?;
    output.toned(Tone::Good, &format!("Wrote {}", path.display()));
    for (name, dir) in &stacks {
        output.line(&format!("  stack {name} in {}", if dir.is_empty() { "." } else { dir }));
    }
    output.line("Commit it. Then `infra-rollback snapshot` after each apply.");
    output.document(&json!({
        "file": path,
        "stacks": stacks.iter().map(|(name, dir)| json!({ "name": name, "dir": dir })).collect::<Vec<_>>(),
    }));
    Ok(())
}

/// Folders with Terraform files that no other folder calls, by name and folder.
fn find_stacks(root: &Path) -> Vec<(String, String)> {
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
        // A library of modules and its examples are nobody's production.
        .filter(|dir| {
            !dir.split('/')
                .any(|part| matches!(part, "modules" | "examples" | "example" | "test" | "tests" | "fixtures"))
        })
        .map(|dir| {
            let name = dir
                .rsplit('/')
                .find(|part| !part.is_empty() && *part != "terraform")
                .map_or_else(
                    || {
                        root.file_name()
                            .map_or_else(|| "stack".to_owned(), |name| name.to_string_lossy().into_owned())
                    },
                    str::to_owned,
                );
            (name, dir)
        })
        .collect();
    // Two folders of one name are told apart by their whole path.
    for index in 0..stacks.len() {
        if stacks.iter().filter(|(name, _)| *name == stacks[index].0).count() > 1 {
            stacks[index].0 = stacks[index].1.replace('/', "-");
        }
    }
    stacks
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

fn settings(stacks: &[(String, String)]) -> String {
    let mut text = String::from(
        "# What infra-rollback takes snapshots of and rolls back. See `infra-rollback --help`.\n\n\
         # [store]\n# url = \"file:///var/lib/infra-rollback\"   # default: a store of your own on this machine\n",
    );
    for (name, dir) in stacks {
        text.push_str(&format!(
            "\n[[stack]]\nname = {}\ndir = {}\n# var_files = [\"production.tfvars\"]\n# depends_on = [\"network\"]   # rolled back before what it depends on\n",
            toml_string(name),
            toml_string(if dir.is_empty() { "." } else { dir })
        ));
    }
    text
}

fn toml_string(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
