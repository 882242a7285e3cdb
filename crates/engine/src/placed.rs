//! Provider configurations that point elsewhere than at the target: another region, another account. Objects live in
//! both places then, and Terraform would look for today's in yesterday's.

use rollback_config::Configuration;
use rollback_state::{Mode, State};

use crate::reconcile::{Guard, Refusal};

/// Arguments of a provider configuration that say where its objects live.
const PLACES: &[&str] = &[
    "region",
    "profile",
    "account_id",
    "allowed_account_ids",
    "assume_role.role_arn",
    "project",
    "zone",
    "subscription_id",
    "tenant_id",
    "environment",
    "host",
    "config_context",
    "address",
    "namespace",
    "endpoint",
    "api_url",
];

/// Provider configurations that point to another region or account than at the target, while objects live under them.
pub fn moved_providers(now: &Placed<'_>, then: &Placed<'_>, current: &State) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    let (Some(now_root), Some(then_root)) = (now.configuration.root(), then.configuration.root()) else {
        return refusals;
    };
    for provider in &now_root.providers {
        let same = then_root
            .providers
            .iter()
            .find(|then| then.name == provider.name && then.alias == provider.alias);
        let Some(before) = same else { continue };
        for place in PLACES {
            let (a, b) = (
                now.value(provider.attributes.get(*place)),
                then.value(before.attributes.get(*place)),
            );
            if a == b || !is_used(current, &provider.name, provider.alias.as_deref()) {
                continue;
            }
            let said = |value: Option<String>| value.unwrap_or_else(|| "not set".to_owned());
            let name = match &provider.alias {
                Some(alias) => format!("{}.{alias}", provider.name),
                None => provider.name.clone(),
            };
            refusals.push(Refusal {
                guard: Guard::Surprise,
                address: format!("provider.{name}"),
                message: format!(
                    "the provider configuration {name} changed its {place} since the target: {} then, {} now. Objects live in \
                     both places, and terraform with the target's configuration would look for today's objects in the wrong one \
                     and lose sight of them",
                    said(b),
                    said(a),
                ),
            });
        }
    }
    refusals
}

/// A configuration with the values that its root variables have from files.
pub struct Placed<'a> {
    pub configuration: &'a Configuration,
    pub assigned: serde_json::Map<String, serde_json::Value>,
}

impl Placed<'_> {
    /// What an argument comes to, through variables and locals as far as these are literal; else its text.
    fn value(&self, expression: Option<&rollback_config::Expr>) -> Option<String> {
        let mut expression = expression?;
        let root = self.configuration.root()?;
        for _ in 0..8 {
            if let Some(literal) = &expression.literal {
                return Some(literal.as_str().map_or_else(|| literal.to_string(), str::to_owned));
            }
            let text = expression.text.trim();
            if let Some(name) = text.strip_prefix("var.") {
                if let Some(value) = self.assigned.get(name) {
                    return Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned));
                }
                match root.variables.get(name).and_then(|variable| variable.default.as_ref()) {
                    Some(default) => expression = default,
                    None => break,
                }
            } else if let Some(local) = text.strip_prefix("local.").and_then(|name| root.locals.get(name)) {
                expression = local;
            } else {
                break;
            }
        }
        Some(expression.text.trim().to_owned())
    }
}

fn is_used(state: &State, name: &str, alias: Option<&str>) -> bool {
    state.instances().any(|instance| {
        instance.mode() == Mode::Managed
            && instance
                .provider()
                .split_once("\"]")
                .is_some_and(|(source, rest)| source.ends_with(&format!("/{name}")) && rest.strip_prefix('.') == alias)
    })
}
