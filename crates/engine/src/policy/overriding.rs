//! Overrides: which soft-mandatory rule, by whom, and why. They are part of what is approved.

use rollback_policy::{Evaluation, Policy};
use serde::{Deserialize, Serialize};

use super::facts::Moment;
use crate::error::{EngineError, Result};
use crate::run::Consent;

/// One rule that somebody overrides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyOverride {
    /// As the person names it: see [`Policy::rules_named`]. In an envelope, the rule's whole name.
    pub rule: String,
    pub by: String,
    pub reason: String,
}

impl Consent {
    /// Every rule that is overridden, as it was named.
    pub fn overridden_rules(&self) -> Vec<String> {
        let signed = self.overrides.iter().map(|one| &one.rule);
        self.policy.iter().chain(signed).cloned().collect()
    }

    /// The same with a name and a reason for each rule; without any reason it stays as it is, and is refused later.
    pub(crate) fn signed(mut self, by: &str, reason: Option<&str>) -> Consent {
        let reason = self.policy_reason.clone().or(reason.map(str::to_owned));
        let Some(reason) = reason.filter(|reason| !reason.trim().is_empty()) else {
            return self;
        };
        for rule in std::mem::take(&mut self.policy) {
            self.add_override(PolicyOverride {
                rule,
                by: by.to_owned(),
                reason: reason.clone(),
            });
        }
        self.policy_reason = None;
        self
    }

    fn add_override(&mut self, new: PolicyOverride) {
        // The first word stands: a later one would change what was approved meanwhile.
        if !self.overrides.iter().any(|known| known.rule == new.rule) {
            self.overrides.push(new);
        }
    }

    /// Adds what another one has beyond this.
    pub fn add(&mut self, other: &Consent) {
        for (own, others) in [
            (&mut self.data_loss, &other.data_loss),
            (&mut self.changes, &other.changes),
            (&mut self.policy, &other.policy),
            (&mut self.skipped_steps, &other.skipped_steps),
        ] {
            for new in others {
                if !own.contains(new) {
                    own.push(new.clone());
                }
            }
        }
        for new in &other.overrides {
            self.add_override(new.clone());
        }
        if other.policy_reason.is_some() {
            self.policy_reason.clone_from(&other.policy_reason);
        }
        if other.skip_checks.is_some() {
            self.skip_checks.clone_from(&other.skip_checks);
        }
    }
}

/// An override without a reason is none.
///
/// # Errors
/// Usage.
pub(crate) fn check_reason(consent: &Consent, reason: Option<&str>) -> Result<()> {
    let is_reason = |text: &str| !text.trim().is_empty();
    let given = [reason, consent.policy_reason.as_deref()]
        .into_iter()
        .flatten()
        .any(is_reason);
    let unsigned = !consent.policy.is_empty() && !given;
    if unsigned || consent.overrides.iter().any(|one| !is_reason(&one.reason)) {
        return Err(EngineError::usage("overriding a policy needs a reason").hint("say why: --reason TEXT"));
    }
    Ok(())
}

/// The overrides that made a difference, each under the rule's whole name.
pub(super) fn used(policy: &Policy, evaluation: &Evaluation, moment: &Moment<'_>) -> Vec<PolicyOverride> {
    let consent = moment.consent;
    let means = |named: &str, rule: &String| {
        policy
            .rules_named("--override-policy", named)
            .is_ok_and(|rules| rules.contains(rule))
    };
    let of_rule = |rule: String| {
        let signed = consent.overrides.iter().find(|one| means(&one.rule, &rule));
        match signed {
            Some(one) => PolicyOverride { rule, ..one.clone() },
            None => PolicyOverride {
                rule,
                by: moment.actor.to_owned(),
                reason: (consent.policy_reason.as_deref().or(moment.reason))
                    .unwrap_or_default()
                    .to_owned(),
            },
        }
    };
    evaluation.overridden().into_iter().map(of_rule).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(rules: &[&str]) -> Consent {
        Consent {
            policy: rules.iter().map(|rule| (*rule).to_owned()).collect(),
            ..Consent::default()
        }
    }

    #[test]
    fn it_takes_a_reason_to_sign() {
        assert_eq!(named(&["age"]).signed("ann", Some(" ")).overrides, []);
        assert!(check_reason(&named(&["age"]).signed("ann", None), None).is_err());
        let signed = named(&["age"]).signed("ann", Some("it burns"));
        assert!(check_reason(&signed, None).is_ok());
        assert_eq!(
            (signed.overrides[0].by.as_str(), signed.overridden_rules()),
            ("ann", vec!["age".to_owned()])
        );
        let blank = Consent {
            overrides: vec![PolicyOverride {
                reason: "  ".to_owned(),
                ..signed.overrides[0].clone()
            }],
            ..Consent::default()
        };
        assert!(check_reason(&blank, Some("a reason of the run is not the override's")).is_err());
    }

    #[test]
    fn the_first_word_stands() {
        let mut consent = named(&["age"]).signed("ann", Some("it burns"));
        consent.add(&named(&["age", "exposure"]).signed("bob", Some("me too")));
        let by: Vec<&str> = consent.overrides.iter().map(|one| one.by.as_str()).collect();
        assert_eq!(by, ["ann", "bob"]);
    }
}
