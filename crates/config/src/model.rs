//! What a configuration says, as plain data.

use crate::error::Location;
use rollback_state::{Address, Key, Mode, ModulePath, ModuleStep, ResourceAddress};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// A root module and every module below it that could be found.
#[derive(Debug, Clone, Default)]
pub struct Configuration {
    /// The root module's folder in the tree; `""` is the tree's root.
    pub root_dir: String,
    /// By the names of the calls, without keys; the root module is the empty path.
    pub modules: BTreeMap<Vec<String>, Module>,
    /// Module calls whose folder is not at hand, with everything below them unknown.
    pub unresolved: Vec<UnresolvedModule>,
    /// Every configuration file that was read, as paths in the tree.
    pub files: BTreeSet<String>,
}

/// A module call that could not be followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnresolvedModule {
    pub path: Vec<String>,
    pub source: String,
    pub version: Option<String>,
    /// Why: not downloaded, outside the repository, its folder is missing.
    pub reason: String,
    pub at: Location,
}

/// Whether a configuration declares something, as far as can be known without evaluating it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Declaration {
    /// Certainly not.
    Absent,
    /// It depends on a module that is not at hand or on a key that is not a literal.
    Unknown,
    /// The resource is declared, and so is the key where it can be known.
    Declared,
}

/// One module: the files of one folder, override files merged.
#[derive(Debug, Clone, Default)]
pub struct Module {
    pub path: Vec<String>,
    pub dir: String,
    pub resources: BTreeMap<(Mode, String, String), Resource>,
    pub calls: BTreeMap<String, ModuleCall>,
    pub moved: Vec<Moved>,
    pub removed: Vec<Removed>,
    pub imports: Vec<Import>,
    pub variables: BTreeMap<String, Variable>,
    pub outputs: BTreeMap<String, Output>,
    pub locals: BTreeMap<String, Expr>,
    pub providers: Vec<ProviderConfig>,
    /// By local name.
    pub required_providers: BTreeMap<String, RequiredProvider>,
    pub required_version: Vec<String>,
    pub backend: Option<Backend>,
    /// Blocks that are neither objects nor values of this configuration's state, and can run something all the same:
    /// `ephemeral`, `action`, `check`.
    pub others: Vec<OtherBlock>,
}

/// A block of which only this is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherBlock {
    pub kind: String,
    /// A type and a name, or a name.
    pub labels: Vec<String>,
    /// As written.
    pub text: String,
    pub at: Location,
}

/// `count` and `for_each`, evaluated where they are literals.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Repetition {
    #[default]
    None,
    Count(Option<i64>),
    ForEach(Option<BTreeSet<String>>),
}

/// A `resource` or `data` block. Ephemeral resources have no state and are left out.
#[derive(Debug, Clone)]
pub struct Resource {
    pub mode: Mode,
    pub kind: String,
    pub name: String,
    pub repetition: Repetition,
    /// `lifecycle { prevent_destroy = true }`. Not enforced by Terraform once the block is gone.
    pub prevent_destroy: bool,
    pub create_before_destroy: bool,
    /// As written; `all` is `["all"]`.
    pub ignore_changes: Vec<String>,
    /// `provider = aws.west` is `Some("aws.west")`.
    pub provider: Option<String>,
    /// Kinds of the provisioners: `local-exec`, `remote-exec`, `file`.
    pub provisioners: Vec<String>,
    /// The same blocks as written, in the same order.
    pub provisioner_texts: Vec<String>,
    pub depends_on: Vec<String>,
    /// Top-level attributes and nested blocks by name, meta-arguments left out. Several nested blocks
    /// of one name are one entry whose text is theirs joined by newlines.
    pub attributes: BTreeMap<String, Expr>,
    /// The `count` or `for_each` expression.
    pub repetition_expression: Option<Expr>,
    pub at: Location,
}

/// An expression that is not evaluated.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Expr {
    /// As written in the source (JSON text in JSON files).
    pub text: String,
    /// What it refers to, in order of appearance, once each, indexes left out: `var.x`, `local.y`,
    /// `aws_a.b.id`, `module.m.out`, `data.t.n.a`, `each.value`, `count.index`, `path.module`.
    pub references: Vec<String>,
    /// Its value, where it is written out (lists and maps of literals and `toset([...])` too).
    pub literal: Option<Value>,
}

