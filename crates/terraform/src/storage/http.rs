//! The `http` backend, as terraform speaks it (1.5 to 1.15): GET for the state, POST with `?ID=` and `Content-MD5` to write it,
//! LOCK and UNLOCK with the lock's JSON. 5xx and broken connections are tried again, with waits that double.

use std::fmt;
use std::thread::sleep;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};
use ureq::http::{Request, Response, StatusCode};

use super::http_settings::HttpSettings;
use super::{StateStorage, StoredState, Unlocked};
use crate::backend::BackendConfig;
use crate::error::TerraformError;
use crate::errored::StateHeader;
use crate::live::without_credentials;
use crate::local_state::LockInfo;

/// No state is larger; the limit keeps a server that never ends from filling the memory.
const LARGEST: u64 = 1 << 30;

/// A state behind Terraform's HTTP protocol.
pub struct HttpStorage {
    settings: HttpSettings,
}

impl fmt::Debug for HttpStorage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("HttpStorage").field(&self.place()).finish()
    }
}

struct Answer {
    status: StatusCode,
    body: Vec<u8>,
}

impl HttpStorage {
    /// Nothing is asked of the server yet.
    ///
    /// # Errors
    /// [`TerraformError::Backend`]: settings that terraform would refuse, too.
    pub fn open(config: &BackendConfig) -> Result<HttpStorage, TerraformError> {
        Ok(HttpStorage {
            settings: HttpSettings::read(config)?,
        })
    }

    fn call(
        &self,
        action: &'static str,
        method: &str,
        address: &str,
        body: Option<&[u8]>,
    ) -> Result<Answer, TerraformError> {
        let mut wait = self.settings.shortest_wait;
        for attempt in 0.. {
            let last = attempt >= self.settings.retries;
            match self.call_once(method, address, body) {
                Ok(answer)
                    if answer.status.is_server_error() && answer.status != StatusCode::NOT_IMPLEMENTED && !last => {}
                Ok(answer) => return Ok(answer),
                Err(_) if !last => {}
                Err(error) => return Err(self.error(action, error.to_string(), None)),
            }
            sleep(wait.min(self.settings.longest_wait));
            wait = wait.saturating_mul(2).max(Duration::from_millis(10));
        }
        unreachable!("the last attempt returns")
    }

    fn call_once(&self, method: &str, address: &str, body: Option<&[u8]>) -> Result<Answer, ureq::Error> {
        let mut request = Request::builder().method(method).uri(address);
        if !self.settings.username.is_empty() {
            let pair = format!("{}:{}", self.settings.username, self.settings.password);
            request = request.header("Authorization", format!("Basic {}", STANDARD.encode(pair)));
        }
        let response = match body {
            Some(body) => {
                let request = request
                    .header("Content-Type", "application/json")
                    .header("Content-MD5", STANDARD.encode(Md5::digest(body)));
                self.settings.agent.run(request.body(body)?)?
            }
            None => self.settings.agent.run(request.body(())?)?,
        };
        read_whole(response)
    }

    fn error(&self, action: &'static str, message: String, hint: Option<&str>) -> TerraformError {
        TerraformError::Backend {
            action,
            place: format!("the state at {}", self.place()),
            message,
            hint: hint.map(str::to_owned),
        }
    }

    fn unexpected(&self, action: &'static str, status: StatusCode) -> TerraformError {
        let hint = match status {
            StatusCode::UNAUTHORIZED => {
                Some("the server asks for a name and a password: set TF_HTTP_USERNAME and TF_HTTP_PASSWORD")
            }
            StatusCode::FORBIDDEN => {
                Some("this user may not do that there: look at TF_HTTP_USERNAME and TF_HTTP_PASSWORD")
            }
            StatusCode::CONFLICT | StatusCode::LOCKED => Some("the server says that the lock is not ours any more"),
            status if status.is_server_error() => Some("the server has failed; try again"),
            _ => None,
        };
        self.error(action, format!("the server answers {}", status.as_u16()), hint)
    }
}

