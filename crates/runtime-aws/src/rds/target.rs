//! Where a database is asked to go, and what there is to go to.

use jiff::Timestamp;
use rollback_config::project::StepTable;
use rollback_runbook::step::{Binding, StepError};
use serde::Deserialize;
use serde_json::json;

use super::api::{self, Source};
use super::application::Count;
use super::database::Database;
use crate::account::Account;
use crate::settings::{as_step_error, parse};

/// A snapshot of a database, for a person to choose from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    pub id: String,
    /// The instance that it was taken of.
    pub instance: String,
    pub created: Option<Timestamp>,
    /// `available`, `creating`, …
    pub status: String,
    /// `automated`, `manual`, …
    pub kind: String,
    pub engine: String,
    /// In GiB.
    pub size: i32,
}

/// A target: one of these.
#[derive(Clone, Debug, Deserialize)]
struct Asked {
    snapshot: Option<String>,
    restore_time: Option<String>,
    /// Whatever tells one restore from another of the same snapshot: the run.
    #[serde(default)]
    run: String,
    /// A binding: the instance that was used then, and how many tasks of each service there were.
    instance: Option<String>,
    resource: Option<String>,
    #[serde(default)]
    services: Vec<Count>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// An instance that is there already: the way back of a restore.
    Instance {
        id: String,
        /// By which it is known whatever it is called now; none in bindings of places that were repointed.
        resource: Option<String>,
        /// How many tasks there were then.
        services: Vec<Count>,
    },
    /// A new one, of this run.
    New { source: Source, run: String },
}

impl Target {
    /// `current` is the instance that is used now, of which a moment is restored.
    pub(super) fn read(binding: &Binding, current: &str) -> Result<Target, StepError> {
        let asked: Asked = parse(binding)?;
        match (asked.snapshot, asked.restore_time, asked.instance) {
            (Some(snapshot), None, None) => Ok(Target::New {
                source: Source::Snapshot(snapshot),
                run: asked.run,
            }),
            (None, Some(time), None) => Ok(Target::New {
                source: Source::Moment {
                    instance: current.to_owned(),
                    time: moment(&time)?,
                },
                run: asked.run,
            }),
            (None, None, Some(id)) => Ok(Target::Instance {
                id,
                resource: asked.resource,
                services: asked.services,
            }),
            _ => Err(StepError::untouched(
                "it is not said what the database is to be restored from",
            )),
        }
    }
}

impl Target {
    /// How many tasks of a service there are to be in the end: as many as there were when it began. Where a restore that was
    /// cut off had stopped them, as many as there were before it.
    pub(super) fn tasks(&self, count: &Count) -> i32 {
        let then = match self {
            Target::Instance { services, .. } => services
                .iter()
                .find(|then| then.is_of(count))
                .map_or(0, |then| then.desired),
            Target::New { .. } => 0,
        };
        if count.desired > 0 { count.desired } else { then }
    }
}

fn moment(text: &str) -> Result<Timestamp, StepError> {
    text.parse().map_err(|_| {
        StepError::untouched(format!("{text} is no moment that a database can be restored to"))
            .hint("write it with its offset: 2026-01-15T10:30:00Z or 2026-01-15T12:30:00+02:00")
    })
}

/// The target for a step of kind `rds-restore` or `rds-pitr`, as `--restore-database NAME[=SNAPSHOT|TIME]` asks for it.
/// Without a value the newest snapshot, which is looked up here and once: whoever resumes must not meet a newer one. `run`
/// tells this restore from every other, so that none takes another's instance for its own.
///
/// # Errors
/// The table cannot be used, RDS cannot be asked, there is no snapshot, or the value is no moment.
pub fn database_target(
    table: &StepTable,
    account: &Account,
    asked: Option<&str>,
    run: &str,
) -> Result<Binding, StepError> {
    if table.kind == "rds-pitr" {
        let asked = asked.ok_or_else(|| {
            StepError::untouched("it is not said which moment the database is to be restored to")
                .hint("write --restore-database NAME=2026-01-15T10:30:00Z")
        })?;
        return Ok(json!({ "restore_time": moment(asked)?.to_string(), "run": run }));
    }
    let snapshot = match asked {
        Some(asked) => asked.to_owned(),
        None => {
            let all = snapshots(table, account)?;
            let newest = all.into_iter().find(|snapshot| snapshot.status == "available");
            newest
                .ok_or_else(|| StepError::untouched("there is no snapshot of the database"))?
                .id
        }
    };
    Ok(json!({ "snapshot": snapshot, "run": run }))
}

/// The snapshots of the database of a step, newest first.
///
/// # Errors
/// The table cannot be used, or RDS cannot be asked.
pub fn snapshots(table: &StepTable, account: &Account) -> Result<Vec<Snapshot>, StepError> {
    let (_, database) = Database::new(table, account).map_err(as_step_error)?;
    let mut all: Vec<Snapshot> = Vec::new();
    for instance in database.instances()? {
        for found in api::snapshots(&database.account, &instance)? {
            let id = found.db_snapshot_identifier.unwrap_or_default();
            if all.iter().any(|known| known.id == id) {
                continue;
            }
            all.push(Snapshot {
                id,
                instance: found.db_instance_identifier.unwrap_or_default(),
                created: found
                    .snapshot_create_time
                    .and_then(|at| Timestamp::from_second(at.secs()).ok()),
                status: found.status.unwrap_or_default(),
                kind: found.snapshot_type.unwrap_or_default(),
                engine: format!(
                    "{} {}",
                    found.engine.unwrap_or_default(),
                    found.engine_version.unwrap_or_default()
                ),
                size: found.allocated_storage.unwrap_or_default(),
            });
        }
    }
    all.sort_by(|one, other| (other.created, &one.id).cmp(&(one.created, &other.id)));
    Ok(all)
}
