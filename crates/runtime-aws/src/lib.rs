//! The steps and checks of a runbook that speak to AWS.
//!
//! | kind | brings back |
//! |---|---|
//! | `ecs-service` | a service's task definition, registered again where it is gone |
//! | `ecs-image` | one container's image, by its digest |
//! | `ecs-environment` | the variables and references to secrets of a service's containers |
//! | `migration` with `task` | a database's migrations, by commands that run as one-off tasks |
//! | `alb-listener` | the actions of a listener and its rules: target groups and weights, in stages |
//! | `ssm-parameter` | a parameter's value; of a SecureString the version, whose value is kept nowhere else |
//! | `appconfig` | the deployed version of a configuration profile |
//! | `rds-restore`, `rds-pitr` | a database from a snapshot or a moment, in a new instance that the application then uses |
//!
//! And there are the checks `logs` and `metrics`, and `sns`, which tells people.
//!
//! A step is made from its table of infra-rollback.toml without asking AWS anything: credentials are looked up with the
//! first look. Every table may say `region`, `profile`, `role_arn`, `external_id` and `endpoint`.
//!
//! Whoever reads the bindings of ECS reads the plain environment values of its containers, as everybody may who is
//! allowed `ecs:DescribeTaskDefinition`: without them a revision that is gone could not be registered again. Plans,
//! progress and errors show names of variables, never values. What is secret belongs in `secrets`, of which ECS keeps
//! references.

mod account;
mod alb;
mod appconfig;
mod ecr;
mod ecs;
mod failure;
mod key;
mod logs;
mod metrics;
mod parameter;
mod rds;
mod settings;
mod topic;
mod unanswered;
mod waiting;

pub use account::{Account, Pace};
pub use ecr::Image;
pub use ecs::images;
pub use rds::{Snapshot, database_target, snapshots};
use rollback_config::project::StepTable;
use rollback_runbook::Made;
use rollback_runbook::check::Check;
use rollback_runbook::notify::Channel;
use rollback_runbook::step::Step;

/// A step as its table says; `None` for a kind that is not of this crate.
pub fn step(table: &StepTable, account: &Account) -> Option<Made<dyn Step>> {
    Some(match table.kind.as_str() {
        "alb-listener" => alb::listener(table, account),
        "appconfig" => appconfig::appconfig(table, account),
        "ecs-environment" => ecs::environment(table, account),
        "ecs-image" => ecs::image(table, account),
        "ecs-service" => ecs::service(table, account),
        // Without `task` its commands run here, and AWS has no part in it.
        "migration" if table.table.contains_key("task") => ecs::migration(table, account),
        "rds-pitr" | "rds-restore" => rds::database(table, account),
        "ssm-parameter" => parameter::parameter(table, account),
        _ => return None,
    })
}

/// A check as its table says; `None` for a kind that is not of this crate.
pub fn check(table: &StepTable, account: &Account) -> Option<Made<dyn Check>> {
    Some(match table.kind.as_str() {
        "logs" => logs::logs(table, account),
        "metrics" => metrics::metrics(table, account),
        _ => return None,
    })
}

/// A channel to people as its `[[notify]]` table says; `None` for a kind that is not of this crate.
pub fn channel(table: &StepTable, account: &Account) -> Option<Made<dyn Channel>> {
    (table.kind == "sns").then(|| topic::topic(table, account))
}
