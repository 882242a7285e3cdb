//! Waiting for what takes its time: more and more seldom, with an end, and not against a person's will.

use std::time::{Duration, Instant};

use rollback_runbook::step::{Progress, StepError};

use crate::account::Pace;

/// How long nothing is asked of the person's wish to stop.
const SLICE: Duration = Duration::from_millis(100);

pub(crate) struct Wait<'a> {
    progress: &'a dyn Progress,
    started: Instant,
    patience: Duration,
    next: Duration,
    longest: Duration,
}

impl<'a> Wait<'a> {
    pub(crate) fn new(pace: Pace, patience: Duration, progress: &'a dyn Progress) -> Wait<'a> {
        Wait {
            progress,
            started: Instant::now(),
            patience,
            next: pace.first,
            longest: pace.longest,
        }
    }

    /// Waits until it is time to look again. `what` completes "… is not reached".
    ///
    /// # Errors
    /// Patience is over, or a person wants it to stop; something has been changed by then.
    pub(crate) fn pause(&mut self, what: &str) -> Result<(), StepError> {
        if self.started.elapsed() >= self.patience {
            return Err(
                StepError::touched(format!("{what} is not reached after {} s", self.patience.as_secs()))
                    .hint("`resume` goes on waiting, `undo` goes back; timeout = \"30m\" in the table waits longer"),
            );
        }
        let pause = self.next.min(self.patience.saturating_sub(self.started.elapsed()));
        self.next = (self.next * 2).min(self.longest);
        sleep(pause, self.progress).then_some(()).ok_or_else(|| stopped(what))
    }
}

/// Sleeps; false where a person wanted it to stop meanwhile.
pub(crate) fn sleep(pause: Duration, progress: &dyn Progress) -> bool {
    let until = Instant::now() + pause;
    loop {
        if progress.is_cancelled() {
            return false;
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return true;
        }
        std::thread::sleep(left.min(SLICE));
    }
}

/// Somebody wanted it to stop while it waited.
pub(crate) fn stopped(what: &str) -> StepError {
    StepError::touched(format!("stopped before {what} was reached"))
        .hint("what was begun goes on at AWS; `resume` goes on waiting, `undo` goes back")
}
