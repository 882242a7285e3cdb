//! A long history in a bucket: taken in at a steady pace and in little memory, and gone on with where it was killed.
//!
//! `INFRA_ROLLBACK_TEST_IMPORT=5000x5` makes it 5,000 versions of 5 MB (25 GB in the temporary folder, and some minutes);
//! without it a history of half a minute is taken in.

use std::time::{Duration, Instant};

use rollback_tests::{Background, Bucket, World, scenario};
use serde_json::{Value, json};

const KEY: &str = "app/terraform.tfstate";

/// A resource takes about so many bytes.
const RESOURCE: usize = 1000;

/// A state that changes as states do: of its resources one in two hundred with each version.
struct Growing {
    resources: Vec<String>,
    next: usize,
}

impl Growing {
    fn new(megabytes: usize) -> Growing {
        let resources = (0..megabytes * 1_000_000 / RESOURCE).map(|number| resource(number, 0));
        Growing {
            resources: resources.collect(),
            next: 0,
        }
    }

    fn version(&mut self, serial: usize) -> String {
        let count = self.resources.len();
        for _ in 0..(count / 200).max(1) {
            self.resources[self.next % count] = resource(self.next % count, serial);
            // Far from each other, and each of them in its turn.
            self.next += 7919;
        }
        let resources = self.resources.join(",\n");
        format!(
            "{{\n  \"version\": 4,\n  \"terraform_version\": \"1.11.4\",\n  \"serial\": {serial},\n  \"lineage\": \
             \"6f0a1c1e-0000-0000-0000-000000000000\",\n  \"outputs\": {{}},\n  \"resources\": [\n{resources}\n  ]\n}}\n"
        )
    }
}

/// What does not compress away is as much as in a real one: ids and times.
fn resource(number: usize, change: usize) -> String {
    let id = |salt: usize| {
        let mixed =
            (number as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (salt as u64).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        format!("{:016x}", mixed ^ (mixed >> 29))
    };
    let policy = format!("statement {} of service; ", number % 97).repeat(18);
    let resource = json!({
        "mode": "managed", "type": "aws_instance", "name": format!("web_{number}"),
        "provider": "provider[\"registry.terraform.io/hashicorp/aws\"]",
        "instances": [{"schema_version": 1, "sensitive_attributes": [], "attributes": {
            "id": id(0), "arn": format!("arn:aws:ec2:us-east-1:123456789012:instance/i-{}", id(1)),
            "tags": {"Name": format!("web-{number}"), "release": id(2 + change)}, "policy": policy,
        }}],
    });
    format!("    {resource}")
}

/// How many versions, and of how many megabytes each.
fn size() -> (usize, usize) {
    let Ok(text) = std::env::var("INFRA_ROLLBACK_TEST_IMPORT") else {
        return (60, 1);
    };
    let numbers = text
        .split_once('x')
        .and_then(|(one, other)| Some((one.parse().ok()?, other.parse().ok()?)));
    numbers.expect("INFRA_ROLLBACK_TEST_IMPORT is VERSIONSxMEGABYTES, such as 5000x5")
}

/// The most memory that a process had at any time so far, in bytes; `None` when it has ended.
fn peak_memory(pid: i32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes * 1024)
}

fn files(folder: &std::path::Path) -> (usize, u64) {
    let (mut count, mut bytes) = (0, 0);
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.is_dir() {
            let (more, larger) = files(&entry.path());
            (count, bytes) = (count + more, bytes + larger);
        } else {
            (count, bytes) = (count + 1, bytes + metadata.len());
        }
    }
    (count, bytes)
}

/// Looks on until `enough` says so or it has ended; gives the most memory that it had.
fn look_on(tool: &mut Background, mut enough: impl FnMut() -> bool) -> u64 {
    let mut most = 0;
    while tool.is_running() && !enough() {
        most = peak_memory(tool.pid()).map_or(most, |now| now.max(most));
        std::thread::sleep(Duration::from_millis(20));
    }
    most
}

fn releases(world: &World) -> Vec<Value> {
    let listed = world
        .tool(&["releases", "--json", "--limit", "1000000"])
        .exits(0)
        .json();
    assert_eq!(listed["unreadable"], json!([]));
    listed["releases"].as_array().cloned().unwrap_or_default()
}

