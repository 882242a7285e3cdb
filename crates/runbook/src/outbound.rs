//! Requests that leave this machine because a configuration says so: names are resolved here, and what they resolve to is
//! looked at before anything is sent. What answers under a cloud's metadata address gives credentials away, so it is never
//! asked, whatever the configuration says.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::sync::LazyLock;
use std::time::Duration;

use ureq::config::Config;
use ureq::http::Uri;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, Proxy};
use url::Url;

/// Where requests may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// Loopback, private and shared (RFC 1918, 4193, 6598) addresses, too.
    pub private: bool,
}

/// Why an address is not asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Forbidden {
    #[error("it is an address of the machine's own network link, where clouds give credentials away")]
    LinkLocal,
    #[error("it is where a cloud answers for its metadata and credentials")]
    Metadata,
    #[error("it is a private address, and `allow_private = false` is configured")]
    Private,
    #[error("it is no address of one machine")]
    Nowhere,
}

/// Where clouds answer outside of the link-local range: Alibaba, Oracle, Azure.
const METADATA_V4: &[Ipv4Addr] = &[
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(192, 0, 0, 192),
    Ipv4Addr::new(168, 63, 129, 16),
];
/// AWS (IMDS, ECS-like agents on EKS) and Google.
const METADATA_V6: &[Ipv6Addr] = &[
    Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x23),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
];

impl Reach {
    /// Whether this address may be asked. An IPv4 address that an IPv6 one stands for counts as itself.
    ///
    /// # Errors
    /// Why not.
    pub fn check(self, address: IpAddr) -> Result<(), Forbidden> {
        match address {
            IpAddr::V4(address) => self.check_v4(address),
            IpAddr::V6(address) => match embedded_v4(address) {
                Some(address) => self.check_v4(address),
                None => self.check_v6(address),
            },
        }
    }

    fn check_v4(self, address: Ipv4Addr) -> Result<(), Forbidden> {
        let [a, b, ..] = address.octets();
        if METADATA_V4.contains(&address) {
            return Err(Forbidden::Metadata);
        }
        if address.is_link_local() {
            return Err(Forbidden::LinkLocal);
        }
        if a == 0 || a >= 224 {
            return Err(Forbidden::Nowhere);
        }
        let shared = a == 100 && (64..128).contains(&b);
        self.private(address.is_private() || address.is_loopback() || shared)
    }

    fn check_v6(self, address: Ipv6Addr) -> Result<(), Forbidden> {
        if METADATA_V6.contains(&address) {
            return Err(Forbidden::Metadata);
        }
        if address.is_unicast_link_local() {
            return Err(Forbidden::LinkLocal);
        }
        if address.is_unspecified() || address.is_multicast() {
            return Err(Forbidden::Nowhere);
        }
        self.private(address.is_loopback() || address.is_unique_local())
    }

    fn private(self, is_private: bool) -> Result<(), Forbidden> {
        match is_private && !self.private {
            true => Err(Forbidden::Private),
            false => Ok(()),
        }
    }

    /// The addresses of a name, all of which may be asked: one that may not is no matter of which comes first.
    ///
    /// # Errors
    /// The name is not known, or stands for an address that may not be asked.
    pub fn resolve(self, host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let found: Vec<SocketAddr> = (host, port)
            .to_socket_addrs()
            .map_err(|error| format!("{host} cannot be resolved: {error}"))?
            .collect();
        if found.is_empty() {
            return Err(format!("{host} has no address"));
        }
        for address in &found {
            self.check(address.ip())
                .map_err(|why| format!("{host} is not asked ({}): {why}", address.ip()))?;
        }
        Ok(found)
    }
}

/// The IPv4 address that is meant: mapped (RFC 4291), NAT64 (RFC 6052), 6to4 (RFC 3056).
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let parts = address.segments();
    let join = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match parts {
        [0, 0, 0, 0, 0, 0xffff, high, low] => Some(join(high, low)),
        // `::1` and `::` are addresses of their own, not IPv4 ones in the form that RFC 4291 gave up.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0, high, low] => Some(join(high, low)),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(join(high, low)),
        [0x2002, high, low, ..] => Some(join(high, low)),
        _ => None,
    }
}

#[derive(Debug)]
struct Guarded {
    reach: Reach,
    resolver: DefaultResolver,
}

/// What [`Guarded`] refused comes out of the client as an I/O error with this in it.
#[derive(Debug, thiserror::Error)]
#[error("{address} is not asked: {why}")]
struct NotAsked {
    address: IpAddr,
    why: Forbidden,
}

