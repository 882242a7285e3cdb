//! The fate of an object that is in both states.

use rollback_config::Declaration;
use rollback_state::{Address, Instance, Key};
use serde_json::{Map, Value};

use crate::attributes::{self, Differences, Translation, looks_computed};
use crate::context::{Context, quoted_list};
use crate::knowledge::Rule;
use crate::matching::Pair;
use crate::plan::{Change, Fate, Identity, Reversibility};
use crate::redact::PathTree;
use crate::rules;

/// A pair with its attributes read, for the few whose bytes differ.
struct Read {
    before: Map<String, Value>,
    after: Map<String, Value>,
}

/// The changes of all pairs.
pub(crate) fn pairs(context: &Context<'_>, pairs: &[Pair<'_>]) -> Vec<Change> {
    let read: Vec<Option<Read>> = pairs
        .iter()
        .map(|pair| {
            (!pair.identical).then(|| Read {
                before: pair.current.attributes(context.input.current),
                after: context.target_attributes(pair.target),
            })
        })
        .collect();
    let translation = translate(context, pairs, &read);
    pairs
        .iter()
        .zip(&read)
        .map(|(pair, read)| judge(context, pair, read.as_ref(), &translation))
        .collect()
}

/// What was replaced since with the same arguments is kept, and what refers to it by its id is right
/// to do so: finds the ids of the target that stand for other ids now.
///
/// One such object may refer to another, so this goes on until nothing is found any more.
fn translate(context: &Context<'_>, pairs: &[Pair<'_>], read: &[Option<Read>]) -> Translation {
    const ROUNDS: usize = 16;
    let mut translation = Translation::new();
    let mut open: Vec<usize> = (0..pairs.len()).filter(|each| !pairs[*each].same_object).collect();
    for _ in 0..ROUNDS {
        let before = open.len();
        open.retain(|position| {
            let (pair, Some(read)) = (&pairs[*position], &read[*position]) else {
                return false;
            };
            let names = attributes::differing_names(&read.before, &read.after, &translation);
            let (configured, _) = context.split(pair, &pair.target.address().clone(), &names);
            if !configured.is_empty() || pair.current.tainted() {
                return true;
            }
            for name in names {
                if let (Some(Value::String(now)), Some(Value::String(then))) =
                    (read.before.get(&name), read.after.get(&name))
                    && then.len() >= 4
                {
                    translation.insert(then.clone(), now.clone());
                }
            }
            false
        });
        if open.len() == before {
            break;
        }
    }
    translation
}

fn judge(context: &Context<'_>, pair: &Pair<'_>, read: Option<&Read>, translation: &Translation) -> Change {
    let from = pair.current.id().clone();
    let to = context.placed(pair.target.address());
    if let Some(configuration) = context.input.target_config
        && configuration.declaration(&to) == Declaration::Absent
    {
        let mut change = context.destroy(pair.current, "The target's configuration does not declare it.");
        change.identity = pair.identity;
        return change;
    }
    let empty = Map::new();
    let (before, after) = read.map_or((&empty, &empty), |read| (&read.before, &read.after));
    let kind = pair.current.address().resource.kind.as_str();
    let sensitive = read.map(|_| context.sensitive(Some(pair.current), Some(pair.target)));
    let Differences { patch, names } = match &sensitive {
        Some(tree) => attributes::differences(&context.redactor, kind, tree, before, after, translation),
        None => Differences::default(),
    };
    let (configured, computed) = context.split(pair, &to, &names);

    let mut change = Change::new(Some(from), Some(to), Fate::Keep, String::new());
    change.identity = pair.identity;
    change.provider = pair.target.provider().to_string();
    let is_stand_in = pair.target.provider() != pair.current.provider();
    change.record.provider = is_stand_in.then(|| pair.target.provider().to_string());
    decide(context, pair, &mut change, &configured, &computed);
    settle_schema(pair, &mut change);
    if change.fate != Fate::Keep || !computed.is_empty() {
        change.configured = configured;
        change.computed = computed;
        change.patch = patch;
        change.id = context.shown_id(pair.current);
    }
    if matches!(change.fate, Fate::Update | Fate::Replace) {
        // Where the bytes are the same, both sides are the current ones.
        let whole = read.is_none().then(|| pair.current.attributes(context.input.current));
        let (before, after) = whole.as_ref().map_or((before, after), |whole| (whole, whole));
        let tree = sensitive.unwrap_or_else(|| context.sensitive(Some(pair.current), Some(pair.target)));
        let mask = |side: &Map<String, Value>| context.redactor.mask_object(kind, &tree, &Value::Object(side.clone()));
        change.before = Some(mask(before));
        change.after = Some(mask(after));
        let configured = change.configured.clone();
        rules::apply(context.input.knowledge, kind, &mut change, &configured, before, after);
        if change.fate == Fate::Replace || change.record.replaces {
            context.protect(&mut change, Reversibility::DataLoss);
            let at = change.to.clone();
            context.note_lost_provisioner(&mut change, at.as_ref());
        }
    }
    change
}

