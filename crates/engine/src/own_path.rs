//! Values that name the folder in which Terraform runs (`abspath(path.module)`, `path.cwd`): for a rollback that is a private
//! folder of ours, which is gone afterwards and never was the target's.

use std::path::Path;

use rollback_terraform::{Plan, ResourceChange};
use serde_json::Value;

use crate::json_text::any_text;
use crate::reconcile::{Guard, Refusal};

/// A refusal for each object and output that would be given such a value.
pub(crate) fn refusals(plan: &Plan, folder: &Path) -> Vec<Refusal> {
    let mut paths = vec![folder.to_string_lossy().into_owned()];
    if let Ok(real) = folder.canonicalize() {
        paths.push(real.to_string_lossy().into_owned());
    }
    let names_it = |value: &Value| any_text(value, &|text| paths.iter().any(|path| text.contains(path)));
    let objects = plan
        .resource_changes
        .iter()
        .filter(|change| change.is_managed() && !change.is_untouched() && names_it(&change.change.after))
        .map(|change: &ResourceChange| change.address.clone());
    let outputs = plan
        .output_changes
        .iter()
        .filter(|(_, change)| names_it(&change.after))
        .map(|(name, _)| format!("output.{name}"));
    let refusal = |address| {
        Refusal {
        guard: Guard::Difference,
        address,
        message: "its value would name the private folder in which terraform runs for a rollback (abspath, path.cwd), which \
                  the target's value did not: go back to the commit by hand for it, or write the path relative to path.module"
            .to_owned(),
    }
    };
    objects.chain(outputs).map(refusal).collect()
}
