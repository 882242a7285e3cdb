//! The two locks of an `s3` backend: the lock file and the item. Each is taken only where nobody holds it, and removed only
//! where it is still the very lock that was looked at.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use rollback_terraform::{LockInfo, TerraformError, Unlocked};

use super::clients::Clients;
use super::failure::Failure;
use super::items::{Item, string};
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

/// Something that is there while somebody holds a lock, and says who.
pub trait Lock {
    /// What tells one write of it from every other.
    type Seen;

    /// Puts it there where nothing is; tells whether nothing was.
    fn put(&self, info: &LockInfo) -> Result<bool, TerraformError>;

    /// Who holds it. A lock that cannot be read is somebody's all the same.
    fn holder(&self) -> Result<Option<(LockInfo, Self::Seen)>, TerraformError>;

    /// Removes it where it still is the very one that was seen; tells whether it was.
    fn remove(&self, seen: &Self::Seen) -> Result<bool, TerraformError>;

    fn take(&self, info: &LockInfo) -> Result<Taking, TerraformError> {
        for look in 0..LOOKS {
            if self.put(info)? {
                return Ok(Taking::Ours);
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

    fn give_back(&self, id: &str) -> Result<Unlocked, TerraformError> {
        for _ in 0..LOOKS {
            let Some((holder, seen)) = self.holder()? else {
                return Ok(Unlocked::NobodyHeldIt);
            };
            if holder.id != id {
                return Ok(Unlocked::HeldBy(Box::new(holder)));
            }
            if self.remove(&seen)? {
                return Ok(Unlocked::Yes);
            }
        }
        Ok(Unlocked::HeldBy(Box::default()))
    }
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

    /// Whether a conditional request was carried out.
    fn done(
        &self,
        result: Result<(), Failure>,
        action: &'static str,
        permission: &str,
    ) -> Result<bool, TerraformError> {
        match result {
            Ok(()) => Ok(true),
            Err(failure) if failure.is_condition() || failure.is_conflict() => Ok(false),
            Err(failure) => Err(self.told(failure, action, permission)),
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
}

impl Lock for LockFile<'_> {
    /// Its ETag, where the endpoint gives one.
    type Seen = Option<String>;

    fn put(&self, info: &LockInfo) -> Result<bool, TerraformError> {
        let put = self.place().put(&info.to_json(), Condition::Missing);
        self.done(put, "write", "s3:PutObject")
    }

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

    fn remove(&self, etag: &Option<String>) -> Result<bool, TerraformError> {
        let removed = self.place().remove(etag.as_deref());
        self.done(removed, "remove", "s3:DeleteObject")
    }
}

/// The item whose path is `BUCKET/KEY`.
pub struct LockItem<'a>(pub Item<'a>);

impl Lock for LockItem<'_> {
    /// The very text of the item.
    type Seen = String;

    fn put(&self, info: &LockInfo) -> Result<bool, TerraformError> {
        let text = String::from_utf8_lossy(&info.to_json()).into_owned();
        let request = self
            .0
            .put()
            .item("Info", AttributeValue::S(text))
            .condition_expression("attribute_not_exists(LockID)");
        self.0.done(request.send(), "write", "dynamodb:PutItem")
    }

    fn holder(&self) -> Result<Option<(LockInfo, String)>, TerraformError> {
        Ok(self.0.get()?.map(|item| {
            let text = string(&item, "Info").unwrap_or_default();
            (serde_json::from_str(&text).unwrap_or_default(), text)
        }))
    }

    fn remove(&self, text: &String) -> Result<bool, TerraformError> {
        let request = self
            .0
            .delete()
            .condition_expression("Info = :info")
            .expression_attribute_values(":info", AttributeValue::S(text.clone()));
        self.0.done(request.send(), "remove", "dynamodb:DeleteItem")
    }
}
