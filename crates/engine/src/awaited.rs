//! Values that only the apply tells: they are held against the target's afterwards, as all others are before.

use std::collections::{BTreeMap, BTreeSet};

use rollback_config::Configuration;
use rollback_inverse::Knowledge;
use rollback_state::State;
use rollback_terraform::Plan;

use crate::differences;
use crate::prepare::Prepared;
use crate::reconcile::Input;

/// What was not known when the plan was made, of attributes in which a variable has a part.
pub struct Awaited {
    target: State,
    configuration: Configuration,
    missing: BTreeSet<String>,
    /// By the object's address.
    attributes: BTreeMap<String, BTreeSet<String>>,
}

impl Awaited {
    /// `None` where the plan tells everything.
    pub fn of(input: &Input<'_>) -> Option<Awaited> {
        let (plan, target, configuration) = (input.plan?, input.target?, input.target_config?);
        let attributes: BTreeMap<String, BTreeSet<String>> = plan
            .resource_changes
            .iter()
            .map(|real| (real.address.clone(), differences::awaited(input, real)))
            .filter(|(_, attributes)| !attributes.is_empty())
            .collect();
        (!attributes.is_empty()).then(|| Awaited {
            target: target.clone(),
            configuration: configuration.clone(),
            missing: input.missing.clone(),
            attributes,
        })
    }

    /// A line for each value that came out as another one than the target had, and that no object explains. `left` is a plan of
    /// the target's configuration after the apply.
    pub fn came_out_otherwise(&self, prepared: &Prepared, knowledge: &Knowledge, left: &Plan) -> Vec<String> {
        let input = Input {
            inverse: &prepared.inverse,
            knowledge,
            plan: Some(left),
            target: Some(&self.target),
            target_config: Some(&self.configuration),
            deployed_config: None,
            redactor: &prepared.redactor,
            targets: &prepared.targets,
            missing: &self.missing,
        };
        let moving = std::cell::LazyCell::new(|| differences::moving(&input, left));
        let mut lines = Vec::new();
        for real in &left.resource_changes {
            let Some(attributes) = self.attributes.get(&real.address) else {
                continue;
            };
            let found = differences::find(&input, real, &moving);
            let otherwise = found
                .into_iter()
                .filter(|difference| !difference.explained && attributes.contains(&difference.attribute));
            lines.extend(otherwise.map(|difference| format!("{}: {}", real.address, difference.message)));
        }
        lines
    }
}
