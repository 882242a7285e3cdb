//! The inverse plan as a value: what happens to each object, why, and what of it cannot be taken back.

use std::collections::BTreeMap;

use json_patch::PatchOperation;
use rollback_state::{Address, InstanceId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What must happen to one object to get from what is now to the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fate {
    /// It is as it was at the target.
    Keep,
    /// Only its address changes, back to the one that it had.
    Move,
    /// Its arguments change in place; where `from` and `to` differ it moves as well.
    Update,
    /// It is destroyed and made anew at the same address.
    Replace,
    /// It was destroyed since and is made anew. Nothing that it held comes back.
    Create,
    /// It was added since and is destroyed.
    Destroy,
    /// It existed before Terraform took it in since: it is let go, not destroyed.
    Forget,
    /// It was let go since and may still exist: it is taken in again.
    Adopt,
    /// It cannot be brought back as things stand; the reason says what a person can do.
    Impossible,
}

impl Fate {
    /// Every fate, in the order in which summaries list them.
    pub const ALL: [Fate; 9] = [
        Fate::Keep,
        Fate::Move,
        Fate::Update,
        Fate::Replace,
        Fate::Create,
        Fate::Destroy,
        Fate::Forget,
        Fate::Adopt,
        Fate::Impossible,
    ];

    /// The word for it in the plan's JSON: `keep`, `move`, and so on.
    pub fn as_str(self) -> &'static str {
        match self {
            Fate::Keep => "keep",
            Fate::Move => "move",
            Fate::Update => "update",
            Fate::Replace => "replace",
            Fate::Create => "create",
            Fate::Destroy => "destroy",
            Fate::Forget => "forget",
            Fate::Adopt => "adopt",
            Fate::Impossible => "impossible",
        }
    }
}

impl std::fmt::Display for Fate {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// How much of a change can be taken back, from best to worst.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reversibility {
    /// Nothing is lost.
    #[default]
    Lossless,
    /// The object comes back without what it held.
    RecreatedEmpty,
    /// Data that exists now is gone afterwards.
    DataLoss,
    /// It cannot come back at all, not even empty under the same identity.
    Irreversible,
}

impl Reversibility {
    /// The word for it in the plan's JSON: `lossless`, `recreated-empty`, `data-loss`, `irreversible`.
    pub fn as_str(self) -> &'static str {
        match self {
            Reversibility::Lossless => "lossless",
            Reversibility::RecreatedEmpty => "recreated-empty",
            Reversibility::DataLoss => "data-loss",
            Reversibility::Irreversible => "irreversible",
        }
    }

    /// Whether a person must name the address before this may happen.
    pub fn needs_acceptance(self) -> bool {
        self >= Reversibility::DataLoss
    }
}

impl std::fmt::Display for Reversibility {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// How an object of the current state was recognised as one of the target's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Identity {
    /// The provider says that it is the same object: type, provider and id (ARN, Terraform's `identity`).
    Provider,
    /// `moved` blocks lead from the one address to the other.
    Chain,
    /// It lives at the same address, as another object than then.
    Address,
    /// There is no counterpart.
    None,
}

/// The fate of one object, with what a person and a policy need to judge it.
///
/// Holds no attribute value that is sensitive: what would be is `"(sensitive)"`.
#[derive(Clone, Debug)]
pub struct Change {
    /// Where the object is now; none for what is not in the current state.
    pub from: Option<InstanceId>,
    /// Where it will be; none for what goes. Without a key for a resource whose instances only
    /// Terraform can tell (see `notes`).
    pub to: Option<Address>,
    /// What happens.
    pub fate: Fate,
    /// What of it cannot be taken back.
    pub reversibility: Reversibility,
    /// How the object was recognised.
    pub identity: Identity,
    /// Why, in one plain sentence.
    pub reason: String,
    /// From the attributes now to those at the target (RFC 6902), sensitive values masked.
    pub patch: Vec<PatchOperation>,
    /// Differing top-level attributes that the target's configuration sets.
    pub configured: Vec<String>,
    /// Differing top-level attributes that it does not set: the provider computes them.
    pub computed: Vec<String>,
    /// The provider's address as the state writes it; empty where no state names it.
    pub provider: String,
    /// Where `prevent_destroy` is declared for an object that would be destroyed.
    pub protected: Option<String>,
    /// Plain sentences about what else is worth knowing.
    pub notes: Vec<String>,
    /// What a person can do about an `impossible` one.
    pub hint: Option<String>,
    /// The provider's id of the object, where it is not sensitive.
    pub id: Option<String>,
    /// What is lost, from the knowledge of resource types: `the table with its items`.
    pub holds: Option<String>,
    /// The address that the joined state gives an object that is to be destroyed, where another
    /// object returns to the address at which it lives now.
    pub parked: Option<Address>,
    /// The `import` block that it is let go for.
    pub taken_in: Option<TakenIn>,
    /// How the joined state differs from the live record of this object.
    pub(crate) record: Record,
    /// The attributes now, masked, with a matching tree of `true` for what is sensitive.
    pub(crate) before: Option<Masked>,
    /// The attributes at the target, likewise.
    pub(crate) after: Option<Masked>,
}

impl Change {
    /// The record of the object in the target's state, of one that is made anew: whether it is really gone only its
    /// provider can tell.
    pub fn gone(&self) -> Option<&InstanceId> {
        match self.fate {
            Fate::Create => self.record.counterpart.as_ref(),
            _ => None,
        }
    }
}

/// An `import` block that took an object in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakenIn {
    /// The id in the block, where it is written out.
    pub id: Option<String>,
}

