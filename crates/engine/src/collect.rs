//! A stack as it is now, gathered for a release: configuration from Git, state from where it really lies, what `init`
//! downloaded, and the variables that came from outside.

mod outside;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rollback_config::{
    Configuration, DiskTree, EntryKind, FileTree, LayeredTree, LockFile, Manifest, MemoryTree, load,
};
use rollback_release::{
    BackendRecord, ModulesParts, StackParts, StackRecord, ToolRecord, VariableFilePart, VariableOrigin, VariablePart,
};
use rollback_state::State;
use rollback_terraform::{data_folder, named_data_folder};

use crate::context::{Context, Stack};
use crate::error::{EngineError, Result};
use crate::live::{Live, newest_kept};

/// Larger files are not kept with a release: they are no configuration.
const LARGEST_FILE: usize = 4 << 20;
/// More files than these below a module's folder are somebody's application.
pub(crate) const MOST_FILES: usize = 2000;

/// The downloaded modules' folder as the manifest of a release names it, from the root module's folder.
const MODULES: &str = ".terraform/modules/";

/// A stack's parts, and what was noticed on the way.
pub struct Collected {
    pub parts: StackParts,
    pub configuration: Configuration,
    pub warnings: Vec<String>,
}

/// Where the downloaded modules and the lock file are taken from.
pub enum Downloaded<'a> {
    /// A root module's folder on disk, as the last `init` left it.
    Folder(&'a Path),
    /// Another release's record.
    Record(&'a StackRecord),
}

/// Gathers a stack of one tree.
///
/// # Errors
/// A configuration that cannot be parsed, files that cannot be read.
pub fn collect(
    context: &Context,
    stack: &Stack,
    tree: &dyn FileTree,
    dir: &str,
    downloaded: &Downloaded<'_>,
    live: &Live,
) -> Result<Collected> {
    let mut warnings = Vec::new();
    let modules = match downloaded {
        Downloaded::Folder(folder) => modules_on_disk(folder, dir, &mut warnings)?,
        Downloaded::Record(record) => modules_of_record(context, record)?,
    };
    let configuration = load_with_modules(tree, dir, modules.as_ref())?;
    let lock_path = in_dir(dir, ".terraform.lock.hcl");
    let lock_file = match tree
        .read(&lock_path)
        .map_err(|error| EngineError::failed(error.to_string()))?
    {
        Some(bytes) => Some(bytes),
        None => match downloaded {
            Downloaded::Folder(folder) => std::fs::read(folder.join(".terraform.lock.hcl")).ok(),
            Downloaded::Record(record) => record.lock_file.map(|blob| context.store.get_blob(&blob)).transpose()?,
        },
    };
    let providers = lock_file
        .as_deref()
        .and_then(|bytes| LockFile::parse(bytes).ok())
        .map(|lock| {
            lock.providers
                .into_iter()
                .map(|(name, locked)| (name, locked.version))
                .collect()
        })
        .unwrap_or_default();
    let sensitive_variables = sensitive_variables(&configuration);
    let parts = StackParts {
        like: newest_kept(context, &stack.name)?,
        name: stack.name.clone(),
        dir: dir.to_owned(),
        workspace: live.workspace().to_owned(),
        backend: BackendRecord::new(live.kind(), live.attributes()),
        configuration: module_files(tree, &configuration, &mut warnings)?,
        executable: BTreeSet::new(),
        lock_file,
        modules,
        variable_files: variable_files(context, stack, tree, dir)?,
        variables: outside_variables(context, &configuration, &sensitive_variables),
        sensitive_variables,
        terraform: tool(context, live.state()),
        providers,
        depends_on: stack.depends_on.clone(),
        state: live.state().cloned(),
    };
    Ok(Collected {
        parts,
        configuration,
        warnings,
    })
}

/// The variables of the root module that are declared sensitive.
pub fn sensitive_variables(configuration: &Configuration) -> BTreeSet<String> {
    configuration
        .root()
        .map(|root| {
            root.variables
                .values()
                .filter(|variable| variable.sensitive)
                .map(|variable| variable.name.clone())
                .collect()
        })
        .unwrap_or_default()
}

fn load_with_modules(tree: &dyn FileTree, dir: &str, modules: Option<&ModulesParts>) -> Result<Configuration> {
    let Some(modules) = modules else {
        return Ok(load(tree, dir, None)?);
    };
    let manifest = Manifest::parse(&modules.manifest).map_err(|error| EngineError::failed(error.to_string()))?;
    let files = modules
        .files
        .iter()
        .map(|(path, bytes)| (in_dir(dir, &format!("{MODULES}{path}")), bytes.clone()))
        .collect();
    Ok(load(&LayeredTree::new(&MemoryTree(files), tree), dir, Some(&manifest))?)
}

/// A path below a stack's folder as a path of the tree.
pub fn in_dir(dir: &str, path: &str) -> String {
    if dir.is_empty() {
        path.to_owned()
    } else {
        format!("{dir}/{path}")
    }
}

/// What `terraform init` downloaded, without modules that no call names any more, and what lies outside of the repository.
fn modules_on_disk(folder: &Path, dir: &str, warnings: &mut Vec<String>) -> Result<Option<ModulesParts>> {
    let modules = data_folder(folder).join("modules");
    let Ok(bytes) = std::fs::read(modules.join("modules.json")) else {
        return Ok(None);
    };
    let mut manifest = match Manifest::parse(&bytes) {
        Ok(manifest) => manifest,
        Err(error) => {
            warnings.push(format!(
                "{}: {error}; downloaded modules are not kept",
                modules.display()
            ));
            return Ok(None);
        }
    };
    // Releases know one place for them, wherever this folder's data folder is.
    if let Some(named) = named_data_folder() {
        let prefix = format!("{}/", named.join("modules").display());
        for module in &mut manifest.modules {
            if let Some(inside) = module.dir.strip_prefix(&prefix) {
                module.dir = format!("{MODULES}{inside}");
            }
        }
    }
    let tree = DiskTree::new(modules.clone());
    let mut files = BTreeMap::new();
    let inside: BTreeSet<&str> = manifest
        .modules
        .iter()
        .filter_map(|module| module.dir.strip_prefix(MODULES))
        .filter_map(|dir| dir.split('/').next())
        .collect();
    for name in inside {
        walk(&tree, name, MOST_FILES * 4, &mut files, warnings)?;
    }
    outside::take_in(folder, dir, &mut manifest, &mut files, warnings)?;
    if files.is_empty() {
        return Ok(None);
    }
    Ok(Some(ModulesParts {
        manifest: manifest.to_bytes(),
        files,
        executable: BTreeSet::new(),
    }))
}

fn modules_of_record(context: &Context, record: &StackRecord) -> Result<Option<ModulesParts>> {
    let Some(modules) = &record.modules else {
        return Ok(None);
    };
    let mut files = BTreeMap::new();
    for (path, blob) in &modules.files {
        files.insert(path.clone(), context.store.get_blob(blob)?);
    }
    Ok(Some(ModulesParts {
        manifest: context.store.get_blob(&modules.manifest)?,
        files,
        executable: modules.executable.clone(),
    }))
}

/// The files of the root module's folder and of every local module that it reaches.
pub(crate) fn module_files(
    tree: &dyn FileTree,
    configuration: &Configuration,
    warnings: &mut Vec<String>,
) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    let dirs: BTreeSet<&str> = configuration
        .modules
        .values()
        .map(|module| module.dir.as_str())
        .filter(|dir| !dir.contains(".terraform/modules"))
        .collect();
    for dir in dirs {
        let mut below = BTreeMap::new();
        walk(tree, dir, MOST_FILES, &mut below, warnings)?;
        files.extend(below);
    }
    Ok(files)
}

