//! Taking history in: from a versioned bucket and from Git, and going back to what was taken in.

use std::time::{Duration, Instant};

use rollback_tests::{Bucket, Chance, Ran, StateFile, World, data, moved, scale, scenario};
use serde_json::{Value, json};

/// A world beside a bucket that keeps versions.
fn with_bucket(test: impl FnOnce(World, Bucket)) {
    scenario(|mut world| {
        let Some(bucket) = Bucket::new() else { return };
        for (name, value) in bucket.environment() {
            world.set(name, &value);
        }
        test(world, bucket);
    });
}

const KEY: &str = "app/terraform.tfstate";

/// Commits and deploys in another second, as deploys do.
fn deploy(world: &World, text: &str) -> String {
    world.write(&[("main.tf", text)]);
    world.init();
    let commit = world.commit("a deploy");
    std::thread::sleep(Duration::from_millis(1100));
    world.apply(&[]);
    commit
}

fn state(serial: u64, lineage: &str, padding: &str) -> Vec<u8> {
    let state = json!({"version": 4, "terraform_version": "1.11.4", "serial": serial, "lineage": lineage,
        "outputs": {"padding": {"value": padding, "type": "string"}}, "resources": []});
    state.to_string().into_bytes()
}

/// A repository with one commit of a long time ago.
fn committed(world: &mut World) -> String {
    world.set("GIT_COMMITTER_DATE", "2020-01-01T00:00:00Z");
    world.write(&[("main.tf", "")]);
    world.commit("long ago")
}

fn import(world: &World, more: &[&str]) -> Ran {
    let mut arguments = vec!["import", "s3-versions", "--json"];
    arguments.extend(more);
    let ran = world.tool(&arguments);
    ran.exits(0);
    ran
}

fn counts(report: &Value) -> [u64; 4] {
    ["versions", "imported", "already_there", "skipped"].map(|name| report[name].as_u64().unwrap_or(u64::MAX))
}

fn pulled(world: &World) -> StateFile {
    StateFile::parse(world.terraform(&["state", "pull"]).exits(0).bytes.clone())
}

#[test]
fn back_to_what_a_bucket_kept() {
    with_bucket(|world, bucket| {
        let backend = bucket.backend(KEY);
        let first = deploy(&world, &(backend.clone() + &data("a", "one") + &data("same", "s")));
        let (objects, bytes) = (pulled(&world).objects(), bucket.get(KEY));
        let rename = moved("terraform_data.a", "terraform_data.b");
        let second = deploy(&world, &(backend + &data("b", "two") + &data("same", "s") + &rename));

        let report = import(&world, &[]).json();
        assert_eq!(counts(&report), [2, 2, 0, 0], "{report:#}");
        let commits =
            ["commit", "commit_by"].map(|field| [&report["releases"][0][field], &report["releases"][1][field]]);
        assert_eq!(commits[0], [&json!(first), &json!(second)]);
        assert_eq!(commits[1][0], &json!({"by": "time", "branch": "main", "touched": true}));
        assert_eq!(
            counts(&import(&world, &[]).json()),
            [2, 0, 2, 0],
            "a second time finds the first"
        );

        world.tool(&["releases"]).exits(0).says("imported by time");
        world
            .tool(&["show", &first])
            .exits(0)
            .says("a guess by time")
            .says(&bucket.name);
        assert_eq!(
            world.tool(&["state", "pull", &first]).exits(0).bytes,
            bytes,
            "the very bytes"
        );
        let versions = world.tool(&["state", "versions", "--json"]).json();
        assert_eq!(versions["versions"].as_array().map(Vec::len), Some(2));
        world.tool(&["state", "at", "now"]).exits(0).says(&second[..10]);
        world
            .tool(&["state", "blame", "terraform_data.b"])
            .exits(0)
            .says(&second[..10]);

        world.tool(&["plan", &first]).exits(0).says("a guess by time");
        world.tool(&["to", &first, "--auto-approve"]).exits(0);
        assert_eq!(
            pulled(&world).objects(),
            objects,
            "the very objects at their old addresses"
        );
        world.tool(&["undo", "--auto-approve"]).exits(0);
        assert!(pulled(&world).objects().contains_key("terraform_data.b"));

        // What the two runs wrote into the bucket is theirs.
        let report = import(&world, &[]).json();
        assert_eq!(
            (report["imported"].as_u64(), report["already_there"].as_u64()),
            (Some(0), Some(2)),
            "{report:#}"
        );
        assert!(report["skipped"].as_u64() >= Some(2), "{report:#}");
    });
}

