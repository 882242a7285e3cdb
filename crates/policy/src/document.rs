//! The input document: Terraform's plan representation at the top, what only a rollback knows under `rollback`.
//!
//! Its JSON Schema is `policies/schema/input.schema.json`. Conftest's policies read `input.resource_changes`, Spacelift's
//! `input.terraform.resource_changes` and `input.spacelift`, HCP Terraform's `input.plan.resource_changes`: all three are
//! there. Values that are sensitive are `"(sensitive)"`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use regorus::Value as Rego;
use serde::Serialize;
use serde_json::{Map, Value, json};

/// What a policy is given.
#[derive(Clone, Debug)]
pub struct Document {
    /// Terraform's plan representation (`terraform show -json`), masked.
    pub plan: Map<String, Value>,
    pub rollback: Rollback,
}

/// What only a rollback knows.
#[derive(Clone, Debug, Serialize)]
pub struct Rollback {
    /// The version of this part: 1.
    pub format: u32,
    /// None where it is the steps that are judged.
    pub stack: Option<Host>,
    /// The names of all stacks of the run.
    pub stacks: Vec<String>,
    /// What the run does beside its stacks, whichever of them is judged: every step that has something to do.
    pub steps: Vec<Step>,
    pub run: RunFacts,
    /// `plan` before anybody is asked, `apply` right before the first effect.
    pub phase: &'static str,
    pub time: Timestamp,
    pub actor: String,
    pub reason: Option<String>,
    /// `[policy] environment`
    pub environment: Option<String>,
    /// What is deployed now.
    pub from: Place,
    /// Where it goes.
    pub to: Place,
    /// The inverse plan, reconciled with Terraform's: every object to which something happens.
    pub changes: Vec<Change>,
    pub drift: Vec<Drift>,
    pub accepted: Accepted,
    /// What in the target's configuration runs code or fetches some.
    pub risks: Vec<Risk>,
    /// Providers of either lock file.
    pub providers: Vec<Provider>,
    /// Freeze windows that are open now.
    pub freeze: Vec<Freeze>,
    /// Marks on the target that warn of it.
    pub known_bad: Vec<Mark>,
    /// Who has said yes to this very plan.
    pub approvals: Vec<String>,
    /// Who went ahead without the approvals that are asked for; none where nobody did.
    pub broken_glass: Option<BrokenGlass>,
    pub settings: Settings,
    /// The last runs of the project, the newest first.
    pub history: Vec<Earlier>,
}

/// The stack that is judged.
#[derive(Clone, Debug, Serialize)]
pub struct Host {
    pub name: String,
    pub dir: String,
    pub workspace: String,
}

/// The run that is judged.
#[derive(Clone, Debug, Serialize)]
pub struct RunFacts {
    /// None for a dry run.
    pub id: Option<String>,
    /// `to`, `undo` or `restore`.
    pub purpose: String,
    pub revision: String,
    /// Whether some of it is done already, so that not going on leaves it in the middle.
    pub halfway: bool,
}

/// A commit as deployed.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Place {
    pub commit: String,
    /// The release's id, where there is a snapshot.
    pub release: Option<String>,
    pub name: Option<String>,
    pub note: Option<String>,
    pub created_at: Option<Timestamp>,
    /// Since its snapshot was taken, else since it was committed.
    pub age_seconds: Option<i64>,
    pub actor: Option<String>,
    pub terraform_version: Option<String>,
}

/// What happens to one object.
#[derive(Clone, Debug, Serialize)]
pub struct Change {
    pub address: String,
    pub previous_address: Option<String>,
    #[serde(rename = "type")]
    pub kind: String,
    pub provider: String,
    /// `keep`, `move`, `update`, `replace`, `create`, `destroy`, `forget`, `adopt`, `impossible`.
    pub fate: String,
    pub actions: Vec<String>,
    /// `lossless`, `recreated-empty`, `data-loss`, `irreversible`.
    pub reversibility: String,
    pub reason: String,
    /// Whether the releases tell why.
    pub explained: bool,
    /// Where `prevent_destroy` is declared for it.
    pub protected: Option<String>,
    /// What of value it holds, from the knowledge of resource types.
    pub holds: Option<String>,
}

/// What one step of the runbook does.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    pub name: String,
    /// `ecs-service`, `migration`, …
    pub kind: String,
    /// `lossless`, `data-loss`, `irreversible`.
    pub reversibility: String,
    pub changes: Vec<StepChange>,
    /// What a person should know before the yes.
    pub notes: Vec<String>,
    /// What stands in its way.
    pub obstacles: Vec<String>,
}

/// One line of what a step does; secrets are masked.
#[derive(Clone, Debug, Serialize)]
pub struct StepChange {
    pub what: String,
    pub from: Option<String>,
    pub to: Option<String>,
}

/// What changed outside of Terraform since the last apply.
#[derive(Clone, Debug, Serialize)]
pub struct Drift {
    pub address: String,
    pub actions: Vec<String>,
    pub attributes: Vec<String>,
    /// Who moves it all the time, such as an autoscaler.
    pub controller: Option<String>,
}

/// Addresses that somebody said yes to.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Accepted {
    pub data_loss: Vec<String>,
    pub changes: Vec<String>,
}

