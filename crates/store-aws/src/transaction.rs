//! Several records at once: TransactWriteItems.

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    CancellationReason, ConditionCheck, Delete, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem,
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use futures_util::{StreamExt, TryStreamExt};
use rollback_release::{Operation, StoreError, Transacted, Version, check_transaction};
use uuid::Uuid;

use crate::blobs::PARALLEL;
use crate::failure::unproven;
use crate::item::{Draft, primary_key, version_of};
use crate::patience::{Verdict, verdict};
use crate::table::Table;

/// DynamoDB takes 4 MB in one transaction, keys and names counted.
const LARGEST_SUM: usize = 3 << 20;

type Answer<T> = Result<T, SdkError<TransactWriteItemsError, HttpResponse>>;

/// See [`rollback_release::Store::transact`].
pub(crate) async fn transact(table: &Table, operations: &[Operation<'_>]) -> Result<Transacted, StoreError> {
    check_transaction(operations)?;
    if operations.is_empty() {
        return Ok(Transacted::Yes(Vec::new()));
    }
    let drafts = drafts(table, operations)?;
    let drafts: Vec<Option<Draft>> = futures_util::stream::iter(drafts)
        .map(async |mut draft| {
            if let Some(draft) = &mut draft {
                table.spill(draft).await?;
            }
            Ok::<_, StoreError>(draft)
        })
        .buffered(PARALLEL)
        .try_collect()
        .await?;
    let items = operations
        .iter()
        .zip(&drafts)
        .map(|(operation, draft)| item(table, operation, draft.as_ref()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| StoreError::Unavailable {
            action: "write to".to_owned(),
            place: format!("table {}", table.objects.location.table),
            source: error.into(),
            hint: None,
        })?;
    // DynamoDB carries out requests with one token once within ten minutes.
    let token = Uuid::new_v4().to_string();
    let write = async || -> Answer<_> {
        table
            .client
            .transact_write_items()
            .set_transact_items(Some(items.clone()))
            .client_request_token(&token)
            .send()
            .await
    };
    let patience = &table.objects.patience;
    let failed = match patience.persist_judging(patience.record_attempt, judge, write).await {
        Ok(_) => {
            for operation in operations {
                if let Operation::Replace { key, expected, .. } | Operation::Remove { key, expected } = operation {
                    table.forget(key, expected).await;
                }
            }
            return Ok(Transacted::Yes(versions(operations, &drafts)));
        }
        Err(failed) => failed,
    };
    let call = table.call("write", operations[0].key(), "dynamodb:PutItem");
    if failed.verdict != Verdict::Condition {
        return Err(table.failed(&call, &failed));
    }
    let reasons = reasons(&failed.error);
    // All or nothing: where one of the new versions is there, this very transaction was done.
    let done = reasons.iter().zip(&drafts).any(|(reason, draft)| {
        let there = reason.item.as_ref().and_then(version_of);
        draft
            .as_ref()
            .is_some_and(|draft| there == Some(draft.version.as_str()))
    });
    if done {
        return Ok(Transacted::Yes(versions(operations, &drafts)));
    }
    if failed.maybe_done {
        return Err(unproven(&call));
    }
    for (operation, draft) in operations.iter().zip(&drafts) {
        if let Some(draft) = draft {
            table.forget(operation.key(), &draft.version).await;
        }
    }
    let operation = reasons.iter().position(is_condition).unwrap_or_default();
    Ok(Transacted::Refused { operation })
}

/// What is written anew, the largest values in objects if all of them together are too large.
fn drafts(table: &Table, operations: &[Operation<'_>]) -> Result<Vec<Option<Draft>>, StoreError> {
    let location = &table.objects.location;
    let with = |most: usize| {
        let draft = |operation: &Operation<'_>| match operation {
            Operation::Create { key, value } | Operation::Replace { key, value, .. } => {
                Draft::new(location, key, value, most).map(Some)
            }
            Operation::Check { .. } | Operation::Remove { .. } => Ok(None),
        };
        operations.iter().map(draft).collect::<Result<Vec<_>, _>>()
    };
    let drafts = with(usize::MAX)?;
    let sum: usize = drafts.iter().flatten().map(|draft| draft.inline_bytes).sum();
    if sum <= LARGEST_SUM {
        return Ok(drafts);
    }
    with(LARGEST_SUM / operations.len())
}

fn item(
    table: &Table,
    operation: &Operation<'_>,
    draft: Option<&Draft>,
) -> Result<TransactWriteItem, aws_sdk_dynamodb::error::BuildError> {
    let location = &table.objects.location;
    let put = || {
        Put::builder()
            .table_name(&location.table)
            .set_item(draft.map(|draft| draft.attributes.clone()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
    };
    let item = TransactWriteItem::builder();
    let item = match operation {
        Operation::Create { .. } => item.put(if_absent!(put()).build()?),
        Operation::Replace { expected, .. } => item.put(if_unchanged!(put(), expected).build()?),
        Operation::Check { key, expected } => {
            let check = ConditionCheck::builder().table_name(&location.table);
            let check = check.set_key(Some(primary_key(location, key)));
            item.condition_check(if_unchanged!(check, expected).build()?)
        }
        Operation::Remove { key, expected } => {
            let delete = Delete::builder().table_name(&location.table);
            let delete = delete.set_key(Some(primary_key(location, key)));
            item.delete(if_unchanged!(delete, expected).build()?)
        }
    };
    Ok(item.build())
}

fn versions(operations: &[Operation<'_>], drafts: &[Option<Draft>]) -> Vec<Version> {
    let version = |(operation, draft): (&Operation<'_>, &Option<Draft>)| match (operation, draft) {
        (_, Some(draft)) => Some(draft.version.clone()),
        (Operation::Check { expected, .. } | Operation::Remove { expected, .. }, None) => Some((*expected).clone()),
        _ => None,
    };
    operations.iter().zip(drafts).filter_map(version).collect()
}

fn reasons(error: &SdkError<TransactWriteItemsError, HttpResponse>) -> &[CancellationReason] {
    match error.as_service_error() {
        Some(TransactWriteItemsError::TransactionCanceledException(canceled)) => canceled.cancellation_reasons(),
        _ => &[],
    }
}

fn is_condition(reason: &CancellationReason) -> bool {
    reason.code.as_deref() == Some("ConditionalCheckFailed")
}

/// A cancelled transaction says for each operation why; other writers and throttling are no refusal.
fn judge(error: &SdkError<TransactWriteItemsError, HttpResponse>) -> Verdict {
    if let Some(TransactWriteItemsError::TransactionCanceledException(_)) = error.as_service_error() {
        let reasons = reasons(error);
        if reasons.iter().any(is_condition) {
            return Verdict::Condition;
        }
        let again = |reason: &CancellationReason| {
            matches!(
                reason.code.as_deref(),
                Some("TransactionConflict" | "ThrottlingError" | "ProvisionedThroughputExceeded")
            )
        };
        return if reasons.iter().any(again) {
            Verdict::Refused
        } else {
            Verdict::Final
        };
    }
    verdict(error)
}
