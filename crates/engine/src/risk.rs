//! What in a target's configuration runs code or fetches some, told without starting terraform in it: `terraform init`
//! downloads modules and providers, and `terraform plan` already runs external programs.

use std::collections::{BTreeMap, BTreeSet};

use rollback_config::{Configuration, FileTree, Module, Resource};
use rollback_policy::Risk;
use rollback_release::StackRecord;
use rollback_state::{Mode, State};

/// Types that run a program, or ask a server, while terraform plans.
const AT_PLAN: &[(&str, &str)] = &[
    ("external", "external"),
    ("http", "http"),
    ("local_command", "external"),
    ("shell_script", "external"),
    ("http_request", "http"),
];

/// Both sides.
pub struct Sides<'a> {
    pub target: &'a Configuration,
    pub deployed: &'a Configuration,
    /// The target's files and the deployed ones, to tell whether a script that is named is the same.
    pub target_files: Option<&'a dyn FileTree>,
    pub deployed_files: Option<&'a dyn FileTree>,
    pub target_record: Option<&'a StackRecord>,
    pub target_state: Option<&'a State>,
    pub deployed_record: Option<&'a StackRecord>,
    /// What terraform will plan over.
    pub joined: &'a State,
}

/// Finds what there is, in the order of kinds and addresses.
pub fn find(sides: &Sides<'_>) -> Vec<Risk> {
    let mut risks = BTreeSet::new();
    let deployed = programs(sides.deployed);
    for (key, program) in programs(sides.target) {
        let in_current = deployed
            .get(&key)
            .is_some_and(|other| other.text == program.text && same_files(sides, &program.text));
        risks.insert(Risk {
            kind: program.kind.to_owned(),
            message: program.message,
            in_current,
            in_release: ran_at_release(sides, &key.address),
            address: key.address,
        });
    }
    modules(sides, &mut risks);
    providers(sides, &mut risks);
    risks.into_iter().collect()
}

/// One place where something is run: the object's address and what it is in it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    address: String,
    what: String,
}

struct Program {
    kind: &'static str,
    message: String,
    /// What decides about what is run.
    text: String,
}

fn prefix(module: &Module) -> String {
    module.path.iter().map(|name| format!("module.{name}.")).collect()
}

fn programs(configuration: &Configuration) -> BTreeMap<Key, Program> {
    let mut found = BTreeMap::new();
    for module in configuration.modules.values() {
        let place = prefix(module);
        for resource in module.resources.values() {
            let mode = if resource.mode == Mode::Data { "data." } else { "" };
            let address = format!("{place}{mode}{}.{}", resource.kind, resource.name);
            of_resource(resource, &address, &mut found);
        }
        for block in &module.others {
            let address = format!("{place}{}.{}", block.kind, block.labels.join("."));
            let kind = if block.kind == "check" {
                // A check may hold a data source of its own, which is read at each plan.
                AT_PLAN
                    .iter()
                    .find(|(kind, _)| block.text.contains(&format!("\"{kind}\"")))
                    .map(|(_, risk)| *risk)
            } else {
                let known = AT_PLAN
                    .iter()
                    .find(|(kind, _)| block.labels.first().is_some_and(|label| label == kind));
                Some(known.map_or(
                    if block.kind == "action" {
                        "provisioner"
                    } else {
                        "ephemeral"
                    },
                    |(_, risk)| *risk,
                ))
            };
            if let Some(kind) = kind {
                let message = format!("{address} ({}) runs something", block.at);
                insert(&mut found, &address, &block.kind, kind, message, block.text.clone());
            }
        }
        for provider in &module.providers {
            let runs: Vec<&String> = provider
                .attributes
                .keys()
                .filter(|name| {
                    name.starts_with("exec.")
                        || name.as_str() == "exec"
                        || name.ends_with("credential_process")
                        || name.ends_with(".command")
                })
                .collect();
            if !runs.is_empty() {
                let alias = provider
                    .alias
                    .as_ref()
                    .map(|alias| format!(".{alias}"))
                    .unwrap_or_default();
                let address = format!("{place}provider.{}{alias}", provider.name);
                let message = format!("{address} ({}) runs a program to sign in", provider.at);
                insert(&mut found, &address, "exec", "external", message, provider.text.clone());
            }
        }
    }
    found
}