/// All regular files below a folder; only those directly in it where there are more than `most`.
pub(crate) fn walk(
    tree: &dyn FileTree,
    dir: &str,
    most: usize,
    files: &mut BTreeMap<String, Vec<u8>>,
    warnings: &mut Vec<String>,
) -> Result<()> {
    let fail = |error: rollback_config::TreeError| EngineError::failed(error.to_string());
    let mut paths = Vec::new();
    let mut direct = 0;
    let mut pending = vec![dir.to_owned()];
    while let Some(here) = pending.pop() {
        for entry in tree.list(&here).map_err(fail)? {
            let path = in_dir(&here, &entry.name);
            match entry.kind {
                EntryKind::File => paths.push(path),
                EntryKind::Directory if !is_foreign(&entry.name) => pending.push(path),
                _ => {}
            }
        }
        if here == dir {
            direct = paths.len();
        }
        if paths.len() > most {
            paths.truncate(direct);
            warnings.push(format!(
                "{} has more than {most} files below it: only those directly in it are kept with the release",
                if dir.is_empty() { "the repository's top" } else { dir }
            ));
            break;
        }
    }
    for path in paths {
        if path.ends_with(".tfstate") || path.ends_with(".tfstate.backup") {
            continue;
        }
        match tree.read(&path) {
            Ok(Some(bytes)) if bytes.len() <= LARGEST_FILE => {
                files.insert(path, bytes);
            }
            Ok(Some(_)) | Err(rollback_config::TreeError::TooLarge { .. }) => {
                warnings.push(format!("{path} is too large to be kept with the release"));
            }
            Ok(None) => {}
            Err(error) => return Err(fail(error)),
        }
    }
    Ok(())
}

