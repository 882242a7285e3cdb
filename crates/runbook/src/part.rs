//! A configured step as a part of runs.

use std::sync::Arc;

use crate::settings::Common;
use crate::step::{Binding, Step};

/// Where Terraform stands in the usual order: what users feel comes first, and what takes long comes last.
pub const TERRAFORM: u8 = 3;

/// One `[[step]]`, ready to be used.
#[derive(Clone)]
pub struct Part {
    pub name: String,
    pub kind: String,
    pub after: Option<Vec<String>>,
    pub step: Arc<dyn Step>,
    /// Where a person wants it to go, instead of to where the release had it: a database to a snapshot.
    pub asked: Option<Binding>,
}

impl Part {
    pub fn new(kind: &str, common: Common, step: Box<dyn Step>) -> Part {
        Part {
            name: common.name,
            kind: kind.to_owned(),
            after: common.after,
            step: Arc::from(step),
            asked: None,
        }
    }

    /// Its place in the usual order of a rollback: traffic and flags, the application, the database, Terraform. The old
    /// application works on the new schema where migrations are made as they should be, and the new one does not work on
    /// the old schema: so the application goes back first.
    pub fn rank(&self) -> u8 {
        match self.kind.as_str() {
            "alb-listener" | "ssm-parameter" | "appconfig" => 0,
            "ecs-service" | "ecs-image" | "ecs-environment" | "command" => 1,
            "migration" | "rds-restore" | "rds-pitr" => 2,
            _ => 1,
        }
    }
}
