//! Terraform's `s3` backend under the stack: its lock file, its lock item, its digest, and terraform itself beside us.

use rollback_tests::{Chance, StateBucket, StateLocks, World, data, moved, scale, scenario, wait_until};

use crate::locks::WAITING;
use crate::remote::story;

/// A world whose state lies in a bucket.
fn in_bucket(test: impl FnOnce(World, StateBucket)) {
    scenario(|mut world| {
        if let Some(bucket) = StateBucket::make() {
            bucket.hold_state_of(&mut world);
            test(world, bucket);
        }
    });
}

/// Where a run's journal has a certain event: to be killed there.
fn place_of(world: &World, event: &str) -> usize {
    let events = world.events(&world.last_run());
    1 + events.iter().position(|found| found == event).expect("it happened")
}

/// A saved plan is applied wherever lineage and serial are those of the state: none that was ever there may come again, not even
/// one that only a former version of the object has.
#[test]
fn a_rollback_takes_a_serial_above_those_of_former_versions() {
    in_bucket(|world, bucket| {
        let (first, _) = story(&world, bucket.backend(StateLocks::File));
        let now = world.state();
        let raised = String::from_utf8(now.bytes.clone())
            .unwrap()
            .replace(&format!("\"serial\": {}", now.serial()), "\"serial\": 40");
        bucket.put(&bucket.key, raised.as_bytes());
        world.put("main.tf", &(bucket.backend(StateLocks::File) + &data("other", "o")));
        let saved = world.out.join("saved").display().to_string();
        world
            .terraform(&["plan", "-input=false", "-no-color", &format!("-out={saved}")])
            .exits(0);
        // Somebody put an older copy of it there.
        bucket.put(&bucket.key, &now.bytes);
        world.git(&["checkout", "--quiet", "."]);
        world.back_to_but(&first, &["terraform_data.gone"], &[]);
        assert!(world.state().serial() > 40, "{}", world.state().serial());
        world
            .terraform(&["apply", "-input=false", "-no-color", &saved])
            .exits(1)
            .says("stale");
    });
}

fn back_and_forward(locks: StateLocks) {
    in_bucket(|world, bucket| {
        let (first, second) = story(&world, bucket.backend(locks));
        world.back_to_but(&first, &["terraform_data.gone"], &[]);
        world.undo_to(&second, &["terraform_data.added"]);
        assert_eq!(bucket.digest().is_some(), locks != StateLocks::File);
        assert!(!world.repo.join("terraform.tfstate").exists(), "no state lies on disk");
    });
}

#[test]
fn with_the_lock_file() {
    back_and_forward(StateLocks::File);
}

#[test]
fn with_the_lock_item() {
    back_and_forward(StateLocks::Item);
}

#[test]
fn with_both_in_a_workspace() {
    in_bucket(|mut world, mut bucket| {
        world.write(&[("main.tf", &(bucket.backend(StateLocks::Both) + &data("default", "d")))]);
        world.init();
        world.apply(&[]);
        let default = bucket.state();
        bucket.key = "env:/staging/stacks/app.tfstate".to_owned();
        bucket.hold_state_of(&mut world);
        world.terraform(&["workspace", "new", "staging"]).exits(0);
        let (first, second) = story(&world, bucket.backend(StateLocks::Both));
        world.set("TF_WORKSPACE", "staging");
        world.back_to_but(&first, &["terraform_data.gone"], &[]);
        world.undo_to(&second, &["terraform_data.added"]);
        assert_eq!(
            bucket.get("stacks/app.tfstate"),
            default,
            "the default workspace is another state"
        );
        assert!(bucket.digest().is_some());
    });
}

