//! Computes the inverse plan of two state files and prints it as JSON, with the time of each part on stderr.
//!
//! `cargo run --release -p rollback-inverse --example inverse -- CURRENT TARGET`
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::time::Instant;

use rollback_inverse::{Input, Knowledge, compute};
use rollback_state::State;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(current), Some(target)) = (arguments.next(), arguments.next()) else {
        return Err("usage: inverse CURRENT TARGET".into());
    };
    let (current, target) = (std::fs::read(current)?, std::fs::read(target)?);
    let knowledge = Knowledge::built_in();
    let start = Instant::now();
    let (current, target) = std::thread::scope(|scope| {
        let other = scope.spawn(|| State::parse(target).map_err(Box::new));
        (State::parse(current), other.join().expect("parsing does not panic"))
    });
    let (current, target) = (current?, target?);
    let read = start.elapsed();
    let plan = compute(&Input {
        current: &current,
        target: Some(&target),
        current_config: None,
        target_config: None,
        history: &[],
        knowledge: &knowledge,
        secrets: &[],
    });
    let computed = start.elapsed();
    let text = serde_json::to_string(&plan.to_json())?;
    let written = start.elapsed();
    eprintln!(
        "read {read:?}, plan {:?}, JSON {:?}, all {written:?}",
        computed - read,
        written - computed
    );
    println!("{text}");
    Ok(())
}
