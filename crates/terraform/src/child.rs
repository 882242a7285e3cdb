//! A child that may outlive us: what must be written down to find it again, and what can be read from its files.
//!
//! Two independent signs tell whether a child lives. Its pid with its start time (a pid that another process has since is not it).
//! And its output file: it is locked (`flock`) before the child starts, the lock belongs to the open file that the child inherits,
//! and only the child holds that open file afterwards. So the lock goes exactly when the child goes, whatever became of us, of the
//! pid namespace or of the machine.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::error::TerraformError;
use crate::stream::StreamSummary;

/// A started process, to be written to the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChildRecord {
    pub pid: u32,
    /// On Linux `BOOT-ID/TICKS` (`/proc/PID/stat` field 22: clock ticks since boot), elsewhere what `ps -o lstart=` prints.
    /// Empty when the process was gone before it could be asked.
    pub start_time: String,
    /// `plan`, `apply`, …
    pub operation: String,
    /// Its standard output: the `-json` stream of plan and apply.
    pub stdout: PathBuf,
    pub stderr: PathBuf,
}

/// What the files of a child tell after it is gone.
#[derive(Clone, Debug, PartialEq)]
pub struct LoggedOutcome {
    pub summary: StreamSummary,
    pub end: LoggedEnd,
}

/// How a child ended, as far as its files tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoggedEnd {
    /// An apply that reported its end and no error.
    Complete,
    /// It reported errors.
    Failed,
    /// It stopped in the middle: killed, or the machine went down. What was begun is unknown.
    Unknown,
}

impl ChildRecord {
    /// Whether that very process still runs. A zombie does not.
    pub fn is_alive(&self) -> bool {
        output_is_held(&self.stdout)
            || (!self.start_time.is_empty() && start_time(self.pid).as_deref() == Some(self.start_time.as_str()))
    }

    /// Waits until it is gone; false when `timeout` passes first. Looks every `poll`.
    pub fn wait(&self, timeout: Duration, poll: Duration) -> bool {
        let end = Instant::now() + timeout;
        while self.is_alive() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            std::thread::sleep(poll.min(left));
        }
        true
    }

    /// Reads the stream it left. For a plan or apply only; meant for after a crash of ours, when the exit code is lost.
    pub fn outcome_from_log(&self) -> Result<LoggedOutcome, TerraformError> {
        let bytes = fs::read(&self.stdout).map_err(TerraformError::io("read", &self.stdout))?;
        let mut summary = StreamSummary::default();
        for line in bytes.split(|byte| *byte == b'\n') {
            summary.read_line(line);
        }
        if !summary.has_errors() {
            let text = fs::read_to_string(&self.stderr).unwrap_or_default();
            summary.diagnostics.extend(crate::diagnostic::parse_text(&text));
        }
        let end = if summary.apply_complete() {
            LoggedEnd::Complete
        } else if summary.has_errors() {
            LoggedEnd::Failed
        } else {
            LoggedEnd::Unknown
        };
        Ok(LoggedOutcome { summary, end })
    }
}

/// Whether a process still holds the output file that it was started with. False for a file that is not there.
pub fn output_is_held(path: &Path) -> bool {
    let Ok(file) = File::open(path) else { return false };
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => false,
        Err(error) => error == rustix::io::Errno::WOULDBLOCK,
    }
}

/// When a process was started; `None` when there is none, or a zombie.
#[cfg(target_os = "linux")]
pub fn start_time(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses can hold anything, parentheses and spaces too: fields count from the last one.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let status = fields.next()?;
    if matches!(status, "Z" | "X" | "x") {
        return None;
    }
    let ticks = fields.nth(18)?;
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    Some(format!("{}/{ticks}", boot.trim()))
}

/// When a process was started; `None` when there is none, or a zombie.
#[cfg(not(target_os = "linux"))]
pub fn start_time(pid: u32) -> Option<String> {
    let output = std::process::Command::new("ps")
        .args(["-o", "stat=,lstart=", "-p", &pid.to_string()])
        .env("LC_ALL", "C")
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let (status, started) = text.trim().split_once(char::is_whitespace)?;
    (!status.starts_with('Z'))
        .then(|| started.trim().to_owned())
        .filter(|started| !started.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(pid: u32, start_time: &str) -> ChildRecord {
        ChildRecord {
            pid,
            start_time: start_time.into(),
            operation: "apply".into(),
            stdout: "/nonexistent/out".into(),
            stderr: "/nonexistent/err".into(),
        }
    }

    #[test]
    fn this_process_lives_and_a_reused_pid_does_not() {
        let own = std::process::id();
        let started = start_time(own).unwrap();
        assert!(record(own, &started).is_alive());
        assert!(!record(own, "another-boot/1").is_alive());
        assert!(!record(own, "").is_alive());
        assert!(!record(own, &started).wait(Duration::from_millis(20), Duration::from_millis(5)));
        assert!(record(own, "x").wait(Duration::ZERO, Duration::from_millis(5)));
    }

    #[test]
    fn a_zombie_is_not_alive() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(5);
        while start_time(child.id()).is_some() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(2));
        }
        assert_eq!(start_time(child.id()), None);
        child.wait().unwrap();
    }

    #[test]
    fn a_record_survives_its_journal() {
        let one = record(7, "boot/123");
        assert_eq!(
            serde_json::from_str::<ChildRecord>(&serde_json::to_string(&one).unwrap()).unwrap(),
            one
        );
    }
}
