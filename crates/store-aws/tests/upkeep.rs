//! A collection of garbage in the shared store: what writes that were cut off left behind, and what Object Lock keeps.

mod common;

use std::collections::BTreeMap;

use aws_sdk_s3::types::{ObjectLockLegalHold, ObjectLockLegalHoldStatus, ObjectLockRetention, ObjectLockRetentionMode};
use common::faulty::{Fault, Lasting, Plan};
use common::{Servers, store};
use jiff::{Timestamp, ToSpan};
use rollback_release::upkeep::{self, Collected, Options, Retention};
use rollback_release::{BlobId, Catalogue, Release, ReleaseId, Salt, StackParts, Store, StoreError, write_stack};
use rollback_state::State;
use rollback_store_aws::connect::{Clients, http_client};
use rollback_store_aws::{AwsStore, Patience};

fn noise(seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..500_000).map(|_| random.u8(..)).collect()
}

/// Everything that was put so far counts as old.
fn collect(store: &AwsStore, keep_last: Option<usize>) -> Collected {
    let options = Options {
        put_before: Timestamp::now() + 1.hour(),
        retention: Retention {
            keep_last,
            keep_since: None,
        },
        needed: BTreeMap::new(),
    };
    let catalogue = Catalogue::new(store, "p");
    let plan = upkeep::plan(&catalogue, &options, &mut |_, _, _| {}).unwrap();
    upkeep::carry_out(&catalogue, &plan, &mut |_, _, _| {}).unwrap()
}

#[test]
fn values_whose_write_was_cut_off_are_swept_and_others_stay() {
    let Some(servers) = Servers::best() else { return };
    let store = store(&servers);
    let _ = store.create("projects/p/large", &noise(1)).unwrap();
    let plan = Plan::default();
    let clients = Clients::connect_through(&store.location().access, plan.client(http_client())).unwrap();
    let cut_off = AwsStore::with(store.location(), clients, Patience::default()).unwrap();
    // The value's object is there, and its item never comes.
    plan.fail(2, Fault::Denied, Lasting::Ever);
    cut_off.create("projects/p/other", &noise(2)).unwrap_err();
    plan.rest();

    assert_eq!(store.leftovers(Timestamp::now() - 1.hour()).unwrap(), [], "it is young");
    let found = store.leftovers(Timestamp::now() + 1.hour()).unwrap();
    assert!(
        found.len() == 1 && found[0].name.starts_with("values/projects/p/other/") && found[0].stored_bytes > 400_000,
        "{found:?}"
    );
    let collected = collect(&store, None);
    assert_eq!(
        (collected.leftovers, collected.bytes),
        (1, found[0].stored_bytes),
        "{collected:?}"
    );
    assert_eq!(store.leftovers(Timestamp::now() + 1.hour()).unwrap(), []);
    assert!(store.get("projects/p/large").unwrap().unwrap().0 == noise(1));
    // What became a record's value after the look stays.
    let version = store.get("projects/p/large").unwrap().unwrap().1;
    let name = format!("values/projects/p/large/{}", version.as_str());
    assert!(!store.remove_leftover(&name).unwrap());
    assert!(store.get("projects/p/large").unwrap().unwrap().0 == noise(1));
}

fn release(store: &AwsStore, second: i64) -> Release {
    let time = Timestamp::from_second(1_700_000_000 + second).unwrap();
    let state = format!(
        r#"{{"version":4,"terraform_version":"1.11.4","serial":{second},"lineage":"l","outputs":{{}},"resources":[]}}"#
    );
    let parts = StackParts {
        name: "app".to_owned(),
        state: Some(State::parse(state).unwrap()),
        ..StackParts::default()
    };
    let mut release = Release::made_at(time, "1234567890abcdef1234567890abcdef12345678", "me");
    release.stacks = vec![write_stack(&parts, &Salt::from_bytes([1; 32]), store).unwrap()];
    Catalogue::new(store, "p").commit(&release).unwrap();
    release
}

/// An object's name in its bucket.
fn name(store: &AwsStore, name: &str) -> String {
    format!("{}/{name}", store.location().prefix)
}

