//! The live state of a stack: where it really lies, and what it says now.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use rollback_config::{DiskTree, load};
use rollback_release::{BackendRecord, BlobId, StateRecord};
use rollback_state::State;
use rollback_terraform::{Backend, BackendConfig, Location, StateStorage};
use serde_json::{Map, Value};

use crate::context::{Context, Stack};
use crate::error::{EngineError, Result};
use crate::terraform_error;

/// A stack's state as it was read, and its backend.
pub struct Live {
    backend: Backend,
    state: Option<State>,
    /// The bytes of what is no state.
    damaged: Option<Vec<u8>>,
    storage: OnceLock<Arc<dyn StateStorage>>,
}

impl Live {
    /// Reads the live state.
    ///
    /// # Errors
    /// The backend cannot be reached, or what it holds is no state.
    pub fn read(context: &Context, stack: &Stack) -> Result<Live> {
        let mut live = Live::unread(context, stack)?;
        live.fill(context, stack)?;
        Ok(live)
    }

    /// Reads what the backend holds.
    ///
    /// # Errors
    /// As [`Live::read`].
    pub(crate) fn fill(&mut self, context: &Context, stack: &Stack) -> Result<()> {
        self.check_backend(context, stack)?;
        self.state = self.pull(context)?;
        Ok(())
    }

    /// The backend alone, nothing read.
    ///
    /// # Errors
    /// The backend cannot be told.
    pub(crate) fn unread(context: &Context, stack: &Stack) -> Result<Live> {
        Ok(Live {
            backend: detect(context, stack)?,
            state: None,
            damaged: None,
            storage: OnceLock::new(),
        })
    }

    /// As [`Live::read`], but a state that cannot be read, or is not what its digest says, is no error: its bytes are kept
    /// for comparison.
    ///
    /// # Errors
    /// The backend cannot be reached.
    pub fn read_damaged(context: &Context, stack: &Stack) -> Result<Live> {
        let mut live = Live::unread(context, stack)?;
        live.check_backend(context, stack)?;
        match live.pull(context) {
            Ok(state) => live.state = state,
            Err(error) => match live.storage(context)?.read_unchecked() {
                Ok(Some(found)) => live.damaged = Some(found.bytes),
                _ => return Err(error),
            },
        }
        Ok(live)
    }

    /// The bytes of a state that cannot be read.
    pub fn damaged(&self) -> Option<&[u8]> {
        self.damaged.as_deref()
    }

    /// Where the folder was initialised for another backend than its configuration names, only a release can tell which
    /// of the two holds the live state.
    fn check_backend(&self, context: &Context, stack: &Stack) -> Result<()> {
        let Some(disagreement) = self.backend.disagreement() else {
            return Ok(());
        };
        let here = BackendRecord::new(self.kind(), self.attributes());
        let newest = context
            .catalogue()
            .list(50)?
            .into_iter()
            .find_map(|release| release.stack(&stack.name).map(|record| record.backend.clone()));
        if newest.is_some_and(|newest| newest.kind == here.kind && newest.attributes == here.attributes) {
            return Ok(());
        }
        Err(EngineError::refused(format!(
            "stack {}: it is not clear where its live state is: {disagreement}",
            stack.name
        ))
        .hint("run `terraform init` in the stack's folder (-reconfigure or -migrate-state, as it was meant), then try again"))
    }

    /// The local backend's file, which is not read.
    ///
    /// # Errors
    /// The backend cannot be told.
    pub fn locate(context: &Context, stack: &Stack) -> Result<Option<PathBuf>> {
        Ok(Live::unread(context, stack)?.file())
    }

    /// The workspace that the stack has now; the backend is not asked.
    ///
    /// # Errors
    /// The backend cannot be told.
    pub fn workspace_of(context: &Context, stack: &Stack) -> Result<String> {
        Ok(Live::unread(context, stack)?.workspace().to_owned())
    }

    /// The backend's kind and settings; it is not asked. They can hold credentials.
    ///
    /// # Errors
    /// The backend cannot be told.
    pub fn backend_of(context: &Context, stack: &Stack) -> Result<BackendConfig> {
        Ok(Live::unread(context, stack)?.backend().clone())
    }

    /// What the backend holds now.
    ///
    /// # Errors
    /// As [`Live::read`].
    pub fn pull(&self, context: &Context) -> Result<Option<State>> {
        let found = self.storage(context)?.read().map_err(|error| {
            terraform_error(error).during(format!("the state at {} cannot be read", self.location()))
        })?;
        match found.map(|state| state.bytes) {
            Some(bytes) if !bytes.iter().all(u8::is_ascii_whitespace) => {
                Ok(Some(State::parse(bytes).map_err(|error| {
                    EngineError::from(error).during(format!("the state at {}", self.location()))
                })?))
            }
            _ => Ok(None),
        }
    }

    /// The state where it lies, with its backend's own locks.
    ///
    /// # Errors
    /// The backend's settings do not do, or terraform cannot be initialised for it.
    pub fn storage(&self, context: &Context) -> Result<&dyn StateStorage> {
        if let Some(storage) = self.storage.get() {
            return Ok(storage.as_ref());
        }
        let storage = self
            .backend
            .storage(&context.terraform, &context.storages)
            .map_err(terraform_error)?;
        Ok(self.storage.get_or_init(|| storage).as_ref())
    }

    pub fn state(&self) -> Option<&State> {
        self.state.as_ref()
    }

    pub fn workspace(&self) -> &str {
        self.backend.workspace()
    }

    pub fn workspace_variable(&self) -> Option<String> {
        self.backend.workspace_variable()
    }

    pub fn kind(&self) -> &str {
        &self.backend.config().kind
    }

    pub fn attributes(&self) -> Map<String, Value> {
        self.backend.config().config.clone()
    }

    pub fn backend(&self) -> &BackendConfig {
        self.backend.config()
    }

    pub fn location(&self) -> Location {
        self.backend.location()
    }

    /// The file of a local backend.
    pub fn file(&self) -> Option<PathBuf> {
        match self.location() {
            Location::File(path) => Some(path),
            Location::Remote(_) => None,
        }
    }
}

/// Puts a state of a stack into the store and gives its record.
///
/// # Errors
/// The store does.
pub fn keep(context: &Context, stack: &str, state: &State) -> Result<StateRecord> {
    let like = newest_kept(context, stack)?;
    let blob = context.store.put_blob_like(state.bytes(), like.as_ref())?;
    Ok(StateRecord::new(state, blob))
}

/// The newest state of a stack that is kept: another one of the same stack is like it.
///
/// # Errors
/// The store cannot be read.
pub fn newest_kept(context: &Context, stack: &str) -> Result<Option<BlobId>> {
    Ok(context.catalogue().newest_state(stack)?.map(|state| state.blob))
}

fn detect(context: &Context, stack: &Stack) -> Result<Backend> {
    let folder = context.root.join(&stack.dir);
    let configured = load(&DiskTree::new(context.root.clone()), &stack.dir, None)
        .ok()
        .and_then(|configuration| configuration.root().and_then(|root| root.backend.clone()));
    let configured = configured
        .as_ref()
        .map(|backend| (backend.kind.as_str(), &backend.attributes));
    let workspace = stack
        .workspace
        .clone()
        .or_else(|| std::env::var("TF_WORKSPACE").ok().filter(|name| !name.is_empty()));
    let backend = Backend::detect(&folder, configured, workspace.as_deref())
        .map_err(terraform_error)?
        .with_environment(&context.settings.terraform.environment);
    Ok(backend)
}
