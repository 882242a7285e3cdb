//! A small HTTP service that answers checks and takes webhooks: what it says can change, what it was told is kept.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// One request that came.
#[derive(Clone, Debug)]
pub struct Received {
    /// `POST /hook`
    pub line: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Received {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(found, _)| found.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// A service on a free port, until the test ends.
#[derive(Clone)]
pub struct WebService {
    pub port: u16,
    status: Arc<Mutex<Box<dyn Fn() -> u16 + Send>>>,
    received: Arc<Mutex<Vec<Received>>>,
}

impl WebService {
    /// It answers 200 until it is told otherwise.
    pub fn start() -> WebService {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let service = WebService {
            port: listener.local_addr().expect("it listens").port(),
            status: Arc::new(Mutex::new(Box::new(|| 200))),
            received: Arc::default(),
        };
        let own = service.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let own = own.clone();
                std::thread::spawn(move || own.serve(stream));
            }
        });
        service
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// From now on it answers with this status.
    pub fn answers(&self, status: u16) {
        self.answers_as(move || status);
    }

    /// From now on it answers with what this says at the time.
    pub fn answers_as(&self, status: impl Fn() -> u16 + Send + 'static) {
        *self.status.lock().expect("no test panics here") = Box::new(status);
    }

    pub fn received(&self) -> Vec<Received> {
        self.received.lock().expect("no test panics here").clone()
    }

    fn serve(&self, mut stream: TcpStream) {
        let Some(received) = stream.try_clone().ok().and_then(|stream| read(BufReader::new(stream))) else {
            return;
        };
        self.received.lock().expect("no test panics here").push(received);
        let status = (self.status.lock().expect("no test panics here"))();
        let _ = write!(
            stream,
            "HTTP/1.1 {status} X\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"
        );
    }
}

fn read(mut reader: BufReader<TcpStream>) -> Option<Received> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 || line.trim().is_empty() {
            break;
        }
        lines.push(line.trim_end().to_owned());
    }
    let (first, headers) = lines.split_first()?;
    let headers: Vec<(String, String)> = headers
        .iter()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let length = headers
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let mut body = vec![0; length.map_or(Some(0), |(_, length)| length.parse().ok())?];
    reader.read_exact(&mut body).ok()?;
    Some(Received {
        line: first.trim_end_matches(" HTTP/1.1").to_owned(),
        headers,
        body: String::from_utf8_lossy(&body).into_owned(),
    })
}
