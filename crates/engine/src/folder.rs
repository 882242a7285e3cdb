//! The private folder of one stack in one run: the target's files, its own lock file and modules, a private copy of the
//! joined state. The user's checkout is never touched.

mod imports;
mod providers;
mod variables;

use std::collections::BTreeSet;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rollback_config::{Configuration, Manifest, ManifestEntry};
use rollback_inverse::Joined;
use rollback_release::StackRecord;
use rollback_repository::{CommitId, SkipReason, Skipped, is_lfs_pointer};
use rollback_state::State;
use rollback_terraform::{
    BackendConfig, Event, Folder, FolderOptions, InitOptions, Plan, PlanOptions, PlanOutcome, SealedPlan,
    TerraformError,
};

use crate::carry::{self, Carried};
use crate::context::{Context, Stack};
use crate::error::{EngineError, Result};
use crate::live::Live;
use crate::neighbours::{self, Reader};
use crate::observe::Stage;
use crate::target::Target;
use crate::terraform_error;

/// The plan file's name in the folder, until it is sealed.
const PLAN_FILE: &str = "infra-rollback.tfplan";
/// The plan of what is left afterwards; never applied.
const LEFT_FILE: &str = "infra-rollback.left.tfplan";
const LOCK_FILE: &str = ".terraform.lock.hcl";
/// On states up to so many bytes terraform may let garbage gather: a quarter of the processor time of its commands goes
/// into collecting it, for memory that nobody misses (the AWS provider, the largest there is, grows from 590 to 616 MB).
const SMALL_STATE: usize = 1 << 20;
const MUCH_GARBAGE: u16 = 400;

/// What a folder is made of.
pub struct Recipe<'a> {
    pub stack: &'a Stack,
    pub target: &'a Target,
    /// Whether everything goes back, and not just `-target` addresses.
    pub whole: bool,
    /// Where the folder is made.
    pub root: &'a Path,
    pub commit: &'a CommitId,
    /// The root module's folder in the commit's tree.
    pub dir: &'a str,
    pub record: Option<&'a StackRecord>,
    pub configuration: &'a Configuration,
    pub carried: &'a Carried,
    /// The deployed release's lock file.
    pub deployed_lock: Option<Vec<u8>>,
    /// Providers whose deployed version is kept.
    pub keep_providers: &'a BTreeSet<String>,
    pub live: &'a Live,
    pub joined: &'a Joined,
}

/// A folder ready for Terraform.
pub struct WorkFolder {
    pub folder: Folder,
    /// The repository's top in it.
    pub tree: PathBuf,
    /// Where Terraform looks for the state in it.
    state: PathBuf,
    lock: Option<Vec<u8>>,
    /// The plan was made on the live remote backend itself, as nothing in the state had to be edited.
    pub direct: bool,
}

