//! A service over a store in memory, and callers of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use jiff::ToSpan;
use rollback_release::{
    BlobId, Created, Entry, MemoryStore, Operation, Release, Replaced, StackRecord, StateRecord, States, Store,
    StoreError, StoredBlob, Transacted, Version, Writer, all_keys, keys,
};
use rollback_server::access::{Permission, Role};
use rollback_server::app::router;
use rollback_server::service::Service;
use rollback_server::tokens::{NewToken, Tokens};
use serde_json::{Value, json};
use tower::ServiceExt;

pub const PROJECT: &str = "p";

/// A store in memory whose audit log can be made to fail.
#[derive(Default)]
pub struct TestStore {
    pub inner: MemoryStore,
    pub audit_is_down: AtomicBool,
    pub panics: AtomicBool,
    /// How many rows of the index of releases were read.
    pub rows: AtomicUsize,
    /// How many records were read one by one.
    pub singly: AtomicUsize,
}

impl TestStore {
    fn check(&self, key: &str) -> Result<(), StoreError> {
        assert!(
            !self.panics.load(Ordering::SeqCst) || !key.contains("/states/"),
            "on purpose: hunter2"
        );
        if self.audit_is_down.load(Ordering::SeqCst) && key.contains("/audit/") {
            return Err(StoreError::Unavailable {
                action: "write".to_owned(),
                place: "the audit log".to_owned(),
                source: "on purpose".into(),
                hint: None,
            });
        }
        Ok(())
    }

    /// Everything in it but the audit log, to see whether something changed.
    pub fn contents(&self) -> Vec<(String, Vec<u8>)> {
        all_keys(&self.inner, "projects/")
            .unwrap()
            .into_iter()
            .filter(|key| !key.contains("/audit/"))
            .map(|key| {
                let value = self.inner.get(&key).unwrap().unwrap().0;
                (key, value)
            })
            .collect()
    }
}

impl Store for TestStore {
    fn entries(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Entry>, StoreError> {
        let found = self.inner.entries(prefix, after, limit)?;
        if prefix.contains("/index/") {
            self.rows.fetch_add(found.len(), Ordering::SeqCst);
        }
        Ok(found)
    }

    fn put_blob(&self, bytes: &[u8]) -> Result<BlobId, StoreError> {
        self.inner.put_blob(bytes)
    }
    fn get_blob(&self, id: &BlobId) -> Result<Vec<u8>, StoreError> {
        self.inner.get_blob(id)
    }
    fn has_blob(&self, id: &BlobId) -> Result<bool, StoreError> {
        self.inner.has_blob(id)
    }
    fn remove_blob(&self, id: &BlobId) -> Result<bool, StoreError> {
        self.inner.remove_blob(id)
    }
    fn list_blobs(&self, after: Option<&BlobId>, limit: usize) -> Result<Vec<BlobId>, StoreError> {
        self.inner.list_blobs(after, limit)
    }
    fn stored_blobs(&self, after: Option<&BlobId>, limit: usize) -> Result<Vec<StoredBlob>, StoreError> {
        self.inner.stored_blobs(after, limit)
    }
    fn create(&self, key: &str, value: &[u8]) -> Result<Created, StoreError> {
        self.check(key)?;
        self.inner.create(key, value)
    }
    fn replace(&self, key: &str, expected: &Version, value: &[u8]) -> Result<Replaced, StoreError> {
        self.inner.replace(key, expected, value)
    }
    fn remove(&self, key: &str, expected: &Version) -> Result<Replaced, StoreError> {
        self.inner.remove(key, expected)
    }
    fn transact(&self, operations: &[Operation<'_>]) -> Result<Transacted, StoreError> {
        self.inner.transact(operations)
    }
    fn get(&self, key: &str) -> Result<Option<(Vec<u8>, Version)>, StoreError> {
        self.check(key)?;
        self.singly.fetch_add(1, Ordering::SeqCst);
        self.inner.get(key)
    }
    fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>, StoreError> {
        self.inner.list(prefix, after, limit)
    }
}

/// A service and its store.
pub struct World {
    pub store: Arc<TestStore>,
    pub service: Arc<Service>,
    pub router: Router,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub bytes: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|error| panic!("no JSON ({error}): {self:?}"))
    }

