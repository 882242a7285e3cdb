//! The port of a step: one thing beside Terraform that has a value, was at another one at a release, and can be
//! brought there.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a step's thing is at: kept in releases and journals, so small (some KiB) and without a secret in the clear. What
/// is in it only the step's kind knows, and it must be able to read what its earlier versions wrote.
pub type Binding = Value;

/// One thing that runs and can be rolled back: a service's task definition, a listener's weights, a database's
/// migrations.
///
/// A step has no memory. What it finds goes into releases and journals, and comes back to it from there; so a run that
/// was cut off anywhere is taken up by another process, and undoing a step is going to where it was before.
pub trait Step: Send + Sync {
    /// What is there now. Changes nothing.
    ///
    /// # Errors
    /// It cannot be reached, or is not there.
    fn look(&self) -> Result<Binding, StepError>;

    /// What going from `now` to `target` takes; `None` where there is nothing to do. May look at what the way needs
    /// (is the image still there, can the migrations be reverted), and changes nothing.
    ///
    /// # Errors
    /// What the way needs cannot be looked at, or `target` cannot be understood.
    fn plan(&self, now: &Binding, target: &Binding) -> Result<Option<StepPlan>, StepError>;

    /// Goes to `target`, and comes back when that is reached; tells what is there then. `from` is what was there when it
    /// was planned. It is called again with the same values after a crash at any point, so it looks before it acts.
    ///
    /// # Errors
    /// See [`StepError::untouched`]: whether anything may have changed.
    fn go(&self, from: &Binding, target: &Binding, progress: &dyn Progress) -> Result<Binding, StepError>;

    /// Whether going somewhere puts another thing in the place of one that Terraform may manage.
    fn replaces_what_terraform_has(&self) -> bool {
        false
    }

    /// What Terraform's state has to be told once the way from `from` to `now` is done; `None` where it knows.
    ///
    /// # Errors
    /// The bindings cannot be understood.
    fn rebound(&self, from: &Binding, now: &Binding) -> Result<Option<Rebound>, StepError> {
        let _ = (from, now);
        Ok(None)
    }
}

/// Another thing stands in the place of one that Terraform may manage: it has the same name and other ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rebound {
    /// Terraform's type of it.
    pub kind: String,
    /// For people.
    pub what: String,
    /// The attribute by which the object of the state is found, as it was and as it is now.
    pub known_by: Revalued,
    /// Others that may have changed with it; one with another value stays as it is.
    pub also: Vec<Revalued>,
}

/// A text attribute with another value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revalued {
    pub name: String,
    pub from: String,
    pub to: String,
}

/// What a step is about to do, for a person and for the guards.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StepPlan {
    /// In the order in which it is done.
    pub changes: Vec<StepChange>,
    pub reversibility: Reversibility,
    /// Why it is no better than that, and what else a person should know before the yes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// What stands in the way: with one of these it is not begun.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub obstacles: Vec<String>,
}

/// One line of a plan. Secrets are masked already.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepChange {
    /// `task definition`, `weight of target group blue`, `variable LOG_LEVEL`
    pub what: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

impl StepChange {
    pub fn new(what: impl Into<String>, from: impl Into<String>, to: impl Into<String>) -> StepChange {
        StepChange {
            what: what.into(),
            from: Some(from.into()),
            to: Some(to.into()),
        }
    }
}

/// Whether what a step does can be taken back, from best to worst.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reversibility {
    /// `undo` brings it back as it was.
    #[default]
    Lossless,
    /// It can be taken back, and data written meanwhile is lost: needs an acceptance that names the step.
    DataLoss,
    /// It cannot be taken back: needs an acceptance that names the step.
    Irreversible,
}

impl Reversibility {
    pub fn as_str(self) -> &'static str {
        match self {
            Reversibility::Lossless => "lossless",
            Reversibility::DataLoss => "data-loss",
            Reversibility::Irreversible => "irreversible",
        }
    }
}

/// Hears what a step does while it waits. One line each, without secrets.
pub trait Progress: Send + Sync {
    fn line(&self, text: &str);
    /// Whether a person wants it to stop. A step looks between two waits and ends with what it has done.
    fn is_cancelled(&self) -> bool {
        false
    }
}

/// Nobody listens.
pub struct Silent;

impl Progress for Silent {
    fn line(&self, _: &str) {}
}

/// Why a step or a check could not do its work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct StepError {
    pub message: String,
    pub hint: Option<String>,
    /// It is certain that nothing has changed.
    pub untouched: bool,
}

impl StepError {
    /// Nothing has changed: it was not begun.
    pub fn untouched(message: impl Into<String>) -> StepError {
        StepError {
            message: message.into(),
            hint: None,
            untouched: true,
        }
    }

    /// Something may have changed.
    pub fn touched(message: impl Into<String>) -> StepError {
        StepError {
            message: message.into(),
            hint: None,
            untouched: false,
        }
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> StepError {
        self.hint = Some(hint.into());
        self
    }
}

/// How long a step may take where its settings say nothing. ECS gives a deployment up to this long before its circuit
/// breaker looks hopeless to a person, too.
pub const USUAL_PATIENCE: Duration = Duration::from_secs(15 * 60);
