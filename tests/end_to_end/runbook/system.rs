//! The system in three releases: what Terraform has of it, what is deployed, what the database is migrated to, who gets the
//! traffic, and who answers the checks and takes the messages.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rollback_tests::{MailServer, Release, WebService, World};

use super::account::Account;
use super::postgres_server;

const INFRASTRUCTURE: &str = include_str!("system.tf");

/// What is kept of PostgreSQL's own password; nobody else can reach the server.
const PASSWORD: &str = "runbook";

/// The release whose application does not work.
pub const BROKEN: &str = "v3";

/// What is watched, by release. The second one renames, the third one adds.
fn watched(release: usize) -> String {
    let alarm = |name: &str, metric: &str, threshold: u32| {
        format!(
            "resource \"aws_cloudwatch_metric_alarm\" \"{name}\" {{\n  alarm_name = \"NAME-{name}\"\n  namespace = \"AWS/ApplicationELB\"\n  \
             metric_name = \"{metric}\"\n  statistic = \"Sum\"\n  period = 60\n  evaluation_periods = 1\n  threshold = {threshold}\n  \
             comparison_operator = \"GreaterThanThreshold\"\n  treat_missing_data = \"notBreaching\"\n  \
             dimensions = {{ LoadBalancer = aws_lb.main.arn_suffix }}\n}}\n"
        )
    };
    let group = |name: &str, tag: &str| {
        format!(
            "resource \"aws_cloudwatch_log_group\" \"{name}\" {{\n  name = \"/ecs/NAME\"\n  retention_in_days = 30\n  \
             tags = {{ release = \"{tag}\" }}\n}}\n"
        )
    };
    let errors = |threshold| alarm("errors", "HTTPCode_Target_5XX_Count", threshold);
    let moved = rollback_tests::moved(
        "aws_cloudwatch_log_group.backend",
        "aws_cloudwatch_log_group.application",
    );
    match release {
        0 => group("backend", "one") + &errors(5),
        1 => group("application", "two") + &moved + &errors(5),
        _ => {
            group("application", "three") + &moved + &errors(50) + &alarm("refusals", "HTTPCode_Target_4XX_Count", 100)
        }
    }
}

/// Each brings a table, and does nothing where it was applied.
fn migration(name: &str, table: &str) -> String {
    format!(
        "INSERT INTO migrations (name) SELECT '{name}' WHERE NOT EXISTS (SELECT FROM migrations WHERE name = '{name}');\n\
         CREATE TABLE IF NOT EXISTS {table} (id int);\n"
    )
}

/// The last one goes, with what was written into its table.
const REVERT: &str = "DO $$ DECLARE last text := (SELECT name FROM migrations ORDER BY id DESC LIMIT 1); BEGIN\n\
                      EXECUTE format('DROP TABLE %I', replace(last, 'add-', ''));\n\
                      DELETE FROM migrations WHERE name = last;\nEND $$;\n";

/// The migrations that each release has beside the first one.
const MIGRATIONS: &[(&str, &str)] = &[("add-orders", "orders"), ("add-payments", "payments")];

