//! `snapshot`.

use rollback_engine::error::Result;
use rollback_engine::snapshot::{self, Options};
use serde_json::json;

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
    for warning in &taken.warnings {
        output.note(Tone::Warning, &format!("! {warning}"));
    }
    let release = &taken.release;
    let name = release.name.as_ref().map(|name| format!(" {name}")).unwrap_or_default();
    output.toned(
        Tone::Good,
        &format!("Kept release{name} {} of commit {:.10}", release.id, release.commit),
    );
    for stack in &release.stacks {
        let state = stack.state.as_ref().map_or_else(
            || "no state yet".to_owned(),
            |state| format!("{} objects, serial {}", state.instances, state.serial),
        );
        output.line(&format!(
            "  {}: {state}, {} files",
            stack.name,
            stack.configuration.len()
        ));
    }
    output.line(&format!("  Back to it: infra-rollback to {:.10}", release.commit));
    output.document(
        &json!({ "release": rollback_engine::document::describe_release(release), "warnings": taken.warnings }),
    );
    Ok(())
}
