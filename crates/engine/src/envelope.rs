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
