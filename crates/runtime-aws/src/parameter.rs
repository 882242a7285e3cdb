//! `ssm-parameter`: a parameter goes back to an earlier value, such as a feature flag to off.
//!
//! Values of SecureString parameters are kept nowhere: the version's number is, and Parameter Store keeps the last
//! hundred versions. Going back is reading that version and putting it as the newest one.

mod store;

use rollback_config::project::StepTable;
use rollback_runbook::Made;
use rollback_runbook::step::{Binding, Progress, Reversibility, Step, StepChange, StepError, StepPlan};
use serde::{Deserialize, Serialize};
use serde_json::json;
pub(crate) use store::{Kind, Parameter, Store};

use crate::account::Account;
use crate::failure::AfterChange;
use crate::settings::{parse, read};

/// The longest that a value may be in a plan.
const LONGEST_SHOWN: usize = 60;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// `/prod/flags/new-search`
    parameter: String,
}

struct SsmParameter {
    store: Store,
    name: String,
}

/// What a parameter is at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct At {
    parameter: String,
    /// `None`: there is no such parameter.
    kind: Option<Kind>,
    version: i64,
    /// When that version was written, in milliseconds since 1970: a parameter that was made anew counts from 1 again.
    modified: i64,
    /// Not of a SecureString.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<String>,
}

pub(crate) fn parameter(table: &StepTable, account: &Account) -> Made<dyn Step> {
    let (common, settings, account): (_, Settings, _) = read("step", table, account)?;
    let step = SsmParameter {
        store: Store { account },
        name: settings.parameter,
    };
    Ok((common, Box::new(step)))
}

impl Step for SsmParameter {
    fn look(&self) -> Result<Binding, StepError> {
        Ok(json!(self.at()?))
    }

    fn plan(&self, now: &Binding, target: &Binding) -> Result<Option<StepPlan>, StepError> {
        let (now, target): (At, At) = (parse(now)?, parse(target)?);
        let Some(kind) = target.kind else {
            // Whether there is a parameter is Terraform's to say.
            return Ok(None);
        };
        let mut plan = StepPlan {
            reversibility: Reversibility::Lossless,
            changes: vec![StepChange::new(
                format!("parameter {}", self.name),
                shown(&now),
                shown(&target),
            )],
            ..StepPlan::default()
        };
        if kind == Kind::SecureString {
            match (self.version(&target)?, now.kind) {
                (None, _) => plan.obstacles.push(self.gone(&target)),
                (_, Some(Kind::SecureString)) if is_version(&now, &target) => return Ok(None),
                (Some(then), Some(_)) => {
                    if self
                        .store
                        .read(&self.name, None)?
                        .is_some_and(|now| now.value == then.value)
                    {
                        return Ok(None);
                    }
                }
                (_, None) => {}
            }
        } else if (now.kind, &now.value) == (target.kind, &target.value) {
            return Ok(None);
        }
        match now.kind {
            None => plan.notes.push("it is no longer there, and is made anew".to_owned()),
            Some(now) if now != kind => plan.obstacles.push(format!(
                "{} is a {now} by now and was a {kind}: Parameter Store changes no types",
                self.name
            )),
            Some(_) => {}
        }
        Ok(Some(plan))
    }

    fn go(&self, _: &Binding, target: &Binding, progress: &dyn Progress) -> Result<Binding, StepError> {
        let target: At = parse(target)?;
        let Some(kind) = target.kind else { return self.look() };
        let value = match &target.value {
            Some(value) => value.clone(),
            None => {
                let version = self.version(&target)?;
                version
                    .ok_or_else(|| StepError::untouched(self.gone(&target)).hint(NO_VALUE))?
                    .value
            }
        };
        let now = self.store.read(&self.name, None)?;
        if now.as_ref().is_none_or(|now| now.value != value) {
            let version = self.store.write(&self.name, kind, &value, now.is_some())?;
            progress.line(&format!(
                "parameter {} has the value of version {} again, as version {version}",
                self.name, target.version
            ));
        }
        self.look().after_change()
    }
}

const NO_VALUE: &str = "put its value by hand (`aws ssm put-parameter --overwrite`), and roll back without this step";

impl SsmParameter {
    fn at(&self) -> Result<At, StepError> {
        let found = self.store.read_sealed(&self.name)?;
        Ok(match found {
            None => At {
                parameter: self.name.clone(),
                kind: None,
                version: 0,
                modified: 0,
                value: None,
            },
            Some(found) => At {
                parameter: self.name.clone(),
                kind: Some(found.kind),
                version: found.version,
                modified: found.modified,
                value: (found.kind != Kind::SecureString).then_some(found.value),
            },
        })
    }

    /// The version that a release saw; `None` where Parameter Store no longer has it.
    fn version(&self, target: &At) -> Result<Option<Parameter>, StepError> {
        let found = self.store.read(&self.name, Some(target.version))?;
        Ok(found.filter(|found| found.modified == target.modified))
    }

    fn gone(&self, target: &At) -> String {
        format!(
            "version {} of parameter {} is no longer kept",
            target.version, self.name
        )
    }
}

fn is_version(now: &At, target: &At) -> bool {
    (now.version, now.modified) == (target.version, target.modified)
}

fn shown(at: &At) -> String {
    match (&at.kind, &at.value) {
        (None, _) => "none".to_owned(),
        (_, None) => format!("version {} (not shown)", at.version),
        (_, Some(value)) if value.chars().count() > LONGEST_SHOWN => {
            format!("{}…", value.chars().take(LONGEST_SHOWN).collect::<String>())
        }
        (_, Some(value)) => value.clone(),
    }
}
