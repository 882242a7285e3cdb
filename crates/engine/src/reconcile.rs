//! Terraform's real plan held against the inverse plan: what will happen to each object, whether the inverse plan
//! explains it, and what therefore needs a yes of its own.

mod guards;
pub mod outputs;

use std::cell::LazyCell;
use std::collections::{BTreeMap, BTreeSet};

use rollback_config::Configuration;
use rollback_inverse::redact::Redactor;
use rollback_inverse::{Change, Fate, InversePlan, Knowledge, Reversibility};
use rollback_state::{Address, InstanceId, State};
use rollback_terraform::{Action, Plan, ResourceChange};
use serde::{Deserialize, Serialize};

use crate::differences::{self, Difference};
use crate::drift::{self, controller};
use crate::reconcile::outputs::OutputChange;

/// What happens to one object.
#[derive(Clone, Debug, Serialize)]
pub struct Item {
    pub address: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous_address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deposed: Option<String>,
    pub kind: String,
    pub provider: String,
    pub fate: Fate,
    /// Terraform's words for it.
    pub actions: Vec<String>,
    pub reversibility: Reversibility,
    pub reason: String,
    /// What changes: a path and, where it is no secret, from what to what.
    pub changes: Vec<String>,
    pub notes: Vec<String>,
    /// The identity that is taken in again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub importing: Option<String>,
    /// Whether the two releases tell why; the rest is drift or a surprise.
    pub explained: bool,
}

/// Why `--auto-approve` alone does not suffice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Guard {
    /// Data goes for good: `--accept-data-loss ADDRESS`.
    DataLoss,
    /// Terraform would do what the releases do not explain: `--accept-change ADDRESS`.
    Surprise,
    /// The configuration brings a value that the target never had: `--accept-change ADDRESS`, or the variable.
    Difference,
    /// It cannot be done as it stands: `--accept-change ADDRESS` tries all the same.
    Impossible,
}

/// One refusal.
#[derive(Clone, Debug, Serialize)]
pub struct Refusal {
    pub guard: Guard,
    pub address: String,
    pub message: String,
}

/// Something outside of Terraform changed an object since its state was written.
#[derive(Clone, Debug, Serialize)]
pub struct Drift {
    pub address: String,
    /// `update` or `delete`.
    pub actions: Vec<String>,
    pub attributes: Vec<String>,
    /// Who moves it all the time, where that is known: then it is nobody's mistake.
    pub controller: Option<String>,
}

/// The two plans as one.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Reconciled {
    pub items: Vec<Item>,
    pub outputs: Vec<OutputChange>,
    pub drift: Vec<Drift>,
    pub refusals: Vec<Refusal>,
    pub warnings: Vec<String>,
}

impl Reconciled {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty() && self.outputs.is_empty()
    }
}

/// What reconciling needs to know.
pub struct Input<'a> {
    pub inverse: &'a InversePlan,
    pub knowledge: &'a Knowledge,
    /// Terraform's plan of the target's configuration over the joined state; none where terraform was not asked.
    pub plan: Option<&'a Plan>,
    pub target: Option<&'a State>,
    pub target_config: Option<&'a Configuration>,
    /// The configuration that is deployed now.
    pub deployed_config: Option<&'a Configuration>,
    pub redactor: &'a Redactor,
    /// `-target` addresses; empty for all.
    pub targets: &'a [String],
    /// Root variables that were given from outside when the target was applied, and have another value now.
    pub missing: &'a BTreeSet<String>,
}

/// Holds the plans against each other. Without a real plan the inverse plan's own words are taken.
pub fn reconcile(input: &Input<'_>) -> Reconciled {
    let mut reconciled = Reconciled {
        warnings: input.inverse.warnings.clone(),
        ..Reconciled::default()
    };
    match input.plan {
        Some(plan) => with_real_plan(input, plan, &mut reconciled),
        None => {
            for change in &input.inverse.changes {
                if change.fate != Fate::Keep {
                    reconciled.items.push(item_of_inverse(change));
                }
            }
        }
    }
    guards::guard(&mut reconciled, input);
    reconciled
        .items
        .sort_by(|a, b| a.address.cmp(&b.address).then_with(|| a.deposed.cmp(&b.deposed)));
    reconciled
}

