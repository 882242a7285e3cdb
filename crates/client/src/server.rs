//! The connection to a service: where it is, who asks, and how often.

use std::path::Path;
use std::time::Duration;

use rollback_engine::error::{EngineError, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use ureq::http::{Request, Response};
use ureq::{Agent, AsSendBody};
use url::Url;

use crate::call::{Answer, Body, Call, Repeat};
use crate::{problem, trust};

/// No answer is larger: 1 GiB, as the largest state.
const LARGEST: u64 = 1 << 30;
/// How long an answer may take: a release of many stacks reads each of their states.
const ANSWER: Duration = Duration::from_secs(600);
/// How often a call that may be repeated is made.
const ATTEMPTS: u32 = 5;
/// The first wait between two attempts; each next one is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Who the token is, and which project it is asked of.
#[derive(Clone, Debug, Deserialize)]
pub struct Principal {
    pub id: String,
    pub name: String,
    pub role: String,
    /// The project of the service itself.
    #[serde(default)]
    pub project: Option<String>,
    /// Whether the service keeps a checkout of its own for each project, which its clients bring.
    #[serde(default)]
    pub takes_checkouts: bool,
}

/// A service, asked with one token.
pub struct Server {
    agent: Agent,
    /// Without a slash at its end.
    base: String,
    /// `/projects/NAME` where another project than the service's own is meant.
    prefix: String,
    token: String,
}

impl Server {
    /// Nothing is asked of the service yet. With an authority, a file of certificates in PEM, only those are trusted.
    ///
    /// # Errors
    /// What is no URL of a service, or no token, or no file of certificates.
    pub fn open(url: &str, token: Option<&str>, authority: Option<&Path>) -> Result<Server> {
        let odd = |why: &str| {
            EngineError::usage(format!("--server {url:?}: {why}"))
                .hint("give the service's URL, such as https://rollback.example.com")
        };
        let parsed = Url::parse(url).map_err(|_| odd("this is no URL"))?;
        if !matches!(parsed.scheme(), "http" | "https") || parsed.host().is_none() {
            return Err(odd("this is no http or https URL"));
        }
        // It would reach logs, and the list of processes.
        if !parsed.username().is_empty() || parsed.password().is_some() {
            return Err(EngineError::usage("--server takes no credentials in the URL")
                .hint("the token comes from INFRA_ROLLBACK_TOKEN"));
        }
        if parsed.query().is_some() || parsed.fragment().is_some() {
            return Err(odd("nothing may come after the path"));
        }
        let token = token.map(str::trim).filter(|token| !token.is_empty()).ok_or_else(|| {
            EngineError::usage("the service wants to know who asks: INFRA_ROLLBACK_TOKEN is not set")
                .hint("`infra-rollback tokens create` on the service's machine makes a token; a pipeline's identity token is one, too")
        })?;
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(EngineError::usage(
                "INFRA_ROLLBACK_TOKEN holds what no token has: spaces, or signs beyond ASCII",
            ));
        }
        Ok(Server {
            agent: agent(authority)?,
            base: parsed.as_str().trim_end_matches('/').to_owned(),
            prefix: String::new(),
            token: token.to_owned(),
        })
    }

    /// Whether the token goes over a network in clear.
    pub fn is_clear(&self) -> bool {
        let Ok(url) = Url::parse(&self.base) else { return false };
        let local = match url.host() {
            Some(url::Host::Domain(name)) => name == "localhost",
            Some(url::Host::Ipv4(address)) => address.is_loopback(),
            Some(url::Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        url.scheme() == "http" && !local
    }

    /// The same service, asked about another project than its own.
    pub fn of_project(mut self, project: &str) -> Server {
        self.prefix = format!("/projects/{}", crate::call::segment(project));
        self
    }

    /// The address of a path, for people.
    pub fn url(&self, path: &str) -> String {
        format!("{}{}{path}", self.base, self.prefix)
    }

    /// The service's address.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Who the token is.
    ///
    /// # Errors
    /// The service cannot be reached, or does not know the token.
    pub fn principal(&self) -> Result<Principal> {
        self.json(Call::get("/v1/principal"))
    }

    /// A GET of JSON.
    ///
    /// # Errors
    /// As [`Server::call`].
    pub fn get<T: DeserializeOwned>(&self, path: impl Into<String>) -> Result<T> {
        self.json(Call::get(path))
    }

    /// A call whose answer is JSON.
    ///
    /// # Errors
    /// As [`Server::call`], and where the answer is something else.
    pub fn json<T: DeserializeOwned>(&self, call: Call) -> Result<T> {
        let path = call.path.clone();
        let answer = self.call(&call)?;
        serde_json::from_slice(&answer.body).map_err(|error| {
            EngineError::failed(format!("the service's answer to {path} is not understood: {error}"))
                .hint("service and client may be of different versions: compare /v1/health with --version")
        })
    }

    /// Makes a call, again where that is safe and may help.
    ///
    /// # Errors
    /// The service cannot be reached; its problem, as [`problem::error`] reads it.
    pub fn call(&self, call: &Call) -> Result<Answer> {
        let mut wait = FIRST_WAIT;
        for attempt in 1.. {
            let last = attempt == ATTEMPTS;
            match self.call_once(call) {
                Ok(reply) if (200..300).contains(&reply.status) => return Ok(reply.into()),
                Ok(reply) => {
                    let again = match reply.status {
                        // "Nothing was done. Try again later." is what the document says of it.
                        429 | 503 if reply.retry_after.is_some() => true,
                        429 | 502 | 504 => call.repeat != Repeat::Once,
                        _ => false,
                    };
                    if last || !again {
                        return Err(problem::error(reply.status, reply.retry_after, &reply.body));
                    }
                    wait = wait.max(Duration::from_secs(reply.retry_after.unwrap_or(0)));
                }
                Err(error) => {
                    let again = call.repeat != Repeat::Once || never_arrived(&error);
                    if last || !again {
                        return Err(self.unreachable(call, &error));
                    }
                    tracing::debug!(%error, attempt, "the service could not be asked");
                }
            }
            std::thread::sleep(wait.min(LONGEST_WAIT));
            wait = wait.saturating_mul(2);
        }
        unreachable!("the last attempt returns")
    }

    fn unreachable(&self, call: &Call, error: &ureq::Error) -> EngineError {
        if let Some((why, hint)) = trust::explain(error) {
            return EngineError::failed(format!("the service at {} cannot be asked: {why}", self.base)).hint(hint);
        }
        let failed = EngineError::failed(format!("the service at {} cannot be asked: {error}", self.base));
        let failed = match error {
            ureq::Error::Http(_) | ureq::Error::Protocol(_) if self.base.starts_with("http:") => {
                failed.hint("if it speaks TLS there, the URL of --server begins with https://")
            }
            _ => failed,
        };
        match never_arrived(error) || call.repeat == Repeat::Safe {
            true => failed.hint("check the URL of --server, and whether the service runs: GET /v1/health"),
            false => failed.hint("it may have got the request all the same: look with `infra-rollback runs`"),
        }
    }

    fn call_once(&self, call: &Call) -> Result<Reply, ureq::Error> {
        let mut request = self.request(call.method, &call.path);
        if let Repeat::Keyed(key) = &call.repeat {
            request = request.header("Idempotency-Key", key);
        }
        match &call.body {
            Body::None => self.send(request, ()),
            Body::Json(value) => {
                let bytes = value.to_string().into_bytes();
                self.send(request.header("Content-Type", "application/json"), bytes.as_slice())
            }
            Body::Bytes(bytes, media) => self.send(request.header("Content-Type", *media), bytes.as_slice()),
        }
    }

    pub(crate) fn request(&self, method: &str, path: &str) -> ureq::http::request::Builder {
        Request::builder()
            .method(method)
            .uri(self.url(path))
            .header("Authorization", format!("Bearer {}", self.token))
    }

    fn send(&self, request: ureq::http::request::Builder, body: impl AsSendBody) -> Result<Reply, ureq::Error> {
        let response = self
            .agent
            .configure_request(request.body(body)?)
            .timeout_global(Some(ANSWER))
            .build();
        read(self.agent.run(response)?)
    }

    /// Opens a stream of events; it ends when the service says so.
    pub(crate) fn stream(&self, path: &str, last: Option<u64>) -> Result<Response<ureq::Body>, ureq::Error> {
        let mut request = self.request("GET", path).header("Accept", "text/event-stream");
        if let Some(last) = last {
            request = request.header("Last-Event-ID", last.to_string());
        }
        self.agent.run(request.body(())?)
    }
}

struct Reply {
    status: u16,
    retry_after: Option<u64>,
    location: Option<String>,
    body: Vec<u8>,
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Answer {
        Answer {
            status: reply.status,
            location: reply.location,
            body: reply.body,
        }
    }
}

fn read(mut response: Response<ureq::Body>) -> Result<Reply, ureq::Error> {
    let header = |name: &str| {
        let value = response.headers().get(name)?;
        value.to_str().ok().map(str::to_owned)
    };
    let (retry_after, location) = (
        header("retry-after").and_then(|text| text.parse().ok()),
        header("location"),
    );
    Ok(Reply {
        status: response.status().as_u16(),
        retry_after,
        location,
        body: response.body_mut().with_config().limit(LARGEST).read_to_vec()?,
    })
}

/// Whether the request cannot have reached anybody.
fn never_arrived(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::HostNotFound | ureq::Error::ConnectionFailed | ureq::Error::Tls(_) => true,
        ureq::Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve) => true,
        ureq::Error::Io(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => true,
        error => trust::explain(error).is_some(),
    }
}

fn agent(authority: Option<&Path>) -> Result<Agent> {
    Ok(Agent::config_builder()
        .tls_config(trust::config(authority)?)
        .http_status_as_error(false)
        // A token is for one service: no redirect takes it elsewhere.
        .max_redirects(0)
        .user_agent(concat!("infra-rollback/", env!("CARGO_PKG_VERSION")))
        .timeout_connect(Some(Duration::from_secs(10)))
        .build()
        .new_agent())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(url: &str, token: Option<&str>) -> String {
        match Server::open(url, token, None) {
            Ok(_) => panic!("{url} was taken"),
            Err(error) => error.message,
        }
    }

    #[test]
    fn what_is_no_service_is_refused_before_anything_is_sent() {
        assert!(refused("rollback.example.com", Some("t")).contains("no URL"));
        assert!(refused("file:///etc/passwd", Some("t")).contains("no http"));
        assert!(refused("https://user:hunter2@example.com", Some("t")).contains("no credentials"));
        assert!(!refused("https://user:hunter2@example.com", Some("t")).contains("hunter2"));
        assert!(refused("https://example.com/?a=b", Some("t")).contains("after the path"));
        assert!(refused("https://example.com", None).contains("INFRA_ROLLBACK_TOKEN"));
        assert!(!refused("https://example.com", Some("hunter2 \n x")).contains("hunter2"));
    }

    #[test]
    fn addresses_keep_a_prefix_and_say_whether_they_are_clear() {
        let server = Server::open("https://example.com/rollback/", Some("t"), None).unwrap();
        assert_eq!(server.url("/v1/runs"), "https://example.com/rollback/v1/runs");
        assert!(!server.is_clear());
        let server = server.of_project("p/q");
        assert_eq!(
            server.url("/v1/runs"),
            "https://example.com/rollback/projects/p%2Fq/v1/runs"
        );
        for (url, clear) in [
            ("http://127.0.0.1:1", false),
            ("http://[::1]:1", false),
            ("http://localhost", false),
            ("http://10.0.0.1", true),
        ] {
            assert_eq!(Server::open(url, Some("t"), None).unwrap().is_clear(), clear, "{url}");
        }
    }

    /// Answers the calls that come in turn, each on a connection of its own; how many came.
    fn answering(answers: Vec<&'static str>) -> (Server, std::thread::JoinHandle<usize>) {
        use std::io::{BufRead, BufReader, Read, Write};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let came = std::thread::spawn(move || {
            let mut came = 0;
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let (mut line, mut length) = (String::new(), 0);
                while reader.read_line(&mut line).unwrap() > 2 {
                    if let Some(text) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                        length = text.trim().parse().unwrap();
                    }
                    line.clear();
                }
                reader.take(length).read_to_end(&mut Vec::new()).unwrap();
                write!(
                    stream,
                    "HTTP/1.1 {answer}content-length: 2\r\nconnection: close\r\n\r\n{{}}"
                )
                .unwrap();
                came += 1;
            }
            came
        });
        (Server::open(&url, Some("t"), None).unwrap(), came)
    }

    #[test]
    fn what_was_certainly_not_done_is_asked_for_again() {
        let busy = "429 Too Many Requests\r\nretry-after: 0\r\n";
        let call = Call::post("/v1/drills", serde_json::json!({}));
        let (server, came) = answering(vec![
            busy,
            "503 Service Unavailable\r\nretry-after: 0\r\n",
            "202 Accepted\r\n",
        ]);
        assert_eq!(server.call(&call).unwrap().status, 202);
        assert_eq!(came.join().unwrap(), 3);
        // Nobody says that nothing was done.
        for answer in [
            "429 Too Many Requests\r\n",
            "503 Service Unavailable\r\n",
            "502 Bad Gateway\r\n",
        ] {
            let (server, came) = answering(vec![answer]);
            assert!(server.call(&call).is_err(), "{answer}");
            assert_eq!(came.join().unwrap(), 1);
        }
    }
}
