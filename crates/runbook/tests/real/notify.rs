//! `[[notify]]`: a webhook's receiver that checks the signature, a mail server, a command.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use hmac::{Hmac, Mac};
use rollback_config::project;
use rollback_runbook::SettingsError;
use rollback_runbook::notify::{Message, NamedChannel, Phase, channels};
use sha2::Sha256;

use crate::support::Server;

fn configured(text: &str) -> Result<Vec<NamedChannel>, SettingsError> {
    let project = project::parse(text, "infra-rollback.toml").unwrap();
    channels(&project.notifications, Path::new("/tmp"), |_| None)
}

fn only(text: &str) -> NamedChannel {
    configured(text).unwrap().remove(0)
}

fn message(phase: Phase) -> Message {
    Message {
        id: "run-1-start-4".into(),
        phase,
        subject: "[INCIDENT] ROLLBACK IN PROGRESS: Shop <prod> & more".into(),
        text: "Status: ROLLBACK IN PROGRESS\n- größer".into(),
        document: serde_json::json!({ "run": "run-1" }),
        invitation: (phase == Phase::End).then(|| "BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n".into()),
    }
}

#[test]
fn a_webhook_is_signed_and_tried_again() {
    // The first answer is a failure that is over in a moment.
    let server = Server::start(|_, before| (if before == 0 { 503 } else { 204 }, String::new(), String::new()));
    // A variable that every test has serves as the key.
    let channel = only(&format!(
        "[[notify]]\nkind = 'webhook'\nurl = '{}'\nsecret_environment = 'CARGO_PKG_DESCRIPTION'\n\
         headers_environment = {{ Authorization = 'CARGO_PKG_NAME' }}",
        server.url("/hook")
    ));
    channel.channel.send(&message(Phase::Start)).unwrap();
    let seen = server.seen();
    assert_eq!(seen.len(), 2);
    for request in &seen {
        assert_eq!(request.line, "POST /hook");
        assert_eq!(request.header("x-rollback-event"), Some("rollback.start"));
        assert_eq!(request.header("x-rollback-delivery"), Some("run-1-start-4"));
        assert_eq!(request.header("authorization"), Some("rollback-runbook"));
        let signature = request.header("x-rollback-signature").unwrap();
        let (time, digest) = signature.strip_prefix("t=").unwrap().split_once(",v1=").unwrap();
        let mut mac = Hmac::<Sha256>::new_from_slice(env!("CARGO_PKG_DESCRIPTION").as_bytes()).unwrap();
        mac.update(format!("{time}.{}", request.body).as_bytes());
        mac.verify_slice(&hex::decode(digest).unwrap()).unwrap();
        let body: serde_json::Value = serde_json::from_str(&request.body).unwrap();
        assert_eq!(body["report"]["run"], "run-1");
        assert_eq!(body["event"], "rollback.start");
    }
}

#[test]
fn what_a_webhook_refuses_is_not_sent_again_and_no_path_is_told() {
    let server = Server::start(|_, _| (403, String::new(), String::new()));
    let channel = only(&format!(
        "[[notify]]\nkind = 'webhook'\nurl = '{}'",
        server.url("/services/S3CR3T")
    ));
    let error = channel.channel.send(&message(Phase::Start)).unwrap_err();
    assert!(
        error.message.contains("403") && !error.message.contains("S3CR3T"),
        "{error}"
    );
    assert_eq!(server.seen().len(), 1);
    let channel = only("[[notify]]\nkind = 'webhook'\nurl = 'http://169.254.169.254/'");
    assert!(channel.channel.send(&message(Phase::Start)).unwrap_err().untouched);
}

#[test]
fn slack_gets_its_markup_escaped_and_its_url_never_stands_in_the_file() {
    let error = configured("[[notify]]\nkind = 'slack'\nurl = 'https://hooks.slack.com/services/T/B/S3CR3T'")
        .err()
        .unwrap();
    assert!(error.hint.as_ref().unwrap().contains("url_environment"), "{error}");
    assert!(!error.to_string().contains("S3CR3T"));
    let channel = only("[[notify]]\nkind = 'slack'\nurl_environment = 'NOT_SET_ANYWHERE'");
    let error = channel.channel.send(&message(Phase::Start)).unwrap_err();
    assert!(error.message.contains("$NOT_SET_ANYWHERE"), "{error}");
}

