//! What every table of this crate may say besides its kind's own settings: where and as whom AWS is asked.

use rollback_aws::Access;
use rollback_config::project::{StepTable, nearest};
use rollback_runbook::step::{Binding, StepError};
use rollback_runbook::{Common, SettingsError};
use serde::de::DeserializeOwned;

use crate::account::Account;

const KEYS: [&str; 5] = ["endpoint", "external_id", "profile", "region", "role_arn"];

/// Reads one table: what all kinds share, the kind's own settings, and the account that it works in.
pub(crate) fn read<T: DeserializeOwned>(
    section: &'static str,
    table: &StepTable,
    account: &Account,
) -> Result<(Common, T, Account), SettingsError> {
    let mut own = table.clone();
    let mut access = Access::default();
    for key in KEYS {
        let Some(value) = own.table.remove(key) else { continue };
        let text = value
            .as_str()
            .filter(|text| !text.is_empty())
            .ok_or_else(|| SettingsError::of(section, table, format!("`{key}` must be a text")))?
            .to_owned();
        match key {
            "endpoint" => access.endpoint = Some(text),
            "external_id" => access.external_id = Some(text),
            "profile" => access.profile = Some(text),
            "region" => access.region = Some(text),
            _ => access.role_arn = Some(text),
        }
    }
    let (common, settings) = rollback_runbook::read(section, &own).map_err(|mut error| {
        // The kind's own keys are looked through already.
        if error.hint.is_none()
            && let Some(unknown) = unknown(&error.message)
            && let Some(key) = nearest(unknown, KEYS.into_iter())
        {
            error.hint = Some(format!("did you mean `{key}`?"));
        }
        error
    })?;
    Ok((common, settings, account.with(access)))
}

fn unknown(message: &str) -> Option<&str> {
    message.split_once("unknown field `")?.1.split('`').next()
}

/// Reads a binding that this crate wrote.
pub(crate) fn parse<T: DeserializeOwned>(binding: &Binding) -> Result<T, StepError> {
    T::deserialize(binding).map_err(|_| {
        // serde's own words may repeat values of it, so they are left out.
        StepError::untouched("what the release keeps of this step cannot be understood")
            .hint("was the kind of the step changed since? Take a new `snapshot`, or roll back without this step")
    })
}

/// For those who have but one kind of error to tell.
pub(crate) fn as_step_error(error: SettingsError) -> StepError {
    StepError {
        hint: error.hint,
        ..StepError::untouched(error.message)
    }
}
