//! What becomes of each object: its address, its resource, and whether that can be.

use std::collections::HashMap;

use super::layout::Layout;
use super::render::{RESOURCE_DEPTH, Style};
use super::splice::{MemberEdit, Splice, apply, edit_members};
use super::{Details, EditError, Editor};
use crate::address::{InstanceId, ResourceAddress};
use crate::instance::Instance;
use crate::json::{Span, decode_string, encode_string, members};
use crate::state::State;

/// What an entry of `resources` is about: all its objects have these in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Identity {
    pub(super) resource: ResourceAddress,
    /// None where the resource leaves it to its instances (OpenTofu).
    pub(super) provider: Option<String>,
}

/// An object of the edited state.
pub(super) struct Object<'e> {
    /// Its position in the state; none for grafts.
    pub(super) own: Option<usize>,
    /// The entry it stands in so far; none for grafts.
    pub(super) entry: Option<usize>,
    /// Which state its bytes come from.
    pub(super) source: &'e State,
    pub(super) instance: &'e Instance,
    /// Whether its bytes are those that stand at this place already.
    pub(super) in_place: bool,
    pub(super) id: InstanceId,
    pub(super) identity: Identity,
    pub(super) details: &'e Details,
}

/// Makes the edits.
pub(super) fn finish(editor: &Editor) -> Result<State, EditError> {
    let mut splices = root_splices(editor);
    if !editor.changes.is_empty() || !editor.grafts.is_empty() {
        let objects = objects(editor)?;
        refuse_collisions(editor, &objects)?;
        let renamed = renamed_configurations(editor);
        Layout::new(editor, &objects, &renamed).splices(&mut splices);
    }
    if splices.is_empty() {
        return Ok(editor.state.clone());
    }
    let text = editor.state.text();
    Ok(State::parse(apply(text, 0..text.len(), splices))?)
}

/// Serial and lineage.
fn root_splices(editor: &Editor) -> Vec<Splice> {
    let document = editor.state.document();
    let mut edits = Vec::new();
    let mut splices = Vec::new();
    if let (Some(serial), Some(span)) = (editor.serial, document.serial_span) {
        splices.push(Splice::new(span.range(), serial.to_string()));
    } else if let Some(serial) = editor.serial {
        let value = Some(serial.to_string());
        edits.push(MemberEdit {
            name: "serial",
            value,
            after: &["version", "terraform_version"],
        });
    }
    if let (Some(lineage), Some(span)) = (&editor.lineage, document.lineage_span) {
        splices.push(Splice::new(span.range(), encode_string(lineage)));
    } else if let Some(lineage) = &editor.lineage {
        let value = Some(encode_string(lineage));
        edits.push(MemberEdit {
            name: "lineage",
            value,
            after: &["version", "terraform_version", "serial"],
        });
    }
    // The edit below needs the array of resources to be there.
    if !editor.grafts.is_empty() && document.resources_span.is_none() {
        edits.push(resources(editor));
    }
    if !edits.is_empty() {
        splices.extend(edit_root(&editor.state, &edits));
    }
    // Setting what is set already is no edit.
    splices.retain(|splice| editor.state.text()[splice.range.clone()] != splice.text);
    splices
}

fn edit_root(state: &State, edits: &[MemberEdit]) -> Vec<Splice> {
    let (text, root, style) = (state.text(), state.document().root, Style::of(state));
    edit_members(text, root, &members(text, root), edits, style.colon, ("", ""))
}

/// Grafts into a state whose `resources` is missing or null write the whole array.
fn resources(editor: &Editor) -> MemberEdit {
    let style = Style::of(&editor.state);
    let objects = objects(editor).unwrap_or_default();
    let nothing = HashMap::new();
    let entries = Layout::new(editor, &objects, &nothing).new_entries(&style);
    let texts: Vec<String> = entries.into_iter().map(|(_, text)| text).collect();
    MemberEdit {
        name: "resources",
        value: Some(style.array(&texts, RESOURCE_DEPTH - 1)),
        after: &["version", "terraform_version", "serial", "lineage", "outputs"],
    }
}

