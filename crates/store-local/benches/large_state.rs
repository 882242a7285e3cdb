//! A state of 21 MB in and out, and what each level of compression would cost. `ROLLBACK_BENCH_STATE=<file>` takes a
//! state of one's own.
//!
//! ```text
//! cargo bench -p rollback-store-local
//! ```

use std::fmt::Write;
use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use rollback_release::{BlobId, Catalogue, Release, Store};
use rollback_store_local::LocalStore;

/// Ten thousand instances with attributes that look like a provider's: names, ids, hashes, policies.
fn made_up() -> Vec<u8> {
    let mut text = String::from(
        "{\n  \"version\": 4,\n  \"serial\": 1,\n  \"lineage\": \"l\",\n  \"outputs\": {},\n  \"resources\": [",
    );
    for number in 0..10_000_u64 {
        let hash = BlobId::of(&number.to_le_bytes());
        let comma = if number == 0 { "" } else { "," };
        let _ = write!(
            text,
            r#"{comma}
    {{
      "mode": "managed",
      "type": "aws_iam_role",
      "name": "role_{number}",
      "provider": "provider[\"registry.terraform.io/hashicorp/aws\"]",
      "instances": [
        {{
          "schema_version": 0,
          "attributes": {{
            "arn": "arn:aws:iam::123456789012:role/service-{number}",
            "assume_role_policy": "{{\"Statement\":[{{\"Action\":\"sts:AssumeRole\",\"Effect\":\"Allow\"}}]}}",
            "create_date": "2026-11-22T10:{:02}:{:02}Z",
            "id": "{hash}",
            "tags": {{"Environment": "production", "Index": "{number}", "Owner": "team-{}"}},
            "policy": "{}"
          }},
          "sensitive_attributes": [],
          "private": "bnVsbA==",
          "dependencies": ["aws_iam_policy.policy_{number}", "data.aws_region.current"]
        }}
      ]
    }}"#,
            number / 60 % 60,
            number % 60,
            number % 17,
            format!("statement {} of {hash}; ", number % 97).repeat(11)
        );
    }
    text.push_str("\n  ]\n}\n");
    text.into_bytes()
}

fn state() -> Vec<u8> {
    match std::env::var_os("ROLLBACK_BENCH_STATE") {
        Some(path) => std::fs::read(path).expect("ROLLBACK_BENCH_STATE names a file"),
        None => made_up(),
    }
}

fn large_state(criterion: &mut Criterion) {
    let bytes = state();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = LocalStore::open(folder.path()).expect("a store");
    let id = store.put_blob(&bytes).expect("put");

    let mut group = criterion.benchmark_group("large_state");
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.sample_size(20).measurement_time(Duration::from_secs(6));
    let mut number = 0_u64;
    group.bench_function("put_new", |bencher| {
        let another = || {
            number += 1;
            let mut another = bytes.clone();
            another.extend_from_slice(format!(" \n{number}").as_bytes());
            another
        };
        bencher.iter_batched(
            another,
            |bytes| store.put_blob(&bytes).expect("put"),
            BatchSize::LargeInput,
        );
    });
    group.bench_function("put_known", |bencher| {
        bencher.iter(|| store.put_blob(&bytes).expect("put"))
    });
    group.bench_function("get", |bencher| {
        bencher.iter(|| black_box(store.get_blob(&id).expect("get")))
    });
    for level in [-1, 1, 2, 3, 5] {
        let size = zstd::bulk::compress(&bytes, level).expect("compress").len();
        let name = format!(
            "compress_level_{level}_to_{:.2}_percent",
            100.0 * size as f64 / bytes.len() as f64
        );
        group.bench_function(name, |bencher| {
            bencher.iter(|| zstd::bulk::compress(&bytes, level).expect("compress"))
        });
    }
    group.finish();
}

/// What a snapshot of a middling repository writes, and how long a list of many releases takes.
fn many_small(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = LocalStore::open(folder.path()).expect("a store");
    let mut group = criterion.benchmark_group("many_small");
    group.sample_size(10).measurement_time(Duration::from_secs(6));
    let mut round = 0;
    group.bench_function("put_500_new_files", |bencher| {
        let files = || -> Vec<Vec<u8>> {
            round += 1;
            (0..500)
                .map(|number| format!("# {round} {number}\n").repeat(50).into_bytes())
                .collect()
        };
        let put = |files: Vec<Vec<u8>>| {
            let slices: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
            store.put_blobs(&slices).expect("put")
        };
        bencher.iter_batched(files, put, BatchSize::LargeInput);
    });
    let catalogue = Catalogue::new(&store, "bench");
    for _ in 0..1000 {
        catalogue
            .commit(&Release::new("a".repeat(40), "bench"))
            .expect("commit");
    }
    group.bench_function("list_50_of_1000_releases", |bencher| {
        bencher.iter(|| catalogue.list(50).expect("list"))
    });
    group.bench_function("find_in_1000_releases", |bencher| {
        bencher.iter(|| catalogue.find(&"a".repeat(40)[..12]).expect("found"));
    });
    group.finish();
}

criterion_group!(benches, large_state, many_small);
criterion_main!(benches);
