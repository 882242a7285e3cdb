//! The settings of identities, read again when they change: who is let in is changed without a restart, and settings that cannot be
//! understood shut nobody out who was let in before.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use rollback_config::project::IdentitySection;
use rollback_engine::error::Result;

use super::Identities;
use crate::stop::Stop;

/// How often it is looked.
const INTERVAL: Duration = Duration::from_secs(5);

/// Looks until it is dropped.
pub struct Following {
    stop: Arc<Stop>,
    thread: Option<JoinHandle<()>>,
}

/// Begins. `known` is what the identities were made of; `read` gives the settings as they are now.
///
/// # Errors
/// No thread can be started.
pub fn follow(
    identities: Arc<Identities>,
    known: Vec<IdentitySection>,
    read: impl Fn() -> Result<Vec<IdentitySection>> + Send + 'static,
) -> Result<Following> {
    let stop = Arc::new(Stop::default());
    let stopped = stop.clone();
    let thread = std::thread::Builder::new()
        .name("identities".to_owned())
        .spawn(move || {
            let mut known = known;
            let mut complained = String::new();
            while !stopped.wait(INTERVAL) {
                let changed = read().and_then(|now| {
                    if now == known {
                        return Ok(false);
                    }
                    identities.replace(&now)?;
                    known = now;
                    Ok(true)
                });
                match changed {
                    Ok(true) => {
                        complained.clear();
                        tracing::warn!(
                            issuers = identities.issuers().join(", "),
                            "[[identity]] has changed: from now on it counts as it is there"
                        );
                    }
                    Ok(false) => complained.clear(),
                    // Once for each mistake.
                    Err(error) if error.message != complained => {
                        tracing::error!(%error, "[[identity]] cannot be read again; what was read before stays");
                        complained.clone_from(&error.message);
                    }
                    Err(_) => {}
                }
            }
        })?;
    Ok(Following {
        stop,
        thread: Some(thread),
    })
}

impl Drop for Following {
    fn drop(&mut self) {
        self.stop.set();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
