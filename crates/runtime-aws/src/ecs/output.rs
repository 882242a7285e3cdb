//! What a container writes, read from CloudWatch Logs; and how it is known to be whole.
//!
//! A log comes later than what it tells of: when a task has stopped, its last lines may be on their way. So each command
//! writes a line of ours after all others. What is to be read by a program stands between two of them, so that nothing
//! that the tool says beside it is taken for it.

use aws_sdk_cloudwatchlogs::Client;
use rollback_runbook::step::{Progress, StepError};
use serde_json::Value;

use super::definition::text;
use crate::account::Account;
use crate::failure::Call;

/// Stands before what a command wrote to its standard output.
const BEGINS: &str = "infra-rollback: its output begins";
/// Stands after everything that a command wrote.
const ENDS: &str = "infra-rollback: it ended";
/// The longest that a line may be that is told.
const LONGEST_TOLD: usize = 500;

/// A command line whose standard output is read: it comes in one piece, after what was written to standard error.
pub(super) fn telling(line: &str) -> String {
    format!("told=$(\n{line}\n)\ncode=$?\nprintf '%s\\n' '{BEGINS}' \"$told\" '{ENDS}'\nexit $code")
}

/// A command line whose lines are shown as they come.
pub(super) fn showing(line: &str) -> String {
    format!("(\n{line}\n)\ncode=$?\nprintf '\\n%s\\n' '{ENDS}'\nexit $code")
}

/// Where a container's log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LogPlace {
    pub group: String,
    region: Option<String>,
    prefix: Option<String>,
}

impl LogPlace {
    /// As a container of a task definition says it.
    ///
    /// # Errors
    /// It goes elsewhere than to CloudWatch Logs.
    pub(super) fn of(name: &str, container: &Value) -> Result<LogPlace, StepError> {
        let configuration = container.get("logConfiguration");
        let driver = configuration.and_then(|configuration| text(configuration, "logDriver"));
        let option = |key: &str| {
            let value = text(configuration?.get("options")?, key)?;
            (!value.is_empty()).then(|| value.to_owned())
        };
        match (driver, option("awslogs-group")) {
            (Some("awslogs"), Some(group)) => Ok(LogPlace {
                group,
                region: option("awslogs-region"),
                prefix: option("awslogs-stream-prefix"),
            }),
            (driver, _) => Err(StepError::untouched(format!(
                "what container {name} writes cannot be read: its log {}",
                match driver {
                    Some(driver) => format!("goes by the driver {driver}"),
                    None => "goes nowhere".to_owned(),
                }
            ))
            .hint("give the container the log driver `awslogs`, with a group and a stream prefix")),
        }
    }

    /// The stream of a container: `prefix/name/task`, or the id that the container engine gave it.
    pub(super) fn stream(&self, container: &str, task: &str, engine: Option<&str>) -> Option<String> {
        match &self.prefix {
            Some(prefix) => Some(format!("{prefix}/{container}/{task}")),
            None => engine.map(str::to_owned),
        }
    }
}

/// The lines of one stream, as far as they have come.
pub(super) struct Output<'a> {
    account: &'a Account,
    place: &'a LogPlace,
    token: Option<String>,
    lines: Vec<String>,
    told: usize,
}

