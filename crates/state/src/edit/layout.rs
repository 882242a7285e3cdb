//! Which entry of `resources` each object goes to, and the splices that bring it there.

use std::collections::HashMap;

use super::Editor;
use super::plan::{Identity, Object, entry_identity, header};
use super::render::{INSTANCE_DEPTH, RESOURCE_DEPTH, Style};
use super::splice::{List, MemberEdit, Splice, apply, edit_members};
use crate::address::{InstanceId, Key, ResourceAddress};
use crate::instance::Instance;
use crate::json::{Span, decode_string, encode_string, members};
use crate::state::State;

/// Which entry each object goes to.
pub(super) struct Layout<'e> {
    editor: &'e Editor,
    objects: &'e [Object<'e>],
    renamed: &'e HashMap<String, String>,
    /// For each object its entry; none for a new one.
    places: Vec<Option<usize>>,
    /// Entries whose header changes, because all that is left of them goes to one other address.
    headers: HashMap<usize, Identity>,
}

impl<'e> Layout<'e> {
    pub(super) fn new(editor: &'e Editor, objects: &'e [Object<'e>], renamed: &'e HashMap<String, String>) -> Self {
        let state = &editor.state;
        let mut by_entry: HashMap<usize, Vec<&Object<'_>>> = HashMap::new();
        for object in objects {
            if let Some(entry) = object.entry {
                by_entry.entry(entry).or_default().push(object);
            }
        }
        let touched = |entry: usize| {
            state.document().entries[entry]
                .members()
                .any(|position| editor.changes.contains_key(&position))
        };
        let identities: Vec<Identity> = (0..state.document().entries.len())
            .map(|entry| entry_identity(state, entry))
            .collect();
        // First come the entries that keep something; then those that can be renamed; then those that end up empty.
        let mut claimed: HashMap<&Identity, usize> = HashMap::new();
        let mut emptied = Vec::new();
        for (entry, identity) in identities.iter().enumerate() {
            let stays = |object: &&&Object<'_>| object.identity == *identity;
            if touched(entry)
                && by_entry
                    .get(&entry)
                    .is_none_or(|objects| objects.iter().find(stays).is_none())
            {
                emptied.push(entry);
            } else {
                claimed.entry(identity).or_insert(entry);
            }
        }
        let mut headers = HashMap::new();
        for &entry in &emptied {
            if let Some([first, rest @ ..]) = by_entry.get(&entry).map(Vec::as_slice)
                && rest.iter().all(|object| object.identity == first.identity)
                && !claimed.contains_key(&first.identity)
            {
                claimed.insert(&first.identity, entry);
                headers.insert(entry, first.identity.clone());
            }
        }
        for &entry in emptied.iter().filter(|entry| !headers.contains_key(*entry)) {
            claimed.entry(&identities[entry]).or_insert(entry);
        }
        let places = objects
            .iter()
            .map(|object| match object.entry {
                Some(entry) if identities[entry] == object.identity && !headers.contains_key(&entry) => Some(entry),
                _ => claimed.get(&object.identity).copied(),
            })
            .collect();
        Self {
            editor,
            objects,
            renamed,
            places,
            headers,
        }
    }

    pub(super) fn splices(&self, splices: &mut Vec<Splice>) {
        let state = &self.editor.state;
        let document = state.document();
        let style = Style::of(state);
        let mut arrivals: HashMap<usize, Vec<&Object<'_>>> = HashMap::new();
        let mut leaves = vec![false; document.instances.len()];
        for position in self.editor.changes.keys() {
            leaves[*position] = true;
        }
        for (object, place) in self.objects.iter().zip(&self.places) {
            if object.entry.is_some() && *place == object.entry {
                if let Some(own) = object.own {
                    leaves[own] = false;
                    self.in_place_splices(object, own, &style, splices);
                }
            } else if let Some(place) = place {
                arrivals.entry(*place).or_default().push(object);
            }
        }
        let mut gone = vec![false; document.entries.len()];
        for (index, entry) in document.entries.iter().enumerate() {
            let arrived = arrivals.remove(&index).unwrap_or_default();
            let members = entry.members();
            if arrived.is_empty() && !members.is_empty() && members.clone().all(|position| leaves[position]) {
                gone[index] = true;
                continue;
            }
            if let Some(identity) = self.headers.get(&index) {
                splices.extend(header_splices(state, entry.span, identity, &style));
            }
            if !arrived.is_empty() || members.clone().any(|position| leaves[position]) {
                self.edit_instances(index, &leaves, arrived, &style, splices);
            }
        }
        for dependent in self.untouched_dependents() {
            splices.extend(self.dependency_splices(dependent, state.text()));
        }
        if let Some(container) = document.resources_span {
            let inserted = self.new_entries(&style);
            if gone.contains(&true) || !inserted.is_empty() {
                let elements: Vec<Span> = document.entries.iter().map(|entry| entry.span).collect();
                let (before, after) = (style.before(RESOURCE_DEPTH), style.before(RESOURCE_DEPTH - 1));
                let layout = (before.as_str(), after.as_str());
                let list = List {
                    container,
                    elements: &elements,
                    removed: &gone,
                    inserted: &inserted,
                    layout,
                };
                splices.extend(list.splices(state.text()));
            }
        }
    }

    /// The splices for an object that stays where it is in the file.
    fn in_place_splices(&self, object: &Object<'_>, own: usize, style: &Style, splices: &mut Vec<Splice>) {
        let span = self.editor.state.document().instances[own].span;
        if object.in_place {
            splices.extend(self.body_splices(object, style));
        } else {
            splices.push(Splice::new(span.range(), self.body(object, style)));
        }
    }

    /// The splices within an object's bytes: key, deposed key, taint, own provider, dependencies.
    fn body_splices(&self, object: &Object<'_>, style: &Style) -> Vec<Splice> {
        let Object { source, instance, .. } = object;
        let mut edits = Vec::new();
        if instance.id.address.key != object.id.address.key {
            let value = object.id.address.key.as_ref().map(|key| match key {
                Key::Int(number) => number.to_string(),
                Key::Str(text) => encode_string(text),
            });
            edits.push(MemberEdit {
                name: "index_key",
                value,
                after: &[],
            });
        }
        if let Some(tainted) = object.details.tainted.filter(|tainted| *tainted != instance.tainted) {
            let value = tainted.then(|| "\"tainted\"".to_owned());
            edits.push(MemberEdit {
                name: "status",
                value,
                after: &["index_key"],
            });
        }
        if instance.id.deposed != object.id.deposed {
            let value = object.id.deposed.as_deref().map(encode_string);
            edits.push(MemberEdit {
                name: "deposed",
                value,
                after: &["index_key", "status"],
            });
        }
        let text = source.text();
        let found = members(text, instance.span);
        if let Some(provider) = object.details.provider.as_ref().filter(|_| instance.own_provider) {
            let released = found.iter().any(|member| member.name(text) == "provider");
            let name = if released { "provider" } else { "instance_provider" };
            edits.push(MemberEdit {
                name,
                value: Some(encode_string(provider)),
                after: &[],
            });
        }
        let colon = if std::ptr::eq(*source, &self.editor.state) {
            style.colon
        } else {
            Style::of(source).colon
        };
        let (before, after) = (style.before(INSTANCE_DEPTH + 1), style.before(INSTANCE_DEPTH));
        let layout = (before.as_str(), after.as_str());
        let mut splices = edit_members(text, instance.span, &found, &edits, colon, layout);
        if std::ptr::eq(*source, &self.editor.state) {
            splices.extend(self.dependency_splices(instance, text));
        }
        splices
    }

    /// An object's whole text for another place.
    fn body(&self, object: &Object<'_>, style: &Style) -> String {
        let text = object.source.text();
        let body = apply(text, object.instance.span.range(), self.body_splices(object, style));
        if std::ptr::eq(object.source, &self.editor.state) || Style::of(object.source) == *style {
            body
        } else {
            style.lay_out(&body, INSTANCE_DEPTH)
        }
    }

    fn dependency_splices(&self, instance: &Instance, text: &str) -> Vec<Splice> {
        if self.renamed.is_empty() {
            return Vec::new();
        }
        let rename = |span: Span| {
            let renamed = self.renamed.get(&decode_string(span.of(text)))?;
            Some(Splice::new(span.range(), encode_string(renamed)))
        };
        instance.dependency_spans(text).into_iter().filter_map(rename).collect()
    }

    /// The objects of entries that no edit concerns, whose dependencies may still be renamed.
    fn untouched_dependents(&self) -> impl Iterator<Item = &'e Instance> {
        let document = self.editor.state.document();
        let touched: std::collections::HashSet<usize> = self.objects.iter().filter_map(|object| object.entry).collect();
        let renames = !self.renamed.is_empty();
        document
            .instances
            .iter()
            .enumerate()
            .filter(move |(position, instance)| {
                renames && !touched.contains(&(instance.entry as usize)) && !self.editor.changes.contains_key(position)
            })
            .map(|(_, instance)| instance)
            .collect::<Vec<_>>()
            .into_iter()
    }

