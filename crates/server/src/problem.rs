//! What goes wrong, in RFC 9457's form: a stable code with a page of its own, what happened, and what to do next.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use rollback_engine::error::{EngineError, Kind};
use rollback_release::{CatalogueError, StoreError};
use serde_json::{Map, Value, json};

/// A kind of problem. The code never changes its meaning.
#[derive(Debug, PartialEq, Eq)]
pub struct Code {
    pub code: &'static str,
    pub status: u16,
    pub title: &'static str,
    /// The page: why it happens and what helps.
    pub page: &'static str,
}

macro_rules! codes {
    ($($name:ident $code:literal $status:literal $title:literal $page:literal;)+) => {
        $(pub static $name: Code = Code { code: $code, status: $status, title: $title, page: $page };)+
        /// All of them.
        pub static ALL: &[&Code] = &[$(&$name),+];
    };
}

codes! {
    BAD_REQUEST "bad-request" 400 "The request cannot be understood"
        "A parameter or the body is not what the document at /v1/openapi.json says. `detail` names the place.";
    CONTENT_DIGEST "content-md5-mismatch" 400 "The body is not what was sent"
        "The MD5 of the body is not the one in Content-MD5: something between client and service changed or cut it. \
         Nothing was written. Send it again.";
    NOT_A_STATE "not-a-state" 400 "The body is no Terraform state"
        "Only states of format 4 are kept. Nothing was written.";
    NOT_A_CHECKOUT "not-a-checkout" 422 "The archive is no checkout"
        "What was brought is damaged, not whole, of another project, or has what no checkout has: links, paths that lead \
         out of the folder, files of Git's own. `detail` names it. The former checkout stays.";
    UNAUTHENTICATED "unauthenticated" 401 "A token is needed"
        "Send `Authorization: Bearer TOKEN`, or HTTP basic authentication with the token as password (any user name), \
         which is what Terraform's http backend does. `infra-rollback tokens create` makes one. A token that was revoked \
         or has expired is none.";
    IDENTITY_REFUSED "identity-refused" 401 "The identity token is not taken"
        "A token with dots in it is an identity token (OpenID Connect). It counts when an issuer that the service has under \
         [[identity]] signed it with a key of its own and an algorithm that is taken, when it is for the configured \
         `audience`, and while it is good. `detail` says what it lacks. Ask the issuer for a new one with the right \
         audience; in a pipeline ask just before it is used, as they are good for minutes.";
    IDENTITY_WITHOUT_RULE "identity-without-rule" 403 "No rule is for this identity"
        "The token is good, and no [[identity.rule]] of the service fits its claims. The first rule whose claims all fit \
         decides about role and stacks; the service's log names the claims that the token has.";
    ISSUER_UNAVAILABLE "issuer-unavailable" 503 "The identity provider does not answer"
        "The service does not have the key that signed the token, and cannot get the issuer's keys now. Keys that it has \
         go on counting for a day. Try again after Retry-After; the service's log says what is wrong.";
    FORBIDDEN "forbidden" 403 "The token does not allow this"
        "The token's role does not cover this. Ask an administrator for one that does: `infra-rollback tokens create \
         --role …`. On the state backend's routes this is also the answer for a stack that the token may not see, \
         whether it exists or not, as Terraform would take a 404 for an empty state.";
    NOT_FOUND "not-found" 404 "There is no such thing here"
        "It does not exist, or the token may not see it.";
    UNKNOWN_NAME "unknown-name" 404 "Nothing is called so"
        "The settings of the project have nothing of the name that the path has; `hints` say what there is.";
    METHOD_NOT_ALLOWED "method-not-allowed" 405 "Not with this method"
        "The header Allow names the methods that this resource has.";
    CONFLICT "conflict" 409 "It is not in a state for that"
        "What is asked for does not fit what is there now. Read it again and decide anew.";
    WRONG_DIGEST "wrong-digest" 409 "The plan is another one"
        "An approval is of the very plan that its digest names. The plan has changed since, or never was that one. Look \
         at the plan again, then approve its digest.";
    STATE_LOCKED "state-locked" 423 "The state is locked by somebody else"
        "The body holds Terraform's LockInfo of the holder. Wait, ask them, or, where their process is gone for certain, \
         `terraform force-unlock`.";
    STATE_NOT_LOCKED "state-not-locked" 409 "The lock is not held any more"
        "The lock was taken away with force-unlock, or was given back. Nothing was written: terraform has left the state \
         in errored.tfstate. Look at what was written since before pushing it.";
    STATE_LINEAGE "state-lineage" 409 "The state is of other infrastructure"
        "Its lineage is not that of the current state. If it really is to take its place, DELETE the current one first \
         (its versions stay).";
    STATE_SERIAL "state-serial" 409 "The state is not newer than the current one"
        "Its serial is not above that of the current state, and its content differs: it was made from an older one. Pull \
         the current state and start from that.";
    PAYLOAD_TOO_LARGE "payload-too-large" 413 "The body is too large"
        "States may have 256 MiB, everything else 1 MiB, headers 64 KiB.";
    HEADERS_TOO_LARGE "headers-too-large" 431 "The headers are too large"
        "The request line and the headers together may have 64 KiB.";
    UNSUPPORTED_MEDIA_TYPE "unsupported-media-type" 415 "The body is of another media type"
        "Send `Content-Type: application/json`, or what the document says of the route (`application/zstd` for a checkout).";
    IDEMPOTENCY_KEY_REUSED "idempotency-key-reused" 422 "The Idempotency-Key was used for another request"
        "The key belongs to an earlier request of yours with another body. Take a new key for a new request.";
    UNPROCESSABLE "unprocessable" 422 "That cannot be done as asked"
        "The request is understood and cannot be fulfilled; `detail` and `hints` say why.";
    REFUSED "refused" 422 "A guard refuses it"
        "A guard says no; `hints` name what it would take.";
    LOCKED "stack-locked" 409 "Somebody else works on the stack"
        "Another run holds the stack. GET /v1/locks tells who.";
    OVERLOADED "overloaded" 503 "Too much at once"
        "The service has as much to do as it takes on at a time. Retry-After says when to try again.";
    TOO_MANY_TASKS "too-many-tasks" 429 "Too much is looked into already"
        "Plans, checks and rehearsals take their time, and the service looks into so many at once. Nothing was begun. \
         Retry-After says when to try again.";
    TIMEOUT "request-timeout" 408 "The request came too slowly"
        "The whole body has to arrive within two minutes, or 30 seconds from one part to the next.";
    UNAVAILABLE "unavailable" 503 "Something that the service needs does not answer"
        "The store, or the audit log in it, cannot be used now. Nothing was done. Try again later; `infra-rollback \
         doctor` on the service's machine tells more.";
    NO_REPOSITORY "no-repository" 503 "This service has no repository"
        "It was started outside of a Git repository (`--repository`), and so keeps states and answers questions about \
         them, and cannot plan or carry out rollbacks.";
    INTERNAL "internal" 500 "The service made a mistake"
        "It is on the service's log under the request's id. Nothing more is said here on purpose.";
}

