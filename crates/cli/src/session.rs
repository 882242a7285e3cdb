//! From the command line's words to the engine's context: where the store is, who is asking, which terraform.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rollback_config::project::{
    IdentitySection, KnowledgeSection, PolicySection, Project, TerraformSection, TlsSection,
};
use rollback_engine::context::{Context, Given, Located, Locking, Notices, Place, SETTINGS};
use rollback_engine::error::{EngineError, Result};
use rollback_engine::observe::Observer;
use rollback_engine::secrets::Secrets;
use rollback_inverse::Knowledge;
use rollback_release::{Catalogue, Store};
use rollback_repository::Repository;
use rollback_runbook::checks::NamedCheck;
use rollback_runtime_aws::Account;
use rollback_store_aws::{AwsStore, Location};
use rollback_store_local::LocalStore;
use rollback_terraform::{Storages, Terraform};

use crate::arguments::{Global, Purpose, VariableArguments, VouchArguments, WaitArguments};
use crate::output::Output;
use crate::steps;
use crate::watch::Watch;

/// Opens everything that a command on a repository needs.
pub fn open(global: &Global, variables: &VariableArguments, output: &Output) -> Result<Context> {
    let folder = std::env::current_dir()?;
    let asking = Asking {
        actor: actor(),
        command: command_line(),
        given: given(variables, &folder)?,
        secrets: output.secrets(),
        observer: Box::new(Watch::new(output)),
        governed: None,
    };
    open_in(&folder, global, None, asking)
}

/// Who asks for what, and who looks on.
pub struct Asking {
    pub actor: String,
    pub command: String,
    pub given: Given,
    pub secrets: Arc<Secrets>,
    pub observer: Box<dyn Observer>,
    /// What whoever runs the service says, whatever the settings in the folder do.
    pub governed: Option<Governed>,
}

/// Settings that are not for a checkout to choose that somebody brings: what judges it, and which programs are started.
#[derive(Clone, Default)]
pub struct Governed {
    policy: PolicySection,
    terraform: TerraformSection,
    knowledge: KnowledgeSection,
}

impl Governed {
    /// Those of a settings file; the defaults without one.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(file: Option<&Path>) -> Result<Governed> {
        let Some(file) = file else {
            return Ok(Governed::default());
        };
        let (project, folder) = (read_settings(file)?, folder_of(file)?);
        let mut governed = Governed {
            policy: project.policy,
            terraform: project.terraform,
            knowledge: project.knowledge,
        };
        let paths = governed.policy.bundles.iter_mut().chain(&mut governed.knowledge.files);
        for path in paths {
            *path = folder.join(&*path).to_string_lossy().into_owned();
        }
        Ok(governed)
    }
}

/// What the settings say about who may call the service, and what it proves itself with.
#[derive(Default)]
pub struct Serving {
    /// Where they stand, to look at again; none where there is no such file.
    pub file: Option<PathBuf>,
    pub identities: Vec<IdentitySection>,
    /// The paths are absolute, or relative to the current folder.
    pub tls: Option<TlsSection>,
}

impl Serving {
    /// Those of `--config`, else those of the repository. What clients bring has no say.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read(file: Option<&Path>, located: Option<&Located>) -> Result<Serving> {
        let (project, folder, file) = match (file, located) {
            (Some(file), _) => (read_settings(file)?, folder_of(file)?, Some(std::path::absolute(file)?)),
            (None, Some(located)) => {
                let folder = located.root.join(&located.settings_dir);
                let file = Some(folder.join(SETTINGS)).filter(|file| file.is_file());
                (located.settings.clone(), folder, file)
            }
            (None, None) => return Ok(Serving::default()),
        };
        let within = |path: String| folder.join(path).to_string_lossy().into_owned();
        Ok(Serving {
            // As they are read again, so that only what was changed is a change.
            identities: match &file {
                Some(file) => identities_in(file)?,
                None => project.identities,
            },
            file,
            tls: project.tls.map(|tls| TlsSection {
                certificate: within(tls.certificate),
                key: within(tls.key),
            }),
        })
    }
}

/// The `[[identity]]` of a file of settings.
///
/// # Errors
/// It cannot be read.
pub fn identities_in(file: &Path) -> Result<Vec<IdentitySection>> {
    Ok(read_settings(file)?.identities)
}

fn read_settings(file: &Path) -> Result<Project> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| EngineError::usage(format!("{} cannot be read: {error}", file.display())))?;
    Ok(Project::parse(&text, &file.display().to_string())?)
}

fn folder_of(file: &Path) -> Result<PathBuf> {
    Ok(std::path::absolute(file)?
        .parent()
        .map(Path::to_path_buf)
        .unwrap_or_default())
}

