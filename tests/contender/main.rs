//! One of many processes that want the same lock: takes it, writes under its fence, lets go, again and again, and writes
//! down what was accepted. What it does is what a run does; only Terraform is left out.
//!
//! `contender STORE PROJECT ACTOR FIRST COUNT LEASE_MILLISECONDS LOG`

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use rollback_engine::error::{EngineError, Kind, Result};
use rollback_engine::journal::{Attempt, Event, Journal};
use rollback_engine::lock::{Locks, Wanted};
use rollback_engine::run::Runs;
use rollback_release::Store;
use rollback_tests::{Chance, contention};

struct Contender {
    store: Arc<dyn Store>,
    project: String,
    actor: String,
    lease: Duration,
    log: File,
    chance: Chance,
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [store, project, actor, first, count, lease, log] = arguments.as_slice() else {
        return Err(EngineError::usage("seven arguments are wanted"));
    };
    let number = |text: &str| text.parse::<u64>().map_err(|_| EngineError::usage(text));
    let mut contender = Contender {
        store: contention::open(store),
        project: project.clone(),
        actor: actor.clone(),
        lease: Duration::from_millis(number(lease)?),
        log: OpenOptions::new().append(true).create(true).open(log)?,
        chance: Chance::new(),
    };
    for round in number(first)?..number(first)? + number(count)? {
        contender.round(round)?;
    }
    Ok(())
}

impl Contender {
    /// One acquisition with its writes. To be overtaken is no error here.
    fn round(&mut self, round: u64) -> Result<()> {
        let run = format!("{}-{round}", self.actor);
        let wanted = Wanted {
            run: &run,
            actor: &self.actor,
            command: "contender",
            lease: self.lease,
            timeout: Duration::from_secs(300),
            vouched: false,
        };
        let stacks = [contention::STACK.to_owned()];
        let locks = Locks::acquire(&self.store, &self.project, &stacks, &wanted, &|_, _| {})?;
        let fence = locks.fence();
        let token = fence.tokens().map(|(_, token)| token).max().unwrap_or(0);
        self.note(&format!("taken {round} {token}"))?;
        let store = Arc::clone(&self.store);
        let project = self.project.clone();
        let mut journal = Journal::open(store.as_ref(), &project, &run)?.fenced(fence.clone());
        let runs = Runs::new(store.as_ref(), &project);
        let written = (|| -> Result<()> {
            journal.append(Event::Started {
                command: "contender".to_owned(),
                attempt: Attempt::here(&fence),
            })?;
            for _ in 0..2 {
                // Now and then for so long that a stop meets it between two writes.
                let long = if round.is_multiple_of(8) { 30_000 } else { 0 };
                std::thread::sleep(Duration::from_micros(long + self.chance.below(2000)));
                let (mut register, version) = runs
                    .get(contention::REGISTER)?
                    .ok_or_else(|| EngineError::failed("there is no register"))?;
                let before = contention::read(&register);
                // Long enough between the look and the write for anything to happen.
                std::thread::sleep(Duration::from_micros(self.chance.below(1000)));
                register.reason = Some(format!("{} {token}", before.number + 1));
                runs.update(&register, &version, &fence)?;
                self.note(&format!(
                    "accepted {} {token} after {} {}",
                    before.number + 1,
                    before.number,
                    before.token
                ))?;
            }
            Ok(())
        })();
        match written {
            Ok(()) => self.note("done"),
            Err(error) if error.kind == Kind::Locked => self.note("refused"),
            // The register was written by whoever overtook us, between our look and our write.
            Err(error) if error.message.contains("changed by somebody else") => self.note("conflict"),
            Err(error) => Err(error),
        }
    }

    fn note(&mut self, line: &str) -> Result<()> {
        Ok(self.log.write_all(format!("{line}\n").as_bytes())?)
    }
}