/// One problem, to be answered with.
#[derive(Debug)]
pub struct Problem {
    pub code: &'static Code,
    pub detail: String,
    pub hints: Vec<String>,
    /// Members beside those of the standard.
    pub more: Map<String, Value>,
    pub headers: HeaderMap,
    /// A body of another form, where a protocol demands it.
    body: Option<Value>,
}

pub type Result<T, E = Box<Problem>> = std::result::Result<T, E>;

impl Problem {
    pub fn new(code: &'static Code, detail: impl Into<String>) -> Box<Problem> {
        Box::new(Problem {
            code,
            detail: detail.into(),
            hints: Vec::new(),
            more: Map::new(),
            headers: HeaderMap::new(),
            body: None,
        })
    }

    pub fn not_found(what: &str) -> Box<Problem> {
        Problem::new(
            &NOT_FOUND,
            format!("there is no such {what}, or the token may not see it"),
        )
    }

    /// What the path names is not there, in the words of the command line.
    pub fn absent(error: EngineError) -> Box<Problem> {
        let code = match error.kind {
            Kind::Usage => &UNKNOWN_NAME,
            _ => &NOT_FOUND,
        };
        Problem::in_words_of(code, error)
    }

    fn in_words_of(code: &'static Code, error: EngineError) -> Box<Problem> {
        let mut problem = Problem::new(code, error.message);
        problem.hints = error.hints;
        problem
    }