fn read_whole(mut response: Response<ureq::Body>) -> Result<Answer, ureq::Error> {
    let body = response.body_mut().with_config().limit(LARGEST).read_to_vec()?;
    if let Some(expected) = response.headers().get("Content-MD5")
        && STANDARD
            .decode(expected)
            .is_ok_and(|expected| expected.len() == 16 && expected != Md5::digest(&body)[..])
    {
        return Err(
            std::io::Error::other("the answer was damaged on its way: its Content-MD5 is of other bytes").into(),
        );
    }
    Ok(Answer {
        status: response.status(),
        body,
    })
}

impl StateStorage for HttpStorage {
    fn place(&self) -> String {
        without_credentials(&self.settings.address)
    }

    fn read(&self) -> Result<Option<StoredState>, TerraformError> {
        let answer = self.call("read", "GET", &self.settings.address, None)?;
        match answer.status {
            StatusCode::OK if !answer.body.is_empty() => Ok(Some(StoredState {
                bytes: answer.body,
                version: None,
            })),
            StatusCode::OK | StatusCode::NO_CONTENT | StatusCode::NOT_FOUND => Ok(None),
            status => Err(self.unexpected("read", status)),
        }
    }

    fn has_locks(&self) -> bool {
        self.settings.lock_address.is_some()
    }

    fn lock_outlives_process(&self) -> bool {
        self.has_locks()
    }

    fn lock(&self, info: &LockInfo) -> Result<(), TerraformError> {
        let Some(address) = &self.settings.lock_address else {
            return Ok(());
        };
        let body = info.to_json();
        let answer = self.call("lock", &self.settings.lock_method, address, Some(&body))?;
        match answer.status {
            StatusCode::OK => Ok(()),
            StatusCode::CONFLICT | StatusCode::LOCKED => {
                let holder: Option<LockInfo> = serde_json::from_slice(&answer.body).ok();
                if holder.as_ref().is_some_and(|holder| holder.id == info.id) {
                    return Ok(());
                }
                Err(TerraformError::Locked {
                    holder: holder.filter(|holder| !holder.id.is_empty()).map(Box::new),
                    diagnostics: Vec::new(),
                })
            }
            status => Err(self.unexpected("lock", status)),
        }
    }

    fn write(&self, bytes: &[u8], _: Option<&StoredState>, info: &LockInfo) -> Result<(), TerraformError> {
        let mut address = self.settings.address.clone();
        if self.settings.lock_address.is_some() {
            address.push(if address.contains('?') { '&' } else { '?' });
            address.push_str("ID=");
            address.push_str(&info.id);
        }
        let answer = self.call("write", &self.settings.update_method, &address, Some(bytes))?;
        match answer.status {
            StatusCode::OK | StatusCode::CREATED | StatusCode::NO_CONTENT => Ok(()),
            status => Err(self.unexpected("write", status)),
        }
    }

    /// Not every server compares IDs, so that we ask first whose lock it is: by taking it again under the same ID.
    fn unlock(&self, info: &LockInfo) -> Result<Unlocked, TerraformError> {
        let Some(address) = &self.settings.unlock_address else {
            return Ok(Unlocked::Yes);
        };
        match self.lock(info) {
            Ok(()) => {}
            Err(TerraformError::Locked { holder, .. }) => {
                return Ok(Unlocked::HeldBy(holder.unwrap_or_default()));
            }
            Err(error) => return Err(error),
        }
        let body = info.to_json();
        let answer = self.call("unlock", &self.settings.unlock_method, address, Some(&body))?;
        match answer.status {
            StatusCode::OK | StatusCode::NO_CONTENT => Ok(Unlocked::Yes),
            StatusCode::NOT_FOUND => Ok(Unlocked::NobodyHeldIt),
            StatusCode::CONFLICT | StatusCode::LOCKED => {
                let holder: LockInfo = serde_json::from_slice(&answer.body).unwrap_or_default();
                Ok(Unlocked::HeldBy(Box::new(holder)))
            }
            status => Err(self.unexpected("unlock", status)),
        }
    }

    /// The protocol knows no former versions.
    fn highest_serial(&self) -> Result<u64, TerraformError> {
        let state = self.read()?;
        Ok(state
            .and_then(|state| StateHeader::parse(&state.bytes).ok())
            .map_or(0, |header| header.serial))
    }
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