#[test]
fn odd_versions_are_told_and_hide_nothing() {
    with_bucket(|mut world, bucket| {
        let commit = committed(&mut world);
        let by_commit: &[(&str, &str)] = &[("x-amz-meta-Git-Sha", &commit), ("x-amz-meta-actor", "dana")];
        let tag = format!("GITHUB_SHA={commit}");
        let good = [
            (state(5, "one", ""), by_commit),
            (state(3, "one", "back"), &[]),
            (state(3, "one", "other bytes"), &[]),
            (state(4, "two", ""), &[]),
            (state(5, "one", "tagged"), &[("x-amz-tagging", tag.as_str())]),
            (state(6, "one", "unknown"), &[("x-amz-meta-commit", "deadbeefdeadbeef")]),
        ];
        let bad: [&[u8]; 8] = [
            b"",
            b" \n",
            &state(9, "one", "cut off")[..60],
            br#"{"serial":1,"lineage":"x","meta":{},"encrypted_data":"AA==","encryption_version":"v0"}"#,
            br#"{"version":3,"terraform_version":"0.11.14","serial":1,"lineage":"x","modules":[]}"#,
            b"\x00\x01\xff",
            br#"{"version":5,"serial":1}"#,
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
        ];
        for (index, (bytes, headers)) in good.iter().enumerate() {
            bucket.put(KEY, bytes, headers);
            if index == 0 {
                bucket.put(KEY, bytes, headers);
            }
            // Keys that begin like ours are others.
            bucket.put(&format!("{KEY}.tflock"), b"{}", &[]);
            bucket.delete(&format!("{KEY}.tflock"));
        }
        for bytes in bad {
            bucket.put(KEY, bytes, &[]);
        }
        bucket.delete(KEY);
        let place = ["--bucket", &bucket.name, "--key", KEY];

        let mut dry = place.to_vec();
        dry.push("--dry-run");
        let foretold = import(&world, &dry).json();
        assert_eq!(counts(&foretold), [16, 6, 0, 10], "{foretold:#}");
        assert_eq!(
            world.tool(&["releases", "--json"]).json()["releases"],
            json!([]),
            "a dry run keeps nothing"
        );

        let report = import(&world, &place).json();
        assert_eq!(report["releases"], foretold["releases"]);
        let mut kinds: Vec<&str> = report["skips"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|skip| skip["why"].as_str())
            .collect();
        kinds.sort_unstable();
        let expected = [
            "deleted",
            "duplicate",
            "empty",
            "empty",
            "encrypted",
            "no-state",
            "no-state",
            "no-state",
            "no-state",
            "old-format",
        ];
        assert_eq!(kinds, expected, "{report:#}");
        let notes = |index: usize| report["releases"][index]["notes"].to_string();
        let ways: Vec<&Value> = (0..6)
            .map(|index| &report["releases"][index]["commit_by"]["by"])
            .collect();
        assert_eq!(ways, ["metadata", "time", "time", "time", "metadata", "time"]);
        assert!(notes(1).contains("went back from 5 to 3"), "{}", notes(1));
        assert!(notes(2).contains("its bytes are not"), "{}", notes(2));
        assert!(notes(3).contains("lineage"), "{}", notes(3));
        assert!(notes(5).contains("deadbeefdead"), "{}", notes(5));
        let by = world.tool(&["releases", "--json"]).json();
        let actors: Vec<&str> = by["releases"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|one| one["actor"].as_str())
            .collect();
        assert_eq!(actors.iter().filter(|actor| **actor == "dana").count(), 1);
        // People get one line for each and the sum.
        let words = world.tool(&["import", "s3-versions", "--bucket", &bucket.name, "--key", KEY]);
        words
            .exits(0)
            .says("0 of 16")
            .says("6 already there, 10 skipped")
            .says("1 encrypted")
            .says("format 3");
    });
}

