//! What a later way back could not undo of an update that a deploy is about to make.

use serde_json::{Map, Value};

use crate::knowledge::{AttributeRule, Knowledge, Rule};
use crate::plan::Reversibility;
use crate::rules::{self, Consequence};

/// An update in place, as Terraform's plan tells it (`change` of a row of `resource_changes`).
#[derive(Clone, Copy, Debug)]
pub struct Update<'u> {
    /// The type of the resource.
    pub kind: &'u str,
    /// The attributes before the deploy.
    pub before: &'u Value,
    /// Those that the deploy sets.
    pub after: &'u Value,
    /// `after_unknown`: `true` where only the apply will tell.
    pub unknown: &'u Value,
    /// `before` as it may be shown.
    pub shown_before: &'u Value,
    /// `after` as it may be shown.
    pub shown_after: &'u Value,
}

/// One reason why an update cannot be undone, or not without a loss.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// How much of the update a rollback could take back.
    pub reversibility: Reversibility,
    /// A plain sentence.
    pub reason: String,
}

impl Update<'_> {
    /// What the knowledge of the type says about this update and about the way back from it.
    pub fn obstacles(&self, knowledge: &Knowledge) -> Vec<Obstacle> {
        let empty = Map::new();
        let (before, after, unknown) = (
            self.before.as_object().unwrap_or(&empty),
            self.after.as_object().unwrap_or(&empty),
            self.unknown.as_object().unwrap_or(&empty),
        );
        knowledge
            .rules(self.kind)
            .filter_map(|rule| {
                let (old, new) = (before.get(&rule.attribute), after.get(&rule.attribute));
                let speaks = match unknown.get(&rule.attribute) {
                    None | Some(Value::Bool(false)) => old != new,
                    // Without the value only what any change means can be said.
                    Some(_) => matches!(rule.rule, Rule::NoChange | Rule::DataLossOnChange),
                };
                speaks.then(|| self.obstacle(rule, old, new)).flatten()
            })
            .collect()
    }

    fn obstacle(&self, rule: &AttributeRule, old: Option<&Value>, new: Option<&Value>) -> Option<Obstacle> {
        let null = Value::Null;
        let (old, new) = (old.unwrap_or(&null), new.unwrap_or(&null));
        let attribute = &rule.attribute;
        let told = |reason: String| match rule.message.as_str() {
            "" => reason,
            message => format!("{reason} {message}"),
        };
        match (
            rules::of_update(rule.rule, old, new),
            rules::of_update(rule.rule, new, old),
        ) {
            (Some(Consequence::LosesData), _) => Some(Obstacle {
                reversibility: Reversibility::DataLoss,
                reason: told(format!(
                    "{attribute} changes, and what is lost by that no rollback brings back."
                )),
            }),
            (_, Some(Consequence::Impossible)) => {
                let (now, then) = (self.shown_after.get(attribute), self.shown_before.get(attribute));
                let reason = rules::obstacle(rule, now, then);
                Some(Obstacle {
                    reversibility: Reversibility::Irreversible,
                    reason: told(format!("It cannot go back: {reason}")),
                })
            }
            (_, Some(Consequence::LosesData)) => Some(Obstacle {
                reversibility: Reversibility::DataLoss,
                reason: told(format!("{attribute} changes, and data is lost when it is set back.")),
            }),
            _ => None,
        }
    }
}
