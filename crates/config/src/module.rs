//! The files of one folder as a [`Module`], override files merged in as Terraform does.

use crate::build::{self, CallDraft, ResourceDraft, invalid};
use crate::error::{ConfigError, Location};
use crate::expression::keys_of;
use crate::model::{Expr, Module, OtherBlock, ProviderConfig, Repetition, RequiredProvider};
use crate::source::{Block, Body, Document, Source};
use crate::tree::{EntryKind, FileTree, TreeError, join_path};
use rollback_state::Mode;
use std::collections::BTreeMap;

/// The content of one folder, for every module that uses it.
pub(crate) struct Folder {
    pub(crate) module: Module,
    /// Paths in the tree.
    pub(crate) files: Vec<String>,
    /// Bytes of configuration.
    pub(crate) size: usize,
}

/// Which configuration file a name is, if it is one.
struct FileName {
    /// Without `.tf` and what follows.
    base: String,
    is_json: bool,
    is_tofu: bool,
}

impl FileName {
    fn of(name: &str) -> Option<FileName> {
        // What editors leave behind is skipped, as Terraform does.
        if name.starts_with(['.', '#']) || name.ends_with('~') {
            return None;
        }
        [
            (".tf", false, false),
            (".tf.json", true, false),
            (".tofu", false, true),
            (".tofu.json", true, true),
        ]
        .into_iter()
        .find_map(|(ending, is_json, is_tofu)| {
            Some(FileName {
                base: name.strip_suffix(ending)?.to_owned(),
                is_json,
                is_tofu,
            })
        })
    }

    fn is_override(&self) -> bool {
        self.base == "override" || self.base.ends_with("_override")
    }
}

/// The names of a folder's configuration files: first the primary ones, then the overrides, each in order.
fn select(names: Vec<String>, opentofu: bool) -> (Vec<String>, Vec<String>) {
    let files: Vec<(String, FileName)> = names
        .into_iter()
        .filter_map(|name| FileName::of(&name).map(|file| (name, file)))
        .collect();
    let is_hidden = |file: &FileName| {
        !file.is_tofu
            && files
                .iter()
                .any(|(_, other)| other.is_tofu && other.base == file.base && other.is_json == file.is_json)
    };
    let mut chosen: Vec<&(String, FileName)> = files
        .iter()
        .filter(|(_, file)| if opentofu { !is_hidden(file) } else { !file.is_tofu })
        .collect();
    chosen.sort_by(|a, b| a.0.cmp(&b.0));
    let (overrides, primary): (Vec<_>, Vec<_>) = chosen.into_iter().partition(|(_, file)| file.is_override());
    let names = |files: Vec<&(String, FileName)>| files.into_iter().map(|(name, _)| name.clone()).collect();
    (names(primary), names(overrides))
}

