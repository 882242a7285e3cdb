//! A mail server that keeps what it is sent.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// On a free port, until the test ends; it takes mail from everybody, without encryption.
#[derive(Clone)]
pub struct MailServer {
    pub port: u16,
    received: Arc<Mutex<Vec<String>>>,
}

impl MailServer {
    /// # Panics
    /// No port is free.
    pub fn start() -> MailServer {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let server = MailServer {
            port: listener.local_addr().expect("it listens").port(),
            received: Arc::default(),
        };
        let own = server.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let own = own.clone();
                std::thread::spawn(move || own.take(stream));
            }
        });
        server
    }

    /// The mails, with their heads.
    pub fn received(&self) -> Vec<String> {
        self.received.lock().expect("no test panics here").clone()
    }

    fn take(&self, stream: TcpStream) -> Option<()> {
        let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
        let mut stream = stream;
        stream.write_all(b"220 test\r\n").ok()?;
        while let Some(Ok(line)) = lines.next() {
            let answer = match line.split_whitespace().next()?.to_ascii_uppercase().as_str() {
                "EHLO" => "250-test\r\n250 AUTH PLAIN LOGIN\r\n",
                "AUTH" => "235 fine\r\n",
                "DATA" => {
                    stream.write_all(b"354 go on\r\n").ok()?;
                    let mail: Vec<String> = lines
                        .by_ref()
                        .map_while(Result::ok)
                        .take_while(|line| line != ".")
                        .collect();
                    self.received
                        .lock()
                        .expect("no test panics here")
                        .push(mail.join("\r\n"));
                    "250 taken\r\n"
                }
                "QUIT" => "221 bye\r\n",
                _ => "250 fine\r\n",
            };
            stream.write_all(answer.as_bytes()).ok()?;
        }
        Some(())
    }
}
