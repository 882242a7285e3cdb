//! The service's own certificate, read again when its files change: it is renewed without a restart, and one that is
//! broken takes nothing from who asks.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rollback_engine::error::{EngineError, Result};
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, ServerConfig};
use tokio_rustls::TlsAcceptor;
use x509_cert::der::Decode;

/// How often the files are looked at.
const INTERVAL: Duration = Duration::from_secs(5);
/// So long before its end a certificate is worth a warning.
const SOON: SignedDuration = SignedDuration::from_hours(7 * 24);

/// The files of a certificate chain and its key, both PEM.
#[derive(Clone, Debug)]
pub struct Files {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// What connections are encrypted with.
pub struct Tls {
    files: Files,
    current: Arc<Current>,
    /// The bytes that were looked at last, good or not: each is complained of once.
    seen: Mutex<[Vec<u8>; 2]>,
    acceptor: TlsAcceptor,
}

/// The certificate that is shown now.
#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

impl Tls {
    /// Reads the files. What is doubtful about the certificate and no reason not to start, such as that it has expired,
    /// is logged.
    ///
    /// # Errors
    /// A file cannot be read, is no PEM of what it should be, or the key is not the certificate's.
    pub fn open(files: Files) -> Result<Tls> {
        let bytes = files.read()?;
        let certified = files.parse(&bytes)?;
        let current = Arc::new(Current(RwLock::new(Arc::new(certified))));
        let provider = Arc::new(ring::default_provider());
        let mut settings = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| EngineError::failed(format!("TLS cannot be set up: {error}")))?
            .with_no_client_auth()
            .with_cert_resolver(current.clone());
        settings.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Tls {
            files,
            current,
            seen: Mutex::new(bytes),
            acceptor: TlsAcceptor::from(Arc::new(settings)),
        })
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        self.acceptor.clone()
    }

    /// Looks at the files now and then, for as long as the future is polled.
    pub(crate) async fn follow(self: Arc<Self>) {
        loop {
            tokio::time::sleep(INTERVAL).await;
            let own = self.clone();
            let _ = tokio::task::spawn_blocking(move || own.look()).await;
        }
    }

    /// Takes up what the files hold where it is something new and good.
    fn look(&self) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        // One file may be there and the other about to be: the next look tells.
        let bytes = match self.files.read() {
            Ok(bytes) => bytes,
            Err(error) => {
                if seen.iter().any(|bytes| !bytes.is_empty()) {
                    tracing::error!(%error, "the certificate cannot be read again; the one that was read before stays");
                    *seen = Default::default();
                }
                return;
            }
        };
        if *seen == bytes {
            return;
        }
        match self.files.parse(&bytes) {
            Ok(certified) => {
                *self.current.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(certified);
                tracing::warn!(file = %self.files.certificate.display(), "a new certificate is shown from now on");
            }
            Err(error) => tracing::error!(%error, "the new certificate is not taken; the one before stays"),
        }
        *seen = bytes;
    }
}

impl Files {
    fn read(&self) -> Result<[Vec<u8>; 2]> {
        let read = |path: &Path, what: &str| {
            std::fs::read(path).map_err(|error| {
                EngineError::usage(format!("the {what} {} cannot be read: {error}", path.display()))
                    .hint("--tls-certificate and --tls-key, or [tls] of infra-rollback.toml, name PEM files")
            })
        };
        Ok([read(&self.certificate, "TLS certificate")?, read(&self.key, "TLS key")?])
    }

    fn parse(&self, [certificate, key]: &[Vec<u8>; 2]) -> Result<CertifiedKey> {
        let (of_certificate, of_key) = (self.certificate.display(), self.key.display());
        let chain: std::result::Result<Vec<CertificateDer<'static>>, pem::Error> =
            CertificateDer::pem_slice_iter(certificate).collect();
        let chain = chain.map_err(|error| EngineError::usage(format!("{of_certificate} is no PEM: {error}")))?;
        let Some(first) = chain.first() else {
            return Err(EngineError::usage(format!("{of_certificate} has no certificate in it"))
                .hint("it begins with -----BEGIN CERTIFICATE-----: the service's own first, then those that lead to the root"));
        };
        let period = Period::of(first)
            .ok_or_else(|| EngineError::usage(format!("the first certificate in {of_certificate} is damaged")))?;
        // Nothing of the key may get into words.
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| {
            EngineError::usage(format!("{of_key} has no private key in it that can be read"))
                .hint("an unencrypted one in PEM: -----BEGIN PRIVATE KEY-----")
        })?;
        let certified = CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(|error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => EngineError::usage(format!(
                "the key in {of_key} is not that of the certificate in {of_certificate}"
            ))
            .hint("compare `openssl x509 -in CERTIFICATE -noout -pubkey` with `openssl pkey -in KEY -pubout`"),
            error => EngineError::usage(format!("{of_certificate} and {of_key} cannot be used: {error}"))
                .hint("keys may be RSA of 2048 bits and more, ECDSA on P-256 or P-384, or Ed25519"),
        })?;
        if let Some(doubt) = period.doubt(Timestamp::now()) {
            tracing::warn!(file = %of_certificate, "the TLS certificate {doubt}: clients will refuse it");
        }
        Ok(certified)
    }
}

/// When a certificate is good.
struct Period {
    from: Timestamp,
    until: Timestamp,
}

impl Period {
    fn of(certificate: &CertificateDer<'_>) -> Option<Period> {
        let validity = x509_cert::Certificate::from_der(certificate)
            .ok()?
            .tbs_certificate
            .validity;
        let time = |time: x509_cert::time::Time| {
            let seconds = i64::try_from(time.to_unix_duration().as_secs()).ok()?;
            Timestamp::from_second(seconds).ok()
        };
        Some(Period {
            from: time(validity.not_before)?,
            until: time(validity.not_after)?,
        })
    }

    fn doubt(&self, now: Timestamp) -> Option<String> {
        if self.until <= now {
            return Some(format!("has expired {}", self.until));
        }
        if self.from > now {
            return Some(format!("is not good before {}", self.from));
        }
        (self.until.duration_since(now) < SOON).then(|| format!("expires {}, and after that", self.until))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_doubtful_before_and_after_it_is_good_and_near_its_end() {
        let time = |text: &str| text.parse::<Timestamp>().unwrap();
        let period = Period {
            from: time("2026-01-01T00:00:00Z"),
            until: time("2026-03-01T00:00:00Z"),
        };
        let doubt = |text: &str| period.doubt(time(text)).unwrap_or_default();
        assert_eq!(doubt("2026-02-01T00:00:00Z"), "");
        assert!(doubt("2025-12-31T00:00:00Z").contains("not good before"));
        assert!(doubt("2026-02-25T00:00:00Z").contains("expires"));
        assert!(doubt("2026-03-01T00:00:00Z").contains("has expired"));
    }
}
