//! Databases: a new instance from a snapshot or from a moment, and the application pointed at it.

mod api;
mod application;
mod database;
mod instance;
mod place;
mod swap;
mod target;
mod way;

pub(crate) use database::database;
pub use target::{Snapshot, database_target, snapshots};
