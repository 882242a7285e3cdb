//! The shared store: bytes and releases in S3, all other records in one DynamoDB table.
//!
//! # Objects
//!
//! | name (below the store's prefix) | what |
//! |---|---|
//! | `blobs/<blake3>` | a blob, compressed or as a difference to others |
//! | `projects/<project>/releases/<uuid v7>` | a release's manifest; its `If-None-Match: *` is the commit point |
//! | `values/<key>/<version>` | the value of a record that is too large for an item (400 KB); one that no item names is swept by `store gc` |
//!
//! Everything is written with a SHA-256 that S3 compares, and read with the checksum that S3 keeps.
//!
//! # Items
//!
//! One table for everything, no secondary index, no TTL: locks and journals must not vanish by themselves.
//!
//! | attribute | type | what |
//! |---|---|---|
//! | `pk` | S, partition key | the store's prefix and the first two segments of the record's key: `prod/projects/web` |
//! | `sk` | S, sort key | the record's key: `projects/web/journals/0198…/00000003` |
//! | `version` | S | random, new with each write; `…-s3` where the value lies in an object |
//! | `value` or `zstd` | B | the value as it is, or compressed |
//! | `object` | N | instead of them: the size of the value that lies in `values/<key>/<version>` |
//!
//! | access | how |
//! |---|---|
//! | one record | GetItem, consistent |
//! | create, replace, remove | PutItem and DeleteItem with a condition on existence or `version` |
//! | several at once, fenced by a counter | TransactWriteItems with a ClientRequestToken |
//! | a project's locks, runs, marks, index; a run's journal; newest first | one Query on `pk` with a range of `sk`, consistent |
//! | a project's releases | ListObjectsV2 below `projects/<project>/releases/` beside one Query of its index |
//! | all projects (copying a store, collecting garbage) | Scan; nothing else scans but `store create` and `doctor`, one item |
//!
//! # Whether a write was done
//!
//! The SDK's own retries are off: [`Patience`] repeats, and knows whether the answer of an earlier attempt was lost. A
//! condition that does not hold is compared with what is there: one's own version there means that one's own earlier
//! attempt was done. Where that cannot be told (the record is gone, or another one's by now) the call fails, and its
//! caller looks and repeats.

mod blobs;
mod compression;
#[macro_use]
mod condition;
pub mod connect;
mod create;
mod examine;
mod failure;
mod item;
mod leftovers;
mod location;
mod manifests;
mod objects;
mod patience;
pub mod state_versions;
mod store;
mod table;
pub mod terraform_backend;
mod transaction;

pub use create::{Outcome, Setting};
pub use examine::{Finding, Found, Thoroughness};
pub use failure::statement;
pub use location::{InvalidLocation, Location};
pub use patience::Patience;
pub use store::AwsStore;
