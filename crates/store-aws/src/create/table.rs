use std::time::Duration;

use aws_sdk_dynamodb::error::BuildError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, ContinuousBackupsStatus, KeySchemaElement, KeyType,
    PointInTimeRecoverySpecification, PointInTimeRecoveryStatus, ScalarAttributeType, TableDescription, TableStatus,
    TimeToLiveStatus,
};
use rollback_release::StoreError;

use super::{Outcome, Setting, State, about, setting};
use crate::item::{PARTITION, SORT};
use crate::objects::code;
use crate::table::Table;

/// A new table is usually ready after ten seconds.
const READY_WITHIN: Duration = Duration::from_secs(180);

type Result<T> = std::result::Result<T, StoreError>;

fn place(table: &Table) -> String {
    format!("table {}", table.objects.location.table)
}

pub(super) async fn create(table: &Table, dry: bool, progress: &dyn Fn(&str)) -> Result<Vec<Setting>> {
    let mut settings = Vec::new();
    let found = describe(table).await?;
    let (found, state) = match found {
        None if dry => {
            let missing = [
                &*place(table),
                "deletion protection of the table",
                "point-in-time recovery of the table",
            ];
            return Ok(missing.map(|what| setting(what, Outcome::Missing)).into());
        }
        None => {
            progress(&format!("making {}", place(table)));
            make(table).await?;
            settings.push(setting(place(table), Outcome::Made));
            (ready(table, progress).await?, State::Fresh)
        }
        Some(found) => {
            check_keys(table, &found)?;
            settings.push(setting(place(table), Outcome::There));
            let found = match found.table_status {
                Some(TableStatus::Active) => found,
                _ if dry => found,
                _ => ready(table, progress).await?,
            };
            let empty = is_empty(table).await?;
            (found, if empty { State::Fresh } else { State::InUse })
        }
    };
    settings.push(deletion_protection(table, &found, state, dry).await?);
    settings.push(recovery(table, state, dry).await?);
    settings.extend(time_to_live(table).await?);
    Ok(settings)
}

async fn describe(table: &Table) -> Result<Option<TableDescription>> {
    let patience = &table.objects.patience;
    let ask = async || {
        table
            .client
            .describe_table()
            .table_name(&table.objects.location.table)
            .send()
            .await
    };
    match patience.persist(patience.record_attempt, ask).await {
        Ok(answer) => Ok(answer.table),
        Err(failed) if code(&failed.error) == "ResourceNotFoundException" => Ok(None),
        Err(failed) => Err(about(
            &table.objects,
            "look for",
            place(table),
            "dynamodb:DescribeTable",
        )(failed)),
    }
}

/// A table with other keys is somebody else's.
fn check_keys(table: &Table, found: &TableDescription) -> Result<()> {
    let keys: Vec<(&str, &KeyType)> = found
        .key_schema()
        .iter()
        .map(|element| (element.attribute_name(), element.key_type()))
        .collect();
    if keys == [(PARTITION, &KeyType::Hash), (SORT, &KeyType::Range)] {
        return Ok(());
    }
    let names: Vec<&str> = keys.iter().map(|(name, _)| *name).collect();
    Err(StoreError::NotAStore {
        place: place(table),
        reason: format!(
            "its keys are {}, a store's are {PARTITION} and {SORT}; name another table by ?table= in the store's URL",
            names.join(" and ")
        ),
    })
}

async fn make(table: &Table) -> Result<()> {
    let patience = &table.objects.patience;
    let schema = || -> std::result::Result<_, BuildError> {
        let text = |name| {
            AttributeDefinition::builder()
                .attribute_name(name)
                .attribute_type(ScalarAttributeType::S)
                .build()
        };
        let key = |name, kind| KeySchemaElement::builder().attribute_name(name).key_type(kind).build();
        Ok((
            vec![text(PARTITION)?, text(SORT)?],
            vec![key(PARTITION, KeyType::Hash)?, key(SORT, KeyType::Range)?],
        ))
    };
    let (attributes, keys) = schema().map_err(|error| StoreError::Unavailable {
        action: "make".to_owned(),
        place: place(table),
        source: error.into(),
        hint: None,
    })?;
    let make = async || {
        table
            .client
            .create_table()
            .table_name(&table.objects.location.table)
            .set_attribute_definitions(Some(attributes.clone()))
            .set_key_schema(Some(keys.clone()))
            .billing_mode(BillingMode::PayPerRequest)
            .deletion_protection_enabled(true)
            .send()
            .await
    };
    match patience.persist(patience.record_attempt, make).await {
        Ok(_) => Ok(()),
        // Another one who creates the same store, or one's own attempt whose answer was lost.
        Err(failed) if code(&failed.error) == "ResourceInUseException" => Ok(()),
        Err(failed) => Err(about(&table.objects, "make", place(table), "dynamodb:CreateTable")(
            failed,
        )),
    }
}