impl Resolver for Guarded {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let found = self.resolver.resolve(uri, config, timeout)?;
        for address in found.iter() {
            self.reach.check(address.ip()).map_err(|why| {
                ureq::Error::Io(std::io::Error::other(NotAsked {
                    address: address.ip(),
                    why,
                }))
            })?;
        }
        Ok(found)
    }
}

/// The certificates that this system trusts; reading them takes a moment.
static ROOTS: LazyLock<RootCerts> = LazyLock::new(|| {
    let certificates: Vec<Certificate<'static>> = rustls_native_certs::load_native_certs()
        .certs
        .into_iter()
        .map(|certificate| Certificate::from_der(&certificate).to_owned())
        .collect();
    RootCerts::new_with_certs(&certificates)
});

/// A client that asks no address it should not, follows no redirect by itself, and takes every status for an answer.
///
/// With `proxy` the one that the environment names is used; it resolves names itself, so that only what is written as an
/// address can be looked at here.
pub fn client(reach: Reach, timeout: Duration, proxy: bool) -> Agent {
    let config = Agent::config_builder()
        .timeout_global(Some(timeout))
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(if proxy { Proxy::try_from_env() } else { None })
        .user_agent(concat!("infra-rollback/", env!("CARGO_PKG_VERSION")))
        .tls_config(TlsConfig::builder().root_certs(ROOTS.clone()).build())
        .allow_non_standard_methods(true)
        .build();
    let guarded = Guarded {
        reach,
        resolver: DefaultResolver::default(),
    };
    Agent::with_parts(config, DefaultConnector::default(), guarded)
}

/// Whether the client did not ask because of where the address is.
pub fn was_not_asked(error: &ureq::Error) -> bool {
    matches!(error, ureq::Error::Io(error) if error.get_ref().is_some_and(|inner| inner.is::<NotAsked>()))
}

/// What went wrong, in words that hold no address, header or value.
pub fn in_words(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Timeout(_) => "no answer in time".to_owned(),
        ureq::Error::HostNotFound => "its name cannot be resolved".to_owned(),
        ureq::Error::ConnectionFailed => "nobody answers there".to_owned(),
        ureq::Error::Io(error) => match error.kind() {
            std::io::ErrorKind::ConnectionRefused => "nobody listens there (connection refused)".to_owned(),
            std::io::ErrorKind::ConnectionReset => "the connection was cut off".to_owned(),
            _ => error.to_string(),
        },
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => "the request cannot be made of what is configured".to_owned(),
        error => error.to_string(),
    }
}

/// A URL for people: no user, no password, no value of the query.
pub fn shown(url: &Url) -> String {
    let mut shown = url.clone();
    let _ = shown.set_username("");
    let _ = shown.set_password(None);
    shown.set_fragment(None);
    let names: Vec<String> = url.query_pairs().map(|(name, _)| format!("{name}=…")).collect();
    shown.set_query(None);
    match names.is_empty() {
        true => shown.to_string(),
        false => format!("{shown}?{}", names.join("&")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERYWHERE: Reach = Reach { private: true };
    const PUBLIC: Reach = Reach { private: false };

    fn check(reach: Reach, text: &str) -> Result<(), Forbidden> {
        reach.check(text.parse().unwrap())
    }

    #[test]
    fn metadata_is_never_asked_in_whatever_form_it_is_written() {
        for text in [
            "169.254.169.254",
            "169.254.170.2",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
            "::ffff:169.254.169.254",
            "::ffff:a9fe:a9fe",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
            "::169.254.169.254",
            "fd00:ec2::254",
            "fd20:ce::254",
            "fe80::1",
            "0.0.0.0",
            "::",
            "224.0.0.1",
            "255.255.255.255",
            "ff02::1",
        ] {
            assert!(check(EVERYWHERE, text).is_err(), "{text}");
        }
    }

    #[test]
    fn private_addresses_need_leave() {
        for text in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "::1",
            "fc00::1",
            "::ffff:10.0.0.1",
        ] {
            assert_eq!(check(EVERYWHERE, text), Ok(()), "{text}");
            assert_eq!(check(PUBLIC, text), Err(Forbidden::Private), "{text}");
        }
        for text in ["8.8.8.8", "2606:4700::1111"] {
            assert_eq!(check(PUBLIC, text), Ok(()), "{text}");
        }
    }

    #[test]
    fn what_is_shown_of_a_url_has_no_secret() {
        let url = Url::parse("https://user:hunter2@example.com/a?token=s3cr3t&b=c#d").unwrap();
        assert_eq!(shown(&url), "https://example.com/a?token=…&b=…");
    }
}
