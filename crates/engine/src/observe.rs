//! How a run tells what it does while it does it. The engine never prints.

use std::time::Duration;

use rollback_terraform::Event;

/// What is being done now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    ReadingState,
    ReadingHistory,
    PreparingFolder,
    Initialising,
    Planning,
    BackingUp,
    WritingState,
    Applying,
    Verifying,
    Recording,
    Checking,
    WaitingForTerraform,
}

impl Stage {
    /// The words for it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Stage::ReadingState => "reading the live state",
            Stage::ReadingHistory => "reading the releases in between",
            Stage::PreparingFolder => "preparing a private folder",
            Stage::Initialising => "terraform init",
            Stage::Planning => "terraform plan",
            Stage::BackingUp => "keeping what is there now",
            Stage::WritingState => "writing the joined state",
            Stage::Applying => "terraform apply",
            Stage::Verifying => "verifying",
            Stage::Recording => "recording",
            Stage::Checking => "asking the checks",
            Stage::WaitingForTerraform => "waiting for the terraform that still runs",
        }
    }
}

/// Watches a run.
pub trait Observer {
    fn stage(&self, stack: &str, stage: Stage);
    fn terraform(&self, stack: &str, event: &Event);
    /// A step's line; it has no secret in it.
    fn step(&self, step: &str, line: &str) {
        let _ = (step, line);
    }
    fn warning(&self, message: &str);
    /// What a step or a check says while one waits for it.
    fn line(&self, message: &str) {
        let _ = message;
    }
    /// A person is about to be shown something, or asked: nothing may move meanwhile.
    fn pause(&self);
    /// The locks of a run's stacks were taken, or given up on, after that long.
    fn locked_after(&self, waited: Duration) {
        let _ = waited;
    }
}

/// Nobody watches.
pub struct Unwatched;

impl Observer for Unwatched {
    fn stage(&self, _: &str, _: Stage) {}
    fn terraform(&self, _: &str, _: &Event) {}
    fn warning(&self, _: &str) {}
    fn pause(&self) {}
}
