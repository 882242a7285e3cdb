//! Addresses of modules, resources and instances, written as Terraform writes them.
//!
//! [`Display`](std::fmt::Display) gives exactly what `terraform state list` prints, and
//! [`FromStr`](std::str::FromStr) is its inverse. The order is Terraform's own
//! (`ModuleInstance.Less`, `AbsResourceInstance.Less` and `InstanceKeyLess` in `internal/addrs`):
//! shorter module paths first, data before managed, no key before numbers before strings.

mod newer;
mod parse;
mod quote;
mod text;

use std::cmp::Ordering;

pub use parse::AddressError;
pub(crate) use parse::is_identifier;

/// The key of one instance among those of a resource or module: `count` gives numbers, `for_each` strings.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key {
    /// From `count`; written `[0]`.
    Int(i64),
    /// From `for_each`; written `["a"]`.
    Str(String),
}

/// One step of a [`ModulePath`]: a module call's name and, where it has `count` or `for_each`, the key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModuleStep {
    /// The name of the `module` block.
    pub name: String,
    /// Which of the call's instances.
    pub key: Option<Key>,
}

/// The path from the root module to a module instance; empty for the root.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ModulePath(pub Vec<ModuleStep>);

impl ModulePath {
    /// The root module.
    pub fn root() -> Self {
        Self(Vec::new())
    }

    /// Whether this is the root module.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The names of the module calls without their keys: which module block, not which instance of it.
    pub fn config_path(&self) -> Vec<&str> {
        self.0.iter().map(|step| step.name.as_str()).collect()
    }

    /// The same path without keys.
    pub fn config(&self) -> Self {
        Self(
            self.0
                .iter()
                .map(|step| ModuleStep {
                    name: step.name.clone(),
                    key: None,
                })
                .collect(),
        )
    }
}

impl Ord for ModulePath {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.len().cmp(&other.0.len()).then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for ModulePath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Whether a resource is managed (`resource` blocks) or only read (`data` blocks).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// A `resource` block.
    Managed,
    /// A `data` block; its address begins with `data.`.
    Data,
}

impl Mode {
    /// The word that stands in a state file: `managed` or `data`.
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Managed => "managed",
            Mode::Data => "data",
        }
    }
}

impl Ord for Mode {
    fn cmp(&self, other: &Self) -> Ordering {
        // Terraform lists data sources before managed resources.
        let rank = |mode: &Mode| matches!(mode, Mode::Managed);
        rank(self).cmp(&rank(other))
    }
}

impl PartialOrd for Mode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A resource within a module instance, all its instances together: `module.a["x"].aws_vpc.main`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ResourceAddress {
    /// The module instance it lives in.
    pub module: ModulePath,
    /// Managed or data.
    pub mode: Mode,
    /// The resource type, such as `aws_vpc`.
    pub kind: String,
    /// The name of the block.
    pub name: String,
}

impl ResourceAddress {
    /// The block in the configuration that this comes from: the same without module keys.
    ///
    /// This is how a state writes the elements of `dependencies`.
    pub fn config(&self) -> ResourceAddress {
        ResourceAddress {
            module: self.module.config(),
            ..self.clone()
        }
    }

    /// The address of one instance of this resource.
    pub fn instance(&self, key: Option<Key>) -> Address {
        Address {
            resource: self.clone(),
            key,
        }
    }
}

/// One instance of a resource: `module.a["x"].aws_subnet.b[0]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    /// The resource.
    pub resource: ResourceAddress,
    /// Which of its instances; none where the block has neither `count` nor `for_each`.
    pub key: Option<Key>,
}

/// One object in a state: the current object of an instance, or one of its deposed ones.
///
/// A deposed object is what `create_before_destroy` left behind when the destroy that should follow failed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InstanceId {
    /// The instance.
    pub address: Address,
    /// The eight characters that tell deposed objects of one instance apart; none for the current object.
    pub deposed: Option<String>,
}

impl From<Address> for InstanceId {
    /// The current object at the address.
    fn from(address: Address) -> Self {
        InstanceId { address, deposed: None }
    }
}
