//! The service as a process of its own, and its callers.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use crate::authority::Authority;
use crate::background::Background;
use crate::ran::Ran;
use crate::world::World;

/// A running `infra-rollback serve`; killed when dropped.
pub struct Service {
    pub process: Background,
    address: String,
    /// Whose certificates its callers trust, where it speaks TLS.
    authority: Option<Authority>,
    said: Arc<Mutex<Vec<u8>>>,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Reply {
    #[track_caller]
    pub fn is(self, status: u16) -> Reply {
        assert!(
            self.status == status,
            "expected {status}, got {}: {}",
            self.status,
            String::from_utf8_lossy(&self.body)
        );
        self
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("no JSON ({error}): {}", String::from_utf8_lossy(&self.body)))
    }
}

impl Service {
    /// Starts it, on a free port where none is named.
    ///
    /// # Panics
    /// It does not say where it listens.
    #[track_caller]
    pub fn start(world: &World, arguments: &[&str]) -> Service {
        let mut all = vec!["serve"];
        if !arguments.contains(&"--listen") {
            all.extend(["--listen", "127.0.0.1:0"]);
        }
        all.extend(arguments);
        let mut process = world.start(&all);
        let child = process.child.as_mut().expect("it was started");
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let mut stdout = BufReader::new(stdout.expect("its stdout is a pipe"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("it says something");
        let address = line.trim().strip_prefix("Listening on http");
        let address = address.and_then(|rest| rest.strip_prefix("://").or(rest.strip_prefix("s://")));
        let Some(address) = address else {
            let mut rest = String::new();
            let _ = stderr.expect("its stderr is a pipe").read_to_string(&mut rest);
            panic!("it says {line:?} instead of where it listens: {rest}");
        };
        // Nobody reads on; a full pipe must not stop it.
        std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
        let said: Arc<Mutex<Vec<u8>>> = Arc::default();
        let own = said.clone();
        std::thread::spawn(move || {
            let mut stderr = stderr.expect("its stderr is a pipe");
            let mut piece = [0; 4096];
            while let Ok(length @ 1..) = stderr.read(&mut piece) {
                own.lock()
                    .expect("no test panics here")
                    .extend_from_slice(&piece[..length]);
            }
        });
        Service {
            process,
            address: address.to_owned(),
            authority: None,
            said,
        }
    }

    /// Its callers speak TLS, and trust this authority.
    pub fn trusting(mut self, authority: &Authority) -> Service {
        self.authority = Some(authority.clone());
        self
    }

    pub fn url(&self) -> String {
        let scheme = if self.authority.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// `127.0.0.1:8470`
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What it has said on its stderr so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&self.said.lock().expect("no test panics here")).into_owned()
    }

    /// One request.
    ///
    /// # Panics
    /// There is no answer.
    #[track_caller]
    pub fn call(&self, method: &str, path: &str, token: &str, body: &str) -> Reply {
        self.call_with(method, path, token, &[], body)
    }

    /// The same with more headers.
    ///
    /// # Panics
    /// There is no answer.
    #[track_caller]
    pub fn call_with(&self, method: &str, path: &str, token: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        self.send(method, path, &format!("Bearer {token}"), headers, body)
    }

    /// A request with this as its authorization.
    ///
    /// # Panics
    /// There is no answer.
    #[track_caller]
    pub fn raw(&self, method: &str, path: &str, authorization: &str) -> Reply {
        self.send(method, path, authorization, &[], "")
    }

    #[track_caller]
    fn send(&self, method: &str, path: &str, authorization: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let mut head = format!(
            "{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\nAuthorization: {authorization}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n",
            body.len()
        );
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let mut bytes = self.exchange(format!("{head}\r\n{body}").as_bytes());
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("no answer: {}", String::from_utf8_lossy(&bytes)));
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .unwrap_or_else(|| panic!("no status: {head}"));
        Reply {
            status,
            body: bytes.split_off(end + 4),
            head,
        }
    }

    /// What comes back for these bytes, until the connection is closed.
    fn exchange(&self, request: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .expect("a socket has time limits");
        let mut bytes = Vec::new();
        match &self.authority {
            None => {
                stream.write_all(request).expect("the request can be sent");
                stream.read_to_end(&mut bytes).expect("the answer can be read");
            }
            Some(authority) => {
                let mut stream = authority.connect(stream);
                stream.write_all(request).expect("the request can be sent");
                stream.read_to_end(&mut bytes).expect("the answer can be read");
            }
        }
        bytes
    }

    #[track_caller]
    pub fn get(&self, path: &str, token: &str) -> Reply {
        self.call("GET", path, token, "")
    }

    #[track_caller]
    pub fn post(&self, path: &str, token: &str, body: &str) -> Reply {
        self.call("POST", path, token, body)
    }

    /// Asks for a rollback and waits until it awaits approval or has ended; its path, and what is known of it then.
    ///
    /// # Panics
    /// It takes more than a minute.
    #[track_caller]
    pub fn rollback(&self, token: &str, body: &str) -> (String, Value) {
        let id = self.post("/v1/rollbacks", token, body).is(202).json()["id"]
            .as_str()
            .expect("it has an id")
            .to_owned();
        let path = format!("/v1/rollbacks/{id}");
        let known = self.until(&path, token, |known| {
            known["over"] == true || known["status"] == "awaiting-approval"
        });
        (path, known)
    }

    /// Waits until a rollback is so.
    ///
    /// # Panics
    /// It takes more than a minute.
    #[track_caller]
    pub fn until(&self, path: &str, token: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let mut known = Value::Null;
        crate::wait_until(path, || {
            known = self.get(path, token).is(200).json();
            is_so(&known)
        });
        known
    }
}

impl World {
    /// A token of the service.
    #[track_caller]
    pub fn token(&self, name: &str, role: &str, more: &[&str]) -> String {
        let mut arguments = vec!["tokens", "create", "--json", "--name", name, "--role", role];
        arguments.extend(more);
        let made: Ran = self.tool(&arguments);
        made.exits(0).json()["token"]
            .as_str()
            .expect("it is shown once")
            .to_owned()
    }
}
