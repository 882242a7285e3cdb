//! `http` and `endpoints`.

use std::time::Duration;

use crate::support::{Server, ask, configured};

fn server() -> Server {
    Server::start(|line, before| {
        let plain = |status: u16, body: &str| (status, String::new(), body.to_owned());
        match line {
            "GET /health" => (
                200,
                "Content-Type: application/json\r\n".into(),
                r#"{"status":"ok","db":{"up":true},"version":12.0}"#.into(),
            ),
            "GET /slow" => {
                std::thread::sleep(Duration::from_millis(300));
                plain(200, "late")
            }
            "GET /third-time" => plain(if before < 2 { 503 } else { 200 }, ""),
            "GET /here" => (302, "Location: /health\r\n".into(), String::new()),
            "GET /away" => (
                302,
                "Location: http://elsewhere.example.com/x?token=abc\r\n".into(),
                String::new(),
            ),
            "GET /circle" => (302, "Location: /circle\r\n".into(), String::new()),
            "POST /login" => plain(401, ""),
            line if line.starts_with("GET /secret") => plain(500, ""),
            _ => plain(404, "nothing"),
        }
    })
}

fn http(server: &Server, path: &str, more: &str) -> String {
    format!("[[check]]\nkind = 'http'\nurl = '{}'\n{more}", server.url(path))
}

#[test]
fn status_body_headers_and_values_are_judged() {
    let server = server();
    let verdict = ask(&http(
        &server,
        "/health",
        "contains = 'ok'\njson = { '/status' = 'ok', '/db/up' = true, '/version' = 12 }\n\
         expect_headers = { Content-Type = 'json' }",
    ))
    .unwrap();
    assert!(verdict.passed, "{}", verdict.summary);
    let verdict = ask(&http(
        &server,
        "/health",
        "status = [204, '300-399']\ncontains = 'fine'\njson = { '/status' = 'up', '/none' = 1 }\n\
         expect_headers = { etag = 'x' }",
    ))
    .unwrap();
    assert!(!verdict.passed);
    for part in [
        "200, expected 204 or 300-399",
        "no header etag",
        "no `fine`",
        "/status is \"ok\", expected \"up\"",
        "there is no /none",
    ] {
        assert!(verdict.summary.contains(part), "{part}: {}", verdict.summary);
    }
    assert!(!ask(&http(&server, "/nowhere", "")).unwrap().passed);
}

#[test]
fn slow_is_a_no_by_latency_and_by_timeout() {
    let server = server();
    let verdict = ask(&http(&server, "/slow", "latency = '0.1s'")).unwrap();
    assert!(
        !verdict.passed && verdict.summary.contains("allowed are 100"),
        "{}",
        verdict.summary
    );
    let verdict = ask(&http(&server, "/slow", "timeout = '0.05s'")).unwrap();
    assert!(
        !verdict.passed && verdict.summary.contains("no answer in time"),
        "{}",
        verdict.summary
    );
}

#[test]
fn it_is_sent_again_as_often_as_retries_say() {
    let server = server();
    let verdict = ask(&http(&server, "/third-time", "retries = 2\ninterval = '0.01s'")).unwrap();
    assert!(verdict.passed && server.seen().len() == 3, "{}", verdict.summary);
}

#[test]
fn redirects_are_followed_on_the_same_host_and_nowhere_else() {
    let server = server();
    assert!(ask(&http(&server, "/here", "")).unwrap().passed);
    assert!(ask(&http(&server, "/away", "status = 302")).unwrap().passed);
    let verdict = ask(&http(&server, "/away", "")).unwrap();
    assert!(
        !verdict.passed && verdict.summary.contains("another host"),
        "{}",
        verdict.summary
    );
    assert!(!verdict.summary.contains("abc"), "{}", verdict.summary);
    assert!(!ask(&http(&server, "/circle", "")).unwrap().passed);
}

