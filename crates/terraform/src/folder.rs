//! A root module's folder on disk, and terraform's commands in it.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use serde::Deserialize;

use crate::apply::{ApplyEnd, ApplyOutcome};
use crate::aside;
use crate::binary::Terraform;
use crate::child::ChildRecord;
use crate::classify::classify;
use crate::diagnostic::{Diagnostic, parse_failure};
use crate::environment;
use crate::error::TerraformError;
use crate::errored::StateHeader;
use crate::options::{FolderOptions, InitOptions, PlanOptions, PlanOutcome};
use crate::plan::Plan;
use crate::private;
use crate::process::{self, Finished, OnStart, Run, Word};
use crate::schema::ProvidersSchema;
use crate::sealed::{self, SealedPlan};
use crate::stamp::stamp;
use crate::stream::{Event, Progress, Silent, StreamSummary};

/// A folder with a configuration in it.
pub struct Folder {
    terraform: Terraform,
    root: PathBuf,
    options: FolderOptions,
    schema: OnceLock<Arc<ProvidersSchema>>,
}

impl fmt::Debug for Folder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Folder")
            .field("root", &self.root)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl Folder {
    /// Nothing is read or started yet. A relative root is taken from the current folder.
    pub fn new(terraform: &Terraform, root: impl Into<PathBuf>, options: FolderOptions) -> Folder {
        let root = root.into();
        let root = std::path::absolute(&root).unwrap_or(root);
        Folder {
            terraform: terraform.clone(),
            root,
            options,
            schema: OnceLock::new(),
        }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn options(&self) -> &FolderOptions {
        &self.options
    }

    pub fn data_dir(&self) -> PathBuf {
        self.root
            .join(self.options.data_dir.as_deref().unwrap_or(Path::new(".terraform")))
    }

    pub fn log_dir(&self) -> PathBuf {
        self.root.join(
            self.options
                .log_dir
                .as_deref()
                .unwrap_or(Path::new(".infra-rollback/logs")),
        )
    }

    /// `init`. With `reconfigure`, local states in the folder stay where they are and go nowhere. Remembers what it was done for, see [`Folder::needs_init`].
    ///
    /// # Errors
    /// [`TerraformError::ProviderMissing`], [`TerraformError::ModuleMissing`], [`TerraformError::LockFileIncomplete`],
    /// [`TerraformError::BackendChanged`] (without `reconfigure`), [`TerraformError::Authentication`], …
    pub fn init(&self, options: &InitOptions) -> Result<(), TerraformError> {
        let mut arguments: Vec<OsString> = ["init", "-input=false", "-no-color"].map(Into::into).into();
        let mut flag = |on: bool, text: &str| {
            if on {
                arguments.push(text.into());
            }
        };
        flag(options.reconfigure, "-reconfigure");
        flag(options.lockfile_readonly, "-lockfile=readonly");
        flag(options.upgrade, "-upgrade");
        flag(!options.backend, "-backend=false");
        if let Some(cache) = &self.options.plugin_cache {
            private::create_folder(cache)?;
        }
        aside::restore(&self.root);
        if options.reconfigure {
            // Terraform itself keeps the record when the configuration has no backend block any more, and then refuses to plan.
            remove_if_there(&self.data_dir().join("terraform.tfstate"))?;
        }
        let aside = options.reconfigure.then(|| aside::put(&self.root)).transpose()?;
        let finished = self.run("init", arguments, true)?;
        drop(aside);
        self.succeed(&finished)?;
        finished.remove_logs();
        // A configuration that needs no provider, module or backend leaves no data folder.
        private::create_folder(&self.data_dir())?;
        private::write_file(
            &self.stamp_file(),
            stamp(&self.root, &self.data_dir(), options.backend).as_bytes(),
        )
    }

    /// Whether `init` has to run before anything else: it never ran here through us, or the configuration (root, modules it
    /// has downloaded, lock file) is not the one it ran for. Says yes rather than no: an `init` too many costs 0.1 s.
    pub fn needs_init(&self) -> bool {
        fs::read_to_string(self.stamp_file())
            .ok()
            .is_none_or(|then| then != stamp(&self.root, &self.data_dir(), true))
    }

    fn stamp_file(&self) -> PathBuf {
        self.data_dir().join("infra-rollback.init")
    }

    /// `plan -json -out`. The plan file holds secrets: it is 0600.
    ///
    /// # Errors
    /// Of the kinds in [`TerraformError`]. After an error terraform may have written a plan file all the same (`errored`): it is
    /// removed, since it must not be applied.
    pub fn plan(&self, options: &PlanOptions, progress: &mut dyn Progress) -> Result<PlanOutcome, TerraformError> {
        let plan_file = self.root.join(&options.out);
        if let Some(folder) = plan_file.parent() {
            private::create_folder(folder)?;
        }
        // Terraform keeps the mode of a file that is there.
        drop(private::create_file(&plan_file)?);
        let mut out = OsString::from("-out=");
        out.push(&plan_file);
        let mut arguments: Vec<OsString> = ["plan", "-json", "-input=false", "-no-color", "-detailed-exitcode"]
            .map(Into::into)
            .into();
        arguments.push(out);
        arguments.push(format!("-refresh={}", options.refresh).into());
        arguments.push(format!("-lock={}", options.lock).into());
        arguments.extend(self.lock_timeout());
        arguments.extend(self.parallelism());
        if options.refresh_only {
            arguments.push("-refresh-only".into());
        }
        if options.destroy {
            arguments.push("-destroy".into());
        }
        arguments.extend(options.targets.iter().map(|target| format!("-target={target}").into()));
        arguments.extend(self.var_files());
        let mut summary = StreamSummary::default();
        let outcome = self.stream("plan", arguments, None, None, true, &mut summary, progress);
        let code = match &outcome {
            Ok(finished) => finished.status.code(),
            Err(_) => None,
        };
        if let Some(code @ (0 | 2)) = code.filter(|_| !summary.has_errors()) {
            let stream = outcome?.record.stdout;
            return Ok(PlanOutcome {
                plan_file,
                has_changes: code == 2,
                summary,
                stream,
            });
        }
        let _ = fs::remove_file(&plan_file);
        Err(self.stream_failure(&outcome?, &summary))
    }

    /// `show -json PLANFILE`: what is in a plan file that is never applied.
    pub fn show_plan(&self, plan_file: &Path) -> Result<Plan, TerraformError> {
        self.show(self.root.join(plan_file).into(), None)
    }

    /// `show -json`: what is in a plan.
    pub fn show_sealed(&self, plan: &SealedPlan) -> Result<Plan, TerraformError> {
        self.show(sealed::NAME.into(), Some(plan))
    }

    fn show(&self, file: OsString, plan: Option<&SealedPlan>) -> Result<Plan, TerraformError> {
        let arguments = vec!["show".into(), "-json".into(), "-no-color".into(), file];
        let finished = self.start("show", arguments, plan, None, true, &mut |_| {})?;
        Plan::parse(self.read_document(&finished)?)
    }

    /// `apply PLANFILE`: these very changes or none.
    ///
    /// `on_start` gets the record for the journal once the process exists; terraform itself starts after it has returned, so that
    /// there is no apply that no journal knows of. When it fails, nothing has happened ([`TerraformError::Journal`]).
    ///
    /// # Errors
    /// Only where terraform was not started. Everything after that is told by [`ApplyOutcome`].
    pub fn apply(
        &self,
        plan: &SealedPlan,
        on_start: OnStart<'_>,
        progress: &mut dyn Progress,
    ) -> Result<ApplyOutcome, TerraformError> {
        let mut arguments: Vec<OsString> = ["apply", "-json", "-input=false", "-no-color", "-auto-approve"]
            .map(Into::into)
            .into();
        arguments.extend(self.lock_timeout());
        arguments.extend(self.parallelism());
        arguments.push(sealed::NAME.into());
        let mut summary = StreamSummary::default();
        let finished = self.stream(
            "apply",
            arguments,
            Some(plan),
            Some(on_start),
            false,
            &mut summary,
            progress,
        )?;
        let end = if finished.status.success() && !summary.has_errors() {
            ApplyEnd::Complete
        } else if finished.interrupted {
            ApplyEnd::Interrupted
        } else if let Some(signal) = finished.signal() {
            ApplyEnd::Killed { signal }
        } else {
            ApplyEnd::Failed(self.stream_failure(&finished, &summary))
        };
        let errored_state = Some(self.root.join(crate::errored::FILE_NAME)).filter(|path| path.exists());
        Ok(ApplyOutcome {
            end,
            summary,
            record: finished.record,
            errored_state,
        })
    }

    /// `state pull`; `None` when there is no state.
    pub fn state_pull(&self) -> Result<Option<Vec<u8>>, TerraformError> {
        let bytes = self.document("state-pull", vec!["state".into(), "pull".into()])?;
        let nothing = bytes.iter().all(u8::is_ascii_whitespace) || is_placeholder(&bytes);
        Ok((!nothing).then_some(bytes))
    }

    /// `state push FILE`. Without `force` terraform checks lineage and serial.
    ///
    /// # Errors
    /// [`TerraformError::LineageMismatch`], [`TerraformError::SerialTooLow`], [`TerraformError::Locked`], …
    pub fn state_push(&self, file: &Path, force: bool) -> Result<(), TerraformError> {
        let mut arguments: Vec<OsString> = ["state", "push"].map(Into::into).into();
        if force {
            arguments.push("-force".into());
        }
        arguments.extend(self.lock_timeout());
        arguments.push(self.root.join(file).into());
        let finished = self.run("state-push", arguments, false)?;
        self.succeed(&finished)?;
        finished.remove_logs();
        Ok(())
    }

    /// `providers schema -json`, read once. Takes seconds with a large provider.
    pub fn providers_schema(&self) -> Result<Arc<ProvidersSchema>, TerraformError> {
        if let Some(schema) = self.schema.get() {
            return Ok(Arc::clone(schema));
        }
        let bytes = self.document(
            "providers-schema",
            ["providers", "schema", "-json", "-no-color"].map(Into::into).into(),
        )?;
        let schema = Arc::new(ProvidersSchema::parse(&bytes)?);
        Ok(Arc::clone(self.schema.get_or_init(|| schema)))
    }

    /// `validate -json`: the diagnostics, warnings too. Errors in the configuration are no error of the call.
    pub fn validate(&self) -> Result<Vec<Diagnostic>, TerraformError> {
        #[derive(Deserialize)]
        struct Validation {
            #[serde(default)]
            diagnostics: Vec<Diagnostic>,
        }
        let finished = self.run(
            "validate",
            ["validate", "-json", "-no-color"].map(Into::into).into(),
            true,
        )?;
        match serde_json::from_slice::<Validation>(&finished.stdout()?) {
            Ok(validation) => {
                finished.remove_logs();
                Ok(validation.diagnostics)
            }
            Err(_) => Err(self.failure(&finished)),
        }
    }

    /// A command that prints one document. Its file is removed once read, since the document is a state or a plan.
    fn document(&self, operation: &str, arguments: Vec<OsString>) -> Result<Vec<u8>, TerraformError> {
        let finished = self.run(operation, arguments, true)?;
        self.read_document(&finished)
    }

    fn read_document(&self, finished: &Finished) -> Result<Vec<u8>, TerraformError> {
        let outcome = self.succeed(finished).and_then(|()| finished.stdout());
        finished.remove_logs();
        outcome
    }

    fn run(
        &self,
        operation: &str,
        arguments: Vec<OsString>,
        may_interrupt_twice: bool,
    ) -> Result<Finished, TerraformError> {
        self.start(operation, arguments, None, None, may_interrupt_twice, &mut |_| {})
    }

    fn start(
        &self,
        operation: &str,
        arguments: Vec<OsString>,
        plan: Option<&SealedPlan>,
        on_start: Option<OnStart<'_>>,
        may_interrupt_twice: bool,
        hear: &mut dyn FnMut(Word<'_>),
    ) -> Result<Finished, TerraformError> {
        tracing::debug!(operation, folder = %self.root.display(), "terraform");
        let log_folder = self.log_dir();
        let run = Run {
            binary: self.terraform.binary(),
            folder: &self.root,
            log_folder: &log_folder,
            operation,
            arguments,
            environment: self.environment(),
            plan,
            may_interrupt_twice,
        };
        process::run(run, on_start, hear)
    }

    // What a child is given, and who hears of it.
    #[allow(clippy::too_many_arguments)]
    fn stream(
        &self,
        operation: &str,
        arguments: Vec<OsString>,
        plan: Option<&SealedPlan>,
        on_start: Option<OnStart<'_>>,
        may_interrupt_twice: bool,
        summary: &mut StreamSummary,
        progress: &mut dyn Progress,
    ) -> Result<Finished, TerraformError> {
        self.start(
            operation,
            arguments,
            plan,
            on_start,
            may_interrupt_twice,
            &mut |word| match word {
                Word::Line(line) => {
                    if let Some(event) = summary.read_line(line) {
                        progress.event(event);
                    }
                }
                Word::Interrupting => progress.event(Event::Interrupting),
            },
        )
    }

    fn succeed(&self, finished: &Finished) -> Result<(), TerraformError> {
        if finished.status.success() {
            Ok(())
        } else {
            Err(self.failure(finished))
        }
    }

    fn failure(&self, finished: &Finished) -> TerraformError {
        self.ended_badly(finished, parse_failure(&finished.stderr()))
    }

    fn stream_failure(&self, finished: &Finished, summary: &StreamSummary) -> TerraformError {
        let mut diagnostics = summary.diagnostics.clone();
        if !summary.has_errors() {
            diagnostics.extend(parse_failure(&finished.stderr()));
        }
        self.ended_badly(finished, diagnostics)
    }

    fn ended_badly(&self, finished: &Finished, diagnostics: Vec<Diagnostic>) -> TerraformError {
        if finished.interrupted {
            return TerraformError::Interrupted { diagnostics };
        }
        match finished.signal() {
            Some(signal) => TerraformError::Killed { signal },
            None => classify(diagnostics),
        }
    }

    fn environment(&self) -> Vec<(OsString, OsString)> {
        let mut variables = environment::filtered(std::env::vars_os(), &self.options.environment_extra);
        let mut set = |name: &str, value: OsString| variables.push((name.into(), value));
        if let Some(workspace) = &self.options.workspace {
            set("TF_WORKSPACE", workspace.into());
        }
        if self.options.data_dir.is_some() {
            set("TF_DATA_DIR", self.data_dir().into());
        }
        if let Some(cache) = &self.options.plugin_cache {
            set("TF_PLUGIN_CACHE_DIR", cache.into());
        }
        for (name, value) in &self.options.variables {
            set(&format!("TF_VAR_{name}"), value.into());
        }
        if let Some(percent) = self.options.garbage_percent
            && !variables.iter().any(|(name, _)| name == "GOGC" || name == "GOMEMLIMIT")
        {
            variables.push(("GOGC".into(), percent.to_string().into()));
        }
        variables
    }

    fn lock_timeout(&self) -> Option<OsString> {
        self.options
            .lock_timeout
            .map(|timeout| format!("-lock-timeout={}ms", timeout.as_millis()).into())
    }

    fn parallelism(&self) -> Option<OsString> {
        self.options
            .parallelism
            .map(|count| format!("-parallelism={count}").into())
    }

    fn var_files(&self) -> impl Iterator<Item = OsString> {
        self.options.var_files.iter().map(|file| {
            let mut argument = OsString::from("-var-file=");
            argument.push(self.root.join(file));
            argument
        })
    }

    /// Whether a child of this folder, whoever started it, still runs: told by the files in [`Folder::log_dir`] alone, so that it
    /// needs no record.
    pub fn is_busy(&self) -> bool {
        let Ok(entries) = fs::read_dir(self.log_dir()) else {
            return false;
        };
        entries.flatten().any(|entry| {
            entry.path().extension().is_some_and(|end| end == "out") && crate::child::output_is_held(&entry.path())
        })
    }

    /// A plan without anybody watching.
    pub fn plan_silently(&self, options: &PlanOptions) -> Result<PlanOutcome, TerraformError> {
        self.plan(options, &mut Silent)
    }

    /// Applies without a journal and without anybody watching: for tests and private folders.
    pub fn apply_silently(&self, plan_file: &Path) -> Result<ApplyOutcome, TerraformError> {
        let plan = SealedPlan::take(&self.root.join(plan_file))?;
        self.apply(&plan, &mut |_: &ChildRecord| Ok(()), &mut Silent)
    }
}

/// The `http` backend has no state where its server has none, and `state pull` then prints one without lineage and content.
fn is_placeholder(bytes: &[u8]) -> bool {
    StateHeader::parse(bytes)
        .is_ok_and(|header| header.serial == 0 && header.lineage.is_empty() && !header.has_content())
}

fn remove_if_there(path: &Path) -> Result<(), TerraformError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(TerraformError::io("remove", path)(error)),
        _ => Ok(()),
    }
}
