//! Starting a child and following it to its end.
//!
//! Standard output and error go to files, never to pipes: when we are killed, terraform goes on writing and finishes its apply; a
//! pipe would kill it with SIGPIPE in the middle. We read along from the file.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{PipeWriter, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use command_fds::{CommandFdExt, FdMapping};
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process};

use crate::child::{self, ChildRecord};
use crate::error::TerraformError;
use crate::interrupt::Watch;
use crate::private;
use crate::sealed::{self, SealedPlan};

/// Writes a started child down; it does nothing before this has returned, and never anything when this fails.
pub type OnStart<'c> = &'c mut dyn FnMut(&ChildRecord) -> Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// What to start.
pub(crate) struct Run<'r> {
    pub binary: &'r Path,
    pub folder: &'r Path,
    pub log_folder: &'r Path,
    pub operation: &'r str,
    pub arguments: Vec<OsString>,
    pub environment: Vec<(OsString, OsString)>,
    /// What the arguments mean by [`sealed::NAME`].
    pub plan: Option<&'r SealedPlan>,
    /// A second Ctrl-C is passed on too: harmless where nothing is written (plan, show), never for apply and push.
    pub may_interrupt_twice: bool,
}

/// How it ended.
pub(crate) struct Finished {
    pub status: ExitStatus,
    /// We passed an interrupt on.
    pub interrupted: bool,
    pub record: ChildRecord,
}

impl Finished {
    pub(crate) fn signal(&self) -> Option<i32> {
        self.status.signal()
    }

    pub(crate) fn stdout(&self) -> Result<Vec<u8>, TerraformError> {
        fs::read(&self.record.stdout).map_err(TerraformError::io("read", &self.record.stdout))
    }

    pub(crate) fn stderr(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.record.stderr).unwrap_or_default()).into_owned()
    }

    /// Removes its files, where they held a document that has been read (a state, a plan).
    pub(crate) fn remove_logs(&self) {
        for path in [&self.record.stdout, &self.record.stderr] {
            let _ = fs::remove_file(path);
        }
    }
}

/// What the caller hears of while the child runs.
pub(crate) enum Word<'w> {
    Line(&'w [u8]),
    Interrupting,
}

pub(crate) fn run(
    run: Run<'_>,
    on_start: Option<OnStart<'_>>,
    hear: &mut dyn FnMut(Word<'_>),
) -> Result<Finished, TerraformError> {
    private::create_folder(run.log_folder)?;
    let stem = format!("{}-{}", uuid::Uuid::now_v7(), run.operation);
    let stdout_path = run.log_folder.join(format!("{stem}.out"));
    let stderr_path = run.log_folder.join(format!("{stem}.err"));
    let stdout = private::create_file(&stdout_path)?;
    let stderr = private::create_file(&stderr_path)?;
    // The child's sign of life, see `child`. A file system without flock leaves the pid as the only sign.
    let _ = flock(&stdout, FlockOperation::NonBlockingLockExclusive);

    // Watched from before the start: a Ctrl-C in between must not be lost.
    let watch = Watch::start();
    let spawn_error = |source| TerraformError::Spawn {
        binary: run.binary.to_owned(),
        source,
    };
    let (mut child, gate) = spawn(&run, on_start.is_some(), stdout, stderr).map_err(spawn_error)?;
    let record = ChildRecord {
        pid: child.id(),
        start_time: child::start_time(child.id()).unwrap_or_default(),
        operation: run.operation.to_owned(),
        stdout: stdout_path,
        stderr: stderr_path,
    };
    if let Some(on_start) = on_start
        && let Err(source) = on_start(&record)
    {
        drop(gate);
        stop_unjournalled(&mut child);
        return Err(TerraformError::Journal { source });
    }
    if let Some(mut gate) = gate {
        // A child that is gone already tells by its exit status.
        let _ = gate.write_all(b"go\n");
    }
    let (status, interrupted) = follow(&mut child, &record.stdout, &watch, run.may_interrupt_twice, hear)?;
    Ok(Finished {
        status,
        interrupted,
        record,
    })
}

/// Behind the gate it ends by itself; where there was no gate it is asked to stop.
fn stop_unjournalled(child: &mut Child) {
    std::thread::sleep(Duration::from_millis(20));
    if matches!(child.try_wait(), Ok(None)) {
        interrupt(child);
    }
    let _ = child.wait();
}

/// The gate: a shell that waits for a line from us and then becomes terraform (same pid, same start time). If we die before the
/// record is durable, the line never comes and nothing happens.
const GATE: &str = "read -r go && [ \"$go\" = go ] && exec \"$0\" \"$@\" </dev/null";

fn spawn(run: &Run<'_>, gated: bool, stdout: File, stderr: File) -> std::io::Result<(Child, Option<PipeWriter>)> {
    let shell = Path::new("/bin/sh");
    // dash drops variables whose names are no shell names (TF_VAR_a-b): without the gate rather than without the variable.
    let gated = gated && shell.exists() && run.environment.iter().all(|(name, _)| is_shell_name(name));
    let (mut command, gate) = if gated {
        let (reader, writer) = std::io::pipe()?;
        let mut command = Command::new(shell);
        command.arg("-c").arg(GATE).arg(run.binary).stdin(reader);
        (command, Some(writer))
    } else {
        let mut command = Command::new(run.binary);
        command.stdin(Stdio::null());
        (command, None)
    };
    command
        .args(&run.arguments)
        .current_dir(run.folder)
        .env_clear()
        .envs(run.environment.iter().map(|(name, value)| (name, value)))
        .stdout(stdout)
        .stderr(stderr)
        .process_group(0);
    if let Some(plan) = run.plan {
        let mapping = FdMapping {
            parent_fd: plan.descriptor()?,
            child_fd: sealed::DESCRIPTOR,
        };
        command.fd_mappings(vec![mapping]).map_err(std::io::Error::other)?;
    }
    let child = command.spawn()?;
    // `command` holds the output file open, and with it the child's sign of life: it must go now.
    drop(command);
    Ok((child, gate))
}

fn is_shell_name(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| {
        !name.is_empty()
            && !name.starts_with(|first: char| first.is_ascii_digit())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    })
}

