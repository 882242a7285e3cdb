//! `import`: taking in the states that somebody else kept.

use std::path::Path;

use rollback_engine::context::Context;
use rollback_engine::error::{EngineError, Result};
use rollback_engine::import::{self, Content, Found, GitHistory, Imported, Mapping, Options, Report, Skipped, Source};
use rollback_engine::import::{Unread, Why};
use rollback_engine::live::Live;
use rollback_engine::versions;
use rollback_release::BackendRecord;
use rollback_store_aws::state_versions::{StateVersion, StateVersions, StateVersionsError};
use rollback_terraform::BackendConfig;
use serde_json::Value;

use crate::arguments::{Global, ImportArguments, ImportGitArguments, ImportS3Arguments, VariableArguments};
use crate::output::{Output, Tone};
use crate::progress::Progress;
use crate::session;

/// `import s3-versions`.
pub fn s3_versions(global: &Global, arguments: &ImportS3Arguments, output: &Output) -> Result<()> {
    let context = session::open(global, &VariableArguments::default(), output)?;
    let stack = versions::the_stack(&context)?;
    let backend = Live::backend_of(&context, stack)?;
    let workspace = Live::workspace_of(&context, stack)?;
    let (backend, workspace) = match (&arguments.bucket, &arguments.key) {
        (Some(bucket), Some(key)) => (object(&backend, bucket, key), "default".to_owned()),
        _ if backend.kind == "s3" => (backend, workspace),
        _ => {
            return Err(EngineError::usage(format!(
                "the state of stack {} is not in S3: its backend is {}",
                stack.name, backend.kind
            ))
            .hint("name the object with --bucket and --key"));
        }
    };
    let versions = StateVersions::open(&backend, &workspace).map_err(failed)?;
    let source = Bucket {
        name: versions.place(),
        record: BackendRecord::new("s3", backend.config),
        versions,
    };
    run(&context, &source, &arguments.common, output)
}

/// An object that a person names: reached as the stack's own backend is, if that is in S3, else as the environment says.
fn object(backend: &BackendConfig, bucket: &str, key: &str) -> BackendConfig {
    let mut settings = if backend.kind == "s3" {
        backend.config.clone()
    } else {
        // Emulators and servers of one's own have no name for each bucket.
        let endpoint = ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"];
        let own = endpoint.iter().any(|name| std::env::var_os(name).is_some());
        own.then(|| ("use_path_style".to_owned(), Value::Bool(true)))
            .into_iter()
            .collect()
    };
    settings.insert("bucket".to_owned(), bucket.into());
    settings.insert("key".to_owned(), key.into());
    BackendConfig::new("s3", settings)
}

/// `import git`.
pub fn git(global: &Global, arguments: &ImportGitArguments, output: &Output) -> Result<()> {
    let context = session::open(global, &VariableArguments::default(), output)?;
    let stack = versions::the_stack(&context)?;
    let branch = arguments.common.branch.as_deref();
    let source = GitHistory::new(&context, stack, arguments.path.as_deref(), branch)?;
    run(&context, &source, &arguments.common, output)
}

/// The versions of an object as the engine takes them.
struct Bucket {
    name: String,
    record: BackendRecord,
    versions: StateVersions,
}

impl Source for Bucket {
    fn name(&self) -> &str {
        &self.name
    }

    fn backend(&self) -> BackendRecord {
        self.record.clone()
    }

    fn versions(&self) -> Result<Vec<Found>> {
        let versions = self.versions.list().map_err(failed)?;
        Ok(versions
            .into_iter()
            .map(|version| Found {
                version: version.id,
                time: version.last_modified,
                size: Some(version.size),
                commit: None,
                actor: None,
                deleted: version.is_delete_marker,
            })
            .collect())
    }