#[test]
fn a_terraform_that_applies_is_named_and_waited_for() {
    for locks in [StateLocks::File, StateLocks::Item] {
        in_bucket(|world, bucket| {
            let backend = bucket.backend(locks);
            let first = world.release_of(&(backend.clone() + &data("a", "one")));
            world.release_of(&(backend + &data("b", "two") + &moved("terraform_data.a", "terraform_data.b")));
            world.put("hold.tf", WAITING);
            let terraform = world.start_terraform(&["apply", "-auto-approve", "-input=false", "-no-color"]);
            wait_until("terraform to hold the lock", || world.is_out("begun"));
            let holder = bucket.holders().remove(0);
            let before = bucket.state();
            for command in [
                &["to", &first.commit, "--auto-approve"][..],
                &["state", "restore", &first.commit, "--auto-approve", "--accept-orphans"],
            ] {
                let refused = world.tool(command);
                refused.exits(5).says("OperationTypeApply");
                for part in ["Who", "ID", "Created"] {
                    refused.says(holder[part].as_str().unwrap());
                }
            }
            assert_eq!(bucket.state(), before);
            assert_eq!(bucket.holders(), [holder], "it is theirs");
            world.put_out("go");
            terraform.wait().exits(0);
            std::fs::remove_file(world.repo.join("hold.tf")).unwrap();
            world.back_to(&first);
        });
    }
}

#[test]
fn a_terraform_beside_our_write_is_refused() {
    in_bucket(|world, bucket| {
        let (first, _) = story(&world, bucket.backend(StateLocks::Both));
        let whole = world.copy();
        let before = bucket.state().unwrap();
        whole.tool(&["to", &first.commit, "--auto-approve"]).exits(0);
        let point = format!("before:{}", place_of(&whole, "state-written"));
        restore_by_hand(&bucket, &before);
        world
            .tool_with(
                &["to", &first.commit, "--auto-approve"],
                &[("INFRA_ROLLBACK_CRASH", &point)],
            )
            .died(9);
        // Killed between the write and giving back: both locks are ours, under one ID.
        let holders = bucket.holders();
        assert_eq!(holders.len(), 2);
        assert_eq!(holders[0], holders[1]);
        let run = world.last_run();
        assert_eq!(holders[0]["Info"], format!("infra-rollback, run {run}"));
        assert_eq!(holders[0]["Path"], bucket.path());
        let refused = world.terraform(&["apply", "-auto-approve", "-input=false", "-no-color"]);
        refused
            .exits(1)
            .says("Error acquiring the state lock")
            .says(holders[0]["ID"].as_str().unwrap());
        world.tool(&["resume", "--auto-approve"]).exits(0);
        world.is_at_but(&first, &["terraform_data.gone"]);
    });
}

/// Puts a state back as somebody who knows of the digest.
fn restore_by_hand(bucket: &StateBucket, bytes: &[u8]) {
    bucket.put(&bucket.key, bytes);
    if bucket.digest().is_some() {
        bucket.remove_item(&format!("{}-md5", bucket.path()));
    }
}

#[test]
fn a_digest_that_was_not_written_is_mended() {
    in_bucket(|world, bucket| {
        let (first, _) = story(&world, bucket.backend(StateLocks::Both));
        let digest = bucket.digest().unwrap();
        let whole = world.copy();
        let before = bucket.state().unwrap();
        whole.tool(&["to", &first.commit, "--auto-approve"]).exits(0);
        let point = format!("before:{}", place_of(&whole, "state-written"));
        restore_by_hand(&bucket, &before);
        bucket.put_item(&format!("{}-md5", bucket.path()), "Digest", &digest);
        world
            .tool_with(
                &["to", &first.commit, "--auto-approve"],
                &[("INFRA_ROLLBACK_CRASH", &point)],
            )
            .died(9);
        // As if the object had been written and the digest not.
        assert_ne!(bucket.digest().unwrap(), digest);
        bucket.put_item(&format!("{}-md5", bucket.path()), "Digest", &digest);
        world.tool(&["resume", "--auto-approve"]).exits(0);
        world.is_at_but(&first, &["terraform_data.gone"]);
    });
}

