//! What is written to people: the runbook's own words, or templates of the user's.

use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior, Value, escape_formatter};
use serde::Serialize;

/// The runbook's message to everybody concerned.
pub const MESSAGE: &str = include_str!("../templates/message.txt.j2");
/// The record of a run, for the incident report and the post-mortem.
pub const REPORT: &str = include_str!("../templates/report.md.j2");

/// Writes a document by a template (Jinja).
///
/// # Errors
/// With the line: the template cannot be read, or asks for what is not there.
pub fn render(name: &str, template: &str, document: impl Serialize) -> Result<String, String> {
    let mut environment = Environment::new();
    // A name that is written wrong must not become an empty place in a message that everybody reads.
    environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
    // What people gave must not become lines, headings or a terminal's commands of its own.
    environment.set_formatter(|output, state, value| match value.as_str() {
        Some(text) if text.contains(char::is_control) => {
            let line: Vec<&str> = text.split(char::is_control).filter(|part| !part.is_empty()).collect();
            output.write_str(&line.join(" "))?;
            Ok(())
        }
        _ => escape_formatter(output, state, value),
    });
    let rendered = environment.render_named_str(name, template, Value::from(Serde(document)));
    rendered.map_err(|error| {
        let detail = error.detail().map(|detail| format!(": {detail}")).unwrap_or_default();
        let line = error.line().map(|line| format!(" in line {line}")).unwrap_or_default();
        format!("the template {name} cannot be used{line}: {}{detail}", error.kind())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_not_there_is_said_with_its_line() {
        let document = serde_json::json!({ "a": "b" });
        assert_eq!(render("t", "{{ a }}", &document).unwrap(), "b");
        let error = render("t", "x\n{{ aa }}", &document).unwrap_err();
        assert!(error.contains("line 2"), "{error}");
    }

    #[test]
    fn what_people_gave_stays_on_its_line() {
        let document = serde_json::json!({ "reason": "x\n\n## Approvals\r\n\u{1b}]0;pwn\u{7}y" });
        let rendered = render("t", "- {{ reason }}\n", &document).unwrap();
        assert_eq!(rendered, "- x ## Approvals ]0;pwn y");
    }
}
