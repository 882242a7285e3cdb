//! The kinds that are made of commands: a tool that keeps what it is at in files, and has the trouble that waits for it.
//! A process that ends is a process of its own, and is killed.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use rollback_runbook::step::{Binding, Silent, Step, StepError};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Act, Scene, Trouble, Way};
use crate::bench::{Bench, step_table};

/// How long something goes on whose process has ended.
pub const MOMENT: Duration = Duration::from_millis(400);

/// `sh tool WHAT`: tells that it was asked, has its trouble, does it, and tells that it has.
const TOOL: &str = r#"
echo "$1" >> asked
number=$(wc -l < asked)
trouble=none
if [ -e trouble ]; then
    read -r at what < trouble
    if [ "$at" -eq "$number" ]; then trouble=$what; fi
    if [ "$at" -lt "$number" ] && [ "$what" = busy ]; then trouble=busy; fi
fi
case $trouble in
    refused) echo 'refused on purpose' >&2; exit 1 ;;
    busy | busy-once) echo 'too many connections' >&2; exit 1 ;;
    ends-before) kill -9 "$(cat process)"; exit 1 ;;
    ends-meanwhile) kill -9 "$(cat process)"; sleep 0.2 ;;
    slow) sleep 0.2 ;;
esac
case $1 in
    go) printf '%s\n' "$TARGET" > value ;;
    revert) head -n "$(($(wc -l < list) - 1))" list > new; mv new list ;;
    apply) printf 'a\nb\nc\n' > list ;;
esac
echo "$1" >> done
case $trouble in
    lost) exit 1 ;;
    ends-after) kill -9 "$(cat process)" ;;
esac
"#;

struct Tool {
    folder: TempDir,
    table: String,
}

/// What a process of its own is to do.
const PROCESS: &str = "ROLLBACK_TEST_PROCESS";

fn make(table: &str, folder: PathBuf) -> Box<dyn Step> {
    rollback_runbook::steps::step(&step_table(table), &folder)
        .unwrap()
        .unwrap()
        .1
}

impl Tool {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn lines(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.path(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

impl Way for Tool {
    fn step(&self) -> Box<dyn Step> {
        make(&self.table, self.folder.path().to_owned())
    }

    fn go(&self, from: &Binding, to: &Binding) -> Option<Result<Binding, StepError>> {
        let trouble = fs::read_to_string(self.path("trouble")).unwrap_or_default();
        if !trouble.contains("ends-") {
            return Some(self.step().go(from, to, &Silent));
        }
        let what = json!({"table": self.table, "folder": self.folder.path(), "from": from, "to": to});
        let ended = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "every_kind::tools::a_process_of_its_own", "--ignored"])
            .env(PROCESS, what.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert_eq!(ended.code(), None, "it is killed");
        None
    }

    fn rest(&self) -> Vec<Act> {
        let asked = self.lines("asked");
        for name in ["asked", "trouble"] {
            let _ = fs::remove_file(self.path(name));
        }
        let act = |(index, name): (usize, String)| Act {
            number: index + 1,
            name,
            is_effect: true,
        };
        asked.into_iter().enumerate().map(act).collect()
    }

    fn put(&self, trouble: Trouble, number: usize) -> bool {
        let word = match trouble {
            Trouble::FailsBefore => "refused",
            Trouble::AnswerLost => "lost",
            Trouble::EndsBefore => "ends-before",
            Trouble::EndsAfter => "ends-after",
            Trouble::EndsMeanwhile => "ends-meanwhile",
            Trouble::Slow => "slow",
            Trouble::Throttled => "busy-once",
            Trouble::ThrottledForLong => "busy",
            // It is not known here how the command speaks to anybody.
            Trouble::NetworkGone => return false,
        };
        fs::write(self.path("trouble"), format!("{number} {word}\n")).unwrap();
        true
    }

    fn repeats(&self) -> bool {
        false
    }
}

#[test]
#[ignore = "is a process of the other tests"]
fn a_process_of_its_own() {
    let Ok(what) = std::env::var(PROCESS) else { return };
    let what: Value = serde_json::from_str(&what).unwrap();
    let folder = PathBuf::from(what["folder"].as_str().unwrap());
    fs::write(folder.join("process"), std::process::id().to_string()).unwrap();
    let step = make(what["table"].as_str().unwrap(), folder);
    let _ = step.go(&what["from"], &what["to"], &Silent);
}

fn scene<'b>(name: &'static str, table: &str, keeps: &'static str, values: [&str; 2]) -> Scene<'b> {
    let tool = Tool {
        folder: tempfile::tempdir().unwrap(),
        table: table.to_owned(),
    };
    fs::write(tool.path("tool"), TOOL).unwrap();
    fs::write(tool.path(keeps), values[0]).unwrap();
    let target = tool.step().look().unwrap();
    fs::write(tool.path(keeps), values[1]).unwrap();
    let start = tool.step().look().unwrap();
    let (kept, done) = (tool.path(keeps), tool.path("done"));
    Scene {
        kind: step_table(table).kind,
        name,
        way: Box::new(tool),
        start,
        target,
        state: Box::new(move || fs::read_to_string(&kept).unwrap().into()),
        spent: Box::new(move || fs::read_to_string(&done).unwrap_or_default().lines().count()),
        at_start: values[1].into(),
        at_target: values[0].into(),
    }
}

pub fn command<'b>(_: &'b Bench) -> Scene<'b> {
    let table = "kind = \"command\"\nlook = \"cat value\"\ngo = \"sh tool go\"";
    scene("command", table, "value", ["one\n", "two\n"])
}

pub fn migration<'b>(_: &'b Bench) -> Scene<'b> {
    let table = "kind = \"migration\"\nshow = \"cat list\"\nrevert = \"sh tool revert\"\napply = \"sh tool apply\"";
    scene("migration by commands", table, "list", ["a\n", "a\nb\nc\n"])
}
