//! The runbook's own system with the real Terraform and the real AWS provider on the emulator: load balancer with blue and
//! green, service on ECS, parameter, PostgreSQL with migrations, something that answers. Three releases, and back, with one
//! command; then by the hand's own commands, timed beside it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use rollback_tests::{Emulator, Release, World, scenario};
use serde_json::{Value, json};

#[path = "../../crates/runbook/tests/real/postgres_server.rs"]
mod postgres_server;

const INFRASTRUCTURE: &str = include_str!("runbook.tf");

/// What is kept of PostgreSQL's own password; nobody else can reach the server.
const PASSWORD: &str = "runbook";

/// The application, as far as a health check can tell: it answers with a status.
struct Application {
    address: SocketAddr,
    status: Arc<AtomicU16>,
}

impl Application {
    fn start() -> Application {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let status = Arc::new(AtomicU16::new(200));
        let answers = Arc::clone(&status);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                answer(stream, answers.load(Ordering::Relaxed));
            }
        });
        Application { address, status }
    }
}

fn answer(mut stream: TcpStream, status: u16) {
    let _ = stream.set_read_timeout(Some(Duration::from_secs(1)));
    let mut asked = [0; 4096];
    let _ = stream.read(&mut asked);
    let body = r#"{"status":"ok"}"#;
    let _ = write!(
        stream,
        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
}

/// The account in which it runs, seen with the test's own eyes.
struct Account {
    emulator: Emulator,
}

impl Account {
    fn ecs(&self, operation: &str, body: &Value) -> Value {
        let target = format!("AmazonEC2ContainerServiceV20141113.{operation}");
        self.emulator.json("ecs", &target, body)
    }

    fn elb(&self, parameters: &str) -> String {
        self.emulator
            .query("elasticloadbalancing", &format!("Version=2015-12-01&{parameters}"))
    }

    /// Registers a revision and makes the service run it.
    fn deploy(&self, version: &str, level: &str) -> String {
        let registered = self.ecs(
            "RegisterTaskDefinition",
            &json!({
                "family": "shop-backend", "networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"],
                "cpu": "256", "memory": "512",
                "containerDefinitions": [{
                    "name": "backend", "image": format!("shop-backend:{version}"), "memory": 128, "essential": true,
                    "environment": [{"name": "LOG_LEVEL", "value": level}],
                }],
            }),
        );
        let arn = registered["taskDefinition"]["taskDefinitionArn"]
            .as_str()
            .unwrap()
            .to_owned();
        self.run(&arn);
        arn
    }

    fn run(&self, arn: &str) {
        self.ecs(
            "UpdateService",
            &json!({"cluster": "shop", "service": "backend", "taskDefinition": arn}),
        );
    }

    /// What the service runs.
    fn runs(&self) -> Value {
        let found = self.ecs("DescribeServices", &json!({"cluster": "shop", "services": ["backend"]}));
        let arn = found["services"][0]["taskDefinition"].clone();
        self.ecs("DescribeTaskDefinition", &json!({"taskDefinition": arn}))["taskDefinition"]["containerDefinitions"][0]
            .clone()
    }

    fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
        let rest = text.split_once(from).unwrap_or_else(|| panic!("{from} in {text}")).1;
        rest.split_once(to).unwrap().0
    }

    fn group(&self, name: &str) -> String {
        let found = self.elb(&format!("Action=DescribeTargetGroups&Names.member.1=shop-{name}"));
        Self::between(&found, "<TargetGroupArn>", "</TargetGroupArn>").to_owned()
    }

    fn listener(&self) -> String {
        let found = self.elb("Action=DescribeLoadBalancers&Names.member.1=shop");
        let arn = Self::between(&found, "<LoadBalancerArn>", "</LoadBalancerArn>");
        let found = self.elb(&format!("Action=DescribeListeners&LoadBalancerArn={arn}"));
        Self::between(&found, "<ListenerArn>", "</ListenerArn>").to_owned()
    }

    fn switch(&self, group: &str) {
        let (listener, group) = (self.listener(), self.group(group));
        self.elb(&format!(
            "Action=ModifyListener&ListenerArn={listener}&DefaultActions.member.1.Type=forward&DefaultActions.member.1.TargetGroupArn={group}"
        ));
    }

    /// Where traffic goes.
    fn traffic_goes_to(&self, group: &str) -> bool {
        let listener = self.listener();
        let found = self.elb(&format!("Action=DescribeListeners&ListenerArns.member.1={listener}"));
        found.contains(&self.group(group))
    }

    fn flag(&self, value: &str) {
        self.emulator.json(
            "ssm",
            "AmazonSSM.PutParameter",
            &json!({"Name": "/shop/new-checkout", "Value": value, "Type": "String", "Overwrite": true}),
        );
    }

    fn flag_is(&self) -> String {
        let found = self
            .emulator
            .json("ssm", "AmazonSSM.GetParameter", &json!({"Name": "/shop/new-checkout"}));
        found["Parameter"]["Value"].as_str().unwrap().to_owned()
    }
}

