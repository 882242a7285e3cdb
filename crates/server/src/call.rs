//! A request as a handler sees it, and the answers that it gives.

use std::str::FromStr;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::Query;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::access::Principal;
use crate::problem::{self, Problem, Result};
use crate::service::Service;

/// An authenticated, authorised request with its whole body.
pub struct Call {
    pub service: Arc<Service>,
    pub request: String,
    /// None on the few routes that everybody may call.
    pub who: Option<Principal>,
    pub parts: Parts,
    pub path: Vec<(String, String)>,
    pub body: Bytes,
}

impl Call {
    /// A segment of the path by its name in the route.
    pub fn path(&self, name: &str) -> &str {
        self.path
            .iter()
            .find(|(known, _)| known == name)
            .map_or("", |(_, value)| value.as_str())
    }

    pub fn who(&self) -> Result<&Principal> {
        self.who
            .as_ref()
            .ok_or_else(|| Problem::new(&problem::UNAUTHENTICATED, "a token is needed"))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.parts.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The values of a parameter after the question mark.
    pub fn queries(&self, name: &str) -> Result<Vec<String>> {
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(&self.parts.uri)
            .map_err(|_| Problem::bad_request("what comes after the question mark is not NAME=VALUE&…"))?;
        Ok(pairs
            .into_iter()
            .filter(|(key, _)| key == name)
            .map(|(_, value)| value)
            .collect())
    }

    pub fn query(&self, name: &str) -> Result<Option<String>> {
        Ok(self.queries(name)?.into_iter().next())
    }

    /// `true`, `false` or nothing.
    pub fn flag(&self, name: &str) -> Result<bool> {
        match self.query(name)?.as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(Problem::bad_request(format!("{name} is true or false"))),
        }
    }

    /// Where a page begins: the `next_cursor` of the one before.
    pub fn cursor<T: FromStr>(&self) -> Result<Option<T>> {
        let odd = || Problem::bad_request("cursor is the next_cursor of an earlier page");
        let Some(text) = self.query("cursor")? else {
            return Ok(None);
        };
        // As long as the document says.
        if text.len() > 200 {
            return Err(odd());
        }
        text.parse().map(Some).map_err(|_| odd())
    }

    /// How many items a page is to have: 1 to 100, 20 where nothing is said.
    pub fn limit(&self) -> Result<usize> {
        let Some(text) = self.query("limit")? else {
            return Ok(20);
        };
        match text.parse() {
            Ok(limit @ 1..=100) => Ok(limit),
            _ => Err(Problem::bad_request("limit is a number from 1 to 100")),
        }
    }

    /// The body as JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        let kind = self.header("content-type").unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case("application/json") {
            return Err(Problem::new(
                &problem::UNSUPPORTED_MEDIA_TYPE,
                "the body must be application/json",
            ));
        }
        serde_json::from_slice(&self.body)
            .map_err(|error| Problem::bad_request(format!("the body: {}", without_values(&error))))
    }
}

/// What is wrong with a document, without the values in it: serde quotes what it did not expect, and that may be a secret.
pub fn without_values(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let quotes = ["invalid type: ", "invalid value: ", "unknown variant "];
    let Some(quote) = quotes.iter().find(|quote| text.starts_with(**quote)) else {
        return text;
    };
    // What was expected stands last, and is not of the document.
    match text.rsplit_once(", expected ") {
        Some((_, expected)) => format!("{}, expected {expected}", quote.trim_end_matches([':', ' '])),
        None => format!("{} at line {}", quote.trim_end_matches([':', ' ']), error.line()),
    }
}

/// A page of a list.
#[derive(Serialize)]
pub struct Page {
    pub items: Vec<Value>,
    /// To be given as `cursor` for the next page; null on the last one.
    pub next_cursor: Option<String>,
}

/// 200 with JSON.
pub fn ok(value: &impl Serialize) -> Result<Response> {
    with_status(StatusCode::OK, value)
}

pub fn with_status(status: StatusCode, value: &impl Serialize) -> Result<Response> {
    let bytes = serde_json::to_vec(value).map_err(|error| {
        tracing::error!(%error, "an answer cannot be written as JSON");
        Problem::new(&problem::INTERNAL, "the answer cannot be written")
    })?;
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// 200 with JSON and a strong ETag, or 304 where the caller has that already (RFC 9110, 13.1.2).
pub fn ok_tagged(call: &Call, value: &impl Serialize) -> Result<Response> {
    let bytes = serde_json::to_vec(value).unwrap_or_default();
    let tag = format!("\"{:.32}\"", hex::encode(Sha256::digest(&bytes)));
    let known = call.header("if-none-match").is_some_and(|wanted| {
        wanted
            .split(',')
            .map(|one| one.trim().trim_start_matches("W/"))
            .any(|one| one == tag || one == "*")
    });
    let mut response = match known {
        true => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response
        }
        false => with_status(StatusCode::OK, value)?,
    };
    set(&mut response, header::ETAG, &tag);
    set(&mut response, header::CACHE_CONTROL, "private, no-cache");
    Ok(response)
}

pub fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// Sets a header; a value that cannot be one is left out.
pub fn set(response: &mut Response, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}
