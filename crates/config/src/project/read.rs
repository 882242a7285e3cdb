//! From TOML with places to the project's settings.

use super::{
    CHECK_KINDS, KnowledgeSection, NOTIFY_KINDS, Project, ProjectError, STEP_KINDS, StackSection, StepTable,
    StoreSection, TerraformSection, is_name_character, nearest,
};
use crate::error::Location;
use crate::model::Syntax;
use crate::source::Source;
use std::collections::BTreeMap;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

pub(super) fn project(text: &str, file_name: &str) -> Result<Project, ProjectError> {
    let source = Source::of(file_name, text.to_owned(), Syntax::Native);
    let syntax = |error: toml::de::Error| ProjectError::Syntax {
        at: source.at(error.span().map_or(0, |span| span.start)),
        message: error.message().replace('\n', "; "),
    };
    let document = DeTable::parse(text).map_err(syntax)?;
    // The same without places, for the tables that are kept as they are.
    let raw: toml::Table = text.parse().map_err(syntax)?;
    let place = document.span();
    let top = Section {
        source: &source,
        name: "the file".into(),
        table: document.get_ref(),
        place,
    };
    top.only(&[
        "store",
        "stack",
        "step",
        "check",
        "notify",
        "identity",
        "incident",
        "drill",
        "terraform",
        "tls",
        "policy",
        "knowledge",
    ])?;

    let mut project = Project::default();
    if let Some(store) = top.table("store")? {
        store.only(&["url"])?;
        project.store = Some(StoreSection {
            url: store.required("url")?,
        });
    }
    for stack in top.tables("stack")? {
        let stack = read_stack(&stack, raw.get("stack"), project.stacks.len())?;
        check_stack(&stack, &project.stacks)?;
        project.stacks.push(stack);
    }
    if let Some(terraform) = top.table("terraform")? {
        terraform.only(&["binary", "environment", "parallelism", "plugin_cache"])?;
        project.terraform = TerraformSection {
            binary: terraform.string("binary")?,
            environment: terraform.strings("environment")?,
            parallelism: terraform.parallelism()?,
            plugin_cache: terraform.string("plugin_cache")?,
        };
    }
    if let Some(policy) = top.table("policy")? {
        project.policy = super::policy::read(&policy, raw.get("policy"))?;
    }
    if let Some(knowledge) = top.table("knowledge")? {
        knowledge.only(&["files"])?;
        project.knowledge = KnowledgeSection {
            files: knowledge.strings("files")?,
        };
    }
    if let Some(incident) = top.table("incident")? {
        project.incident = super::incident::read(&incident)?;
    }
    for identity in top.tables("identity")? {
        project.identities.push(super::identity::read(&identity)?);
    }
    if let Some(tls) = top.table("tls")? {
        project.tls = Some(super::identity::read_tls(&tls)?);
    }
    if let Some(drill) = top.table("drill")? {
        project.drill = Some(super::drill::read(&drill)?);
    }
    project.steps = steps(&top, "step", STEP_KINDS, &raw)?;
    project.checks = steps(&top, "check", CHECK_KINDS, &raw)?;
    project.notifications = steps(&top, "notify", NOTIFY_KINDS, &raw)?;
    Ok(project)
}

fn read_stack(stack: &Section<'_, '_>, raw: Option<&toml::Value>, index: usize) -> Result<StackSection, ProjectError> {
    stack.only(&["name", "dir", "workspace", "var_files", "depends_on", "variables"])?;
    stack.table("variables")?;
    let variables = raw.and_then(|stacks| stacks.get(index)?.get("variables")?.as_table().cloned());
    let dir = match stack.table.get_key_value("dir") {
        None => String::new(),
        Some((_, value)) => {
            let dir = stack.required("dir")?;
            folder(&dir).ok_or_else(|| stack.invalid(value.span(), format!("`dir` is no relative path: {dir:?}")))?
        }
    };
    Ok(StackSection {
        name: stack.required("name")?,
        dir,
        workspace: stack.string("workspace")?,
        var_files: stack.strings("var_files")?,
        depends_on: stack.strings("depends_on")?,
        variables: variables
            .map(|table| table.into_iter().collect::<BTreeMap<_, _>>())
            .unwrap_or_default(),
        at: stack.at(),
    })
}

