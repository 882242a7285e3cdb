//! The way from the current configuration to the target's, and what its blocks say about an object.

use rollback_config::refactor::Tracer;
use rollback_config::{Configuration, Endpoint, Import, Location, Module};
use rollback_state::{Address, ModulePath, ModuleStep};

use crate::input::{Direction, Input, Step};

/// The configurations between, as steps between two neighbours.
pub(crate) struct History<'a> {
    edges: Vec<Edge<'a>>,
    /// Whether `removed` without `lifecycle` lets go (OpenTofu) instead of destroying (Terraform).
    removed_forgets: bool,
}

struct Edge<'a> {
    direction: Direction,
    newer: &'a Configuration,
    tracer: Tracer<'a>,
}

impl<'a> Edge<'a> {
    fn new(before: &'a Configuration, after: &'a Configuration, direction: Direction) -> Edge<'a> {
        let (newer, older) = match direction {
            Direction::Back => (before, after),
            Direction::Forward => (after, before),
        };
        Edge {
            direction,
            newer,
            tracer: Tracer::new(newer, Some(older)),
        }
    }
}

fn edges<'a>(steps: &[Step<'a>]) -> Vec<Edge<'a>> {
    let pairs = steps.windows(2);
    pairs
        .map(|pair| Edge::new(pair[0].configuration, pair[1].configuration, pair[1].direction))
        .collect()
}

/// Whether an `import` block took in what lives at an address of the first configuration, on the way to the last one.
///
/// `identifier` is the provider's own one of the object, where it is known.
pub fn is_imported_on(way: &[Step<'_>], address: &Address, identifier: Option<&str>) -> bool {
    let history = History {
        edges: edges(way),
        removed_forgets: false,
    };
    let named = || history.import_naming(&address.resource.kind, identifier?);
    history
        .to_target(address)
        .imported
        .or_else(|| named().cloned())
        .is_some()
}

/// Where an object's address leads, and the blocks that tell more about it.
#[derive(Default)]
pub(crate) struct Trace {
    /// The address at the other end; none where the object is unknown there.
    pub(crate) address: Option<Address>,
    /// An `import` block for it on the way: it existed before Terraform took it in.
    pub(crate) imported: Option<Import>,
    /// A `removed` block with `destroy = false` for it on the way: it was let go.
    pub(crate) let_go: Option<Location>,
    /// The last `moved` block that was followed.
    pub(crate) moved: Option<Location>,
}

impl<'a> History<'a> {
    pub(crate) fn new(input: &Input<'a>) -> Self {
        let edges = match (input.history, input.current_config, input.target_config) {
            ([], Some(current), Some(target)) => vec![Edge::new(current, target, Direction::Back)],
            (steps, _, _) => edges(steps),
        };
        History {
            edges,
            removed_forgets: is_open_tofu(input),
        }
    }

    /// Follows an address of the current configuration to the target's.
    pub(crate) fn to_target(&self, address: &Address) -> Trace {
        self.follow(address, self.edges.iter().map(|edge| (edge, edge.direction)))
    }

    /// Follows an address of the target's configuration to the current one.
    pub(crate) fn to_current(&self, address: &Address) -> Trace {
        self.follow(
            address,
            self.edges.iter().rev().map(|edge| {
                let reverse = match edge.direction {
                    Direction::Back => Direction::Forward,
                    Direction::Forward => Direction::Back,
                };
                (edge, reverse)
            }),
        )
    }

    /// An `import` block on the way that names an object by its id: it tells also of one that `terraform state mv` renamed
    /// since, which no block does.
    pub(crate) fn import_naming(&self, kind: &str, identifier: &str) -> Option<&'a Import> {
        let back = self.edges.iter().filter(|edge| edge.direction == Direction::Back);
        back.flat_map(|edge| edge.newer.import_blocks())
            .find_map(|(_, import)| {
                let (_, of, _) = import.to.resource.as_ref()?;
                let id = import.id.as_ref()?.literal.as_ref()?.as_str()?;
                (of == kind && id == identifier).then_some(import)
            })
    }

    fn follow<'e>(&'e self, address: &Address, edges: impl Iterator<Item = (&'e Edge<'a>, Direction)>) -> Trace
    where
        'a: 'e,
    {
        let mut trace = Trace {
            address: Some(address.clone()),
            ..Trace::default()
        };
        for (edge, direction) in edges {
            let Some(here) = trace.address.take() else { break };
            let found = match direction {
                Direction::Back => {
                    trace.imported = trace.imported.or_else(|| import_of(edge.newer, &here).cloned());
                    edge.tracer.back(&here)
                }
                Direction::Forward => {
                    let found = edge.tracer.forward(&here);
                    // Terraform follows `moved` first, so that the block may name either address.
                    trace.let_go = trace.let_go.or_else(|| self.removal_of(edge.newer, &here)).or_else(|| {
                        let carried = edge.tracer.carried(&here).address;
                        self.removal_of(edge.newer, &carried)
                    });
                    found
                }
            };
            if let Some(found) = found {
                if let Some(at) = found.steps.iter().rev().find_map(|step| step.at.clone()) {
                    trace.moved = Some(at);
                }
                trace.address = Some(found.address);
            }
        }
        trace
    }

    /// A `removed` block that lets go of the object, or of the module it is in.
    pub(crate) fn removal_of(&self, configuration: &Configuration, address: &Address) -> Option<Location> {
        configuration.removed_blocks().find_map(|(module, removed)| {
            let lets_go = match removed.destroy {
                Some(destroy) => !destroy,
                None => self.removed_forgets,
            };
            (lets_go && covers(module, &removed.from, address)).then(|| removed.at.clone())
        })
    }
}

