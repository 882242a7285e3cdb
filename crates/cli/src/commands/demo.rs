//! `demo`: the whole story in a temporary folder, with real git, real terraform and this very binary.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use rollback_engine::error::{EngineError, Result};
use rollback_state::{Mode, State};
use serde_json::json;

use crate::arguments::DemoArguments;
use crate::output::Output;

const FIRST: &str = r#"# Release 1
resource "terraform_data" "database" {
  input = "customers"
}

resource "terraform_data" "app" {
  input = "version 1"
}

resource "terraform_data" "mailbox" {
  input = "support@example.com"
}
"#;

const SECOND: &str = r#"# Release 2: the database moved into a module, the app changed,
# a cache was added, and the mailbox was let go without destroying it.
module "storage" {
  source = "./storage"
}

moved {
  from = terraform_data.database
  to   = module.storage.terraform_data.database
}

resource "terraform_data" "app" {
  input = "version 2"
}

resource "terraform_data" "cache" {
  input = "new"
}

removed {
  from = terraform_data.mailbox
  lifecycle {
    destroy = false
  }
}
"#;

const SECOND_MODULE: &str = r#"resource "terraform_data" "database" {
  input = "customers"
}
"#;

struct Demo<'a> {
    output: &'a Output,
    repository: std::path::PathBuf,
    home: std::path::PathBuf,
    steps: Vec<serde_json::Value>,
}

/// Tells the story; fails when any promise in it is not kept.
pub fn run(arguments: &DemoArguments, output: &Output) -> Result<()> {
    let started = Instant::now();
    let folder = tempfile::Builder::new().prefix("infra-rollback-demo-").tempdir()?;
    let mut demo = Demo {
        output,
        repository: folder.path().join("repository"),
        home: folder.path().join("home"),
        steps: Vec::new(),
    };
    std::fs::create_dir_all(&demo.repository)?;

    demo.say("Release 1: a database, an app, a mailbox");
    demo.git(&["init", "-q", "-b", "main"])?;
    demo.write(".gitignore", ".terraform/\n*.tfstate*\n")?;
    demo.write("main.tf", FIRST)?;
    let first = demo.deploy("release 1")?;
    let ids_first = demo.identities()?;

    demo.say("Release 2: the database moves into a module, the app changes, a cache is added, the mailbox is let go");
    demo.write("main.tf", SECOND)?;
    demo.write("storage/main.tf", SECOND_MODULE)?;
    demo.deploy("release 2")?;
    let ids_second = demo.identities()?;

    demo.say("What the runbook does by hand: git checkout and terraform apply");
    let (created, destroyed) = demo.plain_checkout(folder.path(), &first)?;
    output.line(&format!(
        "  A plain checkout would destroy {destroyed} objects and create {created}: the database's data would be gone,\n  \
         and a second mailbox would stand beside the first."
    ));

    demo.say("What infra-rollback does");
    demo.tool(&["to", &first[..10], "--auto-approve", "--reason", "release 2 is on fire"])?;
    let ids_back = demo.identities()?;
    let kept = same_objects(&ids_first, &ids_back);
    if kept != ids_first.len() {
        return Err(EngineError::failed(format!(
            "only {kept} of {} objects came back as they were",
            ids_first.len()
        )));
    }
    output.line(&format!(
        "  All {kept} objects of release 1 are there, each the very same as before."
    ));

    demo.say("And forward again");
    demo.tool(&["undo", "--auto-approve", "--reason", "it was not release 2 after all"])?;
    let ids_again = demo.identities()?;
    let survivors: BTreeMap<_, _> = ids_second
        .iter()
        .filter(|(address, _)| !address.contains("cache"))
        .map(|(a, i)| (a.clone(), i.clone()))
        .collect();
    let kept_again = same_objects(&survivors, &ids_again);
    if kept_again != survivors.len() {
        return Err(EngineError::failed(format!(
            "only {kept_again} of {} objects survived the undo",
            survivors.len()
        )));
    }
    output.line(&format!(
        "  {kept_again} objects of release 2 are the very same; the cache, which release 1 did not have, was made anew."
    ));

    demo.say("What is on record");
    demo.tool(&["runs"])?;
    demo.tool(&["releases"])?;

    let seconds = started.elapsed().as_secs_f64();
    output.line("");
    output.line(&format!(
        "Done in {seconds:.1} s: 2 releases, 1 rollback, 1 undo, no object lost."
    ));
    if arguments.keep {
        let path = folder.keep();
        output.line(&format!(
            "The repository is kept in {}",
            path.join("repository").display()
        ));
        output.line(&format!(
            "with its releases: INFRA_ROLLBACK_HOME={}",
            path.join("home").display()
        ));
    } else {
        output.line("Try it on your own stack: `infra-rollback snapshot` after each apply, `infra-rollback to <commit>` when it burns.");
    }
    output.document(&json!({
        "seconds": seconds,
        "plain_checkout": { "would_destroy": destroyed, "would_create": created },
        "rollback": { "objects_kept": kept },
        "undo": { "objects_kept": kept_again },
        "steps": demo.steps,
    }));
    Ok(())
}

