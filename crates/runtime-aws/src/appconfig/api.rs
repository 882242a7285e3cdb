//! A configuration profile in an environment, and its deployments.

use aws_sdk_appconfig::Client;
use aws_sdk_appconfig::types::DeploymentState;
use rollback_runbook::step::StepError;

use crate::account::Account;
use crate::failure::{Call, Refusal};

/// Where a profile's name was looked for; it is known by its id afterwards.
pub(super) struct Profile {
    pub application: String,
    pub environment: String,
    pub id: String,
    pub name: String,
    /// AppConfig keeps its versions itself. (Else they lie in S3, Parameter Store or elsewhere.)
    pub hosted: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Deployment {
    pub number: i32,
    pub profile: String,
    pub version: String,
    pub label: Option<String>,
    pub state: DeploymentState,
    /// 0 to 100
    pub percent: f32,
}

impl Deployment {
    /// Older deployments tell the profile's name alone.
    pub(super) fn is_of(&self, profile: &Profile) -> bool {
        self.profile == profile.id || self.profile == profile.name
    }
}

/// Ids and names of all there are, page after page.
macro_rules! find {
    ($account:expr, $kind:literal, $asked:expr, $permission:literal, $list:expr, $item:ident => $more:expr) => {{
        let what = format!("list {}s of AppConfig", $kind);
        let mut token: Option<String> = None;
        loop {
            let page = $account.call(&Call::looks(&what, $permission), |config| {
                $list(Client::new(config)).set_next_token(token.take()).send()
            })?;
            let found = page
                .items
                .unwrap_or_default()
                .into_iter()
                .find(|item| item.id.as_deref() == Some($asked) || item.name.as_deref() == Some($asked));
            if let Some($item) = found {
                break Ok($more);
            }
            token = page.next_token;
            if token.is_none() {
                break Err(missing($kind, $asked));
            }
        }
    }};
}

impl Profile {
    pub(super) fn find(
        account: &Account,
        application: &str,
        environment: &str,
        profile: &str,
    ) -> Result<Profile, StepError> {
        let application = find!(account, "application", application, "appconfig:ListApplications",
            |client: Client| client.list_applications(),
            item => item.id.unwrap_or_default())?;
        let environment = find!(account, "environment", environment, "appconfig:ListEnvironments",
            |client: Client| client.list_environments().application_id(&application),
            item => item.id.unwrap_or_default())?;
        find!(account, "profile", profile, "appconfig:ListConfigurationProfiles",
        |client: Client| client.list_configuration_profiles().application_id(&application),
        item => Profile {
            hosted: item.location_uri.as_deref() == Some("hosted"),
            id: item.id.unwrap_or_default(),
            name: item.name.unwrap_or_default(),
            application: application.clone(),
            environment: environment.clone(),
        })
    }

    /// Whether a version can be deployed.
    pub(super) fn has(&self, account: &Account, version: &str) -> Result<bool, StepError> {
        let Some(number) = version.parse::<i32>().ok().filter(|_| self.hosted) else {
            // It lies elsewhere: deploying it will tell.
            return Ok(true);
        };
        let what = format!("look at version {version} of configuration {}", self.name);
        let found = account.call(
            &Call::looks(&what, "appconfig:GetHostedConfigurationVersion"),
            |config| {
                Client::new(config)
                    .get_hosted_configuration_version()
                    .application_id(&self.application)
                    .configuration_profile_id(&self.id)
                    .version_number(number)
                    .send()
            },
        );
        match found {
            Ok(_) => Ok(true),
            Err(refusal) if refusal.is(&["ResourceNotFoundException"]) => Ok(false),
            Err(refusal) => Err(refusal.error),
        }
    }

