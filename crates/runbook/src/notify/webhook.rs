//! `webhook`: a document by POST, signed so that whoever gets it knows who sent it and when.
//!
//! The signature is over `TIMESTAMP.BODY` with HMAC-SHA256, as Stripe does it: `X-Rollback-Signature: t=TIMESTAMP,v1=HEX`. With
//! the time in it nobody can send an old message again later.

use std::collections::BTreeMap;
use std::time::Duration;

use hmac::{Hmac, Mac};
use jiff::Timestamp;
use rollback_config::project::StepTable;
use serde::Deserialize;
use serde_json::json;
use sha2::Sha256;
use ureq::Agent;
use ureq::http::Request;
use url::Url;

use super::{Channel, Message, error, made, secret};
use crate::outbound::{Reach, client, in_words, was_not_asked};
use crate::settings::{Common, Made, read};
use crate::step::StepError;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    url: Option<String>,
    /// Where the URL is, if it is a secret.
    url_environment: Option<String>,
    /// Where the key of the signature is.
    secret_environment: Option<String>,
    /// Headers whose values are in environment variables of these names.
    #[serde(default)]
    headers_environment: BTreeMap<String, String>,
    #[serde(default = "yes")]
    allow_private: bool,
    #[serde(default)]
    proxy: bool,
}

fn yes() -> bool {
    true
}

const TIMEOUT: Duration = Duration::from_secs(10);

/// So often it is tried, with these pauses between.
const PAUSES: [Duration; 3] = [Duration::ZERO, Duration::from_millis(500), Duration::from_secs(2)];

struct Webhook {
    place: Place,
    secret_environment: Option<String>,
    headers_environment: BTreeMap<String, String>,
    agent: Agent,
}

/// Where it goes to.
pub(super) enum Place {
    Url(Url),
    Environment(String),
}

impl Place {
    /// # Errors
    /// In words: both or neither are given, or it is no URL.
    pub(super) fn new(url: Option<String>, variable: Option<String>) -> Result<Place, String> {
        match (url, variable) {
            (Some(url), None) => crate::checks::parse_url(&url).map(Place::Url),
            (None, Some(variable)) => Ok(Place::Environment(variable)),
            _ => Err("give `url_environment`, the name of the variable that holds the URL, or `url`".to_owned()),
        }
    }

    pub(super) fn needs(&self) -> Option<&str> {
        match self {
            Place::Url(_) => None,
            Place::Environment(variable) => Some(variable),
        }
    }

    pub(super) fn url(&self) -> Result<Url, StepError> {
        match self {
            Place::Url(url) => Ok(url.clone()),
            Place::Environment(variable) => secret(variable)?
                .parse()
                .map_err(|_| StepError::untouched(format!("what is in ${variable} is no URL"))),
        }
    }
}

pub(super) fn of_table(table: &StepTable) -> Made<dyn Channel> {
    let (common, own): (Common, Settings) = read("notify", table)?;
    let reach = Reach {
        private: own.allow_private,
    };
    let webhook = Webhook {
        place: Place::new(own.url, own.url_environment).map_err(|message| error(table, message))?,
        secret_environment: own.secret_environment,
        headers_environment: own.headers_environment,
        agent: client(reach, common.timeout.unwrap_or(TIMEOUT), own.proxy),
    };
    made(common, webhook)
}

/// `t=1764000000,v1=5257a8…`
fn signature(key: &str, at: Timestamp, body: &str) -> Result<String, StepError> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes())
        .map_err(|_| StepError::untouched("the key of the signature cannot be used"))?;
    let seconds = at.as_second();
    mac.update(format!("{seconds}.{body}").as_bytes());
    Ok(format!("t={seconds},v1={}", hex::encode(mac.finalize().into_bytes())))
}

impl Channel for Webhook {
    fn needs(&self) -> Vec<&str> {
        let headers = self.headers_environment.values().map(String::as_str);
        let secret = self.secret_environment.as_deref();
        self.place.needs().into_iter().chain(secret).chain(headers).collect()
    }

    fn send(&self, message: &Message) -> Result<(), StepError> {
        let body = json!({
            "id": message.id,
            "event": format!("rollback.{}", message.phase.as_str()),
            "subject": message.subject,
            "text": message.text,
            "report": message.document,
        })
        .to_string();
        let mut headers = vec![
            (
                "X-Rollback-Event".to_owned(),
                format!("rollback.{}", message.phase.as_str()),
            ),
            ("X-Rollback-Delivery".to_owned(), message.id.clone()),
        ];
        for (name, variable) in &self.headers_environment {
            headers.push((name.clone(), secret(variable)?));
        }
        let key = self.secret_environment.as_deref().map(secret).transpose()?;
        let url = self.place.url()?;
        post(&self.agent, &url, &body, &|| {
            let mut headers = headers.clone();
            if let Some(key) = &key {
                // Made for each try: it has the time in it.
                headers.push((
                    "X-Rollback-Signature".to_owned(),
                    signature(key, Timestamp::now(), &body)?,
                ));
            }
            Ok(headers)
        })
    }
}

type Headers = Vec<(String, String)>;

/// Sends JSON; what is over in a moment is tried again.
pub(super) fn post(
    agent: &Agent,
    url: &Url,
    body: &str,
    headers: &dyn Fn() -> Result<Headers, StepError>,
) -> Result<(), StepError> {
    // Its path may be a secret, as it is with Slack.
    let host = url.host_str().unwrap_or_default();
    let mut why = String::new();
    for pause in PAUSES {
        std::thread::sleep(pause);
        let mut request = Request::post(url.as_str()).header("Content-Type", "application/json");
        for (name, value) in headers()? {
            request = request.header(name, value);
        }
        let request = request
            .body(body)
            .map_err(|_| StepError::untouched(format!("{host}: a header or the URL cannot be used as it is")))?;
        why = match agent.run(request) {
            Ok(response) if response.status().is_success() => return Ok(()),
            Ok(response) => {
                let status = response.status().as_u16();
                let said = format!("it answered {status}");
                if !(status == 429 || status >= 500) {
                    return Err(StepError::touched(format!("{host}: {said}")));
                }
                said
            }
            Err(error) if was_not_asked(&error) => {
                return Err(StepError::untouched(format!("{host}: {}", in_words(&error))));
            }
            Err(error) => in_words(&error),
        };
    }
    Err(StepError::touched(format!("{host}: {why}, {} times", PAUSES.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_the_one_that_others_compute() {
        // `printf '1764000000.{"a":1}' | openssl dgst -sha256 -hmac topsecret`
        let at = Timestamp::from_second(1_764_000_000).unwrap();
        assert_eq!(
            signature("topsecret", at, "{\"a\":1}").unwrap(),
            "t=1764000000,v1=08df1f39f5ff048c6fbf269b4a53c86e930ab8c724625aad87c6dfa0f96ae0ce"
        );
    }
}