/// The objects of the edited state that are not as they were, and all that share an entry with one of them.
fn objects(editor: &Editor) -> Result<Vec<Object<'_>>, EditError> {
    let document = editor.state.document();
    let mut touched: Vec<usize> = editor
        .changes
        .keys()
        .map(|&position| document.instances[position].entry as usize)
        .collect();
    touched.sort_unstable();
    touched.dedup();
    let untouched = Details::UNTOUCHED;
    let mut objects = Vec::new();
    for entry in touched {
        for position in document.entries[entry].members() {
            let own = &document.instances[position];
            let change = editor.changes.get(&position);
            if change.is_some_and(|change| change.removed) {
                continue;
            }
            let (source, instance) = match change.and_then(|change| change.body.as_ref()) {
                Some((source, position)) => (source, &source.document().instances[*position]),
                None => (&editor.state, own),
            };
            let mut id = own.id.clone();
            if let Some(to) = change.and_then(|change| change.to.as_ref()) {
                id.address = to.clone();
            }
            let details = change.map_or(untouched, |change| &change.details);
            let mut provider = header_provider(&editor.state, entry);
            if let Some(wanted) = details.provider.as_ref().filter(|_| !instance.own_provider) {
                provider = Some(wanted.clone());
            }
            let identity = Identity {
                resource: id.address.resource.clone(),
                provider,
            };
            let in_place = std::ptr::eq(instance, own);
            let (own, entry) = (Some(position), Some(entry));
            objects.push(Object {
                own,
                entry,
                source,
                instance,
                in_place,
                id,
                identity,
                details,
            });
        }
    }
    for graft in &editor.grafts {
        let instance = &graft.from.document().instances[graft.position];
        let mut provider = header_provider(&graft.from, instance.entry as usize);
        if let Some(wanted) = graft.details.provider.as_ref().filter(|_| !instance.own_provider) {
            provider = Some(wanted.clone());
        }
        let identity = Identity {
            resource: graft.id.address.resource.clone(),
            provider,
        };
        let (source, id, details) = (&graft.from, graft.id.clone(), &graft.details);
        objects.push(Object {
            own: None,
            entry: None,
            source,
            instance,
            in_place: false,
            id,
            identity,
            details,
        });
    }
    for object in &objects {
        let (from, to) = (&object.instance.id.address.resource, &object.id.address.resource);
        if (from.mode, &from.kind) != (to.mode, &to.kind) {
            let (from, to) = (object.instance.id.clone(), object.id.address.clone());
            return Err(EditError::TypeChange {
                from: Box::new(from),
                to: Box::new(to),
            });
        }
    }
    Ok(objects)
}

impl Details {
    const UNTOUCHED: &'static Details = &Details {
        provider: None,
        tainted: None,
    };
}

/// The provider that the entry itself names.
pub(super) fn header_provider(state: &State, entry: usize) -> Option<String> {
    let document = state.document();
    let entry = &document.entries[entry];
    match document.instances[entry.members()]
        .iter()
        .find(|instance| !instance.own_provider)
    {
        Some(instance) => Some(instance.provider().to_owned()),
        None => header(state, entry.span, "provider").filter(|provider| !provider.is_empty()),
    }
}

/// A string field of an entry.
pub(super) fn header(state: &State, entry: Span, field: &str) -> Option<String> {
    let text = state.text();
    let member = members(text, entry)
        .into_iter()
        .find(|member| member.name(text) == field)?;
    let raw = member.value.of(text);
    raw.starts_with('"').then(|| decode_string(raw))
}

/// What an entry is about.
pub(super) fn entry_identity(state: &State, entry: usize) -> Identity {
    let document = state.document();
    let span = document.entries[entry].span;
    let provider = header_provider(state, entry);
    if let Some(instance) = document.instances[document.entries[entry].members()].first() {
        return Identity {
            resource: instance.id.address.resource.clone(),
            provider,
        };
    }
    // Parsing saw that all of these are there and can be read.
    let field = |name| header(state, span, name).unwrap_or_default();
    let resource = ResourceAddress {
        module: field("module").parse().unwrap_or_default(),
        mode: field("mode").parse().unwrap_or(crate::address::Mode::Managed),
        kind: field("type"),
        name: field("name"),
    };
    Identity { resource, provider }
}

/// Refuses two objects at one address.
fn refuse_collisions(editor: &Editor, objects: &[Object<'_>]) -> Result<(), EditError> {
    let describe = |object: &Object<'_>| match object.entry {
        None => format!("{} of another state, grafted there", object.instance.id),
        Some(_) => match object.own.map(|own| &editor.state.document().instances[own].id) {
            Some(own) if *own != object.id => format!("{own}, moved there"),
            _ => format!("{}, which stays", object.id),
        },
    };
    let mut seen: HashMap<&InstanceId, &Object<'_>> = HashMap::new();
    let collision = |id: &InstanceId, first: String, second: String| EditError::Collision {
        id: Box::new(id.clone()),
        first,
        second,
    };
    for object in objects {
        if let Some(first) = seen.insert(&object.id, object) {
            return Err(collision(&object.id, describe(first), describe(object)));
        }
        let position = editor.state.position(&object.id);
        if let Some(position) = position
            && !editor.changes.contains_key(&position)
            && object.own != Some(position)
        {
            return Err(collision(
                &object.id,
                format!("{}, which stays", object.id),
                describe(object),
            ));
        }
    }
    Ok(())
}

/// The configuration addresses from which everything went to one other, as `dependencies` write them.
fn renamed_configurations(editor: &Editor) -> HashMap<String, String> {
    if !editor.changes.values().any(|change| change.to.is_some()) {
        return HashMap::new();
    }
    let mut went: HashMap<ResourceAddress, Option<ResourceAddress>> = HashMap::new();
    for (position, instance) in editor.state.document().instances.iter().enumerate() {
        let change = editor.changes.get(&position);
        if change.is_some_and(|change| change.removed) {
            continue;
        }
        let from = instance.id.address.resource.config();
        let to = change
            .and_then(|change| change.to.as_ref())
            .map_or_else(|| from.clone(), |to| to.resource.config());
        went.entry(from)
            .and_modify(|known| {
                if known.as_ref() != Some(&to) {
                    *known = None;
                }
            })
            .or_insert(Some(to));
    }
    went.into_iter()
        .filter_map(|(from, to)| to.filter(|to| *to != from).map(|to| (from.to_string(), to.to_string())))
        .collect()
}