#[test]
fn that_nobody_listens_is_a_no_and_metadata_is_not_asked() {
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let verdict = ask(&format!("[[check]]\nkind = 'http'\nurl = 'http://127.0.0.1:{free}/'")).unwrap();
    assert!(
        !verdict.passed && verdict.summary.contains("refused"),
        "{}",
        verdict.summary
    );
    for url in [
        "http://169.254.169.254/latest/meta-data/",
        "http://[::ffff:169.254.170.2]/",
    ] {
        let error = ask(&format!("[[check]]\nkind = 'http'\nurl = '{url}'")).unwrap_err();
        assert!(
            error.untouched && error.message.contains("credentials"),
            "{}",
            error.message
        );
    }
    let server = server();
    let error = ask(&http(&server, "/health", "allow_private = false")).unwrap_err();
    assert!(error.message.contains("allow_private"), "{}", error.message);
    assert!(server.seen().is_empty());
}

#[test]
fn headers_come_from_the_environment_and_secrets_are_not_shown() {
    let server = server();
    // Set for every test of this binary, which is one process.
    let home = std::env::var("PATH").unwrap();
    let verdict = ask(&http(
        &server,
        "/secret?key=hunter2",
        "headers = { x-plain = 'p' }\nheaders_environment = { x-path = 'PATH' }",
    ))
    .unwrap();
    assert_eq!(server.seen()[0].header("x-path"), Some(home.as_str()));
    assert_eq!(server.seen()[0].header("x-plain"), Some("p"));
    assert!(verdict.summary.contains("/secret?key=…"), "{}", verdict.summary);
    assert!(!verdict.summary.contains("hunter2"));
    let error = ask(&http(
        &server,
        "/health",
        "headers_environment = { a = 'NOT_SET_ANYWHERE' }",
    ))
    .unwrap_err();
    assert!(error.message.contains("$NOT_SET_ANYWHERE"), "{}", error.message);
    let error = configured("[[check]]\nkind = 'http'\nurl = 'http://me:hunter2@example.com/'")
        .err()
        .unwrap();
    assert!(!error.to_string().contains("hunter2"), "{error}");
    assert!(error.to_string().contains("headers_environment"), "{error}");
}

#[test]
fn endpoints_are_asked_one_by_one_below_their_base() {
    let server = server();
    let table = |endpoints: &str| {
        format!(
            "[[check]]\nkind = 'endpoints'\nbase = '{}'\nendpoints = {endpoints}",
            server.url("")
        )
    };
    let verdict = ask(&table(
        "['/health', { path = 'login', method = 'POST', body = '{}', status = [200, 401] }]",
    ))
    .unwrap();
    assert!(verdict.passed, "{verdict:?}");
    let posted = server
        .seen()
        .into_iter()
        .find(|seen| seen.line == "POST /login")
        .unwrap();
    assert_eq!(posted.body, "{}");
    let verdict = ask(&table("['/health', '/nowhere']")).unwrap();
    assert_eq!(verdict.summary, "1 of 2 endpoints answer as they should");
    assert!(verdict.details[1].starts_with("✗ GET http://127.0.0.1"), "{verdict:?}");
    let error = configured(&table("[{ path = '/a', methud = 'GET' }]")).err().unwrap();
    assert!(error.to_string().contains("methud"), "{error}");
}

#[test]
fn what_cannot_be_meant_is_said_with_its_place() {
    for (more, part) in [
        ("url = 'ftp://x/'", "no URL of HTTP"),
        ("url = 'http://x/'\nstatus = 999", "no status"),
        ("url = 'http://x/'\nbody = 'b'", "has no body"),
        ("url = 'http://x/'\nlatncy = '1s'", "latncy"),
        ("url = 'http://x/'\ntimes = 0", "`times`"),
        ("url = 'http://x/'\nwithin = 'soon'", "`within`"),
        ("url = 'http://x/'\njson = { status = 1 }", "JSON pointer"),
    ] {
        let error = configured(&format!("[[check]]\nkind = 'http'\n{more}")).err().unwrap();
        assert!(error.to_string().contains(part), "{part}: {error}");
        assert!(error.to_string().starts_with("infra-rollback.toml:1"), "{error}");
    }
    let error = configured("[[check]]\nkind = 'htpp'").err().unwrap();
    assert_eq!(error.hint.as_deref(), Some("did you mean `http`?"));
}
