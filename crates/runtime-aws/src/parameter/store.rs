//! Parameter Store: reading a version, and putting a value as the newest one.

use std::fmt;

use aws_sdk_ssm::Client;
use aws_sdk_ssm::config::Builder;
use aws_sdk_ssm::types::{ParameterStringFilter, ParameterTier, ParameterType};
use rollback_runbook::step::StepError;
use serde::{Deserialize, Serialize};

use crate::account::Account;
use crate::failure::Call;
use crate::unanswered::{NotUnanswered, once};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    String,
    StringList,
    SecureString,
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, formatter)
    }
}

/// A version of a parameter.
#[derive(Clone)]
pub(crate) struct Parameter {
    pub kind: Kind,
    pub version: i64,
    /// Milliseconds since 1970.
    pub modified: i64,
    /// Of a SecureString a secret.
    pub value: String,
}

pub(crate) struct Store {
    pub account: Account,
}

impl Store {
    /// A version, or the newest one; `None` where there is none. Of a SecureString in the clear.
    pub(crate) fn read(&self, name: &str, version: Option<i64>) -> Result<Option<Parameter>, StepError> {
        let selected = version.map_or_else(|| name.to_owned(), |version| format!("{name}:{version}"));
        self.get(&selected, true)
    }

    /// The newest version, without what a SecureString says: who may not decrypt can still look.
    pub(crate) fn read_sealed(&self, name: &str) -> Result<Option<Parameter>, StepError> {
        self.get(name, false)
    }

    fn get(&self, name: &str, decrypt: bool) -> Result<Option<Parameter>, StepError> {
        let what = format!("read parameter {name}");
        let answer = self.account.call(&Call::looks(&what, "ssm:GetParameter"), |config| {
            Client::new(config)
                .get_parameter()
                .name(name)
                .with_decryption(decrypt)
                .send()
        });
        let found = match answer {
            Ok(answer) => answer.parameter,
            Err(refusal) if refusal.is(&["ParameterNotFound", "ParameterVersionNotFound"]) => None,
            Err(refusal) => return Err(refusal.error),
        };
        Ok(found.map(|found| Parameter {
            kind: match found.r#type {
                Some(ParameterType::SecureString) => Kind::SecureString,
                Some(ParameterType::StringList) => Kind::StringList,
                _ => Kind::String,
            },
            version: found.version,
            modified: found
                .last_modified_date
                .and_then(|at| at.to_millis().ok())
                .unwrap_or_default(),
            value: found.value.unwrap_or_default(),
        }))
    }

    /// Puts a value as the newest version and tells its number. The key that encrypts and the tier stay as they are.
    /// Where no answer comes, the newest version says whether it was put.
    pub(crate) fn write(&self, name: &str, kind: Kind, value: &str, exists: bool) -> Result<i64, StepError> {
        let (key, tier) = match exists {
            true => self.key_and_tier(name)?,
            false => (None, None),
        };
        let what = format!("put parameter {name}");
        let put = Call::changes(&what, "ssm:PutParameter");
        let put = || -> Result<i64, StepError> {
            let (key, tier) = (key.clone(), tier.clone());
            let answer = self.account.call(&put, |config| {
                Client::new(config)
                    .put_parameter()
                    .name(name)
                    .value(value)
                    .r#type(match kind {
                        Kind::String => ParameterType::String,
                        Kind::StringList => ParameterType::StringList,
                        Kind::SecureString => ParameterType::SecureString,
                    })
                    .set_key_id(key.filter(|_| kind == Kind::SecureString))
                    .set_tier(tier)
                    .overwrite(exists)
                    .customize()
                    .config_override(Builder::default().retry_classifier(NotUnanswered))
                    .send()
            })?;
            Ok(answer.version)
        };
        once(put, || {
            let there = self.read(name, None)?;
            Ok(there.filter(|there| there.value == value).map(|there| there.version))
        })
    }

    fn key_and_tier(&self, name: &str) -> Result<(Option<String>, Option<ParameterTier>), StepError> {
        let what = format!("look at parameter {name}");
        let filter = ParameterStringFilter::builder()
            .key("Name")
            .option("Equals")
            .values(name)
            .build()
            .map_err(|error| StepError::untouched(format!("cannot {what}: {error}")))?;
        let answer = self
            .account
            .call(&Call::looks(&what, "ssm:DescribeParameters"), |config| {
                Client::new(config)
                    .describe_parameters()
                    .parameter_filters(filter)
                    .send()
            })?;
        let found = answer.parameters.unwrap_or_default().into_iter().next();
        Ok(found.map_or((None, None), |found| (found.key_id, found.tier)))
    }
}