fn decide(context: &Context<'_>, pair: &Pair<'_>, change: &mut Change, configured: &[String], computed: &[String]) {
    let place = where_it_goes(pair, change);
    let kind = change.address().resource.kind.clone();
    let knowledge = context.input.knowledge;
    if pair.current.tainted() && (!pair.same_object || pair.target.tainted()) {
        change.fate = Fate::Replace;
        change.record.tainted = true;
        change.reason = if pair.same_object {
            "It is marked tainted, as it was at the target: Terraform makes it anew.".to_string()
        } else {
            "It was replaced since, and the new object is marked tainted: Terraform makes it anew.".to_string()
        };
        return;
    }
    if pair.current.tainted() {
        change.record.lift_taint = true;
        change
            .notes
            .push("It was marked tainted since; the mark is lifted.".to_string());
    }
    let moves = change.is_moved();
    if !pair.same_object {
        let in_place = |name: &String| knowledge.has_rule(&kind, name, Rule::InPlace);
        if configured.is_empty() {
            change.fate = if moves { Fate::Move } else { Fate::Keep };
            change.reason = place.unwrap_or_else(|| "It has the arguments that it had at the target.".to_string());
            change
                .notes
                .push("It is another object than at the target, replaced since, with the same arguments.".to_string());
        } else if configured.iter().all(in_place) {
            change.fate = Fate::Update;
            change.reason = format!(
                "{} changed since and {} back{}.",
                quoted_list(configured),
                go(configured),
                tail(&place)
            );
            change
                .notes
                .push("It is another object than at the target, replaced since.".to_string());
        } else {
            change.fate = Fate::Replace;
            change.reason = format!(
                "It was replaced since by another object with another {}; it is made anew as it was{}.",
                quoted_list(configured),
                tail(&place)
            );
        }
        return;
    }
    if !configured.is_empty() {
        let replacing: Vec<String> = configured
            .iter()
            .filter(|name| knowledge.has_rule(&kind, name, Rule::ReplaceOnChange))
            .cloned()
            .collect();
        if replacing.is_empty() {
            change.fate = Fate::Update;
            change.reason = format!(
                "{} changed since and {} back{}.",
                quoted_list(configured),
                go(configured),
                tail(&place)
            );
        } else {
            change.fate = Fate::Replace;
            change.reason = format!(
                "{} changed since and cannot change back in place: it is made anew.",
                quoted_list(&replacing)
            );
        }
        return;
    }
    change.fate = if moves { Fate::Move } else { Fate::Keep };
    change.reason = place.unwrap_or_else(|| "It is as it was at the target.".to_string());
    if !computed.is_empty() {
        change.notes.push(format!(
            "Only what the provider computes differs: {}.",
            quoted_list(computed)
        ));
    }
}

fn go(names: &[String]) -> &'static str {
    if names.len() == 1 { "is set" } else { "are set" }
}

fn tail(place: &Option<String>) -> &'static str {
    if place.is_some() {
        ", at the address that it had"
    } else {
        ""
    }
}

