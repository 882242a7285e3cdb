//! What contenders for one lock and their judge agree on.

use std::path::Path;
use std::sync::Arc;

use rollback_engine::run::Run;
use rollback_release::Store;
use rollback_store_aws::{AwsStore, Location};
use rollback_store_local::LocalStore;

pub const STACK: &str = "contended";
/// The id of the record that every holder replaces under its fence.
pub const REGISTER: &str = "register";

/// What the register says: how often it was written, and under which token last.
pub struct Register {
    pub number: u64,
    pub token: u64,
}

/// # Panics
/// It holds something else.
pub fn read(register: &Run) -> Register {
    let text = register.reason.as_deref().unwrap_or("0 0");
    let (number, token) = text.split_once(' ').expect("two numbers");
    Register {
        number: number.parse().expect("a number"),
        token: token.parse().expect("a number"),
    }
}

/// The store at a folder or at an `s3://` URL.
///
/// # Panics
/// It cannot be opened.
pub fn open(place: &str) -> Arc<dyn Store> {
    if place.starts_with("s3://") {
        let location = Location::parse(place).expect("a location");
        Arc::new(AwsStore::open(&location).expect("the shared store"))
    } else {
        Arc::new(LocalStore::open(Path::new(place)).expect("the embedded store"))
    }
}

/// Makes the bucket and the table of an `s3://` URL.
///
/// # Panics
/// They cannot be made.
pub fn create(place: &str) {
    let location = Location::parse(place).expect("a location");
    let store = AwsStore::open(&location).expect("the shared store");
    store.create_missing(false, &|_| {}).expect("bucket and table");
}