fn with_real_plan(input: &Input<'_>, plan: &Plan, reconciled: &mut Reconciled) {
    let mut expected: BTreeMap<(String, Option<String>), &Change> = BTreeMap::new();
    let mut let_go = Vec::new();
    for change in &input.inverse.changes {
        // What is let go leaves its address, to which another object may come.
        let place = joined_place(change);
        match expected.get(&place) {
            Some(_) if change.fate == Fate::Forget => let_go.push(change),
            Some(other) if other.fate == Fate::Forget => {
                let_go.push(*other);
                expected.insert(place, change);
            }
            _ => {
                expected.insert(place, change);
            }
        }
    }
    reconciled.items.extend(let_go.into_iter().map(item_of_inverse));
    let drifted: BTreeMap<&str, &ResourceChange> = plan
        .resource_drift
        .iter()
        .map(|change| (change.address.as_str(), change))
        .collect();

    let moving = LazyCell::new(|| differences::moving(input, plan));
    let vanished = vanished_providers(plan);
    for provider in &vanished {
        reconciled.warnings.push(format!(
            "terraform finds none of the objects of {provider} any more: it may be looking in another region or account"
        ));
    }
    for real in plan.resource_changes.iter().filter(|change| change.mode == "managed") {
        let place = (real.address.clone(), real.deposed.clone());
        let change = expected.remove(&place);
        let differences = differences::find(input, real, &moving);
        let drift = drifted
            .get(real.address.as_str())
            .copied()
            .filter(|drift| !(drift.deletes() && vanished.contains(drift.provider_name.as_str())));
        if let Some(item) = item_of_real(input, real, change, drift) {
            if item.fate != Fate::Destroy {
                refuse_differences(&differences, &item.address, reconciled);
            }
            reconciled.items.push(item);
        } else {
            refuse_differences(&differences, &real.address, reconciled);
        }
    }
    reconciled.outputs = outputs::of_document(&outputs::document(plan, input.redactor).into());
    for (address, difference) in differences::in_outputs(input, plan) {
        refuse_differences(std::slice::from_ref(&difference), &address, reconciled);
    }
    // What the joined state does by itself never shows in Terraform's plan.
    for ((address, _), change) in expected {
        match change.fate {
            Fate::Forget => reconciled.items.push(item_of_inverse(change)),
            Fate::Move | Fate::Adopt if input.targets.is_empty() => reconciled.items.push(item_of_inverse(change)),
            // Neither does what the refresh no longer finds and the target does not have.
            Fate::Destroy if drifted.get(address.as_str()).is_some_and(|drift| drift.deletes()) => {
                reconciled.items.push(Item {
                    explained: !vanished.contains(drifted[address.as_str()].provider_name.as_str()),
                    fate: Fate::Forget,
                    actions: actions_of(Fate::Forget),
                    reversibility: Reversibility::Lossless,
                    reason: "it was added since and deleted outside of Terraform: only its record goes".to_owned(),
                    ..item_of_inverse(change)
                });
            }
            _ => {}
        }
    }
    for drift in plan.resource_drift.iter().filter(|change| change.mode == "managed") {
        reconciled.refusals.extend(another_object(drift));
        let attributes = differences::changed_attributes(&drift.change.before, &drift.change.after);
        if !drift::is_somebodys(input.knowledge, drift, &attributes) {
            continue;
        }
        reconciled.drift.push(Drift {
            address: drift.address.clone(),
            actions: words(drift),
            controller: controller(input.knowledge, plan, drift, &attributes),
            attributes,
        });
    }
}

/// What never changes of an object that stays the same one.
const NAMES_IT: &[&str] = &["arn", "self_link", "unique_id"];

