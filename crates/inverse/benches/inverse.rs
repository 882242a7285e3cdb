//! The inverse plan beside plain parsing, in one run: time, peak memory and growth.
//!
//! `cargo bench -p rollback-inverse`. Two states are read (in two threads), the plan is computed and written
//! as JSON; the same bytes are parsed by sonic-rs and by serde_json into values, one after the other.
//! With `STATES=CURRENT:TARGET` in the environment the two files take the place of the generated states.
#![allow(clippy::print_stdout)]

#[path = "../tests/common/states.rs"]
mod states;

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};
use rollback_inverse::{Input, Knowledge, compute};
use rollback_state::State;

/// What a caller does: the bytes are copied once, as the state keeps them.
fn inverse(current: &[u8], target: &[u8], knowledge: &Knowledge) -> String {
    let (current, target) = std::thread::scope(|scope| {
        let other = scope.spawn(|| State::parse(target).expect("a state"));
        (State::parse(current).expect("a state"), other.join().expect("no panic"))
    });
    plan(&current, &target, knowledge)
}

fn plan(current: &State, target: &State, knowledge: &Knowledge) -> String {
    let plan = compute(&Input {
        current,
        target: Some(target),
        current_config: None,
        target_config: None,
        history: &[],
        knowledge,
        secrets: &[],
    });
    plan.to_json().to_string()
}

fn sonic(current: &[u8], target: &[u8]) {
    black_box(sonic_rs::from_slice::<sonic_rs::Value>(current).expect("JSON"));
    black_box(sonic_rs::from_slice::<sonic_rs::Value>(target).expect("JSON"));
}

fn serde(current: &[u8], target: &[u8]) {
    black_box(serde_json::from_slice::<serde_json::Value>(current).expect("JSON"));
    black_box(serde_json::from_slice::<serde_json::Value>(target).expect("JSON"));
}

/// The fastest of several runs, those of the candidates taken in turn so that a busy machine is fair to all.
/// Beside it the processor time of one run on average, of all threads: what a busy machine does not change.
fn fastest<const N: usize>(runs: u32, mut candidates: [&mut dyn FnMut(); N]) -> [(Duration, Duration); N] {
    let mut best = [(Duration::MAX, Duration::ZERO); N];
    for _ in 0..runs {
        for (best, candidate) in best.iter_mut().zip(&mut candidates) {
            let (start, processor) = (Instant::now(), processor_time());
            candidate();
            *best = (
                best.0.min(start.elapsed()),
                best.1 + (processor_time() - processor) / runs,
            );
        }
    }
    best
}

/// The processor time that this process has used, in steps of 10 ms; nothing where the system does not tell.
fn processor_time() -> Duration {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks: u64 = fields
        .iter()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    Duration::from_millis(ticks * 10)
}

/// The most memory that this process has had, in bytes; none where the system does not tell.
fn peak_memory() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<usize>().ok()? * 1024)
}

/// Runs in a process of its own that has never held anything but the states.
fn measure_memory(current: &str, target: &str) {
    let read = |path| std::fs::read(path).expect("a file");
    let (current, target) = (
        State::parse(read(current)).expect("a state"),
        State::parse(read(target)).expect("a state"),
    );
    let bytes = current.bytes().len() + target.bytes().len();
    black_box(plan(&current, &target, &Knowledge::built_in()));
    println!("{} {bytes}", peak_memory().unwrap_or_default());
}

fn report() {
    let knowledge = Knowledge::built_in();
    let given = std::env::var("STATES").ok();
    let (newer, older) = match given.as_deref().and_then(|given| given.split_once(':')) {
        Some((newer, older)) => (
            std::fs::read(newer).expect("a file"),
            std::fs::read(older).expect("a file"),
        ),
        None => {
            let series = states::series(10_000, 7);
            (series.newer, series.older)
        }
    };
    let [ours, theirs, serde_json] = fastest(
        15,
        [
            &mut || drop(black_box(inverse(&newer, &older, &knowledge))),
            &mut || sonic(&newer, &older),
            &mut || serde(&newer, &older),
        ],
    );
    let megabytes = (newer.len() + older.len()) as f64 / 1e6;
    println!(
        "two states, {megabytes:.1} MB together: read, plan, JSON {:?}; sonic-rs parses both in {:?}, serde_json in {:?}; {:.2} x sonic-rs",
        ours.0,
        theirs.0,
        serde_json.0,
        ours.0.as_secs_f64() / theirs.0.as_secs_f64(),
    );
    println!(
        "processor time of these: {:?}, {:?}, {:?}",
        ours.1, theirs.1, serde_json.1
    );
    let mut last: Option<(usize, Duration)> = None;
    for size in [1_000, 5_000, 10_000, 50_000] {
        let series = states::series(size, 7);
        let [(time, _)] = fastest(
            5,
            [&mut || drop(black_box(inverse(&series.newer, &series.older, &knowledge)))],
        );
        let growth = last.map_or(String::new(), |(smaller, before)| {
            format!(
                ", {:.1} x the time for {:.0} x the objects",
                time.as_secs_f64() / before.as_secs_f64(),
                size as f64 / smaller as f64
            )
        });
        println!("{size} objects: {time:?}{growth}");
        last = Some((size, time));
    }
    let folder = std::env::temp_dir().join(format!("rollback-inverse-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let paths = [folder.join("newer"), folder.join("older")];
    std::fs::write(&paths[0], &newer).expect("written");
    std::fs::write(&paths[1], &older).expect("written");
    let this = std::env::current_exe().expect("a path");
    let output = std::process::Command::new(this)
        .arg("--measure-memory")
        .args(&paths)
        .output();
    std::fs::remove_dir_all(&folder).expect("removed");
    if let Ok(output) = output {
        let text = String::from_utf8_lossy(&output.stdout);
        let numbers: Vec<usize> = text.split_whitespace().filter_map(|each| each.parse().ok()).collect();
        if let [peak, bytes] = numbers[..] {
            println!(
                "peak memory of the whole process: {:.1} MB for {:.1} MB of states: {:.2} x their bytes",
                peak as f64 / 1e6,
                bytes as f64 / 1e6,
                peak as f64 / bytes as f64,
            );
        }
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, flag, current, target] = &arguments[..]
        && flag == "--measure-memory"
    {
        return measure_memory(current, target);
    }
    report();
    let knowledge = Knowledge::built_in();
    let mut criterion = Criterion::default().sample_size(10).configure_from_args();
    let mut group = criterion.benchmark_group("inverse");
    for size in [1_000, 10_000] {
        let series = states::series(size, 7);
        group.throughput(Throughput::Bytes((series.newer.len() + series.older.len()) as u64));
        group.bench_function(format!("{size} objects"), |bencher| {
            bencher.iter(|| inverse(&series.newer, &series.older, &knowledge));
        });
    }
    group.finish();
}