/// The settings: the runbook as this project's people would write it down.
fn settings(application: &Application, database: &postgres_server::Server, psql: &Path) -> String {
    let (address, port) = (application.address, database.port);
    let psql = format!("{} -h 127.0.0.1 -p {port} -U watcher -d postgres -qtA", psql.display());
    format!(
        r#"
[[stack]]
name = "shop"

[[step]]
name = "traffic"
kind = "alb-listener"
load_balancer = "shop"
port = 80

[[step]]
name = "checkout"
kind = "ssm-parameter"
parameter = "/shop/new-checkout"

[[step]]
name = "backend"
kind = "ecs-service"
cluster = "shop"
service = "backend"

[[step]]
name = "migrations"
kind = "migration"
show = "{psql} -c 'SELECT name FROM migrations ORDER BY id'"
revert = "{psql} -f migrations/revert.sql"
apply = "{psql} -f migrations/apply.sql"
environment = ["PGPASSWORD"]

[[check]]
name = "health"
kind = "http"
url = "http://{address}/health"

[[check]]
name = "database"
kind = "postgres"
host = "127.0.0.1"
port = {port}
user = "watcher"
dbname = "postgres"
password_environment = "PGPASSWORD"
"#
    )
}

/// One that brings a table, and one that is taken back with what was written into it.
const APPLY: &str = "INSERT INTO migrations (name) SELECT 'add-orders' WHERE NOT EXISTS (SELECT FROM migrations WHERE name = 'add-orders');\n\
                     CREATE TABLE IF NOT EXISTS orders (id int);\n";
const REVERT: &str = "DROP TABLE orders;\nDELETE FROM migrations WHERE name = 'add-orders';\n";

struct Story {
    world: World,
    account: Account,
    application: Application,
    database: postgres_server::Server,
    psql: PathBuf,
    first: Release,
    second: Release,
}

