//! `postgres`: connects as a client does and asks a query that only reads, the runbook's `SELECT 1`.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use postgres::config::SslMode;
use postgres::{Config, NoTls, SimpleQueryMessage};
use rollback_config::project::StepTable;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use serde::Deserialize;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::passfile::{self, Account};
use super::{error, made, passfile::password};
use crate::check::{Check, Verdict};
use crate::outbound::Reach;
use crate::settings::{Common, Made, read};
use crate::step::StepError;

/// The values of `host`, `user`, `dbname` may be `$NAME`: what that environment variable holds.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    host: String,
    #[serde(default = "usual_port")]
    port: u16,
    user: String,
    dbname: Option<String>,
    #[serde(default = "usual_query")]
    query: String,
    /// What the first column of the first row has to be.
    expect: Option<toml::Value>,
    /// Where the password is; without it PGPASSFILE or ~/.pgpass is looked into.
    #[serde(default = "usual_password")]
    password_environment: String,
    sslmode: Option<Tls>,
    /// Certificates in PEM that are trusted instead of the system's.
    ca_file: Option<PathBuf>,
    #[serde(default = "yes")]
    allow_private: bool,
}

/// With `require` the server's certificate is verified as with `verify-full`: what nobody verifies protects nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Tls {
    Disable,
    Require,
    VerifyFull,
}

fn usual_port() -> u16 {
    5432
}

fn usual_query() -> String {
    "SELECT 1".to_owned()
}

fn usual_password() -> String {
    "PGPASSWORD".to_owned()
}

fn yes() -> bool {
    true
}

const TIMEOUT: Duration = Duration::from_secs(10);

pub(super) struct Postgres {
    settings: Settings,
    expect: Option<String>,
    timeout: Duration,
}

pub(super) fn of_table(table: &StepTable, root: &Path) -> Made<dyn Check> {
    let (common, mut settings): (Common, Settings) = read("check", table)?;
    settings.ca_file = settings.ca_file.map(|file| root.join(file));
    let expect = match &settings.expect {
        None => None,
        Some(toml::Value::String(text)) => Some(text.clone()),
        // As PostgreSQL writes them.
        Some(toml::Value::Boolean(yes)) => Some(if *yes { "t" } else { "f" }.to_owned()),
        Some(number @ (toml::Value::Integer(_) | toml::Value::Float(_))) => Some(number.to_string()),
        Some(_) => return Err(error(table, "`expect` must be a text, a number, true or false")),
    };
    let check = Postgres {
        settings,
        expect,
        timeout: common.timeout.unwrap_or(TIMEOUT),
    };
    made(common, check)
}

/// `$NAME` is what the environment holds under that name.
fn resolved(text: &str) -> Result<String, StepError> {
    match text.strip_prefix('$') {
        None => Ok(text.to_owned()),
        Some(name) => std::env::var(name)
            .ok()
            .filter(|value| !value.is_empty())
            .ok_or_else(|| {
                StepError::untouched(format!("${name} is not set"))
                    .hint(format!("set {name} where infra-rollback runs"))
            }),
    }
}

/// Everything that a connection takes.
struct Connection {
    config: Config,
    /// `None`: in the clear.
    tls: Option<MakeRustlsConnect>,
    shown: String,
}

impl Postgres {
    fn connection(&self) -> Result<Connection, StepError> {
        let own = &self.settings;
        let host = resolved(&own.host)?;
        let user = resolved(&own.user)?;
        let database = own.dbname.as_deref().map_or_else(|| Ok(user.clone()), resolved)?;
        let mut config = Config::new();
        config
            .user(&user)
            .dbname(&database)
            .port(own.port)
            .application_name("infra-rollback")
            .connect_timeout(self.timeout);
        let local = if host.starts_with('/') {
            config.host_path(&host);
            true
        } else {
            let reach = Reach {
                private: own.allow_private,
            };
            let found = reach.resolve(&host, own.port).map_err(StepError::untouched)?;
            for address in &found {
                // The name for the certificate, the address that was looked at for the connection.
                config.host(&host).hostaddr(address.ip());
            }
            found.iter().all(|address| IpAddr::is_loopback(&address.ip()))
        };
        let account = Account {
            host: &host,
            port: own.port,
            database: &database,
            user: &user,
        };
        let given = std::env::var(&own.password_environment)
            .ok()
            .filter(|password| !password.is_empty());
        let found = match given {
            Some(password) => Some(password),
            None => match passfile::path() {
                Some(path) => password(&path, &account).map_err(StepError::untouched)?,
                None => None,
            },
        };
        if let Some(found) = found {
            config.password(found);
        }
        let encrypted = match own.sslmode {
            Some(mode) => mode != Tls::Disable,
            None => !local,
        };
        config.ssl_mode(if encrypted { SslMode::Require } else { SslMode::Disable });
        Ok(Connection {
            config,
            tls: encrypted.then(|| self.tls()).transpose()?,
            shown: format!("{user}@{host}:{}/{database}", own.port),
        })
    }