/// An `import` block whose destination is the address.
pub fn import_of<'c>(configuration: &'c Configuration, address: &Address) -> Option<&'c Import> {
    configuration.import_blocks().find_map(|(module, import)| {
        let to = import.to.absolute(&steps(module));
        let resource = &address.resource;
        let same_resource = to.resource.as_ref().is_some_and(|(mode, kind, name)| {
            *mode == resource.mode && *kind == resource.kind && *name == resource.name
        });
        let same_instance = if import.to_has_expression {
            ModulePath(to.module).config() == resource.module.config()
        } else {
            // A block in a child module stands for each of that module's instances.
            let own = module.path.len();
            to.module.len() == resource.module.0.len()
                && to
                    .module
                    .iter()
                    .zip(&resource.module.0)
                    .enumerate()
                    .all(|(depth, (to, step))| to.name == step.name && (depth < own || to.key == step.key))
                && to.key == address.key
        };
        (same_resource && same_instance).then_some(import)
    })
}

/// Whether an endpoint of a `removed` block, which takes no keys, is the object or a module above it.
fn covers(module: &Module, from: &Endpoint, address: &Address) -> bool {
    let path: Vec<&str> = module
        .path
        .iter()
        .map(String::as_str)
        .chain(from.module.iter().map(|step| step.name.as_str()))
        .collect();
    let here = address.resource.module.config_path();
    match &from.resource {
        Some((mode, kind, name)) => {
            let resource = &address.resource;
            here == path && *mode == resource.mode && *kind == resource.kind && *name == resource.name
        }
        None => here.starts_with(&path),
    }
}

fn steps(module: &Module) -> Vec<ModuleStep> {
    module
        .path
        .iter()
        .map(|name| ModuleStep {
            name: name.clone(),
            key: None,
        })
        .collect()
}

/// OpenTofu writes its own registry into the provider addresses; the states look the same otherwise.
fn is_open_tofu(input: &Input<'_>) -> bool {
    input
        .current
        .instances()
        .next()
        .is_some_and(|instance| instance.provider().contains("registry.opentofu.org/"))
}
