//! The plan in Terraform's own plan representation.

use serde_json::{Map, Value, json};

use crate::plan::{Change, Fate, InversePlan, Masked};

/// What the JSON holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ToJson {
    /// Kept objects too; without it only what changes or moves is listed.
    pub include_unchanged: bool,
}

/// The version of the plan representation that Terraform 1.5 to 1.16 write.
const FORMAT_VERSION: &str = "1.2";

impl InversePlan {
    /// The plan as `terraform show -json` would write it, what changes or moves alone, with
    /// `reversibility`, `reason`, `fate`, `patch` and `notes` in each change. Sensitive values are masked.
    pub fn to_json(&self) -> Value {
        self.to_json_with(ToJson::default())
    }

    /// As [`InversePlan::to_json`], kept objects too where asked for.
    pub fn to_json_with(&self, what: ToJson) -> Value {
        let changes: Vec<Value> = self
            .changes
            .iter()
            .filter(|change| what.include_unchanged || change.fate != Fate::Keep || change.is_moved())
            .map(change_to_json)
            .collect();
        let summary = self.summary();
        let mut fates = Map::new();
        for fate in Fate::ALL {
            fates.insert(fate.as_str().to_string(), summary.count(fate).into());
        }
        fates.insert("moved".to_string(), summary.moved.into());
        let reversibility: Map<String, Value> = summary
            .reversibility
            .iter()
            .map(|(each, count)| (each.as_str().to_string(), (*count).into()))
            .collect();
        json!({
            "format_version": FORMAT_VERSION,
            "terraform_version": self.terraform_version,
            "resource_changes": changes,
            "summary": { "fates": fates, "reversibility": reversibility, "worst": self.worst().as_str() },
            "orphaned_providers": self.orphaned_providers.iter().map(|orphan| json!({
                "address": orphan.instance.address.to_string(),
                "deposed": orphan.instance.deposed,
                "provider": orphan.provider,
            })).collect::<Vec<_>>(),
            "warnings": self.warnings,
        })
    }
}

fn change_to_json(change: &Change) -> Value {
    let address = change.address();
    let resource = &address.resource;
    let mut object = Map::new();
    object.insert("address".into(), address.to_string().into());
    if let Some(previous) = change.previous_address() {
        object.insert("previous_address".into(), previous.to_string().into());
    }
    if !resource.module.is_root() {
        object.insert("module_address".into(), resource.module.to_string().into());
    }
    object.insert("mode".into(), resource.mode.as_str().into());
    object.insert("type".into(), resource.kind.clone().into());
    object.insert("name".into(), resource.name.clone().into());
    match &address.key {
        Some(rollback_state::Key::Int(index)) => object.insert("index".into(), (*index).into()),
        Some(rollback_state::Key::Str(key)) => object.insert("index".into(), key.clone().into()),
        None => None,
    };
    object.insert("provider_name".into(), provider_name(&change.provider).into());
    if let Some(deposed) = change.from.as_ref().and_then(|from| from.deposed.clone()) {
        object.insert("deposed".into(), deposed.into());
    }
    object.insert("change".into(), change_body(change));
    if let Some(reason) = action_reason(change) {
        object.insert("action_reason".into(), reason.into());
    }
    object.insert("fate".into(), change.fate.as_str().into());
    object.insert("reversibility".into(), change.reversibility.as_str().into());
    object.insert("reason".into(), change.reason.clone().into());
    object.insert(
        "identity".into(),
        serde_json::to_value(change.identity).unwrap_or_default(),
    );
    object.insert("patch".into(), serde_json::to_value(&change.patch).unwrap_or_default());
    object.insert("notes".into(), change.notes.clone().into());
    if !change.configured.is_empty() || !change.computed.is_empty() {
        object.insert("configured".into(), change.configured.clone().into());
        object.insert("computed".into(), change.computed.clone().into());
    }
    if let Some(parked) = &change.parked {
        object.insert("parked".into(), parked.to_string().into());
    }
    for (name, text) in [
        ("id", &change.id),
        ("protected", &change.protected),
        ("hint", &change.hint),
        ("holds", &change.holds),
    ] {
        if let Some(text) = text {
            object.insert(name.into(), text.clone().into());
        }
    }
    Value::Object(object)
}

/// The actions as Terraform names them.
///
/// An impossible change has those that Terraform would plan, so that a reader who knows nothing of
/// fates is not told that nothing happens.
fn actions(change: &Change) -> &'static [&'static str] {
    match change.fate {
        Fate::Keep | Fate::Move => &["no-op"],
        Fate::Update => &["update"],
        Fate::Replace => &["delete", "create"],
        Fate::Create => &["create"],
        Fate::Destroy => &["delete"],
        Fate::Forget => &["forget"],
        Fate::Adopt if change.configured.is_empty() => &["no-op"],
        Fate::Adopt => &["update"],
        Fate::Impossible => match (&change.from, &change.to) {
            (Some(_), None) => &["delete"],
            (None, _) => &["create"],
            (Some(_), Some(_)) if change.record.replaces => &["delete", "create"],
            (Some(_), Some(_)) => &["update"],
        },
    }
}

fn change_body(change: &Change) -> Value {
    let mut body = Map::new();
    body.insert("actions".into(), actions(change).into());
    let side = |masked: &Option<Masked>| match masked {
        Some(Masked { value, marks }) => (value.clone(), marks.clone()),
        None => (Value::Null, Value::Bool(false)),
    };
    let (before, before_sensitive) = side(&change.before);
    let (after, after_sensitive) = side(&change.after);
    body.insert("before".into(), before);
    body.insert("after".into(), after);
    body.insert("before_sensitive".into(), before_sensitive);
    body.insert("after_sensitive".into(), after_sensitive);
    if change.fate == Fate::Adopt {
        body.insert("importing".into(), json!({ "id": change.id }));
    }
    Value::Object(body)
}

/// Why, in Terraform's own words where it has one.
fn action_reason(change: &Change) -> Option<&'static str> {
    let deposed = change.from.as_ref().is_some_and(|from| from.deposed.is_some());
    match change.fate {
        Fate::Replace if change.record.tainted => Some("replace_because_tainted"),
        Fate::Replace => Some("replace_because_cannot_update"),
        Fate::Destroy if !deposed => Some("delete_because_no_resource_config"),
        _ => None,
    }
}

/// `registry.terraform.io/hashicorp/aws` of `provider["registry.terraform.io/hashicorp/aws"].west`.
pub(crate) fn provider_name(provider: &str) -> &str {
    provider
        .split_once("provider[\"")
        .and_then(|(_, rest)| rest.split_once("\"]"))
        .map_or(provider, |(name, _)| name)
}
