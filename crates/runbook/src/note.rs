//! Commands that go on when the process that started them has ended (killed, say): whoever comes next waits for them, so
//! that nothing is looked at while it changes, and nothing is done twice.
//!
//! A command that changes something leaves a note while it runs: its process group. It is written by the command's own
//! shell before anything else, so that there is no moment in which it runs without one. Notes are of this machine and this
//! user; where there is no place for them that is nobody else's, there are none.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Pid, getuid, test_kill_process_group};
use sha2::{Digest, Sha256};

use crate::step::{Progress, StepError};

/// How often a command is looked after that somebody else has started.
const PACE: Duration = Duration::from_millis(50);

/// Where the commands of one step leave their note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note(PathBuf);

impl Note {
    /// That of the step with this name, of the settings in this folder.
    pub fn of(folder: &Path, name: &str) -> Option<Note> {
        let folder = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
        let mut hash = Sha256::new();
        hash.update(folder.as_os_str().as_encoded_bytes());
        hash.update([0]);
        hash.update(name);
        Some(Note(place()?.join(&hex::encode(hash.finalize())[..16])))
    }

    /// What a shell does before anything else. Without a note it goes on, too.
    pub(crate) fn first(&self) -> String {
        let path = self.0.to_string_lossy().replace('\'', r"'\''");
        format!("echo $$ 2>/dev/null >'{path}';")
    }

    /// The command has ended, with all that it started.
    pub(crate) fn remove(&self) {
        let _ = fs::remove_file(&self.0);
    }

    /// Waits until nothing runs any more that an earlier attempt has started.
    ///
    /// # Errors
    /// Patience is over, or a person wants it to stop: it is not known what it still does.
    pub fn wait(&self, patience: Duration, progress: &dyn Progress) -> Result<(), StepError> {
        let started = Instant::now();
        let mut told = false;
        while let Some(group) = self.running() {
            let group = group.as_raw_nonzero();
            if !told {
                progress.line(&format!(
                    "a command that an earlier attempt has started still runs (process group {group}): it is waited for"
                ));
                told = true;
            }
            if progress.is_cancelled() || started.elapsed() >= patience {
                return Err(StepError::touched(format!(
                    "a command that an earlier attempt has started still runs (process group {group}) after {} s",
                    started.elapsed().as_secs()
                ))
                .hint(format!(
                    "wait for it or end it; `ps -o pid,args -g {group}` shows it, and if that is something else, remove {}",
                    self.0.display()
                )));
            }
            std::thread::sleep(PACE);
        }
        Ok(())
    }

    /// The process group of the note, as long as there is something of it.
    fn running(&self) -> Option<Pid> {
        let group = Pid::from_raw(fs::read_to_string(&self.0).ok()?.trim().parse().ok()?)?;
        test_kill_process_group(group).ok()?;
        (!is_dead(group)).then_some(group)
    }
}

/// Whether the group's shell is dead and only nobody has asked how it ended, as in a container without an init.
fn is_dead(group: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", group.as_raw_nonzero())).unwrap_or_default();
    // The name in parentheses may have anything in it.
    let state = stat
        .rsplit_once(')')
        .and_then(|(_, rest)| rest.split_whitespace().next());
    matches!(state, Some("Z" | "X"))
}

/// A folder that is this user's alone.
fn place() -> Option<PathBuf> {
    let user = getuid().as_raw();
    let folder = std::env::temp_dir().join(format!("infra-rollback-{user}"));
    let _ = fs::DirBuilder::new().mode(0o700).create(&folder);
    let found = fs::symlink_metadata(&folder).ok()?;
    (found.is_dir() && found.uid() == user && found.mode() & 0o077 == 0).then_some(folder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Shell;
    use crate::step::Silent;

    fn shell(folder: &Path, line: &str) -> Shell {
        Shell {
            line: line.to_owned(),
            folder: folder.to_owned(),
            environment: Vec::new(),
            variables: Vec::new(),
            timeout: Duration::from_secs(10),
            note: Note::of(folder, "step"),
        }
    }

    #[test]
    fn a_command_that_runs_is_waited_for_and_one_that_has_ended_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let note = Note::of(folder.path(), "step").unwrap();
        note.wait(Duration::ZERO, &Silent).unwrap();
        let command = shell(folder.path(), "sleep 0.5");
        std::thread::scope(|scope| {
            let running = scope.spawn(|| command.run(&Silent).unwrap());
            while note.running().is_none() {
                std::thread::sleep(Duration::from_millis(5));
            }
            let error = note.wait(Duration::ZERO, &Silent).unwrap_err();
            assert!(!error.untouched && error.message.contains("still runs"), "{error}");
            let other = Note::of(folder.path(), "another step").unwrap();
            other.wait(Duration::ZERO, &Silent).unwrap();
            note.wait(Duration::from_secs(10), &Silent).unwrap();
            assert!(running.join().unwrap().status.success());
        });
        assert!(!note.0.exists(), "nothing is left");
    }

    #[test]
    fn a_note_of_something_that_is_no_more_says_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let note = Note::of(folder.path(), "step").unwrap();
        let mut gone = std::process::Command::new("true").spawn().unwrap();
        gone.wait().unwrap();
        for text in [
            gone.id().to_string(),
            "no number".to_owned(),
            "0".to_owned(),
            String::new(),
        ] {
            fs::write(&note.0, text).unwrap();
            note.wait(Duration::ZERO, &Silent).unwrap();
        }
        note.remove();
    }
}
