//! Records in SQLite. Every write takes the write lock first, so that looking and writing are one.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use rollback_release::{Created, Entry, Operation, Replaced, StoreError, Transacted, Version};
use rusqlite::{Connection, ErrorCode, OptionalExtension, Transaction, TransactionBehavior, params};

use crate::failure::{PATIENCE, of_database, of_file};
use crate::format::FORMAT;
use crate::unwritable::{self, AtRest};

pub(crate) const DATABASE: &str = "records.sqlite";

/// `writes.number` rises with every write of any record and is never set back: it is the version, so that no version
/// is given twice, whatever is removed and made again.
const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS records (key TEXT PRIMARY KEY NOT NULL, value BLOB NOT NULL, version INTEGER NOT NULL);
    CREATE TABLE IF NOT EXISTS writes (only_row INTEGER PRIMARY KEY CHECK (only_row = 1), number INTEGER NOT NULL);
    INSERT OR IGNORE INTO writes VALUES (1, 0);
";

/// Above every byte that a key may have.
const ABOVE: char = '\x7f';

const KEY: &str = "key";
const ENTRY: &str = "key, value, version";

pub(crate) struct Records {
    path: PathBuf,
    connection: Mutex<Connection>,
    /// Of a database that is read without locks: what shows that nobody writes to it meanwhile.
    at_rest: Option<AtRest>,
}

impl Records {
    pub(crate) fn open(home: &Path) -> Result<Records, StoreError> {
        let path = home.join(DATABASE);
        // SQLite would make it readable for all; its other files take over the mode of this one.
        OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(|error| of_file("open", &path, error))?;
        let connection = patiently(|| connect(&path)).map_err(|error| of_database("open", &path, error))?;
        let records = Records {
            path,
            connection: Mutex::new(connection),
            at_rest: None,
        };
        if !records.is_prepared()? {
            records.write("prepare", |transaction| {
                transaction.execute_batch(SCHEMA)?;
                transaction.pragma_update(None, "user_version", FORMAT as i64)
            })?;
        }
        Ok(records)
    }

    /// Of a store that this user may not write.
    pub(crate) fn open_to_read(home: &Path) -> Result<Records, StoreError> {
        let path = home.join(DATABASE);
        let (connection, at_rest) = unwritable::connect(&path)?;
        let records = Records {
            path,
            connection: Mutex::new(connection),
            at_rest,
        };
        if !records.is_prepared()? {
            return Err(records.damaged("it was never finished"));
        }
        Ok(records)
    }

    /// Whether the tables are there, in the format that this program knows.
    fn is_prepared(&self) -> Result<bool, StoreError> {
        let found: i64 = self.read(|connection| connection.query_row("PRAGMA user_version", [], |row| row.get(0)))?;
        match u64::try_from(found) {
            Ok(0) => Ok(false),
            Ok(FORMAT) => Ok(true),
            Ok(found) => Err(StoreError::NewerFormat {
                place: self.path.display().to_string(),
                found,
                supported: FORMAT,
            }),
            Err(_) => Err(self.damaged("its version is negative")),
        }
    }

    pub(crate) fn create(&self, key: &str, value: &[u8]) -> Result<Created, StoreError> {
        Ok(match self.one(Operation::Create { key, value })? {
            Some(version) => Created::Yes(version),
            None => Created::Exists,
        })
    }

    pub(crate) fn replace(&self, key: &str, expected: &Version, value: &[u8]) -> Result<Replaced, StoreError> {
        let done = self.one(Operation::Replace { key, expected, value })?;
        Ok(done.map_or(Replaced::Changed, Replaced::Yes))
    }

    pub(crate) fn remove(&self, key: &str, expected: &Version) -> Result<Replaced, StoreError> {
        let done = self.one(Operation::Remove { key, expected })?;
        Ok(done.map_or(Replaced::Changed, Replaced::Yes))
    }

    fn one(&self, operation: Operation<'_>) -> Result<Option<Version>, StoreError> {
        Ok(match self.transact(&[operation])? {
            Transacted::Yes(versions) => versions.into_iter().next(),
            Transacted::Refused { .. } => None,
        })
    }

