//! Every route of the service, in one table: who may call it, what goes on record, and what the document says of it.

mod audit;
mod releases;
mod rollbacks;
mod runbook;
mod service;
mod states;

use std::sync::LazyLock;

use axum::response::Response;

use crate::access::Permission;
use crate::call::Call;
use crate::problem::Result;

/// Who may call a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everybody, without a token.
    Anonymous,
    /// Whoever has the permission; a stack that the token is not for does not exist (404), and lists leave it out.
    Seen(Permission),
    /// As [`Access::Seen`], but a stack that the token is not for is 403, there or not: Terraform takes 404 for an empty
    /// state and would make everything a second time.
    Backend(Permission),
    /// Only tokens for all stacks.
    Whole(Permission),
}

/// What a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload {
    None,
    /// JSON of the schema of this name in the document.
    Json(&'static str),
    /// The bytes of a Terraform state.
    State,
    /// Terraform's LockInfo, or nothing.
    LockInfo,
    /// A checkout: a tar compressed with zstd.
    Archive,
}

/// What a handler answers with when all is well.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    pub status: u16,
    /// The schema's name in the document; none for an answer without a body.
    pub schema: Option<&'static str>,
    pub media: &'static str,
}

/// A parameter after the question mark, or in a header.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    pub name: &'static str,
    pub place: &'static str,
    pub required: bool,
    pub schema: &'static str,
    pub about: &'static str,
}

/// One method of one path.
pub struct Route {
    pub method: &'static str,
    pub path: &'static str,
    /// The operation's id in the document.
    pub id: &'static str,
    pub tag: &'static str,
    pub about: &'static str,
    pub access: Access,
    /// The action under which calls go on record before they are carried out; none for those that only look.
    pub record: Option<&'static str>,
    pub payload: Payload,
    pub parameters: &'static [Parameter],
    pub answers: &'static [Answer],
    /// The statuses of problems beside those that every route may answer with.
    pub problems: &'static [u16],
    /// Members of the body that go on record in words, beside its digest.
    pub noted: &'static [&'static str],
    /// Whether it asks a store or a process.
    pub blocks: bool,
    pub handler: fn(&Call) -> Result<Response>,
}

const fn json(status: u16, schema: &'static str) -> Answer {
    Answer {
        status,
        schema: Some(schema),
        media: "application/json",
    }
}

const fn nothing(status: u16) -> Answer {
    Answer {
        status,
        schema: None,
        media: "",
    }
}

const fn query(name: &'static str, schema: &'static str, about: &'static str) -> Parameter {
    Parameter {
        name,
        place: "query",
        required: false,
        schema,
        about,
    }
}

const fn required(name: &'static str, schema: &'static str, about: &'static str) -> Parameter {
    Parameter {
        required: true,
        ..query(name, schema, about)
    }
}

const fn header(name: &'static str, schema: &'static str, about: &'static str) -> Parameter {
    Parameter {
        place: "header",
        ..query(name, schema, about)
    }
}

/// A route that looks, answered with 200 and JSON.
const fn read(
    path: &'static str,
    id: &'static str,
    tag: &'static str,
    about: &'static str,
    schema: &'static [Answer],
    handler: fn(&Call) -> Result<Response>,
) -> Route {
    Route {
        method: "GET",
        path,
        id,
        tag,
        about,
        access: Access::Seen(Permission::Read),
        record: None,
        payload: Payload::None,
        parameters: &[],
        answers: schema,
        problems: &[],
        noted: &[],
        blocks: true,
        handler,
    }
}

/// A route that changes something, with a body of JSON.
#[allow(clippy::too_many_arguments)] // A row of a table, not a call.
const fn write(
    path: &'static str,
    id: &'static str,
    tag: &'static str,
    about: &'static str,
    permission: Permission,
    body: &'static str,
    answers: &'static [Answer],
    handler: fn(&Call) -> Result<Response>,
) -> Route {
    Route {
        method: "POST",
        access: Access::Seen(permission),
        record: Some(id),
        payload: Payload::Json(body),
        problems: &[409, 413, 415, 422],
        ..read(path, id, tag, about, answers, handler)
    }
}

const CURSOR: Parameter = query("cursor", "Cursor", "The next_cursor of the page before");
const LIMIT: Parameter = query("limit", "Limit", "How many items, 1 to 100 (default 20)");
const PAGED: &[Parameter] = &[CURSOR, LIMIT];

/// Every route.
pub static ROUTES: LazyLock<Vec<&'static Route>> = LazyLock::new(|| {
    [
        service::ROUTES,
        states::ROUTES,
        releases::ROUTES,
        rollbacks::ROUTES,
        runbook::ROUTES,
        audit::ROUTES,
    ]
    .into_iter()
    .flatten()
    .collect()
});
