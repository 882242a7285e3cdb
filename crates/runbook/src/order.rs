//! The order of a run's parts: steps and stacks as one graph.

use std::collections::{BTreeMap, BTreeSet};

/// A part of a run, by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub name: String,
    /// Where it stands among parts that say nothing of each other: lower ranks first. Parts of one rank may run side by
    /// side.
    pub rank: u8,
    /// Names of parts that must be done before, instead of what its rank says.
    pub after: Option<Vec<String>>,
}

/// Why parts have no order.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    #[error("`{node}` is to be done after `{after}`, and there is no step or stack of that name")]
    Unknown { node: String, after: String },
    #[error("there are two steps or stacks called `{name}`")]
    Twice { name: String },
    #[error("these wait for each other: {}", names.join(", "))]
    Circle { names: Vec<String> },
}

/// For each part the parts that must be done before it. A part that names none waits for all of a lower rank; `after = []`
/// waits for nothing.
///
/// # Errors
/// A name that is not known or known twice, and circles.
pub fn order(nodes: &[Node]) -> Result<BTreeMap<String, BTreeSet<String>>, OrderError> {
    let mut before: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for node in nodes {
        let waits: BTreeSet<String> = match &node.after {
            Some(names) => names.iter().cloned().collect(),
            None => nodes
                .iter()
                // One that says itself what it comes after may come after this one.
                .filter(|other| other.rank < node.rank && other.after.is_none())
                .map(|other| other.name.clone())
                .collect(),
        };
        if let Some(unknown) = waits
            .iter()
            .find(|name| !nodes.iter().any(|other| other.name == **name))
        {
            return Err(OrderError::Unknown {
                node: node.name.clone(),
                after: unknown.clone(),
            });
        }
        if before.insert(node.name.clone(), waits).is_some() {
            return Err(OrderError::Twice {
                name: node.name.clone(),
            });
        }
    }
    let mut done: BTreeSet<&str> = BTreeSet::new();
    while done.len() < before.len() {
        let ready: Vec<&str> = before
            .iter()
            .filter(|(name, waits)| {
                !done.contains(name.as_str()) && waits.iter().all(|name| done.contains(name.as_str()))
            })
            .map(|(name, _)| name.as_str())
            .collect();
        if ready.is_empty() {
            return Err(OrderError::Circle {
                names: before
                    .keys()
                    .filter(|name| !done.contains(name.as_str()))
                    .cloned()
                    .collect(),
            });
        }
        done.extend(ready);
    }
    Ok(before)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, rank: u8, after: Option<&[&str]>) -> Node {
        Node {
            name: name.into(),
            rank,
            after: after.map(|names| names.iter().map(|name| (*name).to_owned()).collect()),
        }
    }

    fn waits(nodes: &[Node], name: &str) -> Vec<String> {
        order(nodes).unwrap()[name].iter().cloned().collect()
    }

    #[test]
    fn by_rank_unless_it_says_otherwise() {
        let nodes = [
            node("traffic", 0, None),
            node("backend", 1, None),
            node("worker", 1, None),
            node("app", 2, None),
            node("migrations", 3, Some(&["app", "worker"])),
        ];
        assert_eq!(waits(&nodes, "traffic"), Vec::<String>::new());
        assert_eq!(waits(&nodes, "worker"), ["traffic"]);
        assert_eq!(waits(&nodes, "app"), ["backend", "traffic", "worker"]);
        assert_eq!(waits(&nodes, "migrations"), ["app", "worker"]);
    }

    #[test]
    fn what_cannot_be_ordered_is_named() {
        let unknown = order(&[node("a", 0, Some(&["b"]))]).unwrap_err();
        assert!(unknown.to_string().contains("`b`"), "{unknown}");
        let circle = order(&[
            node("a", 0, Some(&["b"])),
            node("b", 0, Some(&["a"])),
            node("c", 0, None),
        ])
        .unwrap_err();
        assert_eq!(
            circle,
            OrderError::Circle {
                names: vec!["a".into(), "b".into()]
            }
        );
        assert_eq!(
            order(&[node("a", 0, None), node("a", 1, None)]).unwrap_err(),
            OrderError::Twice { name: "a".into() }
        );
    }
}
