//! The two locks of an `s3` backend: the lock file and the item. Each is taken only where nobody holds it, and removed only
//! where it is still the very lock that was looked at.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use rollback_terraform::{LockInfo, TerraformError, Unlocked};

use super::clients::Clients;
use super::failure::Failure;
use super::object::{Condition, Place};
use super::settings::Settings;

/// How often a lock is looked at again that changes hands while we look.
const LOOKS: u32 = 5;

/// What is known of a lock after trying to take it.
pub enum Taking {
    /// It is held under our ID.
    Ours,
    Others(Option<LockInfo>),
}

pub struct LockFile<'a> {
    pub clients: &'a Clients,
    pub settings: &'a Settings,
    pub key: &'a str,
}

impl LockFile<'_> {
    fn place(&self) -> Place<'_> {
        Place {
            clients: self.clients,
            settings: self.settings,
            key: self.key,
        }
    }

    fn told(&self, failure: Failure, action: &'static str, permission: &str) -> TerraformError {
        let name = format!("s3://{}/{}", self.settings.bucket, self.key);
        failure.told(
            action,
            format!("the lock file {name}"),
            &format!("{permission} on {name}"),
        )
    }

    pub fn take(&self, info: &LockInfo) -> Result<Taking, TerraformError> {
        for look in 0..LOOKS {
            match self.place().put(&info.to_json(), Condition::Missing) {
                Ok(()) => return Ok(Taking::Ours),
                Err(failure) if failure.is_condition() || failure.is_conflict() => {}
                Err(failure) => return Err(self.told(failure, "write", "s3:PutObject")),
            }
            match self.holder()? {
                Some((holder, _)) if holder.id == info.id => return Ok(Taking::Ours),
                Some((holder, _)) => return Ok(Taking::Others(Some(holder))),
                // Given back between our two looks, or another request was under way.
                None => std::thread::sleep(Duration::from_millis(50 << look)),
            }
        }
        Ok(Taking::Others(None))
    }

    /// A lock file that cannot be read is somebody's all the same.
    fn holder(&self) -> Result<Option<(LockInfo, Option<String>)>, TerraformError> {
        let found = self
            .place()
            .get()
            .map_err(|failure| self.told(failure, "read", "s3:GetObject"))?;
        Ok(found.map(|object| {
            let info = serde_json::from_slice(&object.bytes).unwrap_or_default();
            (info, object.etag)
        }))
    }

    pub fn give_back(&self, id: &str) -> Result<Unlocked, TerraformError> {
        for _ in 0..LOOKS {
            let Some((holder, etag)) = self.holder()? else {
                return Ok(Unlocked::NobodyHeldIt);
            };
            if holder.id != id {
                return Ok(Unlocked::HeldBy(Box::new(holder)));
            }
            match self.place().remove(etag.as_deref()) {
                Ok(()) => return Ok(Unlocked::Yes),
                Err(failure) if failure.is_condition() || failure.is_conflict() => {}
                Err(failure) => return Err(self.told(failure, "remove", "s3:DeleteObject")),
            }
        }
        Ok(Unlocked::HeldBy(Box::default()))
    }
}

pub struct LockItem<'a> {
    pub clients: &'a Clients,
    pub table: &'a str,
    /// `BUCKET/KEY`.
    pub path: String,
}

