//! What is the shared store's own: large values, manifests, renewal, listing from both places, prefixes, errors.

mod common;

use std::time::Duration;

use common::{Servers, store};
use rollback_release::{BlobId, Created, Operation, Replaced, Store, StoreError, Transacted, Version, all_keys};
use rollback_store_aws::connect::Clients;
use rollback_store_aws::{AwsStore, Location, Outcome, Patience};

fn yes(created: Created) -> Version {
    match created {
        Created::Yes(version) => version,
        Created::Exists => panic!("a create found a record where none was"),
    }
}

fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..length).map(|_| random.u8(..)).collect()
}

/// Names of all objects below the store's prefix.
fn objects(store: &AwsStore) -> Vec<String> {
    let location = store.location();
    let list = store.clients().s3.list_objects_v2().bucket(&location.bucket);
    let page = store
        .clients()
        .wait(list.prefix(format!("{}/", location.prefix)).send())
        .unwrap();
    page.contents
        .unwrap_or_default()
        .into_iter()
        .filter_map(|object| object.key)
        .collect()
}

#[test]
fn values_too_large_for_an_item_come_back_and_leave_nothing_behind() {
    let Some(servers) = Servers::best() else { return };
    let store = store(&servers);
    let (first, second, third) = (noise(1, 1 << 20), noise(2, 500_000), noise(3, 400_000));
    let version = yes(store.create("projects/p/large", &first).unwrap());
    assert_eq!(store.create("projects/p/large", &second).unwrap(), Created::Exists);
    assert!(store.get("projects/p/large").unwrap() == Some((first.clone(), version.clone())));
    assert_eq!(objects(&store).len(), 1, "the refused one's value was removed");
    let Replaced::Yes(version) = store.replace("projects/p/large", &version, &second).unwrap() else {
        panic!()
    };
    let entries = store.entries("projects/p/", None, 10).unwrap();
    assert!(entries[0].value == second && entries[0].version == version);
    assert_eq!(objects(&store).len(), 1);
    let operation = Operation::Replace {
        key: "projects/p/large",
        expected: &version,
        value: &third,
    };
    let Transacted::Yes(versions) = store.transact(&[operation]).unwrap() else {
        panic!()
    };
    assert!(store.get("projects/p/large").unwrap().unwrap().0 == third);
    assert_eq!(objects(&store).len(), 1);
    assert!(matches!(
        store.remove("projects/p/large", &versions[0]).unwrap(),
        Replaced::Yes(_)
    ));
    assert_eq!(objects(&store), Vec::<String>::new());
}

#[test]
fn a_transaction_of_many_values_that_are_too_large_together_is_done() {
    let Some(servers) = Servers::best() else { return };
    let store = store(&servers);
    let values: Vec<(String, Vec<u8>)> = (0..20)
        .map(|number| (format!("projects/p/many/{number:02}"), noise(number, 300_000)))
        .collect();
    let operations: Vec<Operation<'_>> = values
        .iter()
        .map(|(key, value)| Operation::Create { key, value })
        .collect();
    assert!(matches!(store.transact(&operations).unwrap(), Transacted::Yes(_)));
    for entry in store.entries("projects/p/many/", None, 100).unwrap() {
        assert!(
            values
                .iter()
                .any(|(key, value)| *key == entry.key && *value == entry.value)
        );
    }
    // A query gives at most 1 MB at once: the rest of the pages is read.
    assert_eq!(all_keys(&store, "projects/p/many/").unwrap().len(), 20);
    assert_eq!(
        store.transact(&operations).unwrap(),
        Transacted::Refused { operation: 0 }
    );
    assert_eq!(objects(&store).len(), 20, "the refused values were removed");
}

