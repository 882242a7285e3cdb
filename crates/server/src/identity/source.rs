//! Where an issuer's keys come from: its discovery document (OpenID Connect Discovery 1.0, 4), or an address that is
//! configured. Nothing that an answer says leads to another host.

use std::time::Duration;

use rollback_runbook::outbound::{Reach, client, in_words, was_not_asked};
use serde::Deserialize;
use url::{Host, Url};

use super::keys::KeySet;

/// How long one answer may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// No answer is larger: the keys of large issuers have some 20 KB.
const LARGEST: u64 = 256 << 10;

/// An issuer's documents.
#[derive(Debug)]
pub struct Source {
    issuer: String,
    /// The discovery document's, or the keys' own.
    url: Url,
    discovers: bool,
    reach: Reach,
    proxy: bool,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

impl Source {
    /// # Errors
    /// The issuer, or the keys' address, is no https URL; http is for loopback addresses alone.
    pub fn new(issuer: &str, keys: Option<&str>, allow_private: bool, proxy: bool) -> Result<Source, String> {
        let base = parse(issuer)?;
        if base.query().is_some() {
            return Err(format!("{issuer:?} has a query, and no issuer's URL has one"));
        }
        let url = match keys {
            Some(keys) => parse(keys)?,
            None => parse(&format!(
                "{}/.well-known/openid-configuration",
                issuer.trim_end_matches('/')
            ))?,
        };
        Ok(Source {
            issuer: issuer.to_owned(),
            discovers: keys.is_none(),
            reach: Reach {
                // Whoever names a loopback address means it.
                private: allow_private || is_loopback(&url),
            },
            url,
            proxy,
        })
    }

    /// Asks for the keys.
    ///
    /// # Errors
    /// There is no good answer, in words that are for the service's log.
    pub fn ask(&self) -> Result<KeySet, String> {
        if !self.discovers {
            return KeySet::read(&self.get(&self.url)?);
        }
        let found = self.get(&self.url)?;
        let found: Discovery = serde_json::from_slice(&found).map_err(|_| {
            format!(
                "{} is no discovery document: it wants `issuer` and `jwks_uri`",
                self.url
            )
        })?;
        if found.issuer != self.issuer {
            return Err(format!("{} is of another issuer than the configured one", self.url));
        }
        let keys = parse(&found.jwks_uri)?;
        if keys.host() != self.url.host() {
            return Err(format!(
                "{} names keys on another host ({}): configure that as `jwks_url` if it is right",
                self.url,
                keys.host_str().unwrap_or_default()
            ));
        }
        KeySet::read(&self.get(&keys)?)
    }

    fn get(&self, url: &Url) -> Result<Vec<u8>, String> {
        let failed = |error: &ureq::Error| match was_not_asked(error) {
            true => format!(
                "{url}: {}; `allow_private = true` lets private addresses be asked",
                in_words(error)
            ),
            false => format!("{url}: {}", in_words(error)),
        };
        let agent = client(self.reach, TIMEOUT, self.proxy);
        let mut answer = agent.get(url.as_str()).call().map_err(|error| failed(&error))?;
        let status = answer.status().as_u16();
        match status {
            200 => {}
            300..400 => return Err(format!("{url} redirects ({status}), and redirects are not followed")),
            _ => return Err(format!("{url} answers {status}")),
        }
        let body = answer.body_mut().with_config().limit(LARGEST).read_to_vec();
        body.map_err(|error| match error {
            ureq::Error::BodyExceedsLimit(_) => format!("{url} answers with more than {LARGEST} bytes"),
            error => failed(&error),
        })
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn parse(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|_| format!("{text:?} is no URL"))?;
    let speaks_tls = url.scheme() == "https" || (url.scheme() == "http" && is_loopback(&url));
    if !speaks_tls || url.host().is_none() {
        return Err(format!(
            "{text:?} is no https URL; http is for loopback addresses alone"
        ));
    }
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err(format!(
            "the URL on {} has credentials or a fragment",
            url.host_str().unwrap_or_default()
        ));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn issuers_speak_tls_unless_they_are_on_this_machine() {
        for good in [
            "https://a.example",
            "https://a.example/tenant/",
            "http://127.0.0.1:1",
            "http://[::1]:1",
            "http://localhost",
        ] {
            Source::new(good, None, false, false).expect(good);
        }
        for bad in [
            "http://a.example",
            "http://127.0.0.1.a.example",
            "file:///etc/passwd",
            "a.example",
            "https://u:p@a.example",
            "https://a.example?x=y",
        ] {
            Source::new(bad, None, false, false).expect_err(bad);
            Source::new(
                "https://a.example",
                Some(bad).filter(|bad| !bad.contains('?')).or(Some("x")),
                false,
                false,
            )
            .expect_err(bad);
        }
        let source = Source::new("https://a.example/t/", None, false, false).unwrap();
        assert_eq!(
            source.url.as_str(),
            "https://a.example/t/.well-known/openid-configuration"
        );
        assert!(!source.reach.private);
        assert!(Source::new("http://[::1]:1", None, false, false).unwrap().reach.private);
    }
}
