//! Where a command works: the repository, the project's settings, its stacks, the store.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rollback_config::project::{Project, StackSection};
use rollback_inverse::Knowledge;
use rollback_release::{Catalogue, Store};
use rollback_repository::{CommitId, Repository};
use rollback_runbook::Part;
use rollback_runbook::checks::NamedCheck;
use rollback_terraform::{Storages, Terraform};

use crate::error::{EngineError, Result};
pub use crate::notifying::Notices;
use crate::observe::Observer;
use crate::roots;
use crate::secrets::Secrets;
use crate::steps::Choices;

/// The project's settings file.
pub const SETTINGS: &str = "infra-rollback.toml";

/// One root module with its workspace, in the user's working folder.
#[derive(Clone, Debug, PartialEq)]
pub struct Stack {
    pub name: String,
    /// Relative to the repository's top; `""` is the top.
    pub dir: String,
    pub workspace: Option<String>,
    /// Relative to `dir`.
    pub var_files: Vec<String>,
    pub depends_on: Vec<String>,
    /// Values from the settings file.
    pub variables: Vec<(String, String)>,
}

/// Values for variables that the caller gives now. Nothing of them is kept.
#[derive(Clone, Default)]
pub struct Given {
    pub variables: Vec<(String, String)>,
    pub files: Vec<PathBuf>,
}

/// How locks are asked for.
#[derive(Clone, Debug, Default)]
pub struct Locking {
    /// For how long to wait for others.
    pub timeout: Duration,
    /// Why a person is sure that the former process of the run that is taken up again, which ran on another machine, and
    /// the Terraform that it started are dead.
    pub holder_is_dead: Option<String>,
}

/// Everything a command needs.
pub struct Context {
    pub repository: Repository,
    /// The top of the user's working folder.
    pub root: PathBuf,
    pub settings: Project,
    /// The folder of infra-rollback.toml, relative to `root`; `""` is `root`.
    pub settings_dir: String,
    /// What tells this project from others in the store.
    pub project: String,
    pub store: Arc<dyn Store>,
    /// Where runs keep their private folders.
    pub home: PathBuf,
    pub knowledge: Knowledge,
    pub terraform: Terraform,
    /// How live states are reached and locked, by the kind of their backend.
    pub storages: Arc<Storages>,
    /// In the order of a rollback: dependents first.
    pub stacks: Vec<Stack>,
    /// Stacks that are left as they are, and whose states may have to be told what a step has put in something's place.
    pub beside: Vec<Stack>,
    /// What says whether all is well.
    pub checks: Arc<Vec<NamedCheck>>,
    /// The chosen steps of the settings.
    pub parts: Vec<Part>,
    /// What steps can go to beside what releases have.
    pub choices: Arc<dyn Choices>,
    /// Who is told of runs.
    pub notices: Notices,
    pub actor: String,
    /// The command line, for the record.
    pub command: String,
    pub given: Given,
    pub locking: Locking,
    pub secrets: Arc<Secrets>,
    pub observer: Box<dyn Observer>,
}

/// What the caller says about where to work.
pub struct Place<'a> {
    /// The folder in which the person stands.
    pub folder: &'a Path,
    pub settings_file: Option<&'a Path>,
    /// Only these stacks; empty for all.
    pub stacks: &'a [String],
}

/// The repository, its settings and the chosen stacks.
pub struct Located {
    pub repository: Repository,
    pub root: PathBuf,
    /// The folder of infra-rollback.toml, relative to `root`; `""` is `root`.
    pub settings_dir: String,
    pub settings: Project,
    pub stacks: Vec<Stack>,
    pub project: String,
}

impl Located {
    /// Looks around.
    ///
    /// # Errors
    /// No repository, no commit, broken settings, no stack, an unknown stack.
    pub fn find(place: &Place<'_>) -> Result<Located> {
        let repository = Repository::open(place.folder)?;
        let root = repository
            .workdir()
            .ok_or_else(|| {
                EngineError::failed("this is a bare repository: there is no working folder with stacks")
                    .hint("work in a clone of it")
            })?
            .canonicalize()?;
        let project = repository.root_commit()?;
        let (settings, settings_dir) = read_settings(&root, place.settings_file)?;
        let stacks = if settings.stacks.is_empty() {
            vec![stack_of_folder(&root, place.folder)?]
        } else {
            let order = settings.stack_order()?;
            order
                .into_iter()
                .map(|index| stack_of_section(&settings.stacks[index], &settings_dir))
                .collect()
        };
        let stacks = choose(stacks, place.stacks)?;
        check_data_folder(&stacks)?;
        Ok(Located {
            repository,
            root,
            settings_dir,
            settings,
            stacks,
            project,
        })
    }
}

