//! Reading a root module and what it calls.

use crate::error::{ConfigError, Location};
use crate::manifest::Manifest;
use crate::model::{Configuration, ModuleCall, UnresolvedModule};
use crate::module::{self, Folder};
use crate::tree::{FileTree, join_path};
use std::collections::HashMap;
use std::rc::Rc;

/// Modules nested deeper than this, or more of them, or more text in all of them, are refused: a few lines of
/// HCL can call each other into billions of modules.
const DEEPEST: usize = 64;
const MOST_MODULES: usize = 5_000;
const MOST_BYTES: usize = 256 << 20;

/// How to read a configuration.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LoadOptions {
    /// Read `.tofu` and `.tofu.json` too; they hide the `.tf` and `.tf.json` of the same name.
    pub opentofu: bool,
}

/// Reads the configuration whose root module is the folder `root_dir` of the tree, as Terraform would.
///
/// Local modules are followed anywhere in the tree; others through `downloaded`, the manifest that
/// `terraform init` wrote (`.terraform/modules/modules.json`, whose folders count from the root
/// module's). What cannot be followed is listed in [`Configuration::unresolved`].
///
/// # Errors
/// Where a file cannot be read or parsed, with file, line and column.
pub fn load(tree: &dyn FileTree, root_dir: &str, downloaded: Option<&Manifest>) -> Result<Configuration, ConfigError> {
    load_with(tree, root_dir, downloaded, LoadOptions::default())
}

/// As [`load`], with options.
///
/// # Errors
/// As [`load`].
pub fn load_with(
    tree: &dyn FileTree,
    root_dir: &str,
    downloaded: Option<&Manifest>,
    options: LoadOptions,
) -> Result<Configuration, ConfigError> {
    let root_dir = join_path("", root_dir)?;
    let configuration = Configuration {
        root_dir: root_dir.clone(),
        ..Configuration::default()
    };
    let mut loader = Loader {
        tree,
        downloaded,
        options,
        folders: HashMap::new(),
        configuration,
        bytes: 0,
    };
    let Some(folder) = loader.folder(&root_dir)? else {
        return Err(ConfigError::NoConfiguration { directory: root_dir });
    };
    loader.module(&folder, &mut Vec::new(), &mut vec![root_dir])?;
    Ok(loader.configuration)
}

struct Loader<'t> {
    tree: &'t dyn FileTree,
    downloaded: Option<&'t Manifest>,
    options: LoadOptions,
    /// Every folder is read once, however many modules use it.
    folders: HashMap<String, Option<Rc<Folder>>>,
    configuration: Configuration,
    bytes: usize,
}

impl Loader<'_> {
    fn folder(&mut self, dir: &str) -> Result<Option<Rc<Folder>>, ConfigError> {
        if let Some(folder) = self.folders.get(dir) {
            return Ok(folder.clone());
        }
        let folder = module::read(self.tree, dir, self.options.opentofu)?.map(Rc::new);
        self.folders.insert(dir.to_owned(), folder.clone());
        Ok(folder)
    }

    /// Takes in a folder as the module at `path`, and what it calls. `above` are the folders from the root down.
    fn module(&mut self, folder: &Folder, path: &mut Vec<String>, above: &mut Vec<String>) -> Result<(), ConfigError> {
        let mut module = folder.module.clone();
        module.path.clone_from(path);
        self.configuration.files.extend(folder.files.iter().cloned());
        self.configuration.modules.insert(path.clone(), module);
        for call in folder.module.calls.values() {
            path.push(call.name.clone());
            match self.locate(call, path, &folder.module.dir)? {
                Ok((dir, below)) => {
                    if above.contains(&dir) {
                        let module = format!("module.{}", path.join(".module."));
                        above.push(dir);
                        return Err(ConfigError::ModuleCycle {
                            at: call.at.clone(),
                            module,
                            chain: above.clone(),
                        });
                    }
                    self.check_size(&call.at, path, below.size)?;
                    above.push(dir);
                    self.module(&below, path, above)?;
                    above.pop();
                }
                Err(reason) => self.configuration.unresolved.push(UnresolvedModule {
                    path: path.clone(),
                    source: call.source.clone(),
                    version: call.version.clone(),
                    reason,
                    at: call.at.clone(),
                }),
            }
            path.pop();
        }
        Ok(())
    }

    /// The folder of a call, or why it has none.
    #[allow(clippy::type_complexity)]
    fn locate(
        &mut self,
        call: &ModuleCall,
        path: &[String],
        caller_dir: &str,
    ) -> Result<Result<(String, Rc<Folder>), String>, ConfigError> {
        let mut reason = "it is not downloaded".to_owned();
        if call.source.is_empty() {
            reason = "its source is not a literal".to_owned();
        }
        if is_local(&call.source) {
            match join_path(caller_dir, &call.source) {
                Err(_) => reason = "its folder lies outside the repository".to_owned(),
                Ok(dir) => match self.folder(&dir)? {
                    Some(folder) => return Ok(Ok((dir, folder))),
                    None => reason = format!("there is no configuration in {dir:?}"),
                },
            }
        }
        // What `terraform init` found, even for a local module: a release keeps copies.
        if let Some(entry) = self.downloaded.and_then(|manifest| manifest.entry(path)) {
            match join_path(&self.configuration.root_dir, &entry.dir) {
                Err(_) => reason = format!("it was downloaded outside the repository, to {:?}", entry.dir),
                Ok(dir) => match self.folder(&dir)? {
                    Some(folder) => return Ok(Ok((dir, folder))),
                    None => reason = format!("it was downloaded to {dir:?}, where there is no configuration now"),
                },
            }
        }
        Ok(Err(reason))
    }

    fn check_size(&mut self, at: &Location, path: &[String], size: usize) -> Result<(), ConfigError> {
        self.bytes += size;
        let message = if path.len() > DEEPEST {
            format!("modules are nested more than {DEEPEST} deep")
        } else if self.configuration.modules.len() >= MOST_MODULES {
            format!("there are more than {MOST_MODULES} modules")
        } else if self.bytes > MOST_BYTES {
            format!(
                "the modules have more than {} MiB of configuration in all",
                MOST_BYTES >> 20
            )
        } else {
            return Ok(());
        };
        Err(ConfigError::TooManyModules {
            at: at.clone(),
            message,
        })
    }
}

/// Terraform takes a source for a folder only where it begins with a dot.
fn is_local(source: &str) -> bool {
    matches!(source, "." | "..") || source.starts_with("./") || source.starts_with("../")
}
