//! The `-json` stream of plan and apply, line by line.
//!
//! Known message types are read, and of them known fields only; everything else is dropped (values of outputs, identifiers of
//! objects, log messages), since what is not known not to be secret is not shown.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::diagnostic::Diagnostic;
use crate::plan::Action;

/// What happened, for whoever watches.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// Terraform runs; `version` is what the stream says.
    Started {
        version: String,
    },
    /// A resource is read anew.
    RefreshStart {
        address: String,
    },
    RefreshComplete {
        address: String,
    },
    /// The refresh found this object changed outside terraform.
    Drift {
        address: String,
        action: String,
    },
    /// Planned. `action` as the stream has it: `create`, `update`, `delete`, `replace`, `move`, `remove` (forget), `import`, `noop`, `read`.
    Planned {
        address: String,
        previous_address: Option<String>,
        action: String,
    },
    ApplyStart {
        address: String,
        action: Action,
    },
    /// Every 10 s while an object takes time.
    ApplyProgress {
        address: String,
        action: Action,
        elapsed_seconds: u64,
    },
    ApplyComplete {
        address: String,
        action: Action,
        elapsed_seconds: u64,
    },
    ApplyErrored {
        address: String,
        action: Action,
        elapsed_seconds: u64,
    },
    /// A provisioner works on the object. Its output is not shown.
    Provision {
        address: String,
        provisioner: String,
    },
    Summary(ChangeSummary),
    Diagnostic(Diagnostic),
    /// We asked terraform to stop, because a person asked us; it finishes what it has begun and saves the state.
    Interrupting,
}

/// Receives events while terraform runs.
pub trait Progress {
    fn event(&mut self, event: Event);
}

/// Nobody watches.
pub struct Silent;

impl Progress for Silent {
    fn event(&mut self, _: Event) {}
}

impl<F: FnMut(Event)> Progress for F {
    fn event(&mut self, event: Event) {
        self(event)
    }
}

/// Terraform's own counts: they count neither moves nor forgets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeSummary {
    #[serde(default)]
    pub add: u64,
    #[serde(default)]
    pub change: u64,
    #[serde(default)]
    pub remove: u64,
    #[serde(default)]
    pub import: u64,
    /// `plan`, `apply` or `destroy`.
    #[serde(default)]
    pub operation: String,
}

/// What became of one object during an apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectFate {
    /// Begun and never heard of again: the provider may or may not have done it.
    Started,
    Completed,
    Errored,
}

/// A whole stream in short.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StreamSummary {
    pub terraform_version: Option<String>,
    /// The last of the operation; a failed apply emits none.
    pub changes: Option<ChangeSummary>,
    pub planned: usize,
    pub drifted: usize,
    /// By address and action (`terraform_data.a delete`), since a replacement has two.
    pub objects: BTreeMap<String, ObjectFate>,
    pub diagnostics: Vec<Diagnostic>,
    /// Lines that are no JSON (a wrapper's chatter); counted, not kept.
    pub foreign_lines: usize,
}

impl StreamSummary {
    pub fn completed(&self) -> usize {
        self.objects
            .values()
            .filter(|fate| **fate == ObjectFate::Completed)
            .count()
    }

    pub fn errored(&self) -> usize {
        self.objects
            .values()
            .filter(|fate| **fate == ObjectFate::Errored)
            .count()
    }

    /// Begun without an end.
    pub fn unfinished(&self) -> Vec<&str> {
        self.objects
            .iter()
            .filter(|(_, fate)| **fate == ObjectFate::Started)
            .map(|(key, _)| key.as_str())
            .collect()
    }

    /// Whether any object was begun: false means that nothing real was touched.
    pub fn touched(&self) -> bool {
        !self.objects.is_empty()
    }

