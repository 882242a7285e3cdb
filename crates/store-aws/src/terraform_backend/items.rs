//! Items of Terraform's lock table: the lock and the digest of a state, each under a path.

use std::collections::HashMap;

use aws_sdk_dynamodb::operation::delete_item::builders::DeleteItemFluentBuilder;
use aws_sdk_dynamodb::operation::put_item::builders::PutItemFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use rollback_terraform::TerraformError;

use super::clients::Clients;
use super::failure::Failure;

/// The table's key.
const KEY: &str = "LockID";

/// One item of the table.
pub struct Item<'a> {
    pub clients: &'a Clients,
    pub table: &'a str,
    pub path: String,
    /// For people: `lock` or `digest`.
    pub what: &'static str,
}

impl Item<'_> {
    fn key(&self) -> AttributeValue {
        AttributeValue::S(self.path.clone())
    }

    pub fn get(&self) -> Result<Option<HashMap<String, AttributeValue>>, TerraformError> {
        let request = self.clients.dynamodb.get_item().table_name(self.table);
        let answer = self
            .clients
            .wait(request.key(KEY, self.key()).consistent_read(true).send());
        match answer {
            Ok(output) => Ok(output.item),
            Err(error) => Err(self.told(Failure::of(&error), "read", "dynamodb:GetItem")),
        }
    }

    /// A write of the whole item, nothing in it but its key.
    pub fn put(&self) -> PutItemFluentBuilder {
        let request = self.clients.dynamodb.put_item();
        request.table_name(self.table).item(KEY, self.key())
    }

    pub fn delete(&self) -> DeleteItemFluentBuilder {
        let request = self.clients.dynamodb.delete_item();
        request.table_name(self.table).key(KEY, self.key())
    }

    /// Whether a request was carried out: not where its condition does not hold.
    pub fn done<T, E: ProvideErrorMetadata + std::error::Error + 'static>(
        &self,
        request: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
        action: &'static str,
        permission: &str,
    ) -> Result<bool, TerraformError> {
        match self.clients.wait(request).map_err(|error| Failure::of(&error)) {
            Ok(_) => Ok(true),
            Err(failure) if failure.is_condition() => Ok(false),
            Err(failure) => Err(self.told(failure, action, permission)),
        }
    }

    fn told(&self, failure: Failure, action: &'static str, permission: &str) -> TerraformError {
        failure.told(
            action,
            format!("the {} {} in table {}", self.what, self.path, self.table),
            &format!("{permission} on table {}", self.table),
        )
    }
}

/// The digest of a state, as the table has it; its path is `BUCKET/KEY-md5`.
pub struct DigestItem<'a>(pub Item<'a>);

impl DigestItem<'_> {
    /// Hexadecimal; `None` where there is none, or something that terraform passes over, too.
    pub fn get(&self) -> Result<Option<String>, TerraformError> {
        let item = self.0.get()?;
        Ok(item
            .and_then(|item| string(&item, "Digest"))
            .filter(|text| text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())))
    }

    pub fn put(&self, digest: &str) -> Result<(), TerraformError> {
        let request = self.0.put().item("Digest", AttributeValue::S(digest.to_owned()));
        self.0.done(request.send(), "write", "dynamodb:PutItem").map(drop)
    }
}

/// A text attribute.
pub fn string(item: &HashMap<String, AttributeValue>, name: &str) -> Option<String> {
    item.get(name)?.as_s().ok().cloned()
}
