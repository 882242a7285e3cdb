//! The one command beside the runbook typed by hand: how long it takes until the application and its traffic are back, and
//! until everything is.
//!
//! By hand: each command of the runbook in a process of its own, one right after the other, by somebody who knows every
//! revision, ARN and file beforehand and needs no time to think, read or type. What people write to each other is left out.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use rollback_tests::{Ran, World, on_path, scenario};

use super::system::{FIRST, Story, THIRD, story};

/// A heading of the runbook, and its commands.
struct Heading {
    name: &'static str,
    commands: Vec<String>,
}

/// How long a heading took.
struct Took {
    name: &'static str,
    commands: usize,
    time: Duration,
}

/// One way to get there, in seconds.
struct Way {
    name: &'static str,
    commands: usize,
    traffic: f64,
    everything: f64,
    verified: f64,
}

const NEEDED: [&str; 4] = ["aws", "curl", "jq", "psql"];

#[test]
fn the_one_command_beside_the_runbook_typed_by_hand() {
    if std::env::var_os("INFRA_ROLLBACK_TEST_BY_HAND").is_none() {
        eprintln!("skipped: INFRA_ROLLBACK_TEST_BY_HAND=1 compares the one command with the runbook typed by hand");
        return;
    }
    for program in NEEDED {
        assert!(
            on_path(program),
            "{program} is missing: by hand the runbook takes {}",
            NEEDED.join(", ")
        );
    }
    scenario(|world| {
        let Some(story) = story(world) else { return };
        story.account.log("a line from before");
        let first = &story.releases[0].commit;
        let yes = ["--accept-data-loss", "migrations"];
        let all = by_command("to REV", &story, &[&["to", first, "--auto-approve"][..], &yes].concat());
        story.is(&FIRST);
        story.world.is_at(&story.releases[0]);
        let kept_by_command = story.account.logged();
        let undo = ["undo", "--auto-approve", "--skip-checks", "it is broken"];
        story.world.tool(&undo).exits(0);
        let urgent = ["to", first, "--auto-approve", "--step", "backend", "--step", "traffic"];
        let urgent = by_command("to REV --step backend --step traffic", &story, &urgent);
        story.world.tool(&undo).exits(0);
        story.is(&THIRD);

        let took = by_hand(&story);
        story.is(&FIRST);
        let seconds = |names: &[&str]| -> f64 {
            let those = took.iter().filter(|one| names.contains(&one.name));
            those.map(|one| one.time.as_secs_f64()).sum()
        };
        let (total, verification) = (
            took.iter().map(|one| one.time.as_secs_f64()).sum::<f64>(),
            seconds(&["verification"]),
        );
        let commands = took.iter().map(|one| one.commands).sum();
        let hand = |name, traffic| Way {
            name,
            commands,
            traffic,
            everything: total - verification,
            verified: total,
        };
        let urgent_first = hand("by hand, what is urgent first", seconds(&["traffic", "backend"]));
        let as_written = hand("by hand, in the runbook's order", total - verification);
        eprintln!(
            "{:<42} {:>8} {:>12} {:>12} {:>12}",
            "", "commands", "traffic", "everything", "verified"
        );
        for way in [all, urgent, urgent_first, as_written] {
            let seconds = |time: f64| match time.is_nan() {
                true => "-".to_owned(),
                false => format!("{time:.1} s"),
            };
            let [traffic, everything, verified] = [way.traffic, way.everything, way.verified].map(seconds);
            eprintln!(
                "{:<42} {:>8} {traffic:>12} {everything:>12} {verified:>12}",
                way.name, way.commands
            );
        }
        for one in &took {
            eprintln!(
                "  by hand, {}: {} commands, {:.1} s",
                one.name,
                one.commands,
                one.time.as_secs_f64()
            );
        }
        let kept = |kept: bool| if kept { "kept" } else { "lost, with their group" };
        eprintln!(
            "lines of the log from before: {} by the one command, {} by hand",
            kept(kept_by_command),
            kept(story.account.logged())
        );
        eprintln!(
            "the AWS CLI: {}",
            shell(&story.world, "aws --version 2>&1").stdout.trim()
        );
    });
}

/// What a run's own journal says of when its parts were done, from the moment at which the command was started.
fn by_command(name: &'static str, story: &Story, arguments: &[&str]) -> Way {
    let begun = Timestamp::now();
    story.world.tool(arguments).exits(0);
    let verified = (Timestamp::now() - begun).total(jiff::Unit::Second).unwrap();
    let journal = story.world.journal(&story.world.last_run());
    let done = |part: &str| {
        let entry = journal.iter().find(|entry| {
            entry["step"] == part && entry["event"] == "step-done"
                || entry["stack"] == part && entry["event"] == "stack-done"
        })?;
        let at: Timestamp = entry["at"].as_str()?.parse().ok()?;
        (at - begun).total(jiff::Unit::Second).ok()
    };
    let traffic = done("traffic").unwrap().max(done("backend").unwrap());
    Way {
        name,
        commands: 1,
        traffic,
        everything: done("shop").unwrap_or(f64::NAN),
        verified,
    }
}

