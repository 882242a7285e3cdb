//! `snapshot`.

use rollback_engine::error::Result;
use rollback_engine::snapshot::{self, Options};
use rollback_engine::words::counted;
use serde_json::{Value, json};

use crate::arguments::{Global, SnapshotArguments, VariableArguments};
use crate::output::{Output, Tone};
use crate::session;

/// Keeps HEAD and every stack's state as a release.
pub fn run(global: &Global, arguments: &SnapshotArguments, output: &Output) -> Result<()> {
    let context = session::open(global, &VariableArguments::default(), output)?;
    let options = Options {
        name: arguments.name.clone(),
        note: arguments.note.clone(),
    };
    let taken = snapshot::take(&context, &options)?;
    drop(context);
    let release = rollback_engine::document::describe_release(&taken.release);
    tell(output, &release, &json!(taken.warnings));
    Ok(())
}

/// What was kept, as [`describe_release`] describes it, and what was noticed.
///
/// [`describe_release`]: rollback_engine::document::describe_release
pub fn tell(output: &Output, release: &Value, warnings: &Value) {
    for warning in warnings.as_array().into_iter().flatten().filter_map(Value::as_str) {
        output.note(Tone::Warning, &format!("! {warning}"));
    }
    let text = |name: &str| release[name].as_str().unwrap_or_default();
    let name = release["name"]
        .as_str()
        .map(|name| format!(" {name}"))
        .unwrap_or_default();
    output.toned(
        Tone::Good,
        &format!("Kept release{name} {} of commit {:.10}", text("id"), text("commit")),
    );
    for stack in release["stacks"].as_array().into_iter().flatten() {
        let state = match &stack["state"] {
            Value::Null => "no state yet".to_owned(),
            state => format!(
                "{}, serial {}",
                counted(state["instances"].as_u64().unwrap_or_default(), "object"),
                state["serial"]
            ),
        };
        output.line(&format!(
            "  {}: {state}, {}",
            stack["name"].as_str().unwrap_or_default(),
            counted(stack["configuration_files"].as_u64().unwrap_or_default(), "file")
        ));
    }
    output.line(&format!("  Back to it: infra-rollback to {:.10}", text("commit")));
    output.document(&json!({ "release": release, "warnings": warnings }));
}