fn insert(
    found: &mut BTreeMap<Key, Program>,
    address: &str,
    what: &str,
    kind: &'static str,
    message: String,
    text: String,
) {
    let key = Key {
        address: address.to_owned(),
        what: what.to_owned(),
    };
    found.insert(key, Program { kind, message, text });
}

fn of_resource(resource: &Resource, address: &str, found: &mut BTreeMap<Key, Program>) {
    if let Some((_, kind)) = AT_PLAN.iter().find(|(kind, _)| *kind == resource.kind) {
        let text: String = resource
            .attributes
            .iter()
            .map(|(name, expression)| format!("{name}={}\n", expression.text))
            .collect();
        let verb = if *kind == "http" {
            "asks a server"
        } else {
            "runs a program"
        };
        let message = format!("{address} ({}) {verb} whenever terraform plans", resource.at);
        insert(found, address, "type", kind, message, text);
    }
    for (index, (kind, text)) in resource
        .provisioners
        .iter()
        .zip(&resource.provisioner_texts)
        .enumerate()
    {
        let message = format!("{address} ({}) has a {kind} provisioner", resource.at);
        insert(
            found,
            address,
            &format!("provisioner {index}"),
            "provisioner",
            message,
            text.clone(),
        );
    }
}

/// Whether the release shows that this object was there when the target was deployed: then what it runs ran.
fn ran_at_release(sides: &Sides<'_>, address: &str) -> bool {
    sides.target_record.is_some()
        && sides.target_state.is_some_and(|state| {
            state
                .instances()
                .any(|instance| without_keys(&instance.address().to_string()) == address)
        })
}

/// `module.a["k"].x.y[0]` as `module.a.x.y`.
fn without_keys(address: &str) -> String {
    let mut plain = String::with_capacity(address.len());
    let (mut depth, mut quoted, mut escaped) = (0usize, false, false);
    for c in address.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' if depth > 0 => quoted = !quoted,
            '[' if !quoted => depth += 1,
            ']' if !quoted => depth = depth.saturating_sub(1),
            c if depth == 0 => plain.push(c),
            _ => {}
        }
    }
    plain
}

/// Whether the files that a program's text names are the same on both sides: the same words can run another script.
fn same_files(sides: &Sides<'_>, text: &str) -> bool {
    let (Some(target), Some(deployed)) = (sides.target_files, sides.deployed_files) else {
        return true;
    };
    let mut words = text
        .split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-')))
        .filter(|word| word.contains('.') || word.contains('/'))
        .map(|word| word.trim_start_matches("./").trim_matches('/'))
        .filter(|word| !word.is_empty());
    let dirs = |configuration: &Configuration| -> Vec<String> {
        let modules = configuration.modules.values().map(|module| module.dir.clone());
        modules.chain([String::new()]).collect()
    };
    let (target_dirs, deployed_dirs) = (dirs(sides.target), dirs(sides.deployed));
    words.all(|word| {
        let read = |tree: &dyn FileTree, dirs: &[String]| -> Vec<Vec<u8>> {
            dirs.iter()
                .filter_map(|dir| {
                    let path = rollback_config::join_path(dir, word).ok()?;
                    tree.read(&path).ok().flatten()
                })
                .collect()
        };
        let (then, now) = (read(target, &target_dirs), read(deployed, &deployed_dirs));
        then.iter().all(|bytes| now.contains(bytes))
    })
}