    fn tls(&self) -> Result<MakeRustlsConnect, StepError> {
        let mut roots = RootCertStore::empty();
        match &self.settings.ca_file {
            Some(path) => {
                let wrong = |error: &dyn std::fmt::Display| {
                    StepError::untouched(format!("{} cannot be used as `ca_file`: {error}", path.display()))
                };
                for certificate in CertificateDer::pem_file_iter(path).map_err(|error| wrong(&error))? {
                    roots
                        .add(certificate.map_err(|error| wrong(&error))?)
                        .map_err(|error| wrong(&error))?;
                }
            }
            None => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| StepError::untouched(format!("TLS cannot be set up: {error}")))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(MakeRustlsConnect::new(config))
    }
}

impl Check for Postgres {
    fn ask(&self, _: Timestamp) -> Result<Verdict, StepError> {
        let connection = self.connection()?;
        let shown = connection.shown.clone();
        let query = self.settings.query.clone();
        let timeout = self.timeout;
        let (sender, receiver) = mpsc::channel();
        // A server that accepts and then says nothing would hold us for ever: the client has no deadline of its own for
        // that, so that it waits in a thread that is left behind.
        std::thread::spawn(move || {
            let begun = Instant::now();
            let _ = sender.send(first_value(&connection, &query, timeout).map(|value| (value, begun.elapsed())));
        });
        let verdict = match receiver.recv_timeout(timeout + Duration::from_millis(500)) {
            Err(_) => Verdict::failed(format!("no answer in {} s", timeout.as_secs_f64())),
            Ok(Err(why)) => Verdict::failed(why),
            Ok(Ok((value, took))) => match (&self.expect, value) {
                (Some(expected), Some(found)) if found != *expected => Verdict::failed(format!(
                    "the query gave {}, expected `{expected}`",
                    match found.chars().count() <= 60 {
                        true => format!("`{found}`"),
                        false => "another text".to_owned(),
                    }
                )),
                (Some(expected), None) => Verdict::failed(format!("the query gave nothing, expected `{expected}`")),
                (None, _) | (Some(_), Some(_)) => Verdict::passed(format!("answered in {} ms", took.as_millis())),
            },
        };
        Ok(Verdict {
            summary: format!("{shown}: {}", verdict.summary),
            ..verdict
        })
    }
}

/// The first column of the first row; `None` where there is none, or it is null. It cannot write: its transaction is
/// read-only, and is given up.
fn first_value(connection: &Connection, query: &str, timeout: Duration) -> Result<Option<String>, String> {
    let client = match &connection.tls {
        Some(tls) => connection.config.connect(tls.clone()),
        None => connection.config.connect(NoTls),
    };
    let mut client = client.map_err(|error| in_words(&error))?;
    let limit = timeout.as_millis();
    client
        .batch_execute(&format!("BEGIN READ ONLY; SET LOCAL statement_timeout = {limit}"))
        .map_err(|error| in_words(&error))?;
    let answer = client.simple_query(query).map_err(|error| in_words(&error))?;
    let _ = client.batch_execute("ROLLBACK");
    Ok(answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) if !row.is_empty() => row.get(0).map(str::to_owned),
        _ => None,
    }))
}

/// What the server says, else what is below the client's own words.
fn in_words(error: &postgres::Error) -> String {
    if let Some(said) = error.as_db_error() {
        return format!("{} ({})", said.message(), said.code().code());
    }
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
