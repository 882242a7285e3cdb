//! Where a listener or a rule sends requests: the last of its actions.
//!
//! What stands before it, authentication, stays as it is: ELB never tells the secret of an OIDC client, so it could not
//! be brought back, and it is not traffic.

use std::fmt;

use aws_sdk_elasticloadbalancingv2::types::{
    Action, ActionTypeEnum, AuthenticateOidcActionConfig, FixedResponseActionConfig, ForwardActionConfig,
    RedirectActionConfig, RedirectActionStatusCodeEnum, TargetGroupStickinessConfig, TargetGroupTuple,
};
use serde::{Deserialize, Serialize};

/// Where requests go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub(super) enum Routing {
    Forward(Forward),
    Redirect {
        protocol: Option<String>,
        port: Option<String>,
        host: Option<String>,
        path: Option<String>,
        query: Option<String>,
        status: String,
    },
    FixedResponse {
        status: String,
        content_type: Option<String>,
        body: Option<String>,
    },
    /// An action that this version does not know; it can be told from others, and not be brought back.
    Other {
        action: String,
    },
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Forward {
    /// By ARN. A single one has the weight 1: its weight says nothing.
    pub groups: Vec<Group>,
    /// How long a client stays with its group, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sticky: Option<i32>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Group {
    pub arn: String,
    /// 0 to 999, relative to the other groups'.
    pub weight: i32,
}

impl Forward {
    pub(super) fn new(mut groups: Vec<Group>, sticky: Option<i32>) -> Forward {
        groups.sort_by(|one, other| one.arn.cmp(&other.arn));
        if let [only] = groups.as_mut_slice() {
            only.weight = 1;
        }
        // Who has no choice is not bound to it either.
        let sticky = sticky.filter(|_| groups.len() > 1);
        Forward { groups, sticky }
    }

    /// The part of all requests that a group gets, 0 to 1.
    pub(super) fn share(&self, arn: &str) -> f64 {
        let total: i32 = self.groups.iter().map(|group| group.weight).sum();
        let mine = self.groups.iter().find(|group| group.arn == arn);
        mine.map_or(0.0, |group| f64::from(group.weight) / f64::from(total.max(1)))
    }
}

impl Routing {
    /// The routing among some actions; `None` where there is none.
    pub(super) fn of(actions: &[Action]) -> Option<Routing> {
        let action = actions.iter().find(|action| !is_authentication(action))?;
        let text = |text: &Option<String>| text.clone();
        Some(
            match (&action.r#type, &action.redirect_config, &action.fixed_response_config) {
                (Some(ActionTypeEnum::Forward), ..) => Routing::Forward(forward(action)),
                (Some(ActionTypeEnum::Redirect), Some(redirect), _) => Routing::Redirect {
                    protocol: text(&redirect.protocol),
                    port: text(&redirect.port),
                    host: text(&redirect.host),
                    path: text(&redirect.path),
                    query: text(&redirect.query),
                    status: redirect
                        .status_code
                        .as_ref()
                        .map_or("HTTP_302", RedirectActionStatusCodeEnum::as_str)
                        .to_owned(),
                },
                (Some(ActionTypeEnum::FixedResponse), _, Some(response)) => Routing::FixedResponse {
                    status: text(&response.status_code).unwrap_or_default(),
                    content_type: text(&response.content_type),
                    body: text(&response.message_body),
                },
                (other, ..) => Routing::Other {
                    action: other.as_ref().map_or("unknown", ActionTypeEnum::as_str).to_owned(),
                },
            },
        )
    }

    /// All actions of a listener or rule that has `live` now and is to route so; `None` where this version cannot.
    pub(super) fn actions(&self, live: &[Action]) -> Option<Vec<Action>> {
        let mut actions: Vec<Action> = live
            .iter()
            .filter(|action| is_authentication(action))
            .cloned()
            .collect();
        for action in &mut actions {
            action.authenticate_oidc_config = action.authenticate_oidc_config.take().map(with_its_secret);
        }
        let order = live
            .iter()
            .find(|action| !is_authentication(action))
            .and_then(|action| action.order);
        let action = Action::builder().set_order(order);
        actions.push(
            match self {
                Routing::Forward(forward) => match forward.groups.as_slice() {
                    [only] => action.r#type(ActionTypeEnum::Forward).target_group_arn(&only.arn),
                    _ => action.r#type(ActionTypeEnum::Forward).forward_config(weights(forward)),
                },
                Routing::Redirect {
                    protocol,
                    port,
                    host,
                    path,
                    query,
                    status,
                } => action.r#type(ActionTypeEnum::Redirect).redirect_config(
                    RedirectActionConfig::builder()
                        .set_protocol(protocol.clone())
                        .set_port(port.clone())
                        .set_host(host.clone())
                        .set_path(path.clone())
                        .set_query(query.clone())
                        .status_code(status.as_str().into())
                        .build(),
                ),
                Routing::FixedResponse {
                    status,
                    content_type,
                    body,
                } => action.r#type(ActionTypeEnum::FixedResponse).fixed_response_config(
                    FixedResponseActionConfig::builder()
                        .status_code(status)
                        .set_content_type(content_type.clone())
                        .set_message_body(body.clone())
                        .build(),
                ),
                Routing::Other { .. } => return None,
            }
            .build(),
        );
        Some(actions)
    }

    pub(super) fn forward(&self) -> Option<&Forward> {
        match self {
            Routing::Forward(forward) => Some(forward),
            _ => None,
        }
    }
}

