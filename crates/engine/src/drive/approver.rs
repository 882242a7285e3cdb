//! Who is shown a plan, and asked.

use crate::approval::Sufficient;
use crate::planning::Planned;
use crate::reconcile::Refusal;
use crate::restore::RestoreReport;

/// The answer to "shall this be applied?".
pub enum Answer {
    /// `how` goes on record: `--auto-approve`, a terminal.
    Yes {
        how: String,
    },
    /// People said yes elsewhere; it is used up when the run begins to apply.
    Approved(Box<Sufficient>),
    No,
    /// There is nobody to ask.
    Nobody,
}

/// Shows a plan and asks.
pub trait Approver {
    /// Called once all stacks and steps are prepared, before any guard speaks.
    fn show(&self, planned: &Planned, refusals: &[Refusal]);
    /// As [`Approver::show`], of a stack that has changes again now that those which it reads are back.
    fn show_again(&self, planned: &Planned, refusals: &[Refusal]);
    /// Asks for the yes that a refusal needs; true adds its address to the consent.
    fn consent(&self, refusal: &Refusal) -> bool;
    /// Whether that yes may still come, so that the run waits for it rather than ends.
    fn consent_may_come(&self) -> bool {
        false
    }
    /// Asks for the yes to everything.
    fn approve(&self, planned: &Planned, digest: &str) -> Answer;
    /// As [`Approver::show`], for a state that becomes the current one.
    fn show_restore(&self, report: &RestoreReport, refusals: &[Refusal]) {
        let _ = (report, refusals);
    }
    /// As [`Approver::approve`], for a state that becomes the current one.
    fn approve_restore(&self, report: &RestoreReport, digest: &str) -> Answer {
        let _ = (report, digest);
        Answer::Nobody
    }
}
