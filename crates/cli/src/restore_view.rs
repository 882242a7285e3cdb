//! What making a kept state the current one would mean, for people.

use rollback_engine::restore::RestoreReport;

use crate::output::{Output, Tone};
use crate::plan_view;

/// Prints the report.
pub fn print(output: &Output, report: &RestoreReport) {
    output.heading(&format!(
        "stack {}: the state of release {:.8} (commit {:.10}) becomes the current one, as serial {}",
        report.stack, report.version, report.commit, report.serial
    ));
    for (title, tone, list) in [
        (
            "Nobody would manage these any more; they live on",
            Tone::Danger,
            &report.orphans,
        ),
        (
            "The old state claims these; they may not exist",
            Tone::Warning,
            &report.claims,
        ),
        ("These get their old addresses back", Tone::Plain, &report.moved),
    ] {
        if !list.is_empty() {
            output.toned(tone, &format!("  {title} ({}):", list.len()));
            for address in list {
                output.line(&format!("    {address}"));
            }
        }
    }
    if report.live_is_damaged {
        output.toned(
            Tone::Danger,
            "  The live state cannot be read: what lives now and is in no release would be orphaned unseen.",
        );
        output.line("  Its bytes are kept under the home folder, in `damaged`.");
    }
    if let Some(evaluation) = &report.policy {
        plan_view::print_evaluation(output, evaluation);
    }
    output.line("  The infrastructure itself is not touched. To roll that back too: infra-rollback to.");
}