impl Demo<'_> {
    fn say(&self, text: &str) {
        self.output.line("");
        self.output.heading(text);
    }

    fn write(&self, path: &str, text: &str) -> Result<()> {
        let path = self.repository.join(path);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        Ok(std::fs::write(path, text)?)
    }

    fn command(&self, program: &str, arguments: &[&str], folder: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(folder)
            .stdin(Stdio::null())
            .env("INFRA_ROLLBACK_HOME", &self.home)
            .env("CHECKPOINT_DISABLE", "1")
            .env("TF_IN_AUTOMATION", "1");
        for name in [
            "TF_DATA_DIR",
            "TF_WORKSPACE",
            "TF_LOG",
            "TF_CLI_ARGS",
            "GIT_DIR",
            "GIT_WORK_TREE",
            "GIT_INDEX_FILE",
        ] {
            command.env_remove(name);
        }
        for role in ["AUTHOR", "COMMITTER"] {
            command
                .env(format!("GIT_{role}_NAME"), "demo")
                .env(format!("GIT_{role}_EMAIL"), "demo@example.com");
        }
        command
    }

    fn quiet(&self, program: &str, arguments: &[&str], folder: &Path) -> Result<Vec<u8>> {
        let output = self.command(program, arguments, folder).output().map_err(|error| {
            EngineError::failed(format!("{program} cannot be started: {error}")).hint(format!(
                "install {program} and put it on PATH; `infra-rollback doctor` checks it"
            ))
        })?;
        if !output.status.success() {
            return Err(EngineError::failed(format!(
                "`{program} {}` failed: {}",
                arguments.join(" "),
                String::from_utf8_lossy(&output.stderr).trim()
            )));
        }
        Ok(output.stdout)
    }

    fn git(&mut self, arguments: &[&str]) -> Result<String> {
        self.show("git", arguments);
        let folder = self.repository.clone();
        Ok(String::from_utf8_lossy(&self.quiet("git", arguments, &folder)?)
            .trim()
            .to_owned())
    }

    fn terraform(&mut self, arguments: &[&str]) -> Result<()> {
        self.show("terraform", arguments);
        let folder = self.repository.clone();
        self.quiet(&terraform_binary(), arguments, &folder)?;
        Ok(())
    }

    fn show(&mut self, program: &str, arguments: &[&str]) {
        let words: Vec<String> = arguments
            .iter()
            .map(|word| {
                if word.contains(' ') {
                    format!("{word:?}")
                } else {
                    (*word).to_owned()
                }
            })
            .collect();
        let line = format!("{program} {}", words.join(" "));
        self.output.line(&format!("  $ {line}"));
        self.steps.push(json!(line));
    }

    /// Runs this very binary, its words shown to the person.
    fn tool(&mut self, arguments: &[&str]) -> Result<()> {
        self.show("infra-rollback", arguments);
        let program = std::env::current_exe()?;
        let folder = self.repository.clone();
        let mut command = self.command(&program.to_string_lossy(), arguments, &folder);
        if self.output.is_json() {
            command.stdout(Stdio::null()).stderr(Stdio::null());
        }
        let status = command.status()?;
        if !status.success() {
            return Err(EngineError::failed(format!(
                "`infra-rollback {}` ended with {status}",
                arguments.join(" ")
            )));
        }
        Ok(())
    }

    /// Commits, applies and takes a snapshot; gives the commit.
    fn deploy(&mut self, message: &str) -> Result<String> {
        self.git(&["add", "-A"])?;
        self.git(&["commit", "-q", "-m", message])?;
        self.terraform(&["init", "-input=false"])?;
        self.terraform(&["apply", "-auto-approve", "-input=false"])?;
        self.tool(&["snapshot", "--release", &message.replace(' ', "-")])?;
        let folder = self.repository.clone();
        Ok(
            String::from_utf8_lossy(&self.quiet("git", &["rev-parse", "HEAD"], &folder)?)
                .trim()
                .to_owned(),
        )
    }

    /// Address and id of each object in the state.
    fn identities(&self) -> Result<BTreeMap<String, String>> {
        let state = State::parse(std::fs::read(self.repository.join("terraform.tfstate"))?)?;
        Ok(state
            .instances()
            .filter(|instance| instance.mode() == Mode::Managed)
            .filter_map(|instance| Some((instance.address().to_string(), instance.identifier(&state)?)))
            .collect())
    }

    /// What `terraform plan` says on a plain checkout of a commit, in a folder of its own.
    fn plain_checkout(&mut self, scratch: &Path, commit: &str) -> Result<(usize, usize)> {
        let folder = scratch.join("plain-checkout");
        let source = self.repository.to_string_lossy().into_owned();
        self.quiet("git", &["clone", "-q", &source, &folder.to_string_lossy()], scratch)?;
        self.show("git", &["checkout", &commit[..10]]);
        self.quiet("git", &["checkout", "-q", commit], &folder)?;
        std::fs::copy(
            self.repository.join("terraform.tfstate"),
            folder.join("terraform.tfstate"),
        )?;
        let terraform = terraform_binary();
        self.quiet(&terraform, &["init", "-input=false"], &folder)?;
        self.show("terraform", &["plan"]);
        self.quiet(&terraform, &["plan", "-input=false", "-out=plan"], &folder)?;
        let json = self.quiet(&terraform, &["show", "-json", "plan"], &folder)?;
        let plan = rollback_terraform::Plan::parse(json).map_err(|error| EngineError::failed(error.to_string()))?;
        let created = plan.resource_changes.iter().filter(|change| change.creates()).count();
        let destroyed = plan.resource_changes.iter().filter(|change| change.deletes()).count();
        Ok((created, destroyed))
    }
}

/// `terraform`, or `tofu` where only that is there.
fn terraform_binary() -> String {
    let there = |name: &str| {
        Command::new(name)
            .arg("version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .stdin(Stdio::null())
            .status()
            .is_ok()
    };
    if !there("terraform") && there("tofu") {
        "tofu".to_owned()
    } else {
        "terraform".to_owned()
    }
}

fn same_objects(wanted: &BTreeMap<String, String>, found: &BTreeMap<String, String>) -> usize {
    wanted
        .iter()
        .filter(|(address, id)| found.get(*address) == Some(id))
        .count()
}