    pub(crate) fn transact(&self, operations: &[Operation<'_>]) -> Result<Transacted, StoreError> {
        self.write("write to", |transaction| {
            // Looked at first: who comes too late costs no write.
            for (index, operation) in operations.iter().enumerate() {
                if !allows(transaction, operation)? {
                    return Ok(Transacted::Refused { operation: index });
                }
            }
            let versions: rusqlite::Result<_> = operations
                .iter()
                .map(|operation| carry_out(transaction, operation))
                .collect();
            Ok(Transacted::Yes(versions?))
        })
    }

    pub(crate) fn get(&self, key: &str) -> Result<Option<(Vec<u8>, Version)>, StoreError> {
        self.read(|connection| {
            connection
                .prepare_cached("SELECT value, version FROM records WHERE key = ?1")?
                .query_row([key], |row| {
                    Ok((row.get(0)?, Version::new(row.get::<_, i64>(1)?.to_string())))
                })
                .optional()
        })
    }

    pub(crate) fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>, StoreError> {
        let (query, from) = page(KEY, prefix, after);
        self.read(|connection| {
            connection
                .prepare_cached(&query)?
                .query_map(params![from, end_of(prefix), bounded(limit)], |row| row.get(0))?
                .collect()
        })
    }

    pub(crate) fn entries(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Entry>, StoreError> {
        let (query, from) = page(ENTRY, prefix, after);
        self.read(|connection| {
            connection
                .prepare_cached(&query)?
                .query_map(params![from, end_of(prefix), bounded(limit)], |row| {
                    Ok(Entry {
                        key: row.get(0)?,
                        value: row.get(1)?,
                        version: Version::new(row.get::<_, i64>(2)?.to_string()),
                    })
                })?
                .collect()
        })
    }

    pub(crate) fn list_newest(
        &self,
        prefix: &str,
        before: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        let end = end_of(prefix);
        let before = before.map_or(end.as_str(), |before| before.min(&end));
        self.read(|connection| {
            connection
                .prepare_cached("SELECT key FROM records WHERE key >= ?1 AND key < ?2 ORDER BY key DESC LIMIT ?3")?
                .query_map(params![prefix, before, bounded(limit)], |row| row.get(0))?
                .collect()
        })
    }

    fn read<T>(&self, work: impl Fn(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let found = patiently(|| work(&connection));
        // Before anything that was read is believed, an error included.
        self.at_rest.as_ref().map_or(Ok(()), AtRest::check)?;
        found.map_err(|error| of_database("read", &self.path, error))
    }

    /// All of `work` or nothing, durable when it returns.
    fn write<T>(&self, action: &str, work: impl Fn(&Transaction) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        patiently(|| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let done = work(&transaction)?;
            transaction.commit()?;
            Ok(done)
        })
        .map_err(|error| of_database(action, &self.path, error))
    }

    fn damaged(&self, reason: &str) -> StoreError {
        StoreError::Damaged {
            place: self.path.display().to_string(),
            reason: reason.to_owned(),
        }
    }

    #[cfg(test)]
    pub(crate) fn without_locks(path: &Path) -> Result<Records, StoreError> {
        let (connection, at_rest) = unwritable::connect_without_locks(path)?;
        Ok(Records {
            path: path.to_owned(),
            connection: Mutex::new(connection),
            at_rest: Some(at_rest),
        })
    }

    #[cfg(test)]
    pub(crate) fn connection(&self) -> std::sync::MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks for a page of records, and the key that it begins at or after. One bound from below and not two: of two, SQLite looks up the
/// first and passes over whatever lies between them, so that a late page would cost all of those before it.
fn page<'a>(columns: &str, prefix: &'a str, after: Option<&'a str>) -> (String, &'a str) {
    let (comparison, from) = match after.filter(|after| *after >= prefix) {
        Some(after) => (">", after),
        None => (">=", prefix),
    };
    let query = format!("SELECT {columns} FROM records WHERE key {comparison} ?1 AND key < ?2 ORDER BY key LIMIT ?3");
    (query, from)
}

/// Whether the condition of an operation holds.
fn allows(transaction: &Transaction, operation: &Operation<'_>) -> rusqlite::Result<bool> {
    match operation {
        Operation::Create { key, .. } => Ok(!transaction
            .prepare_cached("SELECT 1 FROM records WHERE key = ?1")?
            .exists([key])?),
        Operation::Check { key, expected }
        | Operation::Replace { key, expected, .. }
        | Operation::Remove { key, expected } => match number_of(expected) {
            Some(expected) => transaction
                .prepare_cached("SELECT 1 FROM records WHERE key = ?1 AND version = ?2")?
                .exists(params![key, expected]),
            None => Ok(false),
        },
    }
}

/// What an operation writes, its condition being known to hold.
fn carry_out(transaction: &Transaction, operation: &Operation<'_>) -> rusqlite::Result<Version> {
    match operation {
        Operation::Check { expected, .. } => Ok((*expected).clone()),
        Operation::Create { key, value } | Operation::Replace { key, value, .. } => {
            let number = next_number(transaction)?;
            transaction
                .prepare_cached("INSERT OR REPLACE INTO records VALUES (?1, ?2, ?3)")?
                .execute(params![key, value, number])?;
            Ok(Version::new(number.to_string()))
        }
        Operation::Remove { key, expected } => {
            transaction
                .prepare_cached("DELETE FROM records WHERE key = ?1")?
                .execute([key])?;
            Ok((*expected).clone())
        }
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(PATIENCE)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // With NORMAL a commit in the log could be lost with the power: it would have been promised.
    connection.pragma_update(None, "synchronous", "FULL")?;
    Ok(connection)
}

/// SQLite waits by itself for most locks, but not while the first ones turn the log on or a log is recovered.
fn patiently<T>(mut work: impl FnMut() -> rusqlite::Result<T>) -> rusqlite::Result<T> {
    let started = Instant::now();
    loop {
        match work() {
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && started.elapsed() < PATIENCE =>
            {
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            result => return result,
        }
    }
}

fn next_number(transaction: &Transaction) -> rusqlite::Result<i64> {
    transaction
        .prepare_cached("UPDATE writes SET number = number + 1 WHERE only_row = 1 RETURNING number")?
        .query_row([], |row| row.get(0))
}

/// `None` for what is no version of this store. Only the one way of writing a number counts.
fn number_of(version: &Version) -> Option<i64> {
    version
        .as_str()
        .parse()
        .ok()
        .filter(|number: &i64| number.to_string() == version.as_str())
}

fn end_of(prefix: &str) -> String {
    format!("{prefix}{ABOVE}")
}

fn bounded(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;

    #[test]
    fn the_last_page_costs_no_more_than_the_first() {
        const PREFIX: &str = "releases/";
        let home = tempfile::tempdir().unwrap();
        let records = Records::open(home.path()).unwrap();
        let keys: Vec<String> = (0..5000).map(|number| format!("{PREFIX}{number:04}")).collect();
        let all: Vec<Operation> = keys.iter().map(|key| Operation::Create { key, value: b"v" }).collect();
        assert!(matches!(records.transact(&all).unwrap(), Transacted::Yes(_)));

        assert_eq!(records.list(PREFIX, Some("releases/4996"), 9).unwrap(), keys[4997..]);
        let entries = records.entries(PREFIX, Some("releases/4996"), 9).unwrap();
        assert!(entries.iter().map(|entry| &entry.key).eq(&keys[4997..]));
        for columns in [KEY, ENTRY] {
            let (query, _) = page(columns, PREFIX, Some("releases/4996"));
            let steps = {
                let connection = records.connection();
                connection
                    .prepare_cached(&query)
                    .unwrap()
                    .get_status(StatementStatus::VmStep)
            };
            assert!(
                (1..200).contains(&steps),
                "{steps} steps of SQLite for three records: {query}"
            );
        }
    }
}
