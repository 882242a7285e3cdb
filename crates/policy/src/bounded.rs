//! Work in this process that is waited for only so long, and only while it does not take too much memory. It cannot be ended:
//! what is not ours to begin with is judged in a process of its own ([`crate::apart`]).

use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use crate::limits::{Limits, resident_memory};

/// Of a thread that judges, in bytes: rules may call one another deeply.
pub(crate) const STACK: usize = 64 << 20;

/// Runs on a thread of its own with room for deep recursion, and stops waiting when time or memory are used up.
pub(crate) fn bounded<T: Send + 'static>(
    limits: Limits,
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let (sender, receiver) = mpsc::channel();
    let before = resident_memory();
    let started = Instant::now();
    let thread = std::thread::Builder::new()
        .name("policy".to_owned())
        .stack_size(STACK)
        .spawn(move || {
            let _ = sender.send(work());
        });
    if let Err(error) = thread {
        return Err(format!("no thread to judge on: {error}"));
    }
    // The engine looks at the clock itself; what it does not look at (one long function) ends here.
    let last = limits.time + Duration::from_secs(1);
    let mut pause = Duration::from_millis(2);
    loop {
        match receiver.recv_timeout(pause) {
            Ok(outcome) => return outcome,
            Err(RecvTimeoutError::Disconnected) => return Err("the policy engine gave up on this policy".to_owned()),
            Err(RecvTimeoutError::Timeout) => {}
        }
        if started.elapsed() > last {
            return Err(format!("there was no verdict within {} s", limits.time.as_secs_f64()));
        }
        if let (Some(before), Some(now)) = (before, resident_memory())
            && now.saturating_sub(before) > limits.memory
        {
            return Err(format!("it used more than {} MiB", limits.memory >> 20));
        }
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}