/// A `module` block.
#[derive(Debug, Clone)]
pub struct ModuleCall {
    pub name: String,
    /// `""` where it is not a literal.
    pub source: String,
    pub version: Option<String>,
    pub repetition: Repetition,
    pub repetition_expression: Option<Expr>,
    pub inputs: BTreeMap<String, Expr>,
    /// Name in the child to name here: `{ "aws": "aws.west" }`.
    pub providers: BTreeMap<String, String>,
    pub depends_on: Vec<String>,
    pub at: Location,
}

/// What `moved`, `removed` and `import` point at, relative to the module of the block.
///
/// A module endpoint has no resource; its key is that of the last module step.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    pub module: Vec<ModuleStep>,
    pub resource: Option<(Mode, String, String)>,
    pub key: Option<Key>,
}

/// A `moved` block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    pub from: Endpoint,
    pub to: Endpoint,
    pub at: Location,
}

/// A `removed` block. Without `lifecycle` Terraform destroys and OpenTofu forgets: then `destroy` is `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed {
    pub from: Endpoint,
    pub destroy: Option<bool>,
    pub at: Location,
}

/// An `import` block.
#[derive(Debug, Clone, PartialEq)]
pub struct Import {
    pub to: Endpoint,
    /// The key of `to` is computed (`for_each` on the block): `to.key` is then `None`.
    pub to_has_expression: bool,
    pub id: Option<Expr>,
    /// From Terraform 1.12: the object's identity instead of an id.
    pub identity: Option<Expr>,
    pub for_each: Option<Expr>,
    pub provider: Option<String>,
    pub at: Location,
}

/// A `variable` block.
#[derive(Debug, Clone)]
pub struct Variable {
    pub name: String,
    /// The type as written; `""` without one.
    pub kind: String,
    pub default: Option<Expr>,
    pub sensitive: bool,
    pub ephemeral: bool,
    pub nullable: bool,
    pub at: Location,
    /// The block as written: on its own a whole file of its syntax.
    pub text: String,
    pub syntax: Syntax,
}

/// An `output` block.
#[derive(Debug, Clone)]
pub struct Output {
    pub name: String,
    pub value: Option<Expr>,
    pub sensitive: bool,
    pub ephemeral: bool,
    pub at: Location,
}

/// An entry of `required_providers`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequiredProvider {
    /// As written; without one Terraform takes `hashicorp/<local name>`.
    pub source: Option<String>,
    /// The constraint as written.
    pub version: Option<String>,
    pub configuration_aliases: Vec<String>,
}

/// A `provider` block.
#[derive(Debug, Clone)]
pub struct ProviderConfig {
    pub name: String,
    pub alias: Option<String>,
    /// Nested blocks flattened: `assume_role.role_arn`.
    pub attributes: BTreeMap<String, Expr>,
    /// The block as written: on its own a whole file of its syntax.
    pub text: String,
    pub syntax: Syntax,
    pub at: Location,
}

/// How a file is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Syntax {
    /// `.tf`
    #[default]
    Native,
    /// `.tf.json`
    Json,
}

/// A `backend` or `cloud` block.
#[derive(Debug, Clone, PartialEq)]
pub struct Backend {
    /// `s3`, `local`, `cloud`, `remote`, …
    pub kind: String,
    /// The literal arguments; nested blocks as objects.
    pub attributes: Map<String, Value>,
    pub at: Location,
}

impl Endpoint {
    /// The address with its module's path in front; `module` may be without keys.
    pub fn absolute(&self, module: &[ModuleStep]) -> Endpoint {
        let mut steps = module.to_vec();
        steps.extend(self.module.iter().cloned());
        Endpoint {
            module: steps,
            resource: self.resource.clone(),
            key: self.key.clone(),
        }
    }

    /// The instance it points at, if it names a resource; `key` as written.
    pub fn address(&self) -> Option<Address> {
        let (mode, kind, name) = self.resource.clone()?;
        Some(Address {
            resource: ResourceAddress {
                module: ModulePath(self.module.clone()),
                mode,
                kind,
                name,
            },
            key: self.key.clone(),
        })
    }
}

impl std::fmt::Display for Endpoint {
    /// As terraform writes it: `module.a["k"].aws_x.y[0]`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.address() {
            Some(address) => write!(f, "{address}"),
            None => write!(f, "{}", ModulePath(self.module.clone())),
        }
    }
}