fn is_foreign(name: &str) -> bool {
    matches!(name, ".git" | ".terraform" | "node_modules" | "target" | ".venv")
}

/// Whether Terraform takes a file of assignments by itself.
pub fn is_taken_by_itself(name: &str) -> bool {
    matches!(name, "terraform.tfvars" | "terraform.tfvars.json")
        || name.ends_with(".auto.tfvars")
        || name.ends_with(".auto.tfvars.json")
}

/// The files of assignments that Terraform takes by itself, and those that the stack names.
pub fn variable_file_names(stack: &Stack, names: &[String]) -> Vec<String> {
    let mut found: Vec<String> = names.iter().filter(|name| is_taken_by_itself(name)).cloned().collect();
    found.extend(stack.var_files.iter().cloned());
    found.sort();
    found.dedup();
    found
}

fn variable_files(context: &Context, stack: &Stack, tree: &dyn FileTree, dir: &str) -> Result<Vec<VariableFilePart>> {
    let folder = context.root.join(&stack.dir);
    let mut names: Vec<String> = tree
        .list(dir)
        .map(|entries| entries.into_iter().map(|entry| entry.name).collect())
        .unwrap_or_default();
    if let Ok(entries) = std::fs::read_dir(&folder) {
        names.extend(
            entries
                .filter_map(Result::ok)
                .map(|entry| entry.file_name().to_string_lossy().into_owned()),
        );
    }
    names.sort();
    names.dedup();
    let mut files = Vec::new();
    for name in variable_file_names(stack, &names) {
        // As Git has it; what Git does not have, as it lies there.
        match tree.read(&in_dir(dir, &name)) {
            Ok(Some(bytes)) => files.push(VariableFilePart {
                path: name,
                bytes,
                tracked: true,
            }),
            _ => {
                if let Ok(bytes) = std::fs::read(folder.join(&name)) {
                    files.push(VariableFilePart {
                        path: name,
                        bytes,
                        tracked: false,
                    });
                }
            }
        }
    }
    Ok(files)
}

/// Variables of the root module that are given by the environment or on our own command line.
fn outside_variables(
    context: &Context,
    configuration: &Configuration,
    sensitive: &BTreeSet<String>,
) -> Vec<VariablePart> {
    let Some(root) = configuration.root() else {
        return Vec::new();
    };
    let mut parts = Vec::new();
    for name in root.variables.keys() {
        let given = context.given.variables.iter().rev().find(|(given, _)| given == name);
        let (origin, value) = match given {
            Some((_, value)) => (VariableOrigin::CommandLine, value.clone()),
            None => match std::env::var(format!("TF_VAR_{name}")) {
                Ok(value) => (VariableOrigin::Environment, value),
                Err(_) => continue,
            },
        };
        parts.push(VariablePart {
            name: name.clone(),
            origin,
            sensitive: sensitive.contains(name),
            value: value.into(),
        });
    }
    parts
}

pub(crate) fn tool(context: &Context, state: Option<&State>) -> ToolRecord {
    let tofu = context
        .terraform
        .binary()
        .file_stem()
        .is_some_and(|name| name == "tofu");
    ToolRecord {
        product: if tofu { "opentofu" } else { "terraform" }.to_owned(),
        // What wrote the state is what ran the deploy, whatever is installed here.
        version: state
            .map(|state| state.terraform_version().to_owned())
            .unwrap_or_default(),
    }
}
