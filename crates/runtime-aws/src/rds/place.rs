//! Where an application says which database it uses: a parameter, or a variable of a service. Only the address in it is
//! put in another's place, so that no password has to be known, told or kept.

use std::time::Duration;

use rollback_config::project::StepTable;
use rollback_runbook::SettingsError;
use rollback_runbook::step::{Progress, StepError};
use serde::Deserialize;

use crate::account::Account;
use crate::ecs::{self, Name};
use crate::parameter::Store;

/// In a table: `{ parameter = "/prod/database/host" }` or
/// `{ cluster = "prod", service = "backend", container = "app", variable = "DATABASE_HOST" }`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Setting {
    parameter: Option<String>,
    cluster: Option<String>,
    service: Option<String>,
    container: Option<String>,
    variable: Option<String>,
}

#[derive(Clone, Debug)]
pub(super) enum Place {
    Parameter(String),
    Variable {
        service: Name,
        container: Option<String>,
        variable: String,
    },
}

impl Place {
    pub(super) fn new(setting: Setting, table: &StepTable) -> Result<Place, SettingsError> {
        match setting {
            Setting {
                parameter: Some(name),
                cluster: None,
                service: None,
                container: None,
                variable: None,
            } => Ok(Place::Parameter(name)),
            Setting {
                parameter: None,
                cluster: Some(cluster),
                service: Some(service),
                container,
                variable: Some(variable),
            } => Ok(Place::Variable {
                service: Name { cluster, service },
                container,
                variable,
            }),
            _ => Err(SettingsError::of("step", table, "`repoint` does not say where the database's address stands").hint(
                "write { parameter = \"/prod/database/host\" } or { cluster = \"…\", service = \"…\", variable = \"DATABASE_HOST\" }",
            )),
        }
    }

    /// `parameter /prod/database/host`
    pub(super) fn words(&self) -> String {
        match self {
            Place::Parameter(name) => format!("parameter {name}"),
            Place::Variable { service, variable, .. } => format!("variable {variable} of {}", service.full()),
        }
    }

    /// What stands there: maybe a secret.
    pub(super) fn read(&self, account: &Account) -> Result<String, StepError> {
        match self {
            Place::Parameter(name) => {
                let store = Store {
                    account: account.clone(),
                };
                let found = store.read(name, None)?;
                Ok(found
                    .ok_or_else(|| StepError::untouched(format!("there is no parameter {name}")))?
                    .value)
            }
            Place::Variable {
                service,
                container,
                variable,
            } => ecs::variable(&at(account, service), container.as_deref(), variable),
        }
    }

    pub(super) fn write(
        &self,
        account: &Account,
        value: &str,
        patience: Duration,
        progress: &dyn Progress,
    ) -> Result<(), StepError> {
        match self {
            Place::Parameter(name) => {
                let store = Store {
                    account: account.clone(),
                };
                let found = store.read_sealed(name)?;
                let kind = found
                    .ok_or_else(|| StepError::untouched(format!("there is no parameter {name}")))?
                    .kind;
                store.write(name, kind, value, true)?;
                Ok(())
            }
            Place::Variable {
                service,
                container,
                variable,
            } => ecs::set_variable(
                &at(account, service),
                container.as_deref(),
                (variable, value),
                patience,
                progress,
            ),
        }
    }
}

fn at(account: &Account, service: &Name) -> ecs::Place {
    ecs::Place {
        account: account.clone(),
        name: service.clone(),
    }
}

/// Whether an address stands in a text, and not just as a part of a longer one.
pub(super) fn mentions(text: &str, address: &str) -> bool {
    replaced(text, address, "").is_some()
}

/// The text with one address in another's place; `None` where it does not stand there.
pub(super) fn replaced(text: &str, address: &str, other: &str) -> Option<String> {
    let of_host = |char: char| char.is_ascii_alphanumeric() || char == '-' || char == '.';
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    let mut found = false;
    while let Some(index) = rest.find(address).filter(|_| !address.is_empty()) {
        let (before, after) = (&rest[..index], &rest[index + address.len()..]);
        let whole = !before.ends_with(of_host) && !after.starts_with(of_host);
        result.push_str(before);
        result.push_str(if whole { other } else { address });
        found |= whole;
        rest = after;
    }
    result.push_str(rest);
    found.then_some(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_addresses_are_replaced() {
        let url = "postgres://app:secret@prod.x1.eu-central-1.rds.amazonaws.com:5432/app?host=prod.x1.eu-central-1.rds.amazonaws.com";
        let new = replaced(url, "prod.x1.eu-central-1.rds.amazonaws.com", "prod-new.x1.rds").unwrap();
        assert_eq!(
            new,
            "postgres://app:secret@prod-new.x1.rds:5432/app?host=prod-new.x1.rds"
        );
        assert_eq!(replaced("my-prod.x1.rds", "prod.x1.rds", "new"), None);
        assert_eq!(replaced("prod.x1.rds.example", "prod.x1.rds", "new"), None);
        assert_eq!(replaced("prod.x1.rds", "prod.x1.rds", "new").as_deref(), Some("new"));
        assert!(mentions("prod.x1.rds", "prod.x1.rds") && !mentions("", "x") && !mentions("x", ""));
    }
}