/// Makes the folder and initialises it where that is needed.
///
/// # Errors
/// Something cannot be written, or `terraform init` fails.
pub fn make(context: &Context, recipe: &Recipe<'_>) -> Result<WorkFolder> {
    let tree = recipe.root.join("tree");
    private_folder(&tree)?;
    match context.repository.materialise(recipe.commit, &tree, &|_| true) {
        Ok(written) => {
            let scratch = recipe.root.join("checkout.index");
            context.repository.convert(recipe.commit, &tree, &written, &scratch)?;
            no_pointers(recipe, &tree, &written.skipped)?;
        }
        Err(error) => match recipe.record {
            Some(record) => record
                .write_configuration(context.store.as_ref(), &tree)
                .map_err(|error| EngineError::failed(error.to_string()))?,
            None => return Err(error.into()),
        },
    }
    let root = tree.join(recipe.dir);
    private_folder(&root)?;
    let lock = lock_file(context, recipe, &root)?;
    modules(context, recipe, &root)?;
    for (name, text) in &recipe.carried.files {
        write(&root.join(name), text.as_bytes())?;
    }
    variables::variable_files(context, recipe, &root)?;
    let reader = Reader {
        stack: recipe.stack,
        target: recipe.target,
        whole: recipe.whole,
        configuration: recipe.configuration,
        tree: &tree,
    };
    neighbours::put_states(context, &reader)?;

    let direct = recipe.live.file().is_none() && !recipe.joined.edited;
    let has_backend = recipe
        .configuration
        .root()
        .is_some_and(|module| module.backend.is_some());
    if direct {
        recipe.live.backend().write_override(&root).map_err(terraform_error)?;
    } else if has_backend {
        BackendConfig::local(None)
            .write_override(&root)
            .map_err(terraform_error)?;
    }
    let workspace = recipe.live.workspace_variable();
    let state = state_path(&root, workspace.as_deref());
    // What lies in the commit's tree as a state is not the live one.
    let _ = std::fs::remove_file(&state);
    let mut variables = recipe.stack.variables.clone();
    variables.extend(variables::left_out(context, recipe));
    variables.extend(recipe.carried.variables.iter().cloned());
    let mut var_files = variables::named_var_files(recipe, &root);
    var_files.extend(context.given.files.iter().cloned());
    var_files.extend(variables::given_values(context, recipe, &root)?);
    let folder = Folder::new(
        &context.terraform,
        &root,
        FolderOptions {
            workspace,
            environment_extra: context.settings.terraform.environment.clone(),
            variables,
            var_files,
            plugin_cache: providers::plugin_cache(context),
            parallelism: context.settings.terraform.parallelism,
            garbage_percent: (recipe.joined.state.bytes().len() <= SMALL_STATE).then_some(MUCH_GARBAGE),
            ..FolderOptions::default()
        },
    );
    let work = WorkFolder {
        folder,
        tree: tree.clone(),
        state,
        lock,
        direct,
    };
    let providers = providers::external_providers(recipe, work.lock.as_deref());
    let linked = providers && providers::link_providers(context, recipe, &root, work.lock.as_deref());
    if direct || has_backend || (providers && !linked) {
        context.observer.stage(&recipe.stack.name, Stage::Initialising);
        work.init()?;
    }
    if !direct {
        work.put_state(&recipe.joined.state)?;
    }
    Ok(work)
}

/// A pointer of Git LFS in a module's folder would be deployed in the place of what it stands for.
fn no_pointers(recipe: &Recipe<'_>, tree: &Path, skipped: &[Skipped]) -> Result<()> {
    let pointers = skipped
        .iter()
        .filter(|skipped| skipped.reason == SkipReason::LfsPointer);
    let in_module = |path: &str| {
        let modules = recipe.configuration.modules.values();
        modules
            .map(|module| module.dir.as_str())
            .any(|dir| dir.is_empty() || path.starts_with(&format!("{dir}/")))
    };
    let still: Vec<&str> = pointers
        .map(|pointer| pointer.path.as_str())
        .filter(|path| in_module(path) && std::fs::read(tree.join(path)).is_ok_and(|bytes| is_lfs_pointer(&bytes)))
        .collect();
    match still.is_empty() {
        true => Ok(()),
        false => Err(EngineError::failed(format!(
            "these files are pointers of Git LFS, whose content is not here: {}",
            still.join(", ")
        ))
        .hint("`git lfs install` and `git lfs fetch --all` bring it, then try again")),
    }
}

impl WorkFolder {
    /// The lock file that is used.
    pub fn lock_file(&self) -> Option<&[u8]> {
        self.lock.as_deref()
    }

    pub fn root(&self) -> &Path {
        self.folder.root()
    }

    fn init(&self) -> Result<()> {
        // What is linked is the user's own: `init` must not write through it.
        providers::unlink_providers(self.root());
        let options = |lockfile_readonly| InitOptions {
            reconfigure: true,
            lockfile_readonly,
            ..InitOptions::default()
        };
        match self.folder.init(&options(self.lock.is_some())) {
            Ok(()) => Ok(()),
            // The target's lock file was never whole (no entry for a provider that it uses): then it cannot be readonly.
            Err(TerraformError::LockFileIncomplete { .. }) => {
                self.folder.init(&options(false)).map_err(terraform_error)
            }
            Err(error) => Err(terraform_error(error)),
        }
    }

