//! Terraform's diagnostics: from its `-json` stream, and from the text it prints where it has no such stream.

use std::fmt;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

/// Error or warning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Error,
    /// Warnings, and severities that a later terraform may invent.
    #[serde(other)]
    Warning,
}

/// Where in the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    pub filename: String,
    #[serde(default)]
    pub start: Position,
    #[serde(default)]
    pub end: Position,
}

/// Line and column, counted from 1; 0 where terraform did not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    pub line: u64,
    #[serde(default)]
    pub column: u64,
}

/// One thing terraform said. The source snippet, which can hold values, is not kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    pub severity: Severity,
    #[serde(default)]
    pub summary: String,
    #[serde(default)]
    pub detail: String,
    /// The object it is about, where terraform names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<Range>,
}

impl Diagnostic {
    pub fn error(summary: impl Into<String>, detail: impl Into<String>) -> Diagnostic {
        Diagnostic {
            severity: Severity::Error,
            summary: summary.into(),
            detail: detail.into(),
            address: None,
            range: None,
        }
    }

    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// Summary and detail in one line with single spaces: terraform wraps the text it prints for people at 78 columns.
    pub(crate) fn flat(&self) -> String {
        let mut flat = String::with_capacity(self.summary.len() + self.detail.len() + 1);
        for word in self.summary.split_whitespace().chain(self.detail.split_whitespace()) {
            if !flat.is_empty() {
                flat.push(' ');
            }
            flat.push_str(word);
        }
        flat
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.summary)?;
        if let Some(range) = &self.range {
            write!(formatter, " ({}:{})", range.filename, range.start.line)?;
        }
        if !self.detail.is_empty() {
            write!(formatter, ": {}", self.detail)?;
        }
        Ok(())
    }
}

static PREFIXES: LazyLock<[(&str, Severity); 2]> =
    LazyLock::new(|| [("Error: ", Severity::Error), ("Warning: ", Severity::Warning)]);

/// Reads what terraform prints for people: with `-no-color` a blank line, `Error: SUMMARY`, a blank line and the detail;
/// before the options are read (a broken command line configuration) the same in a box of `│`.
///
/// Text that has no such form is left out.
pub fn parse_text(text: &str) -> Vec<Diagnostic> {
    let mut found: Vec<Diagnostic> = Vec::new();
    for line in text.lines() {
        let line = strip_escapes(line);
        let line = line.trim_end();
        let line = line
            .strip_prefix('│')
            .map(|rest| rest.strip_prefix(' ').unwrap_or(rest))
            .unwrap_or(line);
        if line == "╷" || line == "╵" {
            continue;
        }
        let start = PREFIXES
            .iter()
            .find_map(|(prefix, severity)| line.strip_prefix(prefix).map(|summary| (*severity, summary)));
        if let Some((severity, summary)) = start {
            found.push(Diagnostic {
                severity,
                ..Diagnostic::error(summary, "")
            });
        } else if let Some(last) = found.last_mut() {
            if let Some(range) = parse_range(line).filter(|_| last.range.is_none() && last.detail.trim().is_empty()) {
                last.range = Some(range);
                last.address = line
                    .split_once(", in resource ")
                    .and_then(|(_, rest)| resource_of(rest));
                continue;
            }
            // "  12: resource …" lines under a range are source, which can hold values.
            if last.range.is_some() && last.detail.trim().is_empty() && is_source(line) {
                continue;
            }
            // "  with terraform_data.a," names the object.
            if last.address.is_none()
                && last.detail.trim().is_empty()
                && let Some(address) = line
                    .strip_prefix("  with ")
                    .map(|rest| rest.trim_end_matches([',', '.']))
            {
                last.address = Some(address.to_owned());
                continue;
            }
            last.detail.push_str(line);
            last.detail.push('\n');
        }
    }
    for one in &mut found {
        one.detail = one.detail.trim().to_owned();
    }
    found
}

