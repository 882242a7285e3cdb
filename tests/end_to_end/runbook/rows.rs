//! Each heading of the runbook alone, by the command that the README names for it. Afterwards it is taken back.

use rollback_tests::scenario;
use serde_json::Value;

use super::system::{FIRST, Place, Story, THIRD, story};

#[test]
fn each_heading_of_the_runbook_alone() {
    scenario(|world| {
        let Some(story) = story(world) else { return };
        story.application.answers(200);
        verified(&story);
        stepped(&story);
        restored(&story);
        targeted(&story);
        story.is(&THIRD);
        story.world.is_at(&story.releases[2]);
    });
}

impl Story {
    /// Does what is said, looks, and takes it back.
    #[track_caller]
    fn there_and_back(&self, release: usize, words: &[&str], accepted: &[&str], there: impl FnOnce()) {
        let commit = &self.releases[release].commit;
        let to = [&["to", commit, "--auto-approve"], words, accepted].concat();
        self.world.tool(&to).exits(0);
        there();
        self.world
            .tool(&[&["undo", "--auto-approve"], accepted].concat())
            .exits(0);
        self.is(&THIRD);
    }
}

/// Verification steps 1 to 4.
fn verified(story: &Story) {
    for check in ["health", "endpoints", "connectivity", "errors"] {
        story.world.tool(&["verify", "--check", check]).exits(0).says(check);
    }
}

/// Services, images, variables, migrations, traffic and flags.
fn stepped(story: &Story) {
    let migrations = ["--accept-data-loss", "migrations"];
    let rows: [(&str, usize, &[&str], Place<'_>); 7] = [
        (
            "backend",
            0,
            &[],
            Place {
                backend: FIRST.backend,
                ..THIRD
            },
        ),
        (
            "worker-image",
            0,
            &[],
            Place {
                worker: (FIRST.worker.0, THIRD.worker.1),
                ..THIRD
            },
        ),
        (
            "worker-environment",
            0,
            &[],
            Place {
                worker: (THIRD.worker.0, FIRST.worker.1),
                ..THIRD
            },
        ),
        // The last one.
        (
            "migrations",
            1,
            &migrations,
            Place {
                migrations: "create-users,add-orders",
                ..THIRD
            },
        ),
        // Several.
        (
            "migrations",
            0,
            &migrations,
            Place {
                migrations: FIRST.migrations,
                ..THIRD
            },
        ),
        (
            "traffic",
            0,
            &[],
            Place {
                traffic: FIRST.traffic,
                ..THIRD
            },
        ),
        (
            "checkout",
            0,
            &[],
            Place {
                flag: FIRST.flag,
                ..THIRD
            },
        ),
    ];
    let images = story.world.tool(&["steps", "worker-image"]);
    images.exits(0).says("sha256:").says("v1").says("v3");
    for (step, release, accepted, place) in rows {
        story.there_and_back(release, &["--step", step], accepted, || story.is(&place));
    }
}

/// A database from its snapshot, and to a moment.
fn restored(story: &Story) {
    let (account, world) = (&story.account, &story.world);
    let snapshot = format!("{}-good", account.name);
    world.tool(&["steps", "database"]).exits(0).says(&snapshot);
    let old = account.database();
    let moment = jiff::Timestamp::now() - jiff::SignedDuration::from_secs(1);
    for (step, asked) in [("database", snapshot), ("moment", format!("{moment:.0}"))] {
        let asked = format!("{step}={asked}");
        let words = ["--step", step, "--restore-database", &asked];
        story.there_and_back(2, &words, &["--accept-data-loss", step], || {
            story.is(&THIRD);
            let new = account.database();
            assert_ne!(new, old, "{step}");
            let known = world.state().attributes("aws_db_instance.main")["id"].clone();
            assert_eq!(known, Value::String(new), "Terraform knows it");
        });
        assert_eq!(account.database(), old, "{step}");
    }
}

/// Terraform alone, and one resource of it.
fn targeted(story: &Story) {
    let (world, [first, ..]) = (&story.world, &story.releases[..]) else {
        unreachable!("there are three")
    };
    let added = "aws_cloudwatch_metric_alarm.refusals";
    story.there_and_back(1, &["--target", added], &[], || {
        let objects = world.objects();
        assert!(!objects.contains_key(added), "{objects:?}");
        assert!(
            objects.contains_key("aws_cloudwatch_log_group.application"),
            "it was not asked for: {objects:?}"
        );
    });
    story.there_and_back(0, &["--stack", "shop"], &[], || {
        story.is(&THIRD);
        assert_eq!(world.objects(), first.objects);
    });
}
