//! What must never be shown, shared by everything that speaks: the terminal, the journal, errors.

use std::sync::{Arc, Mutex};

use rollback_inverse::redact::Redactor;

use crate::error::EngineError;

/// The redactors known so far.
#[derive(Default)]
pub struct Secrets(Mutex<Vec<Arc<Redactor>>>);

impl Secrets {
    /// From now on nothing that this redactor knows passes [`Secrets::scrub`].
    pub fn hide(&self, redactor: Arc<Redactor>) {
        if let Ok(mut known) = self.0.lock() {
            known.push(redactor);
        }
    }

    /// The text without any secret known so far.
    pub fn scrub(&self, text: &str) -> String {
        let mut text = text.to_owned();
        if let Ok(known) = self.0.lock() {
            for redactor in known.iter() {
                text = redactor.scrub_text(&text);
            }
        }
        text
    }

    /// The error without any secret known so far.
    pub fn scrub_error(&self, mut error: EngineError) -> EngineError {
        error.message = self.scrub(&error.message);
        error.hints = error.hints.iter().map(|hint| self.scrub(hint)).collect();
        error
    }
}
