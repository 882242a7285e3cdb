//! Where the commands of a step run: on this machine, or wherever else their code is.

use std::path::PathBuf;
use std::time::Duration;

use crate::note::Note;
use crate::process::Shell;
use crate::step::{Progress, Silent, StepError, StepPlan};

/// One command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order<'a> {
    /// For a shell.
    pub line: &'a str,
    /// Set for it.
    pub variables: Vec<(String, String)>,
    /// The code that it runs with, as [`CommandRunner::revision`] told; `None` where nothing was kept of it.
    pub revision: Option<&'a str>,
}

/// Runs commands.
pub trait CommandRunner: Send + Sync {
    /// What has the code that commands run with now: the ARN of a task definition. It is kept with what they tell, so
    /// that the same code can be asked again. `None`: what is checked out and installed here.
    ///
    /// # Errors
    /// It cannot be found.
    fn revision(&self) -> Result<Option<String>, StepError> {
        Ok(None)
    }

    /// Adds to a plan what a person should know of running commands with this revision, and what stands in the way of it.
    /// Changes nothing.
    ///
    /// # Errors
    /// That cannot be looked at.
    fn foresee(&self, revision: Option<&str>, plan: &mut StepPlan) -> Result<(), StepError> {
        let _ = (revision, plan);
        Ok(())
    }

    /// Sees to it that commands can run with this revision, and tells by which name they can from now on.
    ///
    /// # Errors
    /// They cannot.
    fn ready(&self, revision: Option<&str>, progress: &dyn Progress) -> Result<Option<String>, StepError> {
        let _ = progress;
        Ok(revision.map(str::to_owned))
    }

    /// Runs a command that changes nothing, and tells what it wrote to its standard output. What an earlier attempt left
    /// running is waited for first: what is told is true when it is told.
    ///
    /// # Errors
    /// It cannot be started, failed, ran out of time, or what it wrote cannot be read.
    fn look(&self, order: &Order<'_>, progress: &dyn Progress) -> Result<String, StepError>;

    /// Runs a command that changes something, to its end. Right before it, [`CommandRunner::look`] has looked.
    ///
    /// # Errors
    /// It cannot be started, failed or ran out of time; see [`StepError::untouched`].
    fn act(&self, order: &Order<'_>, progress: &dyn Progress) -> Result<(), StepError>;
}

/// Commands run here, in the user's working folder.
pub struct Here {
    pub folder: PathBuf,
    /// Names of variables that they may see besides the usual ones.
    pub environment: Vec<String>,
    pub timeout: Duration,
    /// Left by commands that change something.
    pub note: Option<Note>,
}

impl Here {
    fn shell(&self, order: &Order<'_>, note: Option<&Note>) -> Shell {
        Shell {
            line: order.line.to_owned(),
            folder: self.folder.clone(),
            environment: self.environment.clone(),
            variables: order.variables.clone(),
            timeout: self.timeout,
            note: note.cloned(),
        }
    }
}

impl CommandRunner for Here {
    fn look(&self, order: &Order<'_>, progress: &dyn Progress) -> Result<String, StepError> {
        if let Some(note) = &self.note {
            note.wait(self.timeout, progress)?;
        }
        let ended = self.shell(order, None).succeed(&Silent).map_err(looked)?;
        Ok(ended.stdout)
    }

    fn act(&self, order: &Order<'_>, progress: &dyn Progress) -> Result<(), StepError> {
        self.shell(order, self.note.as_ref()).succeed(progress).map(drop)
    }
}

/// A command that only looks and failed has changed nothing.
pub fn looked(error: StepError) -> StepError {
    StepError {
        untouched: true,
        ..error
    }
}