/// Reads what a failed command printed: as [`parse_text`], and there is an error in any case. Older commands (`state push`)
/// print theirs as a bare last paragraph, after warnings that have a form.
pub(crate) fn parse_failure(text: &str) -> Vec<Diagnostic> {
    let mut found = parse_text(text);
    if !found.iter().any(Diagnostic::is_error) {
        let plain: Vec<String> = text
            .lines()
            .map(|line| strip_escapes(line).trim_end().to_owned())
            .collect();
        let last: Vec<&str> = plain
            .rsplit(|line| line.trim().is_empty())
            .find(|paragraph| !paragraph.is_empty())
            .map(|paragraph| paragraph.iter().map(String::as_str).collect())
            .unwrap_or_default();
        if let Some((summary, detail)) = last.split_first() {
            found.push(Diagnostic::error(summary.trim(), detail.join("\n")));
        }
    }
    found
}

/// `  on main.tf line 3, in resource "a" "b":`
fn parse_range(line: &str) -> Option<Range> {
    let (filename, rest) = line.strip_prefix("  on ")?.split_once(" line ")?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    let line = digits.parse().ok()?;
    Some(Range {
        filename: filename.to_owned(),
        start: Position { line, column: 0 },
        end: Position { line, column: 0 },
    })
}

fn resource_of(rest: &str) -> Option<String> {
    let mut quoted = rest.split('"');
    let kind = quoted.nth(1)?;
    let name = quoted.nth(1)?;
    Some(format!("{kind}.{name}"))
}

fn is_source(line: &str) -> bool {
    let trimmed = line.trim_start();
    line.starts_with("  ")
        && trimmed
            .split_once(':')
            .is_some_and(|(number, _)| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
        || line.starts_with("    │")
        || line.starts_with("    ├")
}

/// Drops terminal escape sequences (`ESC [ … letter`): messages printed before `-no-color` is read carry them.
fn strip_escapes(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        if character == '\u{1b}' {
            for inner in characters.by_ref() {
                if inner.is_ascii_alphabetic() {
                    break;
                }
            }
        } else {
            out.push(character);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_of_a_failed_show() {
        let found = parse_text(
            "\nError: Failed to read the given file as a state or plan file\n\nState read error: Error reading\n/tmp/t1/main.tf as a statefile\n",
        );
        assert_eq!(found.len(), 1);
        assert_eq!(
            found[0].summary,
            "Failed to read the given file as a state or plan file"
        );
        assert_eq!(
            found[0].flat(),
            "Failed to read the given file as a state or plan file State read error: Error reading /tmp/t1/main.tf as a statefile"
        );
    }

    #[test]
    fn boxes_and_colours_and_ranges() {
        let found = parse_text(
            "\u{1b}[31m╷\u{1b}[0m\n│ Warning: Old\n│ \n│ Drop it.\n╵\n╷\n│ Error: Unreadable module directory\n│ \n│   on main.tf line 3, in module \"x\":\n│    3:   source = \"secret\"\n│ \n│ Unable to evaluate.\n╵\n",
        );
        assert_eq!(found.len(), 2);
        assert!(!found[0].is_error());
        assert_eq!(
            found[1]
                .range
                .as_ref()
                .map(|range| (range.filename.as_str(), range.start.line)),
            Some(("main.tf", 3))
        );
        assert_eq!(found[1].detail, "Unable to evaluate.");
        assert!(!found[1].to_string().contains("secret"));
    }

    #[test]
    fn text_without_a_form_is_kept_when_a_command_failed() {
        let found = parse_failure("Warning: w\n\nd\n\nFailed to write state: cannot overwrite\n");
        assert_eq!(found[1].summary, "Failed to write state: cannot overwrite");
        let found = parse_failure("flag provided but not defined: -x\nUsage: terraform\n");
        assert_eq!(
            (found[0].summary.as_str(), found[0].detail.as_str()),
            ("flag provided but not defined: -x", "Usage: terraform")
        );
        assert!(parse_failure("  \n").is_empty());
        assert!(parse_text("chatter\n").is_empty());
    }
}