/// psql on the example's database.
fn asking(binary: &Path, database: &postgres_server::Server, sql: &str) -> Command {
    let port = database.port.to_string();
    let mut command = Command::new(binary);
    command
        .args([
            "-h",
            "127.0.0.1",
            "-p",
            &port,
            "-U",
            "watcher",
            "-d",
            "postgres",
            "-qtA",
            "-c",
            sql,
        ])
        .env("PGPASSWORD", PASSWORD);
    command
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

fn story(mut world: World) -> Option<Story> {
    let emulator = world.use_cloud()?;
    let (Some(client), Some(database)) = (binary("psql"), postgres_server::start(PASSWORD)) else {
        return None;
    };
    world.set("PGPASSWORD", PASSWORD);
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

    let application = Application::start();
    let account = Account { emulator };
    let settings = settings(&application, &database, &client);
    let files = |version: &str| {
        vec![
            ("infra-rollback.toml".to_owned(), settings.clone()),
            ("main.tf".to_owned(), INFRASTRUCTURE.replace("VERSION", version)),
            ("migrations/apply.sql".to_owned(), APPLY.to_owned()),
            ("migrations/revert.sql".to_owned(), REVERT.to_owned()),
        ]
    };
    let release = |version: &str, deploy: &dyn Fn()| {
        let files = files(version);
        let files: Vec<(&str, &str)> = files
            .iter()
            .map(|(name, text)| (name.as_str(), text.as_str()))
            .collect();
        let release = world.release_without_snapshot(&files, &[]);
        deploy();
        world.snapshot();
        release
    };
    let first = release("one", &|| {
        account.deploy("v1", "info");
    });
    let second = release("two", &|| {
        account.deploy("v2", "debug");
        account.switch("green");
        account.flag("on");
        psql(&client, &database, APPLY);
        psql(&client, &database, "INSERT INTO orders VALUES (1)");
    });
    Some(Story {
        world,
        account,
        application,
        database,
        psql: client,
        first,
        second,
    })
}

impl Story {
    fn is_at(&self, version: &str, group: &str, flag: &str, migrations: &str) {
        let runs = self.account.runs();
        assert_eq!(runs["image"], format!("shop-backend:{version}"), "{runs}");
        assert!(self.account.traffic_goes_to(group), "traffic does not go to {group}");
        assert_eq!(self.account.flag_is(), flag);
        let found = psql(
            &self.psql,
            &self.database,
            "SELECT string_agg(name, ',' ORDER BY id) FROM migrations",
        );
        assert_eq!(found, migrations);
    }
}

#[test]
fn one_command_brings_the_whole_system_back() {
    scenario(|world| {
        let Some(story) = story(world) else { return };
        story.is_at("v2", "green", "on", "create-users,add-orders");
        let world = &story.world;
        world.tool(&["verify"]).exits(0);
        // The new version is broken.
        story.application.status.store(503, Ordering::Relaxed);
        world.tool(&["verify"]).exits(3).says("503");
        let plan = world.tool(&["plan", &story.first.commit]).exits(0).words();
        assert!(
            !plan.contains("debug") && plan.contains("LOG_LEVEL"),
            "values are masked: {plan}"
        );
        // What the deploy and the switch moved is told apart from what somebody changed.
        let (_, moved) = plan.split_once("moved by those whose work it is").unwrap();
        assert!(
            moved.contains("aws_ecs_service.backend (task_definition: whoever deploys)"),
            "{plan}"
        );
        assert!(
            moved.contains("aws_lb_listener.http (default_action: whoever shifts traffic)"),
            "{plan}"
        );
        assert!(!moved.contains("aws_ssm_parameter.checkout"), "{plan}");
        let input = world
            .tool(&["policy", "input", &story.first.commit, "--json"])
            .exits(0)
            .words();
        assert!(input.contains("\"controller\": \"whoever deploys\""), "{input}");

        let to = |world: &World, application: &Application| {
            // Back on the old version it is well again.
            application.status.store(200, Ordering::Relaxed);
            let begun = Instant::now();
            let ran = world.tool(&[
                "to",
                &story.first.commit,
                "--auto-approve",
                "--accept-data-loss",
                "migrations",
            ]);
            ran.exits(0);
            begun.elapsed()
        };
        let took = to(world, &story.application);
        story.is_at("v1", "blue", "off", "create-users");
        world.is_at(&story.first);
        let run = world.last_run();
        let shown = world.tool(&["runs", "show", &run, "--json"]).exits(0).json();
        let done = |name: &str| {
            shown["journal"]
                .as_array()
                .unwrap()
                .iter()
                .position(|entry| entry["event"] == "step-done" && entry["step"] == name)
                .unwrap_or_else(|| panic!("{name} was not done: {shown}"))
        };
        assert!(done("traffic") < done("backend") && done("backend") < done("migrations"));

        world.tool(&["undo", "--auto-approve"]).exits(0);
        story.is_at("v2", "green", "on", "create-users,add-orders");
        world.is_at(&story.second);
        eprintln!("the whole system back with one command: {:.1} s", took.as_secs_f64());
    });
}
