//! What a caller chooses for terraform's commands.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::stream::StreamSummary;

/// How terraform is called in a folder. `Debug` elides the variables' values.
#[derive(Clone, Default)]
pub struct FolderOptions {
    /// `TF_WORKSPACE`; `None` leaves the folder's own choice.
    pub workspace: Option<String>,
    /// Names of further environment variables to pass on; a trailing `*` is allowed.
    pub environment_extra: Vec<String>,
    /// Root variables. They go into the environment (`TF_VAR_…`), never onto the command line, which everybody can read.
    /// Values of other types than string are written as HCL or JSON.
    pub variables: Vec<(String, String)>,
    /// `-var-file`, relative to the folder.
    pub var_files: Vec<PathBuf>,
    /// `TF_PLUGIN_CACHE_DIR`.
    pub plugin_cache: Option<PathBuf>,
    /// `TF_DATA_DIR`; default `.terraform` in the folder.
    pub data_dir: Option<PathBuf>,
    /// `-parallelism`; terraform's default is 10.
    pub parallelism: Option<u32>,
    /// `GOGC` of terraform and its providers, in percent, unless the caller's environment has one: how much garbage may
    /// gather before it is collected. Go's own is 100; a short command on a small state ends sooner with more.
    pub garbage_percent: Option<u16>,
    /// Where streams and messages are kept; default `.infra-rollback/logs` in the folder.
    pub log_dir: Option<PathBuf>,
    /// `-lock-timeout` of every command that locks.
    pub lock_timeout: Option<Duration>,
}

impl fmt::Debug for FolderOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&String> = self.variables.iter().map(|(name, _)| name).collect();
        formatter
            .debug_struct("FolderOptions")
            .field("workspace", &self.workspace)
            .field("variables", &names)
            .field("var_files", &self.var_files)
            .field("data_dir", &self.data_dir)
            .finish_non_exhaustive()
    }
}

/// Options of `init`.
#[derive(Clone, Debug)]
pub struct InitOptions {
    /// Take the backend block as it stands, move no state.
    pub reconfigure: bool,
    /// `-lockfile=readonly`: fail rather than choose a provider that the lock file does not have.
    pub lockfile_readonly: bool,
    pub upgrade: bool,
    /// False: `-backend=false`, providers and modules only.
    pub backend: bool,
}

impl Default for InitOptions {
    fn default() -> Self {
        InitOptions {
            reconfigure: false,
            lockfile_readonly: false,
            upgrade: false,
            backend: true,
        }
    }
}

/// Options of `plan`.
#[derive(Clone, Debug)]
pub struct PlanOptions {
    /// The plan file, relative to the folder.
    pub out: PathBuf,
    pub refresh: bool,
    pub targets: Vec<String>,
    pub lock: bool,
    /// Plan to destroy everything.
    pub destroy: bool,
    /// Only tell what changed outside of Terraform.
    pub refresh_only: bool,
}

impl Default for PlanOptions {
    fn default() -> Self {
        PlanOptions {
            out: "rollback.tfplan".into(),
            refresh: true,
            targets: Vec::new(),
            lock: true,
            destroy: false,
            refresh_only: false,
        }
    }
}

/// A plan that was made. `show_plan` reads it.
#[derive(Clone, Debug)]
pub struct PlanOutcome {
    /// Absolute.
    pub plan_file: PathBuf,
    /// From `-detailed-exitcode`: move-only, forget-only and output-only plans have changes too.
    pub has_changes: bool,
    pub summary: StreamSummary,
    /// The stream; 0600.
    pub stream: PathBuf,
}
