//! What a plan still needs before it may be carried out: addresses that somebody has to accept, rules of the policy that
//! somebody has to override.

use rollback_engine::policy::Denial;
use rollback_engine::run::Consent;
use serde_json::{Value, json};

/// What nobody has said yes to yet.
#[derive(Clone, Debug, Default)]
pub struct Needs {
    /// Stacks with addresses.
    data_loss: Vec<(String, String)>,
    changes: Vec<(String, String)>,
    denials: Vec<Denial>,
}

impl Needs {
    /// As the plan and the end of the last attempt tell.
    pub fn of(plan: &Value, denials: &[Denial]) -> Needs {
        let mut needs = Needs {
            denials: denials.to_vec(),
            ..Needs::default()
        };
        for refusal in plan["needs_acceptance"].as_array().into_iter().flatten() {
            let text = |name: &str| refusal[name].as_str().unwrap_or_default().to_owned();
            let subject = (text("stack"), text("address"));
            match refusal["guard"].as_str() {
                Some("data-loss") => needs.data_loss.push(subject),
                _ => needs.changes.push(subject),
            }
        }
        needs
    }

    /// What is left when this consent is given: it names an address, or `stack:address`.
    pub fn without(mut self, consent: &Consent) -> Needs {
        let is_open = |named: &[String], (stack, address): &(String, String)| {
            let both = format!("{stack}:{address}");
            !named.iter().any(|name| name == address || *name == both)
        };
        self.data_loss.retain(|subject| is_open(&consent.data_loss, subject));
        self.changes.retain(|subject| is_open(&consent.changes, subject));
        self
    }

    pub fn is_empty(&self) -> bool {
        self.data_loss.is_empty() && self.changes.is_empty() && self.denials.is_empty()
    }

    /// What of the policy stands in the way: an approval cannot be given while it does.
    pub fn denials(&self) -> &[Denial] {
        &self.denials
    }

    /// Addresses as a consent names them, the stack left out where there is only one.
    pub fn describe(&self, stacks: usize) -> Value {
        let names = |subjects: &[(String, String)]| -> Vec<String> {
            let name = |(stack, address): &(String, String)| match stacks {
                0 | 1 => address.clone(),
                // A step belongs to no stack.
                _ if stack.is_empty() => address.clone(),
                _ => format!("{stack}:{address}"),
            };
            subjects.iter().map(name).collect()
        };
        json!({ "data_loss": names(&self.data_loss), "changes": names(&self.changes) })
    }
}