    /// The apply ran to its end without an error: only then does terraform write the summary of operation `apply`.
    pub fn apply_complete(&self) -> bool {
        self.changes
            .as_ref()
            .is_some_and(|changes| changes.operation == "apply" || changes.operation == "destroy")
            && !self.has_errors()
    }

    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(Diagnostic::is_error)
    }

    pub fn errors(&self) -> Vec<Diagnostic> {
        self.diagnostics.iter().filter(|one| one.is_error()).cloned().collect()
    }

    /// Reads one line (without its line end): adds it here and says what it was.
    pub fn read_line(&mut self, line: &[u8]) -> Option<Event> {
        if line.iter().all(u8::is_ascii_whitespace) {
            return None;
        }
        // Two passes: a line of an unknown type may use known field names for other shapes.
        let Ok(Typed { kind }) = serde_json::from_slice::<Typed>(line) else {
            self.foreign_lines += 1;
            return None;
        };
        let message: Message = serde_json::from_slice(line)
            .ok()
            .filter(|_| KNOWN.contains(&kind.as_str()))?;
        let event = message.into_event(&kind)?;
        self.record(&event);
        Some(event)
    }

    fn record(&mut self, event: &Event) {
        let mut object = |address: &str, action: &Action, fate| {
            self.objects.insert(format!("{address} {action}"), fate);
        };
        match event {
            Event::Started { version } => self.terraform_version = Some(version.clone()),
            Event::Planned { .. } => self.planned += 1,
            Event::Drift { .. } => self.drifted += 1,
            Event::ApplyStart { address, action } => object(address, action, ObjectFate::Started),
            Event::ApplyComplete { address, action, .. } => object(address, action, ObjectFate::Completed),
            Event::ApplyErrored { address, action, .. } => object(address, action, ObjectFate::Errored),
            Event::Summary(changes) => self.changes = Some(changes.clone()),
            Event::Diagnostic(diagnostic) => self.diagnostics.push(diagnostic.clone()),
            _ => {}
        }
    }
}

const KNOWN: [&str; 15] = [
    "version",
    "diagnostic",
    "resource_drift",
    "planned_change",
    "change_summary",
    "apply_start",
    "apply_progress",
    "apply_complete",
    "apply_errored",
    "refresh_start",
    "refresh_complete",
    "provision_start",
    "provision_progress",
    "provision_complete",
    "provision_errored",
];

#[derive(Deserialize)]
struct Typed {
    #[serde(rename = "type", default)]
    kind: String,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    terraform: Option<String>,
    #[serde(default)]
    tofu: Option<String>,
    #[serde(default)]
    diagnostic: Option<Diagnostic>,
    #[serde(default)]
    change: Option<Change>,
    #[serde(default)]
    changes: Option<ChangeSummary>,
    #[serde(default)]
    hook: Option<Hook>,
}

#[derive(Deserialize)]
struct Resource {
    #[serde(default)]
    addr: String,
}

#[derive(Deserialize)]
struct Change {
    resource: Resource,
    #[serde(default)]
    previous_resource: Option<Resource>,
    #[serde(default)]
    action: String,
}

#[derive(Deserialize)]
struct Hook {
    resource: Resource,
    #[serde(default)]
    action: Option<Action>,
    #[serde(default)]
    elapsed_seconds: Option<serde_json::Number>,
    #[serde(default)]
    provisioner: Option<String>,
}

impl Message {
    fn into_event(self, kind: &str) -> Option<Event> {
        Some(match kind {
            "version" => Event::Started {
                version: self.terraform.or(self.tofu)?,
            },
            "diagnostic" => Event::Diagnostic(self.diagnostic?),
            "change_summary" => Event::Summary(self.changes?),
            "resource_drift" => {
                let change = self.change?;
                Event::Drift {
                    address: change.resource.addr,
                    action: change.action,
                }
            }
            "planned_change" => {
                let change = self.change?;
                Event::Planned {
                    address: change.resource.addr,
                    previous_address: change.previous_resource.map(|resource| resource.addr),
                    action: change.action,
                }
            }
            _ => self.hook?.into_event(kind)?,
        })
    }
}

