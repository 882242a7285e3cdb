//! The way of every request: its id, who asks, whether they may, its body, the record, the handler, the record again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{RawPathParams, Request};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, header};
use axum::response::Response;
use axum::{RequestPartsExt, routing};
use http_body_util::BodyExt;
use rollback_engine::audit::Record;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

use crate::access::Principal;
use crate::authentication::{authenticate, authorise, token_of};
use crate::call::Call;
use crate::problem::{self, Problem, Result};
use crate::routes::{Access, Payload, ROUTES, Route};
use crate::service::Service;

/// Characters of a name in the path, as the document at /v1/openapi.json says.
const LONGEST_NAME: usize = 200;

/// The name of the header that carries a request's id.
pub const REQUEST_ID: &str = "x-request-id";

struct App {
    service: Arc<Service>,
    turns: Arc<Semaphore>,
    /// One permit per MiB.
    memory: Arc<Semaphore>,
}

/// The router over [`ROUTES`].
pub fn router(service: Arc<Service>) -> Router {
    let app = Arc::new(App {
        turns: Arc::new(Semaphore::new(service.limits.requests)),
        memory: Arc::new(Semaphore::new(service.limits.state_memory >> 20)),
        service,
    });
    let mut paths: BTreeMap<&'static str, Vec<&'static Route>> = BTreeMap::new();
    for route in ROUTES.iter() {
        paths.entry(route.path).or_default().push(*route);
    }
    let mut router = Router::new();
    for (path, routes) in paths {
        let routes: Arc<[&'static Route]> = routes.into();
        if app.service.projects.is_some() {
            let (app, routes) = (app.clone(), routes.clone());
            router = router.route(
                &format!("/projects/{{project}}{path}"),
                routing::any(move |request: Request| answer_of_project(app.clone(), routes.clone(), request)),
            );
        }
        let app = app.clone();
        router = router.route(
            path,
            routing::any(move |request: Request| answer(app.clone(), Some(routes.clone()), request)),
        );
    }
    router.fallback(move |request: Request| answer(app.clone(), None, request))
}

/// As [`answer`], by the project that the path names.
async fn answer_of_project(app: Arc<App>, routes: Arc<[&'static Route]>, request: Request) -> Response {
    let name = request.uri().path().split('/').nth(2).unwrap_or_default().to_owned();
    let (home, wanted) = (app.service.clone(), name.clone());
    let found = tokio::task::spawn_blocking(move || home.projects.as_ref()?.get(&home, &wanted)).await;
    let Ok(Some(service)) = found else {
        return answer(app, None, request).await;
    };
    let app = Arc::new(App {
        service,
        turns: app.turns.clone(),
        memory: app.memory.clone(),
    });
    let mut response = answer(app, Some(routes), request).await;
    let location = response
        .headers()
        .get(header::LOCATION)
        .and_then(|value| value.to_str().ok());
    if let Some(location) = location.filter(|location| location.starts_with("/v1/"))
        && let Ok(value) = HeaderValue::from_str(&format!("/projects/{name}{location}"))
    {
        response.headers_mut().insert(header::LOCATION, value);
    }
    response
}

async fn answer(app: Arc<App>, routes: Option<Arc<[&'static Route]>>, request: Request) -> Response {
    let service = app.service.clone();
    let in_flight = service.metrics.request();
    let started = Instant::now();
    let (parts, body) = request.into_parts();
    let id = request_id(&parts);
    let is_head = parts.method == Method::HEAD;
    let method = parts.method.clone();
    let path = routes.as_ref().map_or("(none)", |routes| routes[0].path);
    let known = routes.as_ref().and_then(|routes| route_of(routes, &method));
    let mut response = match serve(&app, routes.as_deref(), parts, body, &id).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(&id),
    };
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
        ("referrer-policy", "no-referrer"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
        .headers_mut()
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    if is_head {
        // The length is that of the answer to GET (RFC 9110, 8.6), which hyper would say of an empty body.
        if let Some(length) = response.body().size_hint().exact() {
            response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
        }
        *response.body_mut() = Body::empty();
    }
    let status = response.status().as_u16();
    // What has no place in the table must not become a label: anybody may invent methods.
    in_flight.ended(known.map_or("other", |route| route.method), path, status);
    tracing::info!(
        request = id,
        %method,
        path,
        status,
        milliseconds = started.elapsed().as_millis() as u64,
    );
    response
}

/// The row of a method; HEAD is answered as GET.
fn route_of(routes: &[&'static Route], method: &Method) -> Option<&'static Route> {
    let method = match method.as_str() {
        "HEAD" => "GET",
        other => other,
    };
    routes.iter().find(|route| route.method == method).copied()
}

/// The caller's own id where it has a sensible form, so that it can be followed through several services.
fn request_id(parts: &Parts) -> String {
    let given = parts.headers.get(REQUEST_ID).and_then(|value| value.to_str().ok());
    given
        .filter(|text| {
            (1..=64).contains(&text.len())
                && text
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        })
        .map_or_else(|| Uuid::now_v7().to_string(), str::to_owned)
}

async fn serve(
    app: &Arc<App>,
    routes: Option<&[&'static Route]>,
    mut parts: Parts,
    body: Body,
    id: &str,
) -> Result<Response> {
    // Hyper stops reading at twice its limit or so; this one is exact.
    let size: usize = parts
        .headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4)
        .sum();
    if size + parts.uri.to_string().len() > app.service.limits.headers {
        return Err(Problem::new(&problem::HEADERS_TOO_LARGE, "the headers are too large"));
    }
    let route = routes.and_then(|routes| route_of(routes, &parts.method));
    let anonymous = route.is_some_and(|route| matches!(route.access, Access::Anonymous));
    // Health must answer when nothing else does.
    if let Some(route) = route.filter(|route| anonymous && !route.blocks) {
        return (route.handler)(&Call {
            service: app.service.clone(),
            request: id.to_owned(),
            who: None,
            path: path_of(&mut parts).await?,
            parts,
            body: Bytes::new(),
        });
    }
    let turn = take_turn(app).await?;
    let who = if anonymous {
        None
    } else {
        let token = token_of(&parts);
        let service = app.service.clone();
        let found = blocking(id, move || authenticate(&service, token.as_deref())).await?;
        Some(found)
    };
    let Some(routes) = routes else {
        return Err(Problem::not_found("resource"));
    };
    let Some(route) = route else {
        let mut names: Vec<&str> = routes.iter().map(|route| route.method).collect();
        if names.contains(&"GET") {
            names.push("HEAD");
        }
        return Err(
            Problem::new(&problem::METHOD_NOT_ALLOWED, "the resource has no such method")
                .header(header::ALLOW, &names.join(", ")),
        );
    };
    let path = path_of(&mut parts).await?;
    if let Some(who) = &who
        && let Err(problem) = authorise(route, who, &path)
    {
        // Who tried the doors is worth knowing, too; that it cannot be written down opens none.
        if let Some(action) = route.record {
            let service = app.service.clone();
            let record = record_of(action, who, &parts, id, "denied", json!({ "code": problem.code.code }));
            let _ = tokio::task::spawn_blocking(move || service.audit.append(&record)).await;
        }
        return Err(problem);
    }
    // While a body comes, slowly maybe, nobody else has to wait.
    drop(turn);
    let (body, _memory) = read_body(app, route, &parts, body).await?;
    let turn = take_turn(app).await?;
    let call = Call {
        service: app.service.clone(),
        request: id.to_owned(),
        who,
        parts,
        path,
        body,
    };
    let response = blocking(id, move || recorded(route, &call)).await;
    drop(turn);
    response
}

/// The handler between its two entries in the audit log, where the route is one that goes on record.
fn recorded(route: &Route, call: &Call) -> Result<Response> {
    let (Some(action), Some(who)) = (route.record, &call.who) else {
        return (route.handler)(call);
    };
    let mut detail = json!({});
    if !call.body.is_empty() {
        detail["body_sha256"] = json!(hex::encode(Sha256::digest(&call.body)));
        note(route, &call.body, &mut detail);
    }
    let intended = record_of(action, who, &call.parts, &call.request, "intended", detail);
    call.service.audit.append(&intended).map_err(|error| {
        tracing::error!(%error, "the audit log");
        Problem::new(
            &problem::UNAVAILABLE,
            "the audit log cannot be written now, and what is not on record is not done",
        )
        .header(header::RETRY_AFTER, "5")
    })?;
    let response = (route.handler)(call);
    let (phase, detail) = match &response {
        Ok(response) => ("done", json!({ "status": response.status().as_u16() })),
        Err(problem) => (
            "refused",
            json!({ "status": problem.code.status, "code": problem.code.code }),
        ),
    };
    let after = record_of(action, who, &call.parts, &call.request, phase, detail);
    if let Err(error) = call.service.audit.append(&after) {
        // It is done, and that it was intended is on record.
        tracing::error!(%error, request = call.request, "how a request ended could not be put on record");
    }
    response
}

/// What the body says in words, where the route has it put on record: reasons, rules, revisions.
fn note(route: &Route, body: &[u8], detail: &mut Value) {
    let Ok(Value::Object(body)) = serde_json::from_slice::<Value>(body) else {
        return;
    };
    let short = |text: &str| Value::from(text.chars().take(500).collect::<String>());
    for name in route.noted {
        match body.get(*name) {
            Some(Value::String(text)) => detail[name] = short(text),
            Some(Value::Array(items)) => {
                detail[name] = items.iter().take(100).filter_map(Value::as_str).map(short).collect();
            }
            _ => {}
        }
    }
}

fn record_of(
    action: &str,
    who: &Principal,
    parts: &Parts,
    request: &str,
    phase: &'static str,
    mut detail: Value,
) -> Record {
    if let Some(identity) = &who.identity {
        detail["identity"] = json!(identity);
    }
    Record {
        actor: who.actor(),
        action: action.to_owned(),
        object: parts.uri.path().chars().take(500).collect(),
        phase,
        request: Some(request.to_owned()),
        detail,
    }
}

async fn take_turn(app: &App) -> Result<OwnedSemaphorePermit> {
    let turn = app.turns.clone().acquire_owned();
    match tokio::time::timeout(app.service.limits.patience, turn).await {
        Ok(Ok(turn)) => Ok(turn),
        _ => Err(overloaded()),
    }
}

fn overloaded() -> Box<Problem> {
    Problem::new(&problem::OVERLOADED, "the service has too much to do right now").header(header::RETRY_AFTER, "2")
}

/// Runs what may wait for a store or a process; a panic in it is this request's alone.
async fn blocking<T: Send + 'static>(id: &str, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(_) => {
            tracing::error!(request = id, "a panic while the request was worked on");
            Err(Problem::new(
                &problem::INTERNAL,
                "the service made a mistake; its log has more under the request's id",
            ))
        }
    }
}

/// The decoded segments of the path.
async fn path_of(parts: &mut Parts) -> Result<Vec<(String, String)>> {
    let found = parts.extract::<RawPathParams>().await;
    let found = found.map_err(|_| Problem::bad_request("the path is not UTF-8"))?;
    if found.iter().any(|(_, value)| value.chars().count() > LONGEST_NAME) {
        return Err(Problem::bad_request(format!(
            "a name in the path has more than {LONGEST_NAME} characters"
        )));
    }
    Ok(found
        .iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect())
}

/// The whole body, within the limits of size, time and memory.
async fn read_body(
    app: &App,
    route: &Route,
    parts: &Parts,
    body: Body,
) -> Result<(Bytes, Option<OwnedSemaphorePermit>)> {
    let limits = &app.service.limits;
    let limit = match route.payload {
        Payload::State | Payload::Archive => limits.state,
        Payload::None | Payload::Json(_) | Payload::LockInfo => limits.body,
    };
    let too_large = || {
        Problem::new(
            &problem::PAYLOAD_TOO_LARGE,
            format!("the body has more than {limit} bytes"),
        )
    };
    let announced: Option<usize> = parts
        .headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse().ok());
    if announced.is_some_and(|length| length > limit) {
        return Err(too_large());
    }
    let memory = match route.payload {
        Payload::State | Payload::Archive => {
            let most = announced.unwrap_or(limit).div_ceil(1 << 20).max(1);
            let wanted = app
                .memory
                .clone()
                .acquire_many_owned(u32::try_from(most).unwrap_or(u32::MAX));
            match tokio::time::timeout(limits.patience, wanted).await {
                Ok(Ok(memory)) => Some(memory),
                _ => return Err(overloaded()),
            }
        }
        _ => None,
    };
    let late = || Problem::new(&problem::TIMEOUT, "the body did not come in time");
    let deadline = Instant::now() + limits.body_time;
    let mut bytes = Vec::with_capacity(announced.unwrap_or(0).min(limit));
    let mut body = body;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let wait = left.min(Duration::from_secs(30));
        let frame = tokio::time::timeout(wait, body.frame()).await.map_err(|_| late())?;
        match frame {
            None => break,
            Some(Err(_)) => return Err(Problem::bad_request("the body was cut off")),
            Some(Ok(frame)) => {
                let Ok(data) = frame.into_data() else { continue };
                if bytes.len() + data.len() > limit {
                    return Err(too_large());
                }
                bytes.extend_from_slice(&data);
            }
        }
    }
    Ok((Bytes::from(bytes), memory))
}