/// As [`open`], for a repository elsewhere and a store that is open already.
pub fn open_in(folder: &Path, global: &Global, opened: Option<Arc<dyn Store>>, asking: Asking) -> Result<Context> {
    let mut located = Located::find(&Place {
        folder,
        settings_file: global.config.as_deref(),
        stacks: &global.stacks,
    })?;
    if let Some(governed) = asking.governed {
        located.settings.policy = governed.policy;
        located.settings.terraform = governed.terraform;
        located.settings.knowledge = governed.knowledge;
    }
    let home = home()?;
    let store = match opened {
        Some(store) => store,
        None => configured_place(global, &located)?.open(global.purpose)?,
    };
    if located.settings.stacks.is_empty() {
        let catalogue = Catalogue::new(store.as_ref(), &located.project);
        rollback_engine::context::keep_name(&mut located.stacks, &located.root, &catalogue)?;
    }
    let knowledge = knowledge(&located.root, &located.settings)?;
    let checks = Arc::new(checks(&located)?);
    let parts = steps::parts(
        &located.settings,
        &located.root.join(&located.settings_dir),
        &located.stacks,
    )?;
    let notices = notices(&located)?;
    let terraform =
        Terraform::discover(located.settings.terraform.binary.as_deref()).map_err(rollback_engine::terraform_error)?;
    Ok(Context {
        repository: located.repository,
        root: located.root,
        settings: located.settings,
        settings_dir: located.settings_dir,
        project: located.project,
        store,
        home,
        knowledge,
        terraform,
        storages: Arc::new(Storages::new().with("s3", rollback_store_aws::terraform_backend::open)),
        stacks: located.stacks,
        beside: Vec::new(),
        checks,
        parts,
        choices: Arc::new(steps::CloudChoices),
        notices,
        actor: asking.actor,
        command: asking.command,
        given: asking.given,
        locking: Locking::default(),
        secrets: asking.secrets,
        observer: asking.observer,
    })
}

/// The checks of infra-rollback.toml.
pub fn checks(located: &Located) -> Result<Vec<NamedCheck>> {
    let folder = located.root.join(&located.settings_dir);
    let account = Account::default();
    Ok(rollback_runbook::checks::checks(
        &located.settings.checks,
        &folder,
        |table| rollback_runtime_aws::check(table, &account),
    )?)
}

/// Who is told of runs, and in which words.
fn notices(located: &Located) -> Result<Notices> {
    let folder = located.root.join(&located.settings_dir);
    let account = Account::default();
    let channels = rollback_runbook::notify::channels(&located.settings.notifications, &folder, |table| {
        rollback_runtime_aws::channel(table, &account)
    })?;
    Ok(Notices {
        channels: Arc::new(channels),
        template: template(located, located.settings.incident.message_template.as_deref())?,
        report_template: template(located, located.settings.incident.report_template.as_deref())?,
    })
}

/// A template of the project's own.
pub fn template(located: &Located, file: Option<&str>) -> Result<Option<String>> {
    let Some(file) = file else { return Ok(None) };
    let path = located.root.join(&located.settings_dir).join(file);
    let text = std::fs::read_to_string(&path)
        .map_err(|error| EngineError::usage(format!("{} cannot be read: {error}", path.display())))?;
    Ok(Some(text))
}

/// The settings of the project that one stands in, and the folder of their file; the defaults outside of any.
pub fn settings_here(global: &Global) -> Result<(Project, PathBuf)> {
    let here = std::env::current_dir()?;
    let found = match &global.config {
        Some(file) => Some(here.join(file)),
        None => here
            .ancestors()
            .map(|folder| folder.join(SETTINGS))
            .find(|file| file.is_file()),
    };
    let Some(file) = found else {
        return Ok((Project::default(), here));
    };
    let settings = read_settings(&file)?;
    let folder = file.parent().map_or(here, Path::to_path_buf);
    Ok((settings, folder))
}

/// What is known of resource types where one stands: the project's own files too, where there is a project.
pub fn knowledge_here(global: &Global) -> Result<Knowledge> {
    let (settings, folder) = settings_here(global)?;
    // The files count from the top of the repository, wherever the settings lie in it.
    let repository = Repository::open(&folder).ok();
    let root = repository.as_ref().and_then(Repository::workdir);
    knowledge(root.unwrap_or(&folder), &settings)
}

/// What is known of resource types, the project's own files included.
pub fn knowledge(root: &Path, settings: &Project) -> Result<Knowledge> {
    let mut knowledge = Knowledge::built_in();
    for file in &settings.knowledge.files {
        let path = root.join(file);
        let text = std::fs::read_to_string(&path)
            .map_err(|error| EngineError::usage(format!("{} cannot be read: {error}", path.display())))?;
        knowledge.extend(file, &text).map_err(|error| {
            let hint = error.hint();
            let error = EngineError::usage(error.to_string());
            match hint {
                Some(hint) => error.hint(hint),
                None => error,
            }
        })?;
    }
    Ok(knowledge)
}