/// Modules that are not at hand: `terraform init` would fetch them, and nobody has read them.
fn modules(sides: &Sides<'_>, risks: &mut BTreeSet<Risk>) {
    let calls = |configuration: &Configuration| -> BTreeSet<(String, Option<String>)> {
        let calls = configuration.modules.values().flat_map(|module| module.calls.values());
        calls.map(|call| (call.source.clone(), call.version.clone())).collect()
    };
    let deployed = calls(sides.deployed);
    for module in &sides.target.unresolved {
        let address: String = module
            .path
            .iter()
            .map(|name| format!("module.{name}"))
            .collect::<Vec<_>>()
            .join(".");
        risks.insert(Risk {
            kind: "module".to_owned(),
            message: format!("{address} would be fetched from {:?} ({})", module.source, module.at),
            in_current: deployed.contains(&(module.source.clone(), module.version.clone())),
            in_release: sides.target_record.and_then(|record| record.modules.as_ref()).is_some(),
            address,
        });
    }
}

const BUILT_IN: &str = "terraform.io/builtin/terraform";

/// Providers by source address: those that a configuration names or its types imply.
fn providers_of(configuration: &Configuration) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for module in configuration.modules.values() {
        found.extend(
            module
                .required_providers
                .iter()
                .map(|(name, required)| source(name, required.source.as_deref())),
        );
        let locals = module
            .resources
            .values()
            .map(|resource| {
                let named = resource
                    .provider
                    .as_deref()
                    .and_then(|provider| provider.split('.').next());
                named.unwrap_or_else(|| resource.kind.split('_').next().unwrap_or_default())
            })
            .chain(module.providers.iter().map(|provider| provider.name.as_str()))
            .chain(
                (module.others.iter().filter(|block| block.kind != "check"))
                    .filter_map(|block| block.labels.first()?.split('_').next()),
            );
        for local in locals {
            if !module.required_providers.contains_key(local) {
                found.insert(source(local, None));
            }
        }
    }
    found
}

/// `aws` or `hashicorp/aws` as `registry.terraform.io/hashicorp/aws`.
fn source(local: &str, written: Option<&str>) -> String {
    let written = written.unwrap_or(local).to_ascii_lowercase();
    match written.matches('/').count() {
        0 if written == "terraform" => BUILT_IN.to_owned(),
        0 => format!("registry.terraform.io/hashicorp/{written}"),
        1 => format!("registry.terraform.io/{written}"),
        _ => written,
    }
}

fn providers_of_state(state: &State) -> BTreeSet<String> {
    state
        .instances()
        .filter_map(|instance| {
            let (_, rest) = instance.provider().split_once("provider[\"")?;
            Some(rest.split_once("\"]")?.0.to_owned())
        })
        .collect()
}

/// OpenTofu's registry answers for the same providers.
fn plain(source: &str) -> &str {
    source
        .strip_prefix("registry.terraform.io/")
        .or_else(|| source.strip_prefix("registry.opentofu.org/"))
        .unwrap_or(source)
}

/// Providers that would be installed and run. What only a state names is in no release: `init` installs those as well,
/// and whoever can write a state must not choose what runs here.
fn providers(sides: &Sides<'_>, risks: &mut BTreeSet<Risk>) {
    let of_record = |record: Option<&StackRecord>| -> BTreeSet<String> {
        record
            .map(|record| record.providers.keys().map(|name| plain(name).to_owned()).collect())
            .unwrap_or_default()
    };
    let mut current: BTreeSet<String> = of_record(sides.deployed_record);
    current.extend(providers_of(sides.deployed).iter().map(|name| plain(name).to_owned()));
    let release = of_record(sides.target_record);
    let mut wanted = providers_of(sides.target);
    wanted.extend(providers_of_state(sides.joined));
    for name in wanted.iter().filter(|name| name.as_str() != BUILT_IN) {
        let short = plain(name);
        risks.insert(Risk {
            kind: "provider".to_owned(),
            address: (*name).clone(),
            message: format!("provider {name} would be installed and run"),
            in_current: current.contains(short),
            in_release: release.contains(short),
        });
    }
}

#[cfg(test)]
#[path = "risk_tests.rs"]
mod tests;