    fn put_state(&self, state: &State) -> Result<()> {
        if let Some(parent) = self.state.parent() {
            private_folder(parent)?;
        }
        write(&self.state, state.bytes())
    }

    /// `terraform plan` over what the folder holds, initialising first if Terraform asks for it. What is told of the plan is
    /// told of the sealed one: nothing that is put into the folder afterwards counts.
    ///
    /// # Errors
    /// Terraform's own, each with what to do.
    pub fn plan(&self, context: &Context, stack: &Stack, targets: &[String]) -> Result<(SealedPlan, Plan)> {
        let outcome = self.plan_file_made(context, stack, targets, PLAN_FILE)?;
        self.sealed(&outcome.map_err(terraform_error)?)
    }

    /// As [`WorkFolder::plan`], without the `import` blocks that name nothing; a line for each that was left out.
    ///
    /// # Errors
    /// As [`WorkFolder::plan`].
    pub fn plan_without_empty_imports(
        &self,
        context: &Context,
        stack: &Stack,
        targets: &[String],
        configuration: &Configuration,
    ) -> Result<(SealedPlan, Plan, Vec<String>)> {
        let mut left_out = Vec::new();
        let outcome = loop {
            let error = match self.plan_file_made(context, stack, targets, PLAN_FILE)? {
                Ok(outcome) => break outcome,
                Err(error) => error,
            };
            let found = match &error {
                TerraformError::NothingToImport { addresses, .. } => {
                    imports::leave_out(&self.tree, configuration, addresses)?
                }
                _ => Vec::new(),
            };
            if found.is_empty() {
                return Err(terraform_error(error));
            }
            left_out.extend(found);
        };
        let (sealed, plan) = self.sealed(&outcome)?;
        Ok((sealed, plan, left_out))
    }

    fn sealed(&self, outcome: &PlanOutcome) -> Result<(SealedPlan, Plan)> {
        let sealed = SealedPlan::take(&outcome.plan_file).map_err(terraform_error)?;
        let plan = self.folder.show_sealed(&sealed).map_err(terraform_error)?;
        Ok((sealed, plan))
    }

    /// As [`WorkFolder::plan`]; none where there is nothing to do, which spares asking what.
    ///
    /// # Errors
    /// As [`WorkFolder::plan`].
    pub fn plan_what_is_left(&self, context: &Context, stack: &Stack, targets: &[String]) -> Result<Option<Plan>> {
        let outcome = self.plan_file_made(context, stack, targets, LEFT_FILE)?;
        let outcome = outcome.map_err(terraform_error)?;
        if !outcome.has_changes {
            return Ok(None);
        }
        self.show_what_is_left().map(Some)
    }

    /// The plan that [`WorkFolder::plan_what_is_left`] made, with every value as it is now.
    ///
    /// # Errors
    /// Terraform's own.
    pub fn show_what_is_left(&self) -> Result<Plan> {
        self.folder.show_plan(Path::new(LEFT_FILE)).map_err(terraform_error)
    }

    fn plan_file_made(
        &self,
        context: &Context,
        stack: &Stack,
        targets: &[String],
        out: &str,
    ) -> Result<std::result::Result<PlanOutcome, TerraformError>> {
        Ok(match self.plan_once(context, stack, targets, out) {
            Err(
                TerraformError::NeedsInit { .. }
                | TerraformError::ProviderMissing { .. }
                | TerraformError::ModuleMissing { .. }
                | TerraformError::BackendChanged { .. }
                | TerraformError::LockFileIncomplete { .. },
            ) => {
                context.observer.stage(&stack.name, Stage::Initialising);
                self.init()?;
                context.observer.stage(&stack.name, Stage::Planning);
                self.plan_once(context, stack, targets, out)
            }
            other => other,
        })
    }

    fn plan_once(
        &self,
        context: &Context,
        stack: &Stack,
        targets: &[String],
        out: &str,
    ) -> std::result::Result<PlanOutcome, TerraformError> {
        // Without Terraform's lock: planning writes no state, and applying refuses a plan whose state has moved on.
        let options = PlanOptions {
            out: out.into(),
            targets: targets.to_vec(),
            lock: false,
            ..PlanOptions::default()
        };
        self.folder.plan(&options, &mut |event: Event| {
            context.observer.terraform(&stack.name, &event)
        })
    }