#[test]
fn a_mapping_says_which_commit() {
    with_bucket(|mut world, bucket| {
        let first = committed(&mut world);
        world.git(&["tag", "v1"]);
        world.set("GIT_COMMITTER_DATE", "2021-01-01T00:00:00Z");
        let second = world.commit("later");
        for serial in 1..=3 {
            bucket.put(KEY, &state(serial, "one", ""), &[]);
        }
        let place = ["--bucket", &bucket.name, "--key", KEY];
        let map = world.out.join("map.csv");
        std::fs::write(&map, "serial,commit\n1,v1\n9,v1\n").unwrap();
        let mut arguments = place.to_vec();
        arguments.extend(["--map", map.to_str().unwrap()]);

        // Only the newest two were asked for.
        let mut newest = arguments.clone();
        newest.extend(["--limit", "2"]);
        assert_eq!(counts(&import(&world, &newest).json()), [2, 2, 0, 0]);
        let report = import(&world, &arguments).json();
        assert_eq!(counts(&report), [3, 1, 2, 0]);
        assert_eq!(report["releases"][0]["commit"], json!(first));
        assert_eq!(
            report["releases"][0]["commit_by"],
            json!({"by": "mapping", "property": "serial"})
        );
        assert!(report["notes"].to_string().contains("names 9"), "{report:#}");

        // A release is what it is.
        std::fs::write(&map, json!([{"serial": 1, "commit": second}]).to_string()).unwrap();
        let report = import(&world, &arguments).json();
        assert_eq!(counts(&report), [3, 0, 3, 0]);
        assert!(report["notes"].to_string().contains("does not change it"), "{report:#}");

        std::fs::write(&map, "serial,commit\n1,nowhere\n").unwrap();
        world
            .tool(&[
                "import",
                "s3-versions",
                "--bucket",
                &bucket.name,
                "--key",
                KEY,
                "--map",
                map.to_str().unwrap(),
            ])
            .fails()
            .says("line 2");
        let mut since = place.to_vec();
        since.extend(["--since", "2100-01-01T00:00:00Z"]);
        assert_eq!(counts(&import(&world, &since).json()), [0, 0, 0, 0]);
    });
}

#[test]
fn what_cannot_be_had_is_an_error_with_advice() {
    with_bucket(|mut world, bucket| {
        world.set("GIT_COMMITTER_DATE", "2090-01-01T00:00:00Z");
        world.write(&[("main.tf", "")]);
        world.commit("from the future");
        world.tool(&["import", "s3-versions"]).exits(2).says("--bucket");
        let import = |bucket: &str, key: &str| world.tool(&["import", "s3-versions", "--bucket", bucket, "--key", key]);
        import(&bucket.name, "nothing").exits(1).says("there is no object");
        import("no-such-bucket", KEY).exits(1).says("there is no bucket");
        bucket.put(KEY, &state(1, "one", ""), &[]);
        import(&bucket.name, KEY)
            .exits(0)
            .says("1 without a commit")
            .says("--map");
        world.tool(&["import", "git"]).exits(1).says("--path");
    });
}

/// A bucket lists a thousand at a time, versions and delete markers together.
#[test]
fn every_page_of_a_long_list_is_read() {
    with_bucket(|mut world, bucket| {
        committed(&mut world);
        for serial in 1..=1005 {
            bucket.put(KEY, &state(serial, "one", ""), &[]);
            if serial % 100 == 0 {
                bucket.delete(KEY);
            }
        }
        let place = ["--bucket", &bucket.name, "--key", KEY, "--dry-run"];
        let report = import(&world, &place).json();
        assert_eq!(counts(&report), [1015, 1005, 0, 10], "{}", report["notes"]);
        let serials = report["releases"].as_array().into_iter().flatten();
        let serials: Vec<u64> = serials.filter_map(|one| one["serial"].as_u64()).collect();
        assert!(serials.iter().copied().eq(1..=1005), "in their order: {serials:?}");
    });
}