    fn contents<'s>(&'s self, wanted: Vec<Found>) -> Box<dyn Iterator<Item = Result<Content, Unread>> + 's> {
        let wanted = wanted.into_iter().map(|found| StateVersion {
            id: found.version,
            last_modified: found.time,
            size: found.size.unwrap_or_default(),
            is_delete_marker: found.deleted,
        });
        Box::new(self.versions.read(wanted.collect()).map(|result| match result {
            Ok(content) => Ok(Content {
                bytes: content.bytes,
                labels: content.labels,
            }),
            Err(StateVersionsError::Version { reason, .. }) => Err(Unread::One(reason)),
            Err(error) => Err(Unread::All(failed(error))),
        }))
    }
}

fn failed(error: StateVersionsError) -> EngineError {
    let hint = error.hint();
    let error = EngineError::failed(error.to_string());
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

fn run(context: &Context, source: &dyn Source, arguments: &ImportArguments, output: &Output) -> Result<()> {
    let stack = versions::the_stack(context)?;
    let options = Options {
        since: arguments.since.as_deref().map(super::state::parse_time).transpose()?,
        limit: arguments.limit,
        mapping: arguments
            .map
            .as_deref()
            .map(|path| mapping(context, path))
            .transpose()?,
        branch: arguments.branch.clone(),
        dry_run: arguments.dry_run,
    };
    let mut progress = Progress::new(output, &format!("{}: taking in", stack.name));
    let report = import::take(context, stack, source, options, &mut |step| match step {
        import::Step::Listed { versions, already } => {
            progress.begin(versions - already);
            if already > 0 {
                output.note(
                    Tone::Faint,
                    &format!("{versions} states, {already} of them there already"),
                );
            }
        }
        import::Step::Taken(imported) => {
            for note in notes(imported) {
                progress.say(Tone::Warning, &note);
            }
            progress.one();
        }
        import::Step::Skipped(skipped) => {
            progress.say(Tone::Warning, &skip(skipped));
            progress.one();
        }
    })?;
    progress.end();
    summary(&report, output);
    output.document(&serde_json::to_value(&report).unwrap_or(Value::Null));
    Ok(())
}

fn mapping(context: &Context, path: &Path) -> Result<Mapping> {
    let name = path.display().to_string();
    let bytes = std::fs::read(path).map_err(|error| EngineError::usage(format!("{name} cannot be read: {error}")))?;
    Mapping::parse(&name, &bytes, &context.repository)
}

fn notes(imported: &Imported) -> impl Iterator<Item = String> + '_ {
    imported
        .notes
        .iter()
        .map(|note| format!("! {} of {:.0}: {note}", imported.version, imported.time))
}

fn skip(skipped: &Skipped) -> String {
    format!(
        "- {} of {:.0} skipped: {}",
        skipped.version, skipped.time, skipped.reason
    )
}

fn summary(report: &Report, output: &Output) {
    for note in &report.notes {
        output.note(Tone::Warning, &format!("! {note}"));
    }
    let mut kinds: std::collections::BTreeMap<Why, usize> = std::collections::BTreeMap::new();
    for skipped in &report.skips {
        *kinds.entry(skipped.why).or_default() += 1;
    }
    let kinds: Vec<String> = kinds
        .into_iter()
        .map(|(why, count)| format!("{count} {}", why.as_str()))
        .collect();
    let kinds = if kinds.is_empty() {
        String::new()
    } else {
        format!(" ({})", kinds.join(", "))
    };
    let verb = if report.dry_run { "Would import" } else { "Imported" };
    output.toned(
        Tone::Good,
        &format!(
            "{verb} {} of {} states of {} for stack {}; {} already there, {} skipped{kinds}",
            report.imported, report.versions, report.source, report.stack, report.already_there, report.skipped
        ),
    );
    let guessed = report
        .releases
        .iter()
        .filter(|release| release.commit_by.is_guess())
        .count();
    if guessed > 0 {
        output.line(&format!(
            "  The commits of {guessed} are a guess by time; --map FILE says what is known better."
        ));
    }
    if let Some(last) = report.releases.last().filter(|_| !report.dry_run) {
        output.line(&format!(
            "  Back to the newest of them: infra-rollback to {}",
            last.release
        ));
    }
}
