//! The envelope: everything that an approval signs, digested. What is executed must have this very digest.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::policy::PolicyRecord;
use crate::steps::StepEnvelope;

/// What is approved for one stack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    pub stack: String,
    /// What the plan does, without its timestamps: see [`rollback_terraform::Plan::digest`].
    pub plan_digest: String,
    /// The live state that the plan starts from.
    pub state_sha256: String,
    pub lineage: String,
    pub serial: u64,
    pub target_commit: String,
    pub lock_file_sha256: Option<String>,
    pub terraform_version: String,
    /// Objects that the joined state lets go of, takes in and moves: what Terraform's plan does not show.
    pub refactors: Vec<String>,
    /// The policy's bundle and verdict; none where it was not asked.
    #[serde(default)]
    pub policy: Option<PolicyRecord>,
    /// What happens to each object, as `fate address digest`, the digest being of what comes out: a resumed run may do
    /// what is left of it without asking again.
    pub effects: Vec<String>,
}

impl Envelope {
    /// Whether everything that this one does was in the other.
    pub fn is_part_of(&self, approved: &Envelope) -> bool {
        self.target_commit == approved.target_commit
            && self.lineage == approved.lineage
            && self.lock_file_sha256 == approved.lock_file_sha256
            && self.terraform_version == approved.terraform_version
            && match (&self.policy, &approved.policy) {
                (Some(own), Some(approved)) => own.is_part_of(approved),
                (None, _) => true,
                (Some(_), None) => false,
            }
            && self.effects.iter().all(|effect| approved.effects.contains(effect))
    }
}

/// The digest of all stacks' and steps' envelopes together: what a person approves.
pub fn digest(envelopes: &[&Envelope], steps: &[&StepEnvelope]) -> String {
    let bytes = match steps {
        [] => serde_json::to_vec(envelopes),
        steps => serde_json::to_vec(&(envelopes, steps)),
    };
    hex::encode(Sha256::digest(bytes.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rollback_policy::Verdict;
    use serde_json::{Value, json};

    use crate::policy::PolicyOverride;

    fn envelope() -> Envelope {
        let text = |text: &str| text.to_owned();
        Envelope {
            stack: text("app"),
            plan_digest: text("0a"),
            state_sha256: text("0b"),
            lineage: text("l"),
            serial: 7,
            target_commit: text("0c"),
            lock_file_sha256: Some(text("0d")),
            terraform_version: text("1.11.4"),
            refactors: vec![text("move a -> b")],
            policy: Some(PolicyRecord {
                bundle_digest: text("0e"),
                verdict: Verdict::Overridden,
                findings: vec![text("rollback.exposure.deny - soft-mandatory overridden")],
                overrides: vec![PolicyOverride {
                    rule: text("rollback.exposure.deny"),
                    by: text("ann (0f)"),
                    reason: text("it burns"),
                }],
            }),
            effects: vec![text("update a 10")],
        }
    }

    /// Every place in a document, as JSON Pointers.
    fn places(value: &Value, at: &str, found: &mut Vec<String>) {
        match value {
            Value::Object(map) => map
                .iter()
                .for_each(|(key, value)| places(value, &format!("{at}/{key}"), found)),
            Value::Array(items) => {
                (items.iter().enumerate()).for_each(|(index, value)| places(value, &format!("{at}/{index}"), found));
            }
            _ => {}
        }
        found.push(at.to_owned());
    }

    /// P1: whatever of an envelope is changed, it is another thing that was approved.
    #[test]
    fn a_change_of_any_field_is_another_digest() {
        let approved = envelope();
        let digest = |envelope: &Envelope| digest(&[envelope], &[]);
        let document = serde_json::to_value(&approved).unwrap();
        let mut found = Vec::new();
        places(&document, "", &mut found);
        let mut tried = 0;
        for place in found.iter().filter(|place| !place.is_empty()) {
            let mut changed = document.clone();
            let value = changed.pointer_mut(place).unwrap();
            *value = match value.clone() {
                Value::String(_) if place.ends_with("verdict") => json!("pass"),
                Value::String(text) => json!(format!("{text}x")),
                Value::Number(number) => json!(number.as_u64().unwrap() + 1),
                Value::Array(mut items) => {
                    items.clear();
                    Value::Array(items)
                }
                // The policy as a whole, and each override: gone.
                Value::Object(_) => Value::Null,
                other => panic!("{place}: {other}"),
            };
            let Ok(changed) = serde_json::from_value::<Envelope>(changed) else {
                continue;
            };
            assert_ne!(digest(&changed), digest(&approved), "{place}");
            assert_ne!(changed, approved, "{place}");
            tried += 1;
        }
        assert!(tried >= 18, "{tried} of {found:?}");
        assert_eq!(digest(&envelope()), digest(&approved));
        assert_ne!(super::digest(&[&approved, &approved], &[]), digest(&approved));
    }
}
