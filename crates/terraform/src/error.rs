//! What can go wrong when terraform is driven, by kind, so that a caller can act on it.

use std::path::PathBuf;

use crate::diagnostic::Diagnostic;
use crate::local_state::LockInfo;
use crate::version::Version;

/// Why a call failed. The kinds that terraform itself reports carry the diagnostics they were read from.
///
/// Diagnostics are terraform's own words for people. They can quote what a provider said, never whole attributes of a state:
/// the source snippets with their values are dropped where the stream is read.
#[derive(Debug, thiserror::Error)]
pub enum TerraformError {
    /// No binary at the configured path and none on PATH.
    #[error("neither terraform nor tofu was found ({looked_for})")]
    Missing { looked_for: String },
    /// The binary is older than what this crate's reading of its output was checked against.
    #[error("{binary} is version {version}, at least {required} is needed", binary = binary.display())]
    TooOld {
        binary: PathBuf,
        version: Version,
        required: Version,
    },
    /// `version` printed something that is no version.
    #[error("{binary} does not say which version it is", binary = binary.display())]
    NoVersion { binary: PathBuf },

    /// Somebody holds the state's lock.
    #[error("the state is locked{}", holder.as_ref().map(|holder| format!(" by {holder}")).unwrap_or_default())]
    Locked {
        holder: Option<Box<LockInfo>>,
        diagnostics: Vec<Diagnostic>,
    },
    /// Providers, modules or the backend are not prepared in the folder.
    #[error("the folder needs `init`: {}", first(diagnostics))]
    NeedsInit { diagnostics: Vec<Diagnostic> },
    /// The backend block differs from the one the folder was initialised with.
    #[error("the backend's configuration has changed: {}", first(diagnostics))]
    BackendChanged { diagnostics: Vec<Diagnostic> },
    /// The state was changed after the plan was made: serial or lineage moved on.
    #[error("the saved plan is stale: the state was changed after it was made")]
    StalePlan { diagnostics: Vec<Diagnostic> },
    /// The plan or the pushed state belongs to another state.
    #[error("the lineages differ: {}", first(diagnostics))]
    LineageMismatch { diagnostics: Vec<Diagnostic> },
    /// `state push` of a serial that is not above the stored one.
    #[error("the stored state has this serial or a higher one: {}", first(diagnostics))]
    SerialTooLow { diagnostics: Vec<Diagnostic> },
    /// Objects were written by a newer provider than the one the folder has.
    #[error("written by a newer provider version: {}", addresses.join(", "))]
    SchemaTooNew {
        addresses: Vec<String>,
        diagnostics: Vec<Diagnostic>,
    },
    /// A provider cannot be installed or started.
    #[error("provider {provider} is not available: {}", first(diagnostics))]
    ProviderMissing {
        provider: String,
        diagnostics: Vec<Diagnostic>,
    },
    /// `init -lockfile=readonly` met a provider that .terraform.lock.hcl does not have.
    #[error(".terraform.lock.hcl lacks a provider: {}", first(diagnostics))]
    LockFileIncomplete { diagnostics: Vec<Diagnostic> },
    /// An object's provider configuration is gone from the configuration.
    #[error("no provider configuration for {}", addresses.join(", "))]
    ProviderConfigurationMissing {
        addresses: Vec<String>,
        diagnostics: Vec<Diagnostic>,
    },
    /// Root variables without a value.
    #[error("no value for variable {}", names.join(", "))]
    NoVariable {
        names: Vec<String>,
        diagnostics: Vec<Diagnostic>,
    },
    /// `import` blocks name objects that do not exist.
    #[error("import blocks name objects that do not exist: {}", addresses.join(", "))]
    NothingToImport {
        addresses: Vec<String>,
        diagnostics: Vec<Diagnostic>,
    },
    /// A module's source cannot be had.
    #[error("a module is missing: {}", first(diagnostics))]
    ModuleMissing { diagnostics: Vec<Diagnostic> },
    /// The plan would destroy what the configuration protects.
    #[error("prevent_destroy forbids destroying {}", addresses.join(", "))]
    PreventDestroy {
        addresses: Vec<String>,
        diagnostics: Vec<Diagnostic>,
    },
    /// The state has a format that this terraform does not read.
    #[error("the state cannot be read: {}", first(diagnostics))]
    UnsupportedState { diagnostics: Vec<Diagnostic> },
    /// Credentials are missing, wrong or expired.
    #[error("authentication failed: {}", first(diagnostics))]
    Authentication { diagnostics: Vec<Diagnostic> },
    /// Everything else that terraform reported as an error.
    #[error("{}", all(.0))]
    Other(Vec<Diagnostic>),

    /// The state is not the one that was read a moment ago: whoever wrote it broke our lock. Nothing was written.
    #[error("the state at {place} was changed by somebody else meanwhile")]
    ChangedMeanwhile { place: String },
    /// The state is not the one that the digest kept beside it promises (S3 backend with `dynamodb_table`). Terraform refuses to
    /// work then, too.
    #[error("the state at {place} has the MD5 {found}, its digest in the lock table says {expected}")]
    DigestMismatch {
        place: String,
        found: String,
        expected: String,
    },
    /// The backend cannot be reached, or refuses.
    #[error("cannot {action} {place}: {message}")]
    Backend {
        action: &'static str,
        place: String,
        message: String,
        hint: Option<String>,
    },