/// What `join` does to the record of an object beyond its address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Record {
    /// The object at the target, where there is one.
    pub(crate) counterpart: Option<InstanceId>,
    /// The taint is lifted.
    pub(crate) lift_taint: bool,
    /// The body is taken from the target's state, which has an older schema version.
    pub(crate) take_body: bool,
    /// The provider address of the target's state takes the place of the current one.
    pub(crate) provider: Option<String>,
    /// Marked tainted now: this is why it would be replaced.
    pub(crate) tainted: bool,
    /// Terraform would replace it: what an impossible change would have been.
    pub(crate) replaces: bool,
}

/// A masked value and the tree that marks what is masked in it (Terraform's `before_sensitive`).
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Masked {
    pub(crate) value: Value,
    pub(crate) marks: Value,
}

impl Change {
    /// A change with everything but the essentials empty.
    pub(crate) fn new(from: Option<InstanceId>, to: Option<Address>, fate: Fate, reason: impl Into<String>) -> Self {
        Change {
            from,
            to,
            fate,
            reversibility: Reversibility::Lossless,
            identity: Identity::None,
            reason: reason.into(),
            patch: Vec::new(),
            configured: Vec::new(),
            computed: Vec::new(),
            provider: String::new(),
            protected: None,
            notes: Vec::new(),
            hint: None,
            id: None,
            holds: None,
            parked: None,
            taken_in: None,
            record: Record::default(),
            before: None,
            after: None,
        }
    }

    /// The address a person knows it by: where it will be, else where it is.
    pub fn address(&self) -> &Address {
        match (&self.to, &self.from) {
            (Some(to), _) => to,
            (None, Some(from)) => &from.address,
            (None, None) => unreachable!("a change has a beginning or an end"),
        }
    }

    /// Where it lives now, where that is not where it will be.
    pub fn previous_address(&self) -> Option<&Address> {
        match (&self.from, &self.to) {
            (Some(from), Some(to)) if from.address != *to => Some(&from.address),
            _ => None,
        }
    }

    /// Whether its address changes.
    pub fn is_moved(&self) -> bool {
        self.previous_address().is_some()
    }

    /// Whether anything about it is to be done or said: all but a `keep` without notes.
    pub fn is_noteworthy(&self) -> bool {
        self.fate != Fate::Keep || !self.notes.is_empty()
    }

    /// The attributes that the object has now, sensitive values masked; only where something changes.
    pub fn before(&self) -> Option<&Value> {
        self.before.as_ref().map(|masked| &masked.value)
    }

    /// The attributes that it had at the target, sensitive values masked; only where something changes.
    pub fn after(&self) -> Option<&Value> {
        self.after.as_ref().map(|masked| &masked.value)
    }

    /// Raises the reversibility to at least the given one.
    pub(crate) fn at_least(&mut self, reversibility: Reversibility) {
        self.reversibility = self.reversibility.max(reversibility);
    }
}

/// An object whose provider address the target's configuration does not configure.
///
/// Terraform refuses to plan it (`Provider configuration not present`) until the provider's block
/// is carried over and the address rewritten, see [`crate::join`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrphanedProvider {
    /// The object.
    pub instance: InstanceId,
    /// Its provider address as the state writes it: `provider["registry.terraform.io/hashicorp/aws"].west`.
    pub provider: String,
}

/// How many changes have each fate and each reversibility.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// By fate; fates that do not occur are absent.
    pub fates: BTreeMap<Fate, usize>,
    /// By reversibility, of all that is not kept; absent where none.
    pub reversibility: BTreeMap<Reversibility, usize>,
    /// How many objects change their address, updated ones among them.
    pub moved: usize,
}

impl Summary {
    /// How many changes have this fate.
    pub fn count(&self, fate: Fate) -> usize {
        self.fates.get(&fate).copied().unwrap_or(0)
    }
}

/// What must happen to get from what is now to the target.
#[derive(Clone, Debug, Default)]
pub struct InversePlan {
    /// One for each object, kept ones among them, in the order of addresses as Terraform sorts them.
    pub changes: Vec<Change>,
    /// Objects that Terraform could not plan over the joined state without their provider's block.
    pub orphaned_providers: Vec<OrphanedProvider>,
    /// Plain sentences about the whole.
    pub warnings: Vec<String>,
    /// Terraform's version in the current state.
    pub terraform_version: String,
}

impl InversePlan {
    /// Counts the changes.
    pub fn summary(&self) -> Summary {
        let mut summary = Summary::default();
        for change in &self.changes {
            *summary.fates.entry(change.fate).or_default() += 1;
            if change.fate != Fate::Keep {
                *summary.reversibility.entry(change.reversibility).or_default() += 1;
            }
            summary.moved += usize::from(change.is_moved());
        }
        summary
    }

    /// Everything that is not simply kept.
    pub fn effective(&self) -> impl Iterator<Item = &Change> {
        self.changes.iter().filter(|change| change.fate != Fate::Keep)
    }

    /// The worst reversibility of all changes.
    pub fn worst(&self) -> Reversibility {
        self.changes
            .iter()
            .map(|change| change.reversibility)
            .max()
            .unwrap_or_default()
    }

    /// The changes that a person must accept by address.
    pub fn needing_acceptance(&self) -> impl Iterator<Item = &Change> {
        self.changes
            .iter()
            .filter(|change| change.reversibility.needs_acceptance())
    }

    /// Whether nothing at all is to be done.
    pub fn is_empty(&self) -> bool {
        self.effective().next().is_none()
    }
}