/// The refresh has found another object than the one of the state's record: Terraform looks in another region or account.
fn another_object(drift: &ResourceChange) -> Option<Refusal> {
    let (before, after) = (&drift.change.before, &drift.change.after);
    let name = NAMES_IT.iter().find(|name| {
        let told = |side: &serde_json::Value| side[**name].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        matches!((told(before), told(after)), (Some(before), Some(after)) if before != after)
    })?;
    Some(Refusal {
        guard: Guard::Surprise,
        address: drift.address.clone(),
        message: format!(
            "terraform finds another object in its place ({name} was {}, and is {}): the provider looks in another region or \
             account, and would lose sight of the one that lives now",
            before[*name].as_str().unwrap_or_default(),
            after[*name].as_str().unwrap_or_default()
        ),
    })
}

/// Providers of which the refresh found no object at all, though there were several: that is no drift, that is looking in
/// the wrong place.
fn vanished_providers(plan: &Plan) -> BTreeSet<&str> {
    let mut objects: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    let gone = plan.deleted_outside();
    for change in plan.resource_changes.iter().filter(|change| change.is_managed()) {
        let counts = objects.entry(change.provider_name.as_str()).or_default();
        if gone.contains(change.address.as_str()) {
            counts.1 += 1;
        } else if !change.creates() {
            counts.0 += 1;
        }
    }
    objects
        .into_iter()
        .filter(|(_, (there, gone))| *there == 0 && *gone > 1)
        .map(|(name, _)| name)
        .collect()
}

/// Where the joined state has the object: at its address in the target, or, for one that goes, where it is now.
fn joined_place(change: &Change) -> (String, Option<String>) {
    let from = change.from.as_ref();
    match (&change.parked, &change.to, from) {
        (Some(parked), _, _) => (parked.to_string(), from.and_then(|from| from.deposed.clone())),
        (None, Some(to), _) => (to.to_string(), None),
        (None, None, Some(from)) => (from.address.to_string(), from.deposed.clone()),
        (None, None, None) => (String::new(), None),
    }
}

fn item_of_inverse(change: &Change) -> Item {
    let from = change.from.as_ref().map(|id: &InstanceId| id.address.to_string());
    let to = change.to.as_ref().map(Address::to_string);
    let address = to.clone().or_else(|| from.clone()).unwrap_or_default();
    let (kind, provider) = (change_kind(change), change.provider.clone());
    Item {
        previous_address: from.filter(|from| *from != address),
        address,
        deposed: change.from.as_ref().and_then(|id| id.deposed.clone()),
        kind,
        provider,
        fate: change.fate,
        actions: actions_of(change.fate),
        reversibility: change.reversibility,
        reason: change.reason.clone(),
        changes: describe_patch(change),
        notes: change.notes.clone(),
        importing: (change.fate == Fate::Adopt).then(|| change.id.clone()).flatten(),
        explained: true,
    }
}

/// Terraform's words for what it does to an object.
fn words(real: &ResourceChange) -> Vec<String> {
    real.change
        .actions
        .iter()
        .map(|action| action.as_str().to_owned())
        .collect()
}

/// The patch of an object, one line each; its values are masked already.
fn describe_patch(change: &Change) -> Vec<String> {
    let mut lines: Vec<String> = change
        .patch
        .iter()
        .map(|operation| {
            let value = serde_json::to_value(operation).unwrap_or_default();
            let path = value["path"]
                .as_str()
                .unwrap_or_default()
                .trim_start_matches('/')
                .replace('/', ".");
            match value.get("value") {
                Some(new) => format!("{path} → {}", differences::short(new)),
                None => format!("{path} is removed"),
            }
        })
        .collect();
    lines.sort();
    lines
}

fn change_kind(change: &Change) -> String {
    let address = change.to.as_ref().or(change.from.as_ref().map(|id| &id.address));
    address.map(|address| address.resource.kind.clone()).unwrap_or_default()
}

