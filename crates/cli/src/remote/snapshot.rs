//! `snapshot`: the checkout is brought to the service, which reads the states and keeps the release.

use rollback_client::Call;
use rollback_engine::error::Result;
use serde_json::{Value, json};

use super::{Connection, variables};
use crate::arguments::{Global, SnapshotArguments, VariableArguments};
use crate::commands;
use crate::output::Output;

/// Keeps HEAD and every stack's state as a release.
pub fn run(connection: &Connection, global: &Global, arguments: &SnapshotArguments, output: &Output) -> Result<()> {
    connection.bring(None)?;
    let mut body = json!({ "name": arguments.name, "note": arguments.note, "stacks": global.stacks });
    if let Some(located) = &connection.located {
        body["commit"] = json!(located.repository.head()?.as_str());
    }
    let values = connection.variables(global, &VariableArguments::default())?;
    variables::put(&mut body, values)?;
    let mut release: Value = connection.server.json(Call::post("/v1/releases", body))?;
    let warnings = release.as_object_mut().and_then(|release| release.remove("warnings"));
    commands::snapshot::tell(output, &release, &warnings.unwrap_or_else(|| json!([])));
    Ok(())
}
