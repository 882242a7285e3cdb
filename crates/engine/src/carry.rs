//! Provider configurations that live objects need and the target's configuration does not have
//! (hashicorp/terraform#16777): their blocks are carried over from what is deployed, with the variables and locals
//! that they name and the values that these had, under names of our own, and the objects are rewritten to it.

use std::collections::{BTreeMap, BTreeSet};

use rollback_config::{Configuration, Expr, LockFile, Module, ProviderConfig, Variable};
use rollback_inverse::{OrphanedProvider, ProviderRewrite};
use serde_json::{Map, Value, json};

use crate::error::{EngineError, Result};

/// Files to put beside the target's configuration, and what to rewrite in the state.
#[derive(Default)]
pub struct Carried {
    /// Name in the root module's folder to text.
    pub files: BTreeMap<String, String>,
    /// Values of the variables in them, as `TF_VAR_name` takes them.
    pub variables: Vec<(String, String)>,
    pub rewrites: Vec<ProviderRewrite>,
    /// Source addresses whose entry in the lock file must come from the deployed release.
    pub providers: BTreeSet<String>,
    pub notes: Vec<String>,
}

/// A provider's address in a state, taken apart.
pub(crate) struct Address {
    pub(crate) module: Vec<String>,
    pub(crate) source: String,
    pub(crate) alias: Option<String>,
}

/// `module.a.provider["registry.terraform.io/hashicorp/aws"].west`
pub(crate) fn parse(text: &str) -> Option<Address> {
    let start = text.find("provider[\"")?;
    let prefix = text[..start].trim_end_matches('.');
    let rest = &text[start + "provider[\"".len()..];
    let (source, rest) = rest.split_once("\"]")?;
    let module = prefix
        .split('.')
        .filter(|part| !part.is_empty() && *part != "module")
        .map(str::to_owned)
        .collect();
    Some(Address {
        module,
        source: source.to_owned(),
        alias: rest.strip_prefix('.').map(str::to_owned),
    })
}

/// The local name of a provider in a module, by its source address.
fn local_name(module: &Module, source: &str) -> String {
    let short = source.strip_prefix("registry.terraform.io/").unwrap_or(source);
    for (name, required) in &module.required_providers {
        if let Some(declared) = &required.source
            && (declared == short || declared == source)
        {
            return name.clone();
        }
    }
    source.rsplit('/').next().unwrap_or(source).to_owned()
}

/// Carries the blocks over. `values` tells what a variable of the deployed root module was given.
///
/// # Errors
/// A block that is needed is not in the deployed configuration either; a value that is needed is not known.
pub fn carry(
    orphans: &[OrphanedProvider],
    deployed: &Configuration,
    values: &dyn Fn(&str) -> Result<Option<String>>,
    target: &Configuration,
) -> Result<Carried> {
    let mut carried = Carried::default();
    let mut aliases: BTreeMap<&str, (String, String)> = BTreeMap::new();
    let mut required = Map::new();
    let mut used = Needs::default();
    let Some(target_root) = target.root() else {
        return Ok(carried);
    };
    for orphan in orphans {
        if !aliases.contains_key(orphan.provider.as_str()) {
            let address = parse(&orphan.provider).ok_or_else(|| {
                EngineError::failed(format!(
                    "{}: {:?} is no provider address",
                    orphan.instance, orphan.provider
                ))
            })?;
            let number = aliases.len();
            let alias = format!("infra_rollback_{number}");
            let name = local_name(target_root, &address.source);
            let block = find(deployed, &address)?;
            let text = match block {
                Some((module, block)) => {
                    check_portable(module, block)?;
                    let mut own = Needs::default();
                    own.follow(module, block.attributes.values());
                    let text = own.renamed(&rename(block, &name, &alias)?);
                    used.variables.append(&mut own.variables);
                    used.locals.append(&mut own.locals);
                    text
                }
                // No block at all means its defaults: then an empty one is the same.
                None => format!("provider \"{name}\" {{\n  alias = \"{alias}\"\n}}\n"),
            };
            carried
                .files
                .insert(format!("infra_rollback_provider_{number}.tf"), text);
            carried.notes.push(format!(
                "the provider configuration {} is carried over from the deployed release for the objects that still need it",
                orphan.provider
            ));
            if !target_root.required_providers.contains_key(&name) {
                let short = address
                    .source
                    .strip_prefix("registry.terraform.io/")
                    .unwrap_or(&address.source);
                required.insert(name.clone(), json!({ "source": short }));
                carried.providers.insert(address.source.clone());
            }
            let rewritten = format!("provider[\"{}\"].{alias}", address.source);
            aliases.insert(&orphan.provider, (rewritten, alias));
        }
        let (to, _) = &aliases[orphan.provider.as_str()];
        carried.rewrites.push(ProviderRewrite {
            instance: orphan.instance.clone(),
            from: orphan.provider.clone(),
            to: to.clone(),
        });
    }
    if !required.is_empty() {
        let text = json!({ "terraform": { "required_providers": Value::Object(required) } });
        carried
            .files
            .insert("infra_rollback_providers_override.tf.json".to_owned(), text.to_string());
    }
    for name in used.variables.keys() {
        if let Some(value) = values(name)? {
            carried.variables.push((format!("{PREFIX}{name}"), value));
        }
    }
    if let Some(text) = used.text() {
        carried.files.insert("infra_rollback_values.tf".to_owned(), text);
    }
    Ok(carried)
}