    /// Takes instances out of an entry's array and puts others in, in Terraform's order.
    fn edit_instances(
        &self,
        index: usize,
        leaves: &[bool],
        mut arrived: Vec<&Object<'_>>,
        style: &Style,
        splices: &mut Vec<Splice>,
    ) {
        let state = &self.editor.state;
        let entry = &state.document().entries[index];
        let own = &state.document().instances[entry.members()];
        arrived.sort_by(|one, other| one.id.cmp(&other.id));
        let order = |id: &InstanceId| (id.address.key.clone(), id.deposed.clone());
        let place = |object: &&Object<'_>| {
            let after = |instance: &Instance| order(&instance.id) > order(&object.id);
            let before = own.iter().position(after).unwrap_or(own.len());
            (before, self.body(object, style))
        };
        let mut inserted: Vec<(usize, String)> = arrived.iter().map(place).collect();
        inserted.sort_by_key(|(before, _)| *before);
        let elements: Vec<Span> = own.iter().map(|instance| instance.span).collect();
        let (before, after) = (style.before(INSTANCE_DEPTH), style.before(INSTANCE_DEPTH - 1));
        match entry.instances_span {
            Some(container) => {
                let removed = &leaves[entry.members()];
                let layout = (before.as_str(), after.as_str());
                let list = List {
                    container,
                    elements: &elements,
                    removed,
                    inserted: &inserted,
                    layout,
                };
                splices.extend(list.splices(state.text()));
            }
            None => {
                let texts: Vec<String> = inserted.into_iter().map(|(_, text)| text).collect();
                let value = Some(style.array(&texts, INSTANCE_DEPTH - 1));
                let after = &["module", "mode", "type", "name", "each", "provider"];
                let edits = [MemberEdit {
                    name: "instances",
                    value,
                    after,
                }];
                let found = members(state.text(), entry.span);
                splices.extend(edit_members(
                    state.text(),
                    entry.span,
                    &found,
                    &edits,
                    style.colon,
                    ("", ""),
                ));
            }
        }
    }

    /// The entries for objects that no entry takes, each with the position of the entry that it goes before.
    pub(super) fn new_entries(&self, style: &Style) -> Vec<(usize, String)> {
        let mut groups: Vec<(&Identity, Vec<&Object<'_>>)> = Vec::new();
        let mut known: HashMap<&Identity, usize> = HashMap::new();
        for (object, place) in self.objects.iter().zip(&self.places) {
            if place.is_none() {
                let group = *known.entry(&object.identity).or_insert_with(|| {
                    groups.push((&object.identity, Vec::new()));
                    groups.len() - 1
                });
                groups[group].1.push(object);
            }
        }
        if groups.is_empty() {
            return Vec::new();
        }
        let state = &self.editor.state;
        let entries: Vec<_> = (0..state.resource_count())
            .map(|entry| file_order(&entry_identity(state, entry).resource))
            .collect();
        let sorted = entries.is_sorted();
        groups.sort_by_cached_key(|(identity, _)| file_order(&identity.resource));
        groups
            .into_iter()
            .map(|(identity, mut objects)| {
                objects.sort_by(|one, other| one.id.cmp(&other.id));
                let bodies: Vec<String> = objects.iter().map(|object| self.body(object, style)).collect();
                let order = file_order(&identity.resource);
                let before = if sorted {
                    entries.partition_point(|entry| *entry <= order)
                } else {
                    entries.len()
                };
                (before, new_entry(identity, &bodies, style))
            })
            .collect()
    }
}

