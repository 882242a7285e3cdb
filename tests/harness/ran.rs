//! A command that has ended.

use std::os::unix::process::ExitStatusExt;
use std::process::Output;

use serde_json::Value;

/// What a command said and how it ended.
#[derive(Clone, Debug)]
pub struct Ran {
    pub what: String,
    /// The exit code, or the negative number of the signal.
    pub code: i32,
    pub bytes: Vec<u8>,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    pub(crate) fn new(what: String, output: Output) -> Self {
        let status = output.status;
        Ran {
            what,
            code: status.code().unwrap_or_else(|| -status.signal().unwrap_or(1000)),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            bytes: output.stdout,
        }
    }

    /// Everything it said.
    pub fn words(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    /// Panics unless it ended so.
    #[track_caller]
    pub fn exits(&self, code: i32) -> &Self {
        assert!(self.code == code, "expected exit {code}, got {self}");
        self
    }

    /// Panics unless it ended by a signal.
    #[track_caller]
    pub fn died(&self, signal: i32) -> &Self {
        assert!(self.code == -signal, "expected death by signal {signal}, got {self}");
        self
    }

    /// Panics unless it ended with an error: neither well nor by a panic or a signal.
    #[track_caller]
    pub fn fails(&self) -> &Self {
        assert!((1..=6).contains(&self.code), "expected an error, got {self}");
        self
    }

    /// Panics unless it said so; letters' case does not matter, nor how lines are broken.
    #[track_caller]
    pub fn says(&self, text: &str) -> &Self {
        let flat = |text: &str| text.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            flat(&self.words()).contains(&flat(text)),
            "expected it to say {text:?}, got {self}"
        );
        self
    }

    /// Panics if it said so.
    #[track_caller]
    pub fn never_says(&self, text: &str) -> &Self {
        assert!(!self.words().contains(text), "it must not say {text:?}: {self}");
        self
    }

    /// Its stdout as the one JSON document that it must be.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("no JSON document ({error}): {self}"))
    }
}

impl std::fmt::Display for Ran {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            formatter,
            "`{}` ended with {}\n--- stdout\n{}\n--- stderr\n{}",
            self.what, self.code, self.stdout, self.stderr
        )
    }
}