impl Repetition {
    /// Whether an instance of this key exists, as far as the literal says.
    pub fn has(&self, key: Option<&Key>) -> Declaration {
        let known = |yes: bool| {
            if yes {
                Declaration::Declared
            } else {
                Declaration::Absent
            }
        };
        match (self, key) {
            (Repetition::None, key) => known(key.is_none()),
            (Repetition::Count(Some(count)), Some(Key::Int(index))) => known((0..*count).contains(index)),
            (Repetition::Count(None), Some(Key::Int(index))) => {
                if *index < 0 {
                    Declaration::Absent
                } else {
                    Declaration::Unknown
                }
            }
            (Repetition::ForEach(Some(keys)), Some(Key::Str(key))) => known(keys.contains(key)),
            (Repetition::ForEach(None), Some(Key::Str(_))) => Declaration::Unknown,
            _ => Declaration::Absent,
        }
    }
}

impl Configuration {
    /// The root module.
    pub fn root(&self) -> Option<&Module> {
        self.modules.get(&Vec::new())
    }

    /// The module of an instance path, whatever its keys.
    pub fn module(&self, path: &ModulePath) -> Option<&Module> {
        self.modules.get(&names(path))
    }

    /// The block that declares a resource, whatever keys its modules carry.
    pub fn resource(&self, address: &ResourceAddress) -> Option<&Resource> {
        let key = (address.mode, address.kind.clone(), address.name.clone());
        self.module(&address.module)?.resources.get(&key)
    }

    /// Whether this instance is declared: the resource certainly, its keys as far as they are literal.
    pub fn declares(&self, address: &Address) -> bool {
        match self.declaration(address) {
            Declaration::Declared => true,
            Declaration::Unknown => self.resource(&address.resource).is_some(),
            Declaration::Absent => false,
        }
    }

    /// As [`Configuration::declares`], telling apart what is certain.
    pub fn declaration(&self, address: &Address) -> Declaration {
        let modules = self.module_declaration(&address.resource.module);
        if modules == Declaration::Absent || self.is_unresolved(&address.resource.module) {
            return modules;
        }
        match self.resource(&address.resource) {
            None => Declaration::Absent,
            Some(resource) => resource.repetition.has(address.key.as_ref()).min(modules),
        }
    }

    /// Whether a module instance is called for.
    pub fn module_declaration(&self, path: &ModulePath) -> Declaration {
        let mut answer = Declaration::Declared;
        let mut here = Vec::new();
        for step in &path.0 {
            let Some(module) = self.modules.get(&here) else {
                return Declaration::Unknown;
            };
            let Some(call) = module.calls.get(&step.name) else {
                return Declaration::Absent;
            };
            match call.repetition.has(step.key.as_ref()) {
                Declaration::Absent => return Declaration::Absent,
                other => answer = answer.min(other),
            }
            here.push(step.name.clone());
        }
        if self.modules.contains_key(&here) {
            answer
        } else {
            Declaration::Unknown
        }
    }

    /// Whether this module, or one above it, is called but not at hand.
    pub fn is_unresolved(&self, path: &ModulePath) -> bool {
        let names = names(path);
        self.unresolved.iter().any(|module| names.starts_with(&module.path))
    }

    /// Every `moved` block with its module. Endpoints are relative to the module.
    pub fn moved_blocks(&self) -> impl Iterator<Item = (&Module, &Moved)> {
        self.modules
            .values()
            .flat_map(|module| module.moved.iter().map(move |block| (module, block)))
    }

    /// Every `removed` block with its module.
    pub fn removed_blocks(&self) -> impl Iterator<Item = (&Module, &Removed)> {
        self.modules
            .values()
            .flat_map(|module| module.removed.iter().map(move |block| (module, block)))
    }

    /// Every `import` block with its module (before Terraform 1.16 only the root module has any).
    pub fn import_blocks(&self) -> impl Iterator<Item = (&Module, &Import)> {
        self.modules
            .values()
            .flat_map(|module| module.imports.iter().map(move |block| (module, block)))
    }

    /// Every resource with its module.
    pub fn resources(&self) -> impl Iterator<Item = (&Module, &Resource)> {
        self.modules
            .values()
            .flat_map(|module| module.resources.values().map(move |resource| (module, resource)))
    }
}

pub(crate) fn names(path: &ModulePath) -> Vec<String> {
    path.0.iter().map(|step| step.name.clone()).collect()
}