/// A project's store, with or without a repository.
pub struct Kept {
    pub store: Arc<dyn Store>,
    pub project: String,
    /// None outside of a repository.
    pub located: Option<Located>,
}

/// Opens the store of the repository in which `folder` lies; where a project is named, outside of one, too.
pub fn open_store(folder: &Path, global: &Global, project: Option<&str>) -> Result<Kept> {
    let located = Located::find(&Place {
        folder,
        settings_file: global.config.as_deref(),
        stacks: &[],
    });
    let (located, project) = match (located, project) {
        (Ok(located), None) => {
            let project = located.project.clone();
            (Some(located), project)
        }
        (Err(error), None) => {
            return Err(error.hint("outside of a repository name the project whose records are meant: --project NAME"));
        }
        (_, Some(name)) => {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
            if name.is_empty() || name.starts_with('.') || name.len() > 100 || !name.bytes().all(plain) {
                return Err(EngineError::usage(format!("{name:?} cannot be the name of a project"))
                    .hint("take letters, digits, dots, hyphens and underscores"));
            }
            (None, name.to_owned())
        }
    };
    let place = match (&located, &global.store) {
        (Some(located), _) => configured_place(global, located)?,
        (None, Some(text)) => StorePlace::parse(text, folder)?,
        (None, None) => StorePlace::Folder(home()?.join("store")),
    };
    let store = place.open(global.purpose)?;
    Ok(Kept {
        store,
        project,
        located,
    })
}

/// As [`open`], with the very stacks of a run that is taken up again; `--stack` may repeat them.
pub fn open_for_run(
    global: &Global,
    run: Option<&str>,
    variables: &VariableArguments,
    output: &Output,
) -> Result<Context> {
    let context = open(global, variables, output)?;
    let run = rollback_engine::again::run_to_take_up(&context, run)?;
    let names = if global.stacks.is_empty() {
        run.selected.clone()
    } else {
        Vec::new()
    };
    let missing = names
        .iter()
        .any(|name| !context.stacks.iter().any(|stack| stack.name == *name));
    let mut context = context;
    context.parts.retain(|part| run.steps.contains(&part.name));
    if global.stacks.is_empty() && run.is_about_steps_alone() {
        context.keep_steps_alone();
    } else if !missing && !names.is_empty() {
        context.stacks.retain(|stack| names.contains(&stack.name));
    }
    Ok(context)
}

/// As [`open`], with the very stacks and steps of the run that is to be undone, unless some are named.
pub fn open_to_undo(
    global: &Global,
    run: Option<&str>,
    variables: &VariableArguments,
    output: &Output,
) -> Result<Context> {
    let mut context = open(global, variables, output)?;
    let run = rollback_engine::undo::run_to_undo(&context, run)?;
    context.parts.retain(|part| run.steps.contains(&part.name));
    if global.stacks.is_empty() {
        match run.is_about_steps_alone() {
            true => context.keep_steps_alone(),
            false => context.stacks.retain(|stack| run.is_about(&stack.name)),
        }
    }
    Ok(context)
}

/// How the command line asks for locks.
pub fn locking(waiting: &WaitArguments, vouching: Option<&VouchArguments>) -> Locking {
    Locking {
        timeout: waiting.lock_timeout,
        holder_is_dead: vouching.and_then(|vouching| vouching.holder_is_dead.clone()),
    }
}

/// `$INFRA_ROLLBACK_HOME`, or the platform's data directory.
pub fn home() -> Result<PathBuf> {
    if let Some(home) = std::env::var_os("INFRA_ROLLBACK_HOME").filter(|home| !home.is_empty()) {
        return Ok(std::path::absolute(PathBuf::from(home))?);
    }
    directories::ProjectDirs::from("", "", "infra-rollback")
        .map(|found| found.data_dir().to_path_buf())
        .ok_or_else(|| {
            EngineError::failed("there is no home directory to keep releases in")
                .hint("set INFRA_ROLLBACK_HOME to a folder of yours")
        })
}

/// What a store's URL or folder means.
pub enum StorePlace {
    /// The embedded store in this folder.
    Folder(PathBuf),
    /// The shared store on S3 and DynamoDB.
    Shared(Box<Location>),
}

