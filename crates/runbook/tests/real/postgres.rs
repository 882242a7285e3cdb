//! `postgres`, against the real server.

use std::time::{Duration, Instant};

use crate::postgres_server::{Server, start};
use crate::support::ask;

fn check(server: &Server, more: &str) -> String {
    format!(
        "[[check]]\nkind = 'postgres'\nhost = '127.0.0.1'\nport = {}\nuser = 'watcher'\ndbname = 'postgres'\n{more}",
        server.port
    )
}

#[test]
fn a_real_server_is_asked_and_nothing_can_be_written() {
    // A variable that every test has serves as the password's, so that no test changes the environment of others.
    let password = std::env::var("CARGO_PKG_NAME").unwrap();
    let Some(server) = start(&password) else { return };
    let known = "password_environment = 'CARGO_PKG_NAME'";
    // It listens before it is ready.
    let begun = Instant::now();
    let verdict = loop {
        let verdict = ask(&check(&server, known)).unwrap();
        if verdict.passed || begun.elapsed() > Duration::from_secs(10) {
            break verdict;
        }
    };
    assert!(verdict.passed, "{}", verdict.summary);
    assert!(verdict.summary.starts_with("watcher@127.0.0.1:"), "{}", verdict.summary);

    let verdict = ask(&check(
        &server,
        &format!("{known}\nquery = 'SELECT 40 + 2'\nexpect = 42"),
    ))
    .unwrap();
    assert!(verdict.passed, "{}", verdict.summary);
    let verdict = ask(&check(
        &server,
        &format!("{known}\nquery = 'SELECT true'\nexpect = false"),
    ))
    .unwrap();
    assert!(!verdict.passed);
    assert!(
        verdict.summary.ends_with("the query gave `t`, expected `f`"),
        "{}",
        verdict.summary
    );
    let verdict = ask(&check(
        &server,
        &format!("{known}\nquery = 'SELECT 1 WHERE false'\nexpect = 1"),
    ))
    .unwrap();
    assert!(
        !verdict.passed && verdict.summary.contains("gave nothing"),
        "{}",
        verdict.summary
    );

    let verdict = ask(&check(&server, &format!("{known}\nquery = 'CREATE TABLE t (a int)'"))).unwrap();
    assert!(
        !verdict.passed && verdict.summary.contains("read-only"),
        "{}",
        verdict.summary
    );
    let verdict = ask(&check(
        &server,
        &format!("{known}\ntimeout = '0.5s'\nquery = 'SELECT pg_sleep(30)'"),
    ))
    .unwrap();
    assert!(!verdict.passed, "{}", verdict.summary);

    let verdict = ask(&check(&server, "password_environment = 'CARGO_PKG_VERSION'")).unwrap();
    assert!(
        !verdict.passed && verdict.summary.contains("28P01"),
        "{}",
        verdict.summary
    );
    assert!(!verdict.summary.contains(&password));
    let verdict = ask(&check(&server, &format!("{known}\nsslmode = 'require'"))).unwrap();
    assert!(
        !verdict.passed && verdict.summary.contains("TLS"),
        "{}",
        verdict.summary
    );
}

#[test]
fn a_server_that_says_nothing_is_a_no() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let begun = Instant::now();
    let verdict = ask(&format!(
        "[[check]]\nkind = 'postgres'\nhost = 'localhost'\nport = {port}\nuser = 'a'\ntimeout = '0.3s'\nsslmode = 'disable'"
    ))
    .unwrap();
    assert!(!verdict.passed, "{}", verdict.summary);
    assert!(begun.elapsed() < Duration::from_secs(3));
    let error = ask("[[check]]\nkind = 'postgres'\nhost = '169.254.169.254'\nuser = 'a'").unwrap_err();
    assert!(error.message.contains("credentials"), "{}", error.message);
    let error = ask("[[check]]\nkind = 'postgres'\nhost = '$NOT_SET_ANYWHERE'\nuser = 'a'").unwrap_err();
    assert!(error.message.contains("$NOT_SET_ANYWHERE"), "{}", error.message);
}
