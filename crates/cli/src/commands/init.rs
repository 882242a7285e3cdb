//! `init`: looks for root modules and writes infra-rollback.toml.

use rollback_engine::context::SETTINGS;
use rollback_engine::error::{EngineError, Result};
use rollback_engine::roots;
use rollback_repository::Repository;
use serde_json::json;

use crate::arguments::{Global, InitArguments};
use crate::output::{Output, Tone};

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
    let stacks = roots::find(&root);
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