#[test]
fn killed_and_again() {
    with_bucket(|mut world, bucket| {
        committed(&mut world);
        let padding = "x".repeat(50_000);
        for serial in 1..=40 {
            bucket.put(KEY, &state(serial, "one", &padding), &[]);
        }
        let place = ["--bucket", &bucket.name, "--key", KEY];
        let elsewhere = world.out.join("home").to_string_lossy().into_owned();
        let clean = [("INFRA_ROLLBACK_HOME", elsewhere.as_str())];
        let mut arguments = vec!["import", "s3-versions", "--json"];
        arguments.extend(place);
        let begun = Instant::now();
        let whole = world.tool_with(&arguments, &clean).json();
        let took = begun.elapsed().as_millis() as u64;
        assert_eq!(counts(&whole), [40, 40, 0, 0]);

        let mut chance = Chance::new();
        let mut halfway = false;
        for _ in 0..4 * scale() {
            let mut arguments = vec!["import", "s3-versions"];
            arguments.extend(place);
            let mut tool = world.start(&arguments);
            // Within the time that a whole import takes on this machine.
            std::thread::sleep(Duration::from_millis(took / 5 + chance.below(took / 2 + 1)));
            halfway |= tool.is_running();
            rollback_tests::kill(tool.pid());
            let _ = tool.wait();
        }
        assert!(halfway, "no kill came in time");
        let report = import(&world, &place).json();
        let [versions, imported, already, skipped] = counts(&report);
        assert_eq!((versions, imported + already, skipped), (40, 40, 0), "{report:#}");
        let ids = |environment: &[(&str, &str)]| {
            let listed = world
                .tool_with(&["releases", "--json", "--limit", "100"], environment)
                .json();
            let releases = listed["releases"].as_array().cloned().unwrap_or_default();
            assert_eq!(listed["unreadable"], json!([]));
            releases.into_iter().map(|mut one| one["id"].take()).collect::<Vec<_>>()
        };
        assert_eq!(ids(&[]), ids(&clean), "the same releases in the same order, each once");
    });
}

#[test]
fn back_to_what_git_kept() {
    scenario(|world| {
        let commit = |text: &str, branch: bool| {
            if branch {
                world.git(&["checkout", "--quiet", "-b", "side"]);
            }
            world.put(".gitignore", ".terraform/\n*.backup\n.terraform.tfstate.lock.info\n");
            world.put("main.tf", text);
            world.init();
            world.apply(&[]);
            let commit = world.commit("a deploy");
            if !branch {
                return commit;
            }
            world.git(&["checkout", "--quiet", "main"]);
            world.git(&["merge", "--quiet", "--no-ff", "--message", "merge", "side"]);
            world.git(&["rev-parse", "HEAD"])
        };
        let first = commit(&data("a", "one"), false);
        let (bytes, objects) = (world.state().bytes, world.objects());
        world.put("README", "beside it");
        world.commit("nothing of the stack");
        let merge = commit(
            &(data("b", "two") + &moved("terraform_data.a", "terraform_data.b")),
            true,
        );

        let report = world.tool(&["import", "git", "--json"]);
        let report = report.exits(0).json();
        assert_eq!(counts(&report), [2, 2, 0, 0], "{report:#}");
        let commits = [&report["releases"][0]["commit"], &report["releases"][1]["commit"]];
        assert_eq!(commits, [&json!(first), &json!(merge)]);
        assert_eq!(report["releases"][0]["commit_by"], json!({"by": "tracked"}));
        assert_eq!(counts(&world.tool(&["import", "git", "--json"]).json()), [2, 0, 2, 0]);
        world
            .tool(&["releases"])
            .exits(0)
            .says("with its state")
            .says("tester@example.com");
        assert_eq!(world.tool(&["state", "pull", &first]).exits(0).bytes, bytes);
        world.tool(&["to", &first, "--auto-approve"]).exits(0);
        assert_eq!(world.objects(), objects);
    });
}