/// The block that an address means: in its own module, or, for a module that inherits, in those above it.
fn find<'c>(deployed: &'c Configuration, address: &Address) -> Result<Option<(&'c Module, &'c ProviderConfig)>> {
    let mut path = address.module.clone();
    loop {
        if let Some(module) = deployed.modules.get(&path) {
            let name = local_name(module, &address.source);
            if let Some(block) = module
                .providers
                .iter()
                .find(|block| block.name == name && block.alias == address.alias)
            {
                return Ok(Some((module, block)));
            }
        }
        if path.pop().is_none() {
            break;
        }
    }
    match &address.alias {
        None => Ok(None),
        Some(alias) => Err(EngineError::failed(format!(
            "objects need the provider configuration {}.{alias}, which neither the target nor the deployed release has",
            address.source
        ))
        .hint("add the provider block to the deployed configuration, commit, take a snapshot, and try again")),
    }
}

/// The block under another name and alias; everything else stays as its author wrote it.
fn rename(block: &ProviderConfig, name: &str, alias: &str) -> Result<String> {
    if block.syntax == rollback_config::Syntax::Json {
        return Err(
            EngineError::failed("a provider block in JSON syntax cannot be carried over")
                .hint("write the provider block in a .tf file, commit, take a snapshot, and try again"),
        );
    }
    let unreadable = || EngineError::failed(format!("the provider block at {} cannot be read", block.at));
    rollback_config::provider_under_alias(&block.text, name, alias).ok_or_else(unreadable)
}

/// Whether a block can be lifted out of its module: it names nothing but variables and locals of the root module.
fn check_portable(module: &Module, block: &ProviderConfig) -> Result<()> {
    for reference in block.attributes.values().flat_map(|expression| &expression.references) {
        let first = reference.split('.').next().unwrap_or_default();
        let portable =
            matches!(first, "path" | "terraform") || (module.path.is_empty() && matches!(first, "var" | "local"));
        if !portable {
            return Err(EngineError::failed(format!(
                "objects that must go need the provider block at {}, which depends on {reference} and cannot be carried over",
                block.at
            ))
            .hint("write the provider's arguments as literals or root variables, commit, apply, take a snapshot, and try again"));
        }
    }
    Ok(())
}

/// Before the names of what is carried along: the target may have the same names with other values, and what is carried
/// must mean what it meant.
const PREFIX: &str = "infra_rollback_";

/// Variables and locals of the root module that carried blocks name.
#[derive(Default)]
struct Needs<'c> {
    variables: BTreeMap<&'c str, &'c Variable>,
    locals: BTreeMap<&'c str, &'c Expr>,
}

impl<'c> Needs<'c> {
    fn follow(&mut self, module: &'c Module, expressions: impl Iterator<Item = &'c Expr>) {
        for expression in expressions {
            for reference in &expression.references {
                let mut parts = reference.split('.');
                match (parts.next(), parts.next()) {
                    (Some("var"), Some(name)) => {
                        if let Some((name, variable)) = module.variables.get_key_value(name) {
                            self.variables.insert(name, variable);
                        }
                    }
                    (Some("local"), Some(name)) => {
                        if let Some((name, local)) = module.locals.get_key_value(name)
                            && self.locals.insert(name, local).is_none()
                        {
                            self.follow(module, std::iter::once(local));
                        }
                    }
                    _ => {}
                }
            }
        }
    }

