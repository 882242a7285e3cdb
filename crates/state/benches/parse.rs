//! Reading a state of ten thousand instances of some two kilobytes: parse, index and all identifiers, against what
//! general JSON parsers need for the same bytes. Prints the ratios.

#![allow(clippy::print_stdout)]

use std::fmt::Write;
use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rollback_state::State;

const INSTANCES: usize = 10_000;

/// A state as Terraform writes it, with attributes like those of real providers: many empty, some nested.
fn generated() -> String {
    let mut random = 0x5eed_u64;
    let mut next = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    let mut text = String::from(
        "{\n  \"version\": 4,\n  \"terraform_version\": \"1.11.4\",\n  \"serial\": 7,\n  \
         \"lineage\": \"cd613e30-d8f1-6adf-91b7-584a2265b1f5\",\n  \"outputs\": {},\n  \"resources\": [",
    );
    for resource in 0..INSTANCES / 2 {
        let comma = if resource == 0 { "" } else { "," };
        let module = resource / 200;
        write!(
            text,
            "{comma}\n    {{\n      \"module\": \"module.m{module}\",\n      \"mode\": \"managed\",\n      \
             \"type\": \"aws_instance\",\n      \"name\": \"r{resource}\",\n      \
             \"provider\": \"provider[\\\"registry.terraform.io/hashicorp/aws\\\"]\",\n      \"instances\": ["
        )
        .unwrap();
        for index in 0..2 {
            let comma = if index == 0 { "" } else { "," };
            write!(text, "{comma}\n        {{\n          \"index_key\": {index},\n          \"schema_version\": 1,\n          \"attributes\": {{").unwrap();
            let id = next();
            write!(text, "\n            \"ami\": \"ami-{:08x}\",", id as u32).unwrap();
            write!(
                text,
                "\n            \"arn\": \"arn:aws:ec2:us-east-1:123456789012:instance/i-{id:017x}\","
            )
            .unwrap();
            for number in 0..14 {
                let indent = "\n            ";
                match next() % 7 {
                    0 => write!(text, "{indent}\"attribute_with_name_{number}\": null,").unwrap(),
                    1 => write!(text, "{indent}\"flag_{number}\": {},", next() % 2 == 0).unwrap(),
                    2 => write!(text, "{indent}\"text_{number}\": \"value-{:x} with \\\"quotes\\\"\",", next()).unwrap(),
                    3 => write!(text, "{indent}\"count_of_things_{number}\": {},", next() % 10_000).unwrap(),
                    4 => write!(text, "{indent}\"list_{number}\": [{indent}  \"subnet-{:x}\",{indent}  \"subnet-{:x}\"{indent}],", next(), next()).unwrap(),
                    5 => write!(text, "{indent}\"block_{number}\": [{indent}  {{{indent}    \"device\": \"/dev/sda{number}\",{indent}    \"size\": 8,{indent}    \"encrypted\": false{indent}  }}{indent}],").unwrap(),
                    _ => write!(text, "{indent}\"empty_{number}\": \"\",").unwrap(),
                }
            }
            write!(
                text,
                "\n            \"id\": \"i-{id:017x}\",\n            \"tags\": {{\n              \"Name\": \"n{id}\"\n            }}\n          }},\n          \
                 \"sensitive_attributes\": [],\n          \"private\": \"eyJlMmJmYjczMC1lY2FhLTExZTYtOGY4OC0zNDM2M2JjN2M0YzAiOnsiY3JlYXRlIjo2MDAwMDAwMDAwMDAsImRlbGV0ZSI6MTIwMDAwMDAwMDAwMH19\",\n          \
                 \"dependencies\": [\n            \"module.m{module}.aws_subnet.a\",\n            \"module.m{module}.aws_vpc.main\"\n          ]\n        }}"
            )
            .unwrap();
        }
        text.push_str("\n      ]\n    }");
    }
    text.push_str("\n  ],\n  \"check_results\": null\n}\n");
    text
}

/// Parse (and with it index), and every identifier.
fn read(bytes: Vec<u8>) -> usize {
    let state = State::parse(bytes).expect("the generated state is one");
    state
        .instances()
        .map(|instance| instance.identifier(&state).map_or(0, |id| id.len()))
        .sum()
}

fn sonic(bytes: &[u8]) -> sonic_rs::Value {
    sonic_rs::from_slice(bytes).expect("the generated state is JSON")
}

fn serde(bytes: &[u8]) -> serde_json::Value {
    serde_json::from_slice(bytes).expect("the generated state is JSON")
}

fn median(mut run: impl FnMut() -> Duration) -> Duration {
    let mut times: Vec<Duration> = (0..21).map(|_| run()).collect();
    times.sort();
    times[times.len() / 2]
}

/// One number each, taken in turns so that a busy machine is as unkind to all.
fn ratios(bytes: &[u8]) {
    let timed = |work: &mut dyn FnMut()| {
        let start = Instant::now();
        work();
        start.elapsed()
    };
    let mut others = (Vec::new(), Vec::new());
    let ours = median(|| {
        others.0.push(timed(&mut || drop(black_box(sonic(bytes)))));
        others.1.push(timed(&mut || drop(black_box(serde(bytes)))));
        let copy = bytes.to_vec();
        let mut copy = Some(copy);
        timed(&mut || {
            black_box(read(copy.take().unwrap_or_default()));
        })
    });
    let middle = |times: &mut Vec<Duration>| {
        times.sort();
        times[times.len() / 2]
    };
    let (sonic, serde) = (middle(&mut others.0), middle(&mut others.1));
    println!(
        "{} bytes, {INSTANCES} instances: state {ours:.1?}; sonic-rs {sonic:.1?} ({:.2} times); serde_json {serde:.1?} ({:.2} times)",
        bytes.len(),
        sonic.as_secs_f64() / ours.as_secs_f64(),
        serde.as_secs_f64() / ours.as_secs_f64(),
    );
}

fn parse(criterion: &mut Criterion) {
    let text = generated();
    let bytes = text.as_bytes();
    ratios(bytes);
    let mut group = criterion.benchmark_group("ten thousand instances");
    group.throughput(Throughput::Bytes(bytes.len() as u64)).sample_size(20);
    group.bench_function("state: parse, index, identifiers", |bencher| {
        bencher.iter_batched(|| bytes.to_vec(), read, criterion::BatchSize::LargeInput);
    });
    group.bench_function("sonic-rs to Value", |bencher| bencher.iter(|| sonic(bytes)));
    group.bench_function("serde_json to Value", |bencher| bencher.iter(|| serde(bytes)));
    group.finish();
}

criterion_group!(benches, parse);
criterion_main!(benches);
