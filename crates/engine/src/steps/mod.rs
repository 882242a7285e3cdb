//! What a run does beside Terraform: the configured steps, from what releases keep of them to their part in a run.

mod capture;
mod choosing;
mod drive;
mod order;
mod prepare;
mod record;
mod tell;

pub use capture::{Kept, Runtime, Seen, look, seen};
pub use choosing::{About, Choice, Choices, NoChoices, check_names, choices, choose, databases, send, unknown};
pub use order::check as check_order;
pub use prepare::{PreparedStep, Way, open_refusals, prepare, step_error};
pub use record::{StepEnvelope, StepOutcome};

pub(crate) use capture::capture;
pub(crate) use drive::Done;
pub(crate) use prepare::{Wanted, obstacles, wanted};
