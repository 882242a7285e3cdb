//! `snapshot`: HEAD and every stack's live state as one release.

use std::collections::BTreeSet;

use rollback_config::{Configuration, FileTree};
use rollback_release::{Release, Salt, StackParts, write_stack};

use crate::as_deployed;
use crate::collect::{Downloaded, collect};
use crate::context::{Context, Stack};
use crate::error::{EngineError, Result};
use crate::file_calls;
use crate::live::Live;
use crate::observe::Stage;
use crate::steps;

/// What a person adds to a snapshot.
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub name: Option<String>,
    pub note: Option<String>,
}

/// The release that was kept, and what was noticed.
pub struct Taken {
    pub release: Release,
    pub warnings: Vec<String>,
}

/// Keeps HEAD and the live state of every chosen stack as a release. Nothing is known of it until it is whole.
///
/// # Errors
/// Nothing is kept then.
pub fn take(context: &Context, options: &Options) -> Result<Taken> {
    let head = context.repository.head()?;
    let tree = context.repository.tree(&head)?;
    let salt = Salt::of_project(context.store.as_ref(), &context.project)?;
    let mut release = Release::new(head.as_str(), context.actor.clone());
    release.name = options.name.clone();
    release.note = options.note.clone();
    let mut warnings = Vec::new();
    if let Some(name) = &options.name {
        check_name(context, name, head.as_str())?;
    }
    for stack in &context.stacks {
        if !exists_in(&tree, &stack.dir) {
            return Err(EngineError::failed(format!(
                "stack {}: folder {:?} has no Terraform files in commit {}",
                stack.name,
                stack.dir,
                head.short()
            ))
            .hint("commit the configuration before the snapshot: a release is a commit as deployed"));
        }
        context.observer.stage(&stack.name, Stage::ReadingState);
        as_deployed::nothing_halfway(context, stack)?;
        let mut live = Live::unread(context, stack)?;
        warnings.extend(as_deployed::nobody_applies(context, stack, &live)?);
        live.fill(context, stack)?;
        // Who began in between is at work still.
        as_deployed::nobody_applies(context, stack, &live)?;
        as_deployed::not_rolled_back(context, stack, &head, live.state())?;
        as_deployed::not_given_up(context, stack, live.state())?;
        if live.state().is_none() {
            warnings.push(format!("stack {} has no state yet: it was never applied", stack.name));
        }
        context.observer.stage(&stack.name, Stage::Recording);
        let folder = context.root.join(&stack.dir);
        let collected = collect(context, stack, &tree, &stack.dir, &Downloaded::Folder(&folder), &live)
            .map_err(|error| error.during(format!("stack {}", stack.name)))?;
        warnings.extend(collected.warnings);
        for path in file_calls::not_in_git(context, &tree, &stack.dir, &collected.configuration) {
            warnings.push(format!(
                "{path} is read by the configuration and is not in Git: a rollback to this release will not have it. Commit it, \
                 or have a variable bring what it holds"
            ));
        }
        for module in &collected.configuration.unresolved {
            warnings.push(format!(
                "module.{} ({}) is not kept: {}. `terraform init` and another snapshot keep it; without it a rollback needs \
                 its source to be there still",
                module.path.join(".module."),
                module.source,
                module.reason
            ));
        }
        for file in &collected.parts.variable_files {
            if !file.tracked && !collected.parts.sensitive_variables.is_empty() {
                warnings.push(format!(
                    "{} is not in Git: its sensitive variables are not kept and will be asked for at a rollback",
                    file.path
                ));
            }
        }
        for name in without_value(stack, &collected.configuration, &collected.parts) {
            warnings.push(format!(
                "variable {name} has no default and no value in Git: it came from -var or a prompt, and will be asked for at a rollback"
            ));
        }
        for variable in &collected.parts.variables {
            warnings.push(format!(
                "variable {} comes from outside of Git; its value is not kept and will be asked for at a rollback",
                variable.name
            ));
        }
        let record = write_stack(&collected.parts, &salt, context.store.as_ref())
            .map_err(|error| EngineError::failed(error.to_string()))?;
        let watched: Vec<&str> = vec![stack.dir.as_str()];
        release.dirty.extend(
            context
                .repository
                .is_dirty(&watched)?
                .into_iter()
                .filter(|path| is_configuration(path)),
        );
        release.stacks.push(record);
    }
    release.dirty.sort();
    release.dirty.dedup();
    if !release.dirty.is_empty() {
        warnings.push(format!(
            "these files differ from commit {}: the release keeps them as committed, and a rollback will apply that: {}",
            head.short(),
            release.dirty.join(", ")
        ));
    }
    let (runtime, unseen) = steps::capture(context);
    release.runtime = runtime.to_value();
    warnings.extend(unseen);
    context.catalogue().commit(&release)?;
    Ok(Taken { release, warnings })
}

/// Required variables of the root module whose value comes from nowhere that a release can see.
pub(crate) fn without_value(stack: &Stack, configuration: &Configuration, parts: &StackParts) -> Vec<String> {
    let Some(root) = configuration.root() else {
        return Vec::new();
    };
    let mut given: BTreeSet<String> = parts.variables.iter().map(|variable| variable.name.clone()).collect();
    given.extend(stack.variables.iter().map(|(name, _)| name.clone()));
    for file in &parts.variable_files {
        if let Ok(values) = rollback_config::parse_variable_file(&file.path, &file.bytes) {
            given.extend(values.into_iter().map(|(name, _)| name));
        }
    }
    root.variables
        .values()
        .filter(|variable| variable.default.is_none() && !given.contains(&variable.name))
        .map(|variable| variable.name.clone())
        .collect()
}

/// A name means one commit for ever.
fn check_name(context: &Context, name: &str, commit: &str) -> Result<()> {
    if name.is_empty()
        || name.starts_with('-')
        || name.chars().any(|letter| letter.is_control() || letter.is_whitespace())
    {
        return Err(EngineError::usage(format!("{name:?} cannot be the name of a release"))
            .hint("take letters, digits, dots and hyphens, such as v1.4.2"));
    }
    for other in context.catalogue().summaries(usize::MAX)? {
        if other.name.as_deref() == Some(name) && other.commit != commit {
            return Err(EngineError::failed(format!(
                "the name {name} is taken by release {} of commit {:.10}",
                other.id, other.commit
            ))
            .hint("take another name, or leave it out: the commit is a name too"));
        }
    }
    Ok(())
}

fn is_configuration(path: &str) -> bool {
    [
        ".tf",
        ".tf.json",
        ".tofu",
        ".tofu.json",
        ".tfvars",
        ".tfvars.json",
        ".terraform.lock.hcl",
    ]
    .iter()
    .any(|ending| path.ends_with(ending))
}

/// Whether a tree has Terraform files in a folder.
pub fn exists_in(tree: &dyn FileTree, dir: &str) -> bool {
    tree.list(dir)
        .is_ok_and(|entries| entries.iter().any(|entry| is_configuration(&entry.name)))
}
