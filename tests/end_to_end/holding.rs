//! A way to the emulator on which one answer never comes back: the change was made, and whoever asked for it is killed
//! before it hears of it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

pub(crate) struct Holding {
    address: SocketAddr,
    holds: Arc<AtomicBool>,
}

/// Which answers are held back.
struct Held {
    text: String,
    left: AtomicUsize,
    holds: Arc<AtomicBool>,
}

impl Holding {
    /// The answer to the `count`th request that has `text` in it is held back, and all later ones.
    pub(crate) fn start(upstream: &str, text: &str, count: usize) -> Holding {
        let upstream = upstream.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let holds = Arc::new(AtomicBool::new(false));
        let held = Arc::new(Held {
            text: text.to_owned(),
            left: AtomicUsize::new(count),
            holds: Arc::clone(&holds),
        });
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (upstream, held) = (upstream.clone(), Arc::clone(&held));
                std::thread::spawn(move || hand_on(client, &upstream, &held));
            }
        });
        Holding { address, holds }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Whether the answer came and is held back.
    pub(crate) fn holds(&self) -> bool {
        self.holds.load(Ordering::SeqCst)
    }
}

/// One request, and its answer.
fn hand_on(mut client: TcpStream, upstream: &str, held: &Held) {
    let Some(request) = request(&mut client) else { return };
    let mut server = TcpStream::connect(upstream).unwrap();
    server.write_all(&request).unwrap();
    let mut answer = Vec::new();
    if server.read_to_end(&mut answer).is_err() {
        return;
    }
    let is_meant = String::from_utf8_lossy(&request).contains(&held.text);
    if is_meant && held.left.fetch_sub(1, Ordering::SeqCst) == 1 {
        held.holds.store(true, Ordering::SeqCst);
    }
    while held.holds.load(Ordering::SeqCst) {
        std::thread::park();
    }
    let _ = client.write_all(&answer);
}

/// With a word to the server to hang up after it.
fn request(client: &mut TcpStream) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut part = [0; 4096];
    loop {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        if let Some(end) = end {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length")
                    .then(|| value.trim().parse::<usize>().ok())?
            });
            if bytes.len() >= end + 4 + length.unwrap_or(0) {
                let mut whole = format!("{head}\r\nConnection: close\r\n\r\n").into_bytes();
                whole.extend(&bytes[end + 4..]);
                return Some(whole);
            }
        }
        match client.read(&mut part) {
            Ok(0) | Err(_) => return None,
            Ok(read) => bytes.extend(&part[..read]),
        }
    }
}