impl StorePlace {
    /// Reads `s3://…`, `file://…` or a folder, which is relative to `base`.
    pub fn parse(text: &str, base: &Path) -> Result<StorePlace> {
        match text.split_once("://") {
            None => Ok(StorePlace::Folder(base.join(text))),
            Some(("file", rest)) => Ok(StorePlace::Folder(PathBuf::from(rest))),
            Some(("s3", _)) => match Location::parse(text) {
                Ok(location) => Ok(StorePlace::Shared(Box::new(location))),
                Err(error) => Err(EngineError::usage(error.to_string()).hint(error.hint())),
            },
            Some((scheme, _)) => Err(EngineError::usage(format!("there is no store for {scheme}:// URLs"))
                .hint("name a folder, such as file:///var/lib/infra-rollback, or s3://BUCKET[/PREFIX]")),
        }
    }

    /// A folder that a person names is made a store by commands that put the first thing into one, and by no other: a
    /// slip of the finger must not look like a store without releases. The embedded store of this user
    /// is there from the first command on.
    pub fn open(&self, purpose: Purpose) -> Result<Arc<dyn Store>> {
        Ok(match self {
            StorePlace::Folder(folder) => {
                let own = home().is_ok_and(|home| home.join("store") == *folder) && !folder.exists();
                Arc::new(match purpose {
                    Purpose::Read if !own => LocalStore::open_to_read(folder)?,
                    Purpose::Write if !own => LocalStore::open_existing(folder)?,
                    _ => LocalStore::open(folder)?,
                })
            }
            StorePlace::Shared(location) => Arc::new(AwsStore::open(location)?),
        })
    }
}

impl fmt::Display for StorePlace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StorePlace::Folder(folder) => folder.display().fmt(formatter),
            StorePlace::Shared(location) => location.place().fmt(formatter),
        }
    }
}

/// The store that a command works on where it needs no repository: `--store`, else what the project's configuration
/// says, else the embedded one.
pub fn store_place(global: &Global) -> Result<StorePlace> {
    let folder = std::env::current_dir()?;
    if let Some(text) = &global.store {
        return StorePlace::parse(text, &folder);
    }
    let located = Located::find(&Place {
        folder: &folder,
        settings_file: global.config.as_deref(),
        stacks: &[],
    });
    match located {
        Ok(located) => configured_place(global, &located),
        // Outside of a repository there is the embedded store, unless a configuration was named.
        Err(_) if global.config.is_none() => Ok(StorePlace::Folder(home()?.join("store"))),
        Err(error) => Err(error),
    }
}

fn configured_place(global: &Global, located: &Located) -> Result<StorePlace> {
    let configured = located.settings.store.as_ref().map(|store| store.url.as_str());
    match (&global.store, configured) {
        (Some(text), _) => StorePlace::parse(text, &std::env::current_dir()?),
        (None, Some(url)) => StorePlace::parse(url, &located.root),
        (None, None) => Ok(StorePlace::Folder(home()?.join("store"))),
    }
}

/// Who it goes on record as: the CI's actor, else the user of this machine.
pub fn actor() -> String {
    let named = [
        "INFRA_ROLLBACK_ACTOR",
        "GITHUB_ACTOR",
        "GITLAB_USER_LOGIN",
        "SUDO_USER",
        "USER",
        "LOGNAME",
    ]
    .iter()
    .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    // Services and containers often have none of these; the passwd database knows the name.
    named
        .or_else(|| whoami::username().ok().filter(|name| !name.is_empty()))
        .unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()))
}

/// The command as typed, values of variables left out.
fn command_line() -> String {
    let mut words = vec!["infra-rollback".to_owned()];
    let mut hide = false;
    for word in std::env::args().skip(1) {
        if hide {
            words.push(
                word.split_once('=')
                    .map_or_else(|| word.clone(), |(name, _)| format!("{name}=…")),
            );
            hide = false;
        } else if let Some(rest) = word.strip_prefix("--var=") {
            words.push(format!(
                "--var={}=…",
                rest.split_once('=').map_or(rest, |(name, _)| name)
            ));
        } else {
            hide = word == "--var";
            words.push(word);
        }
    }
    words.join(" ")
}

fn given(arguments: &VariableArguments, folder: &Path) -> Result<Given> {
    let mut given = Given::default();
    for text in &arguments.variables {
        let (name, value) = text
            .split_once('=')
            .ok_or_else(|| EngineError::usage("--var takes NAME=VALUE").hint("for example --var image_tag=v1.4.2"))?;
        given.variables.push((name.trim().to_owned(), value.to_owned()));
    }
    for file in &arguments.variable_files {
        let path = folder.join(file);
        if !path.is_file() {
            return Err(EngineError::usage(format!(
                "there is no variable file {}",
                path.display()
            )));
        }
        given.files.push(path);
    }
    Ok(given)
}