impl Context {
    pub fn catalogue(&self) -> Catalogue<'_> {
        Catalogue::new(self.store.as_ref(), &self.project)
    }

    /// The folder of a run, private and durable.
    pub fn run_folder(&self, run: &str) -> PathBuf {
        self.home.join("runs").join(run)
    }

    /// A commit that a record names. One that Git has lost keeps its id: its release has the files.
    ///
    /// # Errors
    /// It is no whole id, and Git does not know it either.
    pub fn commit_of_record(&self, commit: &str) -> Result<CommitId> {
        self.repository
            .resolve(commit)
            .or_else(|error| commit.parse().map_err(|_| error))
            .map_err(EngineError::from)
    }

    /// The stacks of the settings beside one, chosen or not.
    pub fn others<'a>(&'a self, own: &'a str) -> impl Iterator<Item = Stack> + 'a {
        let sections = self.settings.stacks.iter().filter(move |section| section.name != own);
        sections.map(|section| stack_of_section(section, &self.settings_dir))
    }

    /// Leaves the steps alone in it. The stacks stay beside where a step may put another thing in the place of one that
    /// they manage: then their states are written.
    pub fn keep_steps_alone(&mut self) {
        let stacks = std::mem::take(&mut self.stacks);
        if self.parts.iter().any(|part| part.step.replaces_what_terraform_has()) {
            self.beside = stacks;
        }
    }

    /// All stacks whose states a run may write.
    pub fn written_stacks(&self) -> impl Iterator<Item = &Stack> {
        self.stacks.iter().chain(&self.beside)
    }

    pub fn stack(&self, name: &str) -> Result<&Stack> {
        self.stacks.iter().find(|stack| stack.name == name).ok_or_else(|| {
            EngineError::failed(format!("stack {name} is not among the stacks of this project"))
                .hint("infra-rollback.toml names the stacks; check out a commit that has it, or leave --stack out")
        })
    }
}

/// An absolute `TF_DATA_DIR` is one stack's: what it says of backend and workspace would be taken for all of them.
fn check_data_folder(stacks: &[Stack]) -> Result<()> {
    match rollback_terraform::named_data_folder() {
        Some(folder) if folder.is_absolute() && stacks.len() > 1 => Err(EngineError::usage(format!(
            "TF_DATA_DIR names one folder, {}, for {} stacks: which of them was initialised there is not known",
            folder.display(),
            stacks.len()
        ))
        .hint("unset TF_DATA_DIR, name a relative folder, or choose one stack with --stack")),
        _ => Ok(()),
    }
}

fn read_settings(root: &Path, named: Option<&Path>) -> Result<(Project, String)> {
    let path = named.map_or_else(|| root.join(SETTINGS), Path::to_path_buf);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && named.is_none() => {
            return Ok((Project::default(), String::new()));
        }
        Err(error) => {
            return Err(EngineError::usage(format!(
                "{} cannot be read: {error}",
                path.display()
            )));
        }
    };
    let settings = Project::parse(&text, &path.display().to_string())?;
    let folder = path.parent().unwrap_or(root).canonicalize()?;
    let relative = folder.strip_prefix(root).map_err(|_| {
        EngineError::usage(format!(
            "{} lies outside of the repository {}",
            path.display(),
            root.display()
        ))
        .hint("put it at the top of the repository")
    })?;
    Ok((settings, slashes(relative)))
}

/// A section of the settings as a stack; its folder counts from the settings file's.
pub fn stack_of_section(section: &StackSection, settings_dir: &str) -> Stack {
    Stack {
        name: section.name.clone(),
        dir: join(settings_dir, &section.dir),
        workspace: section.workspace.clone(),
        var_files: section.var_files.clone(),
        depends_on: section.depends_on.clone(),
        variables: section
            .variables
            .iter()
            .map(|(name, value)| (name.clone(), variable_text(value)))
            .collect(),
    }
}