#[test]
fn a_broken_lock_that_somebody_else_took_stays_theirs() {
    in_bucket(|world, bucket| {
        let backend = bucket.backend(StateLocks::Both);
        let first = world.release_of(&(backend.clone() + &data("a", "one")));
        world.release_of(&(backend + &data("b", "two") + &moved("terraform_data.a", "terraform_data.b")));
        let whole = world.copy();
        let before = bucket.state().unwrap();
        whole.tool(&["to", &first.commit, "--auto-approve"]).exits(0);
        let point = format!("before:{}", place_of(&whole, "state-write-intended"));
        restore_by_hand(&bucket, &before);
        world
            .tool_with(
                &["to", &first.commit, "--auto-approve"],
                &[("INFRA_ROLLBACK_CRASH", &point)],
            )
            .died(9);
        let id = bucket.holders()[0]["ID"].as_str().unwrap().to_owned();
        world.terraform(&["force-unlock", "-force", &id]).exits(0);
        world.put("hold.tf", WAITING);
        let terraform = world.start_terraform(&["apply", "-auto-approve", "-input=false", "-no-color"]);
        wait_until("terraform to hold the lock", || world.is_out("begun"));
        let theirs = bucket.holders();
        for command in ["resume", "abort"] {
            let refused = world.tool(if command == "resume" {
                &["resume", "--auto-approve"]
            } else {
                &["abort"]
            });
            refused.exits(5).says(theirs[0]["ID"].as_str().unwrap());
        }
        assert_eq!(bucket.holders(), theirs, "it is theirs");
        world.put_out("go");
        terraform.wait().exits(0);
        assert!(bucket.holders().is_empty());
        std::fs::remove_file(world.repo.join("hold.tf")).unwrap();
        world.tool(&["abort"]).exits(0);
        assert!(bucket.holders().is_empty());
        world.back_to(&first);
    });
}

#[test]
fn crashes_at_entries_of_the_journal() {
    in_bucket(|world, bucket| {
        let (first, _) = story(&world, bucket.backend(StateLocks::Both));
        let before = bucket.state().unwrap();
        let whole = world.copy();
        whole.tool(&["to", &first.commit, "--auto-approve"]).exits(0);
        let entries = whole.journal(&whole.last_run()).len();
        let mut chance = Chance::new();
        for _ in 0..4 * scale() {
            let when = if chance.below(2) == 0 { "before" } else { "after" };
            let point = format!("{when}:{}", 1 + chance.below(entries as u64));
            restore_by_hand(&bucket, &before);
            let world = world.copy();
            world
                .tool_with(
                    &["to", &first.commit, "--auto-approve"],
                    &[("INFRA_ROLLBACK_CRASH", &point)],
                )
                .died(9);
            wait_until("terraform to end", || {
                let holders = bucket.holders();
                holders.iter().all(|holder| {
                    holder["Info"]
                        .as_str()
                        .unwrap_or_default()
                        .starts_with("infra-rollback")
                })
            });
            let resumed = world.tool(&["resume", "--auto-approve"]);
            if resumed.code != 0 && world.runs().first().is_none_or(|run| run["status"] != "completed") {
                world.tool(&["to", &first.commit, "--auto-approve"]).exits(0);
            }
            eprintln!("checking what came out of {point}");
            world.is_at_but(&first, &["terraform_data.gone"]);
        }
    });
}

#[test]
fn a_restore_is_above_every_version_of_the_bucket() {
    in_bucket(|world, bucket| {
        let (first, second) = story(&world, bucket.backend(StateLocks::Both));
        let now = bucket.state().unwrap();
        // A version that no release has: somebody pushed it and went back.
        let mut pushed = world.state().json;
        pushed["serial"] = 500.into();
        bucket.put(&bucket.key, &serde_json::to_vec_pretty(&pushed).unwrap());
        bucket.put(&bucket.key, &now);
        let restored = world.tool(&[
            "state",
            "restore",
            &first.commit,
            "--auto-approve",
            "--accept-orphans",
            "--json",
        ]);
        restored.exits(0);
        assert_eq!(restored.json()["serial"], 501);
        assert_eq!(world.state().serial(), 501);
        assert_eq!(world.objects(), first.objects);
        world.is_tidy();
        // Terraform takes it: the digest is that of the new object.
        world.terraform(&["state", "list"]).exits(0).says("terraform_data.gone");
        world.tool(&["undo", "--auto-approve"]).exits(0);
        assert_eq!(world.objects(), second.objects);
        assert_eq!(world.state().serial(), 502);
        world.is_at(&second);
    });
}

