//! What needs a yes of its own.

use std::collections::BTreeMap;

use rollback_inverse::{Fate, Reversibility};

use super::{Guard, Input, Reconciled, Refusal};

/// Finds what needs a yes of its own.
pub(super) fn guard(reconciled: &mut Reconciled, input: &Input<'_>) {
    let protected: BTreeMap<String, &str> = input
        .inverse
        .changes
        .iter()
        .filter_map(|change| Some((change.from.as_ref()?.address.to_string(), change.protected.as_deref()?)))
        .collect();
    let mut refusals = Vec::new();
    for item in &reconciled.items {
        let was = item.previous_address.as_ref().unwrap_or(&item.address);
        if matches!(item.fate, Fate::Destroy | Fate::Replace)
            && let Some(place) = protected.get(was)
        {
            refusals.push(Refusal {
                guard: Guard::DataLoss,
                address: item.address.clone(),
                message: format!(
                    "it is protected by prevent_destroy ({place}) and would be {}",
                    past(item.fate)
                ),
            });
        } else if item.reversibility >= Reversibility::DataLoss {
            refusals.push(Refusal {
                guard: Guard::DataLoss,
                address: item.address.clone(),
                message: format!("it would be {}: {}", past(item.fate), item.reason),
            });
        }
        if item.fate == Fate::Impossible {
            refusals.push(Refusal {
                guard: Guard::Impossible,
                address: item.address.clone(),
                message: item.reason.clone(),
            });
        }
        let already = reconciled
            .refusals
            .iter()
            .any(|refusal| refusal.address == item.address);
        if !item.explained && !already {
            refusals.push(Refusal {
                guard: Guard::Surprise,
                address: item.address.clone(),
                message: format!(
                    "terraform would {} it, and the releases do not say why: {}",
                    verb(item.fate),
                    item.reason
                ),
            });
        }
    }
    reconciled.refusals.extend(refusals);
}

pub(super) fn past(fate: Fate) -> &'static str {
    match fate {
        Fate::Destroy => "destroyed",
        Fate::Replace => "destroyed and made anew",
        Fate::Create => "made anew, empty",
        _ => "changed for good",
    }
}

pub(super) fn verb(fate: Fate) -> &'static str {
    match fate {
        Fate::Destroy => "destroy",
        Fate::Replace => "destroy and make anew",
        Fate::Create => "create",
        Fate::Forget => "let go of",
        Fate::Move => "move",
        _ => "change",
    }
}
