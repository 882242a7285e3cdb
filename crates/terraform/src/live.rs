//! Where a stack's live state is, and reading it.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Map, Value};

use crate::backend::BackendConfig;
use crate::binary::Terraform;
use crate::data_folder::data_folder;
use crate::error::TerraformError;
use crate::folder::Folder;
use crate::local_state;
use crate::options::{FolderOptions, InitOptions};
use crate::storage::{LocalStorage, PushStorage, StateStorage, Storages};

/// Where a state lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// The file of a local backend; absolute. It need not exist.
    File(PathBuf),
    /// Anything else: for people, without credentials.
    Remote(String),
}

impl fmt::Display for Location {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Location::File(path) => write!(formatter, "{}", path.display()),
            Location::Remote(text) => formatter.write_str(text),
        }
    }
}

/// Where the backend was learnt from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The record of the last `init` in the stack's folder.
    Record,
    /// The configuration; the folder was never initialised for a backend.
    Configuration,
    /// Neither: terraform's implied local backend.
    Default,
}

/// A stack's backend.
pub struct Backend {
    stack_folder: PathBuf,
    config: BackendConfig,
    source: Source,
    workspace: String,
    disagreement: Option<String>,
    environment_extra: Vec<String>,
    scratch: Mutex<Option<(tempfile::TempDir, Folder)>>,
}

impl fmt::Debug for Backend {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Backend")
            .field("config", &self.config)
            .field("workspace", &self.workspace)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

impl Backend {
    /// The backend of the stack in a folder: what `init` recorded there (with what `-backend-config` gave), else the backend block
    /// of its configuration, else local. The workspace: as given, else as chosen in the folder (`environment` of its data folder), else
    /// `default`.
    pub fn detect(
        stack_folder: &Path,
        configured: Option<(&str, &Map<String, Value>)>,
        workspace: Option<&str>,
    ) -> Result<Backend, TerraformError> {
        let stack_folder = std::path::absolute(stack_folder).map_err(TerraformError::io("find", stack_folder))?;
        let data_folder = data_folder(&stack_folder);
        let configured = configured.map(|(kind, attributes)| BackendConfig::new(kind, attributes.clone()));
        let (mut config, source) = match (BackendConfig::from_data_folder(&data_folder)?, &configured) {
            (Some(recorded), _) => (recorded, Source::Record),
            (None, Some(configured)) => (configured.clone(), Source::Configuration),
            (None, None) => (BackendConfig::local(None), Source::Default),
        };
        let disagreement = (source == Source::Record)
            .then(|| disagreement(&config, configured.as_ref()))
            .flatten();
        config.anchor(&stack_folder);
        let workspace = workspace
            .map(str::to_owned)
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| chosen_workspace(&data_folder));
        Ok(Backend {
            stack_folder,
            config,
            source,
            workspace,
            disagreement,
            environment_extra: Vec::new(),
            scratch: Mutex::new(None),
        })
    }

    /// Further environment variables that reach terraform (see [`FolderOptions::environment_extra`]).
    #[must_use]
    pub fn with_environment(mut self, names: &[String]) -> Backend {
        self.environment_extra = names.to_vec();
        self
    }

    pub fn config(&self) -> &BackendConfig {
        &self.config
    }

    pub fn source(&self) -> Source {
        self.source
    }

    pub fn workspace(&self) -> &str {
        &self.workspace
    }

    /// `TF_WORKSPACE` for children that work on this backend: `None` for the default workspace, and where the block itself
    /// names the workspace (`cloud`, `remote`).
    pub fn workspace_variable(&self) -> Option<String> {
        let fixed = self.config.config.get("workspaces").is_some_and(|block| {
            let block = block.as_array().and_then(|blocks| blocks.first()).unwrap_or(block);
            block.get("name").is_some()
        });
        (self.workspace != "default" && !fixed).then(|| self.workspace.clone())
    }

    /// Set when the configuration's backend block was changed after the last `init`: terraform would refuse to work there. The
    /// live state is where `init` recorded it. Names settings, never their values.
    pub fn disagreement(&self) -> Option<&str> {
        self.disagreement.as_deref()
    }

    pub fn is_local(&self) -> bool {
        self.config.kind == "local"
    }

    pub fn location(&self) -> Location {
        if self.is_local() {
            Location::File(self.local_path())
        } else {
            Location::Remote(describe(&self.config, &self.workspace))
        }
    }

    /// As the local backend has it (`StatePaths`): `path` holds for the default workspace only.
    fn local_path(&self) -> PathBuf {
        let path = if self.workspace == "default" {
            PathBuf::from(self.config.string("path").unwrap_or("terraform.tfstate"))
        } else {
            Path::new(self.config.string("workspace_dir").unwrap_or("terraform.tfstate.d"))
                .join(&self.workspace)
                .join("terraform.tfstate")
        };
        let path = self.stack_folder.join(path);
        // Without `./` and the like, so that the same file has one name.
        path.components().collect()
    }

