//! `command`.

use std::time::{Duration, Instant};

use crate::support::ask;

fn command(more: &str) -> String {
    format!("[[check]]\nkind = 'command'\n{more}")
}

#[test]
fn exit_codes_and_output_are_judged() {
    assert!(ask(&command("command = 'exit 0'")).unwrap().passed);
    assert!(
        ask(&command(
            "command = ['/bin/echo', 'all $HOME well']\ncontains = 'all $HOME well'"
        ))
        .unwrap()
        .passed
    );
    let verdict = ask(&command("command = 'echo one; echo two >&2; exit 3'")).unwrap();
    assert!(!verdict.passed);
    assert_eq!(verdict.summary, "exit status 3");
    assert_eq!(verdict.details, ["one", "two"]);
    assert!(!ask(&command("command = ['/nowhere/at/all', \"it's\"]")).unwrap().passed);
    assert!(ask(&command("command = 'true'\ndir = '/nowhere/at/all'")).is_err());
}

#[test]
fn the_environment_is_cleared_but_for_what_is_named_and_that_is_masked() {
    // The test runner sets this one.
    let name = "CARGO_MANIFEST_DIR";
    let value = std::env::var(name).unwrap();
    assert!(
        ask(&command(&format!("command = 'test -z \"${name}\"'")))
            .unwrap()
            .passed
    );
    let verdict = ask(&command(&format!(
        "command = 'echo \"it is ${name}\"; exit 1'\nenvironment = ['{name}']"
    )))
    .unwrap();
    assert_eq!(verdict.details, ["it is …"], "{value}");
}

#[test]
fn when_its_time_is_over_the_whole_group_ends() {
    let begun = Instant::now();
    let marker = format!("{}", 86_000 + std::process::id() % 1000);
    let verdict = ask(&command(&format!(
        "command = 'sleep {marker} & sleep {marker}; true'\ntimeout = '0.3s'"
    )))
    .unwrap();
    assert!(
        !verdict.passed && verdict.summary.contains("stopped"),
        "{}",
        verdict.summary
    );
    assert!(begun.elapsed() < Duration::from_secs(5));
    let alive = std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line) == format!("sleep\0{marker}\0")
    });
    assert!(!alive, "a process of the group lives on");
}