/// The settings: the runbook as this project's people would write it down.
fn settings(around: &Around<'_>) -> String {
    let name = &around.account.name;
    let (web, hook, mail) = (around.application.url(""), around.hook.url("/hook"), around.mail.port);
    let (port, psql) = (around.database.port, psql_command(around.psql, around.database));
    format!(
        r#"
[[stack]]
name = "shop"

[[step]]
name = "traffic"
kind = "alb-listener"
load_balancer = "{name}"
port = 80

[[step]]
name = "checkout"
kind = "ssm-parameter"
parameter = "/{name}/new-checkout"

[[step]]
name = "backend"
kind = "ecs-service"
cluster = "{name}"
service = "backend"

[[step]]
name = "worker-image"
kind = "ecs-image"
cluster = "{name}"
service = "worker"

[[step]]
name = "worker-environment"
kind = "ecs-environment"
cluster = "{name}"
service = "worker"
after = ["worker-image"]

[[step]]
name = "migrations"
kind = "migration"
show = "{psql} -c 'SELECT name FROM migrations ORDER BY id'"
revert = "{psql} -f migrations/revert.sql"
apply = "{psql} -f migrations/apply.sql"
environment = ["PGPASSWORD"]

[[step]]
name = "database"
kind = "rds-restore"
instance = "{name}"
services = [{{ cluster = "{name}", service = "backend" }}, {{ cluster = "{name}", service = "worker" }}]

[[step]]
name = "moment"
kind = "rds-pitr"
instance = "{name}"
services = [{{ cluster = "{name}", service = "backend" }}, {{ cluster = "{name}", service = "worker" }}]

[[check]]
name = "health"
kind = "http"
url = "{web}/health"

[[check]]
name = "endpoints"
kind = "endpoints"
base = "{web}/api"
endpoints = ["/properties", {{ path = "/auth/login", method = "POST" }}]

[[check]]
name = "connectivity"
kind = "postgres"
host = "127.0.0.1"
port = {port}
user = "watcher"
dbname = "postgres"
password_environment = "PGPASSWORD"

[[check]]
name = "errors"
kind = "logs"
group = "/ecs/{name}"
filter = "ERROR"

[incident]
service = "Shop"

[incident.post_mortem]
after = "24h"
organizer = "lead@example.com"
attendees = ["team@example.com"]

[[incident.contact]]
role = "DevOps Lead"
phone = "+971-4-0000000"

[[notify]]
name = "hook"
kind = "webhook"
url = "{hook}"
secret_environment = "HOOK_KEY"

[[notify]]
name = "mail"
kind = "smtp"
host = "127.0.0.1"
port = {mail}
tls = "none"
from = "Rollback <rollback@example.com>"
to = ["team@example.com"]
"#
    )
}

/// What the settings speak of.
struct Around<'a> {
    account: &'a Account,
    application: &'a WebService,
    hook: &'a WebService,
    mail: &'a MailServer,
    database: &'a postgres_server::Server,
    psql: &'a Path,
}

pub struct Story {
    pub world: World,
    pub account: Account,
    /// Where checks go.
    pub application: WebService,
    /// Where messages go.
    pub hook: WebService,
    pub mail: MailServer,
    pub releases: Vec<Release>,
    database: postgres_server::Server,
    psql: PathBuf,
}

/// psql on the example's database.
fn asking(binary: &Path, database: &postgres_server::Server, sql: &str) -> Command {
    let port = database.port.to_string();
    let mut command = Command::new(binary);
    let at = ["-h", "127.0.0.1", "-p", &port, "-U", "watcher", "-d", "postgres"];
    command.args(at).args(["-qtA", "-c", sql]).env("PGPASSWORD", PASSWORD);
    command
}

fn psql_command(binary: &Path, database: &postgres_server::Server) -> String {
    let port = database.port;
    format!(
        "{} -h 127.0.0.1 -p {port} -U watcher -d postgres -qtA",
        binary.display()
    )
}