fn check_stack(stack: &StackSection, before: &[StackSection]) -> Result<(), ProjectError> {
    let invalid = |message: String, hint: &str| {
        Err(ProjectError::Invalid {
            at: stack.at.clone(),
            message,
            hint: Some(hint.to_owned()),
        })
    };
    let name = &stack.name;
    if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) || !name.chars().all(is_name_character) {
        return invalid(
            format!("{name:?} cannot be a stack's name"),
            "names begin with a letter or a digit and have letters, digits, `.`, `_` and `-`",
        );
    }
    if before.iter().any(|other| other.name == *name) {
        return invalid(format!("there are two stacks called `{name}`"), "rename one of them");
    }
    if let Some(other) = before
        .iter()
        .find(|other| other.dir == stack.dir && other.workspace == stack.workspace)
    {
        return invalid(
            format!(
                "stack `{name}` has the folder and the workspace of stack `{}`",
                other.name
            ),
            "a stack is what one state describes: give one of them another `dir` or `workspace`",
        );
    }
    Ok(())
}

/// A relative path without `.`, `//` and a `/` at the end; `None` for anything else.
fn folder(text: &str) -> Option<String> {
    if text.starts_with('/') || text.contains(['\\', '\0']) {
        return None;
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

fn steps(top: &Section<'_, '_>, key: &str, kinds: &[&str], raw: &toml::Table) -> Result<Vec<StepTable>, ProjectError> {
    let mut steps = Vec::new();
    for section in top.tables(key)? {
        let table = raw
            .get(key)
            .and_then(|tables| tables.get(steps.len())?.as_table().cloned());
        let kind = section.required("kind")?;
        steps.push(StepTable {
            name: section.string("name")?,
            known: kinds.contains(&kind.as_str()),
            kind,
            table: table.unwrap_or_default(),
            at: section.at(),
        });
    }
    Ok(steps)
}

/// One table, and what to call it.
pub(super) struct Section<'t, 'i> {
    source: &'t Source,
    name: String,
    table: &'t DeTable<'i>,
    place: Range<usize>,
}

impl<'t, 'i> Section<'t, 'i> {
    pub(super) fn at(&self) -> Location {
        self.source.at(self.place.start)
    }

    fn invalid(&self, place: Range<usize>, message: impl Into<String>) -> ProjectError {
        ProjectError::Invalid {
            at: self.source.at(place.start),
            message: message.into(),
            hint: None,
        }
    }

    /// Every key must be one of these.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), ProjectError> {
        // The first in the file, not in the alphabet.
        let unknown = self.table.keys().filter(|key| !known.contains(&key.get_ref().as_ref()));
        match unknown.min_by_key(|key| key.span().start) {
            None => Ok(()),
            Some(key) => Err(ProjectError::UnknownKey {
                at: self.source.at(key.span().start),
                key: key.get_ref().to_string(),
                section: self.name.clone(),
                nearest: nearest(key.get_ref(), known.iter().copied()),
            }),
        }
    }

    fn get(&self, key: &str) -> Option<&'t Spanned<DeValue<'i>>> {
        self.table.get(key)
    }

    fn wrong(&self, key: &str, value: &Spanned<DeValue<'_>>, expected: &str) -> ProjectError {
        self.invalid(value.span(), format!("`{key}` in {} must be {expected}", self.name))
    }

    pub(super) fn table(&self, key: &str) -> Result<Option<Section<'t, 'i>>, ProjectError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match value.get_ref() {
            DeValue::Table(table) => Ok(Some(self.section(format!("[{key}]"), table, value.span()))),
            _ => Err(self.wrong(key, value, "a table")),
        }
    }

    pub(super) fn tables(&self, key: &str) -> Result<Vec<Section<'t, 'i>>, ProjectError> {
        let Some(value) = self.get(key) else {
            return Ok(Vec::new());
        };
        let not_tables = || ProjectError::Invalid {
            at: self.source.at(value.span().start),
            message: format!("`{key}` must be a list of tables"),
            hint: Some(format!("write [[{key}]] instead of [{key}]")),
        };
        let array: &'t DeArray<'i> = value.get_ref().as_array().ok_or_else(not_tables)?;
        let section = |item: &'t Spanned<DeValue<'i>>| {
            let table = item.get_ref().as_table().ok_or_else(not_tables)?;
            Ok(self.section(format!("[[{key}]]"), table, item.span()))
        };
        array.iter().map(section).collect()
    }

    fn section(&self, name: String, table: &'t DeTable<'i>, place: Range<usize>) -> Section<'t, 'i> {
        Section {
            source: self.source,
            name,
            table,
            place,
        }
    }

    pub(super) fn string(&self, key: &str) -> Result<Option<String>, ProjectError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match value.get_ref().as_str() {
            Some("") => Err(self.wrong(key, value, "a text that is not empty")),
            Some(text) => Ok(Some(text.to_owned())),
            None => Err(self.wrong(key, value, "a text")),
        }
    }

    /// A length of time, as it is written.
    pub(super) fn period(&self, key: &str) -> Result<Option<String>, ProjectError> {
        let text = self.string(key)?;
        if let (Some(text), Some(value)) = (&text, self.get(key))
            && !text
                .parse::<jiff::SignedDuration>()
                .is_ok_and(|period| period.is_positive())
        {
            return Err(self.wrong(key, value, "a length of time, such as \"30m\""));
        }
        Ok(text)
    }

    pub(super) fn required(&self, key: &str) -> Result<String, ProjectError> {
        let missing = || self.invalid(self.place.clone(), format!("{} has no `{key}`", self.name));
        self.string(key)?.ok_or_else(missing)
    }

    pub(super) fn strings(&self, key: &str) -> Result<Vec<String>, ProjectError> {
        let Some(value) = self.get(key) else {
            return Ok(Vec::new());
        };
        let wrong = || self.wrong(key, value, "a list of texts");
        let array = value.get_ref().as_array().ok_or_else(wrong)?;
        array
            .iter()
            .map(|item| item.get_ref().as_str().map(str::to_owned).ok_or_else(wrong))
            .collect()
    }

    /// A text, or a list of them, of which there has to be one.
    pub(super) fn texts(&self, key: &str) -> Result<Vec<String>, ProjectError> {
        if self.get(key).is_some_and(|value| value.get_ref().as_str().is_some()) {
            return Ok(self.string(key)?.into_iter().collect());
        }
        let Some(value) = self.get(key) else {
            return Err(self.invalid(self.place.clone(), format!("{} has no `{key}`", self.name)));
        };
        let texts = self.strings(key)?;
        match texts.is_empty() || texts.iter().any(String::is_empty) {
            true => Err(self.wrong(key, value, "a text, or a list with some")),
            false => Ok(texts),
        }
    }

    pub(super) fn keys(&self) -> Vec<String> {
        self.table.keys().map(|key| key.get_ref().to_string()).collect()
    }

    pub(super) fn switch(&self, key: &str) -> Result<Option<bool>, ProjectError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match value.get_ref().as_bool() {
            Some(switch) => Ok(Some(switch)),
            None => Err(self.wrong(key, value, "true or false")),
        }
    }

    pub(super) fn count(&self, key: &str) -> Result<Option<u64>, ProjectError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let number = value
            .get_ref()
            .as_integer()
            .and_then(|number| number.as_str().parse().ok());
        match number {
            Some(number) => Ok(Some(number)),
            None => Err(self.wrong(key, value, "a whole number, 0 or more")),
        }
    }

    fn parallelism(&self) -> Result<Option<u32>, ProjectError> {
        self.number_up_to("parallelism", 1000)
    }

    /// A whole number from 1 to `most`.
    pub(super) fn number_up_to(&self, key: &str, most: u32) -> Result<Option<u32>, ProjectError> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        let number = value
            .get_ref()
            .as_integer()
            .and_then(|number| number.as_str().parse().ok());
        match number {
            Some(number) if (1..=most).contains(&number) => Ok(Some(number)),
            _ => Err(self.wrong(key, value, &format!("a whole number from 1 to {most}"))),
        }
    }
}
