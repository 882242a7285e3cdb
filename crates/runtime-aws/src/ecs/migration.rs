//! `migration` with `task = { … }`: the commands of the tool run where the application's code is, as one-off tasks.

use rollback_config::project::StepTable;
use rollback_runbook::step::{Step, USUAL_PATIENCE};
use rollback_runbook::steps::{MigrationSettings, MigrationStep};
use rollback_runbook::{Made, SettingsError};

use super::launch;
use super::task::TaskRunner;
use crate::account::Account;
use crate::settings::read;

pub(crate) fn migration(table: &StepTable, account: &Account) -> Made<dyn Step> {
    let (common, settings, account): (_, MigrationSettings, _) = read("step", table, account)?;
    let Some(task) = settings.task().cloned() else {
        return Err(SettingsError::of("step", table, "`task` says where its commands run"));
    };
    launch::check(table, &task)?;
    let patience = common.timeout.unwrap_or(USUAL_PATIENCE);
    let runner = TaskRunner::new(account, task, &common.name, patience);
    let step = MigrationStep::new(table, settings, Box::new(runner))?;
    Ok((common, Box::new(step)))
}
