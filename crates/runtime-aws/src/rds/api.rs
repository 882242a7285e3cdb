//! The calls to RDS.

use std::collections::BTreeMap;

use aws_sdk_rds::Client;
use aws_sdk_rds::operation::describe_db_instances::DescribeDbInstancesOutput;
use aws_sdk_rds::types::{CloudwatchLogsExportConfiguration, DbSnapshot, Filter, Tag};
use jiff::Timestamp;
use rollback_runbook::step::StepError;

use super::instance::{Instance, Settings};
use crate::account::Account;
use crate::failure::{Call, Refusal};

/// What a new instance is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Snapshot(String),
    /// An instance's state at a moment.
    Moment {
        instance: String,
        time: Timestamp,
    },
}

/// An instance; `None` where there is none.
pub(super) fn instance(account: &Account, id: &str) -> Result<Option<Instance>, StepError> {
    let what = format!("look at database instance {id}");
    let answer = account.call(&Call::looks(&what, "rds:DescribeDBInstances"), |config| {
        Client::new(config)
            .describe_db_instances()
            .db_instance_identifier(id)
            .send()
    });
    first_of(answer)
}

/// The instance of a resource id, whatever it is called now; `None` where there is none.
pub(super) fn of_resource(account: &Account, resource: &str) -> Result<Option<Instance>, StepError> {
    let what = format!("look at the database instance with the resource id {resource}");
    let filter = Filter::builder().name("dbi-resource-id").values(resource).build();
    let answer = account.call(&Call::looks(&what, "rds:DescribeDBInstances"), |config| {
        Client::new(config)
            .describe_db_instances()
            .filters(filter.clone())
            .send()
    });
    first_of(answer)
}

fn first_of(answer: Result<DescribeDbInstancesOutput, Refusal>) -> Result<Option<Instance>, StepError> {
    match answer {
        Ok(answer) => Ok(answer
            .db_instances
            .unwrap_or_default()
            .into_iter()
            .next()
            .map(Instance::from)),
        Err(refusal) if refusal.is(&["DBInstanceNotFound", "DBInstanceNotFoundFault"]) => Ok(None),
        Err(refusal) => Err(refusal.error),
    }
}

/// All instances of the account and region.
pub(super) fn instances(account: &Account) -> Result<Vec<Instance>, StepError> {
    let mut all = Vec::new();
    let mut marker: Option<String> = None;
    loop {
        let look = Call::looks("list the database instances", "rds:DescribeDBInstances");
        let page = account.call(&look, |config| {
            Client::new(config)
                .describe_db_instances()
                .set_marker(marker.take())
                .send()
        })?;
        all.extend(page.db_instances.unwrap_or_default().into_iter().map(Instance::from));
        marker = page.marker;
        if marker.is_none() {
            return Ok(all);
        }
    }
}

/// A snapshot; `None` where there is none.
pub(super) fn snapshot(account: &Account, id: &str) -> Result<Option<DbSnapshot>, StepError> {
    let what = format!("look at database snapshot {id}");
    let answer = account.call(&Call::looks(&what, "rds:DescribeDBSnapshots"), |config| {
        Client::new(config)
            .describe_db_snapshots()
            .db_snapshot_identifier(id)
            .send()
    });
    match answer {
        Ok(answer) => Ok(answer.db_snapshots.unwrap_or_default().into_iter().next()),
        Err(refusal) if refusal.is(&["DBSnapshotNotFound", "DBSnapshotNotFoundFault"]) => Ok(None),
        Err(refusal) => Err(refusal.error),
    }
}

/// All snapshots of an instance.
pub(super) fn snapshots(account: &Account, instance: &str) -> Result<Vec<DbSnapshot>, StepError> {
    let what = format!("list the snapshots of database instance {instance}");
    let mut all = Vec::new();
    let mut marker: Option<String> = None;
    loop {
        let page = account.call(&Call::looks(&what, "rds:DescribeDBSnapshots"), |config| {
            Client::new(config)
                .describe_db_snapshots()
                .db_instance_identifier(instance)
                .set_marker(marker.take())
                .send()
        })?;
        all.extend(page.db_snapshots.unwrap_or_default());
        marker = page.marker;
        if marker.is_none() {
            return Ok(all);
        }
    }
}

