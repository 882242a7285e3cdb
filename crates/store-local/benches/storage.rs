//! What many releases of one large state take, and how long reading them takes, beside plain versioning, git and restic.
//!
//! ```text
//! cargo bench -p rollback-store-local --bench storage
//! ```
//!
//! `ROLLBACK_BENCH_STATES=<folder>` takes the files of a folder, in the order of their names (`*.tfstate`, or compressed
//! as `*.tfstate.zst`); otherwise states of 10,000 instances are made up, of which 0.5 % change from one to the next.
//! `ROLLBACK_BENCH_RELEASES` says how many (default 100). `ROLLBACK_BENCH_PEERS=no` leaves git and restic out, which take
//! much longer than everything else.

#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rollback_release::{BlobId, Store};
use rollback_store_local::LocalStore;

#[path = "storage/made_up.rs"]
mod made_up;

const MEGABYTE: f64 = 1e6;

fn main() {
    // `cargo test --benches` runs this too, and has no time for it.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let wanted = std::env::var("ROLLBACK_BENCH_RELEASES")
        .ok()
        .and_then(|text| text.parse().ok());
    let source = Source::new(wanted.unwrap_or(100));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let home = folder.path().join("store");
    let store = LocalStore::open(&home).expect("a store");

    let mut ids: Vec<BlobId> = Vec::new();
    let (mut raw, mut copies, mut first, mut changes) = (0_u64, 0_u64, 0_u64, 0_u64);
    let mut put = Duration::ZERO;
    let plain = folder.path().join("plain");
    std::fs::create_dir(&plain).expect("a folder");
    let peers = std::env::var("ROLLBACK_BENCH_PEERS").map_or(true, |text| text != "no");
    let mut git = peers.then(|| Git::new(folder.path()));
    let mut restic = peers.then(|| Restic::new(folder.path()));
    let mut before: Vec<u8> = Vec::new();
    for number in 0..source.count() {
        let state = source.state(number);
        let copy = zstd::bulk::compress(&state, 3).expect("compressed");
        raw += state.len() as u64;
        copies += copy.len() as u64;
        std::fs::write(plain.join(format!("{number}.zst")), &copy).expect("written");
        if number == 0 {
            first = copy.len() as u64;
        } else {
            changes += changed(&before, &state);
        }
        let started = Instant::now();
        ids.push(store.put_blob_like(&state, ids.last()).expect("put"));
        put += started.elapsed();
        git.iter_mut().for_each(|git| git.add(&state));
        restic.iter_mut().for_each(|restic| restic.add(&state));
        before = state;
        if number % 100 == 99 {
            eprintln!("{} releases", number + 1);
        }
    }
    let ours = size(&home.join("blobs"));
    let count = ids.len();
    println!(
        "{count} releases of {:.1} MB each",
        raw as f64 / count as f64 / MEGABYTE
    );
    println!();
    let line = |name: &str, bytes: u64, read: Option<Duration>| {
        let read = read.map_or_else(String::new, |read| format!("{:9.1} ms", read.as_secs_f64() * 1e3));
        println!("{name:<44} {:>10.1} MB  {read}", bytes as f64 / MEGABYTE);
    };
    println!("{:<44} {:>13}  {:>12}", "", "size", "read of one");
    line("plain versioning, raw", raw, None);
    let plain_name = "plain versioning, each compressed with zstd";
    line(plain_name, copies, Some(read_plain(&plain, &ids)));
    line("ours", ours, Some(read_ours(&store, &ids)));
    git.iter().for_each(|git| git.report(&line));
    restic.iter().for_each(|restic| restic.report(&line, count));
    let limit = first + changes;
    println!();
    println!(
        "one compressed state and the compressed changes: {:.1} MB; ours is {:.2} of it",
        limit as f64 / MEGABYTE,
        ours as f64 / limit as f64
    );
    println!(
        "the slowest read of ours takes {:.2} times the processor time of a plain copy's, both verified; a put takes {:.0} ms; the longest chain has {} links",
        worst(&store, &ids, &plain),
        put.as_secs_f64() * 1e3 / count as f64,
        ids.iter()
            .map(|id| store.blob_bases(id).expect("bases").len())
            .max()
            .unwrap_or(0)
    );
}

