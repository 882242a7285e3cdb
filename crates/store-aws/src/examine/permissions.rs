use rollback_release::{Created, Operation, StoreError, Version};

use super::{Finding, Probe};
use crate::create::about;
use crate::manifests;
use crate::transaction::transact;

/// Each action that the store needs, tried one after another.
pub(super) async fn examine(probe: &Probe<'_>) -> Vec<Finding> {
    let mut tried: Vec<(&str, Result<(), StoreError>)> = Vec::new();
    let object = probe.name("permissions");
    tried.push((
        "s3:PutObject",
        manifests::create(probe.objects, &object, b"probe").await.map(drop),
    ));
    tried.push(("s3:GetObject", probe.objects.get(&object, None).await.map(drop)));
    tried.push((
        "s3:ListBucket",
        probe.objects.list(&probe.folder, None, 1).await.map(drop),
    ));
    tried.push(("s3:DeleteObject", probe.objects.delete(&object).await));
    tried.push(("s3:GetBucketVersioning", probe.objects.versioning().await.map(drop)));

    let record = probe.name("record");
    let mut version: Option<Version> = None;
    let created = match probe.table.create(&record, b"probe").await {
        Ok(Created::Yes(made)) => {
            version = Some(made);
            Ok(())
        }
        Ok(Created::Exists) => Ok(()),
        Err(error) => Err(error),
    };
    tried.push(("dynamodb:PutItem", created));
    tried.push(("dynamodb:GetItem", probe.table.get(&record).await.map(drop)));
    tried.push((
        "dynamodb:Query",
        probe.table.keys(&probe.folder, None, 1).await.map(drop),
    ));
    tried.push(("dynamodb:Scan", scan_one(probe).await));
    if let Some(version) = &version {
        let fenced = probe.name("fenced");
        let operations = [
            Operation::Check {
                key: &record,
                expected: version,
            },
            Operation::Create {
                key: &fenced,
                value: b"probe",
            },
        ];
        tried.push((
            "dynamodb:ConditionCheckItem",
            transact(probe.table, &operations).await.map(drop),
        ));
        tried.push((
            "dynamodb:DeleteItem",
            probe.table.remove(&record, version).await.map(drop),
        ));
    }
    let number = tried.len();
    let failed: Vec<Finding> = tried
        .into_iter()
        .filter_map(|(permission, result)| Some(Finding::failed(permission, &result.err()?)))
        .collect();
    match failed.is_empty() {
        true => vec![Finding::good(
            "permissions",
            format!("all {number} were tried and are there"),
        )],
        false => failed,
    }
}

/// The whole table is not read for the sake of a question.
async fn scan_one(probe: &Probe<'_>) -> Result<(), StoreError> {
    let objects = probe.objects;
    let ask = async || {
        probe
            .table
            .client
            .scan()
            .table_name(&objects.location.table)
            .limit(1)
            .send()
            .await
    };
    let page = objects.patience.persist(objects.patience.record_attempt, ask).await;
    let place = format!("table {}", objects.location.table);
    page.map(drop)
        .map_err(about(objects, "look into", place, "dynamodb:Scan"))
}