impl LockItem<'_> {
    fn told(&self, failure: Failure, action: &'static str, permission: &str) -> TerraformError {
        failure.told(
            action,
            format!("the lock {} in table {}", self.path, self.table),
            &format!("{permission} on table {}", self.table),
        )
    }

    pub fn take(&self, info: &LockInfo) -> Result<Taking, TerraformError> {
        for _ in 0..LOOKS {
            let request = self
                .clients
                .dynamodb
                .put_item()
                .table_name(self.table)
                .item("LockID", AttributeValue::S(self.path.clone()))
                .item(
                    "Info",
                    AttributeValue::S(String::from_utf8_lossy(&info.to_json()).into_owned()),
                )
                .condition_expression("attribute_not_exists(LockID)");
            match self.clients.wait(request.send()) {
                Ok(_) => return Ok(Taking::Ours),
                Err(error) => {
                    let failure = Failure::of(&error);
                    if !failure.is_condition() {
                        return Err(self.told(failure, "write", "dynamodb:PutItem"));
                    }
                }
            }
            match self.holder()? {
                Some((holder, _)) if holder.id == info.id => return Ok(Taking::Ours),
                Some((holder, _)) => return Ok(Taking::Others(Some(holder))),
                None => {}
            }
        }
        Ok(Taking::Others(None))
    }

    /// The holder, and the very text of the item.
    fn holder(&self) -> Result<Option<(LockInfo, String)>, TerraformError> {
        let item = get_item(self.clients, self.table, &self.path)
            .map_err(|failure| self.told(failure, "read", "dynamodb:GetItem"))?;
        Ok(item.map(|item| {
            let text = string(&item, "Info").unwrap_or_default();
            (serde_json::from_str(&text).unwrap_or_default(), text)
        }))
    }

    pub fn give_back(&self, id: &str) -> Result<Unlocked, TerraformError> {
        for _ in 0..LOOKS {
            let Some((holder, text)) = self.holder()? else {
                return Ok(Unlocked::NobodyHeldIt);
            };
            if holder.id != id {
                return Ok(Unlocked::HeldBy(Box::new(holder)));
            }
            let request = self
                .clients
                .dynamodb
                .delete_item()
                .table_name(self.table)
                .key("LockID", AttributeValue::S(self.path.clone()))
                .condition_expression("Info = :info")
                .expression_attribute_values(":info", AttributeValue::S(text));
            match self.clients.wait(request.send()) {
                Ok(_) => return Ok(Unlocked::Yes),
                Err(error) => {
                    let failure = Failure::of(&error);
                    if !failure.is_condition() {
                        return Err(self.told(failure, "remove", "dynamodb:DeleteItem"));
                    }
                }
            }
        }
        Ok(Unlocked::HeldBy(Box::default()))
    }
}

/// The digest of a state, as the table has it.
pub struct DigestItem<'a> {
    pub clients: &'a Clients,
    pub table: &'a str,
    /// `BUCKET/KEY-md5`.
    pub path: String,
}

impl DigestItem<'_> {
    fn told(&self, failure: Failure, action: &'static str, permission: &str) -> TerraformError {
        failure.told(
            action,
            format!("the digest {} in table {}", self.path, self.table),
            &format!("{permission} on table {}", self.table),
        )
    }

    /// Hexadecimal; `None` where there is none, or something that terraform passes over, too.
    pub fn get(&self) -> Result<Option<String>, TerraformError> {
        let item = get_item(self.clients, self.table, &self.path)
            .map_err(|failure| self.told(failure, "read", "dynamodb:GetItem"))?;
        Ok(item
            .and_then(|item| string(&item, "Digest"))
            .filter(|text| text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())))
    }

    pub fn put(&self, digest: &str) -> Result<(), TerraformError> {
        let request = self
            .clients
            .dynamodb
            .put_item()
            .table_name(self.table)
            .item("LockID", AttributeValue::S(self.path.clone()))
            .item("Digest", AttributeValue::S(digest.to_owned()));
        match self.clients.wait(request.send()) {
            Ok(_) => Ok(()),
            Err(error) => Err(self.told(Failure::of(&error), "write", "dynamodb:PutItem")),
        }
    }
}

fn get_item(clients: &Clients, table: &str, path: &str) -> Result<Option<HashMap<String, AttributeValue>>, Failure> {
    let request = clients
        .dynamodb
        .get_item()
        .table_name(table)
        .key("LockID", AttributeValue::S(path.to_owned()))
        .consistent_read(true);
    match clients.wait(request.send()) {
        Ok(output) => Ok(output.item),
        Err(error) => Err(Failure::of(&error)),
    }
}

fn string(item: &HashMap<String, AttributeValue>, name: &str) -> Option<String> {
    item.get(name)?.as_s().ok().cloned()
}