/// The states, one at a time: a thousand of them do not fit in memory.
enum Source {
    Files(Vec<PathBuf>),
    MadeUp(usize),
}

impl Source {
    fn new(wanted: usize) -> Source {
        let Some(folder) = std::env::var_os("ROLLBACK_BENCH_STATES") else {
            return Source::MadeUp(wanted);
        };
        let entries = std::fs::read_dir(folder).expect("ROLLBACK_BENCH_STATES names a folder");
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
        files.retain(|path| {
            let name = path.to_string_lossy();
            name.ends_with(".tfstate") || name.ends_with(".tfstate.zst")
        });
        files.sort();
        files.truncate(wanted);
        Source::Files(files)
    }
    fn count(&self) -> usize {
        match self {
            Source::Files(files) => files.len(),
            Source::MadeUp(count) => *count,
        }
    }
    fn state(&self, number: usize) -> Vec<u8> {
        match self {
            Source::MadeUp(_) => made_up::state(10_000, number),
            Source::Files(files) => {
                let bytes = std::fs::read(&files[number]).expect("a state");
                if files[number].extension().is_some_and(|extension| extension == "zst") {
                    zstd::decode_all(bytes.as_slice()).expect("a zstd file")
                } else {
                    bytes
                }
            }
        }
    }
}

/// What a change takes by itself: the blocks (one per instance) that the state before does not have, compressed.
fn changed(before: &[u8], after: &[u8]) -> u64 {
    let blocks = |bytes: &[u8]| -> Vec<String> {
        let text = String::from_utf8_lossy(bytes).into_owned();
        text.split("\n    {\n").map(str::to_owned).collect()
    };
    let known: std::collections::HashSet<String> = blocks(before).into_iter().collect();
    let new: Vec<String> = blocks(after)
        .into_iter()
        .filter(|block| !known.contains(block))
        .collect();
    zstd::bulk::compress(new.concat().as_bytes(), 19)
        .expect("compressed")
        .len() as u64
}

fn size(folder: &Path) -> u64 {
    let mut total = 0;
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let entry = entry.expect("an entry");
        let metadata = entry.metadata().expect("metadata");
        total += if metadata.is_dir() {
            size(&entry.path())
        } else {
            metadata.len()
        };
    }
    total
}

/// The fastest of many: other work of the machine is not what is measured.
fn fastest(work: impl Fn()) -> Duration {
    let times = (0..15).map(|_| {
        let started = Instant::now();
        work();
        started.elapsed()
    });
    times.min().unwrap_or_default()
}

fn sample(count: usize) -> impl Iterator<Item = usize> {
    (0..count).step_by((count / 25).max(1))
}

fn mean(times: impl Iterator<Item = Duration>) -> Duration {
    let times: Vec<Duration> = times.collect();
    times.iter().sum::<Duration>() / times.len().max(1) as u32
}

/// Fetched, decompressed, and verified as ours is.
fn plain_read(folder: &Path, number: usize, id: &BlobId) -> Vec<u8> {
    let stored = std::fs::read(folder.join(format!("{number}.zst"))).expect("a copy");
    let size = zstd::zstd_safe::get_frame_content_size(&stored)
        .ok()
        .flatten()
        .unwrap_or(0);
    let bytes = zstd::bulk::decompress(&stored, size as usize).expect("decompressed");
    assert_eq!(BlobId::of(&bytes), *id);
    bytes
}

fn read_plain(folder: &Path, ids: &[BlobId]) -> Duration {
    mean(sample(ids.len()).map(|number| fastest(|| drop(plain_read(folder, number, &ids[number])))))
}

fn read_ours(store: &LocalStore, ids: &[BlobId]) -> Duration {
    mean(sample(ids.len()).map(|number| fastest(|| drop(store.get_blob(&ids[number]).expect("get")))))
}

/// The largest ratio of processor time over versions with the longest chains and a sample of the others. (The time on
/// the wall of a machine that does other things tells little.)
fn worst(store: &LocalStore, ids: &[BlobId], plain: &Path) -> f64 {
    let links = |number: &usize| store.blob_bases(&ids[*number]).expect("bases").len();
    let longest = (0..ids.len()).map(|number| links(&number)).max().unwrap_or(0);
    let of_longest = (0..ids.len()).filter(|number| links(number) == longest);
    let mut worst: f64 = 0.0;
    for number in of_longest.take(10).chain(sample(ids.len())) {
        let ours = processor_time(|| drop(store.get_blob(&ids[number]).expect("get")));
        let plain = processor_time(|| drop(plain_read(plain, number, &ids[number])));
        worst = worst.max(ours.as_secs_f64() / plain.as_secs_f64());
    }
    worst
}

