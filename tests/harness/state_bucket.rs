//! A bucket and a lock table of the test's own, in the AWS emulator at `AWS_ENDPOINT_URL`, seen with the tests' own eyes: by
//! plain HTTP, which the emulator takes without a valid signature.

use serde_json::{Value, json};

use crate::emulator::Emulator;
use crate::world::World;

/// The object key of the state.
const KEY: &str = "stacks/app.tfstate";

/// Where Terraform's `s3` backend keeps a test's state.
#[derive(Clone)]
pub struct StateBucket {
    emulator: Emulator,
    pub name: String,
    /// Terraform's lock table.
    pub table: String,
    /// Of the state's object.
    pub key: String,
    /// As whom the table is asked.
    table_account: Emulator,
    /// The base64 of the customer's key (SSE-C) and of its MD5, where objects are read with one.
    pub customer_key: Option<(&'static str, &'static str)>,
}

/// Which locks the backend block names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateLocks {
    File,
    Item,
    Both,
}

impl StateBucket {
    /// Makes them, versioned; `None` where no emulator runs (`INFRA_ROLLBACK_TESTS=offline`).
    ///
    /// # Panics
    /// The emulator refuses.
    pub fn make() -> Option<StateBucket> {
        let emulator = Emulator::here()?;
        let name = format!("terraform-{}", unique());
        let bucket = StateBucket {
            table: format!("{name}-locks"),
            name,
            key: KEY.to_owned(),
            table_account: emulator.clone(),
            emulator,
            customer_key: None,
        };
        bucket.s3("PUT", "", b"").expect("the bucket can be made");
        bucket
            .s3(
                "PUT",
                "?versioning",
                b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>",
            )
            .expect("the bucket can be versioned");
        bucket.make_table();
        Some(bucket)
    }

    fn make_table(&self) {
        self.table(
            "CreateTable",
            json!({
                "BillingMode": "PAY_PER_REQUEST",
                "KeySchema": [{"AttributeName": "LockID", "KeyType": "HASH"}],
                "AttributeDefinitions": [{"AttributeName": "LockID", "AttributeType": "S"}],
            }),
        );
    }

    /// Another lock table, in the account of a role: who does not take the role does not find it.
    ///
    /// # Panics
    /// The emulator refuses.
    pub fn move_table_to(&mut self, role: &str) {
        self.table_account = self.emulator.in_role(role);
        self.table += "-elsewhere";
        self.make_table();
    }

    /// Gives a world its state there.
    pub fn hold_state_of(&self, world: &mut World) {
        for (name, value) in [
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
            ("NO_PROXY", "127.0.0.1,localhost"),
        ] {
            world.set(name, value);
        }
        world.bucket = Some(self.clone());
    }

    /// The `terraform` block that names this bucket as backend.
    pub fn backend(&self, locks: StateLocks) -> String {
        self.backend_with(locks, "")
    }

    /// As [`StateBucket::backend`], with more lines in the block.
    pub fn backend_with(&self, locks: StateLocks, more: &str) -> String {
        let mut lines = more.to_owned();
        if locks != StateLocks::Item {
            lines += "    use_lockfile = true\n";
        }
        if locks != StateLocks::File {
            lines += &format!("    dynamodb_table = \"{}\"\n", self.table);
        }
        format!(
            "terraform {{\n  backend \"s3\" {{\n    bucket = \"{}\"\n    key = \"{KEY}\"\n    region = \"us-east-1\"\n    use_path_style = \
             true\n    skip_credentials_validation = true\n    skip_requesting_account_id = true\n    endpoints = {{ s3 = \
             \"http://{host}\", dynamodb = \"http://{host}\", sts = \"http://{host}\" }}\n{lines}  }}\n}}\n",
            self.name,
            host = self.emulator.host
        )
    }

    /// The state's bytes.
    pub fn state(&self) -> Option<Vec<u8>> {
        self.get(&self.key)
    }

    /// An object's bytes.
    pub fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.s3("GET", &format!("/{key}"), b"")
    }

    /// A header of the answer to a look at the state's object, by its name in small letters.
    pub fn header(&self, name: &str) -> Option<String> {
        let (_, head, _) = self
            .emulator
            .ask("HEAD", &format!("/{}/{}", self.name, self.key), "s3", "", b"");
        head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then(|| value.to_owned())
        })
    }

    /// Writes an object, as somebody without any lock would.
    pub fn put(&self, key: &str, bytes: &[u8]) {
        self.s3("PUT", &format!("/{key}"), bytes).expect("an object can be put");
    }

    pub fn remove(&self, key: &str) {
        self.s3("DELETE", &format!("/{key}"), b"");
    }

    /// An attribute of an item of the table.
    pub fn item(&self, id: &str, attribute: &str) -> Option<String> {
        let answer = self.table("GetItem", json!({"Key": {"LockID": {"S": id}}, "ConsistentRead": true}));
        answer["Item"][attribute]["S"].as_str().map(str::to_owned)
    }

    pub fn put_item(&self, id: &str, attribute: &str, text: &str) {
        self.table(
            "PutItem",
            json!({"Item": {"LockID": {"S": id}, attribute: {"S": text}}}),
        );
    }

    pub fn remove_item(&self, id: &str) {
        self.table("DeleteItem", json!({"Key": {"LockID": {"S": id}}}));
    }

    /// `BUCKET/KEY`: what locks are called by.
    pub fn path(&self) -> String {
        format!("{}/{}", self.name, self.key)
    }

    /// The digest that the table has of the state.
    pub fn digest(&self) -> Option<String> {
        self.item(&format!("{}-md5", self.path()), "Digest")
    }

    /// What the holders of the lock file and of the lock item say of themselves.
    pub fn holders(&self) -> Vec<Value> {
        let file = self.get(&format!("{}.tflock", self.key));
        let item = self.item(&self.path(), "Info").map(String::into_bytes);
        [file, item]
            .into_iter()
            .flatten()
            .map(|bytes| serde_json::from_slice(&bytes).expect("a lock says who holds it"))
            .collect()
    }

    fn s3(&self, method: &str, path: &str, body: &[u8]) -> Option<Vec<u8>> {
        let path = format!("/{}{path}", self.name);
        let (status, answer) = self.emulator.call(method, &path, "s3", &self.key_headers(), body);
        (200..300).contains(&status).then_some(answer)
    }

    fn key_headers(&self) -> String {
        let name = "x-amz-server-side-encryption-customer";
        match self.customer_key {
            Some((key, md5)) => {
                format!("{name}-algorithm: AES256\r\n{name}-key: {key}\r\n{name}-key-md5: {md5}\r\n")
            }
            None => String::new(),
        }
    }

    fn table(&self, operation: &str, mut body: Value) -> Value {
        body["TableName"] = self.table.as_str().into();
        let target =
            format!("X-Amz-Target: DynamoDB_20120810.{operation}\r\nContent-Type: application/x-amz-json-1.0\r\n");
        let (status, answer) = self
            .table_account
            .call("POST", "/", "dynamodb", &target, body.to_string().as_bytes());
        assert_eq!(status, 200, "{operation}: {}", String::from_utf8_lossy(&answer));
        serde_json::from_slice(&answer).unwrap_or_default()
    }
}

fn unique() -> String {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("it is after 1970");
    format!("{}-{}", std::process::id(), now.as_nanos())
}
