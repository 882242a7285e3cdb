//! A listener and its rules as they are.

use std::collections::BTreeMap;

use aws_sdk_elasticloadbalancingv2::Client;
use aws_sdk_elasticloadbalancingv2::types::{Action, Listener, Rule, RuleCondition};
use rollback_runbook::step::StepError;

use super::routing::Routing;
use super::stages::{DEFAULT, Traffic};
use crate::account::Account;
use crate::failure::Call;

/// Which listener.
#[derive(Clone, Debug)]
pub(super) enum Which {
    Arn(String),
    Port { load_balancer: String, port: i32 },
}

/// A listener as ELB has it.
pub(super) struct Live {
    pub arn: String,
    /// Part to all of its actions.
    pub actions: BTreeMap<String, Vec<Action>>,
    /// Rule to what it is known by, should it be made anew: priority and conditions.
    pub rules: BTreeMap<String, String>,
}

impl Live {
    pub(super) fn traffic(&self) -> Traffic {
        let parts = self.actions.iter();
        Traffic(
            parts
                .filter_map(|(part, actions)| Some((part.clone(), Routing::of(actions)?)))
                .collect(),
        )
    }

    pub(super) fn of(account: &Account, which: &Which) -> Result<Live, StepError> {
        let listener = listener(account, which)?;
        let arn = listener.listener_arn.unwrap_or_default();
        let mut live = Live {
            actions: [(DEFAULT.to_owned(), listener.default_actions.unwrap_or_default())].into(),
            rules: BTreeMap::new(),
            arn,
        };
        for rule in rules(account, &live.arn)? {
            let Some(arn) = rule.rule_arn.clone() else { continue };
            live.rules.insert(arn.clone(), known_by(&rule));
            live.actions.insert(arn, rule.actions.unwrap_or_default());
        }
        Ok(live)
    }

    /// Sends the requests of one part elsewhere.
    pub(super) fn route(&self, account: &Account, part: &str, actions: Vec<Action>) -> Result<(), StepError> {
        if part == DEFAULT {
            let what = format!("modify listener {}", name(&self.arn));
            account.call(&Call::changes(&what, "elasticloadbalancing:ModifyListener"), |config| {
                Client::new(config)
                    .modify_listener()
                    .listener_arn(&self.arn)
                    .set_default_actions(Some(actions))
                    .send()
            })?;
        } else {
            let what = format!("modify rule {}", name(part));
            account.call(&Call::changes(&what, "elasticloadbalancing:ModifyRule"), |config| {
                Client::new(config)
                    .modify_rule()
                    .rule_arn(part)
                    .set_actions(Some(actions))
                    .send()
            })?;
        }
        Ok(())
    }
}

/// What stands behind `listener/` or `listener-rule/` of an ARN.
pub(super) fn name(arn: &str) -> &str {
    arn.split_once('/').map_or(arn, |(_, name)| name)
}

fn listener(account: &Account, which: &Which) -> Result<Listener, StepError> {
    let look = Call::looks("look at the listener", "elasticloadbalancing:DescribeListeners");
    let missing = |what: String| {
        StepError::untouched(format!("there is no {what}")).hint(
            "look at `listener`, `load_balancer`, `port` and `region` of the table, and at the account (AWS_PROFILE)",
        )
    };
    match which {
        Which::Arn(arn) => {
            let found = account.call(&look, |config| {
                Client::new(config).describe_listeners().listener_arns(arn).send()
            });
            match found {
                Ok(answer) => answer.listeners.unwrap_or_default().into_iter().next(),
                Err(refusal) if refusal.is(&["ListenerNotFound"]) => None,
                Err(refusal) => return Err(refusal.error),
            }
            .ok_or_else(|| missing(format!("listener {}", name(arn))))
        }
        Which::Port { load_balancer, port } => {
            let what = Call::looks(
                "look at the load balancer",
                "elasticloadbalancing:DescribeLoadBalancers",
            );
            let found = account.call(&what, |config| {
                Client::new(config)
                    .describe_load_balancers()
                    .names(load_balancer)
                    .send()
            });
            let balancer = match found {
                Ok(answer) => answer.load_balancers.unwrap_or_default().into_iter().next(),
                Err(refusal) if refusal.is(&["LoadBalancerNotFound"]) => None,
                Err(refusal) => return Err(refusal.error),
            }
            .and_then(|balancer| balancer.load_balancer_arn)
            .ok_or_else(|| missing(format!("load balancer {load_balancer}")))?;
            let listeners = account.call(&look, |config| {
                Client::new(config)
                    .describe_listeners()
                    .load_balancer_arn(balancer)
                    .page_size(100)
                    .send()
            })?;
            listeners
                .listeners
                .unwrap_or_default()
                .into_iter()
                .find(|listener| listener.port == Some(*port))
                .ok_or_else(|| missing(format!("listener on port {port} of load balancer {load_balancer}")))
        }
    }
}

/// All rules but the default one, which is the listener's own.
fn rules(account: &Account, listener: &str) -> Result<Vec<Rule>, StepError> {
    let mut rules = Vec::new();
    let mut marker: Option<String> = None;
    loop {
        let look = Call::looks("look at the listener's rules", "elasticloadbalancing:DescribeRules");
        let page = account.call(&look, |config| {
            Client::new(config)
                .describe_rules()
                .listener_arn(listener)
                .set_marker(marker.take())
                .send()
        })?;
        let found = page.rules.unwrap_or_default().into_iter();
        rules.extend(found.filter(|rule| rule.is_default != Some(true)));
        marker = page.next_marker;
        if marker.is_none() {
            return Ok(rules);
        }
    }
}

/// `10 path-pattern=/api/*`
fn known_by(rule: &Rule) -> String {
    let mut conditions: Vec<String> = rule
        .conditions
        .as_deref()
        .unwrap_or_default()
        .iter()
        .map(|condition| {
            format!(
                "{}={}",
                condition.field().unwrap_or_default(),
                values(condition).join(",")
            )
        })
        .collect();
    conditions.sort();
    format!("{} {}", rule.priority().unwrap_or_default(), conditions.join(" "))
}

fn values(condition: &RuleCondition) -> Vec<String> {
    let mut values: Vec<String> = condition
        .values()
        .iter()
        .chain(condition.regex_values())
        .cloned()
        .collect();
    if let Some(config) = &condition.host_header_config {
        values.extend_from_slice(config.values());
    }
    if let Some(config) = &condition.path_pattern_config {
        values.extend_from_slice(config.values());
    }
    if let Some(config) = &condition.http_header_config {
        values.extend(
            config
                .values()
                .iter()
                .map(|value| format!("{}:{value}", config.http_header_name().unwrap_or_default())),
        );
    }
    if let Some(config) = &condition.query_string_config {
        let pairs = config.values().iter();
        values.extend(pairs.map(|pair| {
            format!(
                "{}={}",
                pair.key().unwrap_or_default(),
                pair.value().unwrap_or_default()
            )
        }));
    }
    if let Some(config) = &condition.http_request_method_config {
        values.extend_from_slice(config.values());
    }
    if let Some(config) = &condition.source_ip_config {
        values.extend_from_slice(config.values());
    }
    values.sort();
    // ELB tells the same values in two places.
    values.dedup();
    values
}