/// Of all threads of this process, the least of ten times.
fn processor_time(work: impl Fn()) -> Duration {
    let spent = || -> u64 {
        let tasks = std::fs::read_dir("/proc/self/task").expect("Linux");
        let nanoseconds = tasks.filter_map(|task| {
            let text = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
            text.split(' ').next()?.parse::<u64>().ok()
        });
        nanoseconds.sum()
    };
    let times = (0..10).map(|_| {
        let before = spent();
        work();
        spent().saturating_sub(before)
    });
    Duration::from_nanos(times.min().unwrap_or(0))
}

struct Git {
    folder: PathBuf,
    there: bool,
}

impl Git {
    fn new(folder: &Path) -> Git {
        let folder = folder.join("git");
        let there = quiet(
            Command::new("git")
                .args(["init", "--quiet", "--initial-branch=main"])
                .arg(&folder),
        );
        if !there {
            eprintln!("git is not installed: left out");
        }
        Git { folder, there }
    }
    fn run(&self, arguments: &[&str]) -> bool {
        let identity = [
            "-c",
            "user.name=bench",
            "-c",
            "user.email=bench@example.com",
            "-c",
            "gc.auto=0",
        ];
        quiet(
            Command::new("git")
                .arg("-C")
                .arg(&self.folder)
                .args(identity)
                .args(arguments),
        )
    }
    fn add(&mut self, state: &[u8]) {
        if self.there {
            std::fs::write(self.folder.join("terraform.tfstate"), state).expect("written");
            self.there = self.run(&["add", "."]) && self.run(&["commit", "--quiet", "-m", "release"]);
        }
    }
    fn report(&self, line: &dyn Fn(&str, u64, Option<Duration>)) {
        let objects = self.folder.join(".git/objects");
        if !self.there {
            return;
        }
        line("git, as committed", size(&objects), None);
        let started = Instant::now();
        let packed = self.run(&["-c", "pack.windowMemory=1g", "repack", "-adfq"]);
        eprintln!("git repacked in {:.0} s", started.elapsed().as_secs_f64());
        if packed {
            let read = fastest(|| {
                self.run(&["cat-file", "blob", "HEAD~5:terraform.tfstate"]);
            });
            line("git, repacked (repack -adf)", size(&objects), Some(read));
        }
    }
}

struct Restic {
    folder: PathBuf,
    there: bool,
}

impl Restic {
    fn new(folder: &Path) -> Restic {
        let folder = folder.join("restic");
        std::fs::create_dir_all(folder.join("files")).expect("a folder");
        let mut restic = Restic { folder, there: true };
        restic.there = restic.run(&["init"]);
        if !restic.there {
            eprintln!("restic is not installed (apt install restic): left out");
        }
        restic
    }
    fn run(&self, arguments: &[&str]) -> bool {
        let mut command = Command::new("restic");
        command
            .env("RESTIC_PASSWORD", "bench")
            .env("RESTIC_REPOSITORY", self.folder.join("repository"))
            .env("RESTIC_CACHE_DIR", self.folder.join("cache"))
            .current_dir(&self.folder);
        quiet(command.arg("--quiet").args(arguments))
    }
    fn add(&mut self, state: &[u8]) {
        if self.there {
            std::fs::write(self.folder.join("files/terraform.tfstate"), state).expect("written");
            self.there = self.run(&["backup", "--compression", "max", "files"]);
        }
    }
    fn report(&self, line: &dyn Fn(&str, u64, Option<Duration>), count: usize) {
        if self.there && count > 0 {
            let read = fastest(|| {
                self.run(&["dump", "latest", "/files/terraform.tfstate"]);
            });
            line(
                "restic (compression max)",
                size(&self.folder.join("repository")),
                Some(read),
            );
        }
    }
}

fn quiet(command: &mut Command) -> bool {
    let ran = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    ran.is_ok_and(|status| status.success())
}
