//! Whose certificates are believed, and what it means when one is not.

use std::path::Path;

use rollback_engine::error::{EngineError, Result};
use rustls::CertificateError;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

/// Trust in the certificates of a file, or in those of the system (SSL_CERT_FILE and SSL_CERT_DIR name others).
///
/// # Errors
/// The file cannot be read, or has no certificate in it.
pub fn config(file: Option<&Path>) -> Result<TlsConfig> {
    let roots = match file {
        Some(file) => of_file(file)?,
        None => rustls_native_certs::load_native_certs()
            .certs
            .into_iter()
            .map(|certificate| Certificate::from_der(&certificate).to_owned())
            .collect(),
    };
    Ok(TlsConfig::builder()
        .root_certs(RootCerts::new_with_certs(&roots))
        .build())
}

fn of_file(file: &Path) -> Result<Vec<Certificate<'static>>> {
    let wrong = |why: String| {
        EngineError::usage(format!("--server-ca {}: {why}", file.display()))
            .hint("give the authority's certificate in PEM: it begins with -----BEGIN CERTIFICATE-----")
    };
    let bytes = std::fs::read(file).map_err(|error| wrong(format!("it cannot be read: {error}")))?;
    let mut found = Vec::new();
    for item in parse_pem(&bytes) {
        match item.map_err(|_| wrong("it is no PEM".to_owned()))? {
            PemItem::Certificate(certificate) => found.push(certificate),
            _ => {
                return Err(wrong(
                    "it holds something else than certificates, such as a key".to_owned(),
                ));
            }
        }
    }
    match found.is_empty() {
        true => Err(wrong("there is no certificate in it".to_owned())),
        false => Ok(found),
    }
}

/// What is wrong with a connection that came to nothing over TLS, and what helps; none where that is not why.
pub fn explain(error: &ureq::Error) -> Option<(&'static str, &'static str)> {
    let error = match error {
        ureq::Error::Rustls(error) => error,
        ureq::Error::Io(error) => error.get_ref()?.downcast_ref::<rustls::Error>()?,
        _ => return None,
    };
    Some(match error {
        rustls::Error::InvalidCertificate(why) => match why {
            CertificateError::UnknownIssuer => (
                "its certificate is of an authority that is not trusted here",
                "for a private authority give its certificate: --server-ca FILE, INFRA_ROLLBACK_SERVER_CA or SSL_CERT_FILE",
            ),
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => (
                "its certificate is for another name than that of the URL",
                "give --server the name that the certificate has, or the service a certificate for this one",
            ),
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => (
                "its certificate has expired",
                "whoever runs the service renews it; the service reads it again by itself",
            ),
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => (
                "its certificate is not good yet",
                "compare this machine's clock with the service's",
            ),
            _ => (
                "its certificate cannot be trusted",
                "look at it: openssl s_client -connect HOST:PORT -showcerts",
            ),
        },
        rustls::Error::InvalidMessage(_) => (
            "it does not speak TLS there",
            "check the port, and whether the URL of --server should begin with http://",
        ),
        rustls::Error::AlertReceived(_) | rustls::Error::PeerIncompatible(_) => (
            "the two find no TLS that both speak",
            "it takes TLS 1.2 or 1.3; a proxy in front of the service may be an old one",
        ),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_certificates_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        for (text, why) in [
            ("", "no certificate"),
            ("hello", "no certificate"),
            ("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n", "no PEM"),
        ] {
            std::fs::write(&file, text).unwrap();
            let error = config(Some(&file)).unwrap_err();
            assert!(error.message.contains(why), "{text:?}: {}", error.message);
        }
        assert!(
            config(Some(&folder.path().join("other")))
                .unwrap_err()
                .message
                .contains("cannot be read")
        );
    }
}
