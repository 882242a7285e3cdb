//! Rollbacks that were begun from this machine and whose end was not seen here: whoever was cut off finds them again
//! with `resume`, also where the service has finished them meanwhile.

use std::path::PathBuf;

use rollback_engine::error::Result;

use super::Connection;
use crate::session;

/// The notes of one service and project: an empty file per rollback.
pub struct Pending {
    folder: PathBuf,
}

impl Pending {
    /// # Errors
    /// There is no home for them.
    pub fn of(connection: &Connection) -> Result<Pending> {
        let place: String = connection
            .server
            .url("")
            .chars()
            .map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' })
            .collect();
        Ok(Pending {
            folder: session::home()?.join("followed").join(place),
        })
    }

    /// A note that cannot be made costs nothing but itself.
    pub fn note(&self, id: &str) {
        let made = std::fs::create_dir_all(&self.folder).and_then(|()| std::fs::write(self.folder.join(id), ""));
        if let Err(error) = made {
            tracing::warn!(%error, "that run {id} is followed cannot be noted");
        }
    }

    pub fn is_noted(&self, id: &str) -> bool {
        self.folder.join(id).is_file()
    }

    pub fn forget(&self, id: &str) {
        let _ = std::fs::remove_file(self.folder.join(id));
    }

    /// Ids are ordered by time.
    pub fn newest(&self) -> Option<String> {
        let entries = std::fs::read_dir(&self.folder).ok()?;
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        names.max()
    }
}
