//! Settings of the `http` backend, from its block and from `TF_HTTP_*` (terraform 1.5 to 1.15).

use std::time::Duration;

use serde_json::Value;
use ureq::Agent;
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};

use crate::backend::BackendConfig;
use crate::error::TerraformError;

/// The longest that one answer may take: a state of 512 MB at 10 MB/s, and then some.
const ANSWER: Duration = Duration::from_secs(120);

/// What a client needs. It holds a password: no `Debug`.
pub struct HttpSettings {
    pub address: String,
    pub update_method: String,
    pub lock_address: Option<String>,
    pub lock_method: String,
    pub unlock_address: Option<String>,
    pub unlock_method: String,
    pub username: String,
    pub password: String,
    /// Attempts beside the first one.
    pub retries: u32,
    pub shortest_wait: Duration,
    pub longest_wait: Duration,
    pub agent: Agent,
}

impl HttpSettings {
    /// # Errors
    /// [`TerraformError::Backend`]: no address, or certificates that cannot be read.
    pub fn read(config: &BackendConfig) -> Result<HttpSettings, TerraformError> {
        let text = |name: &str| setting(config, name);
        let address = text("address").ok_or_else(|| wrong("it has no address"))?;
        for address in [
            Some(&address),
            text("lock_address").as_ref(),
            text("unlock_address").as_ref(),
        ] {
            if address.is_some_and(|address| !address.starts_with("http://") && !address.starts_with("https://")) {
                return Err(wrong("an address is neither http:// nor https://"));
            }
        }
        let number = |name: &str, default: u32| text(name).and_then(|text| text.parse().ok()).unwrap_or(default);
        Ok(HttpSettings {
            address,
            update_method: text("update_method").unwrap_or_else(|| "POST".into()),
            lock_address: text("lock_address"),
            lock_method: text("lock_method").unwrap_or_else(|| "LOCK".into()),
            unlock_address: text("unlock_address"),
            unlock_method: text("unlock_method").unwrap_or_else(|| "UNLOCK".into()),
            username: text("username").unwrap_or_default(),
            password: text("password").unwrap_or_default(),
            retries: number("retry_max", 2),
            shortest_wait: Duration::from_secs(number("retry_wait_min", 1).into()),
            longest_wait: Duration::from_secs(number("retry_wait_max", 30).into()),
            agent: agent(config)?,
        })
    }
}

/// The block's, else the environment's.
fn setting(config: &BackendConfig, name: &str) -> Option<String> {
    match config.config.get(name) {
        Some(Value::String(text)) if !text.is_empty() => Some(text.clone()),
        Some(Value::Number(number)) => Some(number.to_string()),
        _ => std::env::var(format!("TF_HTTP_{}", name.to_ascii_uppercase()))
            .ok()
            .filter(|text| !text.is_empty()),
    }
}

fn wrong(message: &str) -> TerraformError {
    TerraformError::Backend {
        action: "use",
        place: "the http backend".into(),
        message: message.into(),
        hint: Some("look at the backend block and at the TF_HTTP_* variables".into()),
    }
}

fn agent(config: &BackendConfig) -> Result<Agent, TerraformError> {
    let unverified = matches!(config.config.get("skip_cert_verification"), Some(Value::Bool(true)))
        || config.string("skip_cert_verification") == Some("true");
    let roots = match setting(config, "client_ca_certificate_pem") {
        Some(pem) => certificates(&pem)?,
        // Those of the system, as terraform has it.
        None => rustls_native_certs::load_native_certs()
            .certs
            .into_iter()
            .map(|certificate| Certificate::from_der(&certificate).to_owned())
            .collect(),
    };
    let mut tls = TlsConfig::builder()
        .root_certs(RootCerts::new_with_certs(&roots))
        .disable_verification(unverified);
    match (
        setting(config, "client_certificate_pem"),
        setting(config, "client_private_key_pem"),
    ) {
        (Some(certificate), Some(key)) => {
            let key = PrivateKey::from_pem(key.as_bytes())
                .map_err(|_| wrong("client_private_key_pem is no private key in PEM"))?;
            tls = tls.client_cert(Some(ClientCert::new_with_certs(&certificates(&certificate)?, key)));
        }
        (None, None) => {}
        _ => {
            return Err(wrong(
                "client_certificate_pem and client_private_key_pem belong together",
            ));
        }
    }
    let agent = Agent::config_builder()
        .tls_config(tls.build())
        .http_status_as_error(false)
        // WebDAV's LOCK and UNLOCK, and whatever a server likes better.
        .allow_non_standard_methods(true)
        .user_agent(concat!("infra-rollback/", env!("CARGO_PKG_VERSION")))
        .timeout_connect(Some(Duration::from_secs(10)))
        .timeout_global(Some(ANSWER))
        .build()
        .new_agent();
    Ok(agent)
}

fn certificates(pem: &str) -> Result<Vec<Certificate<'static>>, TerraformError> {
    let found: Vec<_> = parse_pem(pem.as_bytes())
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if found.is_empty() {
        return Err(wrong("there is no certificate in PEM where one should be"));
    }
    Ok(found)
}