fn hold(store: &AwsStore, object: &str, status: ObjectLockLegalHoldStatus) {
    let hold = ObjectLockLegalHold::builder().status(status).build();
    let put = store
        .clients()
        .s3
        .put_object_legal_hold()
        .bucket(&store.location().bucket)
        .key(name(store, object))
        .legal_hold(hold);
    store.clients().wait(put.send()).unwrap();
}

fn retain(store: &AwsStore, object: &str, until: Timestamp) {
    let retention = ObjectLockRetention::builder()
        .mode(ObjectLockRetentionMode::Governance)
        .retain_until_date(aws_sdk_s3::primitives::DateTime::from_secs(until.as_second()))
        .build();
    let put = store
        .clients()
        .s3
        .put_object_retention()
        .bucket(&store.location().bucket)
        .key(name(store, object))
        .retention(retention);
    store.clients().wait(put.send()).unwrap();
}

/// S3 would put a marker over what it retains, and say yes.
#[test]
fn what_object_lock_keeps_stays_and_is_named() {
    let Some(servers) = Servers::best() else { return };
    let store = AwsStore::open(&servers.location()).unwrap();
    let bucket = store.clients().s3.create_bucket().bucket(&store.location().bucket);
    store
        .clients()
        .wait(bucket.object_lock_enabled_for_bucket(true).send())
        .unwrap();
    store.create_missing(false, &|_| ()).unwrap();

    let releases: Vec<Release> = (1..=4).map(|second| release(&store, second)).collect();
    let manifest = |release: &Release| format!("projects/p/releases/{}", release.id);
    let ids = || -> Vec<ReleaseId> { Catalogue::new(&store, "p").ids().unwrap() };
    let (held, retained) = (store.put_blob(b"held").unwrap(), store.put_blob(b"retained").unwrap());
    let free: BlobId = store.put_blob(b"free").unwrap();
    let until: Timestamp = "2099-01-02T03:04:05Z".parse().unwrap();
    hold(&store, &manifest(&releases[0]), ObjectLockLegalHoldStatus::On);
    hold(&store, &format!("blobs/{held}"), ObjectLockLegalHoldStatus::On);
    retain(&store, &format!("blobs/{retained}"), until);

    let collected = collect(&store, Some(1));
    assert_eq!(
        collected.releases,
        [releases[1].id.clone(), releases[2].id.clone()],
        "{collected:?}"
    );
    assert_eq!(ids(), [releases[0].id.clone(), releases[3].id.clone()]);
    let reason_of = |what: &str| -> &str {
        let found = collected.retained.iter().find(|one| one.what == what);
        &found.unwrap_or_else(|| panic!("{what}: {collected:?}")).reason
    };
    for what in [releases[0].id.to_string(), held.to_string()] {
        assert!(reason_of(&what).contains("legal hold"), "{}", reason_of(&what));
    }
    let reason = reason_of(&retained.to_string());
    assert!(reason.contains("2099-01-02T03:04:05Z"), "{reason}");
    assert_eq!(collected.retained.len(), 3);
    // The bytes are not hidden behind a marker, and the state of the release that stays is there.
    assert_eq!(store.get_blob(&held).unwrap(), b"held");
    assert_eq!(store.get_blob(&retained).unwrap(), b"retained");
    assert!(matches!(store.get_blob(&free), Err(StoreError::BlobMissing { .. })));
    let kept = Catalogue::new(&store, "p").get(&releases[0].id).unwrap();
    store.get_blob(&kept.stacks[0].state.as_ref().unwrap().blob).unwrap();

    hold(&store, &format!("blobs/{held}"), ObjectLockLegalHoldStatus::Off);
    hold(&store, &manifest(&releases[0]), ObjectLockLegalHoldStatus::Off);
    let collected = collect(&store, Some(1));
    assert_eq!(collected.releases, [releases[0].id.clone()]);
    assert_eq!(collected.retained.len(), 1, "{collected:?}");
    assert_eq!(ids(), [releases[3].id.clone()]);
}