    #[track_caller]
    pub fn is(self, status: u16) -> Answer {
        assert!(
            self.status == status,
            "expected {status}, got {}: {}",
            self.status,
            String::from_utf8_lossy(&self.bytes)
        );
        self
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }
}

impl World {
    pub fn new() -> World {
        World::with(|_| {})
    }

    pub fn with(change: impl FnOnce(&mut Service)) -> World {
        let store = Arc::new(TestStore::default());
        let mut service = Service::new(store.clone(), PROJECT, None);
        change(&mut service);
        let service = Arc::new(service);
        World {
            router: router(service.clone()),
            store,
            service,
        }
    }

    pub fn token(&self, role: Role, stacks: &[&str]) -> String {
        self.token_with(role, &[], stacks)
    }

    pub fn token_with(&self, role: Role, grants: &[Permission], stacks: &[&str]) -> String {
        let new = NewToken {
            grants: grants.to_vec(),
            name: format!("{}-{}", role.as_str(), stacks.join("-")),
            role,
            stacks: stacks.iter().map(|stack| (*stack).to_owned()).collect(),
            lifetime: Some(1.hour()),
            created_by: "test".to_owned(),
        };
        let tokens = Tokens::new(self.store.as_ref(), PROJECT);
        tokens.create(&new).unwrap().1
    }