    pub fn bad_request(detail: impl Into<String>) -> Box<Problem> {
        Problem::new(&BAD_REQUEST, detail)
    }

    pub fn hint(mut self: Box<Self>, hint: impl Into<String>) -> Box<Problem> {
        self.hints.push(hint.into());
        self
    }

    pub fn with(mut self: Box<Self>, name: &str, value: Value) -> Box<Problem> {
        self.more.insert(name.to_owned(), value);
        self
    }

    pub fn header(mut self: Box<Self>, name: header::HeaderName, value: &str) -> Box<Problem> {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }

    /// Answers with this document instead of a problem's (Terraform reads the lock's holder from it).
    pub fn body(mut self: Box<Self>, body: Value) -> Box<Problem> {
        self.body = Some(body);
        self
    }

    /// The answer.
    pub fn into_response(self: Box<Self>, request: &str) -> Response {
        let status = StatusCode::from_u16(self.code.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let (kind, document) = match self.body {
            Some(body) => ("application/json", body),
            None => {
                let mut document = json!({
                    "type": format!("/v1/problems/{}", self.code.code),
                    "title": self.code.title,
                    "status": self.code.status,
                    "code": self.code.code,
                    "detail": self.detail,
                    "request_id": request,
                });
                if !self.hints.is_empty() {
                    document["hints"] = json!(self.hints);
                }
                if let Some(members) = document.as_object_mut() {
                    members.extend(self.more);
                }
                ("application/problem+json", document)
            }
        };
        let mut response = Response::new(Body::from(document.to_string()));
        *response.status_mut() = status;
        response.headers_mut().extend(self.headers);
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        response
    }
}

impl From<EngineError> for Box<Problem> {
    fn from(error: EngineError) -> Box<Problem> {
        let code = match error.kind {
            Kind::Failed | Kind::Halfway => &UNPROCESSABLE,
            Kind::Usage => &BAD_REQUEST,
            Kind::Refused => &REFUSED,
            Kind::Locked => &LOCKED,
            Kind::AwaitingApproval => &CONFLICT,
        };
        Problem::in_words_of(code, error)
    }
}

impl From<StoreError> for Box<Problem> {
    fn from(error: StoreError) -> Box<Problem> {
        tracing::error!(%error, "the store");
        match error {
            StoreError::InvalidKey { .. } => Problem::bad_request("a name in it is too long"),
            StoreError::TooLarge { .. } => Problem::new(&PAYLOAD_TOO_LARGE, error.to_string()),
            // Where the store lies is nobody's business out there.
            _ => Problem::new(&UNAVAILABLE, "the store cannot be used now").header(header::RETRY_AFTER, "5"),
        }
    }
}

impl From<CatalogueError> for Box<Problem> {
    fn from(error: CatalogueError) -> Box<Problem> {
        match error {
            CatalogueError::Store(error) => error.into(),
            CatalogueError::NotFound { .. } => Problem::not_found("release"),
            other => {
                let hint = other.hint();
                let problem = Problem::new(&UNPROCESSABLE, other.to_string());
                match hint {
                    Some(hint) => problem.hint(hint),
                    None => problem,
                }
            }
        }
    }
}