/// A value as `TF_VAR_name` takes it: strings as they are, the rest in JSON, which HCL reads.
fn variable_text(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        other => serde_json::to_string(other).unwrap_or_default(),
    }
}

fn join(a: &str, b: &str) -> String {
    let b = b.trim_start_matches("./").trim_end_matches('/');
    match (a, b) {
        ("", ".") => String::new(),
        ("", b) => b.to_owned(),
        (a, "" | ".") => a.to_owned(),
        (a, b) => format!("{a}/{b}"),
    }
}

fn slashes(path: &Path) -> String {
    path.components()
        .map(|part| part.as_os_str().to_string_lossy())
        .collect::<Vec<_>>()
        .join("/")
}

/// Whether a folder holds Terraform files.
pub fn has_configuration(folder: &Path) -> bool {
    std::fs::read_dir(folder).is_ok_and(|entries| {
        entries.filter_map(Result::ok).any(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            [".tf", ".tf.json", ".tofu", ".tofu.json"]
                .iter()
                .any(|ending| name.ends_with(ending))
        })
    })
}

/// Without settings the folder in which one stands is the stack, if it has Terraform files; else the only root module
/// below the repository's top.
fn stack_of_folder(root: &Path, folder: &Path) -> Result<Stack> {
    let folder = folder.canonicalize()?;
    let in_folder = |candidate: &Path| {
        let dir = candidate.strip_prefix(root).map(slashes).unwrap_or_default();
        let name = candidate
            .file_name()
            .map_or_else(|| "stack".to_owned(), |name| name.to_string_lossy().into_owned());
        plain_stack(name, dir)
    };
    let places = [folder.as_path(), root];
    if let Some(place) = places.iter().find(|place| has_configuration(place)) {
        return Ok(in_folder(place));
    }
    if let [(_, dir)] = roots::find(root).as_slice() {
        let name = dir.rsplit('/').next().unwrap_or(dir).to_owned();
        return Ok(plain_stack(name, dir.clone()));
    }
    // A commit that takes all of it away is one to come back from.
    if let Some(place) = places.iter().find(|place| was_worked_in(place)) {
        return Ok(in_folder(place));
    }
    Err(
        EngineError::usage(format!("there are no Terraform files in {}", folder.display()))
            .hint("go to the folder of the root module, or run `infra-rollback init` to write infra-rollback.toml"),
    )
}

/// Whether Terraform has left something in a folder: a state, or what `init` keeps.
fn was_worked_in(folder: &Path) -> bool {
    let traces = ["terraform.tfstate", "terraform.tfstate.d"].map(|name| folder.join(name));
    traces.iter().any(|trace| trace.exists()) || rollback_terraform::data_folder(folder).is_dir()
}

fn plain_stack(name: String, dir: String) -> Stack {
    Stack {
        name,
        dir,
        workspace: None,
        var_files: Vec::new(),
        depends_on: Vec::new(),
        variables: Vec::new(),
    }
}

/// A stack that no settings name is called after its folder, and folders are renamed and cloned under other names: the
/// name by which the newest release knows the same root module stays.
///
/// # Errors
/// The store cannot be read.
pub fn keep_name(stacks: &mut [Stack], root: &Path, catalogue: &Catalogue<'_>) -> Result<()> {
    let [stack] = stacks else { return Ok(()) };
    let newest = catalogue.list(1)?.into_iter().next();
    if let Some([known]) = newest.as_ref().map(|release| release.stacks.as_slice())
        && (known.dir == stack.dir || !has_configuration(&root.join(&known.dir)))
    {
        stack.name.clone_from(&known.name);
    }
    Ok(())
}

fn choose(stacks: Vec<Stack>, names: &[String]) -> Result<Vec<Stack>> {
    for name in names {
        if !stacks.iter().any(|stack| stack.name == *name) {
            let known: Vec<&str> = stacks.iter().map(|stack| stack.name.as_str()).collect();
            return Err(EngineError::usage(format!("there is no stack {name}"))
                .hint(format!("the stacks are: {}", known.join(", "))));
        }
    }
    Ok(stacks
        .into_iter()
        .filter(|stack| names.is_empty() || names.contains(&stack.name))
        .collect())
}
