//! Rules that are not ours are judged in a process of its own. The engine has a clock and no bound of memory, and a thread that builds
//! a huge value can neither be ended nor made to give it back; a process can. It has an address space of limited size, no
//! environment, and it ends with its answer.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, setrlimit};

use crate::bounded::STACK;
use crate::limits::{Limits, address_space, memory_of};
use crate::task::{Answer, Task};

/// The one argument of a process that judges.
pub const JUDGE: &str = "__judge-a-policy";

/// Bytes of an answer at most.
const LONGEST_ANSWER: u64 = 64 << 20;
/// How long a process may take to begin and to end, besides the time of the policy.
const AROUND: Duration = Duration::from_secs(5);

static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// From now on rules that are not ours are judged by this program, which must call [`judge_here`] when its one argument is
/// [`JUDGE`]. Without it they are judged in this process, on a thread.
pub fn judge_with(program: PathBuf) {
    let _ = PROGRAM.set(program);
}

/// Whether there is a program to judge with.
pub(crate) fn is_possible() -> bool {
    PROGRAM.get().is_some()
}

/// Has another process do it.
pub(crate) fn ask(task: &Task, limits: Limits) -> Result<Answer, String> {
    let program = PROGRAM.get().ok_or("there is no program to judge with")?;
    let memory = limits.memory_for(task.size());
    let order = serde_json::to_vec(&(memory, task)).map_err(|error| error.to_string())?;
    let mut child = Command::new(program)
        .arg(JUDGE)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("no process to judge in: {error}"))?;
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        // It reads everything before it says anything. A process that is gone says so by its end.
        let _ = stdin.map(|mut stdin| stdin.write_all(&order));
        let mut answer = Vec::new();
        let read = stdout.map(|stdout| stdout.take(LONGEST_ANSWER).read_to_end(&mut answer));
        let _ = sender.send(read.transpose().map(|_| answer));
    });
    let until = Instant::now() + limits.time + AROUND;
    let answer = loop {
        match receiver.recv_timeout(Duration::from_millis(50)) {
            Ok(answer) => break answer,
            Err(RecvTimeoutError::Disconnected) => break Ok(Vec::new()),
            Err(RecvTimeoutError::Timeout) => {}
        }
        if Instant::now() > until {
            end(&mut child);
            return Err(format!("there was no verdict within {} s", limits.time.as_secs_f64()));
        }
        // Where the system does not keep to the limit itself (macOS).
        if memory_of(child.id()).is_some_and(|now| now > memory) {
            end(&mut child);
            return Err(too_much(memory));
        }
    };
    let answer = answer.map_err(|error| format!("the judging process cannot be heard: {error}"));
    let status = child.wait().map_err(|error| error.to_string())?;
    let answer = answer?;
    if !status.success() {
        return Err(why(status, memory));
    }
    serde_json::from_slice(&answer).unwrap_or_else(|_| Err("what it said is no answer".to_owned()))
}

fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

fn too_much(memory: u64) -> String {
    format!("it used more than {} MiB", memory >> 20)
}

fn why(status: ExitStatus, memory: u64) -> String {
    match status.signal() {
        // Rust ends a process so when there is no memory; the kernel, when the machine has none.
        Some(6 | 9) => too_much(memory),
        Some(24) => "it used more processor time than it is given".to_owned(),
        Some(signal) => format!("the judging process ended by signal {signal}"),
        None => "the policy engine gave up on this policy".to_owned(),
    }
}

/// What a process does that was started with [`JUDGE`]: it reads one task, bounds itself, and writes one answer.
///
/// # Errors
/// There is no task, or nobody to hear the answer.
pub fn judge_here() -> std::io::Result<()> {
    let mut order = Vec::new();
    std::io::stdin().read_to_end(&mut order)?;
    let (memory, task): (u64, Task) = serde_json::from_slice(&order)?;
    drop(order);
    bound(memory, Duration::from_millis(task.milliseconds) + AROUND)?;
    let thread = std::thread::Builder::new().stack_size(STACK);
    let answer = thread.spawn(move || task.perform())?.join();
    let answer = answer.unwrap_or_else(|_| Err("the policy engine gave up on this policy".to_owned()));
    std::io::stdout().write_all(&serde_json::to_vec(&answer)?)
}

/// From here on no more memory and processor time than this, and the first to go where the machine runs out of it.
fn bound(memory: u64, time: Duration) -> std::io::Result<()> {
    let limit = |bound: u64| Rlimit {
        current: Some(bound),
        maximum: Some(bound),
    };
    let space = address_space().unwrap_or_default().saturating_add(memory);
    setrlimit(Resource::As, limit(space))?;
    setrlimit(Resource::Cpu, limit(time.as_secs().saturating_add(1)))?;
    setrlimit(Resource::Core, limit(0))?;
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    Ok(())
}

/// The arguments of a process that judges and does nothing else.
pub fn is_judge(mut arguments: impl Iterator<Item = OsString>) -> bool {
    arguments.nth(1).is_some_and(|argument| argument == JUDGE) && arguments.next().is_none()
}
