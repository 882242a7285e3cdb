//! The order of a run's parts.

use std::collections::{BTreeMap, BTreeSet};

use rollback_runbook::{Node, OrderError, Part, TERRAFORM, order};

use crate::context::Stack;
use crate::error::{EngineError, Result};

/// For each part of a run those that must be done before it. On the way forward, as an undo goes, everything is done the
/// other way round: what the application needs has to be there before it.
///
/// # Errors
/// See [`check`].
pub(super) fn waits(parts: &[&Part], stacks: &[&str], forward: bool) -> Result<BTreeMap<String, BTreeSet<String>>> {
    let here = |name: &String| parts.iter().any(|part| part.name == *name) || stacks.contains(&name.as_str());
    let mut nodes: Vec<Node> = parts
        .iter()
        .map(|part| Node {
            name: part.name.clone(),
            // On the way back a stack is done as its plan was made: before something else stands in its objects' place.
            rank: match !forward && part.step.replaces_what_terraform_has() {
                true => TERRAFORM + 1,
                false => part.rank(),
            },
            // What this run leaves alone is not waited for.
            after: part
                .after
                .as_ref()
                .map(|names| names.iter().filter(|name| here(name)).cloned().collect()),
        })
        .collect();
    nodes.extend(stacks.iter().map(|stack| stack_node(stack)));
    let waits = order(&nodes).map_err(failed)?;
    if !forward {
        return Ok(waits);
    }
    let mut turned: BTreeMap<String, BTreeSet<String>> =
        waits.keys().map(|name| (name.clone(), BTreeSet::new())).collect();
    for (later, earlier) in waits {
        for name in earlier {
            turned.entry(name).or_default().insert(later.clone());
        }
    }
    Ok(turned)
}

fn stack_node(stack: &str) -> Node {
    Node {
        name: stack.to_owned(),
        rank: TERRAFORM,
        after: None,
    }
}

fn failed(error: OrderError) -> EngineError {
    EngineError::usage(error.to_string()).hint("see `after` and `name` of the [[step]] tables in infra-rollback.toml")
}

/// Whether the settings' steps and stacks have an order at all.
///
/// # Errors
/// Names that are not known or known twice, and circles.
pub fn check(parts: &[Part], stacks: &[Stack]) -> Result<()> {
    let mut nodes: Vec<Node> = parts
        .iter()
        .map(|part| Node {
            name: part.name.clone(),
            rank: part.rank(),
            after: part.after.clone(),
        })
        .collect();
    nodes.extend(stacks.iter().map(|stack| stack_node(&stack.name)));
    order(&nodes).map(|_| ()).map_err(failed)
}
