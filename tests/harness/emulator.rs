//! The AWS emulator at `AWS_ENDPOINT_URL`, spoken to by plain HTTP, which it takes without a valid signature: what a
//! deploy does in a test, and what the tests see of it with their own eyes.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::Value;

use crate::World;

/// Where it listens.
#[derive(Clone)]
pub struct Emulator {
    /// `127.0.0.1:5000`
    pub host: String,
    /// As whom it is asked: it tells accounts apart by it.
    access_key: String,
    region: String,
}

impl Emulator {
    /// `None` where no emulator runs (`INFRA_ROLLBACK_TESTS=offline`).
    pub fn here() -> Option<Emulator> {
        let Ok(endpoint) = std::env::var("AWS_ENDPOINT_URL") else {
            eprintln!("skipped: AWS_ENDPOINT_URL names no emulator");
            return None;
        };
        Some(Emulator {
            host: endpoint.trim_start_matches("http://").trim_end_matches('/').to_owned(),
            access_key: "test".to_owned(),
            region: "us-east-1".to_owned(),
        })
    }

    /// The same one, asked as a role that is taken now.
    ///
    /// # Panics
    /// It is refused.
    #[track_caller]
    pub fn in_role(&self, role: &str) -> Emulator {
        let parameters = format!("Action=AssumeRole&Version=2011-06-15&RoleArn={role}&RoleSessionName=test");
        let answer = self.query("sts", &parameters);
        let (_, rest) = answer.split_once("<AccessKeyId>").expect("an answer has a key");
        Emulator {
            host: self.host.clone(),
            access_key: rest.split('<').next().unwrap_or_default().to_owned(),
            region: self.region.clone(),
        }
    }

    /// The same one, asked in another region.
    pub fn in_region(&self, region: &str) -> Emulator {
        Emulator {
            region: region.to_owned(),
            ..self.clone()
        }
    }

    /// A call of a JSON service that may be refused: status and answer.
    pub fn try_json(&self, service: &str, target: &str, body: &Value) -> (u16, Value) {
        let headers = format!("X-Amz-Target: {target}\r\nContent-Type: application/x-amz-json-1.1\r\n");
        let (status, answer) = self.call("POST", "/", service, &headers, body.to_string().as_bytes());
        (status, serde_json::from_slice(&answer).unwrap_or_default())
    }

    /// A call of a JSON service; `target` is what X-Amz-Target says.
    ///
    /// # Panics
    /// It is refused.
    #[track_caller]
    pub fn json(&self, service: &str, target: &str, body: &Value) -> Value {
        let (status, answer) = self.try_json(service, target, body);
        assert_eq!(status, 200, "{target}: {answer}");
        answer
    }

    /// A call of a query service, whose answer is XML. The parameters are written as they are.
    ///
    /// # Panics
    /// It is refused.
    #[track_caller]
    pub fn query(&self, service: &str, parameters: &str) -> String {
        let headers = "Content-Type: application/x-www-form-urlencoded\r\n";
        let (status, answer) = self.call("POST", "/", service, headers, parameters.as_bytes());
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert_eq!(status, 200, "{parameters}: {answer}");
        answer
    }

    /// Any call: status and body of the answer.
    pub(crate) fn call(&self, method: &str, path: &str, service: &str, headers: &str, body: &[u8]) -> (u16, Vec<u8>) {
        let (status, _, body) = self.ask(method, path, service, headers, body);
        (status, body)
    }

    /// As [`Emulator::call`], with the answer's head.
    pub(crate) fn ask(
        &self,
        method: &str,
        path: &str,
        service: &str,
        headers: &str,
        body: &[u8],
    ) -> (u16, String, Vec<u8>) {
        let mut stream = TcpStream::connect(&self.host).expect("the emulator listens");
        let head = format!(
            "{method} {path} HTTP/1.0\r\nHost: {}\r\nAuthorization: AWS4-HMAC-SHA256 \
             Credential={}/20260101/{}/{service}/aws4_request, SignedHeaders=host, Signature=0\r\nContent-Length: \
             {}\r\n{headers}\r\n",
            self.host,
            self.access_key,
            self.region,
            body.len()
        );
        stream.write_all(head.as_bytes()).expect("the emulator listens");
        stream.write_all(body).expect("the emulator listens");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("the emulator answers");
        let end = answer
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .expect("an answer has a head");
        let head = String::from_utf8_lossy(&answer[..end]).into_owned();
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .expect("an answer has a status");
        (status, head, answer.split_off(end + 4))
    }
}

impl World {
    /// The real AWS provider, where it lies on this machine, works on the emulator from now on. `None` where there is none of
    /// the two.
    pub fn use_cloud(&mut self) -> Option<Emulator> {
        let emulator = Emulator::here()?;
        let providers = std::env::var("TF_CLI_CONFIG_FILE").ok()?;
        let endpoint = format!("http://{}", emulator.host);
        for (name, value) in [
            ("TF_CLI_CONFIG_FILE", providers.as_str()),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
            ("AWS_ENDPOINT_URL", &endpoint),
            ("NO_PROXY", "127.0.0.1,localhost"),
        ] {
            self.set(name, value);
        }
        Some(emulator)
    }
}
