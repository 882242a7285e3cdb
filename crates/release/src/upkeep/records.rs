//! Every record of a store, project by project.

use std::collections::BTreeSet;

use crate::{Entry, Store, StoreError, keys};

/// How many records are read at once: manifests can be large.
const PAGE: usize = 200;

const PROJECTS: &str = "projects/";

/// The first key behind all projects: `0` comes right after `/` in the order of bytes.
const BEHIND: &str = "projects0";

/// Gives every record to `see`, page by page. A store that has to look through everything for a short prefix is asked
/// for the few records outside of projects only.
pub(super) fn each_page<E: From<StoreError>>(
    store: &dyn Store,
    see: &mut dyn FnMut(Vec<Entry>) -> Result<(), E>,
) -> Result<(), E> {
    let mut after: Option<String> = None;
    loop {
        let mut page = store.entries("", after.as_deref(), PAGE)?;
        let last = page.last().map(|entry| entry.key.clone());
        let is_outside = |key: &str| !key.starts_with(PROJECTS);
        let ends_outside = last.as_deref().is_some_and(is_outside);
        page.retain(|entry| is_outside(&entry.key));
        if !page.is_empty() {
            see(page)?;
        }
        after = match last {
            None => break,
            // Over the projects, once.
            Some(_) if !ends_outside => Some(BEHIND.to_owned()),
            last => last,
        };
    }
    for project in projects(store)? {
        let prefix = keys::in_project(&project, "");
        let mut after: Option<String> = None;
        loop {
            let page = store.entries(&prefix, after.as_deref(), PAGE)?;
            let Some(last) = page.last() else { break };
            after = Some(last.key.clone());
            see(page)?;
        }
    }
    Ok(())
}

/// The projects of a store, as they were named.
pub(super) fn projects(store: &dyn Store) -> Result<BTreeSet<String>, StoreError> {
    let mut projects = BTreeSet::new();
    let mut after: Option<String> = None;
    // One key of each: the next search begins behind everything of that project.
    loop {
        let page = store.list(PROJECTS, after.as_deref(), 1)?;
        let Some(key) = page.into_iter().next() else {
            return Ok(projects);
        };
        let segment = key[PROJECTS.len()..].split('/').next().unwrap_or_default().to_owned();
        after = Some(format!("{PROJECTS}{segment}0"));
        projects.insert(keys::unsegment(&segment));
    }
}
