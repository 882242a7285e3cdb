//! How many reads a second the service answers at 10,000 releases, and how late the slowest of a hundred is, beside a bare axum route
//! in the same run; then its memory while it is read without a pause.
//!
//! ```text
//! cargo build --release
//! INFRA_ROLLBACK_BIN=target/release/infra-rollback cargo bench -p rollback-tests --bench load
//! ```
//!
//! It needs wrk (`apt install wrk`), git and terraform. `ROLLBACK_BENCH_RELEASES` says how many releases there are (default 10000),
//! `ROLLBACK_BENCH_SECONDS` how long each route is read (default 10), `ROLLBACK_BENCH_SOAK` for how many seconds the memory is
//! watched (default 0: not at all).

#![allow(clippy::print_stdout)] // A bench prints its figures.

mod bare;
mod filling;
mod memory;
mod wrk;

use std::time::Duration;

use rollback_tests::{Service, World, data};

fn main() {
    // `cargo test --benches` runs this too, and has no time for it.
    if std::env::args().any(|argument| argument == "--test" || argument == "--list") {
        return;
    }
    assert!(
        std::env::var_os("INFRA_ROLLBACK_BIN").is_some(),
        "INFRA_ROLLBACK_BIN names the tool, built with --release: a debug build tells nothing"
    );
    let releases = usize::try_from(number("ROLLBACK_BENCH_RELEASES", 10_000)).expect("a number of releases");
    let seconds = number("ROLLBACK_BENCH_SECONDS", 10);
    let soak = number("ROLLBACK_BENCH_SOAK", 0);

    let world = World::new();
    world.release_of(&data("a", "one"));
    let middle = filling::fill(&world, releases);
    let token = world.token("reader", "viewer", &[]);
    let service = Service::start(&world, &[]);
    let paths = [
        ("liveness", "/v1/health".to_owned()),
        ("a page of releases, the newest", "/v1/releases".to_owned()),
        (
            "a page of releases, in the middle",
            format!("/v1/releases?cursor={middle}"),
        ),
        ("a release", format!("/v1/releases/{middle}")),
        (
            "a state version, masked",
            format!("/v1/stacks/{}/state-versions/{middle}/redacted", filling::STACK),
        ),
    ];

    println!(
        "{releases} releases; {} connections; {seconds} s for each route",
        wrk::CONNECTIONS
    );
    println!();
    println!(
        "{:<36} {:>9} {:>10} {:>10} {:>10}",
        "", "bytes", "reads/s", "median", "p99"
    );
    let bare = bare::start();
    row("a bare axum route", 2, &wrk::read(&bare, "/", "", seconds));
    for (name, path) in &paths {
        let size = service.get(path, &token).is(200).body.len();
        row(name, size, &wrk::read(&service.url(), path, &token, seconds));
    }
    row("a bare axum route, once more", 2, &wrk::read(&bare, "/", "", seconds));
    if soak > 0 {
        println!();
        let paths: Vec<&str> = paths.iter().map(|(_, path)| path.as_str()).collect();
        memory::soak(&service, &paths, &token, Duration::from_secs(soak));
    }
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().map_or(default, |text| {
        text.parse().unwrap_or_else(|_| panic!("{variable} is a number"))
    })
}

fn row(name: &str, size: usize, figures: &wrk::Figures) {
    let milliseconds = |time: Duration| format!("{:.2} ms", time.as_secs_f64() * 1e3);
    println!(
        "{name:<36} {size:>9} {:>10.0} {:>10} {:>10}",
        figures.per_second,
        milliseconds(figures.median),
        milliseconds(figures.p99)
    );
}
