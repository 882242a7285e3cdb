//! Many real processes and one lock (figure L2): they are stopped for longer than a lease, killed, and go on. No write is
//! accepted from who was overtaken, and tokens strictly rise. `INFRA_ROLLBACK_TEST_SCALE=50` makes 10,000 acquisitions
//! of each crowd.

// The figures are what one runs it for.
#![allow(clippy::print_stdout)]

mod releases;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rollback_engine::lock::{Locks, Wanted};
use rollback_engine::run::{Consent, Purpose, Run, Runs, Status};
use rollback_release::Store;
use rollback_tests::{Chance, contention, scale};
use rustix::process::{Pid, Signal, kill_process};

struct Crowd {
    folder: PathBuf,
    place: String,
    lease: Duration,
    store: Arc<dyn Store>,
    contenders: Vec<Contender>,
    each: u64,
}

struct Contender {
    name: String,
    child: Option<Child>,
}

impl Crowd {
    fn new(folder: &Path, place: &str, size: usize, each: u64, lease: Duration) -> Crowd {
        let mut crowd = Crowd {
            folder: folder.to_owned(),
            place: place.to_owned(),
            lease,
            store: contention::open(place),
            contenders: Vec::new(),
            each,
        };
        crowd.make_register();
        for number in 0..size {
            let name = format!("contender{number}");
            let child = Some(crowd.start(&name, 0));
            crowd.contenders.push(Contender { name, child });
        }
        crowd
    }

    fn make_register(&self) {
        let wanted = Wanted {
            run: contention::REGISTER,
            actor: "judge",
            command: "judge",
            lease: self.lease,
            timeout: Duration::ZERO,
            vouched: false,
        };
        let locks = Locks::acquire(&self.store, "p", &["judge".to_owned()], &wanted, &|_, _| {}).unwrap();
        let register = Run {
            format: 1,
            id: contention::REGISTER.to_owned(),
            purpose: Purpose::To,
            revision: String::new(),
            commit: String::new(),
            selected: Vec::new(),
            steps: Vec::new(),
            databases: std::collections::BTreeMap::new(),
            stacks: Vec::new(),
            targets: Vec::new(),
            consent: Consent::default(),
            reason: Some("0 0".to_owned()),
            actor: "judge".to_owned(),
            created_at: Timestamp::now(),
            ended_at: None,
            status: Status::Planning,
            backup: None,
            result: None,
        };
        let runs = Runs::new(self.store.as_ref(), "p");
        runs.create(&register, &locks.fence()).unwrap();
    }

    fn log(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.log"))
    }