/// Reads a folder; `None` where it does not exist or has no configuration.
///
/// # Errors
/// As [`crate::load`].
pub(crate) fn read(tree: &dyn FileTree, dir: &str, opentofu: bool) -> Result<Option<Folder>, ConfigError> {
    let entries = match tree.list(dir) {
        Ok(entries) => entries,
        Err(TreeError::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let names = entries
        .into_iter()
        .filter(|entry| entry.kind == EntryKind::File)
        .map(|entry| entry.name)
        .collect();
    let (primary, overrides) = select(names, opentofu);
    if primary.is_empty() && overrides.is_empty() {
        return Ok(None);
    }
    let mut folder = Folder {
        module: Module {
            dir: dir.to_owned(),
            ..Module::default()
        },
        files: Vec::new(),
        size: 0,
    };
    for (names, is_override) in [(primary, false), (overrides, true)] {
        for name in names {
            let path = join_path(dir, &name)?;
            let Some(bytes) = tree.read(&path)? else { continue };
            folder.size += bytes.len();
            let source = Source::new(&path, bytes)?;
            let document = Document::parse(&source)?;
            let body = document.body(&source)?;
            let mut reader = Reader {
                module: &mut folder.module,
                is_override,
            };
            reader.file(&body)?;
            folder.files.push(path);
        }
    }
    resolve_locals(&mut folder.module);
    Ok(Some(folder))
}

struct Reader<'m> {
    module: &'m mut Module,
    is_override: bool,
}

impl Reader<'_> {
    fn file(&mut self, body: &Body<'_>) -> Result<(), ConfigError> {
        let mut versions = Vec::new();
        for block in &body.blocks {
            match block.kind.as_str() {
                "terraform" => self.terraform(block, &mut versions)?,
                "resource" => self.resource(block, Mode::Managed)?,
                "data" => self.resource(block, Mode::Data)?,
                "module" => self.call(block)?,
                "variable" => self.variable(block)?,
                "output" => self.output(block)?,
                "locals" => self.locals(block)?,
                "provider" => self.provider(block)?,
                // Terraform: "Cannot override 'moved' blocks", and the same of `import`.
                "moved" | "import" if self.is_override => {
                    return Err(ConfigError::Invalid {
                        at: block.at(),
                        message: format!("a `{}` block cannot stand in an override file", block.kind),
                        hint: Some("move it to a file whose name does not end in _override".into()),
                    });
                }
                "moved" => self.module.moved.push(build::moved(block)?),
                "import" => self.module.imports.push(build::import(block)?),
                // Terraform ignores `removed` in override files without a word: the object is destroyed.
                "removed" if self.is_override => {}
                "removed" => self.module.removed.push(build::removed(block)?),
                "ephemeral" | "action" | "check" => self.module.others.push(OtherBlock {
                    kind: block.kind.clone(),
                    labels: block.labels.clone(),
                    text: block.text(),
                    at: block.at(),
                }),
                _ => {}
            }
        }
        if self.is_override && !versions.is_empty() {
            self.module.required_version = versions;
        } else {
            self.module.required_version.extend(versions);
        }
        Ok(())
    }

    fn terraform(&mut self, block: &Block<'_>, versions: &mut Vec<String>) -> Result<(), ConfigError> {
        versions.extend(block.body.get("required_version").and_then(|value| value.string()));
        for inner in &block.body.blocks {
            match inner.kind.as_str() {
                "backend" | "cloud" => {
                    let backend = build::backend(inner)?;
                    if let Some(other) = self.module.backend.as_ref().filter(|_| !self.is_override) {
                        return Err(duplicate("a backend", &backend.at, &other.at));
                    }
                    self.module.backend = Some(backend);
                }
                "required_providers" => {
                    for attribute in &inner.body.attributes {
                        let provider = build::required_provider(&attribute.value);
                        let known = self.module.required_providers.get_mut(&attribute.name);
                        match known.filter(|_| !self.is_override) {
                            Some(known) => combine(known, provider),
                            None => {
                                self.module.required_providers.insert(attribute.name.clone(), provider);
                            }
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn resource(&mut self, block: &Block<'_>, mode: Mode) -> Result<(), ConfigError> {
        let draft = ResourceDraft::read(block, mode)?;
        let known = self.module.resources.get_mut(&draft.key);
        let what = || format!("{} {}.{}", block.kind, draft.key.1, draft.key.2);
        match (known, self.is_override) {
            (Some(known), true) => draft.merge_into(known),
            (Some(known), false) => return Err(duplicate(&what(), &draft.at, &known.at)),
            (None, true) => return Err(no_base(&what(), draft.at.clone())),
            (None, false) => {
                self.module.resources.insert(draft.key.clone(), draft.build());
            }
        }
        Ok(())
    }

    fn call(&mut self, block: &Block<'_>) -> Result<(), ConfigError> {
        let draft = CallDraft::read(block)?;
        let what = format!("module {}", draft.name);
        match (self.module.calls.get_mut(&draft.name), self.is_override) {
            (Some(known), true) => draft.merge_into(known),
            (Some(known), false) => return Err(duplicate(&what, &draft.at, &known.at)),
            (None, true) => return Err(no_base(&what, draft.at)),
            (None, false) => {
                self.module.calls.insert(draft.name.clone(), draft.build()?);
            }
        }
        Ok(())
    }

    fn variable(&mut self, block: &Block<'_>) -> Result<(), ConfigError> {
        let [name] = build::labels(block, "one label, its name")?;
        let known = self.module.variables.get(&name);
        self.check(block, &format!("variable {name}"), known.map(|known| &known.at))?;
        let variable = build::variable(block, known)?;
        self.module.variables.insert(name, variable);
        Ok(())
    }

    fn output(&mut self, block: &Block<'_>) -> Result<(), ConfigError> {
        let [name] = build::labels(block, "one label, its name")?;
        let known = self.module.outputs.get(&name);
        self.check(block, &format!("output {name}"), known.map(|known| &known.at))?;
        let output = build::output(block, known)?;
        self.module.outputs.insert(name, output);
        Ok(())
    }

    fn locals(&mut self, block: &Block<'_>) -> Result<(), ConfigError> {
        for attribute in &block.body.attributes {
            let known = self.module.locals.contains_key(&attribute.name);
            let at = attribute.value.at();
            match (known, self.is_override) {
                (true, false) => return Err(invalid(at, format!("local {} is declared already", attribute.name))),
                (false, true) => return Err(no_base(&format!("local {}", attribute.name), at)),
                _ => self
                    .module
                    .locals
                    .insert(attribute.name.clone(), attribute.value.expr()),
            };
        }
        Ok(())
    }

    fn provider(&mut self, block: &Block<'_>) -> Result<(), ConfigError> {
        let provider = build::provider(block)?;
        let same = |other: &&mut ProviderConfig| other.name == provider.name && other.alias == provider.alias;
        match (self.module.providers.iter_mut().find(same), self.is_override) {
            (Some(known), true) => known.attributes.extend(provider.attributes),
            (Some(known), false) => {
                return Err(duplicate(
                    &format!("provider {}", provider.name),
                    &provider.at,
                    &known.at,
                ));
            }
            // A default configuration that nobody wrote is an empty one, which can be overridden.
            (None, true) if provider.alias.is_some() => {
                return Err(no_base(&format!("provider {}", provider.name), provider.at));
            }
            (None, _) => self.module.providers.push(provider),
        }
        Ok(())
    }

    fn check(&self, block: &Block<'_>, what: &str, known: Option<&Location>) -> Result<(), ConfigError> {
        match known {
            Some(known) if !self.is_override => Err(duplicate(what, &block.at(), known)),
            None if self.is_override => Err(no_base(what, block.at())),
            _ => Ok(()),
        }
    }
}

/// Several files of one module may speak of one provider; Terraform takes what each of them says.
fn combine(known: &mut RequiredProvider, other: RequiredProvider) {
    known.source = known.source.take().or(other.source);
    known.version = match (known.version.take(), other.version) {
        (Some(a), Some(b)) if a != b => Some(format!("{a}, {b}")),
        (a, b) => a.or(b),
    };
    known.configuration_aliases.extend(other.configuration_aliases);
}

fn duplicate(what: &str, at: &Location, known: &Location) -> ConfigError {
    invalid(at.clone(), format!("{what} is declared already, at {known}"))
}

fn no_base(what: &str, at: Location) -> ConfigError {
    invalid(at, format!("{what} is overridden here, but no other file declares it"))
}

/// `for_each = local.zones` and `count = local.n` are as certain as the literal that the local is.
fn resolve_locals(module: &mut Module) {
    let locals = &module.locals;
    let resources = module
        .resources
        .values_mut()
        .map(|it| (&mut it.repetition, &it.repetition_expression));
    let calls = module
        .calls
        .values_mut()
        .map(|it| (&mut it.repetition, &it.repetition_expression));
    for (repetition, expression) in resources.chain(calls) {
        if let Some(expression) = expression {
            resolve(repetition, expression, locals);
        }
    }
}

fn resolve(repetition: &mut Repetition, expression: &Expr, locals: &BTreeMap<String, Expr>) {
    let [reference] = expression.references.as_slice() else {
        return;
    };
    let Some(value) = reference
        .strip_prefix("local.")
        .and_then(|name| locals.get(name)?.literal.as_ref())
    else {
        return;
    };
    // In JSON the expression is in a string.
    let text = expression.text.trim_matches('"');
    let text = text
        .strip_prefix("${")
        .and_then(|text| text.strip_suffix('}'))
        .unwrap_or(text)
        .trim();
    match repetition {
        Repetition::Count(count @ None) if text == reference => *count = value.as_i64(),
        Repetition::ForEach(keys @ None) if text == reference && value.is_object() => *keys = keys_of(value),
        Repetition::ForEach(keys @ None) if text == format!("toset({reference})") && value.is_array() => {
            *keys = keys_of(value);
        }
        Repetition::ForEach(keys @ None) if text == reference => {
            // `local.names` must be a set already: only `toset([...])` makes one.
            let set = locals
                .get(reference.trim_start_matches("local."))
                .is_some_and(|it| it.text.starts_with("toset"));
            *keys = if set { keys_of(value) } else { None };
        }
        _ => {}
    }
}
