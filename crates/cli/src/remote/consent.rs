//! The yes of whoever sits here: said beforehand by flags, or asked for on the terminal.

use rollback_client::Approval;
use rollback_engine::error::Result;
use serde_json::{Value, json};

use super::rollbacks::ask;
use crate::arguments::ConsentArguments;
use crate::output::Output;

/// What was said yes to beforehand.
pub struct Yes<'a> {
    auto_approve: bool,
    data_loss: &'a [String],
    changes: &'a [String],
}

/// What comes of a plan that awaits approval.
pub enum Decision {
    /// The body of an approval.
    Approve(Value),
    No,
    /// There is nobody to ask; what would have to be accepted by which flag.
    Nobody(Vec<(&'static str, String)>),
}

impl<'a> Yes<'a> {
    pub fn new(auto_approve: bool, consent: &'a ConsentArguments) -> Yes<'a> {
        Yes {
            auto_approve,
            data_loss: &consent.accept_data_loss,
            changes: &consent.accept_change,
        }
    }

    /// Nothing was said.
    pub fn none() -> Yes<'static> {
        Yes {
            auto_approve: false,
            data_loss: &[],
            changes: &[],
        }
    }

    /// Asks where somebody can be asked.
    ///
    /// # Errors
    /// None now; the terminal may be gone one day.
    pub fn decide(&self, approval: &Approval, output: &Output) -> Result<Decision> {
        let (mut data_loss, mut changes) = (self.data_loss.to_vec(), self.changes.to_vec());
        let mut missing = Vec::new();
        let lost = approval
            .missing_acceptance
            .data_loss
            .iter()
            .map(|one| ("--accept-data-loss", one));
        let odd = approval
            .missing_acceptance
            .changes
            .iter()
            .map(|one| ("--accept-change", one));
        let can_ask = !self.auto_approve && output.can_ask();
        for (flag, address) in lost.chain(odd) {
            let accepted = match flag {
                "--accept-data-loss" => &mut data_loss,
                _ => &mut changes,
            };
            if is_named(accepted, address) {
                continue;
            }
            let question = format!(
                "{address} needs a yes of its own (above is why). Type its address to accept that, or press enter to stop:"
            );
            if can_ask && ask(output, &question).as_deref() == Some(address) {
                accepted.push(address.clone());
            } else if can_ask {
                return Ok(Decision::No);
            } else {
                missing.push((flag, address.clone()));
            }
        }
        if !missing.is_empty() {
            return Ok(Decision::Nobody(missing));
        }
        if !self.auto_approve {
            if !can_ask {
                return Ok(Decision::Nobody(Vec::new()));
            }
            let question = format!("\nApprove this? Plan {:.12}. Only `yes` is a yes:", approval.digest);
            if ask(output, &question).as_deref() != Some("yes") {
                return Ok(Decision::No);
            }
        }
        Ok(Decision::Approve(json!({
            "digest": approval.digest, "accept_data_loss": data_loss, "accept_changes": changes,
        })))
    }
}

/// Whether a flag names it: by its address, or by `stack:address`, of which the service may ask for either.
fn is_named(flags: &[String], wanted: &str) -> bool {
    flags
        .iter()
        .any(|flag| flag == wanted || wanted.split_once(':').is_some_and(|(_, address)| address == flag))
}
