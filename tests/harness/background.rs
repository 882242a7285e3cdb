//! Commands that run beside the test.

use std::io::Read;
use std::process::{Child, Output};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::ran::Ran;

/// A command that was started and not waited for. When dropped, it and all that it started are killed.
pub struct Background {
    pub(crate) what: String,
    pub(crate) child: Option<Child>,
    /// Who reads its stdout and stderr along, where somebody does.
    pub(crate) readers: Option<[JoinHandle<Vec<u8>>; 2]>,
}

impl Background {
    pub fn pid(&self) -> i32 {
        self.child
            .as_ref()
            .map_or(0, |child| i32::try_from(child.id()).unwrap_or(0))
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.child
            .as_mut()
            .is_some_and(|child| child.try_wait().is_ok_and(|status| status.is_none()))
    }

    /// Reads along what it says: for who looks on for long at a command that says much. A pipe that is full stops it.
    pub fn read_along(mut self) -> Background {
        if let Some(child) = &mut self.child {
            self.readers = Some([read(child.stdout.take()), read(child.stderr.take())]);
        }
        self
    }

    /// Waits for its end.
    #[track_caller]
    pub fn wait(mut self) -> Ran {
        let child = self.child.take().expect("it is waited for once");
        let Output {
            status,
            mut stdout,
            mut stderr,
        } = child.wait_with_output().expect("its output can be read");
        if let Some(readers) = self.readers.take() {
            [stdout, stderr] = readers.map(|reader| reader.join().expect("reading does not panic"));
        }
        let output = Output { status, stdout, stderr };
        Ran::new(self.what.clone(), output)
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        let group = self.pid();
        if let Some(mut child) = self.child.take() {
            kill_group(group);
            let _ = child.wait();
        }
    }
}

fn read(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut said = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut said);
        }
        said
    })
}

/// `kill -9` of one process.
pub fn kill(pid: i32) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// `kill -9` of a whole process group.
pub fn kill_group(group: i32) {
    if let Some(group) = Pid::from_raw(group) {
        let _ = kill_process_group(group, Signal::KILL);
    }
}

/// Waits up to a minute for something to come true.
#[track_caller]
pub fn wait_until(what: &str, mut is_true: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_true() {
        assert!(begun.elapsed() < Duration::from_secs(60), "waited a minute for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Control-C, for one process.
pub fn interrupt(pid: i32) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = kill_process(pid, Signal::INT);
    }
}

/// Waits until a process has stopped itself.
#[track_caller]
pub fn wait_until_stopped(pid: i32) {
    wait_until("the process to stop", || {
        let state = std::process::Command::new("ps")
            .args(["-o", "stat=", "-p", &pid.to_string()])
            .output()
            .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
        state.is_ok_and(|state| state.starts_with('T'))
    });
}

/// Lets a stopped process go on.
pub fn go_on(pid: i32) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = kill_process(pid, Signal::CONT);
    }
}