/// A mail server that takes everything: what it was told, line by line.
fn mail_server() -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let told: Arc<Mutex<Vec<String>>> = Arc::default();
    let record = Arc::clone(&told);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            take_mail(stream, &record);
        }
    });
    (port, told)
}

fn take_mail(mut stream: TcpStream, record: &Mutex<Vec<String>>) {
    let reader = BufReader::new(stream.try_clone().unwrap());
    let mut data = false;
    stream.write_all(b"220 sink\r\n").unwrap();
    for line in reader.lines().map_while(Result::ok) {
        let answer: &[u8] = match (data, line.as_str()) {
            (true, ".") => {
                data = false;
                b"250 taken\r\n"
            }
            (true, _) => b"",
            (false, "DATA") => {
                data = true;
                b"354 go on\r\n"
            }
            (false, "QUIT") => b"221 bye\r\n",
            _ => b"250 fine\r\n",
        };
        record.lock().unwrap().push(line);
        stream.write_all(answer).unwrap();
    }
}

fn smtp(port: u16, more: &str) -> String {
    format!(
        "[[notify]]\nkind = 'smtp'\nhost = 'localhost'\nport = {port}\nfrom = 'Rollback <r@example.com>'\n\
         to = ['a@example.com', 'b@example.com']\n{more}"
    )
}

#[test]
fn mail_goes_to_everybody_with_the_invitation_at_the_end() {
    let (port, told) = mail_server();
    let channel = only(&smtp(port, "tls = 'none'"));
    channel.channel.send(&message(Phase::Start)).unwrap();
    channel.channel.send(&message(Phase::End)).unwrap();
    let told = told.lock().unwrap().join("\n");
    for part in [
        "MAIL FROM:<r@example.com>",
        "RCPT TO:<a@example.com>",
        "RCPT TO:<b@example.com>",
        "Subject: [INCIDENT] ROLLBACK IN PROGRESS: Shop <prod> & more",
        "Message-ID: <run-1-start-4@infra-rollback>",
        "post-mortem.ics",
    ] {
        assert!(told.contains(part), "{part}\n{told}");
    }
    assert_eq!(told.matches("post-mortem.ics").count(), 1, "{told}");
}

#[test]
fn nothing_is_mailed_in_the_clear_where_encryption_is_wanted() {
    let (port, told) = mail_server();
    let channel = only(&smtp(port, ""));
    assert!(channel.channel.send(&message(Phase::Start)).is_err());
    assert!(!told.lock().unwrap().iter().any(|line| line.starts_with("MAIL")));
    let error = configured(&smtp(port, "tls = 'none'\nusername = 'u'\npassword_environment = 'P'"))
        .err()
        .unwrap();
    assert!(error.to_string().contains("clear"), "{error}");
}

#[test]
fn a_command_finds_the_message_in_its_environment() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("told");
    let channel = only(&format!(
        "[[notify]]\nkind = 'command'\non = ['end']\ncommand = 'echo \"$INFRA_ROLLBACK_PHASE $INFRA_ROLLBACK_SUBJECT\" > {}'",
        file.display()
    ));
    assert_eq!(channel.phases, [Phase::End]);
    channel.channel.send(&message(Phase::End)).unwrap();
    let told = std::fs::read_to_string(file).unwrap();
    assert_eq!(told.trim(), "end [INCIDENT] ROLLBACK IN PROGRESS: Shop <prod> & more");
    let failing = only("[[notify]]\nkind = 'command'\ncommand = 'exit 4'");
    let error = failing.channel.send(&message(Phase::Start)).unwrap_err();
    assert!(error.message.contains("exit status 4"), "{error}");
}

#[test]
fn what_cannot_be_meant_is_said() {
    for (text, part) in [
        ("kind = 'webhok'", "`webhok`"),
        ("kind = 'webhook'", "`url_environment`"),
        ("kind = 'webhook'\nurl = 'http://x/'\nsecret = 'abc'", "secret"),
        (
            "kind = 'smtp'\nhost = 'h'\nfrom = 'nobody'\nto = ['a@b.c']",
            "no address of mail",
        ),
        ("kind = 'command'\ncommand = 'x'\non = ['now']", "`on`"),
    ] {
        let error = configured(&format!("[[notify]]\n{text}")).err().unwrap();
        assert!(error.to_string().contains(part), "{part}: {error}");
    }
}