fn follow(
    child: &mut Child,
    stdout: &Path,
    watch: &Watch,
    twice: bool,
    hear: &mut dyn FnMut(Word<'_>),
) -> Result<(ExitStatus, bool), TerraformError> {
    let mut tail = Tail::open(stdout)?;
    let mut interrupts = 0;
    let started = Instant::now();
    loop {
        let ended = child.try_wait().map_err(TerraformError::io("wait for", stdout))?;
        // Reading after asking: what was written before the end is then all there.
        tail.read(hear)?;
        if let Some(status) = ended {
            tail.finish(hear);
            return Ok((status, interrupts > 0));
        }
        if watch.take() && (interrupts == 0 || twice) {
            interrupts += 1;
            interrupt(child);
            hear(Word::Interrupting);
        }
        // Terraform's quick commands take 40 to 60 ms: look closely at first, rarely later.
        let pause = if started.elapsed() < Duration::from_millis(500) {
            2
        } else {
            25
        };
        std::thread::sleep(Duration::from_millis(pause));
    }
}

/// To the process itself and not to its group: terraform tells its providers and provisioners what to do.
fn interrupt(child: &Child) {
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, Signal::INT);
    }
}

/// Reads a growing file by lines.
struct Tail {
    file: File,
    path: PathBuf,
    pending: Vec<u8>,
}

impl Tail {
    fn open(path: &Path) -> Result<Tail, TerraformError> {
        let file = File::open(path).map_err(TerraformError::io("read", path))?;
        Ok(Tail {
            file,
            path: path.to_owned(),
            pending: Vec::new(),
        })
    }

    fn read(&mut self, hear: &mut dyn FnMut(Word<'_>)) -> Result<(), TerraformError> {
        let before = self.pending.len();
        self.file
            .read_to_end(&mut self.pending)
            .map_err(TerraformError::io("read", &self.path))?;
        if self.pending.len() == before {
            return Ok(());
        }
        let Some(last) = self.pending[before..]
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map(|at| at + before)
        else {
            return Ok(());
        };
        for line in self.pending[..last].split(|byte| *byte == b'\n') {
            hear(Word::Line(line));
        }
        self.pending.drain(..=last);
        Ok(())
    }

    fn finish(&mut self, hear: &mut dyn FnMut(Word<'_>)) {
        if !self.pending.is_empty() {
            hear(Word::Line(&std::mem::take(&mut self.pending)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a shell as the binary gives, line by line.
    fn lines(script: &str, on_start: Option<OnStart<'_>>) -> (Vec<String>, Finished) {
        let place = tempfile::tempdir().unwrap();
        let mut heard = Vec::new();
        let finished = run(
            Run {
                binary: Path::new("/bin/sh"),
                folder: place.path(),
                log_folder: &place.path().join("logs"),
                operation: "test",
                arguments: vec!["-c".into(), script.into()],
                environment: vec![("PATH".into(), "/usr/bin:/bin".into())],
                plan: None,
                may_interrupt_twice: false,
            },
            on_start,
            &mut |word| {
                if let Word::Line(line) = word {
                    heard.push(String::from_utf8_lossy(line).into_owned());
                }
            },
        )
        .unwrap();
        (heard, finished)
    }

    #[test]
    fn every_line_is_heard_the_last_without_its_end_too() {
        let (heard, finished) = lines("printf 'a\\nb'; sleep 0.1; printf 'c\\n\\nlast'; exit 3", None);
        assert_eq!(heard, ["a", "bc", "", "last"]);
        assert_eq!(finished.status.code(), Some(3));
        assert!(!finished.interrupted && finished.signal().is_none());
    }

    #[test]
    fn nothing_can_be_typed_into_a_child_with_or_without_the_gate() {
        let script = "cat; readlink /proc/self/fd/0 2>/dev/null || echo /dev/null";
        assert_eq!(lines(script, None).0, ["/dev/null"]);
        assert_eq!(lines(script, Some(&mut |_| Ok(()))).0, ["/dev/null"]);
    }

    #[test]
    fn a_signal_is_told() {
        assert_eq!(lines("kill -9 $$", None).1.signal(), Some(9));
    }

    #[test]
    fn the_gate_keeps_names_that_are_no_shell_names() {
        assert!(is_shell_name(OsStr::new("TF_VAR_a_b1")));
        for odd in ["TF_VAR_a-b", "1a", "", "a.b"] {
            assert!(!is_shell_name(OsStr::new(odd)), "{odd}");
        }
    }
}
