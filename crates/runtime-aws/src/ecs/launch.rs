//! Where and how one-off tasks start: as the table says, and else as a service's tasks do.

use aws_sdk_ecs::types::{
    AssignPublicIp, AwsVpcConfiguration, CapacityProviderStrategyItem, LaunchType, NetworkConfiguration,
};
use rollback_config::project::StepTable;
use rollback_runbook::SettingsError;
use rollback_runbook::step::StepError;
use rollback_runbook::steps::TaskSettings;

use super::place::Place;
use crate::account::Account;

/// What `RunTask` is told beside what runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Launch {
    pub network: Option<NetworkConfiguration>,
    pub kind: Option<LaunchType>,
    pub providers: Option<Vec<CapacityProviderStrategyItem>>,
    pub platform: Option<String>,
}

/// What can be known to be wrong without asking AWS.
pub(super) fn check(table: &StepTable, settings: &TaskSettings) -> Result<(), SettingsError> {
    let wrong = |message: &str| SettingsError::of("step", table, message);
    if settings.service.is_none() && settings.task_definition.is_none() {
        return Err(wrong("`task` says neither whose task definition is used nor which")
            .hint("write service = \"NAME\", or task_definition = \"FAMILY\" with subnets = [\"…\"]"));
    }
    if settings.launch_type.is_some() && settings.capacity_provider.is_some() {
        return Err(wrong("`task` says both a launch type and a capacity provider").hint("leave one of them out"));
    }
    if let Some(kind) = &settings.launch_type
        && !LaunchType::values().contains(&kind.as_str())
    {
        return Err(wrong(&format!("there is no launch type {kind}"))
            .hint(format!("the launch types are: {}", LaunchType::values().join(", "))));
    }
    if settings.subnets.is_empty() && (!settings.security_groups.is_empty() || settings.assign_public_ip.is_some()) {
        return Err(wrong("`task` says security groups or a public address, and no subnets")
            .hint("write subnets = [\"subnet-…\"], or leave both to the service"));
    }
    Ok(())
}

/// The service that is named.
pub(super) fn service_of(account: &Account, settings: &TaskSettings) -> Option<Place> {
    let service = settings.service.clone()?;
    Some(Place::of(account.clone(), settings.cluster.clone(), service))
}

impl Launch {
    /// As the table says; what it does not say is as the service has it.
    ///
    /// # Errors
    /// The service cannot be looked at.
    pub(super) fn of(account: &Account, settings: &TaskSettings) -> Result<Launch, StepError> {
        let mut launch = Launch::default();
        if let Some(place) = service_of(account, settings) {
            let service = place.service()?;
            launch = Launch {
                network: service.network_configuration,
                kind: service.launch_type,
                providers: service.capacity_provider_strategy.filter(|items| !items.is_empty()),
                platform: service.platform_version,
            };
        }
        if let Some(kind) = &settings.launch_type {
            launch.kind = Some(LaunchType::from(kind.as_str()));
            launch.providers = None;
        }
        if let Some(provider) = &settings.capacity_provider {
            let item = CapacityProviderStrategyItem::builder()
                .capacity_provider(provider)
                .weight(1);
            launch.providers = Some(vec![item.build().map_err(unbuilt)?]);
        }
        // ECS takes either, and a service that has providers may tell a launch type besides.
        if launch.providers.is_some() {
            launch.kind = None;
        }
        // Only Fargate has versions of its platform.
        if launch.kind.as_ref().is_some_and(|kind| *kind != LaunchType::Fargate) {
            launch.platform = None;
        }
        if !settings.subnets.is_empty() {
            let vpc = AwsVpcConfiguration::builder()
                .set_subnets(Some(settings.subnets.clone()))
                .set_security_groups((!settings.security_groups.is_empty()).then(|| settings.security_groups.clone()))
                .set_assign_public_ip(settings.assign_public_ip.map(|public| match public {
                    true => AssignPublicIp::Enabled,
                    false => AssignPublicIp::Disabled,
                }));
            let vpc = vpc.build().map_err(unbuilt)?;
            launch.network = Some(NetworkConfiguration::builder().awsvpc_configuration(vpc).build());
        }
        Ok(launch)
    }
}

fn unbuilt(error: impl std::fmt::Display) -> StepError {
    StepError::untouched(format!("the task cannot be described: {error}"))
}
