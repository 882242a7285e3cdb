//! `to` on a small stack beside the same work by hand, in turns: git checkout, terraform init, plan, apply, and what a
//! careful person does besides, a plan that is empty. `to` does all five itself, so that both ratios are printed. Then where
//! the rest of the time goes, and how long the binary takes to say its version.
//!
//! `cargo bench -p infra-rollback`; ROUNDS sets the number of rounds (default 15).

#![allow(clippy::print_stdout)] // A bench prints its figures.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const BINARY: &str = env!("CARGO_BIN_EXE_infra-rollback");

fn main() {
    // `cargo bench -- --test` and the like ask for nothing here.
    if std::env::args().any(|argument| argument == "--list") {
        return;
    }
    let rounds: usize = std::env::var("ROUNDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(15);
    let folder = std::env::temp_dir().join(format!("infra-rollback-bench-{}", std::process::id()));
    let template = folder.join("template");
    let first = make_template(&template);

    let (mut tool, mut hand, mut careful, mut stages) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        let place = folder.join(format!("tool-{round}"));
        copy(&template, &place);
        let started = Instant::now();
        run(BINARY, &["to", &first, "--auto-approve"], &place);
        tool.push(started.elapsed());
        stages.push(journal(&place));

        let place = folder.join(format!("hand-{round}"));
        copy(&template, &place);
        let started = Instant::now();
        run("git", &["checkout", "-q", &first], &place);
        run("terraform", &["init", "-input=false"], &place);
        run("terraform", &["plan", "-input=false", "-out=plan"], &place);
        run("terraform", &["apply", "-input=false", "plan"], &place);
        hand.push(started.elapsed());
        run("terraform", &["plan", "-input=false", "-detailed-exitcode"], &place);
        careful.push(started.elapsed());
    }
    println!(
        "to, by infra-rollback              median {:>6.0} ms",
        milliseconds(&tool)
    );
    println!(
        "by hand: init, plan, apply         median {:>6.0} ms",
        milliseconds(&hand)
    );
    println!(
        "by hand: and an empty plan         median {:>6.0} ms",
        milliseconds(&careful)
    );
    println!("ratio to init, plan, apply         median {:>6.2}", ratio(&tool, &hand));
    println!(
        "ratio to the same with empty plan  median {:>6.2}",
        ratio(&tool, &careful)
    );
    println!("where the time of infra-rollback goes (medians, from its journal):");
    if let Some(first) = stages.first() {
        for (index, (name, _)) in first.iter().enumerate() {
            let times: Vec<f64> = stages
                .iter()
                .filter_map(|one| one.get(index).map(|(_, time)| *time))
                .collect();
            println!("  {:>6.0} ms  {name}", median_number(&times));
        }
    }
    let versions: Vec<Duration> = (0..rounds)
        .map(|_| {
            let started = Instant::now();
            run(BINARY, &["--version"], &template);
            started.elapsed()
        })
        .collect();
    println!(
        "--version               median {:>6.1} ms",
        median(&versions).as_secs_f64() * 1e3
    );
    let _ = std::fs::remove_dir_all(&folder);
}

/// Two releases of a small stack: a rename, an update, an object added, one removed.
fn make_template(template: &Path) -> String {
    std::fs::create_dir_all(template).unwrap();
    write(template, ".gitignore", ".terraform/\n*.tfstate*\nhome/\nplan\n");
    run("git", &["init", "-q", "-b", "main"], template);
    let body = |value: &str| {
        (0..6)
            .map(|n| format!("resource \"terraform_data\" \"n{n}\" {{\n  input = \"{value}\"\n}}\n"))
            .collect::<String>()
    };
    write(
        template,
        "main.tf",
        &format!("{}resource \"terraform_data\" \"a\" {{\n  input = 1\n}}\n", body("one")),
    );
    let first = release(template);
    write(
        template,
        "main.tf",
        &format!(
            "{}resource \"terraform_data\" \"b\" {{\n  input = 1\n}}\nmoved {{\n  from = terraform_data.a\n  to   = terraform_data.b\n}}\nresource \"terraform_data\" \"new\" {{}}\n",
            body("two")
        ),
    );
    release(template);
    first
}

fn release(template: &Path) -> String {
    run("git", &["add", "-A"], template);
    run("git", &["commit", "-qm", "release"], template);
    run("terraform", &["init", "-input=false"], template);
    run("terraform", &["apply", "-input=false", "-auto-approve"], template);
    run(BINARY, &["snapshot"], template);
    String::from_utf8(run("git", &["rev-parse", "HEAD"], template))
        .unwrap()
        .trim()
        .to_owned()
}

fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).unwrap();
}

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(status.success());
}

fn run(program: &str, arguments: &[&str], folder: &Path) -> Vec<u8> {
    let home: PathBuf = folder.join("home");
    let output = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .env("INFRA_ROLLBACK_HOME", home)
        .env("CHECKPOINT_DISABLE", "1")
        .env("TF_IN_AUTOMATION", "1")
        .envs([("GIT_AUTHOR_NAME", "b"), ("GIT_AUTHOR_EMAIL", "b@example.com")])
        .envs([("GIT_COMMITTER_NAME", "b"), ("GIT_COMMITTER_EMAIL", "b@example.com")])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

/// Time between the journal's entries of the last run, in milliseconds.
fn journal(place: &Path) -> Vec<(String, f64)> {
    let runs: serde_json::Value = serde_json::from_slice(&run(BINARY, &["runs", "--json"], place)).unwrap();
    let id = runs["runs"][0]["id"].as_str().unwrap().to_owned();
    let shown: serde_json::Value =
        serde_json::from_slice(&run(BINARY, &["runs", "show", &id, "--json"], place)).unwrap();
    let entries = shown["journal"].as_array().unwrap();
    let at = |entry: &serde_json::Value| entry["at"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    entries
        .windows(2)
        .map(|pair| {
            let milliseconds = (at(&pair[1]) - at(&pair[0])).total(jiff::Unit::Millisecond).unwrap();
            (format!("until {}", pair[1]["event"].as_str().unwrap()), milliseconds)
        })
        .collect()
}

fn milliseconds(times: &[Duration]) -> f64 {
    median(times).as_secs_f64() * 1e3
}

/// The median of the ratios, pair by pair.
fn ratio(ours: &[Duration], theirs: &[Duration]) -> f64 {
    let ratios: Vec<f64> = ours
        .iter()
        .zip(theirs)
        .map(|(a, b)| a.as_secs_f64() / b.as_secs_f64())
        .collect();
    median_number(&ratios)
}

fn median(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort();
    times[times.len() / 2]
}

fn median_number(numbers: &[f64]) -> f64 {
    let mut numbers = numbers.to_vec();
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}
