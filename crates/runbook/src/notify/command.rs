//! `command`: a line of the user's, which finds the message in its environment.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rollback_config::project::StepTable;
use serde::Deserialize;

use super::{Channel, Message, made};
use crate::process::Shell;
use crate::settings::{Common, Made, read};
use crate::step::{Silent, StepError};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    command: String,
    dir: Option<PathBuf>,
    #[serde(default)]
    environment: Vec<String>,
}

const TIMEOUT: Duration = Duration::from_secs(30);

struct Command(Shell);

pub(super) fn of_table(table: &StepTable, root: &Path) -> Made<dyn Channel> {
    let (common, own): (Common, Settings) = read("notify", table)?;
    let shell = Shell {
        line: own.command,
        folder: root.join(own.dir.unwrap_or_default()),
        environment: own.environment,
        variables: Vec::new(),
        timeout: common.timeout.unwrap_or(TIMEOUT),
        note: None,
    };
    made(common, Command(shell))
}

impl Channel for Command {
    fn send(&self, message: &Message) -> Result<(), StepError> {
        let mut shell = self.0.clone();
        let mut set = |name: &str, value: &str| {
            shell
                .variables
                .push((format!("INFRA_ROLLBACK_{name}"), value.to_owned()));
        };
        set("MESSAGE_ID", &message.id);
        set("PHASE", message.phase.as_str());
        set("SUBJECT", &message.subject);
        set("TEXT", &message.text);
        let ended = shell.run(&Silent)?;
        match ended.status.success() {
            true => Ok(()),
            // What it printed may hold what it was given: its owner finds it in its own logs.
            false => Err(StepError::touched(format!("its command ended with {}", ended.how()))),
        }
    }
}
