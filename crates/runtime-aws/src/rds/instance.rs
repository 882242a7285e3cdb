//! An instance, and what of it a restored one takes over.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_rds::types::DbInstance;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// In GiB, for most engines: from here on IOPS and throughput of gp3 can be chosen.
const SMALLEST_PROVISIONED_GP3: i32 = 400;

/// An instance as RDS has it.
#[derive(Clone, Debug)]
pub(super) struct Instance {
    pub id: String,
    /// What stays the same when it gets another name: `db-…`.
    pub resource: String,
    pub arn: String,
    /// `available`, `creating`, `incompatible-restore`, …
    pub status: String,
    /// Its host name, once it has one.
    pub address: Option<String>,
    pub settings: Settings,
    pub tags: BTreeMap<String, String>,
    pub created: Option<Timestamp>,
    pub latest_restorable: Option<Timestamp>,
    pub retention_days: i32,
    /// It belongs to an Aurora cluster.
    pub cluster: Option<String>,
    /// Names of its read replicas.
    pub replicas: Vec<String>,
    /// RDS itself keeps the password of its administrator in Secrets Manager.
    pub managed_password: bool,
}

/// What RDS would set to its defaults for a restored instance, and an application and its operators expect as it was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Settings {
    pub class: Option<String>,
    pub port: Option<i32>,
    pub subnet_group: Option<String>,
    #[serde(default)]
    pub security_groups: Vec<String>,
    /// Only where it is not the engine's default one.
    pub parameter_group: Option<String>,
    pub option_group: Option<String>,
    pub multi_az: Option<bool>,
    pub availability_zone: Option<String>,
    pub publicly_accessible: Option<bool>,
    pub storage_type: Option<String>,
    pub iops: Option<i32>,
    pub storage_throughput: Option<i32>,
    pub certificate_authority: Option<String>,
    pub minor_upgrades: Option<bool>,
    pub copy_tags: Option<bool>,
    pub iam_authentication: Option<bool>,
    #[serde(default)]
    pub log_exports: Vec<String>,
    pub deletion_protection: Option<bool>,
    pub max_allocated_storage: Option<i32>,
    /// Days that automatic backups are kept.
    pub backup_retention: Option<i32>,
    pub backup_window: Option<String>,
    pub maintenance_window: Option<String>,
    /// In seconds; 0 where nothing is watched.
    pub monitoring_interval: Option<i32>,
    pub monitoring_role: Option<String>,
    pub performance_insights: Option<bool>,
    pub performance_insights_key: Option<String>,
    /// In days.
    pub performance_insights_retention: Option<i32>,
}

impl Settings {
    /// What of it can be changed of an instance that is there. Lists are in no order.
    fn changeable(&self) -> impl PartialEq + '_ {
        let sorted = |list: &[String]| list.iter().cloned().collect::<BTreeSet<String>>();
        (
            (&self.class, self.multi_az, self.publicly_accessible),
            (sorted(&self.security_groups), &self.parameter_group),
            (
                &self.storage_type,
                self.iops,
                self.storage_throughput,
                self.max_allocated_storage,
            ),
            (&self.certificate_authority, self.minor_upgrades, self.copy_tags),
            (
                self.iam_authentication,
                self.deletion_protection,
                sorted(&self.log_exports),
            ),
            (self.backup_retention, &self.backup_window, &self.maintenance_window),
            (self.monitoring_interval, &self.monitoring_role),
            (
                self.performance_insights,
                &self.performance_insights_key,
                self.performance_insights_retention,
            ),
        )
    }

    /// Whether nothing has to be changed to make an instance with the one an instance with the other.
    pub(super) fn is_settled_as(&self, other: &Settings) -> bool {
        self.changeable() == other.changeable()
    }
}

impl Instance {
    pub(super) fn is_available(&self) -> bool {
        // `storage-optimization` and the like are words for an instance that answers and is busy with itself.
        matches!(
            self.status.as_str(),
            "available" | "storage-optimization" | "configuring-enhanced-monitoring"
        )
    }

