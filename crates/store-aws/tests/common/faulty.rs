//! A way to the network that fails at a call of one's choice.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;

/// What happens at the chosen call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The connection breaks before anything was done.
    Reset,
    /// It is done, and the connection breaks before the answer.
    DoneAndReset,
    /// Nothing is done, and no answer comes in time.
    Slow,
    /// It is done, and no answer comes in time.
    DoneAndSlow,
    /// 503, nothing was done.
    Unavailable,
    /// 500, and it was done.
    DoneAndInternalError,
    /// 429, nothing was done.
    TooMany,
    /// The service's own word for too many requests, nothing was done.
    Throttled,
    /// 409, or DynamoDB's word for another transaction, nothing was done.
    Conflict,
    /// Delivered twice: a write's own condition no longer holds (412).
    Twice,
    /// The answer is cut off; it was done.
    CutOff,
    /// 403, nothing was done: no repetition helps.
    Denied,
}

impl Fault {
    pub const ALL: [Fault; 12] = [
        Fault::Reset,
        Fault::DoneAndReset,
        Fault::Slow,
        Fault::DoneAndSlow,
        Fault::Unavailable,
        Fault::DoneAndInternalError,
        Fault::TooMany,
        Fault::Throttled,
        Fault::Conflict,
        Fault::Twice,
        Fault::CutOff,
        Fault::Denied,
    ];

    /// Whether the call passes through all the same.
    fn is_done(self) -> bool {
        use Fault::{CutOff, DoneAndInternalError, DoneAndReset, DoneAndSlow, Twice};
        matches!(self, DoneAndReset | DoneAndSlow | DoneAndInternalError | Twice | CutOff)
    }
}

/// When it happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasting {
    Once,
    Ever,
}

/// The chosen call, and how many there were.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    calls: Arc<AtomicU64>,
    chosen: Arc<Mutex<Option<(u64, Fault, Lasting)>>>,
}

impl Plan {
    /// Counts from 1 again; fails at call number `call`, or from there on.
    pub fn fail(&self, call: u64, fault: Fault, lasting: Lasting) {
        self.calls.store(0, Ordering::SeqCst);
        *self.chosen.lock().unwrap() = Some((call, fault, lasting));
    }

    /// Counts from 1 again and fails never; gives how many calls there were.
    pub fn rest(&self) -> u64 {
        *self.chosen.lock().unwrap() = None;
        self.calls.swap(0, Ordering::SeqCst)
    }

    fn next(&self) -> Option<Fault> {
        let number = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        let (call, fault, lasting) = (*self.chosen.lock().unwrap())?;
        (number == call || (number > call && lasting == Lasting::Ever)).then_some(fault)
    }

    /// The way to the network on which this happens.
    pub fn client(&self, inner: SharedHttpClient) -> SharedHttpClient {
        let plan = self.clone();
        http_client_fn(move |settings, components| {
            SharedHttpConnector::new(Faulty {
                inner: inner.http_connector(settings, components),
                plan: plan.clone(),
            })
        })
    }
}

#[derive(Debug)]
struct Faulty {
    inner: SharedHttpConnector,
    plan: Plan,
}

impl HttpConnector for Faulty {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let Some(fault) = self.plan.next() else {
            return self.inner.call(request);
        };
        let inner = self.inner.clone();
        HttpConnectorFuture::new(async move {
            let dynamodb = request.headers().get("x-amz-target").is_some();
            let twin = request.try_clone();
            let mut answer = None;
            if fault.is_done() {
                answer = Some(inner.call(request).await?);
            }
            let broken = || ConnectorError::io("the connection is gone, on purpose".into());
            match fault {
                Fault::Reset | Fault::DoneAndReset => Err(broken()),
                Fault::Slow | Fault::DoneAndSlow => Err(ConnectorError::timeout("no answer, on purpose".into())),
                Fault::Unavailable => Ok(refusal(503, dynamodb, "ServiceUnavailable")),
                Fault::DoneAndInternalError if dynamodb => Ok(refusal(500, dynamodb, "InternalServerError")),
                Fault::DoneAndInternalError => Ok(refusal(500, dynamodb, "InternalError")),
                Fault::TooMany => Ok(refusal(429, dynamodb, "TooManyRequestsException")),
                Fault::Throttled if dynamodb => Ok(refusal(400, dynamodb, "ThrottlingException")),
                Fault::Throttled => Ok(refusal(503, dynamodb, "SlowDown")),
                Fault::Conflict if dynamodb => Ok(refusal(400, dynamodb, "TransactionConflictException")),
                Fault::Conflict => Ok(refusal(409, dynamodb, "ConditionalRequestConflict")),
                Fault::Denied if dynamodb => Ok(refusal(400, dynamodb, "AccessDeniedException")),
                Fault::Denied => Ok(refusal(403, dynamodb, "AccessDenied")),
                Fault::Twice => match twin {
                    Some(twin) => inner.call(twin).await,
                    None => answer.ok_or_else(broken),
                },
                Fault::CutOff => {
                    let mut answer = answer.ok_or_else(broken)?;
                    // More was announced than comes.
                    answer.headers_mut().insert("content-length", "1000000");
                    *answer.body_mut() = SdkBody::from("{");
                    Ok(answer)
                }
            }
        })
    }
}

fn refusal(status: u16, dynamodb: bool, code: &str) -> HttpResponse {
    let body = match dynamodb {
        true => format!(r#"{{"__type":"com.amazonaws.dynamodb.v20120810#{code}","message":"on purpose"}}"#),
        false => format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>on purpose</Message></Error>"),
    };
    HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body))
}
