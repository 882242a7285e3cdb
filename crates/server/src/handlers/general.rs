//! Health, the document, the pages of problems, and who one is.

use axum::response::Response;
use serde_json::{Value, json};

use crate::access::Permission;
use crate::call::{Call, Page, ok};
use crate::openapi;
use crate::problem::{self, Code, Problem, Result};

pub fn health(_: &Call) -> Result<Response> {
    ok(&json!({ "status": "ok", "version": env!("CARGO_PKG_VERSION") }))
}

pub fn ready(call: &Call) -> Result<Response> {
    let service = &call.service;
    service.store.get(&rollback_release::keys::salt(&service.project))?;
    ok(&json!({ "status": "ok", "version": env!("CARGO_PKG_VERSION") }))
}

pub fn openapi(_: &Call) -> Result<Response> {
    ok(openapi::document())
}

fn page(code: &Code) -> Value {
    json!({ "type": format!("/v1/problems/{}", code.code), "code": code.code, "status": code.status,
        "title": code.title, "explanation": code.page })
}

pub fn problems(_: &Call) -> Result<Response> {
    ok(&Page {
        items: problem::ALL.iter().map(|code| page(code)).collect(),
        next_cursor: None,
    })
}

pub fn problem(call: &Call) -> Result<Response> {
    let wanted = call.path("code");
    let found = problem::ALL.iter().find(|code| code.code == wanted);
    ok(&page(found.ok_or_else(|| Problem::not_found("code"))?))
}

pub fn principal(call: &Call) -> Result<Response> {
    let who = call.who()?;
    let permissions: Vec<&str> = Permission::ALL
        .into_iter()
        .filter(|permission| who.allows(*permission))
        .map(Permission::as_str)
        .collect();
    ok(&json!({ "id": who.id, "name": who.name, "role": who.role,
        "stacks": if who.sees_all() { Value::Null } else { json!(who.stacks) }, "permissions": permissions, "identity": who.identity,
        "project": call.service.project, "takes_checkouts": call.service.projects.is_some() || call.service.checkouts.is_some() }))
}
