//! One HTTP request of a check, and its answer.

use std::collections::BTreeMap;
use std::io::Read;
use std::time::{Duration, Instant};

use ureq::Agent;
use ureq::http::header::{HeaderName, HeaderValue, LOCATION};
use ureq::http::{Method, Request};
use url::Url;

use super::expectation::{Answer, Expectation};
use crate::check::Verdict;
use crate::outbound::{Reach, client, in_words, shown, was_not_asked};
use crate::step::StepError;

/// So much of an answer's body is looked at: 1 MiB.
pub(super) const MOST: u64 = 1 << 20;

/// So many redirects on the same host are followed.
const REDIRECTS: usize = 5;

/// Where settings say nothing.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How requests are sent: what the settings of `http` and `endpoints` share.
#[derive(Clone, Debug, Default)]
pub(super) struct Manner {
    pub headers: BTreeMap<String, String>,
    /// Headers whose values are in environment variables of these names.
    pub headers_environment: BTreeMap<String, String>,
    pub timeout: Option<Duration>,
    pub allow_private: Option<bool>,
    pub proxy: bool,
}

/// A request, ready to be sent again and again.
pub(super) struct Probe {
    method: Method,
    url: Url,
    headers: Vec<(HeaderName, HeaderValue)>,
    from_environment: Vec<(HeaderName, String)>,
    body: Option<String>,
    expect: Expectation,
    agent: Agent,
}

impl Probe {
    /// # Errors
    /// What is wrong with the settings, in words.
    pub(super) fn new(
        method: Option<&str>,
        url: &str,
        body: Option<String>,
        expect: Expectation,
        manner: &Manner,
    ) -> Result<Probe, String> {
        let url = parse(url)?;
        let method = method.unwrap_or("GET").to_ascii_uppercase();
        let method = Method::from_bytes(method.as_bytes()).map_err(|_| format!("{method:?} is no method of HTTP"))?;
        if body.is_some() && matches!(method, Method::GET | Method::HEAD) {
            return Err(format!("a {method} request has no body"));
        }
        let name = |name: &String| {
            HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("{name:?} is no name of a header"))
        };
        let mut headers = Vec::new();
        for (key, value) in &manner.headers {
            let value = HeaderValue::from_str(value).map_err(|_| format!("the header {key} cannot have that value"))?;
            headers.push((name(key)?, value));
        }
        let from_environment = manner.headers_environment.iter();
        let from_environment = from_environment.map(|(key, variable)| Ok::<_, String>((name(key)?, variable.clone())));
        let reach = Reach {
            private: manner.allow_private.unwrap_or(true),
        };
        Ok(Probe {
            method,
            url,
            headers,
            from_environment: from_environment.collect::<Result<_, _>>()?,
            body,
            expect,
            agent: client(reach, manner.timeout.unwrap_or(TIMEOUT), manner.proxy),
        })
    }

    /// `GET https://example.com/health`
    pub(super) fn title(&self) -> String {
        format!("{} {}", self.method, shown(&self.url))
    }

    /// Sends it once and judges the answer.
    ///
    /// # Errors
    /// It cannot be sent: a secret is missing, the address may not be asked.
    pub(super) fn ask(&self) -> Result<Verdict, StepError> {
        let mut secrets = Vec::new();
        for (name, variable) in &self.from_environment {
            let value = std::env::var(variable).ok().filter(|value| !value.is_empty());
            let value = value.ok_or_else(|| {
                StepError::untouched(format!(
                    "the header {name} is to come from ${variable}, which is not set"
                ))
                .hint(format!("set {variable} where infra-rollback runs"))
            })?;
            let mut value = HeaderValue::from_str(value.trim())
                .map_err(|_| StepError::untouched(format!("what is in ${variable} cannot be a header")))?;
            value.set_sensitive(true);
            secrets.push((name.clone(), value));
        }
        let mut url = self.url.clone();
        for _ in 0..=REDIRECTS {
            let answer = match self.send(&url, &secrets) {
                Ok(answer) => answer,
                Err(error) if was_not_asked(&error) => {
                    return Err(StepError::untouched(format!("{}: {}", shown(&url), in_words(&error))));
                }
                Err(error) => return Ok(Verdict::failed(in_words(&error))),
            };
            match self.redirect(&url, &answer) {
                Some(Ok(next)) => url = next,
                Some(Err(why)) => return Ok(Verdict::failed(format!("{}, {why}", answer.status))),
                None => return Ok(self.verdict(&answer)),
            }
        }
        Ok(Verdict::failed(format!("it redirects more than {REDIRECTS} times")))
    }

    fn verdict(&self, answer: &Answer) -> Verdict {
        let wrong = self.expect.judge(answer);
        match wrong.is_empty() {
            true => Verdict::passed(format!("{} in {} ms", answer.status, answer.took.as_millis())),
            false => Verdict::failed(wrong.join("; ")),
        }
    }

    fn send(&self, url: &Url, secrets: &[(HeaderName, HeaderValue)]) -> Result<Answer, ureq::Error> {
        let mut request = Request::builder().method(self.method.clone()).uri(url.as_str());
        for (name, value) in self.headers.iter().chain(secrets) {
            request = request.header(name, value);
        }
        let begun = Instant::now();
        let response = match &self.body {
            Some(body) => self.agent.run(request.body(body.as_str())?)?,
            None => self.agent.run(request.body(())?)?,
        };
        let (head, body) = response.into_parts();
        let mut bytes = Vec::new();
        body.into_with_config()
            .limit(u64::MAX)
            .reader()
            .take(MOST)
            .read_to_end(&mut bytes)?;
        let headers = head.headers.iter().map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            (name.as_str().to_owned(), value)
        });
        Ok(Answer {
            status: head.status.as_u16(),
            headers: headers.collect(),
            body: bytes,
            took: begun.elapsed(),
        })
    }

    /// Where an answer that is not the expected one leads to: only on the same host, so that nobody's secret goes
    /// elsewhere, and only what asks for a document is sent again.
    fn redirect(&self, from: &Url, answer: &Answer) -> Option<Result<Url, String>> {
        if !matches!(answer.status, 301 | 302 | 303 | 307 | 308) || self.expect.status.contains(answer.status) {
            return None;
        }
        let location = answer.headers.iter().find(|(name, _)| name == LOCATION.as_str())?;
        let to = from.join(&location.1).ok()?;
        if !matches!(self.method, Method::GET | Method::HEAD) {
            return Some(Err(format!(
                "and a {} is not sent again to {}",
                self.method,
                shown(&to)
            )));
        }
        match to.origin() == from.origin() {
            true => Some(Ok(to)),
            false => Some(Err(format!(
                "which leads to another host, {}, and is not followed",
                shown(&to)
            ))),
        }
    }
}

/// # Errors
/// In words, without the URL's secrets.
pub(crate) fn parse(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("the URL cannot be read: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(format!("{} is no URL of HTTP", shown(&url)));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(format!(
            "the URL {} has a user or a password in it: put the value of the header Authorization into an environment \
             variable and write headers_environment = {{ authorization = \"NAME\" }}",
            shown(&url)
        ));
    }
    Ok(url)
}
