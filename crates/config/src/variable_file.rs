//! Files of assignments: `.tfvars` and `.tfvars.json`.

use crate::source::{Document, Source};
use serde_json::{Map, Value};

/// The values that a variable file assigns. Only literal values can stand in one; others are left out. Numbers
/// keep their digits.
///
/// # Errors
/// The file is no HCL or JSON of that shape; the message names the place, never a value.
pub fn parse_variable_file(name: &str, bytes: &[u8]) -> Result<Map<String, Value>, String> {
    // A parser's own message may show what stands there.
    let place = |error: crate::ConfigError| match error.location() {
        Some(at) if name.ends_with(".json") => format!("{at}: it is no JSON object"),
        Some(at) => format!("{at}: it is no HCL"),
        None => error.to_string(),
    };
    let source = Source::new(name, bytes.to_vec()).map_err(|error| match &error {
        crate::ConfigError::Encoding { .. } => error.to_string(),
        _ => place(error),
    })?;
    let document = Document::parse(&source).map_err(place)?;
    document.values(&source).map_err(place)
}

/// A line of a `.tfvars` file that gives a variable of this type what `-var NAME=TEXT` gives it: the very text where the
/// type is a simple one or none is declared, else the text as HCL (Terraform's `VariableParsingMode`).
pub fn assignment(name: &str, kind: &str, text: &str) -> String {
    let value = match kind.trim() {
        "" | "string" | "number" | "bool" => {
            // JSON's escapes are HCL's, but for templates, which only HCL has.
            let quoted = Value::from(text).to_string();
            quoted.replace("${", "$${").replace("%{", "%%{")
        }
        _ => text.to_owned(),
    };
    format!("{name} = {value}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assignment_means_the_very_text() {
        for text in [
            "plain",
            "a \"b\" \\ c",
            "${x} %{if} $${y}",
            "line\nline\ttab",
            "[1, 2]",
            "ü \u{1}",
        ] {
            let line = assignment("v", "string", text);
            assert_eq!(
                parse_variable_file("a.tfvars", line.as_bytes()).unwrap()["v"],
                text,
                "{line}"
            );
        }
        let line = assignment("v", "list(number)", "[1, 2]");
        assert_eq!(parse_variable_file("a.tfvars", line.as_bytes()).unwrap()["v"][1], 2);
    }

    #[test]
    fn both_syntaxes_give_values() {
        let native = parse_variable_file("a.tfvars", b"password = \"s\"\ncount = 3\nzones = [\"a\", \"b\"]\n").unwrap();
        assert_eq!(native["password"], "s");
        assert_eq!(native["zones"][1], "b");
        let json = parse_variable_file("a.tfvars.json", br#"{"password":"s"}"#).unwrap();
        assert_eq!(json["password"], "s");
        assert_eq!(native["count"], 3);
        for (name, text) in [
            ("a.tfvars", "password = \"hunter2"),
            ("a.tfvars.json", "{\"password\": hunter2}"),
        ] {
            let error = parse_variable_file(name, text.as_bytes()).unwrap_err();
            assert!(
                !error.contains("hunter2") && error.starts_with(&format!("{name}:1:")),
                "{error}"
            );
        }
        assert!(parse_variable_file("a.tfvars.json", b"[]").is_err());
        assert!(
            parse_variable_file("a.tfvars", b"a = \"\xff\"")
                .unwrap_err()
                .contains("UTF-8")
        );
    }

    #[test]
    fn strings_of_json_are_no_templates_and_numbers_keep_their_digits() {
        let json = br#"{"//": "kept", "resource": {"a": "${x}"}, "n": 12345678901234567890123}"#;
        let values = parse_variable_file("x.json", json).unwrap();
        assert_eq!(values["resource"]["a"], "${x}");
        assert_eq!(values["n"].to_string(), "12345678901234567890123");
        let values = parse_variable_file(
            "x.tfvars",
            b"n = 12345678901234567890123\nt = \"$${x}\"\nf = timestamp()\n",
        )
        .unwrap();
        assert_eq!(values["n"].to_string(), "12345678901234567890123");
        assert_eq!(values["t"], "${x}");
        assert!(!values.contains_key("f"));
    }
}