    /// A text with the carried names in it.
    fn renamed(&self, text: &str) -> String {
        let is_name = |character: char| character.is_alphanumeric() || matches!(character, '_' | '-');
        let mut renamed = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((at, kind)) = ["var.", "local."]
            .iter()
            .filter_map(|kind| Some((rest.find(kind)?, *kind)))
            .min()
        {
            let before = rest[..at].chars().next_back();
            let (head, tail) = rest.split_at(at + kind.len());
            let name = &tail[..tail.find(|character| !is_name(character)).unwrap_or(tail.len())];
            let is_ours = match kind {
                "var." => self.variables.contains_key(name),
                _ => self.locals.contains_key(name),
            };
            renamed.push_str(head);
            if is_ours && before.is_none_or(|before| !is_name(before) && before != '.') {
                renamed.push_str(PREFIX);
            }
            rest = tail;
        }
        renamed.push_str(rest);
        renamed
    }

    /// Their declarations. The values of then come beside them, not from the target's files.
    fn text(&self) -> Option<String> {
        let mut text = String::new();
        for (name, variable) in &self.variables {
            text.push_str(&format!("variable \"{PREFIX}{name}\" {{\n"));
            if !variable.kind.is_empty() {
                text.push_str(&format!("  type = {}\n", variable.kind));
            }
            if let Some(default) = &variable.default {
                text.push_str(&format!("  default = {}\n", default.text.trim()));
            }
            if variable.sensitive {
                text.push_str("  sensitive = true\n");
            }
            if variable.ephemeral {
                text.push_str("  ephemeral = true\n");
            }
            if !variable.nullable {
                text.push_str("  nullable = false\n");
            }
            text.push_str("}\n");
        }
        for (name, local) in &self.locals {
            let value = self.renamed(local.text.trim());
            text.push_str(&format!("locals {{\n  {PREFIX}{name} = {value}\n}}\n"));
        }
        (!text.is_empty()).then_some(text)
    }
}

/// The target's lock file with the entries that carried or kept providers need from the deployed one.
pub fn merge_lock(
    target: Option<&[u8]>,
    deployed: Option<&[u8]>,
    providers: &BTreeSet<String>,
) -> Result<Option<Vec<u8>>> {
    let Some(deployed) = deployed.filter(|_| !providers.is_empty()) else {
        return Ok(target.map(<[u8]>::to_vec));
    };
    let deployed = LockFile::parse(deployed).map_err(|error| EngineError::failed(error.to_string()))?;
    let mut text = target.map(<[u8]>::to_vec).unwrap_or_default();
    for provider in providers {
        if let Some(entry) = deployed.providers.get(provider) {
            text = LockFile::merge_entry(&text, provider, entry)
                .map_err(|error| EngineError::failed(error.to_string()))?;
        }
    }
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_carried_has_names_of_its_own() {
        let text = "variable \"r\" {\n  default = \"d\"\n}\nlocals {\n  l = \"${var.r}-x\"\n}\nprovider \"aws\" {\n  region = local.l\n}\n";
        let tree = rollback_config::MemoryTree::default().with("main.tf", text);
        let configuration = rollback_config::load(&tree, "", None).unwrap();
        let root = configuration.root().unwrap();
        let mut needs = Needs::default();
        needs.follow(root, root.providers[0].attributes.values());
        assert_eq!(
            needs.renamed("a = \"${var.r}\" + local.l, var.rest, x.var.r, my_local.l, local.l2"),
            "a = \"${var.infra_rollback_r}\" + local.infra_rollback_l, var.rest, x.var.r, my_local.l, local.l2"
        );
        let text = needs.text().unwrap();
        assert!(
            text.contains("infra_rollback_l = \"${var.infra_rollback_r}-x\""),
            "{text}"
        );
        assert!(text.contains("variable \"infra_rollback_r\""), "{text}");
    }

    #[test]
    fn provider_addresses_are_taken_apart() {
        let address = parse("provider[\"registry.terraform.io/hashicorp/aws\"].west").unwrap();
        assert_eq!(
            (address.module.len(), address.source.as_str()),
            (0, "registry.terraform.io/hashicorp/aws")
        );
        assert_eq!(address.alias.as_deref(), Some("west"));
        let address = parse("module.a.module.b.provider[\"registry.terraform.io/hashicorp/aws\"]").unwrap();
        assert_eq!(address.module, ["a", "b"]);
        assert!(address.alias.is_none());
        assert!(parse("nonsense").is_none());
    }
}