impl Hook {
    fn into_event(self, kind: &str) -> Option<Event> {
        let address = self.resource.addr;
        let action = self.action.unwrap_or(Action::Other(String::new()));
        let elapsed_seconds = self.elapsed_seconds.and_then(|seconds| seconds.as_f64()).unwrap_or(0.0) as u64;
        Some(match kind {
            "apply_start" => Event::ApplyStart { address, action },
            "apply_progress" => Event::ApplyProgress {
                address,
                action,
                elapsed_seconds,
            },
            "apply_complete" => Event::ApplyComplete {
                address,
                action,
                elapsed_seconds,
            },
            "apply_errored" => Event::ApplyErrored {
                address,
                action,
                elapsed_seconds,
            },
            "refresh_start" => Event::RefreshStart { address },
            "refresh_complete" => Event::RefreshComplete { address },
            "provision_start" => Event::Provision {
                address,
                provisioner: self.provisioner?,
            },
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> (StreamSummary, Vec<Event>) {
        let mut summary = StreamSummary::default();
        let events = lines
            .iter()
            .filter_map(|line| summary.read_line(line.as_bytes()))
            .collect();
        (summary, events)
    }

    #[test]
    fn an_apply_from_start_to_end() {
        let (summary, events) = read(&[
            r#"{"type":"version","terraform":"1.11.4","ui":"1.2"}"#,
            r#"{"type":"planned_change","change":{"resource":{"addr":"a.b"},"previous_resource":{"addr":"a.old"},"action":"move"}}"#,
            r#"{"type":"resource_drift","change":{"resource":{"addr":"a.c"},"action":"update"}}"#,
            r#"{"type":"apply_start","hook":{"resource":{"addr":"a.b"},"action":"delete"}}"#,
            r#"{"type":"apply_progress","hook":{"resource":{"addr":"a.b"},"action":"delete","elapsed_seconds":10}}"#,
            r#"{"type":"apply_complete","hook":{"resource":{"addr":"a.b"},"action":"delete","id_value":"hunter2","elapsed_seconds":11.5}}"#,
            r#"{"type":"apply_start","hook":{"resource":{"addr":"a.b"},"action":"create"}}"#,
            r#"{"type":"provision_progress","hook":{"resource":{"addr":"a.b"},"provisioner":"local-exec","output":"hunter2"}}"#,
            r#"{"type":"apply_errored","hook":{"resource":{"addr":"a.b"},"action":"create","elapsed_seconds":1}}"#,
            r#"{"type":"apply_start","hook":{"resource":{"addr":"a.d"},"action":"update"}}"#,
            r#"{"type":"outputs","outputs":{"o":{"sensitive":false,"value":"hunter2"}}}"#,
        ]);
        assert_eq!(
            (summary.planned, summary.drifted, summary.completed(), summary.errored()),
            (1, 1, 1, 1)
        );
        assert_eq!(summary.unfinished(), ["a.d update"]);
        assert!(summary.touched() && !summary.apply_complete());
        assert_eq!(summary.terraform_version.as_deref(), Some("1.11.4"));
        assert!(!format!("{events:?} {summary:?}").contains("hunter2"));
        assert!(events.contains(&Event::Planned {
            address: "a.b".into(),
            previous_address: Some("a.old".into()),
            action: "move".into()
        }));
    }

    #[test]
    fn complete_means_the_summary_of_an_apply_without_errors() {
        let done = r#"{"type":"change_summary","changes":{"add":1,"change":0,"remove":0,"operation":"apply"}}"#;
        let planned = r#"{"type":"change_summary","changes":{"add":1,"change":0,"remove":0,"operation":"plan"}}"#;
        let error = r#"{"type":"diagnostic","diagnostic":{"severity":"error","summary":"s","detail":"d","snippet":{"code":"hunter2"}}}"#;
        let warning = r#"{"type":"diagnostic","diagnostic":{"severity":"warning","summary":"s","detail":"d"}}"#;
        assert!(read(&[done, warning]).0.apply_complete());
        assert!(!read(&[planned]).0.apply_complete());
        let (failed, _) = read(&[done, error]);
        assert!(!failed.apply_complete() && !format!("{failed:?}").contains("hunter2"));
        assert_eq!(failed.errors().len(), 1);
    }

    #[test]
    fn what_is_unknown_or_no_json_is_passed_over() {
        let (summary, events) = read(&[
            "",
            "chatter of a wrapper",
            r#"{"type":"log","@message":"x"}"#,
            r#"{"type":"new_in_2030","change":17,"diagnostic":"x","hook":[]}"#,
            r#"{"type":"apply_start"}"#,
            r#"{"type":"apply_start","hook":17}"#,
            r#"{"no":"type"}"#,
            "[1]",
        ]);
        assert!(events.is_empty(), "{events:?}");
        assert_eq!(summary.foreign_lines, 2);
    }
}