/// The first and the last moment that an instance can be restored to; `None` where it keeps no automatic backups.
pub(super) fn window(account: &Account, instance: &Instance) -> Result<Option<(Timestamp, Timestamp)>, StepError> {
    let what = format!("look at the automatic backups of database instance {}", instance.id);
    let answer = account.call(
        &Call::looks(&what, "rds:DescribeDBInstanceAutomatedBackups"),
        |config| {
            Client::new(config)
                .describe_db_instance_automated_backups()
                .db_instance_identifier(&instance.id)
                .send()
        },
    );
    let backups = match answer {
        Ok(answer) => answer.db_instance_automated_backups.unwrap_or_default(),
        Err(refusal) if refusal.is(&["DBInstanceAutomatedBackupNotFound"]) || refusal.is_denied() => Vec::new(),
        Err(refusal) => return Err(refusal.error),
    };
    let time = |at: Option<aws_smithy_types::DateTime>| Timestamp::from_second(at?.secs()).ok();
    let said = backups
        .into_iter()
        .filter_map(|backup| backup.restore_window)
        .find_map(|window| Some((time(window.earliest_time)?, time(window.latest_time)?)));
    // Without it the instance itself says the end, and the days that it keeps backups the beginning.
    let kept = || {
        let latest = instance.latest_restorable.filter(|_| instance.retention_days > 0)?;
        let days = jiff::SignedDuration::from_hours(24 * i64::from(instance.retention_days));
        let earliest = latest.checked_sub(days).ok()?;
        Some((
            instance.created.map_or(earliest, |created| created.max(earliest)),
            latest,
        ))
    };
    Ok(said.or_else(kept))
}

fn as_tags(tags: &BTreeMap<String, String>) -> Vec<Tag> {
    tags.iter()
        .map(|(key, value)| Tag::builder().key(key).value(value).build())
        .collect()
}

/// Begins to make an instance. One that is there already is left to whoever looks.
pub(super) fn restore(
    account: &Account,
    new: &str,
    source: &Source,
    settings: &Settings,
    tags: &BTreeMap<String, String>,
) -> Result<(), StepError> {
    let tags = as_tags(tags);
    let groups = (!settings.security_groups.is_empty()).then(|| settings.security_groups.clone());
    let exports = (!settings.log_exports.is_empty()).then(|| settings.log_exports.clone());
    // Both calls take the same settings, and the SDK has no name for what they share.
    macro_rules! with_settings {
        ($call:expr) => {
            $call
                .set_db_instance_class(settings.class.clone())
                .set_port(settings.port)
                .set_db_subnet_group_name(settings.subnet_group.clone())
                .set_vpc_security_group_ids(groups)
                .set_db_parameter_group_name(settings.parameter_group.clone())
                .set_option_group_name(settings.option_group.clone())
                .set_multi_az(settings.multi_az)
                .set_availability_zone(settings.availability_zone.clone())
                .set_publicly_accessible(settings.publicly_accessible)
                .set_storage_type(settings.storage_type.clone())
                .set_iops(settings.iops)
                .set_storage_throughput(settings.storage_throughput)
                .set_ca_certificate_identifier(settings.certificate_authority.clone())
                .set_auto_minor_version_upgrade(settings.minor_upgrades)
                .set_copy_tags_to_snapshot(settings.copy_tags)
                .set_enable_iam_database_authentication(settings.iam_authentication)
                .set_enable_cloudwatch_logs_exports(exports)
                .set_deletion_protection(settings.deletion_protection)
                .set_tags(Some(tags))
        };
    }
    let what = format!("restore database instance {new}");
    let refused = match source {
        Source::Snapshot(snapshot) => {
            let call = Call::changes(&what, "rds:RestoreDBInstanceFromDBSnapshot");
            let made = account.call(&call, |config| {
                let call = Client::new(config).restore_db_instance_from_db_snapshot();
                with_settings!(call.db_instance_identifier(new).db_snapshot_identifier(snapshot)).send()
            });
            made.err()
        }
        Source::Moment { instance, time } => {
            let call = Call::changes(&what, "rds:RestoreDBInstanceToPointInTime");
            let made = account.call(&call, |config| {
                let call = Client::new(config)
                    .restore_db_instance_to_point_in_time()
                    .set_max_allocated_storage(settings.max_allocated_storage);
                with_settings!(
                    call.source_db_instance_identifier(instance)
                        .target_db_instance_identifier(new)
                        .restore_time(aws_smithy_types::DateTime::from_secs(time.as_second()))
                )
                .send()
            });
            made.err()
        }
    };
    match refused {
        None => Ok(()),
        Some(refusal) if refusal.is(&["DBInstanceAlreadyExists", "DBInstanceAlreadyExistsFault"]) => Ok(()),
        Some(refusal) => Err(refusal.error),
    }
}

