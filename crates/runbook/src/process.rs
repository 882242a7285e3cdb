//! A command of the user's: a line for the shell, with a cleared environment, a time limit and an end for all that it
//! started.

use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::note::Note;
use crate::step::{Progress, StepError};

/// What a command may see of our environment besides what its settings name: what finds programs and certificates, and
/// nothing that holds a secret.
const ALLOWED: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "SHELL",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NO_COLOR",
];

/// The most that is kept of what a command writes: 1 MiB of each stream, the end of it.
const KEPT: usize = 1 << 20;
/// How long a command that is asked to stop may take before it is killed.
const GRACE: Duration = Duration::from_secs(10);

/// A command line for `/bin/sh -c`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shell {
    pub line: String,
    pub folder: PathBuf,
    /// Names of variables that it may see besides the usual ones; a trailing `*` stands for any rest.
    pub environment: Vec<String>,
    /// Set for it.
    pub variables: Vec<(String, String)>,
    pub timeout: Duration,
    /// Left while it runs, where it changes something.
    pub note: Option<Note>,
}

/// How it ended.
#[derive(Clone, Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// The last lines of what it wrote, errors first: what a person needs to see of a failure.
    pub fn last_words(&self) -> String {
        let said = if self.stderr.trim().is_empty() {
            &self.stdout
        } else {
            &self.stderr
        };
        last_words(said)
    }

    /// `exit status 3`, `signal 9`
    pub fn how(&self) -> String {
        match (self.status.code(), self.status.signal()) {
            (Some(code), _) => format!("exit status {code}"),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => "an unknown status".to_owned(),
        }
    }
}

/// The last lines of a text: what a person needs to see of a failure.
pub fn last_words(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(5)..].join("\n")
}