fn psql(binary: &Path, database: &postgres_server::Server, sql: &str) -> String {
    let output = asking(binary, database, sql).output().unwrap();
    assert!(
        output.status.success(),
        "{sql}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn binary(name: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
}

/// Three releases, the last of them broken.
pub fn story(mut world: World) -> Option<Story> {
    let emulator = world.use_cloud()?;
    let (Some(client), Some(database)) = (binary("psql"), postgres_server::start(PASSWORD)) else {
        return None;
    };
    world.set("PGPASSWORD", PASSWORD);
    world.set("HOOK_KEY", "k");
    let begun = Instant::now();
    while asking(&client, &database, "SELECT 1")
        .output()
        .is_ok_and(|output| !output.status.success())
    {
        assert!(begun.elapsed() < Duration::from_secs(20), "PostgreSQL is not ready");
        std::thread::sleep(Duration::from_millis(100));
    }
    psql(
        &client,
        &database,
        "CREATE TABLE migrations (id serial, name text); INSERT INTO migrations (name) VALUES ('create-users')",
    );

    let account = Account {
        emulator,
        name: format!("shop-{}", std::process::id()),
    };
    let network = account.network();
    let (application, hook, mail) = (WebService::start(), WebService::start(), MailServer::start());
    // It answers as what is deployed does.
    let deployed = account.clone();
    application.answers_as(move || match deployed.runs("backend").0.as_str() {
        BROKEN => 503,
        _ => 200,
    });
    let settings = settings(&Around {
        account: &account,
        application: &application,
        hook: &hook,
        mail: &mail,
        database: &database,
        psql: &client,
    });
    let release = |number: usize, deploy: &dyn Fn()| {
        let infrastructure = (INFRASTRUCTURE.to_owned() + &watched(number))
            .replace("SUBNET_A", &network.subnets[0])
            .replace("SUBNET_B", &network.subnets[1])
            .replace("LOAD_BALANCER", &network.balancer)
            .replace("\"VPC\"", &format!("\"{}\"", network.vpc))
            .replace("NAME", &account.name);
        let apply: String = MIGRATIONS[..number]
            .iter()
            .map(|(name, table)| migration(name, table))
            .collect();
        let files = [
            ("infra-rollback.toml", settings.as_str()),
            ("main.tf", &infrastructure),
            ("migrations/apply.sql", &apply),
            ("migrations/revert.sql", REVERT),
        ];
        let release = world.release_without_snapshot(&files, &[]);
        deploy();
        if !apply.is_empty() {
            psql(&client, &database, &apply);
        }
        world.snapshot();
        release
    };
    let deploy = |version: &str, level: &str| {
        account.push(version);
        account.deploy("backend", version, level);
        account.deploy("worker", version, level);
    };
    let releases = vec![
        release(0, &|| deploy("v1", "info")),
        release(1, &|| deploy("v2", "warn")),
        release(2, &|| {
            account.rds(&format!(
                "Action=CreateDBSnapshot&DBInstanceIdentifier={0}&DBSnapshotIdentifier={0}-good",
                account.name
            ));
            deploy(BROKEN, "debug");
            account.switch("green");
            account.flag("on");
        }),
    ];
    psql(&client, &database, "INSERT INTO orders VALUES (1)");
    Some(Story {
        world,
        account,
        application,
        hook,
        mail,
        releases,
        database,
        psql: client,
    })
}

/// Where everything beside Terraform is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    pub backend: &'a str,
    /// Its image and its log level, which are brought back by different steps.
    pub worker: (&'a str, &'a str),
    pub traffic: &'a str,
    pub flag: &'a str,
    pub migrations: &'a str,
}

pub const FIRST: Place<'_> = Place {
    backend: "v1",
    worker: ("v1", "info"),
    traffic: "blue",
    flag: "off",
    migrations: "create-users",
};

pub const THIRD: Place<'_> = Place {
    backend: "v3",
    worker: ("v3", "debug"),
    traffic: "green",
    flag: "on",
    migrations: "create-users,add-orders,add-payments",
};

impl Story {
    /// psql as somebody types it; its password is in the environment.
    pub fn psql_command(&self) -> String {
        psql_command(&self.psql, &self.database)
    }

    /// Panics unless everything beside Terraform is there.
    #[track_caller]
    pub fn is(&self, place: &Place<'_>) {
        let (backend, _) = self.account.runs("backend");
        let (image, level) = self.account.runs("worker");
        let flag = self.account.flag_is();
        let sql = "SELECT string_agg(name, ',' ORDER BY id) FROM migrations";
        let migrations = psql(&self.psql, &self.database, sql);
        let found = Place {
            backend: &backend,
            worker: (&image, &level),
            traffic: match self.account.traffic_goes_to("blue") {
                true => "blue",
                false => "green",
            },
            flag: &flag,
            migrations: &migrations,
        };
        assert_eq!(found, *place);
        for service in ["backend", "worker"] {
            assert_eq!(self.account.tasks(service), 2, "tasks of {service}");
        }
    }
}
