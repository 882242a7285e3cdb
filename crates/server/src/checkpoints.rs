//! The thread that signs checkpoints of the audit log while the service runs, and a last one when it ends.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rollback_engine::audit::key::SigningKey;

use crate::service::Service;

/// Signs now and then until it is dropped.
pub struct Signing {
    stop: Arc<(Mutex<bool>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

/// Signs the log as it is now, and every `interval` again where entries have come since.
///
/// # Errors
/// The log is damaged, or is not the one that was signed last.
pub fn keep_signing(
    service: &Arc<Service>,
    key: SigningKey,
    interval: Duration,
) -> rollback_engine::error::Result<Signing> {
    service.audit.sign_checkpoint(&key)?;
    let stop = Arc::new((Mutex::new(false), Condvar::new()));
    let (service, stopped) = (service.clone(), stop.clone());
    let thread = std::thread::Builder::new()
        .name("checkpoints".to_owned())
        .spawn(move || {
            let (is_over, changed) = &*stopped;
            loop {
                let guard = is_over.lock().unwrap_or_else(PoisonError::into_inner);
                let (guard, _) = changed
                    .wait_timeout_while(guard, interval, |over| !*over)
                    .unwrap_or_else(PoisonError::into_inner);
                let over = *guard;
                drop(guard);
                match service.audit.sign_checkpoint(&key) {
                    Ok(_) => service.metrics.audit_is_sound(true),
                    Err(error) => {
                        service.metrics.audit_is_sound(false);
                        tracing::error!(%error, "no checkpoint of the audit log can be signed");
                    }
                }
                if over {
                    return;
                }
            }
        })?;
    Ok(Signing {
        stop,
        thread: Some(thread),
    })
}

impl Drop for Signing {
    fn drop(&mut self) {
        *self.stop.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.stop.1.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
