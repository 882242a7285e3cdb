//! A remote backend of the tests' own: Terraform's HTTP protocol, in memory, with locks and with faults.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

#[derive(Default)]
struct Kept {
    state: Option<Vec<u8>>,
    lock: Option<Vec<u8>>,
    writes: usize,
    refuse_writes: usize,
}

/// Keeps one state and one lock.
#[derive(Clone)]
pub struct StateServer {
    port: u16,
    kept: Arc<Mutex<Kept>>,
}

impl StateServer {
    /// Listens on a port of its own until the test process ends.
    ///
    /// # Panics
    /// No port is free.
    pub fn start() -> StateServer {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let server = StateServer {
            port: listener.local_addr().expect("it is bound").port(),
            kept: Arc::default(),
        };
        let kept = server.kept.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let kept = kept.clone();
                std::thread::spawn(move || {
                    let _ = answer(stream, &kept);
                });
            }
        });
        server
    }

    /// The `terraform` block that names this server as backend.
    pub fn backend(&self) -> String {
        let address = format!("http://127.0.0.1:{}/state", self.port);
        format!(
            "terraform {{\n  backend \"http\" {{\n    address        = \"{address}\"\n    lock_address   = \"{address}\"\n    \
             unlock_address = \"{address}\"\n    retry_wait_min = 1\n    retry_max      = 0\n  }}\n}}\n"
        )
    }

    pub fn state(&self) -> Option<Vec<u8>> {
        self.kept.lock().expect("no thread of the server panics").state.clone()
    }

    pub fn set_state(&self, state: Option<Vec<u8>>) {
        self.kept.lock().expect("no thread of the server panics").state = state;
    }

    pub fn is_locked(&self) -> bool {
        self.kept.lock().expect("no thread of the server panics").lock.is_some()
    }

    /// What the holder of the lock says of itself in `Info`.
    pub fn holder(&self) -> Option<String> {
        let kept = self.kept.lock().expect("no thread of the server panics");
        let info: serde_json::Value = serde_json::from_slice(kept.lock.as_ref()?).ok()?;
        info["Info"].as_str().map(str::to_owned)
    }

    /// Lets go of a lock that a killed process left, as `terraform force-unlock` does.
    pub fn force_unlock(&self) {
        self.kept.lock().expect("no thread of the server panics").lock = None;
    }

    /// Holds the lock as somebody else would.
    pub fn lock_as(&self, who: &str) {
        let info = format!(
            "{{\"ID\":\"0c5ee9d5-0000-0000-0000-000000000000\",\"Operation\":\"OperationTypeApply\",\"Info\":\"\",\"Who\":\"{who}\",\
             \"Version\":\"1.11.4\",\"Created\":\"2026-01-01T00:00:00Z\",\"Path\":\"\"}}"
        );
        self.kept.lock().expect("no thread of the server panics").lock = Some(info.into_bytes());
    }

    /// How often a state was written.
    pub fn writes(&self) -> usize {
        self.kept.lock().expect("no thread of the server panics").writes
    }

    /// The next so many writes are refused with a 400.
    pub fn refuse_writes(&self, count: usize) {
        self.kept.lock().expect("no thread of the server panics").refuse_writes = count;
    }
}

fn answer(stream: TcpStream, kept: &Mutex<Kept>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let method = line.split(' ').next().unwrap_or_default().to_owned();
    let mut length = 0;
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header)? == 0 || header.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = header.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let (status, reply) = serve(&method, body, kept);
    let mut stream = stream;
    write!(
        stream,
        "HTTP/1.1 {status} -\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        reply.len()
    )?;
    stream.write_all(&reply)?;
    stream.flush()
}

fn serve(method: &str, body: Vec<u8>, kept: &Mutex<Kept>) -> (u16, Vec<u8>) {
    let Ok(mut kept) = kept.lock() else {
        return (500, Vec::new());
    };
    match method {
        "GET" => match &kept.state {
            Some(state) => (200, state.clone()),
            None => (404, Vec::new()),
        },
        "POST" if kept.refuse_writes > 0 => {
            kept.refuse_writes -= 1;
            (400, Vec::new())
        }
        "POST" => {
            kept.state = Some(body);
            kept.writes += 1;
            (200, Vec::new())
        }
        "LOCK" => match &kept.lock {
            Some(holder) => (423, holder.clone()),
            None => {
                kept.lock = Some(body);
                (200, Vec::new())
            }
        },
        "UNLOCK" => {
            kept.lock = None;
            (200, Vec::new())
        }
        _ => (405, Vec::new()),
    }
}
