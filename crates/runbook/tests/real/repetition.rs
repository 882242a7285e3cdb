//! How often checks are asked.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use rollback_runbook::checks::verify;
use rollback_runbook::step::{Progress, Silent};

use crate::support::{Server, configured};

struct Heard(Mutex<Vec<String>>);

impl Progress for Heard {
    fn line(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }
}

#[test]
fn each_is_asked_until_it_passes_so_often_in_a_row_or_patience_is_over() {
    // Passes at the third, fails at the fourth, passes from the fifth on.
    let server = Server::start(|_, before| {
        (
            if before == 2 || before > 3 { 200 } else { 503 },
            String::new(),
            String::new(),
        )
    });
    let checks = configured(&format!(
        "[[check]]\nname = 'health'\nkind = 'http'\nurl = '{}'\nwithin = '10s'\nevery = '0.01s'\ntimes = 3\n\
         [[check]]\nkind = 'command'\ncommand = 'exit 7'\nwithin = '0.2s'\nevery = '0.05s'\n\
         [[check]]\nkind = 'command'\ncommand = 'true'",
        server.url("/")
    ))
    .unwrap();
    let heard = Heard(Mutex::default());
    let verification = verify(&checks, jiff::Timestamp::now(), Duration::ZERO, &heard);
    assert!(!verification.passed);
    assert_eq!(verification.failed(), ["command"]);
    let [health, command, second] = verification.checks.as_slice() else {
        panic!("{verification:?}")
    };
    assert!(
        health.passed && health.times == 7 && health.passing_since.is_some(),
        "{health:?}"
    );
    assert!(
        command.times >= 2 && command.answered && command.summary == "exit status 7",
        "{command:?}"
    );
    assert!(
        second.passed && second.name == "command-2" && second.times == 1,
        "{second:?}"
    );
    let heard = heard.0.into_inner().unwrap();
    assert!(
        heard.iter().any(|line| line.starts_with("✗ command: exit status 7")),
        "{heard:?}"
    );
    // It is kept in journals: what is written can be read.
    let text = serde_json::to_string(&verification).unwrap();
    assert_eq!(
        serde_json::from_str::<rollback_runbook::checks::Verification>(&text).unwrap(),
        verification
    );
}

#[test]
fn they_are_asked_side_by_side_and_once_without_patience() {
    let checks = configured(&"[[check]]\nkind = 'command'\ncommand = 'sleep 0.4; exit 1'\n".repeat(4)).unwrap();
    let begun = Instant::now();
    let verification = verify(&checks, jiff::Timestamp::now(), Duration::ZERO, &Silent);
    assert!(verification.checks.iter().all(|check| check.times == 1));
    assert!(begun.elapsed() < Duration::from_millis(1400), "{:?}", begun.elapsed());
}