impl Shell {
    /// Runs it to its end. Lines of its standard output are told as they come.
    ///
    /// # Errors
    /// It cannot be started (nothing has changed then), ran out of time or was cancelled (both touched).
    pub fn run(&self, progress: &dyn Progress) -> Result<Ended, StepError> {
        let mut child = self.start()?;
        let group = Pid::from_child(&child);
        let lines = Arc::new(Mutex::new(Vec::new()));
        let stdout = child
            .stdout
            .take()
            .map(|stream| collect(stream, Some(Arc::clone(&lines))));
        let stderr = child.stderr.take().map(|stream| collect(stream, None));
        let started = Instant::now();
        let mut told = 0;
        let mut tell = |progress: &dyn Progress| {
            if let Ok(lines) = lines.lock() {
                lines[told..].iter().for_each(|line: &String| progress.line(line));
                told = lines.len();
            }
        };
        let failure = loop {
            tell(progress);
            match child.try_wait() {
                Ok(Some(_)) => break None,
                Ok(None) => {}
                Err(error) => break Some(format!("cannot be waited for: {error}")),
            }
            if started.elapsed() >= self.timeout {
                break Some(format!("took longer than {} s and was stopped", self.timeout.as_secs()));
            }
            if progress.is_cancelled() {
                break Some("was stopped because the run was cancelled".to_owned());
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        if failure.is_some() {
            stop(&mut child, group);
        }
        let status = child
            .wait()
            .map_err(|error| StepError::touched(format!("`{}`: {error}", self.line)))?;
        // What it left running in the background holds its pipes: that must not hold us.
        let _ = kill_process_group(group, Signal::KILL);
        if let Some(note) = &self.note {
            note.remove();
        }
        let text = |reader: Option<JoinHandle<Vec<u8>>>| {
            let bytes = reader.and_then(|reader| reader.join().ok()).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let ended = Ended {
            status,
            stdout: text(stdout),
            stderr: text(stderr),
        };
        tell(progress);
        match failure {
            None => Ok(ended),
            Some(why) => Err(StepError::touched(format!("`{}` {why}", self.line))),
        }
    }

    /// As [`Shell::run`], where anything but exit status 0 is a failure.
    ///
    /// # Errors
    /// As [`Shell::run`]; it failed.
    pub fn succeed(&self, progress: &dyn Progress) -> Result<Ended, StepError> {
        let ended = self.run(progress)?;
        if ended.status.success() {
            return Ok(ended);
        }
        let words = ended.last_words();
        let words = if words.is_empty() {
            String::new()
        } else {
            format!(":\n{words}")
        };
        Err(StepError::touched(format!(
            "`{}` ended with {}{words}",
            self.line,
            ended.how()
        )))
    }

    fn start(&self) -> Result<Child, StepError> {
        let passed = std::env::vars_os().filter(|(name, _)| {
            name.to_str().is_some_and(|name| {
                ALLOWED.contains(&name)
                    || self.environment.iter().any(|allowed| match allowed.strip_suffix('*') {
                        Some(prefix) => name.starts_with(prefix),
                        None => name == allowed,
                    })
            })
        });
        Command::new("/bin/sh")
            .arg("-c")
            .arg(match &self.note {
                Some(note) => format!("{}{}", note.first(), self.line),
                None => self.line.clone(),
            })
            .current_dir(&self.folder)
            .env_clear()
            .envs(passed)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A group of its own, so that all that it starts can be ended with it.
            .process_group(0)
            .spawn()
            .map_err(|error| {
                StepError::untouched(format!(
                    "`{}` cannot be started in {}: {error}",
                    self.line,
                    self.folder.display()
                ))
                .hint("`dir` names the folder, relative to infra-rollback.toml")
            })
    }
}

fn stop(child: &mut Child, group: Pid) {
    let _ = kill_process_group(group, Signal::TERM);
    let end = Instant::now() + GRACE;
    while Instant::now() < end && matches!(child.try_wait(), Ok(None)) {
        std::thread::sleep(Duration::from_millis(20));
    }
    let _ = kill_process_group(group, Signal::KILL);
}

/// Reads a stream to its end; keeps the last of it.
fn collect(mut stream: impl Read + Send + 'static, lines: Option<Arc<Mutex<Vec<String>>>>) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        let mut line = Vec::new();
        let mut buffer = [0; 8192];
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            kept.extend_from_slice(&buffer[..count]);
            if kept.len() > 2 * KEPT {
                kept.drain(..kept.len() - KEPT);
            }
            let Some(lines) = &lines else { continue };
            for byte in &buffer[..count] {
                match byte {
                    b'\n' => {
                        if let Ok(mut lines) = lines.lock() {
                            lines.push(String::from_utf8_lossy(&line).trim_end().to_owned());
                        }
                        line.clear();
                    }
                    byte if line.len() < 500 => line.push(*byte),
                    _ => {}
                }
            }
        }
        kept
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::step::Silent;

    fn shell(line: &str) -> Shell {
        Shell {
            line: line.to_owned(),
            folder: std::env::temp_dir(),
            environment: Vec::new(),
            variables: vec![("GIVEN".into(), "it".into())],
            timeout: Duration::from_secs(10),
            note: None,
        }
    }

    #[test]
    fn it_sees_what_it_is_given_and_nothing_else() {
        let ended = shell("echo \"$GIVEN\"; env | cut -d= -f1 | grep -c CARGO")
            .run(&Silent)
            .unwrap();
        assert_eq!(ended.stdout, "it\n0\n");
    }

    #[test]
    fn a_failure_says_how_and_why() {
        let error = shell("echo the reason >&2; exit 3").succeed(&Silent).unwrap_err();
        assert!(
            error.message.contains("exit status 3") && error.message.contains("the reason"),
            "{error}"
        );
        let mut nowhere = shell("true");
        nowhere.folder = "/no/such/folder".into();
        assert!(nowhere.run(&Silent).unwrap_err().untouched);
    }

    #[test]
    fn what_takes_too_long_ends_with_all_that_it_started() {
        let mut slow = shell("sleep 60 & echo $!; sleep 60");
        slow.timeout = Duration::from_millis(300);
        let started = Instant::now();
        assert!(slow.run(&Silent).unwrap_err().message.contains("longer than"));
        assert!(started.elapsed() < Duration::from_secs(9));
    }

    #[test]
    fn what_it_leaves_in_the_background_does_not_hold_us() {
        let started = Instant::now();
        assert_eq!(shell("sleep 60 & echo done").run(&Silent).unwrap().stdout, "done\n");
        assert!(started.elapsed() < Duration::from_secs(9));
    }
}