/// What Terraform sorts `resources` by when it writes a state (`sortResourcesV4`): the words as they stand there.
fn file_order(resource: &ResourceAddress) -> (String, &'static str, String, String) {
    (
        resource.module.to_string(),
        resource.mode.as_str(),
        resource.kind.clone(),
        resource.name.clone(),
    )
}

fn new_entry(identity: &Identity, bodies: &[String], style: &Style) -> String {
    let mut fields = Vec::new();
    if !identity.resource.module.is_root() {
        fields.push(("module", encode_string(&identity.resource.module.to_string())));
    }
    fields.push(("mode", encode_string(identity.resource.mode.as_str())));
    fields.push(("type", encode_string(&identity.resource.kind)));
    fields.push(("name", encode_string(&identity.resource.name)));
    if let Some(provider) = &identity.provider {
        fields.push(("provider", encode_string(provider)));
    }
    fields.push(("instances", style.array(bodies, RESOURCE_DEPTH + 1)));
    style.object(&fields, RESOURCE_DEPTH)
}

/// Makes an entry one about another resource; fields that did not change keep their bytes.
fn header_splices(state: &State, entry: Span, identity: &Identity, style: &Style) -> Vec<Splice> {
    let text = state.text();
    let found = members(text, entry);
    let mut edits = Vec::new();
    let mut set = |name: &'static str, value: Option<String>, after: &'static [&'static str]| {
        let current = header(state, entry, name).filter(|current| !current.is_empty());
        if current != value {
            edits.push(MemberEdit {
                name,
                value: value.as_deref().map(encode_string),
                after,
            });
        }
    };
    let resource = &identity.resource;
    set(
        "module",
        Some(resource.module.to_string()).filter(|module| !module.is_empty()),
        &[],
    );
    set("mode", Some(resource.mode.as_str().to_owned()), &["module"]);
    set("type", Some(resource.kind.clone()), &["module", "mode"]);
    set("name", Some(resource.name.clone()), &["module", "mode", "type"]);
    set(
        "provider",
        identity.provider.clone(),
        &["module", "mode", "type", "name", "each"],
    );
    edit_members(text, entry, &found, &edits, style.colon, ("", ""))
}