    /// A state that it does not leave by itself.
    pub(super) fn is_lost(&self) -> bool {
        let lost = [
            "failed",
            "restore-error",
            "storage-full",
            "deleting",
            "inaccessible-encryption-credentials",
        ];
        lost.contains(&self.status.as_str()) || self.status.starts_with("incompatible-")
    }
}

impl From<DbInstance> for Instance {
    fn from(found: DbInstance) -> Instance {
        let time = |at: Option<aws_smithy_types::DateTime>| Timestamp::from_second(at?.secs()).ok();
        // The default groups are those that RDS takes by itself.
        let own = |name: Option<String>| name.filter(|name| !name.starts_with("default"));
        let endpoint = found.endpoint;
        // gp3 tells its baseline as if it had been asked for, and RDS refuses to be asked below this size:
        // https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/CHAP_Storage.html#gp3-storage
        let size = found.allocated_storage.unwrap_or_default();
        let provisioned = match found.storage_type.as_deref() {
            Some("gp3") => size >= SMALLEST_PROVISIONED_GP3,
            Some(other) => other.starts_with("io"),
            None => false,
        };
        let tags = found.tag_list.unwrap_or_default().into_iter();
        Instance {
            id: found.db_instance_identifier.unwrap_or_default(),
            resource: found.dbi_resource_id.unwrap_or_default(),
            arn: found.db_instance_arn.unwrap_or_default(),
            replicas: found.read_replica_db_instance_identifiers.unwrap_or_default(),
            status: found.db_instance_status.unwrap_or_default(),
            address: endpoint.as_ref().and_then(|endpoint| endpoint.address.clone()),
            created: time(found.instance_create_time),
            latest_restorable: time(found.latest_restorable_time),
            retention_days: found.backup_retention_period.unwrap_or_default(),
            cluster: found.db_cluster_identifier,
            managed_password: found.master_user_secret.is_some(),
            tags: tags
                .filter_map(|tag| Some((tag.key?, tag.value.unwrap_or_default())))
                .collect(),
            settings: Settings {
                class: found.db_instance_class,
                port: endpoint.and_then(|endpoint| endpoint.port),
                subnet_group: found.db_subnet_group.and_then(|group| group.db_subnet_group_name),
                security_groups: found
                    .vpc_security_groups
                    .unwrap_or_default()
                    .into_iter()
                    .filter_map(|group| group.vpc_security_group_id)
                    .collect(),
                parameter_group: own(found
                    .db_parameter_groups
                    .and_then(|groups| groups.into_iter().next()?.db_parameter_group_name)),
                option_group: own(found
                    .option_group_memberships
                    .and_then(|groups| groups.into_iter().next()?.option_group_name)),
                // RDS chooses the zones of an instance that has two.
                availability_zone: found.availability_zone.filter(|_| found.multi_az != Some(true)),
                multi_az: found.multi_az,
                publicly_accessible: found.publicly_accessible,
                storage_type: found.storage_type,
                iops: found.iops.filter(|iops| *iops > 0 && provisioned),
                storage_throughput: found
                    .storage_throughput
                    .filter(|throughput| *throughput > 0 && provisioned),
                certificate_authority: found.ca_certificate_identifier,
                minor_upgrades: found.auto_minor_version_upgrade,
                copy_tags: found.copy_tags_to_snapshot,
                iam_authentication: found.iam_database_authentication_enabled,
                log_exports: found.enabled_cloudwatch_logs_exports.unwrap_or_default(),
                deletion_protection: found.deletion_protection,
                max_allocated_storage: found.max_allocated_storage,
                backup_retention: found.backup_retention_period,
                backup_window: found.preferred_backup_window,
                maintenance_window: found.preferred_maintenance_window,
                monitoring_interval: found.monitoring_interval,
                monitoring_role: found.monitoring_role_arn,
                performance_insights: found.performance_insights_enabled,
                performance_insights_key: found.performance_insights_kms_key_id,
                performance_insights_retention: found.performance_insights_retention_period,
            },
        }
    }
}
