//! What every store is held to, on emulators of S3 and DynamoDB.

mod common;

use common::{Servers, store};
use rollback_release::conformance::conformance;

#[test]
fn conforms_on_moto() {
    let Some(servers) = Servers::moto() else { return };
    let store = store(&servers);
    conformance(&|| Box::new(store.clone()));
}

#[test]
fn conforms_with_dynamodb_local() {
    let Some(servers) = Servers::dynamodb_local() else {
        return;
    };
    let store = store(&servers);
    conformance(&|| Box::new(store.clone()));
}
