//! How the threads of the service are told to end.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// A flag that threads wait for.
#[derive(Default)]
pub struct Stop(Mutex<bool>, Condvar);

impl Stop {
    pub fn set(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.1.notify_all();
    }

    /// Whether it was set, at the latest after so long.
    pub fn wait(&self, longest: Duration) -> bool {
        let guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (guard, _) = self
            .1
            .wait_timeout_while(guard, longest, |set| !*set)
            .unwrap_or_else(PoisonError::into_inner);
        *guard
    }
}
