//! Records as items of the one table, changed by conditional writes only.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure};
use futures_util::{StreamExt, TryStreamExt};
use rollback_release::{Created, Entry, Replaced, StoreError, Version};

use crate::blobs::PARALLEL;
use crate::compression::decompress;
use crate::failure::{Call, of_call, unproven};
use crate::item::{
    Attributes, Draft, Found, PARTITION, SORT, VERSION, partition_of_prefix, place, primary_key, read, spilled_object,
    version_of,
};
use crate::objects::{Objects, Put, When};
use crate::patience::{Failed, Verdict};

/// Above every character that a key may have.
const ABOVE: char = '~';
/// Below every character that a key may have.
const BELOW: char = '!';

/// How often a value is looked for that was in an object when its item was read, and was replaced meanwhile.
const REREADS: usize = 10;

#[derive(Clone)]
pub(crate) struct Table {
    pub client: aws_sdk_dynamodb::Client,
    /// For values too large for an item.
    pub objects: Objects,
}

impl Table {
    pub(crate) fn call<'a>(&self, action: &'a str, key: &str, permission: &'static str) -> Call<'a> {
        Call {
            action,
            place: place(&self.objects.location, key),
            permission,
        }
    }

    pub(crate) fn failed<E>(&self, call: &Call<'_>, failed: &Failed<E>) -> StoreError
    where
        E: aws_smithy_types::error::metadata::ProvideErrorMetadata + std::error::Error + 'static,
    {
        of_call(&self.objects.location, self.objects.region.as_deref(), call, failed)
    }

    pub(crate) async fn get(&self, key: &str) -> Result<Option<(Vec<u8>, Version)>, StoreError> {
        let call = self.call("read", key, "dynamodb:GetItem");
        for _ in 0..REREADS {
            let ask = async || {
                self.client
                    .get_item()
                    .table_name(&self.objects.location.table)
                    .set_key(Some(primary_key(&self.objects.location, key)))
                    .consistent_read(true)
                    .send()
                    .await
            };
            let answer = self
                .objects
                .patience
                .persist(self.objects.patience.record_attempt, ask)
                .await;
            let answer = answer.map_err(|failed| self.failed(&call, &failed))?;
            let Some(item) = answer.item else { return Ok(None) };
            if let Some(entry) = self.resolve(read(&self.objects.location, &item)?).await? {
                return Ok(Some((entry.value, entry.version)));
            }
        }
        Err(self.lost_value(key))
    }

    /// The version that a record has now; its value is not read.
    pub(crate) async fn version(&self, key: &str) -> Result<Option<Version>, StoreError> {
        let ask = async || {
            self.client
                .get_item()
                .table_name(&self.objects.location.table)
                .set_key(Some(primary_key(&self.objects.location, key)))
                .consistent_read(true)
                .projection_expression("#v")
                .expression_attribute_names("#v", VERSION)
                .send()
                .await
        };
        let patience = &self.objects.patience;
        let answer = patience.persist(patience.record_attempt, ask).await;
        let answer = answer.map_err(|failed| self.failed(&self.call("read", key, "dynamodb:GetItem"), &failed))?;
        Ok(answer.item.as_ref().and_then(version_of).map(Version::new))
    }

    /// A record with its value, fetched from its object where it lies there; `None` where that object is gone.
    async fn resolve(&self, found: Found) -> Result<Option<Entry>, StoreError> {
        let Found { key, version, value } = found;
        let value = match value {
            Some(value) => value,
            None => {
                let Some(name) = spilled_object(&key, &version) else {
                    return Err(self.lost_value(&key));
                };
                let Some((compressed, _)) = self.objects.get(&name, None).await? else {
                    return Ok(None);
                };
                decompress(&compressed).map_err(|reason| StoreError::Damaged {
                    place: self.objects.location.object(&name),
                    reason: format!("it {reason}"),
                })?
            }
        };
        Ok(Some(Entry { key, value, version }))
    }

    fn lost_value(&self, key: &str) -> StoreError {
        StoreError::Damaged {
            place: place(&self.objects.location, key),
            reason: "the object that holds its value is gone".to_owned(),
        }
    }

    /// Puts the value's object there before its item, where it has one.
    pub(crate) async fn spill(&self, draft: &mut Draft) -> Result<(), StoreError> {
        if let Some((name, content)) = &mut draft.spilled {
            match self
                .objects
                .put(name, std::mem::take(content), None, When::Always)
                .await?
            {
                Put::Done(_) | Put::Refused { .. } => {}
            }
        }
        Ok(())
    }

    /// Removes the object of a version that is no longer anybody's. What stays behind costs a little and does no harm.
    pub(crate) async fn forget(&self, key: &str, version: &Version) {
        if let Some(name) = spilled_object(key, version)
            && let Err(error) = self.objects.delete(&name).await
        {
            tracing::warn!(%error, "a value that was replaced stays behind");
        }
    }

    pub(crate) async fn create(&self, key: &str, value: &[u8]) -> Result<Created, StoreError> {
        Ok(match self.write(key, None, value).await? {
            Some(version) => Created::Yes(version),
            None => Created::Exists,
        })
    }

    pub(crate) async fn replace(&self, key: &str, expected: &Version, value: &[u8]) -> Result<Replaced, StoreError> {
        Ok(match self.write(key, Some(expected), value).await? {
            Some(version) => Replaced::Yes(version),
            None => Replaced::Changed,
        })
    }

    /// `None` where the condition does not hold.
    async fn write(&self, key: &str, expected: Option<&Version>, value: &[u8]) -> Result<Option<Version>, StoreError> {
        let mut draft = Draft::new(&self.objects.location, key, value, usize::MAX)?;
        self.spill(&mut draft).await?;
        let put = async || {
            let request = self
                .client
                .put_item()
                .table_name(&self.objects.location.table)
                .set_item(Some(draft.attributes.clone()))
                .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
            match expected {
                None => if_absent!(request),
                Some(version) => if_unchanged!(request, version),
            }
            .send()
            .await
        };
        let failed = match self
            .objects
            .patience
            .persist(self.objects.patience.record_attempt, put)
            .await
        {
            Ok(_) => {
                if let Some(expected) = expected {
                    self.forget(key, expected).await;
                }
                return Ok(Some(draft.version));
            }
            Err(failed) => failed,
        };
        let call = self.call("write", key, "dynamodb:PutItem");
        if failed.verdict != Verdict::Condition {
            return Err(self.failed(&call, &failed));
        }
        // Read back before it is called a conflict: it may be this very write.
        let there = match failed.error.as_service_error() {
            Some(aws_sdk_dynamodb::operation::put_item::PutItemError::ConditionalCheckFailedException(refusal)) => {
                refusal.item.as_ref().and_then(version_of)
            }
            _ => None,
        };
        if there == Some(draft.version.as_str()) {
            return Ok(Some(draft.version));
        }
        if failed.maybe_done {
            return Err(unproven(&call));
        }
        self.forget(key, &draft.version).await;
        Ok(None)
    }

    pub(crate) async fn remove(&self, key: &str, expected: &Version) -> Result<Replaced, StoreError> {
        let remove = async || {
            let request = self
                .client
                .delete_item()
                .table_name(&self.objects.location.table)
                .set_key(Some(primary_key(&self.objects.location, key)));
            if_unchanged!(request, expected).send().await
        };
        let call = self.call("remove", key, "dynamodb:DeleteItem");
        match self
            .objects
            .patience
            .persist(self.objects.patience.record_attempt, remove)
            .await
        {
            Ok(_) => {
                self.forget(key, expected).await;
                Ok(Replaced::Yes(expected.clone()))
            }
            Err(failed) if failed.verdict == Verdict::Condition && failed.maybe_done => Err(unproven(&call)),
            Err(failed) if failed.verdict == Verdict::Condition => Ok(Replaced::Changed),
            Err(failed) => Err(self.failed(&call, &failed)),
        }
    }

    /// Keys in ascending order.
    pub(crate) async fn keys(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        let items = self.page(prefix, after, None, limit, true, false).await?;
        Ok(items.into_iter().filter_map(|item| sort_key(&item)).collect())
    }

    /// Keys in descending order.
    pub(crate) async fn keys_newest(
        &self,
        prefix: &str,
        before: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        let items = self.page(prefix, None, before, limit, false, false).await?;
        Ok(items.into_iter().filter_map(|item| sort_key(&item)).collect())
    }

    /// Records in ascending order of keys. One that is removed meanwhile may be passed over.
    pub(crate) async fn entries(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        let items = self.page(prefix, after, None, limit, true, true).await?;
        let found: Vec<Option<Entry>> = futures_util::stream::iter(items)
            .map(async |item| {
                let found = read(&self.objects.location, &item)?;
                let key = found.key.clone();
                match self.resolve(found).await? {
                    Some(entry) => Ok(Some(entry)),
                    // Replaced or removed between the listing and now.
                    None => Ok(self
                        .get(&key)
                        .await?
                        .map(|(value, version)| Entry { key, value, version })),
                }
            })
            .buffered(PARALLEL)
            .try_collect()
            .await?;
        Ok(found.into_iter().flatten().collect())
    }

    /// Items whose key begins with `prefix` and lies between `after` and `before`, both left out, at most `limit`.
    async fn page(
        &self,
        prefix: &str,
        after: Option<&str>,
        before: Option<&str>,
        limit: usize,
        upwards: bool,
        values: bool,
    ) -> Result<Vec<Attributes>, StoreError> {
        let from = match after {
            Some(after) if after >= prefix => format!("{after}{BELOW}"),
            _ => prefix.to_owned(),
        };
        let all = format!("{prefix}{ABOVE}");
        // The end is included, so that one more may be needed.
        let to = before.filter(|before| **before < *all).unwrap_or(&all);
        if limit == 0 || *from > *to {
            return Ok(Vec::new());
        }
        let wanted = |item: &Attributes| sort_key(item).is_some_and(|key| Some(key.as_str()) != before);
        match partition_of_prefix(&self.objects.location, prefix) {
            Some(partition) => {
                let range = Range {
                    partition,
                    from: &from,
                    to,
                    upwards,
                    values,
                };
                self.query(&range, limit, wanted).await
            }
            None => {
                let mut items = self.scan(&from, to, values).await?;
                items.retain(wanted);
                items.sort_by_cached_key(sort_key);
                if !upwards {
                    items.reverse();
                }
                items.truncate(limit);
                Ok(items)
            }
        }
    }

    async fn query(
        &self,
        range: &Range<'_>,
        limit: usize,
        wanted: impl Fn(&Attributes) -> bool,
    ) -> Result<Vec<Attributes>, StoreError> {
        let call = Call {
            action: "list",
            place: format!("{} in table {}", range.partition, self.objects.location.table),
            permission: "dynamodb:Query",
        };
        let mut found: Vec<Attributes> = Vec::new();
        let mut start: Option<Attributes> = None;
        while found.len() < limit {
            let ask = async || {
                let request = self
                    .client
                    .query()
                    .table_name(&self.objects.location.table)
                    .consistent_read(true)
                    .key_condition_expression("#p = :partition AND #s BETWEEN :from AND :to")
                    .expression_attribute_names("#p", PARTITION)
                    .expression_attribute_names("#s", SORT)
                    .expression_attribute_values(":partition", AttributeValue::S(range.partition.clone()))
                    .expression_attribute_values(":from", AttributeValue::S(range.from.to_owned()))
                    .expression_attribute_values(":to", AttributeValue::S(range.to.to_owned()))
                    .scan_index_forward(range.upwards)
                    .limit(i32::try_from((limit - found.len()).saturating_add(1)).unwrap_or(i32::MAX))
                    .set_exclusive_start_key(start.clone());
                match range.values {
                    true => request,
                    false => request.projection_expression("#s"),
                }
                .send()
                .await
            };
            let page = self
                .objects
                .patience
                .persist(self.objects.patience.record_attempt, ask)
                .await;
            let page = page.map_err(|failed| self.failed(&call, &failed))?;
            found.extend(page.items.unwrap_or_default().into_iter().filter(&wanted));
            start = page.last_evaluated_key.filter(|key| !key.is_empty());
            if start.is_none() {
                break;
            }
        }
        found.truncate(limit);
        Ok(found)
    }

    /// The whole table, for prefixes of several partitions: copying a store and collecting garbage, nothing else.
    async fn scan(&self, from: &str, to: &str, values: bool) -> Result<Vec<Attributes>, StoreError> {
        let call = Call {
            action: "list all records of",
            place: format!("table {}", self.objects.location.table),
            permission: "dynamodb:Scan",
        };
        let own = self.objects.location.name("");
        let mut found: Vec<Attributes> = Vec::new();
        let mut start: Option<Attributes> = None;
        loop {
            let ask = async || {
                let mut conditions = vec!["#s < :to"];
                let mut bounds = HashMap::from([(":to".to_owned(), AttributeValue::S(to.to_owned()))]);
                if !from.is_empty() {
                    conditions.push("#s >= :from");
                    bounds.insert(":from".to_owned(), AttributeValue::S(from.to_owned()));
                }
                if !own.is_empty() {
                    conditions.push("begins_with(#p, :own)");
                    bounds.insert(":own".to_owned(), AttributeValue::S(own.clone()));
                }
                // A name that no expression has is an error.
                let named = (!own.is_empty() || !values).then_some(("#p".to_owned(), PARTITION.to_owned()));
                let request = self
                    .client
                    .scan()
                    .table_name(&self.objects.location.table)
                    .consistent_read(true)
                    .filter_expression(conditions.join(" AND "))
                    .set_expression_attribute_names(Some(named.into_iter().collect()))
                    .expression_attribute_names("#s", SORT)
                    .set_expression_attribute_values(Some(bounds))
                    .set_exclusive_start_key(start.clone());
                match values {
                    true => request,
                    false => request.projection_expression("#p, #s"),
                }
                .send()
                .await
            };
            let page = self
                .objects
                .patience
                .persist(self.objects.patience.object_attempt, ask)
                .await;
            let page = page.map_err(|failed| self.failed(&call, &failed))?;
            // Another store's prefix may begin as ours does.
            found.extend(page.items.unwrap_or_default().into_iter().filter(|item| {
                sort_key(item).is_some_and(|key| {
                    let there = item.get(PARTITION).and_then(|value| value.as_s().ok());
                    there == Some(&crate::item::partition(&self.objects.location, &key))
                })
            }));
            start = page.last_evaluated_key.filter(|key| !key.is_empty());
            if start.is_none() {
                return Ok(found);
            }
        }
    }
}

struct Range<'a> {
    partition: String,
    from: &'a str,
    to: &'a str,
    upwards: bool,
    values: bool,
}

fn sort_key(item: &Attributes) -> Option<String> {
    item.get(SORT).and_then(|value| value.as_s().ok()).cloned()
}
