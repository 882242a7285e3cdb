//! `appconfig`: a configuration profile goes back to the version that a release had deployed, such as flags to off.

mod api;

use std::time::Duration;

use aws_sdk_appconfig::types::DeploymentState;
use rollback_config::project::StepTable;
use rollback_runbook::Made;
use rollback_runbook::step::{Binding, Progress, Reversibility, Step, StepChange, StepError, StepPlan, USUAL_PATIENCE};
use serde::{Deserialize, Serialize};
use serde_json::json;

use self::api::{Deployment, Profile};
use crate::account::Account;
use crate::failure::AfterChange;
use crate::settings::{parse, read};
use crate::waiting::Wait;

/// AppConfig's own strategy that reaches everybody at once. (It watches alarms for ten minutes after that.)
const AT_ONCE: &str = "AppConfig.AllAtOnce";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Name or id, as of the two others.
    application: String,
    environment: String,
    configuration_profile: String,
    /// The id of a deployment strategy.
    strategy: Option<String>,
}

struct AppConfig {
    account: Account,
    settings: Settings,
    patience: Duration,
}

/// What is deployed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Deployed {
    /// Ids
    application: String,
    environment: String,
    profile: String,
    /// `None`: nothing was ever deployed.
    version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    label: Option<String>,
}

pub(crate) fn appconfig(table: &StepTable, account: &Account) -> Made<dyn Step> {
    let (common, settings, account) = read("step", table, account)?;
    let step = AppConfig {
        account,
        settings,
        patience: common.timeout.unwrap_or(USUAL_PATIENCE),
    };
    Ok((common, Box::new(step)))
}

impl Step for AppConfig {
    fn look(&self) -> Result<Binding, StepError> {
        let profile = self.profile()?;
        let current = self.current(&profile)?;
        Ok(json!(Deployed {
            application: profile.application,
            environment: profile.environment,
            profile: profile.id,
            version: current.as_ref().map(|current| current.version.clone()),
            label: current.and_then(|current| current.label),
        }))
    }

    fn plan(&self, now: &Binding, target: &Binding) -> Result<Option<StepPlan>, StepError> {
        let (now, target): (Deployed, Deployed) = (parse(now)?, parse(target)?);
        // What was never deployed cannot be deployed again, and AppConfig has no way back to nothing.
        let Some(version) = target
            .version
            .clone()
            .filter(|version| now.version.as_ref() != Some(version))
        else {
            return Ok(None);
        };
        let mut plan = StepPlan {
            reversibility: Reversibility::Lossless,
            changes: vec![StepChange::new(
                format!("configuration {}", self.settings.configuration_profile),
                now.shown(),
                target.shown(),
            )],
            ..StepPlan::default()
        };
        let profile = self.profile()?;
        if !profile.has(&self.account, &version)? {
            plan.obstacles.push(format!(
                "version {version} of configuration {} is no longer there",
                self.settings.configuration_profile
            ));
        }
        if let Some(running) = self.running(&profile)? {
            plan.notes.push(format!(
                "version {} is being deployed ({}): that is stopped first",
                running.version,
                running.state.as_str()
            ));
        }
        Ok(Some(plan))
    }

    fn go(&self, _: &Binding, target: &Binding, progress: &dyn Progress) -> Result<Binding, StepError> {
        let target: Deployed = parse(target)?;
        let Some(version) = target.version else {
            return self.look();
        };
        let profile = self.profile()?;
        let mut changed = false;
        if let Some(running) = self.running(&profile)?.filter(|running| running.version != version) {
            progress.line(&format!("the deployment of version {} is stopped", running.version));
            profile.stop(&self.account, running.number)?;
            changed = true;
            self.wait(&profile, running.number, Until::Stopped, progress)?;
        }
        // Stopping one may have brought back the very version: AppConfig goes back to the one before.
        let current = match self.current(&profile) {
            Err(error) if changed => Err(error).after_change()?,
            current => current?,
        };
        let number = match current {
            Some(current) if current.version == version => current.number,
            _ => {
                progress.line(&format!(
                    "version {version} of configuration {} is deployed",
                    self.settings.configuration_profile
                ));
                let strategy = self.settings.strategy.as_deref().unwrap_or(AT_ONCE);
                let started = profile.start(&self.account, &version, strategy);
                match changed {
                    true => started.after_change()?,
                    false => started?,
                }
            }
        };
        self.wait(&profile, number, Until::Deployed, progress)?;
        self.look().after_change()
    }
}

enum Until {
    Deployed,
    Stopped,
}

impl Deployed {
    fn shown(&self) -> String {
        match (&self.version, &self.label) {
            (None, _) => "none".to_owned(),
            (Some(version), None) => format!("version {version}"),
            (Some(version), Some(label)) => format!("version {version} ({label})"),
        }
    }
}

impl AppConfig {
    fn profile(&self) -> Result<Profile, StepError> {
        Profile::find(
            &self.account,
            &self.settings.application,
            &self.settings.environment,
            &self.settings.configuration_profile,
        )
    }

    /// The newest deployment of the profile that was not taken back.
    fn current(&self, profile: &Profile) -> Result<Option<Deployment>, StepError> {
        let all = profile.deployments(&self.account)?;
        Ok(all.into_iter().find(|deployment| {
            use DeploymentState::{Baking, Complete, Deploying, Validating};
            deployment.is_of(profile) && matches!(deployment.state, Baking | Complete | Deploying | Validating)
        }))
    }

    /// What the environment is busy with; it does but one thing at a time.
    fn running(&self, profile: &Profile) -> Result<Option<Deployment>, StepError> {
        let all = profile.deployments(&self.account)?;
        Ok(all.into_iter().find(|deployment| {
            use DeploymentState::{Baking, Deploying, Validating};
            deployment.is_of(profile) && matches!(deployment.state, Baking | Deploying | Validating)
        }))
    }

    fn wait(&self, profile: &Profile, number: i32, until: Until, progress: &dyn Progress) -> Result<(), StepError> {
        let mut wait = Wait::new(self.account.pace(), self.patience, progress);
        let mut told = String::new();
        loop {
            use DeploymentState::{Baking, Complete, Reverted, RolledBack, RollingBack};
            let (deployment, last) = profile.deployment(&self.account, number).after_change()?;
            match (&until, &deployment.state) {
                (Until::Deployed, Complete) | (Until::Stopped, RolledBack | Reverted | Complete) => return Ok(()),
                // All have it; what comes now is watching alarms.
                (Until::Deployed, Baking) => return Ok(()),
                (Until::Deployed, RollingBack | RolledBack | Reverted) => {
                    return Err(StepError::touched(format!(
                        "the deployment of version {} of configuration {} was taken back: {}",
                        deployment.version,
                        self.settings.configuration_profile,
                        last.unwrap_or_else(|| deployment.state.as_str().to_owned())
                    ))
                    .hint("look at the alarms of the environment; `resume` tries again, `undo` goes back"));
                }
                _ => {}
            }
            let line = format!(
                "deployment {number}: {}, {:.0} %",
                deployment.state.as_str(),
                deployment.percent
            );
            if told != line {
                progress.line(&line);
                told = line;
            }
            wait.pause(&format!("the end of deployment {number}"))?;
        }
    }
}