#[test]
fn manifests_are_objects_with_conditions_of_their_own() {
    let Some(servers) = Servers::best() else { return };
    let store = store(&servers);
    let key = "projects/p/releases/01935a3e-0000-7000-8000-000000000000";
    let first = yes(store.create(key, b"same").unwrap());
    assert_eq!(store.create(key, b"same").unwrap(), Created::Exists);
    let Replaced::Yes(second) = store.replace(key, &first, b"same").unwrap() else {
        panic!()
    };
    assert_ne!(first, second, "the same bytes are another write");
    assert_eq!(store.replace(key, &first, b"stale").unwrap(), Replaced::Changed);
    assert_eq!(store.remove(key, &first).unwrap(), Replaced::Changed);
    assert_eq!(store.get(key).unwrap(), Some((b"same".to_vec(), second.clone())));
    assert!(matches!(store.remove(key, &second).unwrap(), Replaced::Yes(_)));
    assert_eq!(store.get(key).unwrap(), None);
    assert_eq!(store.remove(key, &second).unwrap(), Replaced::Changed);
    assert_eq!(store.replace(key, &second, b"gone").unwrap(), Replaced::Changed);
    let third = yes(store.create(key, b"same").unwrap());
    assert!(third != first && third != second);
    let winners: Vec<bool> = std::thread::scope(|scope| {
        let race = |number: usize| {
            let store = &store;
            let key = "projects/p/releases/race";
            scope.spawn(move || store.create(key, number.to_string().as_bytes()).unwrap() != Created::Exists)
        };
        let threads: Vec<_> = (0..16).map(race).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(winners.iter().filter(|won| **won).count(), 1);
}

#[test]
fn listings_join_objects_and_items_and_pass_over_the_rest() {
    let Some(servers) = Servers::best() else { return };
    let store = store(&servers);
    store.put_blob(b"a blob").unwrap();
    let mut expected = Vec::new();
    for key in [
        "audit/x",
        "projects/a-b/salt",
        "projects/a/locks/app",
        "projects/a/releases/01",
        "projects/a/releases/02",
        "projects/a/runs/1/record",
        "projects/a/salt",
        "projects/b/releases/01",
    ] {
        let _ = yes(store.create(key, key.as_bytes()).unwrap());
        expected.push(key.to_owned());
    }
    expected.sort();
    for prefix in [
        "",
        "pro",
        "projects/",
        "projects/a",
        "projects/a/",
        "projects/a/r",
        "projects/a/releases/",
        "x",
    ] {
        let expected: Vec<&String> = expected.iter().filter(|key| key.starts_with(prefix)).collect();
        for size in [1, 2, 3, 100] {
            let (mut up, mut down): (Vec<String>, Vec<String>) = Default::default();
            while let page = store.list(prefix, up.last().map(String::as_str), size).unwrap()
                && !page.is_empty()
            {
                up.extend(page);
            }
            while let page = store
                .list_newest(prefix, down.last().map(String::as_str), size)
                .unwrap()
                && !page.is_empty()
            {
                down.extend(page);
            }
            down.reverse();
            assert_eq!(up.iter().collect::<Vec<_>>(), expected, "{prefix:?} by {size}");
            assert_eq!(
                down.iter().collect::<Vec<_>>(),
                expected,
                "{prefix:?} by {size}, newest first"
            );
        }
        let entries = store.entries(prefix, None, 100).unwrap();
        assert_eq!(entries.iter().map(|entry| &entry.key).collect::<Vec<_>>(), expected);
        assert!(entries.iter().all(|entry| entry.value == entry.key.as_bytes()));
    }
}

#[test]
fn stores_with_prefixes_of_one_bucket_and_table_do_not_see_each_other() {
    let Some(servers) = Servers::best() else { return };
    let base = servers.location();
    let at = |prefix: &str| {
        let location = Location {
            prefix: prefix.to_owned(),
            ..base.clone()
        };
        AwsStore::open(&location).unwrap()
    };
    let (one, below, other) = (at("team"), at("team/web"), at(""));
    one.create_missing(false, &|_| ()).unwrap();
    for (store, value) in [(&one, b"one"), (&below, b"two"), (&other, b"six")] {
        let _ = yes(store.create("projects/p/salt", value).unwrap());
        let _ = yes(store.create("projects/p/releases/01", value).unwrap());
        store.put_blob(value).unwrap();
    }
    for (store, value) in [(&one, b"one"), (&below, b"two"), (&other, b"six")] {
        let entries = store.entries("", None, 10).unwrap();
        assert_eq!(entries.len(), 2);
        assert!(entries.iter().all(|entry| entry.value == value));
        assert_eq!(store.list_blobs(None, 10).unwrap(), [BlobId::of(value)]);
    }
}

#[test]
fn what_is_put_again_is_renewed_with_what_it_stands_on_and_damage_is_mended() {
    let Some(servers) = Servers::best() else { return };
    let made = store(&servers);
    let patience = Patience {
        renewed_after: Duration::ZERO,
        ..Patience::default()
    };
    let old = AwsStore::with(made.location(), made.clients().clone(), patience).unwrap();
    let base = noise(1, 60_000);
    let changed = [&base[..30_000], b"changed", &base[30_000..]].concat();
    let base_id = made.put_blob(&base).unwrap();
    let id = made.put_blob_like(&changed, Some(&base_id)).unwrap();
    assert_eq!(made.blob_bases(&id).unwrap(), [base_id], "it is kept as a difference");
    let written = |store: &AwsStore| {
        store
            .stored_blobs(None, 10)
            .unwrap()
            .into_iter()
            .map(|blob| (blob.id, blob.written_at))
            .collect::<Vec<_>>()
    };
    let before = written(&made);
    std::thread::sleep(Duration::from_millis(1100));
    made.put_blob(&changed).unwrap();
    assert_eq!(written(&made), before, "what is young is not written again");
    old.put_blob(&changed).unwrap();
    let after = written(&made);
    assert!(
        after.iter().zip(&before).all(|(after, before)| after.1 > before.1),
        "{before:?} {after:?}"
    );
    assert_eq!(made.blob_bases(&id).unwrap(), [base_id], "and it still is a difference");
    assert!(made.get_blob(&id).unwrap() == changed && made.get_blob(&base_id).unwrap() == base);
    // Somebody wrote over it by hand.
    let location = made.location();
    let name = format!("{}/blobs/{id}", location.prefix);
    let write = made
        .clients()
        .s3
        .put_object()
        .bucket(&location.bucket)
        .key(&name)
        .body(b"x".to_vec().into());
    made.clients().wait(write.send()).unwrap();
    assert!(matches!(made.get_blob(&id), Err(StoreError::BlobCorrupt { .. })));
    made.put_blob(&changed).unwrap();
    assert!(made.get_blob(&id).unwrap() == changed);
}

#[test]
fn creating_is_idempotent_and_leaves_alone_what_is_in_use() {
    let Some(servers) = Servers::moto() else { return };
    let store = AwsStore::open(&servers.location()).unwrap();
    let outcomes = |dry| {
        let settings = store.create_missing(dry, &|_| ()).unwrap();
        settings
            .into_iter()
            .map(|setting| (setting.what, setting.outcome))
            .collect::<Vec<_>>()
    };
    let dry = outcomes(true);
    assert!(dry.iter().all(|(_, outcome)| *outcome == Outcome::Missing), "{dry:?}");
    assert!(
        matches!(store.get("projects/p/x"), Err(StoreError::Remote { .. })),
        "a dry run makes nothing"
    );
    let made = outcomes(false);
    assert!(made.iter().all(|(_, outcome)| *outcome != Outcome::Missing), "{made:?}");
    assert_eq!(made[0].1, Outcome::Made);
    let again = outcomes(false);
    assert!(again.iter().all(|(_, outcome)| *outcome == Outcome::There), "{again:?}");
    let clients = store.clients();
    let location = store.location();
    // Cut off after the bucket was made: what is empty gets the rest.
    let suspend = |status: &str| {
        let configuration = aws_sdk_s3::types::VersioningConfiguration::builder()
            .status(status.into())
            .build();
        let put = clients.s3.put_bucket_versioning().bucket(&location.bucket);
        clients
            .wait(put.versioning_configuration(configuration).send())
            .unwrap();
    };
    suspend("Suspended");
    assert!(
        outcomes(false)
            .iter()
            .any(|(what, outcome)| what.contains("versioning") && *outcome == Outcome::Made)
    );
    // In use: said, and left alone.
    store.put_blob(b"x").unwrap();
    suspend("Suspended");
    let used = outcomes(false);
    let different = used.iter().find(|(what, _)| what.contains("versioning")).unwrap();
    assert!(
        matches!(&different.1, Outcome::Different { found, hint } if found == "Suspended" && hint.contains("Enabled")),
        "{used:?}"
    );
    assert_eq!(outcomes(false), used);
}

#[test]
fn regions_other_than_the_first_are_named() {
    let Some(servers) = Servers::moto() else { return };
    let location = servers.url().replace("us-east-1", "eu-central-1");
    let store = AwsStore::open(&Location::parse(&location).unwrap()).unwrap();
    store.create_missing(false, &|_| ()).unwrap();
    let ask = store
        .clients()
        .s3
        .get_bucket_location()
        .bucket(&store.location().bucket);
    let found = store.clients().wait(ask.send()).unwrap();
    assert_eq!(found.location_constraint.unwrap().as_str(), "eu-central-1");
}

#[test]
fn a_table_with_other_keys_is_left_alone() {
    let Some(servers) = Servers::best() else { return };
    let store = AwsStore::open(&servers.location()).unwrap();
    use aws_sdk_dynamodb::types::{AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType};
    let attribute = AttributeDefinition::builder()
        .attribute_name("LockID")
        .attribute_type(ScalarAttributeType::S);
    let key = KeySchemaElement::builder()
        .attribute_name("LockID")
        .key_type(KeyType::Hash);
    let make = store
        .clients()
        .dynamodb
        .create_table()
        .table_name(&store.location().table)
        .attribute_definitions(attribute.build().unwrap())
        .key_schema(key.build().unwrap())
        .billing_mode(BillingMode::PayPerRequest);
    store.clients().wait(make.send()).unwrap();
    let error = store.create_missing(false, &|_| ()).unwrap_err();
    assert!(
        matches!(&error, StoreError::NotAStore { reason, .. } if reason.contains("LockID")),
        "{error}"
    );
}

#[test]
fn a_store_that_is_not_there_says_how_to_make_it() {
    let Some(servers) = Servers::best() else { return };
    let store = AwsStore::open(&servers.location()).unwrap();
    for error in [
        store.put_blob(b"x").unwrap_err(),
        store.create("projects/p/releases/01", b"x").unwrap_err(),
        store.create("projects/p/x", b"x").unwrap_err(),
        store.get("projects/p/x").unwrap_err(),
        store.list("projects/p/", None, 10).unwrap_err(),
        store
            .transact(&[Operation::Create {
                key: "projects/p/x",
                value: b"x",
            }])
            .unwrap_err(),
    ] {
        assert!(error.to_string().contains("does not exist"), "{error}");
        assert!(error.hint().unwrap().contains("store create"), "{error}");
        assert!(!error.is_transient(), "{error}");
    }
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let location = Location::parse("s3://acme-rollback?region=us-east-1&endpoint=http://127.0.0.1:9").unwrap();
    let patience = Patience {
        first_wait: Duration::from_millis(1),
        ..Patience::default()
    };
    let store = AwsStore::with(&location, Clients::connect(&location.access).unwrap(), patience).unwrap();
    for error in [
        store.put_blob(b"x").unwrap_err(),
        store.get("projects/p/x").unwrap_err(),
    ] {
        let text = format!("{error} {}", error.hint().unwrap_or_default());
        assert!(
            text.contains("http://127.0.0.1:9") || text.contains("credentials"),
            "{text}"
        );
    }
}

#[test]
fn no_limit_is_a_limit() {
    let Some(servers) = Servers::best() else { return };
    let store = store(&servers);
    let _ = yes(store.create("projects/p/runs/1/record", b"x").unwrap());
    assert_eq!(store.list("projects/p/", None, usize::MAX).unwrap().len(), 1);
    assert_eq!(
        store.list_newest("projects/p/runs/", None, usize::MAX).unwrap().len(),
        1
    );
    assert_eq!(store.entries("", None, usize::MAX).unwrap().len(), 1);
    assert_eq!(store.stored_blobs(None, usize::MAX).unwrap(), []);
}
