//! `command`: anything that tells with one command where it is and goes with another where it is told.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rollback_config::project::StepTable;
use serde::Deserialize;
use serde_json::json;

use crate::note::Note;
use crate::process::Shell;
use crate::runner::looked;
use crate::settings::{Common, Made, read};
use crate::step::{Binding, Progress, Reversibility, Silent, Step, StepChange, StepError, StepPlan, USUAL_PATIENCE};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Prints where it is: one value, without a secret.
    look: String,
    /// Goes to `$TARGET`; `$FROM` is where it was.
    go: String,
    dir: Option<PathBuf>,
    #[serde(default)]
    environment: Vec<String>,
    #[serde(default)]
    reversibility: Reversibility,
}

/// A step made of two commands.
pub struct CommandStep {
    settings: Settings,
    folder: PathBuf,
    timeout: Duration,
    note: Option<Note>,
}

pub(super) fn of_table(table: &StepTable, root: &Path) -> Made<dyn Step> {
    let (common, settings): (Common, Settings) = read("step", table)?;
    let step = CommandStep {
        folder: root.join(settings.dir.clone().unwrap_or_default()),
        timeout: common.timeout.unwrap_or(USUAL_PATIENCE),
        note: Note::of(root, &common.name),
        settings,
    };
    Ok((common, Box::new(step)))
}

impl CommandStep {
    fn shell(&self, line: &str, variables: Vec<(String, String)>, note: Option<&Note>) -> Shell {
        Shell {
            line: line.to_owned(),
            folder: self.folder.clone(),
            environment: self.settings.environment.clone(),
            variables,
            timeout: self.timeout,
            note: note.cloned(),
        }
    }

    /// Where it is; what an earlier attempt has left running is waited for first.
    fn place(&self, progress: &dyn Progress) -> Result<Binding, StepError> {
        if let Some(note) = &self.note {
            note.wait(self.timeout, progress)?;
        }
        let looking = self.shell(&self.settings.look, Vec::new(), None);
        let ended = looking.succeed(&Silent).map_err(looked)?;
        let value = ended.stdout.trim();
        if value.is_empty() || value.len() > 4096 {
            return Err(StepError::untouched(format!(
                "`{}` printed {} bytes: it has to print where it is, in one short value",
                self.settings.look,
                value.len()
            )));
        }
        Ok(json!({ "value": value }))
    }
}

fn text(binding: &Binding) -> Result<&str, StepError> {
    binding["value"]
        .as_str()
        .ok_or_else(|| StepError::untouched("what the release has of it is no value of a `command` step"))
}

impl Step for CommandStep {
    fn look(&self) -> Result<Binding, StepError> {
        self.place(&Silent)
    }

    fn plan(&self, now: &Binding, target: &Binding) -> Result<Option<StepPlan>, StepError> {
        let (from, to) = (text(now)?, text(target)?);
        Ok((from != to).then(|| StepPlan {
            changes: vec![StepChange::new("value", from, to)],
            reversibility: self.settings.reversibility,
            ..StepPlan::default()
        }))
    }

    fn go(&self, from: &Binding, target: &Binding, progress: &dyn Progress) -> Result<Binding, StepError> {
        let to = text(target)?;
        let now = self.place(progress)?;
        if text(&now)? == to {
            return Ok(now);
        }
        let variables = vec![
            ("FROM".to_owned(), text(from)?.to_owned()),
            ("TARGET".to_owned(), to.to_owned()),
        ];
        self.shell(&self.settings.go, variables, self.note.as_ref())
            .succeed(progress)?;
        let now = self.look().map_err(|error| StepError {
            untouched: false,
            ..error
        })?;
        match text(&now)? {
            reached if reached == to => Ok(now),
            other => Err(StepError::touched(format!(
                "`{}` ended well, and it is at {other:?} and not at {to:?}",
                self.settings.go
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(folder: &Path, more: &str) -> Box<dyn Step> {
        let text = format!(
            "[[step]]\nkind='command'\nlook='cat value'\ngo='echo \"$TARGET\" > value; echo went from $FROM'\n{more}"
        );
        super::super::step_of_text(&text, folder)
    }

    #[test]
    fn there_and_back_again() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("value"), "one\n").unwrap();
        let step = step(folder.path(), "");
        let first = step.look().unwrap();
        std::fs::write(folder.path().join("value"), "two\n").unwrap();
        let second = step.look().unwrap();
        let plan = step.plan(&second, &first).unwrap().unwrap();
        assert_eq!(plan.changes, [StepChange::new("value", "two", "one")]);
        assert_eq!(step.go(&second, &first, &Silent).unwrap(), first);
        // Once more, as after a crash.
        assert_eq!(step.go(&second, &first, &Silent).unwrap(), first);
        assert_eq!(step.plan(&first, &first).unwrap(), None);
    }

    #[test]
    fn one_that_does_not_arrive_is_no_success() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("value"), "one\n").unwrap();
        let text = "[[step]]\nkind='command'\nlook='cat value'\ngo='true'\nreversibility='irreversible'";
        let step = super::super::step_of_text(text, folder.path());
        let error = step
            .go(&json!({"value": "one"}), &json!({"value": "zero"}), &Silent)
            .unwrap_err();
        assert!(!error.untouched && error.message.contains("not at \"zero\""), "{error}");
        let plan = step
            .plan(&json!({"value": "one"}), &json!({"value": "zero"}))
            .unwrap()
            .unwrap();
        assert_eq!(plan.reversibility, Reversibility::Irreversible);
    }
}
