//! A small HTTP server, and checks from the words of a configuration.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use rollback_config::project;
use rollback_runbook::SettingsError;
use rollback_runbook::check::Verdict;
use rollback_runbook::checks::{NamedCheck, checks};
use rollback_runbook::step::StepError;

/// What a request was.
#[derive(Clone, Debug)]
pub struct Seen {
    pub line: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(found, _)| found.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// Answers on a free port until the test ends.
pub struct Server {
    pub port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    /// `answer` gets `GET /path` and how many requests there were before; it gives status, headers, body.
    pub fn start(answer: impl Fn(&str, usize) -> (u16, String, String) + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let record = Arc::clone(&seen);
        let answer = Arc::new(answer);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (record, answer) = (Arc::clone(&record), Arc::clone(&answer));
                std::thread::spawn(move || serve(stream, &record, answer.as_ref()));
            }
        });
        Server { port, seen }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

fn serve(mut stream: TcpStream, record: &Mutex<Vec<Seen>>, answer: &dyn Fn(&str, usize) -> (u16, String, String)) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 || line.trim().is_empty() {
            break;
        }
        lines.push(line.trim_end().to_owned());
    }
    let Some((first, headers)) = lines.split_first() else {
        return;
    };
    let headers: Vec<(String, String)> = headers
        .iter()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let length = headers
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let mut body = vec![0; length.map_or(0, |(_, length)| length.parse().unwrap())];
    reader.read_exact(&mut body).unwrap();
    let line = first.trim_end_matches(" HTTP/1.1").to_owned();
    let before = {
        let mut record = record.lock().unwrap();
        record.push(Seen {
            line: line.clone(),
            headers,
            body: String::from_utf8(body).unwrap(),
        });
        record.len() - 1
    };
    let (status, headers, body) = answer(&line, before);
    let _ = write!(
        stream,
        "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n{body}",
        body.len()
    );
}

/// The checks of a configuration.
pub fn configured(text: &str) -> Result<Vec<NamedCheck>, SettingsError> {
    let project = project::parse(text, "infra-rollback.toml").unwrap();
    checks(&project.checks, std::path::Path::new("/"), |_| None)
}

/// Asks the only check of a configuration.
pub fn ask(text: &str) -> Result<Verdict, StepError> {
    let checks = configured(text).unwrap();
    checks[0].check.ask(jiff::Timestamp::now())
}