#[test]
fn a_long_history_goes_on_where_it_was_killed() {
    scenario(|mut world| {
        let Some(bucket) = Bucket::new() else { return };
        for (name, value) in bucket.environment() {
            world.set(name, &value);
        }
        world.set("GIT_COMMITTER_DATE", "2020-01-01T00:00:00Z");
        world.write(&[("main.tf", "")]);
        world.commit("long ago");

        let (versions, megabytes) = size();
        let mut growing = Growing::new(megabytes);
        let begun = Instant::now();
        let (mut bytes, mut probes) = (0, Vec::new());
        for serial in 1..=versions {
            let state = growing.version(serial);
            bytes += state.len() as u64;
            bucket.put(KEY, state.as_bytes(), &[]);
            if serial == 1 || serial == versions || serial % (versions / 7).max(1) == 0 {
                probes.push((serial, state));
            }
        }
        let filled = begun.elapsed();

        let arguments = [
            "import",
            "s3-versions",
            "--bucket",
            &bucket.name,
            "--key",
            KEY,
            "--json",
        ];
        let blobs = world.home.join("store/blobs");
        let begun = Instant::now();
        let mut tool = world.start(&arguments).read_along();
        let mut looked = Instant::now();
        let before = look_on(&mut tool, || {
            let due = looked.elapsed() > Duration::from_millis(50);
            if due {
                looked = Instant::now();
            }
            due && files(&blobs).0 > versions * 2 / 5
        });
        assert!(
            tool.is_running(),
            "it was to be killed halfway: {}",
            tool.wait().words()
        );
        rollback_tests::kill(tool.pid());
        let _ = tool.wait();
        let first = begun.elapsed();
        let kept = releases(&world).len();
        assert!((1..versions).contains(&kept), "{kept} of {versions}");

        let begun = Instant::now();
        let mut tool = world.start(&arguments).read_along();
        let after = look_on(&mut tool, || false);
        let report = tool.wait().exits(0).json();
        let second = begun.elapsed();
        let count = |name: &str| report[name].as_u64().unwrap_or_default() as usize;
        assert_eq!(count("versions"), versions, "{}", report["notes"]);
        assert_eq!(count("already_there") + count("imported"), versions);
        assert!(count("already_there") >= kept, "what was there is not taken in again");
        assert_eq!(count("skipped"), 0);
        assert_eq!(releases(&world).len(), versions);
        for (serial, state) in &probes {
            // The newest comes first; the list of states has the serial of each.
            let listed = world.tool(&["state", "versions", "--json"]).exits(0).json();
            let found = listed["versions"].as_array().into_iter().flatten();
            let mut found = found.filter(|version| version["serial"].as_u64() == Some(*serial as u64));
            let release = found
                .next()
                .and_then(|version| version["release"].as_str())
                .expect("its serial")
                .to_owned();
            let pulled = world.tool(&["state", "pull", &release]).exits(0).bytes.clone();
            assert!(pulled == state.as_bytes(), "the very bytes of serial {serial}");
        }
        let (_, stored) = files(&world.home.join("store"));
        let peak = before.max(after);
        eprintln!(
            "{versions} versions of {:.1} MB (put in {:.0} s): killed at {kept} after {:.1} s, the rest in {:.1} s \
             ({:.1} versions/s); at most {:.0} MiB of memory; kept in {:.1} MB of {:.1} MB",
            bytes as f64 / versions as f64 / 1e6,
            filled.as_secs_f64(),
            first.as_secs_f64(),
            second.as_secs_f64(),
            versions as f64 / (first + second).as_secs_f64(),
            peak as f64 / (1 << 20) as f64,
            stored as f64 / 1e6,
            bytes as f64 / 1e6,
        );
        assert!(stored * 10 < bytes, "a history is kept as what changed");
        // A few states at once, whatever the history is long: the rest is the program and the index of its releases.
        let limit = 200 + 40 * megabytes as u64;
        assert!(peak < limit << 20, "{} MiB", peak >> 20);
    });
}