    fn lines(&self, name: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.log(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn start(&self, name: &str, first: u64) -> Child {
        Command::new(env!("CARGO_BIN_EXE_contender"))
            .arg(&self.place)
            .args(["p", name, &first.to_string(), &(self.each - first).to_string()])
            .arg(self.lease.as_millis().to_string())
            .arg(self.log(name))
            .stdin(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// The process that holds the lock now.
    fn holder(&self) -> Option<Pid> {
        let locks = rollback_engine::lock::list(self.store.as_ref(), "p").unwrap();
        let holder = locks.iter().find(|holder| holder.stack == contention::STACK)?;
        Pid::from_raw(i32::try_from(holder.process.pid).unwrap())
    }

    /// Whether anybody still works; who was killed begins again where it was.
    fn tend(&mut self) -> bool {
        let mut works = false;
        for index in 0..self.contenders.len() {
            let contender = &mut self.contenders[index];
            let Some(child) = &mut contender.child else { continue };
            match child.try_wait().unwrap() {
                None => works = true,
                Some(status) if status.success() => contender.child = None,
                Some(status) => {
                    let name = contender.name.clone();
                    assert!(status.code().is_none(), "{name} failed: {status}");
                    let rounds = self
                        .lines(&name)
                        .iter()
                        .filter(|line| line.starts_with("taken"))
                        .count() as u64;
                    let next = (rounds < self.each).then(|| self.start(&name, rounds));
                    works |= next.is_some();
                    self.contenders[index].child = next;
                }
            }
        }
        works
    }

    /// Reads what everybody wrote down.
    fn judge(&self) -> Verdict {
        let mut verdict = Verdict::default();
        let mut tokens: BTreeMap<u64, String> = BTreeMap::new();
        let mut writes: BTreeMap<u64, u64> = BTreeMap::new();
        for contender in &self.contenders {
            for line in self.lines(&contender.name) {
                let words: Vec<&str> = line.split(' ').collect();
                let number = |index: usize| -> u64 { words[index].parse().unwrap() };
                match words[0] {
                    "taken" => {
                        verdict.taken += 1;
                        let other = tokens.insert(number(2), contender.name.clone());
                        assert_eq!(other, None, "token {} was given twice", number(2));
                    }
                    "accepted" => {
                        verdict.accepted += 1;
                        verdict.stale += u64::from(number(2) < number(5));
                        assert_eq!(number(1), number(4) + 1);
                        assert_eq!(writes.insert(number(1), number(2)), None, "a write was lost: {line}");
                    }
                    "refused" => verdict.refused += 1,
                    "conflict" => verdict.conflicts += 1,
                    _ => {}
                }
            }
        }
        let in_order: Vec<u64> = writes.into_values().collect();
        assert!(in_order.is_sorted(), "tokens fell: {in_order:?}");
        verdict
    }
}

#[derive(Debug, Default)]
struct Verdict {
    taken: u64,
    accepted: u64,
    stale: u64,
    refused: u64,
    conflicts: u64,
}

impl Drop for Crowd {
    fn drop(&mut self) {
        for contender in &mut self.contenders {
            if let Some(child) = &mut contender.child {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
    }
}

fn contend_in_the_embedded_store(size: usize) {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("store");
    let lease = Duration::from_millis(400);
    contend(folder.path(), &place.to_string_lossy(), size, 200 * scale(), lease);
}

fn contend(folder: &Path, place: &str, size: usize, acquisitions: usize, lease: Duration) {
    let each = acquisitions.div_ceil(size) as u64;
    let begun = Instant::now();
    let mut crowd = Crowd::new(folder, place, size, each, lease);
    let mut chance = Chance::new();
    let (mut stopped, mut killed) = (0, 0);
    while crowd.tend() {
        std::thread::sleep(Duration::from_millis(5 + chance.below(40)));
        // Who holds the lock for a while is stopped for longer than its lease, or killed.
        let before = crowd.holder();
        std::thread::sleep(Duration::from_millis(10));
        let Some(pid) = crowd
            .holder()
            .filter(|pid| stopped + killed < 8 * scale() && before == Some(*pid))
        else {
            continue;
        };
        if chance.below(4) == 0 {
            killed += usize::from(kill_process(pid, Signal::KILL).is_ok());
        } else if kill_process(pid, Signal::STOP).is_ok() {
            // It may have let go between the look and the signal.
            if crowd.holder() == Some(pid) {
                stopped += 1;
                std::thread::sleep(lease * 2 + Duration::from_millis(chance.below(200)));
            }
            let _ = kill_process(pid, Signal::CONT);
        }
    }
    let verdict = crowd.judge();
    println!(
        "{size} contenders, {stopped} stopped, {killed} killed, {:.1} s: {verdict:?}",
        begun.elapsed().as_secs_f64()
    );
    assert_eq!(verdict.stale, 0, "stale writes were accepted");
    assert!(verdict.taken >= each * size as u64 - killed as u64);
    assert!(verdict.accepted > verdict.taken, "{verdict:?}");
    // Who was stopped within a write, or after its last one, has nothing left that could be refused.
    assert!(
        stopped < 4 || verdict.refused + verdict.conflicts > 0,
        "{stopped} were stopped and nobody was overtaken: {verdict:?}"
    );
}

#[test]
fn two_contenders() {
    contend_in_the_embedded_store(2);
}

#[test]
fn sixteen_contenders() {
    contend_in_the_embedded_store(16);
}

/// On the emulator that `tests/run` starts; its answers take longer, and so does the lease.
#[test]
fn contenders_in_the_shared_store() {
    if std::env::var_os("AWS_ENDPOINT_URL").is_none() {
        println!("skipped: there is no AWS_ENDPOINT_URL");
        return;
    }
    let name = format!("contention-{}", std::process::id());
    let place = format!("s3://{name}/x?table={name}");
    contention::create(&place);
    let folder = tempfile::tempdir().unwrap();
    contend(folder.path(), &place, 4, 40 * scale(), Duration::from_millis(1500));
}
