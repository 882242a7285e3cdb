//! `smtp`: mail, by the server of one's own.

use std::time::Duration;

use lettre::message::header::ContentType;
use lettre::message::{Attachment, Mailbox, MultiPart, SinglePart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{SmtpTransport, Transport};
use rollback_config::project::StepTable;
use serde::Deserialize;

use super::{Channel, Message, error, made, secret};
use crate::outbound::Reach;
use crate::settings::{Common, Made, read};
use crate::step::StepError;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    host: String,
    port: Option<u16>,
    #[serde(default)]
    tls: Encryption,
    from: String,
    to: Vec<String>,
    username: Option<String>,
    password_environment: Option<String>,
    #[serde(default = "yes")]
    allow_private: bool,
}

fn yes() -> bool {
    true
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Encryption {
    /// Begun in the clear; without an encrypted connection nothing is sent.
    #[default]
    StartTls,
    /// From the first byte on.
    Tls,
    /// In the clear: for a server on this machine.
    None,
}

impl Encryption {
    /// RFC 6409, RFC 8314.
    fn usual_port(self) -> u16 {
        match self {
            Encryption::StartTls => 587,
            Encryption::Tls => 465,
            Encryption::None => 25,
        }
    }
}

const TIMEOUT: Duration = Duration::from_secs(15);

struct Smtp {
    settings: Settings,
    from: Mailbox,
    to: Vec<Mailbox>,
    timeout: Duration,
}

pub(super) fn of_table(table: &StepTable) -> Made<dyn Channel> {
    let (common, own): (Common, Settings) = read("notify", table)?;
    let mailbox = |text: &String| {
        text.parse::<Mailbox>()
            .map_err(|_| error(table, format!("{text:?} is no address of mail")))
    };
    if own.to.is_empty() {
        return Err(error(table, "`to` is empty"));
    }
    if own.username.is_some() != own.password_environment.is_some() {
        return Err(error(table, "`username` and `password_environment` go together"));
    }
    if own.tls == Encryption::None && own.username.is_some() {
        return Err(error(
            table,
            "a password is not sent in the clear: choose tls = \"starttls\" or \"tls\"",
        ));
    }
    let smtp = Smtp {
        from: mailbox(&own.from)?,
        to: own.to.iter().map(mailbox).collect::<Result<_, _>>()?,
        timeout: common.timeout.unwrap_or(TIMEOUT),
        settings: own,
    };
    made(common, smtp)
}

impl Smtp {
    fn transport(&self) -> Result<SmtpTransport, StepError> {
        let own = &self.settings;
        let port = own.port.unwrap_or(own.tls.usual_port());
        let reach = Reach {
            private: own.allow_private,
        };
        // By the address that was looked at; the name is for the certificate.
        let addresses = reach.resolve(&own.host, port).map_err(StepError::untouched)?;
        let address = addresses
            .first()
            .ok_or_else(|| StepError::untouched(format!("{} has no address", own.host)))?;
        let parameters = || {
            TlsParameters::new(own.host.clone())
                .map_err(|error| StepError::untouched(format!("TLS cannot be set up: {error}")))
        };
        let tls = match own.tls {
            Encryption::StartTls => Tls::Required(parameters()?),
            Encryption::Tls => Tls::Wrapper(parameters()?),
            Encryption::None => Tls::None,
        };
        let mut builder = SmtpTransport::builder_dangerous(address.ip().to_string())
            .port(port)
            .tls(tls)
            .hello_name(ClientId::default())
            .timeout(Some(self.timeout));
        if let (Some(user), Some(variable)) = (&own.username, &own.password_environment) {
            builder = builder.credentials(Credentials::new(user.clone(), secret(variable)?));
        }
        Ok(builder.build())
    }

    fn mail(&self, message: &Message) -> Result<lettre::Message, StepError> {
        let wrong =
            |error: &dyn std::fmt::Display| StepError::untouched(format!("the mail cannot be written: {error}"));
        let mut mail = lettre::Message::builder()
            .from(self.from.clone())
            .subject(&message.subject)
            .message_id(Some(format!("<{}@infra-rollback>", message.id)));
        for to in &self.to {
            mail = mail.to(to.clone());
        }
        let text = SinglePart::plain(message.text.clone());
        let mail = match &message.invitation {
            None => mail.singlepart(text),
            Some(invitation) => {
                let kind = ContentType::parse("text/calendar; charset=utf-8").map_err(|error| wrong(&error))?;
                let attachment = Attachment::new("post-mortem.ics".to_owned()).body(invitation.clone(), kind);
                mail.multipart(MultiPart::mixed().singlepart(text).singlepart(attachment))
            }
        };
        mail.map_err(|error| wrong(&error))
    }
}

impl Channel for Smtp {
    fn needs(&self) -> Vec<&str> {
        self.settings.password_environment.as_deref().into_iter().collect()
    }

    fn send(&self, message: &Message) -> Result<(), StepError> {
        let mail = self.mail(message)?;
        let host = &self.settings.host;
        match self.transport()?.send(&mail) {
            Ok(answer) if answer.is_positive() => Ok(()),
            Ok(answer) => Err(StepError::touched(format!("{host} did not take it: {}", answer.code()))),
            Err(error) => Err(StepError::touched(format!("{host}: {error}"))),
        }
    }
}