    pub async fn call(&self, method: &str, path: &str, token: Option<&str>, body: impl Into<Body>) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        self.send(
            request
                .header("content-type", "application/json")
                .body(body.into())
                .unwrap(),
        )
        .await
    }

    pub async fn get(&self, path: &str, token: &str) -> Answer {
        self.call("GET", path, Some(token), Body::empty()).await
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            bytes: body.collect().await.unwrap().to_bytes().to_vec(),
        }
    }

    /// A state that Terraform has written.
    pub fn keep_state(&self, stack: &str, bytes: &[u8]) {
        let states = States::new(self.store.as_ref(), PROJECT, stack, "default");
        states.write(bytes, &Writer::default()).unwrap();
    }

    /// A run of the command line, ended.
    pub fn keep_run(&self, id: &str, stack: &str) {
        let run = json!({
            "format": 1, "id": id, "kind": "to", "revision": "v1", "commit": "0123456789012345678901234567890123456789",
            "selected": [stack], "stacks": [], "reason": null, "actor": "ann", "created_at": "2026-11-24T00:00:00Z",
            "ended_at": "2026-11-24T00:01:00Z", "status": "completed", "backup": null, "result": null,
        });
        self.put(&keys::run_record(PROJECT, id), &run);
    }

    /// The request over HTTP that began it.
    pub fn keep_rollback(&self, id: &str, stack: &str) {
        let rollback = json!({
            "format": 1, "id": id, "revision": "v1", "undo": null, "stacks": [stack], "targets": [], "reason": null,
            "dry_run": false, "consent": {}, "requested_by": "ann", "requested_by_id": "x",
            "created_at": "2026-11-24T00:00:00Z", "worker": { "host": "elsewhere", "process": { "pid": 1, "start_time": "0" } },
            "plan": null, "ended": { "at": "2026-11-24T00:01:00Z", "status": "completed", "message": null, "hints": [] },
        });
        self.put(&keys::rollback(PROJECT, id), &rollback);
    }

    /// Something that was looked into, without anything found.
    pub fn keep_task(&self, id: &str, stack: &str) {
        let task = json!({
            "format": 1, "id": id, "kind": "drill", "stacks": [stack], "created_by": "ann",
            "created_at": "2026-11-24T00:00:00Z", "ended_at": "2026-11-24T00:01:00Z",
            "worker": { "host": "elsewhere", "process": { "pid": 1, "start_time": "0" } },
            "end": { "problem": { "status": 422, "code": "unprocessable", "detail": "no", "hints": [] } },
        });
        self.put(&keys::task(PROJECT, id), &task);
    }

    /// A rollback whose last attempt ended so, and what the policy denied of it, if anything: the rule and its level.
    pub fn keep_attempt(&self, id: &str, stack: &str, status: &str, denied: Option<(&str, &str)>) {
        let denials: Vec<Value> = (denied.iter())
            .map(|(rule, level)| {
                json!({ "stack": stack, "rule": rule, "level": level, "message": "no", "address": null })
            })
            .collect();
        let run = json!({
            "format": 1, "id": id, "kind": "to", "revision": "v1", "commit": "0123456789012345678901234567890123456789",
            "selected": [stack], "stacks": [], "reason": null, "actor": "ann (x)", "created_at": "2026-11-24T00:00:00Z",
            "ended_at": null, "status": status, "backup": null, "result": null,
        });
        self.put(&keys::run_record(PROJECT, id), &run);
        let rollback = json!({
            "format": 1, "id": id, "revision": "v1", "undo": null, "stacks": [stack], "targets": [], "reason": null,
            "dry_run": false, "consent": {}, "requested_by": "ann (x)", "requested_by_id": "x",
            "created_at": "2026-11-24T00:00:00Z", "worker": { "host": "elsewhere", "process": { "pid": 1, "start_time": "0" } },
            "plan": null,
            "ended": { "at": "2026-11-24T00:01:00Z", "status": status, "message": null, "hints": [], "denials": denials },
        });
        self.put(&keys::rollback(PROJECT, id), &rollback);
    }

    /// Takes a rollback and its run away again.
    pub fn forget(&self, id: &str) {
        for key in [keys::run_record(PROJECT, id), keys::rollback(PROJECT, id)] {
            let (_, version) = self.store.inner.get(&key).unwrap().unwrap();
            let _ = self.store.inner.remove(&key, &version).unwrap();
        }
    }

    fn put(&self, key: &str, value: &Value) {
        let created = self.store.create(key, value.to_string().as_bytes()).unwrap();
        assert!(matches!(created, Created::Yes(_)));
    }

    /// A release of these stacks, each with a state.
    pub fn release(&self, stacks: &[&str]) -> Release {
        let mut release = Release::new("0123456789012345678901234567890123456789", "ann".to_owned());
        for name in stacks {
            let bytes = state(3, "lineage", name);
            let parsed = rollback_state::State::parse(bytes.clone()).unwrap();
            let record = StackRecord {
                name: (*name).to_owned(),
                workspace: "default".to_owned(),
                state: Some(StateRecord {
                    blob: self.store.put_blob(&bytes).unwrap(),
                    sha256: parsed.sha256(),
                    serial: 3,
                    lineage: "lineage".to_owned(),
                    terraform_version: "1.11.4".to_owned(),
                    instances: parsed.instance_count(),
                }),
                ..StackRecord::default()
            };
            release.stacks.push(record);
        }
        self.service.catalogue().commit(&release).unwrap();
        release
    }
}

/// A state with one object that holds a secret.
pub fn state(serial: u64, lineage: &str, what: &str) -> Vec<u8> {
    json!({
        "version": 4, "terraform_version": "1.11.4", "serial": serial, "lineage": lineage,
        "outputs": { "shown": { "value": what, "type": "string" },
                     "hidden": { "value": format!("canary-output-{what}"), "type": "string", "sensitive": true } },
        "resources": [{
            "mode": "managed", "type": "aws_db_instance", "name": "main",
            "provider": "provider[\"registry.terraform.io/hashicorp/aws\"]",
            "instances": [{ "schema_version": 2, "attributes": {
                "id": "db-1", "password": format!("canary-password-{what}"),
                "note": format!("connects with canary-password-{what}"), "marked": format!("canary-marked-{what}"),
            }, "sensitive_attributes": [[{ "type": "get_attr", "value": "marked" }]] }],
        }],
        "check_results": null,
    })
    .to_string()
    .into_bytes()
}

pub fn lock_info(id: &str) -> String {
    json!({ "ID": id, "Operation": "OperationTypeApply", "Info": "", "Who": "ann@laptop", "Version": "1.11.4",
        "Created": "2026-11-24T00:00:00Z", "Path": "" })
    .to_string()
}

pub fn is_success(status: u16) -> bool {
    StatusCode::from_u16(status).is_ok_and(|status| status.is_success())
}