    /// From now on Terraform works on the live state file through this folder: it writes through the link, into the
    /// very file that everybody else locks.
    ///
    /// # Errors
    /// The link cannot be made.
    pub fn link_state(&self, live: &Path) -> Result<()> {
        let _ = std::fs::remove_file(&self.state);
        std::os::unix::fs::symlink(live, &self.state)?;
        Ok(())
    }

    /// From now on Terraform works on the live remote backend.
    ///
    /// # Errors
    /// The backend cannot be reached.
    pub fn attach_remote(&self, live: &Live) -> Result<()> {
        let _ = std::fs::remove_file(&self.state);
        live.backend().write_override(self.root()).map_err(terraform_error)?;
        self.init()
    }
}

fn state_path(root: &Path, workspace: Option<&str>) -> PathBuf {
    match workspace {
        None => root.join("terraform.tfstate"),
        Some(workspace) => root
            .join("terraform.tfstate.d")
            .join(workspace)
            .join("terraform.tfstate"),
    }
}

/// Folders of a run hold states and plans: nobody else may look.
pub fn private_folder(path: &Path) -> Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    Ok(())
}

pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let _ = std::fs::remove_file(path);
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)?;
    Ok(())
}

/// The release's own lock file, with the entries of providers that are carried over or kept.
fn lock_file(context: &Context, recipe: &Recipe<'_>, root: &Path) -> Result<Option<Vec<u8>>> {
    let path = root.join(LOCK_FILE);
    let own = match recipe.record.and_then(|record| record.lock_file) {
        Some(blob) => Some(context.store.get_blob(&blob)?),
        None => std::fs::read(&path).ok(),
    };
    let lock = carry::merge_lock(own.as_deref(), recipe.deployed_lock.as_deref(), recipe.keep_providers)?;
    if let Some(bytes) = &lock {
        write(&path, bytes)?;
    }
    Ok(lock)
}

/// The modules that the release holds, and a manifest that names them and the local ones, so that `init` need not fetch
/// what may be gone.
fn modules(context: &Context, recipe: &Recipe<'_>, root: &Path) -> Result<()> {
    if recipe.configuration.modules.len() + recipe.configuration.unresolved.len() <= 1 {
        return Ok(());
    }
    let folder = root.join(".terraform/modules");
    private_folder(&folder)?;
    let mut kept = Manifest::default();
    if let Some(record) = recipe.record
        && let Some(modules) = &record.modules
    {
        record
            .write_modules(context.store.as_ref(), &folder)
            .map_err(|error| EngineError::failed(error.to_string()))?;
        kept = Manifest::parse(&context.store.get_blob(&modules.manifest)?)
            .map_err(|error| EngineError::failed(error.to_string()))?;
    }
    let mut manifest = Manifest {
        modules: vec![ManifestEntry {
            dir: ".".to_owned(),
            ..ManifestEntry::default()
        }],
    };
    for (path, module) in &recipe.configuration.modules {
        let Some((name, parent)) = path.split_last() else {
            continue;
        };
        if let Some(entry) = kept.entry(path) {
            manifest.modules.push(entry.clone());
            continue;
        }
        let source = recipe
            .configuration
            .modules
            .get(parent)
            .and_then(|parent| parent.calls.get(name));
        manifest.modules.push(ManifestEntry {
            key: path.join("."),
            source: source.map(|call| call.source.clone()).unwrap_or_default(),
            version: None,
            dir: relative(&recipe.configuration.root_dir, &module.dir),
        });
    }
    write(&folder.join("modules.json"), &manifest.to_bytes())
}

/// The way from one folder of the tree to another.
fn relative(from: &str, to: &str) -> String {
    let parts = |path: &str| {
        path.split('/')
            .filter(|part| !part.is_empty())
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let (from, to) = (parts(from), parts(to));
    let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let mut way: Vec<String> = vec!["..".to_owned(); from.len() - common];
    way.extend(to[common..].iter().cloned());
    if way.is_empty() { ".".to_owned() } else { way.join("/") }
}