    /// The process could not be started; nothing happened.
    #[error("cannot start {binary}", binary = binary.display())]
    Spawn { binary: PathBuf, source: std::io::Error },
    /// The journal could not be written, so that terraform was not let go: nothing happened.
    #[error("the start of terraform could not be written down")]
    Journal {
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A person interrupted; terraform was asked once to stop, and did.
    #[error("interrupted")]
    Interrupted { diagnostics: Vec<Diagnostic> },
    /// Terraform was killed by a signal that did not come from us.
    #[error("terraform was killed by signal {signal}")]
    Killed { signal: i32 },

    /// A plan that this crate cannot read.
    #[error("the plan cannot be read: {message}")]
    Plan { message: String },
    /// Some other document (provider schemas, backend record, state header) that cannot be read.
    #[error("{what} cannot be read: {message}")]
    Document { what: String, message: String },
    /// A file could not be read or written.
    #[error("cannot {action} {path}", path = path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        source: std::io::Error,
    },
}

fn first(diagnostics: &[Diagnostic]) -> String {
    diagnostics
        .iter()
        .find(|one| one.is_error())
        .or(diagnostics.first())
        .map(ToString::to_string)
        .unwrap_or_else(|| "no further word from terraform".into())
}

fn all(diagnostics: &[Diagnostic]) -> String {
    let errors: Vec<String> = diagnostics
        .iter()
        .filter(|one| one.is_error())
        .map(ToString::to_string)
        .collect();
    if errors.is_empty() {
        "terraform failed and gave no reason".into()
    } else {
        errors.join("\n")
    }
}

impl TerraformError {
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| TerraformError::Io { action, path, source }
    }

    /// What terraform said, where it was terraform that failed.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        use TerraformError::*;
        match self {
            Locked { diagnostics, .. }
            | NeedsInit { diagnostics }
            | BackendChanged { diagnostics }
            | StalePlan { diagnostics }
            | LineageMismatch { diagnostics }
            | SerialTooLow { diagnostics }
            | SchemaTooNew { diagnostics, .. }
            | ProviderMissing { diagnostics, .. }
            | LockFileIncomplete { diagnostics }
            | ProviderConfigurationMissing { diagnostics, .. }
            | NoVariable { diagnostics, .. }
            | NothingToImport { diagnostics, .. }
            | ModuleMissing { diagnostics }
            | PreventDestroy { diagnostics, .. }
            | UnsupportedState { diagnostics }
            | Authentication { diagnostics }
            | Interrupted { diagnostics }
            | Other(diagnostics) => diagnostics,
            _ => &[],
        }
    }

    /// What a person can do about it.
    pub fn hint(&self) -> Option<String> {
        use TerraformError::*;
        Some(match self {
            Missing { .. } => "install terraform 1.5 or OpenTofu 1.6 or newer, or name the binary: [terraform] binary = \"/path/to/terraform\" in infra-rollback.toml".into(),
            TooOld { required, .. } => format!("install version {required} or newer, or name another binary: [terraform] binary in infra-rollback.toml"),
            NoVersion { binary } => format!("run `{} version` and look at what it prints", binary.display()),
            Locked { holder: Some(holder), .. } => format!("wait for it to finish; if it is surely dead: terraform force-unlock {}", holder.id),
            Locked { holder: None, .. } => "wait for the other terraform to finish, then try again".into(),
            NeedsInit { .. } => "run `terraform init` in the stack's folder".into(),
            BackendChanged { .. } => "the folder was initialised for another backend: run `terraform init -reconfigure` (the state stays where it is)".into(),
            StalePlan { .. } => "somebody changed the state since: plan again and approve the new plan".into(),
            LineageMismatch { .. } => "this is another stack's state, or the stack was created anew since: check the backend and the workspace".into(),
            SerialTooLow { .. } => "somebody wrote the state meanwhile: plan again".into(),
            SchemaTooNew { .. } => "the release's provider is older than the one that wrote these objects: keep the newer provider version in .terraform.lock.hcl".into(),
            ProviderMissing { .. } => "check the network, the provider mirror and .terraform.lock.hcl; TF_PLUGIN_CACHE_DIR serves providers already downloaded".into(),
            LockFileIncomplete { .. } => "the release's .terraform.lock.hcl does not cover the configuration: run `terraform init` there and keep the file".into(),
            ProviderConfigurationMissing { .. } => "these objects were made through a provider block that this release does not have: add it to the configuration".into(),
            NoVariable { names, .. } => format!("set {}", names.iter().map(|name| format!("TF_VAR_{name}")).collect::<Vec<_>>().join(" and ")),
            NothingToImport { .. } => "they were destroyed since: a commit on top of that one without these import blocks has them made anew".into(),
            ModuleMissing { .. } => "the module's source cannot be downloaded any more: restore it, or take a release whose snapshot holds its modules".into(),
            PreventDestroy { .. } => "lift prevent_destroy on purpose, or leave these objects out with --target".into(),
            UnsupportedState { .. } => "the state was written by a newer terraform: use that version".into(),
            Authentication { .. } => "log in again (credentials are missing, wrong or expired), then try again".into(),
            ChangedMeanwhile { .. } => "somebody let go of the lock by force, or works without locks: look at who, then run the command again".into(),
            DigestMismatch { expected, .. } => format!("a write was cut off, or somebody replaced the object without the digest. If the object is the right one, set the item's Digest to its MD5; an older version of the object may have {expected}"),
            Backend { hint, .. } => return hint.clone(),
            Spawn { .. } => "check that the file is executable and made for this machine".into(),
            Killed { .. } => "look for errored.tfstate in the run's folder, then resume: the state must be looked at before anything is applied again".into(),
            Plan { .. } => "make it with `terraform show -json PLANFILE` from terraform 0.12 or newer".into(),
            Other(_) | Interrupted { .. } | Journal { .. } | Document { .. } | Io { .. } => return None,
        })
    }
}
