//! `diff`, as the service tells it: object by object, and which files of the configuration differ.

use rollback_client::segment;
use rollback_engine::error::Result;
use serde_json::{Value, json};

use super::Connection;
use crate::arguments::{DiffArguments, Global};
use crate::output::{Output, Tone};

/// Prints the difference.
pub fn run(connection: &Connection, global: &Global, arguments: &DiffArguments, output: &Output) -> Result<()> {
    let path = format!(
        "/v1/releases/{}/diff?to={}",
        segment(&arguments.from),
        segment(&arguments.to)
    );
    let difference: Value = connection.server.get(path)?;
    let mut documents = Vec::new();
    for stack in difference["stacks"].as_array().into_iter().flatten() {
        let name = stack["name"].as_str().unwrap_or_default();
        if !global.stacks.is_empty() && !global.stacks.iter().any(|wanted| wanted == name) {
            continue;
        }
        output.heading(&format!("stack {name}"));
        let mut document = json!({ "stack": name });
        if !arguments.config {
            document["objects"] = objects(stack, arguments.patch, output);
        }
        if !arguments.state {
            document["files"] = files(stack, output);
        }
        documents.push(document);
    }
    output.document(&json!({ "from": difference["from"], "to": difference["to"], "stacks": documents }));
    Ok(())
}

fn objects(stack: &Value, patch: bool, output: &Output) -> Value {
    let changes = stack["patches"].as_array().map(Vec::as_slice).unwrap_or_default();
    for change in changes {
        let text = |name: &str| change[name].as_str().unwrap_or_default();
        let (symbol, tone) = match text("fate") {
            "create" | "adopt" => ("+", Tone::Good),
            "destroy" | "forget" => ("-", Tone::Danger),
            "move" => ("=", Tone::Plain),
            _ => ("~", Tone::Warning),
        };
        let previous = change["previous_address"].as_str();
        let previous = previous.map(|from| format!("  (was {from})")).unwrap_or_default();
        output.toned(tone, &format!("  {symbol} {}{previous}", text("address")));
        for operation in change["patch"].as_array().into_iter().flatten() {
            let text = operation.to_string();
            output.line(&match patch {
                true => format!("      {text}"),
                false => crate::commands::diff::short(&text),
            });
        }
    }
    if changes.is_empty() {
        output.line("  the same objects");
    }
    let mut document = stack.clone();
    if let Some(map) = document.as_object_mut() {
        for name in ["name", "configuration_files", "patches"] {
            map.remove(name);
        }
    }
    if patch {
        document["patches"] = changes
            .iter()
            .map(|change| json!({ "address": change["address"], "patch": change["patch"] }))
            .collect();
    }
    document
}

/// Which files differ: their text stays with the service, where it may hold what this token must not see.
fn files(stack: &Value, output: &Output) -> Value {
    let paths = stack["configuration_files"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    for path in paths.iter().filter_map(Value::as_str) {
        output.line(&format!("  {path} differs"));
    }
    if paths.is_empty() {
        output.line("  the same configuration");
    }
    paths.iter().map(|path| json!({ "path": path, "diff": null })).collect()
}