fn is_authentication(action: &Action) -> bool {
    // An action type that came later (`jwt-validation`) is a check before the last one, too.
    let kind = action.r#type.as_ref().map_or("", ActionTypeEnum::as_str);
    kind.starts_with("authenticate") || kind.ends_with("validation")
}

/// ELB keeps the secret that it has when it is told so.
fn with_its_secret(mut config: AuthenticateOidcActionConfig) -> AuthenticateOidcActionConfig {
    config.use_existing_client_secret = Some(true);
    config.client_secret = None;
    config
}

fn forward(action: &Action) -> Forward {
    let config = action.forward_config.as_ref();
    let mut groups: Vec<Group> = config
        .map(ForwardActionConfig::target_groups)
        .unwrap_or_default()
        .iter()
        .filter_map(|group| {
            Some(Group {
                arn: group.target_group_arn.clone()?,
                weight: group.weight.unwrap_or(1),
            })
        })
        .collect();
    if groups.is_empty() {
        groups.extend(action.target_group_arn.clone().map(|arn| Group { arn, weight: 1 }));
    }
    let sticky = config
        .and_then(|config| config.target_group_stickiness_config.as_ref())
        .filter(|sticky| sticky.enabled == Some(true))
        .and_then(|sticky| sticky.duration_seconds);
    Forward::new(groups, sticky)
}

fn weights(forward: &Forward) -> ForwardActionConfig {
    let groups = forward.groups.iter().map(|group| {
        TargetGroupTuple::builder()
            .target_group_arn(&group.arn)
            .weight(group.weight)
            .build()
    });
    ForwardActionConfig::builder()
        .set_target_groups(Some(groups.collect()))
        .target_group_stickiness_config(
            TargetGroupStickinessConfig::builder()
                .enabled(forward.sticky.is_some())
                .set_duration_seconds(forward.sticky)
                .build(),
        )
        .build()
}

/// `blue` of `arn:…:targetgroup/blue/73e2d6bc24d8a067`.
pub(super) fn group_name(arn: &str) -> &str {
    arn.split('/').nth(1).unwrap_or(arn)
}

impl fmt::Display for Routing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Routing::Forward(forward) => {
                let total: i32 = forward.groups.iter().map(|group| group.weight).sum();
                for (index, group) in forward.groups.iter().enumerate() {
                    let comma = if index == 0 { "" } else { ", " };
                    write!(formatter, "{comma}{}", group_name(&group.arn))?;
                    if forward.groups.len() > 1 {
                        let percent = 100.0 * f64::from(group.weight) / f64::from(total.max(1));
                        write!(formatter, " {percent:.0} %")?;
                    }
                }
                Ok(())
            }
            Routing::Redirect { host, path, status, .. } => write!(
                formatter,
                "redirect to {}{} ({status})",
                host.as_deref().unwrap_or("#{host}"),
                path.as_deref().unwrap_or("/#{path}"),
            ),
            Routing::FixedResponse { status, .. } => write!(formatter, "fixed response {status}"),
            Routing::Other { action } => formatter.write_str(action),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authentication_stays_and_its_secret_is_not_needed() {
        let oidc = Action::builder()
            .r#type(ActionTypeEnum::AuthenticateOidc)
            .order(1)
            .authenticate_oidc_config(AuthenticateOidcActionConfig::builder().client_id("me").build())
            .build();
        let blue = Action::builder()
            .r#type(ActionTypeEnum::Forward)
            .order(2)
            .target_group_arn("x/blue/1")
            .build();
        let live = [oidc, blue];
        let routing = Routing::of(&live).unwrap();
        assert_eq!(routing.to_string(), "blue");
        let actions = Routing::FixedResponse {
            status: "503".into(),
            content_type: None,
            body: None,
        }
        .actions(&live)
        .unwrap();
        assert_eq!(actions.len(), 2);
        let config = actions[0].authenticate_oidc_config.as_ref().unwrap();
        assert_eq!(
            (config.use_existing_client_secret, config.client_id()),
            (Some(true), Some("me"))
        );
        assert_eq!(actions[1].order, Some(2));
        assert_eq!(
            actions[1].fixed_response_config.as_ref().unwrap().status_code(),
            Some("503")
        );
    }
}
