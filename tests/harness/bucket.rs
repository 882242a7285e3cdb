//! A bucket of a test's own on the AWS emulator, spoken to as plain HTTP: the tool under test has the SDK.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU32, Ordering};

/// A bucket that keeps versions.
pub struct Bucket {
    pub name: String,
    /// `HOST:PORT`
    host: String,
}

impl Bucket {
    /// Makes one. `None` without an emulator (`AWS_ENDPOINT_URL`): such a test is skipped.
    ///
    /// # Panics
    /// The emulator does not answer.
    pub fn new() -> Option<Bucket> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let Some(endpoint) = std::env::var("AWS_ENDPOINT_URL").ok().filter(|url| !url.is_empty()) else {
            eprintln!("skipped: there is no AWS emulator (AWS_ENDPOINT_URL)");
            return None;
        };
        let host = endpoint.trim_start_matches("http://").trim_end_matches('/').to_owned();
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("states-{}-{count}", std::process::id());
        let bucket = Bucket { name, host };
        bucket.call("PUT", "", &[], b"");
        let versioning = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
        bucket.call("PUT", "?versioning", &[], versioning);
        Some(bucket)
    }

    /// The `terraform` block of a backend in this bucket.
    pub fn backend(&self, key: &str) -> String {
        format!(
            "terraform {{\n  backend \"s3\" {{\n    bucket = \"{}\"\n    key = \"{key}\"\n    region = \"us-east-1\"\n    \
             use_path_style = true\n    use_lockfile = true\n    skip_credentials_validation = true\n    \
             skip_requesting_account_id = true\n    skip_metadata_api_check = true\n    skip_s3_checksum = true\n  }}\n}}\n",
            self.name
        )
    }

    /// What a command needs in its environment to get at the bucket.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ENDPOINT_URL", format!("http://{}", self.host)),
            ("AWS_ACCESS_KEY_ID", "test".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
            ("NO_PROXY", "127.0.0.1,localhost".to_owned()),
        ]
    }

    /// Writes an object; headers such as `x-amz-meta-…` come with it.
    #[track_caller]
    pub fn put(&self, key: &str, bytes: &[u8], headers: &[(&str, &str)]) {
        self.call("PUT", &format!("/{key}"), headers, bytes);
    }

    /// An object's bytes as they are now.
    #[track_caller]
    pub fn get(&self, key: &str) -> Vec<u8> {
        self.call("GET", &format!("/{key}"), &[], b"")
    }

    /// Deletes an object: a marker, its versions stay.
    #[track_caller]
    pub fn delete(&self, key: &str) {
        self.call("DELETE", &format!("/{key}"), &[], b"");
    }

    #[track_caller]
    fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(&self.host).expect("the AWS emulator listens");
        let mut request = format!(
            "{method} /{}{path} HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\nConnection: close\r\n\
             Authorization: AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request\r\n",
            self.name,
            self.host,
            body.len()
        );
        for (name, value) in headers {
            request += &format!("{name}: {value}\r\n");
        }
        request += "\r\n";
        stream.write_all(request.as_bytes()).expect("the emulator reads");
        stream.write_all(body).expect("the emulator reads");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("the emulator answers");
        let end = answer
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .expect("an answer has a head");
        let head = String::from_utf8_lossy(&answer[..end]).into_owned();
        assert!(head.starts_with("HTTP/1.1 2"), "{method} {path}: {head}");
        answer.split_off(end + 4)
    }
}