#[test]
fn a_state_that_is_not_what_its_digest_says_can_be_restored() {
    in_bucket(|world, bucket| {
        let first = world.release_of(&(bucket.backend(StateLocks::Item) + &data("a", "one")));
        bucket.put(&bucket.key, b"{\"version\": 4, cut off");
        world.terraform(&["plan", "-input=false", "-no-color"]).exits(1);
        world
            .tool(&["to", &first.commit, "--auto-approve"])
            .exits(1)
            .says("digest");
        world
            .tool(&["state", "restore", &first.commit, "--auto-approve"])
            .exits(0);
        world.is_at(&first);
    });
}

/// Rolls back and forward, and ends with a state that we have written, not terraform.
fn back_forward_and_restored(world: &World, bucket: &StateBucket, backend: String) {
    let (first, second) = story(world, backend);
    world.back_to_but(&first, &["terraform_data.gone"], &[]);
    world.undo_to(&second, &["terraform_data.added"]);
    world
        .tool(&["state", "restore", &first.commit, "--auto-approve", "--accept-orphans"])
        .exits(0);
    assert_eq!(bucket.holders(), Vec::<serde_json::Value>::new());
}

#[test]
fn with_a_kms_key() {
    in_bucket(|world, bucket| {
        let key = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-44cd-96ef-1234567890ab";
        let more = format!("    encrypt = true\n    kms_key_id = \"{key}\"\n");
        back_forward_and_restored(&world, &bucket, bucket.backend_with(StateLocks::Both, &more));
        assert_eq!(
            bucket.header("x-amz-server-side-encryption").as_deref(),
            Some("aws:kms")
        );
        let found = bucket.header("x-amz-server-side-encryption-aws-kms-key-id");
        assert_eq!(found.as_deref(), Some(key));
    });
}

/// The emulator gives what was put with a customer's key to nobody without it.
#[test]
fn with_a_key_of_the_customers_own() {
    in_bucket(|mut world, mut bucket| {
        let (key, md5) = (
            "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
            "hRasmdxgYDKV3nvbahU1MA==",
        );
        let more = format!("    encrypt = true\n    sse_customer_key = \"{key}\"\n");
        let without = bucket.clone();
        bucket.customer_key = Some((key, md5));
        bucket.hold_state_of(&mut world);
        back_forward_and_restored(&world, &bucket, bucket.backend_with(StateLocks::File, &more));
        assert!(bucket.state().is_some());
        assert_eq!(without.state(), None, "what we wrote has the key, too");
    });
}

#[test]
fn with_a_role_of_another_account() {
    in_bucket(|world, mut bucket| {
        let role = "arn:aws:iam::210987654321:role/state";
        bucket.move_table_to(role);
        let more = format!("    assume_role = {{ role_arn = \"{role}\", session_name = \"test\" }}\n");
        back_forward_and_restored(&world, &bucket, bucket.backend_with(StateLocks::Both, &more));
        assert!(bucket.digest().is_some());
    });
}

/// Nobody is refused by a lock that nobody takes.
#[test]
fn the_doctor_says_where_a_backend_has_no_lock() {
    for is_locked in [false, true] {
        in_bucket(|world, bucket| {
            let mut backend = bucket.backend(StateLocks::File);
            if !is_locked {
                backend = backend.replace("    use_lockfile = true\n", "");
                assert!(!backend.contains("lock"), "{backend}");
            }
            world.release_of(&(backend + &data("a", "one")));
            let found = world.tool(&["doctor"]).exits(0).to_string();
            let hint = "use_lockfile = true";
            assert_eq!(
                found.contains("has no lock") && found.contains(hint),
                !is_locked,
                "{found}"
            );
        });
    }
}
