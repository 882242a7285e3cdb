//! Values for variables that come with a request: held in memory while their rollback is under way, and nowhere else.
//! After a restart of the service whoever resumes the rollback gives them again.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rollback_engine::context::Given;
use serde::Deserialize;

use crate::problem::{Problem, Result};

/// A number that nobody can guess has at least so many digits.
const NONCE: usize = 32;

/// Values as a request brings them; part of its body.
#[derive(Default, Deserialize)]
pub struct Values {
    #[serde(default)]
    pub variables: BTreeMap<String, String>,
    /// Beside values a random number: without it the digest of the body on the audit log would tell of a value that can
    /// be guessed.
    #[serde(default)]
    pub nonce: Option<String>,
}

impl Values {
    /// As the engine takes them.
    ///
    /// # Errors
    /// A name that no variable has; values without a nonce.
    pub fn given(self) -> Result<Given> {
        let plain = |name: &str| {
            let mut letters = name.chars();
            letters
                .next()
                .is_some_and(|first| first.is_alphabetic() || first == '_')
                && letters.all(|letter| letter.is_alphanumeric() || letter == '_' || letter == '-')
        };
        if self.variables.keys().any(|name| name.len() > 200 || !plain(name)) {
            return Err(Problem::bad_request(
                "a name in variables is none that a variable can have",
            ));
        }
        let nonce = self.nonce.as_deref().unwrap_or_default().len();
        if !self.variables.is_empty() && nonce < NONCE {
            return Err(Problem::bad_request(format!(
                "beside variables there has to be a nonce: at least {NONCE} random hexadecimal digits"
            )));
        }
        Ok(Given {
            variables: self.variables.into_iter().collect(),
            files: Vec::new(),
        })
    }
}

/// The values of the rollbacks that are under way in this process.
#[derive(Default)]
pub struct Held(Mutex<BTreeMap<String, Given>>);

impl Held {
    fn known(&self) -> MutexGuard<'_, BTreeMap<String, Given>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Later values of one rollback stand beside the earlier ones, and before them.
    pub fn keep(&self, rollback: &str, given: Given) {
        if !given.variables.is_empty() {
            let mut known = self.known();
            known
                .entry(rollback.to_owned())
                .or_default()
                .variables
                .extend(given.variables);
        }
    }

    pub fn of(&self, rollback: &str) -> Given {
        self.known().get(rollback).cloned().unwrap_or_default()
    }

    pub fn forget(&self, rollback: &str) {
        self.known().remove(rollback);
    }
}
