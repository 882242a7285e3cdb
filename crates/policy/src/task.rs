//! What is done with a bundle that may do its worst: which of its names are rules, what they say of an input, and whether its
//! tests pass.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use regorus::Value as Rego;
use serde::{Deserialize, Serialize};

use crate::bundle::Bundle;
use crate::document::with_aliases;
use crate::engine::{add_module, filled};
use crate::judging::{Judged, Question, judge, really_rules};
use crate::limits::Limits;
use crate::test_run::passes;

/// A bundle and what is wanted of it.
#[derive(Serialize, Deserialize)]
pub(crate) struct Task {
    pub bundle: Bundle,
    pub milliseconds: u64,
    pub what: What,
}

#[derive(Serialize, Deserialize)]
pub(crate) enum What {
    /// Which of these names are rules.
    Find { candidates: Vec<String> },
    /// What the rules say of an input, as JSON.
    Judge {
        questions: Vec<Question>,
        /// Packages with Conftest's exceptions.
        exceptions: BTreeSet<String>,
        input: String,
    },
    /// Whether one test passes.
    Test {
        /// `package.rule`, without `data.`.
        name: String,
    },
}

/// What came of it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Answer {
    Found(Vec<String>),
    Judged(Judged),
    Tested { passed: bool },
}

impl Task {
    pub(crate) fn new(bundle: &Bundle, limits: Limits, what: What) -> Task {
        Task {
            bundle: bundle.clone(),
            milliseconds: u64::try_from(limits.time.as_millis()).unwrap_or(u64::MAX),
            what,
        }
    }

    /// Does it, here and now.
    pub(crate) fn perform(self) -> Result<Answer, String> {
        let time = Duration::from_millis(self.milliseconds);
        let until = Instant::now() + time;
        let mut engine = filled(&self.bundle, time).map_err(|error| error.to_string())?;
        match self.what {
            What::Find { candidates } => Ok(Answer::Found(really_rules(&mut engine, candidates))),
            What::Judge {
                questions,
                exceptions,
                input,
            } => {
                let input = Rego::from_json_str(&input).map_err(|error| error.to_string())?;
                engine.set_input(with_aliases(input));
                Ok(Answer::Judged(judge(&mut engine, &questions, &exceptions, until)))
            }
            What::Test { name } => {
                for (path, text) in self.bundle.tests() {
                    add_module(&mut engine, path, text).map_err(|error| error.to_string())?;
                }
                passes(&mut engine, &name).map(|passed| Answer::Tested { passed })
            }
        }
    }

    /// Bytes of the input.
    pub(crate) fn size(&self) -> usize {
        match &self.what {
            What::Find { .. } | What::Test { .. } => 0,
            What::Judge { input, .. } => input.len(),
        }
    }
}
