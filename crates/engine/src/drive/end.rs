//! How a run ends: on record, with what was promised to whoever comes after it.

use jiff::Timestamp;

use super::{Drive, Outcome};
use crate::context::Context;
use crate::error::{EngineError, Kind, Result};
use crate::guard::way_back;
use crate::journal::{Event, crash_point};
use crate::run::{Purpose, Status};
use crate::undo::close_undone;

impl Drive<'_> {
    /// Writes down how it ended, and gives the private folder back where nothing is owed to it any more.
    pub(crate) fn end(self, result: Result<Outcome>) -> Result<Outcome> {
        let (id, has_effect) = (self.run.id.clone(), self.journal.has_effect());
        // Whatever fails from here on, the store's own disk among it: what was done is done.
        self.end_on_record(result).map_err(|error| match error.kind {
            Kind::Failed if has_effect => error
                .kind(Kind::Halfway)
                .hint(format!("`infra-rollback resume {id}` goes on when the cause is gone")),
            _ => error,
        })
    }

    fn end_on_record(mut self, result: Result<Outcome>) -> Result<Outcome> {
        let status = match &result {
            Ok(_) => Status::Completed,
            // Whatever went wrong: something was done and is not finished.
            Err(_) if self.journal.has_effect() => Status::Halfway,
            Err(error) => match error.kind {
                Kind::AwaitingApproval => Status::AwaitingApproval,
                Kind::Refused => Status::Refused,
                _ => Status::Failed,
            },
        };
        if self.journal.is_fenced_out() {
            return self.fenced_out(result);
        }
        match &result {
            Ok(_) => self.journal.append(Event::Finished {
                status: status.as_str().to_owned(),
            })?,
            Err(error) => self.journal.append(Event::Stopped {
                why: self.context.secrets.scrub(&error.message),
            })?,
        }
        self.run.status = status;
        if status.is_over() {
            self.run.ended_at = Some(Timestamp::now());
        }
        // Before this run is over: killed in between, it is resumed, and what it undid cannot be.
        if status == Status::Completed
            && let Purpose::Undo { run } = &self.run.purpose
        {
            close_undone(self.context, &self.runs, run, &self.locks.fence())?;
        }
        self.save()?;
        if status.is_over() {
            crash_point("over");
        }
        if let Err(error) = self.announce_end() {
            // The run is what it is: who could not be told does not change it.
            self.context.observer.warning(&error.message);
        }
        if status.is_over() {
            remove_run_folder(self.context, &self.run.id);
        }
        result.map_err(|error| match status {
            Status::Halfway => {
                let error = error.hint(format!(
                    "`infra-rollback resume {}` goes on when the cause is gone",
                    self.run.id
                ));
                let error = way_back(&self.runs, error, &self.run);
                // What the guards and the locks say keeps its own exit code; a failure with effects is halfway.
                if error.kind == Kind::Failed {
                    error.kind(Kind::Halfway)
                } else {
                    error
                }
            }
            Status::Failed | Status::Refused if !error.message.contains("nothing was changed") => {
                error.hint("nothing was changed")
            }
            _ => error,
        })
    }

    /// How it ends for a process that has lost its locks: nothing is written, and nothing of what it left is removed.
    fn fenced_out(self, result: Result<Outcome>) -> Result<Outcome> {
        let error = match result {
            Err(error) => error,
            Ok(_) => EngineError::new(Kind::Locked, "this run has lost its locks"),
        };
        if !self.journal.has_effect() {
            // Somebody may have taken the run up again: what lies beside this attempt is theirs.
            if let Some(folder) = &self.folder {
                let _ = std::fs::remove_dir_all(folder);
                let _ = std::fs::remove_dir(self.context.run_folder(&self.run.id));
            }
            return Err(error.hint("nothing was changed"));
        }
        let run = &self.run.id;
        Err(error
            .kind(Kind::Halfway)
            .hint(format!("`infra-rollback runs show {run}` tells how far it came")))
    }
}

/// A run's private folder holds states and plans and must not stay behind; but a state that nobody has stored does.
pub(crate) fn remove_run_folder(context: &Context, run: &str) {
    fn holds_errored_state(folder: &std::path::Path) -> bool {
        std::fs::read_dir(folder).is_ok_and(|entries| {
            entries.filter_map(std::result::Result::ok).any(|entry| {
                entry.file_name() == rollback_terraform::errored::FILE_NAME
                    || (entry.file_type().is_ok_and(|kind| kind.is_dir()) && holds_errored_state(&entry.path()))
            })
        })
    }
    let folder = context.run_folder(run);
    if !holds_errored_state(&folder) {
        let _ = std::fs::remove_dir_all(folder);
    }
}
