//! A way to the network that fails, or answers otherwise, at calls of one's choice.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;

pub type Change = Arc<dyn Fn(&str) -> String + Send + Sync>;
pub type Answer = Arc<dyn Fn(&HttpRequest) -> Vec<u8> + Send + Sync>;

/// What happens at a call.
#[derive(Clone)]
pub enum Fault {
    /// Refused, and nothing was done.
    Refused,
    /// It was done, and the connection broke before the answer came: what is repeated is asked again.
    Lost,
    /// Nothing was done: there is no network.
    Cut,
    /// The process ends, before the call or after it was done. Nothing of it runs any more: what called the step has to
    /// catch [`Ended`].
    Ends { done: bool },
    /// It is done, and both ways take so long.
    Slow(Duration),
    /// Nothing was done: 400 with the service's word for too many requests.
    Throttled,
    /// Nothing was done: 429.
    TooMany,
    /// It is done, and its answer is put into other words.
    Answer(Change),
    /// Nobody else is asked: status and body. What the emulator does not know.
    Instead(u16, Answer),
}

/// What a process leaves behind that ends on purpose.
pub struct Ended;

/// At which calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum At {
    /// The one with this number, from 1, whatever it asks.
    Call(usize),
    /// Each one after the one with this number.
    After(usize),
    /// The first `times` ones of an operation.
    Operation { name: &'static str, times: usize },
}

#[derive(Clone, Default)]
pub struct Faults(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    planned: Vec<(At, Fault)>,
    /// Operations in the order in which they were called.
    calls: Vec<String>,
}

impl Faults {
    pub fn plan(&self, at: At, fault: Fault) {
        self.0.lock().unwrap().planned.push((at, fault));
    }

    /// Nothing fails any more. Tells what was called since the last time.
    pub fn rest(&self) -> Vec<String> {
        let mut inner = self.0.lock().unwrap();
        inner.planned.clear();
        std::mem::take(&mut inner.calls)
    }

    fn next(&self, operation: &str) -> Option<Fault> {
        let mut inner = self.0.lock().unwrap();
        inner.calls.push(operation.to_owned());
        let number = inner.calls.len();
        for (at, fault) in &mut inner.planned {
            match at {
                At::Call(call) if *call == number => return Some(fault.clone()),
                At::After(call) if *call < number => return Some(fault.clone()),
                At::Operation { name, times } if *name == operation && *times > 0 => {
                    *times -= 1;
                    return Some(fault.clone());
                }
                _ => {}
            }
        }
        None
    }

    /// This way to the network, with faults.
    pub fn client(&self, inner: SharedHttpClient) -> SharedHttpClient {
        let faults = self.clone();
        http_client_fn(move |settings, components| {
            SharedHttpConnector::new(Faulty {
                inner: inner.http_connector(settings, components),
                faults: faults.clone(),
            })
        })
    }
}

#[derive(Clone)]
struct Faulty {
    inner: SharedHttpConnector,
    faults: Faults,
}

impl std::fmt::Debug for Faulty {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Faulty")
    }
}

impl HttpConnector for Faulty {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let operation = operation(&request);
        let Some(fault) = self.faults.next(&operation) else {
            return self.inner.call(request);
        };
        let json = !request.body().bytes().is_some_and(|body| body.starts_with(b"Action="));
        let inner = self.inner.clone();
        HttpConnectorFuture::new(async move {
            match fault {
                Fault::Refused => Ok(refusal(400, json, "RefusedOnPurpose")),
                Fault::Throttled => Ok(refusal(
                    400,
                    json,
                    if json { "ThrottlingException" } else { "Throttling" },
                )),
                Fault::TooMany => Ok(refusal(429, json, "TooManyRequestsException")),
                Fault::Lost => {
                    inner.call(request).await?;
                    Err(ConnectorError::io("the connection was broken on purpose".into()))
                }
                Fault::Cut => Err(ConnectorError::io("there is no network, on purpose".into())),
                Fault::Ends { done } => {
                    if done {
                        inner.call(request).await?;
                    }
                    std::panic::resume_unwind(Box::new(Ended))
                }
                Fault::Slow(pause) => {
                    tokio::time::sleep(pause).await;
                    let answer = inner.call(request).await?;
                    tokio::time::sleep(pause).await;
                    Ok(answer)
                }
                Fault::Answer(change) => {
                    let mut answer = inner.call(request).await?;
                    let body = std::mem::replace(answer.body_mut(), SdkBody::empty());
                    let bytes = read(body).await;
                    let changed = change(&String::from_utf8(bytes).unwrap());
                    answer.headers_mut().insert("content-length", changed.len().to_string());
                    *answer.body_mut() = SdkBody::from(changed);
                    Ok(answer)
                }
                Fault::Instead(status, answer) => Ok(HttpResponse::new(
                    status.try_into().unwrap(),
                    SdkBody::from(answer(&request)),
                )),
            }
        })
    }
}

pub async fn read(mut body: SdkBody) -> Vec<u8> {
    use http_body_util::BodyExt;
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        bytes.extend_from_slice(&frame.unwrap().into_data().unwrap_or_default());
    }
    bytes
}

/// `UpdateService`, whichever way the protocol says it; for REST the method and the path.
pub fn operation(request: &HttpRequest) -> String {
    if let Some(target) = request.headers().get("x-amz-target") {
        return target.rsplit('.').next().unwrap().to_owned();
    }
    let body = request.body().bytes().unwrap_or_default();
    let body = String::from_utf8_lossy(body);
    if let Some(action) = body.split('&').find_map(|pair| pair.strip_prefix("Action=")) {
        return action.to_owned();
    }
    let path = request.uri().split_once("://").map_or(request.uri(), |(_, rest)| rest);
    let path = path.split_once('/').map_or("", |(_, path)| path);
    let path = path.split('?').next().unwrap();
    match path.split_once("/operation/") {
        Some((_, operation)) => operation.to_owned(),
        None => format!("{} /{path}", request.method()),
    }
}

fn refusal(status: u16, json: bool, code: &str) -> HttpResponse {
    let body = match json {
        true => format!(r#"{{"__type":"{code}","message":"on purpose"}}"#),
        false => format!(
            "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>on purpose</Message></Error></ErrorResponse>"
        ),
    };
    HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body))
}
