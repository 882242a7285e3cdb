//! Lists, page by page.

use rollback_engine::error::Result;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::call::segment;
use crate::server::Server;

/// As many items as a page may have.
const PAGE: usize = 100;

#[derive(Deserialize)]
struct Page<T> {
    items: Vec<T>,
    next_cursor: Option<String>,
}

impl Server {
    /// The items of a list in its order, until `enough` says so of those that were read.
    ///
    /// # Errors
    /// As [`Server::call`].
    pub fn list<T: DeserializeOwned>(&self, path: &str, enough: impl Fn(&[T]) -> bool) -> Result<Vec<T>> {
        let mut found: Vec<T> = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let mark = if path.contains('?') { '&' } else { '?' };
            let after = cursor
                .as_deref()
                .map(|cursor| format!("&cursor={}", segment(cursor)))
                .unwrap_or_default();
            let page: Page<T> = self.get(format!("{path}{mark}limit={PAGE}{after}"))?;
            found.extend(page.items);
            cursor = page.next_cursor;
            if cursor.is_none() || enough(&found) {
                return Ok(found);
            }
        }
    }

    /// A list that has one page.
    ///
    /// # Errors
    /// As [`Server::call`].
    pub fn whole<T: DeserializeOwned>(&self, path: &str) -> Result<Vec<T>> {
        let page: Page<T> = self.get(path)?;
        Ok(page.items)
    }
}
