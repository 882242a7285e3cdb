//! Whether the targets of a group answer their health checks.

use aws_sdk_elasticloadbalancingv2::Client;
use aws_sdk_elasticloadbalancingv2::types::{TargetHealthReasonEnum, TargetHealthStateEnum, TargetTypeEnum};
use rollback_runbook::step::StepError;

use super::routing::group_name;
use crate::account::Account;
use crate::failure::Call;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Health {
    /// There is no such group.
    Gone,
    /// Nothing is registered in it.
    Empty,
    /// Nobody asks its targets how they are: a function, or health checks that are off.
    Unasked,
    /// ELB asks the targets only of groups that a listener uses.
    Unused { targets: usize },
    /// So many of them answer. `pending`: some have just begun to be asked.
    Asked {
        healthy: usize,
        targets: usize,
        pending: bool,
    },
}

impl Health {
    pub(super) fn of(account: &Account, group: &str) -> Result<Health, StepError> {
        let what = format!("look at target group {}", group_name(group));
        let described = account.call(
            &Call::looks(&what, "elasticloadbalancing:DescribeTargetGroups"),
            |config| {
                Client::new(config)
                    .describe_target_groups()
                    .target_group_arns(group)
                    .send()
            },
        );
        let kind = match described {
            Ok(answer) => match answer.target_groups.unwrap_or_default().into_iter().next() {
                Some(group) => group.target_type,
                None => return Ok(Health::Gone),
            },
            Err(refusal) if refusal.is(&["TargetGroupNotFound"]) => return Ok(Health::Gone),
            Err(refusal) => return Err(refusal.error),
        };
        if kind == Some(TargetTypeEnum::Lambda) {
            return Ok(Health::Unasked);
        }
        let answer = account.call(
            &Call::looks(&what, "elasticloadbalancing:DescribeTargetHealth"),
            |config| {
                Client::new(config)
                    .describe_target_health()
                    .target_group_arn(group)
                    .send()
            },
        )?;
        let targets: Vec<_> = answer
            .target_health_descriptions
            .unwrap_or_default()
            .into_iter()
            .filter_map(|target| target.target_health)
            .collect();
        let count = |state: TargetHealthStateEnum| {
            targets
                .iter()
                .filter(|target| target.state == Some(state.clone()))
                .count()
        };
        let reason = |reason: TargetHealthReasonEnum| {
            targets
                .iter()
                .filter(|target| target.reason == Some(reason.clone()))
                .count()
        };
        if targets.is_empty() {
            return Ok(Health::Empty);
        }
        if reason(TargetHealthReasonEnum::HealthCheckDisabled) == targets.len() {
            return Ok(Health::Unasked);
        }
        if reason(TargetHealthReasonEnum::NotInUse) == targets.len() {
            return Ok(Health::Unused { targets: targets.len() });
        }
        Ok(Health::Asked {
            healthy: count(TargetHealthStateEnum::Healthy),
            targets: targets.len(),
            pending: count(TargetHealthStateEnum::Initial) > 0,
        })
    }

    /// Whether traffic may go to it.
    pub(super) fn is_fit(&self) -> bool {
        match self {
            Health::Unasked => true,
            Health::Asked { healthy, .. } => *healthy > 0,
            Health::Gone | Health::Empty | Health::Unused { .. } => false,
        }
    }

    /// Completes "target group blue …".
    pub(super) fn words(&self) -> String {
        match self {
            Health::Gone => "is no longer there".to_owned(),
            Health::Empty => "has no targets".to_owned(),
            Health::Unasked => "is not checked for health".to_owned(),
            Health::Unused { targets } => {
                format!("is not used, so that its {targets} targets are not checked for health")
            }
            Health::Asked { healthy, targets, .. } => format!("has {healthy} of {targets} targets healthy"),
        }
    }
}