    /// The live state's bytes; `None` when there is no state yet.
    ///
    /// A local state is read from its file. For every other kind terraform pulls it, in a private folder that holds nothing but the
    /// backend block: no provider is needed, no configuration is run. The folder stays for further calls.
    pub fn pull(&self, terraform: &Terraform) -> Result<Option<Vec<u8>>, TerraformError> {
        if self.is_local() {
            return read_settled(&self.local_path());
        }
        let mut scratch = self.scratch.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if scratch.is_none() {
            *scratch = Some(self.prepare(terraform)?);
        }
        match scratch.as_ref() {
            Some((_, folder)) => folder.state_pull(),
            None => Ok(None),
        }
    }

    /// The state with its backend's own locks, where there is an adapter for the backend; else through terraform.
    pub fn storage(&self, terraform: &Terraform, storages: &Storages) -> Result<Arc<dyn StateStorage>, TerraformError> {
        if self.is_local() {
            return Ok(Arc::new(LocalStorage::new(self.local_path())));
        }
        match storages.open(&self.config, &self.workspace)? {
            Some(storage) => Ok(storage),
            None => {
                let (keep, folder) = self.prepare(terraform)?;
                Ok(Arc::new(PushStorage::new(
                    self.location().to_string(),
                    &self.config,
                    folder,
                    keep,
                )))
            }
        }
    }

    fn prepare(&self, terraform: &Terraform) -> Result<(tempfile::TempDir, Folder), TerraformError> {
        let place = tempfile::Builder::new()
            .prefix("infra-rollback-")
            .tempdir()
            .map_err(TerraformError::io("create a folder in", std::env::temp_dir()))?;
        crate::private::write_file(
            &place.path().join("backend.tf.json"),
            self.config.to_json().to_string().as_bytes(),
        )?;
        let options = FolderOptions {
            workspace: self.workspace_variable(),
            environment_extra: self.environment_extra.clone(),
            ..FolderOptions::default()
        };
        let folder = Folder::new(terraform, place.path(), options);
        folder.init(&InitOptions {
            reconfigure: true,
            ..InitOptions::default()
        })?;
        Ok((place, folder))
    }
}

fn chosen_workspace(data_folder: &Path) -> String {
    let name = fs::read_to_string(data_folder.join("environment")).unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "default".into() } else { name.into() }
}

fn disagreement(recorded: &BackendConfig, configured: Option<&BackendConfig>) -> Option<String> {
    let Some(configured) = configured else {
        return (recorded.kind != "local").then(|| {
            format!(
                "the configuration has no backend block any more, the folder is initialised for {}",
                recorded.kind
            )
        });
    };
    if configured.kind != recorded.kind {
        return Some(format!(
            "the configuration names backend {}, the folder is initialised for {}",
            configured.kind, recorded.kind
        ));
    }
    let different: Vec<&str> = configured
        .config
        .iter()
        .filter(|(name, value)| recorded.config.get(*name) != Some(value))
        .map(|(name, _)| name.as_str())
        .collect();
    (!different.is_empty()).then(|| {
        format!(
            "the configuration's backend block differs from what the folder is initialised for: {}",
            different.join(", ")
        )
    })
}

/// Terraform writes a local state in place: one read in that moment is cut off, and whole a moment later.
pub(crate) fn read_settled(path: &Path) -> Result<Option<Vec<u8>>, TerraformError> {
    for attempt in 0.. {
        let Some(bytes) = local_state::read(path)? else {
            return Ok(None);
        };
        let whole = serde_json::from_slice::<serde::de::IgnoredAny>(&bytes).is_ok();
        if whole {
            return Ok(Some(bytes));
        }
        let empty = bytes.iter().all(u8::is_ascii_whitespace);
        if attempt == 40 || local_state::holder(path).is_none() && attempt > 1 {
            return Ok((!empty).then_some(bytes));
        }
        std::thread::sleep(Duration::from_millis(25));
    }
    Ok(None)
}

fn describe(config: &BackendConfig, workspace: &str) -> String {
    let text = |name: &str| config.string(name).unwrap_or("?");
    let place = match config.kind.as_str() {
        "s3" if workspace == "default" => format!("s3://{}/{}", text("bucket"), text("key")),
        "s3" => format!(
            "s3://{}/{}/{workspace}/{}",
            text("bucket"),
            config.string("workspace_key_prefix").unwrap_or("env:"),
            text("key")
        ),
        "gcs" => format!("gs://{}/{}", text("bucket"), config.string("prefix").unwrap_or("")),
        "azurerm" => format!(
            "azurerm {}/{}/{}",
            text("storage_account_name"),
            text("container_name"),
            text("key")
        ),
        "http" => without_credentials(text("address")),
        "cloud" | "remote" => format!(
            "{} {}",
            config.string("hostname").unwrap_or("app.terraform.io"),
            text("organization")
        ),
        kind => kind.to_owned(),
    };
    if workspace == "default" || config.kind == "s3" {
        place
    } else {
        format!("{place}, workspace {workspace}")
    }
}

/// A URL without user, password, query and fragment.
pub(crate) fn without_credentials(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
            format!("{scheme}://{}{path}", authority.rsplit('@').next().unwrap_or_default())
        }
        None => url.to_owned(),
    }
}

#[cfg(test)]
#[path = "live_tests.rs"]
mod tests;
