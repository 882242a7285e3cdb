//! What a commit has of a stack, as the record of a release: everything that comes from Git and nothing that does not.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use rollback_config::project::Project;
use rollback_config::{Configuration, FileTree, LockFile, load};
use rollback_release::{BackendRecord, Salt, StackParts, StackRecord, VariableFilePart, write_stack};
use rollback_repository::CommitId;

use crate::collect::{self, in_dir};
use crate::context::{Context, SETTINGS, Stack, stack_of_section};
use crate::error::{EngineError, Result};
use crate::history::dir_at;

/// A stack's record without its state, and what the deploy had besides, in words.
pub(super) struct Committed {
    pub record: StackRecord,
    pub unknown: Vec<String>,
}

/// What was looked up already: neighbouring states mostly have one commit.
pub(super) struct Commits<'c> {
    context: &'c Context,
    stack: &'c Stack,
    backend: BackendRecord,
    workspace: String,
    /// None to keep nothing.
    salt: Option<Salt>,
    known: HashMap<CommitId, Rc<Committed>>,
}

/// So many commits are remembered at once.
const REMEMBERED: usize = 64;

impl<'c> Commits<'c> {
    pub fn new(
        context: &'c Context,
        stack: &'c Stack,
        backend: BackendRecord,
        workspace: String,
        keep: bool,
    ) -> Result<Commits<'c>> {
        let salt = keep
            .then(|| Salt::of_project(context.store.as_ref(), &context.project))
            .transpose()?;
        Ok(Commits {
            context,
            stack,
            backend,
            workspace,
            salt,
            known: HashMap::new(),
        })
    }

    /// The record of a commit, its files in the store.
    ///
    /// # Errors
    /// Git or the store cannot be read. A configuration that cannot be parsed is no error: its files are kept.
    pub fn of(&mut self, commit: &CommitId) -> Result<Rc<Committed>> {
        if let Some(known) = self.known.get(commit) {
            return Ok(Rc::clone(known));
        }
        let (parts, unknown) = self.gather(commit)?;
        let record = match &self.salt {
            Some(salt) => write_stack(&parts, salt, self.context.store.as_ref())
                .map_err(|error| EngineError::failed(error.to_string()))?,
            None => StackRecord::default(),
        };
        let committed = Rc::new(Committed { record, unknown });
        if self.known.len() >= REMEMBERED {
            self.known.clear();
        }
        self.known.insert(commit.clone(), Rc::clone(&committed));
        Ok(committed)
    }

    fn gather(&self, commit: &CommitId) -> Result<(StackParts, Vec<String>)> {
        let repository = &self.context.repository;
        let tree = repository.tree(commit)?;
        let stack = self.stack_at(&tree);
        let dir = dir_at(repository, commit, &stack.name, &[&self.stack.dir])?;
        let mut unknown = Vec::new();
        let mut parts = StackParts {
            name: self.stack.name.clone(),
            dir: dir.clone().unwrap_or_else(|| stack.dir.clone()),
            workspace: self.workspace.clone(),
            backend: self.backend.clone(),
            terraform: collect::tool(self.context, None),
            depends_on: stack.depends_on.clone(),
            ..StackParts::default()
        };
        let mut needs_providers = true;
        let Some(dir) = dir else {
            unknown.push(format!(
                "the configuration: commit {} has none of this stack",
                commit.short()
            ));
            return Ok((parts, unknown));
        };
        match load(&tree, &dir, None) {
            Ok(configuration) => {
                parts.configuration = collect::module_files(&tree, &configuration, &mut unknown)?;
                needs_providers = uses_providers(&configuration);
                parts.sensitive_variables = collect::sensitive_variables(&configuration);
                for module in &configuration.unresolved {
                    unknown.push(format!("module {} ({})", module.path.join("."), module.source));
                }
                parts.variable_files = tracked_variable_files(&tree, &stack, &dir);
                for name in crate::snapshot::without_value(&stack, &configuration, &parts) {
                    unknown.push(format!("the value of variable {name}"));
                }
            }
            Err(error) => {
                unknown.push(format!("which modules it has: {error}"));
                let mut files = BTreeMap::new();
                collect::walk(&tree, &dir, collect::MOST_FILES, &mut files, &mut unknown)?;
                parts.configuration = files;
                parts.variable_files = tracked_variable_files(&tree, &stack, &dir);
            }
        }
        parts.lock_file = tree
            .read(&in_dir(&dir, ".terraform.lock.hcl"))
            .map_err(|error| EngineError::failed(error.to_string()))?;
        match &parts.lock_file {
            Some(bytes) => {
                if let Ok(lock) = LockFile::parse(bytes) {
                    let versions = lock.providers.into_iter();
                    parts.providers = versions.map(|(name, locked)| (name, locked.version)).collect();
                }
            }
            None if needs_providers => {
                unknown.push("provider versions: the commit has no .terraform.lock.hcl".to_owned());
            }
            None => {}
        }
        Ok((parts, unknown))
    }

    /// The stack as the commit's own settings have it, else as today's do.
    fn stack_at(&self, tree: &dyn FileTree) -> Stack {
        let text = tree.read(SETTINGS).ok().flatten();
        let settings = text.and_then(|text| Project::parse(&String::from_utf8_lossy(&text), SETTINGS).ok());
        let section = settings
            .as_ref()
            .and_then(|settings| settings.stacks.iter().find(|section| section.name == self.stack.name));
        section.map_or_else(|| self.stack.clone(), |section| stack_of_section(section, ""))
    }
}

/// Whether any provider has a version: the built-in one has none.
fn uses_providers(configuration: &Configuration) -> bool {
    let built_in = |kind: &str| matches!(kind, "terraform_data" | "terraform_remote_state");
    !configuration.unresolved.is_empty()
        || configuration.resources().any(|(_, resource)| !built_in(&resource.kind))
        || configuration
            .modules
            .values()
            .any(|module| !module.required_providers.is_empty())
}

/// Files of assignments that the commit itself has; what lies in today's checkout is of today.
fn tracked_variable_files(tree: &dyn FileTree, stack: &Stack, dir: &str) -> Vec<VariableFilePart> {
    let names: BTreeSet<String> = tree
        .list(dir)
        .map(|entries| entries.into_iter().map(|entry| entry.name).collect())
        .unwrap_or_default();
    let names: Vec<String> = names.into_iter().collect();
    collect::variable_file_names(stack, &names)
        .into_iter()
        .filter_map(|name| {
            let bytes = tree.read(&in_dir(dir, &name)).ok().flatten()?;
            Some(VariableFilePart {
                path: name,
                bytes,
                tracked: true,
            })
        })
        .collect()
}