impl<'a> Output<'a> {
    pub(super) fn of(account: &'a Account, place: &'a LogPlace) -> Output<'a> {
        Output {
            account,
            place,
            token: None,
            lines: Vec::new(),
            told: 0,
        }
    }

    /// Reads what has come since. A stream that is not there yet has nothing in it.
    ///
    /// # Errors
    /// The log cannot be read.
    pub(super) fn read(&mut self, stream: &str) -> Result<(), StepError> {
        let what = format!("read stream {stream} of log group {}", self.place.group);
        loop {
            let page = self.account.call_in(
                self.place.region.as_deref(),
                &Call::looks(&what, "logs:GetLogEvents"),
                |config| {
                    Client::new(config)
                        .get_log_events()
                        .log_group_name(&self.place.group)
                        .log_stream_name(stream)
                        .start_from_head(true)
                        .set_next_token(self.token.clone())
                        .send()
                },
            );
            let page = match page {
                Err(refusal) if refusal.is(&["ResourceNotFoundException"]) => return Ok(()),
                page => page?,
            };
            for event in page.events.unwrap_or_default() {
                let message = event.message.unwrap_or_default();
                self.lines
                    .extend(message.lines().map(|line| line.trim_end().to_owned()));
            }
            // The same token again is how the end is told.
            let ended = page.next_forward_token.is_none() || page.next_forward_token == self.token;
            self.token = page.next_forward_token.or(self.token.take());
            if ended {
                return Ok(());
            }
        }
    }

    /// Whether the command's last line has come.
    pub(super) fn is_whole(&self) -> bool {
        self.lines.iter().any(|line| line == ENDS)
    }

    /// Tells the lines that have come since the last time.
    pub(super) fn tell(&mut self, progress: &dyn Progress) {
        for line in &self.lines[self.told..] {
            if !line.is_empty() && !is_mark(line) {
                progress.line(&line.chars().take(LONGEST_TOLD).collect::<String>());
            }
        }
        self.told = self.lines.len();
    }

    /// What a command that is [`telling`] wrote to its standard output; `None` where that is not whole.
    pub(super) fn standard_output(&self) -> Option<String> {
        let begins = self.lines.iter().position(|line| line == BEGINS)?;
        let told = &self.lines[begins + 1..];
        let ends = told.iter().position(|line| line == ENDS)?;
        Some(told[..ends].join("\n"))
    }

    /// Everything that the command wrote.
    pub(super) fn text(&self) -> String {
        let lines: Vec<&str> = self.lines.iter().map(String::as_str).collect();
        let own: Vec<&str> = lines.into_iter().filter(|line| !is_mark(line)).collect();
        own.join("\n")
    }
}

fn is_mark(line: &str) -> bool {
    line == BEGINS || line == ENDS
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_log_that_cannot_be_read_is_named() {
        let place = |configuration: Value| LogPlace::of("app", &json!({"logConfiguration": configuration}));
        let found = place(json!({"logDriver": "awslogs", "options": {"awslogs-group": "/ecs/app",
            "awslogs-region": "eu-central-1", "awslogs-stream-prefix": "ecs"}}));
        let found = found.unwrap();
        assert_eq!(found.stream("app", "f00", None).as_deref(), Some("ecs/app/f00"));
        let bare = place(json!({"logDriver": "awslogs", "options": {"awslogs-group": "/ecs/app"}})).unwrap();
        assert_eq!(bare.stream("app", "f00", Some("d0cker")).as_deref(), Some("d0cker"));
        for (configuration, words) in [
            (json!({"logDriver": "fluentd"}), "driver fluentd"),
            (json!(null), "goes nowhere"),
        ] {
            let error = place(configuration).unwrap_err();
            assert!(error.untouched && error.message.contains(words), "{error}");
        }
    }

    /// A shell writes what is read here.
    #[test]
    fn standard_output_is_told_from_what_is_said_beside_it() {
        let account = Account::default();
        let place = LogPlace {
            group: "g".to_owned(),
            region: None,
            prefix: None,
        };
        let run = |script: &str| {
            let ran = std::process::Command::new("/bin/sh")
                .args(["-c", &format!("exec 2>&1\n{script}")])
                .output()
                .unwrap();
            let mut output = Output::of(&account, &place);
            let text = String::from_utf8(ran.stdout).unwrap();
            output.lines = text.lines().map(str::to_owned).collect();
            (ran.status.code(), output)
        };
        let (code, output) = run(&telling(
            "echo npm notice >&2; echo '[X] 1 A'; echo '[ ] 2 B' # the last\n",
        ));
        assert_eq!((code, output.is_whole()), (Some(0), true));
        assert_eq!(output.standard_output().as_deref(), Some("[X] 1 A\n[ ] 2 B"));
        let (code, output) = run(&telling("echo no database >&2; exit 3"));
        assert_eq!((code, output.standard_output().as_deref()), (Some(3), Some("")));
        assert_eq!(output.text().trim(), "no database");
        let (code, output) = run(&showing("printf reverting; exit 4"));
        assert_eq!(
            (code, output.is_whole(), output.text().trim()),
            (Some(4), true, "reverting")
        );
        assert_eq!(output.standard_output(), None);
    }
}