    /// The newest deployments of its environment, newest first, until one of this profile is complete.
    pub(super) fn deployments(&self, account: &Account) -> Result<Vec<Deployment>, StepError> {
        let mut all: Vec<Deployment> = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let look = Call::looks("list deployments of AppConfig", "appconfig:ListDeployments");
            let page = account.call(&look, |config| {
                Client::new(config)
                    .list_deployments()
                    .application_id(&self.application)
                    .environment_id(&self.environment)
                    .set_next_token(token.take())
                    .send()
            })?;
            let found = page.items.unwrap_or_default().into_iter();
            all.extend(found.filter_map(|found| {
                Some(Deployment {
                    number: found.deployment_number,
                    profile: found.configuration_profile_id.or(found.configuration_name)?,
                    version: found.configuration_version?,
                    label: found.version_label,
                    state: found.state?,
                    percent: found.percentage_complete.unwrap_or_default(),
                })
            }));
            let complete = |one: &Deployment| one.is_of(self) && one.state == DeploymentState::Complete;
            token = page.next_token;
            if token.is_none() || all.iter().any(complete) {
                all.sort_by_key(|deployment| std::cmp::Reverse(deployment.number));
                return Ok(all);
            }
        }
    }

    /// One deployment, and what happened in it last.
    pub(super) fn deployment(&self, account: &Account, number: i32) -> Result<(Deployment, Option<String>), StepError> {
        let what = format!("look at deployment {number} of AppConfig");
        let found = account.call(&Call::looks(&what, "appconfig:GetDeployment"), |config| {
            Client::new(config)
                .get_deployment()
                .application_id(&self.application)
                .environment_id(&self.environment)
                .deployment_number(number)
                .send()
        })?;
        let last = found
            .event_log
            .unwrap_or_default()
            .into_iter()
            .next()
            .and_then(|event| event.description);
        let deployment = Deployment {
            number,
            profile: found.configuration_profile_id.unwrap_or_default(),
            version: found.configuration_version.unwrap_or_default(),
            label: found.version_label,
            state: found
                .state
                .ok_or_else(|| StepError::untouched(format!("cannot {what}: it has no state")))?,
            percent: found.percentage_complete.unwrap_or_default(),
        };
        Ok((deployment, last))
    }

    /// Starts to deploy a version and tells the deployment's number.
    pub(super) fn start(&self, account: &Account, version: &str, strategy: &str) -> Result<i32, StepError> {
        let what = format!("deploy version {version} of configuration {}", self.name);
        let started = account.call(&Call::changes(&what, "appconfig:StartDeployment"), |config| {
            Client::new(config)
                .start_deployment()
                .application_id(&self.application)
                .environment_id(&self.environment)
                .configuration_profile_id(&self.id)
                .configuration_version(version)
                .deployment_strategy_id(strategy)
                .description("infra-rollback")
                .send()
        });
        match started {
            Ok(started) => Ok(started.deployment_number),
            // An environment deploys one thing at a time: another profile's, or ours whose answer was lost.
            Err(refusal) if refusal.is(&["ConflictException"]) => self.ours(account, version, refusal),
            Err(refusal) => Err(refusal.error),
        }
    }

    fn ours(&self, account: &Account, version: &str, refusal: Refusal) -> Result<i32, StepError> {
        use DeploymentState::{Baking, Deploying, Validating};
        let busy = self
            .deployments(account)?
            .into_iter()
            .find(|deployment| matches!(deployment.state, Baking | Deploying | Validating));
        match busy {
            Some(busy) if busy.is_of(self) && busy.version == version => Ok(busy.number),
            Some(busy) => Err(refusal.error.hint(format!(
                "deployment {} of {} goes on in this environment: wait for it or stop it, and `resume`",
                busy.number, busy.profile
            ))),
            None => Err(refusal.error),
        }
    }

    pub(super) fn stop(&self, account: &Account, number: i32) -> Result<(), StepError> {
        let what = format!("stop deployment {number} of AppConfig");
        account.call(&Call::changes(&what, "appconfig:StopDeployment"), |config| {
            Client::new(config)
                .stop_deployment()
                .application_id(&self.application)
                .environment_id(&self.environment)
                .deployment_number(number)
                .send()
        })?;
        Ok(())
    }
}

fn missing(kind: &str, asked: &str) -> StepError {
    StepError::untouched(format!("AppConfig has no {kind} {asked}"))
        .hint("look at the table and its `region`, and at the account (AWS_PROFILE)")
}