fn by_hand(story: &Story) -> Vec<Took> {
    let headings = headings(story);
    let mut all = Vec::new();
    for Heading { name, commands } in headings {
        let begun = Instant::now();
        for command in &commands {
            let ran = shell(&story.world, command);
            // Terraform makes the log group that was renamed before it has destroyed it: then once more.
            if ran.code != 0 && command.starts_with("terraform apply") {
                eprintln!(
                    "by hand: `{command}` failed and is done again: {}",
                    ran.stderr
                        .lines()
                        .filter(|line| line.contains("Error"))
                        .collect::<String>()
                );
                shell(&story.world, command).exits(0);
                continue;
            }
            ran.exits(0);
        }
        all.push(Took {
            name,
            commands: commands.len(),
            time: begun.elapsed(),
        });
    }
    story.world.git(&["checkout", "--quiet", "main"]);
    all
}

/// A command as somebody types it at the top of the repository.
fn shell(world: &World, command: &str) -> Ran {
    world.shell(&format!("export AWS_DEFAULT_REGION=$AWS_REGION; {command}"))
}

/// In the order of the runbook.
fn headings(story: &Story) -> Vec<Heading> {
    let (name, out) = (&story.account.name, story.world.out.display());
    let (web, psql) = (story.application.url(""), story.psql_command());
    let (listener, group) = (story.account.listener(), story.account.group("blue"));
    let first = &story.releases[0].commit;
    // Revision 1 is Terraform's own, 2 the first deploy's.
    let heading = |name, commands: &[String]| Heading {
        name,
        commands: commands.to_vec(),
    };
    vec![
        heading(
            "backend",
            &[
                format!("aws ecs list-task-definitions --family-prefix {name}-backend --max-results 5 --sort DESC"),
                format!("aws ecs update-service --cluster {name} --service backend --task-definition {name}-backend:2"),
                format!("aws ecs wait services-stable --cluster {name} --services backend"),
                format!("curl -fsS {web}/health"),
            ],
        ),
        heading(
            "image and variables",
            &[
                format!(
                    "aws ecr describe-images --repository-name {name}-backend --query 'sort_by(imageDetails,& imagePushedAt)[-5:]'"
                ),
                format!(
                    "aws ecs describe-task-definition --task-definition {name}-worker:2 --query taskDefinition > {out}/rollback.json"
                ),
                format!(
                    "jq 'del(.taskDefinitionArn, .revision, .status, .requiresAttributes, .compatibilities, .registeredAt, .registeredBy)' \
                     {out}/rollback.json > {out}/clean.json"
                ),
                format!(
                    "aws ecs register-task-definition --cli-input-json file://{out}/clean.json > {out}/registered.json"
                ),
                // Somebody reads the new revision's number and types it.
                format!(
                    "aws ecs update-service --cluster {name} --service worker \
                     --task-definition $(jq -r .taskDefinition.taskDefinitionArn {out}/registered.json)"
                ),
                format!("aws ecs wait services-stable --cluster {name} --services worker"),
            ],
        ),
        heading(
            "migrations",
            &[
                format!("{psql} -c 'SELECT name FROM migrations ORDER BY id'"),
                format!("{psql} -f migrations/revert.sql"),
                format!("{psql} -f migrations/revert.sql"),
                format!("{psql} -c 'SELECT name FROM migrations ORDER BY id'"),
            ],
        ),
        heading(
            "flag",
            &[format!(
                "aws ssm put-parameter --name /{name}/new-checkout --value off --overwrite"
            )],
        ),
        heading(
            "terraform",
            &[
                "terraform state list".to_owned(),
                format!("terraform state pull > {out}/backup-state.json"),
                format!("git checkout --quiet {first}"),
                "terraform plan -input=false".to_owned(),
                "terraform apply -input=false -auto-approve".to_owned(),
            ],
        ),
        heading(
            "traffic",
            &[format!(
                "aws elbv2 modify-listener --listener-arn {listener} --default-actions Type=forward,TargetGroupArn={group}"
            )],
        ),
        heading(
            "verification",
            &[
                format!("curl -fsS {web}/health"),
                format!("curl -fsS {web}/api/properties"),
                format!("curl -fsS {web}/api/auth/login -X POST"),
                format!("{psql} -c 'SELECT 1;'"),
                format!("aws logs filter-log-events --log-group-name /ecs/{name} --filter-pattern ERROR"),
            ],
        ),
    ]
}
