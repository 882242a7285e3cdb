//! Ctrl-C while terraform runs.
//!
//! Children have their own process group, so that the terminal's Ctrl-C reaches us alone; we pass on exactly one. Terraform takes
//! a second one as the order to die at once, which during an apply loses what the state should have recorded (seen with 1.11).

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};

use signal_hook::SigId;
use signal_hook::consts::{SIGINT, SIGTERM};

/// True while no child runs: then the signals do what they do by default, and end this process.
static IDLE: LazyLock<Arc<AtomicBool>> = LazyLock::new(|| {
    let idle = Arc::new(AtomicBool::new(true));
    for signal in [SIGINT, SIGTERM] {
        if let Err(error) = signal_hook::flag::register_conditional_default(signal, Arc::clone(&idle)) {
            tracing::warn!(signal, %error, "cannot watch a signal");
        }
    }
    idle
});
static RUNNING: Mutex<usize> = Mutex::new(0);
static CALLER_HANDLES: AtomicUsize = AtomicUsize::new(0);

/// The caller has handlers of its own for SIGINT and SIGTERM: from now on this crate never lets them end the process by default.
pub fn leave_signals_to_caller() {
    CALLER_HANDLES.store(1, Ordering::SeqCst);
    IDLE.store(false, Ordering::SeqCst);
}

/// Watches for SIGINT and SIGTERM as long as it lives; one for each running child.
pub(crate) struct Watch {
    seen: Arc<AtomicBool>,
    registrations: Vec<SigId>,
}

impl Watch {
    pub(crate) fn start() -> Watch {
        let mut running = RUNNING.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        *running += 1;
        IDLE.store(false, Ordering::SeqCst);
        drop(running);
        let seen = Arc::new(AtomicBool::new(false));
        let registrations = [SIGINT, SIGTERM]
            .into_iter()
            .filter_map(|signal| signal_hook::flag::register(signal, Arc::clone(&seen)).ok())
            .collect();
        Watch { seen, registrations }
    }

    /// Whether a signal came since the last call.
    pub(crate) fn take(&self) -> bool {
        self.seen.swap(false, Ordering::SeqCst)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut running = RUNNING.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        *running -= 1;
        if *running == 0 && CALLER_HANDLES.load(Ordering::SeqCst) == 0 {
            IDLE.store(true, Ordering::SeqCst);
        }
        for registration in self.registrations.drain(..) {
            signal_hook::low_level::unregister(registration);
        }
    }
}
