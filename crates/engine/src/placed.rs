//! Provider configurations that point elsewhere than at the target: another region, another account. Objects live in
//! both places then, and Terraform would look for today's in yesterday's.

use std::collections::{BTreeMap, BTreeSet};

use rollback_config::{Configuration, Expr, FileTree, Module, ProviderConfig};
use rollback_state::{Mode, State};
use sha2::{Digest, Sha256};

use crate::assigned::{Known, Values, text};
use crate::collect::in_dir;
use crate::file_calls;
use crate::reconcile::{Guard, Refusal};

/// Arguments of a provider configuration that say where its objects live.
const PLACES: &[&str] = &[
    "region",
    "profile",
    "account_id",
    "allowed_account_ids",
    "assume_role.role_arn",
    "project",
    "zone",
    "subscription_id",
    "tenant_id",
    "environment",
    "host",
    "config_context",
    "address",
    "namespace",
    "endpoint",
    "api_url",
];

/// What the environment says where the configuration does not: read now, at either end.
const ENVIRONMENT: &[(&str, &str, &[&str])] = &[
    ("hashicorp/aws", "region", &["AWS_REGION", "AWS_DEFAULT_REGION"]),
    ("hashicorp/aws", "profile", &["AWS_PROFILE"]),
    (
        "hashicorp/google",
        "project",
        &["GOOGLE_PROJECT", "GOOGLE_CLOUD_PROJECT"],
    ),
    ("hashicorp/google", "region", &["GOOGLE_REGION"]),
    ("hashicorp/azurerm", "subscription_id", &["ARM_SUBSCRIPTION_ID"]),
];

/// A provider configuration as objects name it: the module that has the block, the provider's source, the alias.
type Name = (Vec<String>, String, Option<String>);

/// Provider configurations that point to another region or account than at the target, while objects live under them.
pub fn moved_providers(now: &Placed<'_>, then: &Placed<'_>, current: &State) -> Vec<Refusal> {
    let used = used(current);
    let (blocks_now, blocks_then) = (now.blocks(), then.blocks());
    let mut refusals = Vec::new();
    for name in blocks_now.keys().chain(blocks_then.keys()).collect::<BTreeSet<_>>() {
        let (module, source, alias) = name;
        let (a, b) = (blocks_now.get(name), blocks_then.get(name));
        // A block that is gone altogether is carried over; only the default one is there without being written.
        if !used.contains(name)
            || (alias.is_some() && (a.is_none() || b.is_none()))
            || (!module.is_empty() && b.is_none())
        {
            continue;
        }
        for place in PLACES {
            let (a, b) = (now.place(a, source, place), then.place(b, source, place));
            if now.same(a.as_ref(), b.as_ref()) {
                continue;
            }
            let short = source.rsplit('/').next().unwrap_or(source);
            let label = match alias {
                Some(alias) => format!("{short}.{alias}"),
                None => short.to_owned(),
            };
            let said = |place: Option<Place>| place.map_or_else(|| "not set".to_owned(), |place| place.shown);
            refusals.push(Refusal {
                guard: Guard::Surprise,
                address: format!("provider.{label}"),
                message: format!(
                    "the provider configuration {label} changed its {place} since the target: {} then, {} now. Objects live in \
                     both places, and terraform with the target's configuration would look for today's objects in the wrong one \
                     and lose sight of them",
                    said(b),
                    said(a),
                ),
            });
        }
    }
    refusals
}

/// The provider configurations of live objects.
fn used(state: &State) -> BTreeSet<Name> {
    let managed = state.instances().filter(|instance| instance.mode() == Mode::Managed);
    managed
        .filter_map(|instance| {
            let address = crate::carry::parse(instance.provider())?;
            Some((address.module, short(&address.source), address.alias))
        })
        .collect()
}

/// `hashicorp/aws`, whichever registry it is of.
fn short(source: &str) -> String {
    ["registry.terraform.io/", "registry.opentofu.org/"]
        .iter()
        .find_map(|registry| source.strip_prefix(registry))
        .unwrap_or(source)
        .to_owned()
}

/// Where an argument points.
struct Place {
    /// For people.
    shown: String,
    what: What,
}

#[derive(PartialEq, Eq)]
enum What {
    Value(String),
    /// The value of a variable that was given from outside, of which only the fingerprint is known.
    Given(String, rollback_release::Fingerprint),
    /// An expression that only Terraform can evaluate, with all that it depends on.
    Expression(String),
}

/// A configuration with the values of its root variables.
pub struct Placed<'a> {
    pub configuration: &'a Configuration,
    pub values: &'a Values<'a>,
    pub tree: Option<&'a dyn FileTree>,
}