/// Sets an instance as another one is: what no restore takes (backups and their window, maintenance, monitoring, how far the
/// storage may grow), and what the other one has become since.
pub(super) fn settle(account: &Account, new: &Instance, settings: &Settings) -> Result<(), StepError> {
    let (id, is) = (&new.id, &new.settings);
    let what = format!("modify database instance {id}");
    // Only what differs: an engine or a class that does not know of a setting refuses to be asked for it.
    fn other<T: PartialEq + Clone>(is: &Option<T>, wanted: &Option<T>) -> Option<T> {
        wanted.clone().filter(|_| is != wanted)
    }
    let groups = (is.security_groups != settings.security_groups && !settings.security_groups.is_empty())
        .then(|| settings.security_groups.clone());
    let without = |all: &[String], those: &[String]| -> Vec<String> {
        all.iter().filter(|one| !those.contains(one)).cloned().collect()
    };
    let more = without(&settings.log_exports, &is.log_exports);
    let fewer = without(&is.log_exports, &settings.log_exports);
    let exports = (!more.is_empty() || !fewer.is_empty()).then(|| {
        let change = CloudwatchLogsExportConfiguration::builder();
        change
            .set_enable_log_types(Some(more))
            .set_disable_log_types(Some(fewer))
            .build()
    });
    let insights = other(&is.performance_insights, &settings.performance_insights);
    let with_insights = |text: &Option<String>| text.clone().filter(|_| insights == Some(true));
    account.call(&Call::changes(&what, "rds:ModifyDBInstance"), |config| {
        Client::new(config)
            .modify_db_instance()
            .db_instance_identifier(id)
            .set_db_instance_class(other(&is.class, &settings.class))
            .set_multi_az(other(&is.multi_az, &settings.multi_az))
            .set_publicly_accessible(other(&is.publicly_accessible, &settings.publicly_accessible))
            .set_vpc_security_group_ids(groups)
            .set_db_parameter_group_name(other(&is.parameter_group, &settings.parameter_group))
            .set_storage_type(other(&is.storage_type, &settings.storage_type))
            .set_iops(other(&is.iops, &settings.iops))
            .set_storage_throughput(other(&is.storage_throughput, &settings.storage_throughput))
            .set_max_allocated_storage(other(&is.max_allocated_storage, &settings.max_allocated_storage))
            .set_ca_certificate_identifier(other(&is.certificate_authority, &settings.certificate_authority))
            .set_auto_minor_version_upgrade(other(&is.minor_upgrades, &settings.minor_upgrades))
            .set_copy_tags_to_snapshot(other(&is.copy_tags, &settings.copy_tags))
            .set_enable_iam_database_authentication(other(&is.iam_authentication, &settings.iam_authentication))
            .set_deletion_protection(other(&is.deletion_protection, &settings.deletion_protection))
            .set_cloudwatch_logs_export_configuration(exports)
            .set_backup_retention_period(other(&is.backup_retention, &settings.backup_retention))
            .set_preferred_backup_window(other(&is.backup_window, &settings.backup_window))
            .set_preferred_maintenance_window(other(&is.maintenance_window, &settings.maintenance_window))
            .set_monitoring_interval(other(&is.monitoring_interval, &settings.monitoring_interval))
            .set_monitoring_role_arn(other(&is.monitoring_role, &settings.monitoring_role))
            .set_enable_performance_insights(insights)
            .set_performance_insights_kms_key_id(with_insights(&settings.performance_insights_key))
            .set_performance_insights_retention_period(
                settings
                    .performance_insights_retention
                    .filter(|_| insights == Some(true)),
            )
            .apply_immediately(true)
            .send()
    })?;
    Ok(())
}

/// Begins to give an instance another name. Its address follows, its resource id does not.
pub(super) fn rename(account: &Account, id: &str, name: &str) -> Result<(), StepError> {
    let what = format!("rename database instance {id} to {name}");
    account.call(&Call::changes(&what, "rds:ModifyDBInstance"), |config| {
        Client::new(config)
            .modify_db_instance()
            .db_instance_identifier(id)
            .new_db_instance_identifier(name)
            .apply_immediately(true)
            .send()
    })?;
    Ok(())
}

pub(super) fn tag(account: &Account, instance: &Instance, tags: &BTreeMap<String, String>) -> Result<(), StepError> {
    let what = format!("tag database instance {}", instance.id);
    account.call(&Call::changes(&what, "rds:AddTagsToResource"), |config| {
        Client::new(config)
            .add_tags_to_resource()
            .resource_name(&instance.arn)
            .set_tags(Some(as_tags(tags)))
            .send()
    })?;
    Ok(())
}

pub(super) fn untag(account: &Account, instance: &Instance, keys: &[&str]) -> Result<(), StepError> {
    let what = format!("take tags from database instance {}", instance.id);
    account.call(&Call::changes(&what, "rds:RemoveTagsFromResource"), |config| {
        let call = Client::new(config)
            .remove_tags_from_resource()
            .resource_name(&instance.arn);
        call.set_tag_keys(Some(keys.iter().map(|key| (*key).to_owned()).collect()))
            .send()
    })?;
    Ok(())
}