fn actions_of(fate: Fate) -> Vec<String> {
    let words: &[&str] = match fate {
        Fate::Keep | Fate::Move | Fate::Adopt => &["no-op"],
        Fate::Update => &["update"],
        Fate::Replace => &["delete", "create"],
        Fate::Create => &["create"],
        Fate::Destroy => &["delete"],
        Fate::Forget => &["forget"],
        Fate::Impossible => &["update"],
    };
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// What Terraform will really do to an object, in the words of the inverse plan where the two agree.
fn item_of_real(
    input: &Input<'_>,
    real: &ResourceChange,
    change: Option<&Change>,
    drift: Option<&ResourceChange>,
) -> Option<Item> {
    let predicted = change.map_or(Fate::Keep, |change| change.fate);
    let actions: Vec<&str> = real.change.actions.iter().map(Action::as_str).collect();
    let moved = change.is_some_and(|change| {
        change
            .from
            .as_ref()
            .is_some_and(|from| Some(&from.address) != change.to.as_ref())
            && change.to.is_some()
    });
    let deleted_outside = drift.is_some_and(|drift| drift.deletes());
    let taken_in = real.change.importing.as_ref().filter(|_| !real.is_replace());
    let (fate, explained) = match actions.as_slice() {
        _ if taken_in.is_some() => (Fate::Adopt, is_that_of_then(input, real)),
        ["no-op"] | ["read"] | [] => match predicted {
            Fate::Adopt => (Fate::Adopt, true),
            _ if moved => (Fate::Move, true),
            _ if real.previous_address.is_some() => (Fate::Move, true),
            _ => return None,
        },
        ["update"] => match predicted {
            Fate::Update | Fate::Replace | Fate::Impossible => (predicted_update(predicted), true),
            Fate::Adopt => (Fate::Adopt, true),
            // Something outside changed it, or the configuration brings another value; which of the two the
            // differences tell.
            _ => (Fate::Update, drift.is_some() || input.target.is_none()),
        },
        ["create"] => (
            Fate::Create,
            matches!(predicted, Fate::Create | Fate::Adopt) || deleted_outside,
        ),
        ["delete"] => (
            Fate::Destroy,
            matches!(predicted, Fate::Destroy) || real.deposed.is_some(),
        ),
        ["forget"] => (Fate::Forget, matches!(predicted, Fate::Forget | Fate::Destroy)),
        _ if real.is_replace() => (
            Fate::Replace,
            predicted == Fate::Replace
                // The target's own replace_triggered_by asks for it; what triggers it has to be explained by itself.
                || real.action_reason.as_deref() == Some("replace_by_triggers")
                || configuration_explains(input, real),
        ),
        _ => (Fate::Update, false),
    };
    let address = real.address.clone();
    let displaced_from = change.and_then(|change| change.from.as_ref());
    let previous = match (moved, fate) {
        (true, _) => displaced_from.map(|from| from.address.to_string()),
        _ => real.previous_address.clone(),
    };
    // An object that only waits under another name to be destroyed is shown under its own.
    let (address, deposed) = match (fate, displaced_from) {
        (Fate::Destroy | Fate::Forget, Some(from)) => (from.address.to_string(), from.deposed.clone()),
        _ => (address, real.deposed.clone()),
    };
    let agreed = change.filter(|change| change.fate == fate);
    let reversibility = match (agreed, fate) {
        (Some(change), _) => change.reversibility,
        (None, Fate::Destroy | Fate::Replace) => input
            .knowledge
            .kind(&real.kind)
            .map_or(Reversibility::Lossless, |known| known.destroy),
        (None, Fate::Create) => Reversibility::RecreatedEmpty,
        _ => Reversibility::Lossless,
    };
    let reason = match agreed {
        Some(change) => change.reason.clone(),
        None => reason_of_real(fate, real, deleted_outside, change),
    };
    let mut changes = Vec::new();
    if matches!(fate, Fate::Update | Fate::Replace | Fate::Adopt) {
        changes = differences::describe(real, input.redactor);
    }
    Some(Item {
        previous_address: previous.filter(|previous| *previous != address),
        address,
        deposed,
        kind: real.kind.clone(),
        provider: real.provider_name.clone(),
        fate,
        actions: if fate == Fate::Adopt && actions.is_empty() {
            vec!["no-op".to_owned()]
        } else {
            words(real)
        },
        reversibility,
        reason,
        changes,
        notes: change.map(|change| change.notes.clone()).unwrap_or_default(),
        importing: (fate == Fate::Adopt)
            .then(|| {
                let of_block = taken_in.and_then(|import| import.id.clone());
                of_block.or_else(|| change.and_then(|change| change.id.clone()))
            })
            .flatten(),
        explained,
    })
}

/// Whether what an `import` block takes in is the object that the target had at its address, as far as ids tell.
fn is_that_of_then(input: &Input<'_>, real: &ResourceChange) -> bool {
    let id = real.change.importing.as_ref().and_then(|import| import.id.as_deref());
    let then = || {
        let target = input.target?;
        let address: Address = real.address.parse().ok()?;
        target.instance(&InstanceId::from(address))?.identifier(target)
    };
    match (id, then()) {
        (Some(id), Some(then)) => id == then,
        _ => true,
    }
}

/// Without a snapshot of the target only the two configurations can tell why: where they say other things of the object,
/// that is why.
fn configuration_explains(input: &Input<'_>, real: &ResourceChange) -> bool {
    let (None, Some(target), Some(deployed)) = (input.target, input.target_config, input.deployed_config) else {
        return false;
    };
    let Ok(address) = real.address.parse::<Address>() else {
        return false;
    };
    match (target.resource(&address.resource), deployed.resource(&address.resource)) {
        (Some(then), Some(now)) => then.attributes != now.attributes,
        _ => false,
    }
}

fn predicted_update(predicted: Fate) -> Fate {
    if predicted == Fate::Impossible {
        Fate::Impossible
    } else {
        Fate::Update
    }
}

fn reason_of_real(fate: Fate, real: &ResourceChange, deleted_outside: bool, change: Option<&Change>) -> String {
    let why = real.action_reason.as_deref().unwrap_or_default();
    match fate {
        Fate::Create if deleted_outside => "it was deleted outside of Terraform; it comes back empty".to_owned(),
        Fate::Create if change.is_some_and(|change| change.fate == Fate::Adopt) => {
            "it was let go since and does not exist any more; it comes back empty".to_owned()
        }
        Fate::Create => "the target's configuration has it and no state knows it".to_owned(),
        Fate::Destroy => format!(
            "terraform would destroy it ({})",
            if why.is_empty() { "no reason given" } else { why }
        ),
        Fate::Replace if why == "replace_by_triggers" => {
            "what its replace_triggered_by names changes, and the target's configuration makes it anew then".to_owned()
        }
        Fate::Replace => format!(
            "terraform cannot change it in place ({})",
            if why.is_empty() { "no reason given" } else { why }
        ),
        Fate::Update => "its real attributes differ from the target's configuration".to_owned(),
        Fate::Forget => "the target's configuration lets go of it".to_owned(),
        Fate::Move => "a moved block of the target's configuration".to_owned(),
        Fate::Adopt if real.change.importing.is_some() => {
            "it exists, and an import block of the target's configuration takes it in".to_owned()
        }
        _ => change.map(|change| change.reason.clone()).unwrap_or_default(),
    }
}

fn refuse_differences(differences: &[Difference], address: &str, reconciled: &mut Reconciled) {
    for difference in differences {
        if difference.explained {
            reconciled.warnings.push(format!("{address}: {}", difference.message));
        } else {
            reconciled.refusals.push(Refusal {
                guard: Guard::Difference,
                address: address.to_owned(),
                message: difference.message.clone(),
            });
        }
    }
}