impl Placed<'_> {
    fn blocks(&self) -> BTreeMap<Name, (&Module, &ProviderConfig)> {
        let mut blocks = BTreeMap::new();
        for (path, module) in &self.configuration.modules {
            for block in &module.providers {
                let source = source_of(module, &block.name);
                blocks.insert((path.clone(), source, block.alias.clone()), (module, block));
            }
        }
        blocks
    }

    fn place(&self, block: Option<&(&Module, &ProviderConfig)>, source: &str, place: &str) -> Option<Place> {
        if let Some((module, block)) = block
            && let Some(expression) = block.attributes.get(place)
        {
            return Some(Place {
                shown: self.shown(module, expression),
                what: self.resolve(module, expression, 0),
            });
        }
        let (_, _, names) = ENVIRONMENT
            .iter()
            .find(|(of, what, _)| *of == source && *what == place)?;
        let value = names.iter().find_map(|name| std::env::var(name).ok())?;
        Some(Place {
            shown: format!("{value} (by {})", names[0]),
            what: What::Value(value),
        })
    }

    fn same(&self, a: Option<&Place>, b: Option<&Place>) -> bool {
        match (a.map(|a| &a.what), b.map(|b| &b.what)) {
            (Some(What::Value(value)), Some(What::Given(name, fingerprint)))
            | (Some(What::Given(name, fingerprint)), Some(What::Value(value))) => {
                self.values.fingerprint(name, value).as_ref() == Some(fingerprint)
            }
            (a, b) => a == b,
        }
    }

    fn resolve(&self, module: &Module, expression: &Expr, depth: usize) -> What {
        const DEEP: usize = 16;
        let written = expression.text.trim();
        if depth > DEEP {
            return What::Expression(written.to_owned());
        }
        if let Some(literal) = &expression.literal {
            return What::Value(text(literal));
        }
        let of = |kind: &str| written.strip_prefix(kind).filter(|name| is_name(name));
        let variable = of("var.").filter(|_| module.path.is_empty());
        let found = match (variable, of("local.")) {
            (Some(name), _) => self.variable(module, name, depth),
            (None, Some(name)) => self.local(module, name, depth),
            (None, None) => None,
        };
        found.unwrap_or_else(|| What::Expression(self.closure(module, expression, depth)))
    }

    /// A variable of the root module.
    fn variable(&self, module: &Module, name: &str, depth: usize) -> Option<What> {
        match self.values.known(name) {
            Known::Value(value) => Some(What::Value(value)),
            Known::Given(fingerprint) => Some(What::Given(name.to_owned(), fingerprint)),
            Known::Default => {
                let default = module.variables.get(name)?.default.as_ref()?;
                Some(self.resolve(module, default, depth + 1))
            }
        }
    }

    fn local(&self, module: &Module, name: &str, depth: usize) -> Option<What> {
        let local = module.locals.get(name)?;
        Some(self.resolve(module, local, depth + 1))
    }

    /// The text of an expression with what it depends on: two that are the same mean the same.
    fn closure(&self, module: &Module, expression: &Expr, depth: usize) -> String {
        let mut whole = expression.text.trim().to_owned();
        for reference in &expression.references {
            let mut parts = reference.split('.');
            let what = match (parts.next(), parts.next()) {
                (Some("var"), Some(name)) if module.path.is_empty() => self.variable(module, name, depth),
                (Some("local"), Some(name)) => self.local(module, name, depth),
                // What a module is called with is told by its call.
                (Some("var"), Some(name)) => self.input(module, name, depth),
                _ => None,
            };
            whole.push_str(&match what {
                Some(What::Value(value)) => format!("\n{reference} = {value}"),
                Some(What::Given(name, fingerprint)) => {
                    format!("\n{reference} = {}", self.values.shown(&name, &fingerprint))
                }
                Some(What::Expression(text)) => format!("\n{reference} = ({text})"),
                None => String::new(),
            });
        }
        for call in file_calls::of(&expression.text) {
            let path = call.path;
            let bytes = self
                .tree
                .and_then(|tree| tree.read(&in_dir(&module.dir, &path)).ok().flatten());
            let digest = bytes.map(|bytes| hex::encode(Sha256::digest(bytes)));
            whole.push_str(&format!("\n{path} = {digest:?}"));
        }
        whole
    }

    /// What a child module is given for a variable.
    fn input(&self, module: &Module, name: &str, depth: usize) -> Option<What> {
        let (call, parent) = module.path.split_last()?;
        let parent = self.configuration.modules.get(parent)?;
        let input = parent.calls.get(call)?.inputs.get(name)?;
        Some(self.resolve(parent, input, depth + 1))
    }

    /// The value where it is known, else the text.
    fn shown(&self, module: &Module, expression: &Expr) -> String {
        match self.resolve(module, expression, 0) {
            What::Value(value) => value,
            What::Given(name, _) => format!("what was given for var.{name}"),
            What::Expression(_) => expression.text.trim().to_owned(),
        }
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|character| character.is_alphanumeric() || matches!(character, '_' | '-'))
}

/// The source of the provider that a module calls so.
fn source_of(module: &Module, name: &str) -> String {
    let declared = module
        .required_providers
        .get(name)
        .and_then(|required| required.source.clone());
    short(&declared.unwrap_or_else(|| format!("hashicorp/{name}")))
}