/// Why the address changes; none where it does not.
fn where_it_goes(pair: &Pair<'_>, change: &Change) -> Option<String> {
    let previous = change.previous_address()?;
    Some(match (&pair.moved, pair.identity) {
        (Some(at), Identity::Chain) => {
            format!("A moved block ({at}) renamed it to {previous} since; it goes back to the address that it had.")
        }
        (_, Identity::Chain) => format!("It was renamed to {previous} since; it goes back to the address that it had."),
        _ => format!("The same object lives at {previous} now; it goes back to the address that it had."),
    })
}

/// The target's provider cannot read what a newer schema wrote (`Resource instance managed by newer provider version`).
fn settle_schema(pair: &Pair<'_>, change: &mut Change) {
    if pair.current.schema_version() <= pair.target.schema_version() {
        return;
    }
    let versions = format!(
        "version {} now, {} at the target",
        pair.current.schema_version(),
        pair.target.schema_version()
    );
    if pair.same_object && (pair.current.tainted() || !pair.target.tainted()) {
        change.record.take_body = true;
        change.record.counterpart = Some(pair.target.id().clone());
        change.notes.push(format!(
            "A newer provider wrote its record (schema {versions}); the target's own record of the same object is used."
        ));
    } else {
        change.notes.push(format!(
            "A newer provider wrote its record (schema {versions}); the target's provider may refuse to read it."
        ));
    }
}

impl Context<'_> {
    /// Which differing attributes the target's configuration sets, or has no more, and which the provider computes.
    ///
    /// Without the configuration names decide for an object that was replaced, and for any other
    /// every difference counts as set.
    fn split(&self, pair: &Pair<'_>, to: &Address, names: &[String]) -> (Vec<String>, Vec<String>) {
        let kind = to.resource.kind.as_str();
        let knowledge = self.input.knowledge;
        let block = self
            .input
            .target_config
            .and_then(|configuration| configuration.resource(&to.resource));
        // An argument that only today's configuration sets goes back to what it was without.
        let today = self
            .current_config()
            .and_then(|configuration| configuration.resource(&pair.current.address().resource));
        let set_since = |name: &str| today.is_some_and(|today| today.attributes.contains_key(name));
        names.iter().cloned().partition(|name| match block {
            Some(block) => {
                // Tags that the provider adds to every object differ alone when its block changed.
                let default = matches!(name.as_str(), "tags_all" | "effective_labels" | "terraform_labels")
                    && !names.iter().any(|name| name == "tags" || name == "labels");
                let ignored = block
                    .ignore_changes
                    .iter()
                    .any(|ignored| ignored == "all" || root_of(ignored) == name);
                (default || block.attributes.contains_key(name) || set_since(name)) && !ignored
            }
            None if pair.same_object => true,
            None => !looks_computed(name) && !knowledge.has_rule(kind, name, Rule::Computed),
        })
    }

    /// Where Terraform will have the object: it moves `x[0]` and `x` into one another by itself when
    /// `count` comes or goes.
    pub(crate) fn placed(&self, address: &Address) -> Address {
        let Some(configuration) = self.input.target_config else {
            return address.clone();
        };
        if configuration.declaration(address) != Declaration::Absent {
            return address.clone();
        }
        let other = match address.key {
            Some(Key::Int(0)) => address.resource.instance(None),
            None => address.resource.instance(Some(Key::Int(0))),
            _ => return address.clone(),
        };
        let declared = configuration.declaration(&other) != Declaration::Absent;
        if declared { other } else { address.clone() }
    }

    /// The paths that either record marks as sensitive.
    pub(crate) fn sensitive(&self, current: Option<&Instance>, target: Option<&Instance>) -> PathTree {
        let mut paths = current
            .map(|instance| instance.sensitive_paths(self.input.current))
            .unwrap_or_default();
        if let (Some(instance), Some(state)) = (target, self.input.target) {
            paths.extend(instance.sensitive_paths(state));
        }
        PathTree::new(&paths)
    }

    fn target_attributes(&self, instance: &Instance) -> Map<String, Value> {
        self.input
            .target
            .map(|state| instance.attributes(state))
            .unwrap_or_default()
    }
}

/// `tags` of `tags["x"]` and of `tags.x`.
fn root_of(path: &str) -> &str {
    path.split(['.', '[']).next().unwrap_or(path)
}
