//! The holder of a lock: which process on which machine, for which run.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::lease::{Life, Token};

/// A process, told apart from a later one of the same number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    pub pid: u32,
    /// See [`rollback_terraform::start_time`].
    pub start_time: String,
}

impl Process {
    /// This process.
    pub fn this() -> Process {
        let pid = std::process::id();
        Process {
            pid,
            start_time: rollback_terraform::start_time(pid).unwrap_or_default(),
        }
    }

    fn is_alive(&self) -> bool {
        rollback_terraform::start_time(self.pid).is_some_and(|start_time| start_time == self.start_time)
    }

    /// `BOOT/TICKS` on Linux.
    fn boot(&self) -> &str {
        self.start_time.split_once('/').map_or("", |(boot, _)| boot)
    }
}

/// A machine, or a container that numbers its processes by itself. A name alone is not enough: runners and containers
/// share names, and a process that is not found on the wrong machine is not dead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    pub host: String,
    /// `/etc/machine-id`, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine_id: Option<String>,
    /// What `/proc/self/ns/pid` points to, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid_namespace: Option<String>,
}

impl Machine {
    /// This machine.
    pub fn this() -> Machine {
        let machine_id = std::fs::read_to_string("/etc/machine-id").map(|text| text.trim().to_owned());
        let pid_namespace = std::fs::read_link("/proc/self/ns/pid").map(|path| path.to_string_lossy().into_owned());
        Machine {
            host: host_name(),
            machine_id: machine_id.ok().filter(|text| !text.is_empty()),
            pid_namespace: pid_namespace.ok(),
        }
    }

    /// Whether it is this very machine, as far as can be told.
    pub fn is_this(&self) -> bool {
        let this = Machine::this();
        self.host == this.host && !differ(&self.machine_id, &this.machine_id)
    }
}

fn differ(a: &Option<String>, b: &Option<String>) -> bool {
    matches!((a, b), (Some(a), Some(b)) if a != b)
}

/// The name of this machine.
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// What can be said of a process from here.
pub fn life(process: &Process, machine: &Machine) -> Life {
    if process.start_time.is_empty() || !machine.is_this() {
        return Life::Unknown;
    }
    // After a start of the machine the numbers of namespaces say nothing, and no process is left of before.
    let same_boot = process.boot() == Process::this().boot();
    if same_boot && differ(&machine.pid_namespace, &Machine::this().pid_namespace) {
        return Life::Unknown;
    }
    if process.is_alive() { Life::Alive } else { Life::Dead }
}

/// The holder of a lock: the record in the store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Holder {
    #[serde(default)]
    pub stack: String,
    pub run: String,
    pub actor: String,
    #[serde(flatten)]
    pub machine: Machine,
    pub process: Process,
    pub since: Timestamp,
    pub command: String,
    /// Drawn anew for each taking: by it a holder knows its own record again.
    #[serde(default)]
    pub nonce: String,
    /// The value that the stack's fence was raised to when this lock was taken.
    #[serde(default)]
    pub fence: Token,
    /// For how long the record must stand still before anybody may call the lease over.
    #[serde(default)]
    pub lease_milliseconds: u64,
    /// How often it was renewed.
    #[serde(default)]
    pub beats: u64,
    /// By the holder's clock, for people: nothing is decided by it.
    #[serde(default)]
    pub last_beat_at: Option<Timestamp>,
    /// Effects may have happened. A record that does not say is taken to say so.
    #[serde(default = "unsaid")]
    pub applying: bool,
}

fn unsaid() -> bool {
    true
}

impl Holder {
    /// What is known of the holding process.
    pub fn life(&self) -> Life {
        life(&self.process, &self.machine)
    }

    /// Whether the holding process is known to be dead: only ever known for this machine.
    pub fn is_dead(&self) -> bool {
        self.life() == Life::Dead
    }

    pub fn describe(&self) -> String {
        let beat = match self.last_beat_at {
            Some(at) if self.beats > 0 => format!(", last beat {at:.0}"),
            _ => String::new(),
        };
        format!(
            "run {} of {} (process {} on {}, since {:.0}{beat}, `{}`)",
            self.run, self.actor, self.process.pid, self.machine.host, self.since, self.command
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_knows_its_dead() {
        let here = Machine::this();
        let mut process = Process::this();
        assert_eq!(life(&process, &here), Life::Alive);
        process.start_time = format!("{}/1", process.boot());
        assert_eq!(life(&process, &here), Life::Dead);
        let elsewhere = [
            Machine {
                host: "elsewhere".into(),
                ..here.clone()
            },
            Machine {
                pid_namespace: Some("pid:[1]".into()),
                ..here.clone()
            },
            Machine {
                machine_id: Some("another".into()),
                ..here.clone()
            },
        ];
        for machine in elsewhere {
            if machine.machine_id.is_none() || here.machine_id.is_some() {
                assert_eq!(life(&process, &machine), Life::Unknown, "{machine:?}");
            }
        }
        process.start_time.clear();
        assert_eq!(
            life(&process, &here),
            Life::Unknown,
            "who could not tell its start is not called dead"
        );
    }
}