/// Something in the target's configuration that runs code or fetches some.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Risk {
    /// `external`, `http`, `provisioner`, `provider`, `module`, …
    pub kind: String,
    pub address: String,
    pub message: String,
    /// Whether the current release has the very same.
    pub in_current: bool,
    /// Whether the target's own release shows that it ran, or was installed, when that was deployed.
    pub in_release: bool,
}

/// A provider's version in the two lock files.
#[derive(Clone, Debug, Serialize)]
pub struct Provider {
    pub source: String,
    pub from: Option<String>,
    pub to: Option<String>,
    /// Whether the target's is older.
    pub downgrade: bool,
    /// Whether the current version is kept because the older one could not read the state.
    pub kept: bool,
}

/// An open freeze window.
#[derive(Clone, Debug, Serialize)]
pub struct Freeze {
    pub name: String,
    pub until: Timestamp,
}

/// A warning about a version.
#[derive(Clone, Debug, Serialize)]
pub struct Mark {
    pub revision: String,
    pub reason: String,
}

/// What `[policy]` says; none where it says nothing.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Settings {
    pub maximum_age_seconds: Option<i64>,
    pub blast_radius: Option<u64>,
    /// Whether somebody else than who asked for the run must approve it.
    pub four_eyes: bool,
}

/// Somebody's word that there was no time for the approvals that are asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BrokenGlass {
    pub by: String,
    pub reason: String,
}

/// An earlier run.
#[derive(Clone, Debug, Serialize)]
pub struct Earlier {
    pub id: String,
    pub purpose: String,
    pub revision: String,
    pub commit: String,
    pub status: String,
    pub actor: String,
    pub created_at: Timestamp,
}

/// Parts of the plan representation that Spacelift's and HCP Terraform's policies find under a name of its own.
const PLAN_KEYS: &[&str] = &[
    "format_version",
    "terraform_version",
    "variables",
    "planned_values",
    "resource_changes",
    "resource_drift",
    "output_changes",
    "prior_state",
    "configuration",
    "relevant_attributes",
    "checks",
    "timestamp",
];

impl Document {
    /// The document as JSON. The same values under `terraform` and `plan` are added when it is judged.
    pub fn to_value(&self) -> Value {
        let mut whole = self.plan.clone();
        whole.insert("spacelift".to_owned(), self.spacelift());
        whole.insert(
            "rollback".to_owned(),
            serde_json::to_value(&self.rollback).unwrap_or(Value::Null),
        );
        Value::Object(whole)
    }

    /// What of Spacelift's input a rollback can give.
    fn spacelift(&self) -> Value {
        let rollback = &self.rollback;
        let stack = rollback.stack.as_ref();
        let changes: Vec<Value> = rollback
            .changes
            .iter()
            .map(|change| {
                json!({
                    "action": spacelift_action(&change.fate),
                    "phase": "plan",
                    "entity": { "address": change.address, "type": change.kind, "entity_type": "resource" },
                })
            })
            .collect();
        let commit = json!({ "hash": rollback.to.commit, "author": rollback.to.actor, "message": rollback.to.note });
        json!({
            "commit": commit,
            "run": {
                "id": rollback.run.id,
                "type": "TRACKED",
                "state": "PLANNED",
                "triggered_by": rollback.actor,
                "creator_session": { "login": rollback.actor, "name": rollback.actor, "teams": [], "machine": false },
                "drift_detection": false,
                "changes": changes,
                "commit": commit,
                "created_at": nanoseconds(rollback.time),
            },
            "stack": {
                "id": stack.map(|stack| &stack.name),
                "name": stack.map(|stack| &stack.name),
                "project_root": stack.map(|stack| &stack.dir),
                "labels": rollback.environment.iter().collect::<Vec<_>>(),
                "administrative": false,
                "autodeploy": false,
                "vendor": "terraform",
                "terraform_version": self.plan.get("terraform_version"),
            },
            "request": { "timestamp_ns": nanoseconds(rollback.time) },
        })
    }
}

fn nanoseconds(time: Timestamp) -> i64 {
    i64::try_from(time.as_nanosecond()).unwrap_or(i64::MAX)
}

fn spacelift_action(fate: &str) -> &str {
    match fate {
        "create" => "added",
        "destroy" => "deleted",
        "replace" => "replaced",
        "move" => "moved",
        "forget" => "forgotten",
        "adopt" => "imported",
        _ => "changed",
    }
}

/// Adds the same plan under `terraform` and `plan`, sharing the values, where the document does not have its own.
pub(crate) fn with_aliases(input: Rego) -> Rego {
    let Ok(object) = input.as_object() else { return input };
    let plan: BTreeMap<Rego, Rego> = PLAN_KEYS
        .iter()
        .filter_map(|key| {
            let key = Rego::from(*key);
            Some((key.clone(), object.get(&key)?.clone()))
        })
        .collect();
    if !plan.contains_key(&Rego::from("resource_changes")) {
        return input;
    }
    let mut whole = input.clone();
    if let Ok(object) = whole.as_object_mut() {
        for name in ["terraform", "plan"] {
            let name = Rego::from(name);
            if object.get(&name).is_none() {
                object.insert(name, Rego::from(plan.clone()));
            }
        }
    }
    whole
}