async fn ready(table: &Table, progress: &dyn Fn(&str)) -> Result<TableDescription> {
    let started = tokio::time::Instant::now();
    loop {
        // A table that was made a moment ago may not be seen at once.
        if let Some(found) = describe(table).await?
            && found.table_status == Some(TableStatus::Active)
        {
            return Ok(found);
        }
        if started.elapsed() > READY_WITHIN {
            return Err(StoreError::Busy {
                place: place(table),
                waited_seconds: READY_WITHIN.as_secs(),
            });
        }
        progress(&format!("waiting for {} to become active", place(table)));
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn is_empty(table: &Table) -> Result<bool> {
    let patience = &table.objects.patience;
    let ask = async || {
        table
            .client
            .scan()
            .table_name(&table.objects.location.table)
            .limit(1)
            .send()
            .await
    };
    let page = patience.persist(patience.record_attempt, ask).await;
    let page = page.map_err(about(&table.objects, "look into", place(table), "dynamodb:Scan"))?;
    Ok(page.items.unwrap_or_default().is_empty())
}

async fn deletion_protection(table: &Table, found: &TableDescription, state: State, dry: bool) -> Result<Setting> {
    let what = "deletion protection of the table";
    if found.deletion_protection_enabled == Some(true) {
        return Ok(setting(what, Outcome::There));
    }
    if state == State::InUse {
        let hint = format!(
            "aws dynamodb update-table --table-name {} --deletion-protection-enabled",
            table.objects.location.table
        );
        let found = "off".to_owned();
        return Ok(setting(what, Outcome::Different { found, hint }));
    }
    if dry {
        return Ok(setting(what, Outcome::Missing));
    }
    let patience = &table.objects.patience;
    let set = async || {
        table
            .client
            .update_table()
            .table_name(&table.objects.location.table)
            .deletion_protection_enabled(true)
            .send()
            .await
    };
    match patience.persist(patience.record_attempt, set).await {
        Ok(_) => Ok(setting(what, Outcome::Made)),
        // Emulators do not know the setting and miss another one.
        Err(failed) if matches!(code(&failed.error), "ValidationException" | "UnknownOperationException") => {
            Ok(setting(what, Outcome::Unsupported))
        }
        Err(failed) => Err(about(&table.objects, "protect", place(table), "dynamodb:UpdateTable")(
            failed,
        )),
    }
}

async fn recovery(table: &Table, state: State, dry: bool) -> Result<Setting> {
    let what = "point-in-time recovery of the table";
    let patience = &table.objects.patience;
    let ask = async || {
        table
            .client
            .describe_continuous_backups()
            .table_name(&table.objects.location.table)
            .send()
            .await
    };
    let found = match patience.persist(patience.record_attempt, ask).await {
        Ok(answer) => answer.continuous_backups_description,
        Err(failed) if code(&failed.error) == "UnknownOperationException" => {
            return Ok(setting(what, Outcome::Unsupported));
        }
        Err(failed) => {
            let permission = "dynamodb:DescribeContinuousBackups";
            return Err(about(&table.objects, "read the backups of", place(table), permission)(
                failed,
            ));
        }
    };
    let on = found.as_ref().is_some_and(|found| {
        found.continuous_backups_status == ContinuousBackupsStatus::Enabled
            && found
                .point_in_time_recovery_description
                .as_ref()
                .is_some_and(|recovery| {
                    recovery.point_in_time_recovery_status == Some(PointInTimeRecoveryStatus::Enabled)
                })
    });
    if on {
        return Ok(setting(what, Outcome::There));
    }
    if state == State::InUse {
        let hint = format!(
            "aws dynamodb update-continuous-backups --table-name {} --point-in-time-recovery-specification \
             PointInTimeRecoveryEnabled=true",
            table.objects.location.table
        );
        let found = "off".to_owned();
        return Ok(setting(what, Outcome::Different { found, hint }));
    }
    if dry {
        return Ok(setting(what, Outcome::Missing));
    }
    let specification = PointInTimeRecoverySpecification::builder()
        .point_in_time_recovery_enabled(true)
        .build()
        .ok();
    let started = tokio::time::Instant::now();
    loop {
        let set = async || {
            table
                .client
                .update_continuous_backups()
                .table_name(&table.objects.location.table)
                .set_point_in_time_recovery_specification(specification.clone())
                .send()
                .await
        };
        match patience.persist(patience.record_attempt, set).await {
            Ok(_) => return Ok(setting(what, Outcome::Made)),
            // A table that was made a moment ago has no backups yet.
            Err(failed)
                if code(&failed.error) == "ContinuousBackupsUnavailableException"
                    && started.elapsed() < READY_WITHIN =>
            {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            Err(failed) => {
                let permission = "dynamodb:UpdateContinuousBackups";
                return Err(about(
                    &table.objects,
                    "turn on the recovery of",
                    place(table),
                    permission,
                )(failed));
            }
        }
    }
}

/// Nothing where TTL is off, as it must be.
async fn time_to_live(table: &Table) -> Result<Option<Setting>> {
    let patience = &table.objects.patience;
    let ask = async || {
        table
            .client
            .describe_time_to_live()
            .table_name(&table.objects.location.table)
            .send()
            .await
    };
    let found = match patience.persist(patience.record_attempt, ask).await {
        Ok(answer) => answer.time_to_live_description,
        Err(failed) if code(&failed.error) == "UnknownOperationException" => return Ok(None),
        Err(failed) => {
            let permission = "dynamodb:DescribeTimeToLive";
            return Err(about(&table.objects, "read the TTL of", place(table), permission)(
                failed,
            ));
        }
    };
    let on = found.and_then(|found| found.time_to_live_status) == Some(TimeToLiveStatus::Enabled);
    let different = Outcome::Different {
        found: "on".to_owned(),
        hint: "turn it off: locks and journals must not vanish by themselves".to_owned(),
    };
    Ok(on.then(|| setting("TTL of the table", different)))
}
