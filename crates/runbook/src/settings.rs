//! From a table of infra-rollback.toml to a kind's own settings.

use std::time::Duration;

use rollback_config::project::StepTable;
use serde::de::DeserializeOwned;

/// What every `[[step]]` and `[[check]]` may say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Common {
    /// Its name; the kind where none is given.
    pub name: String,
    /// Names of steps and stacks that must be done before. `None`: the usual order of its kind.
    pub after: Option<Vec<String>>,
    /// How long it may take.
    pub timeout: Option<Duration>,
}

/// Why a table cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SettingsError {
    /// With its place in the file.
    pub message: String,
    pub hint: Option<String>,
}

impl SettingsError {
    /// `section` is `step` or `check`.
    pub fn of(section: &str, table: &StepTable, message: impl std::fmt::Display) -> SettingsError {
        SettingsError {
            message: format!("{}: [[{section}]] {}: {message}", table.at, table.called()),
            hint: None,
        }
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> SettingsError {
        self.hint = Some(hint.into());
        self
    }
}

/// What a table describes, with what all kinds share.
pub type Made<T> = Result<(Common, Box<T>), SettingsError>;

const COMMON: &[&str] = &["name", "kind", "after", "timeout"];

/// What every `[[check]]` may say besides: for how long, how often and how many times in a row it is asked.
const REPETITION: &[&str] = &["within", "every", "times"];

fn shared(section: &str) -> impl Iterator<Item = &'static str> + use<> {
    let repetition = if section == "check" { REPETITION } else { &[] };
    COMMON.iter().chain(repetition).copied()
}

/// A length of time as settings say it: `"90s"`, `"15m"`, `"1h 30m"`, or whole seconds; never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(try_from = "toml::Value")]
pub struct Period(pub Duration);

impl TryFrom<toml::Value> for Period {
    type Error = String;

    fn try_from(value: toml::Value) -> Result<Period, String> {
        duration(&value)
            .map(Period)
            .ok_or_else(|| format!("{value} is no length of time: \"90s\" and \"15m\" are"))
    }
}

/// Reads one table: what all kinds share, and the kind's own settings. `T` refuses keys that it does not know
/// (`#[serde(deny_unknown_fields)]`).
///
/// # Errors
/// A key that is not known (with the nearest one), a value of another type, a duration that is none.
pub fn read<T: DeserializeOwned>(section: &str, table: &StepTable) -> Result<(Common, T), SettingsError> {
    let failed = |message: &str| SettingsError::of(section, table, message);
    let mut own = table.table.clone();
    own.retain(|key, _| !shared(section).any(|common| common == key));
    let settings = T::deserialize(toml::Value::Table(own)).map_err(|error| {
        let message = error.message().replace('\n', " ");
        SettingsError {
            hint: nearest_of(&message, section),
            ..failed(&message)
        }
    })?;
    let after = match table.table.get("after") {
        None => None,
        Some(value) => {
            let names = value.as_array().map(|names| {
                let names = names.iter().map(|name| name.as_str().map(str::to_owned));
                names.collect::<Option<Vec<_>>>()
            });
            let wrong = || failed("`after` must be a list of names").hint("write after = [\"NAME\"]");
            Some(names.flatten().ok_or_else(wrong)?)
        }
    };
    let wrong = || failed("`timeout` must be a duration").hint("write timeout = \"90s\" or \"15m\"");
    let timeout = table
        .table
        .get("timeout")
        .map(|value| duration(value).ok_or_else(wrong));
    let common = Common {
        name: table.called().to_owned(),
        after,
        timeout: timeout.transpose()?,
    };
    Ok((common, settings))
}

/// `"90s"`, `"15m"`, `"1h 30m"`, or whole seconds.
fn duration(value: &toml::Value) -> Option<Duration> {
    match value {
        toml::Value::Integer(seconds) => Some(Duration::from_secs(u64::try_from(*seconds).ok()?)),
        toml::Value::String(text) => Duration::try_from(text.parse::<jiff::SignedDuration>().ok()?).ok(),
        _ => None,
    }
    .filter(|duration| !duration.is_zero())
}

/// serde says which fields it expected; the nearest of them is what was meant.
fn nearest_of(message: &str, section: &str) -> Option<String> {
    let unknown = message.strip_prefix("unknown field `")?.split('`').next()?;
    let expected = message.split_once("expected")?.1;
    let known = expected.split('`').skip(1).step_by(2);
    let mut known: Vec<&str> = known.collect();
    for key in shared(section) {
        known.push(key);
    }
    let nearest = rollback_config::project::nearest(unknown, known.into_iter())?;
    Some(format!("did you mean `{nearest}`?"))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Own {
        cluster: String,
        service: String,
    }

    fn table(text: &str) -> StepTable {
        rollback_config::project::parse(text, "infra-rollback.toml")
            .unwrap()
            .steps
            .remove(0)
    }

    #[test]
    fn common_keys_are_apart_from_a_kinds_own() {
        let (common, own): (Common, Own) = read(
            "step",
            &table(
                "[[step]]\nname='backend'\nkind='ecs-service'\ncluster='c'\nservice='s'\nafter=['app']\ntimeout='15m'",
            ),
        )
        .unwrap();
        assert_eq!(common.name, "backend");
        assert_eq!(common.after, Some(vec!["app".to_owned()]));
        assert_eq!(common.timeout, Some(Duration::from_secs(900)));
        assert_eq!(own.cluster, "c");
    }

    #[test]
    fn an_unknown_key_names_the_nearest() {
        let error = read::<Own>("step", &table("[[step]]\nkind='ecs-service'\ncluster='c'\nservise='s'")).unwrap_err();
        assert_eq!(error.hint.as_deref(), Some("did you mean `service`?"), "{error}");
        let error = read::<Own>(
            "step",
            &table("[[step]]\nkind='ecs-service'\ncluster='c'\nservice='s'\ntimeout='soon'"),
        )
        .unwrap_err();
        assert!(error.to_string().contains("infra-rollback.toml:1"), "{error}");
    }
}
