//! A variable file that Git does not have, without what is secret in it.
//!
//! Terraform reads `*.tfvars` as a body of attributes whose values know no variables and no functions, and
//! `*.tfvars.json` as one object (v1.11). So what is kept is built from the assignments, one by one, and not cut out of
//! the text: comments, in which old passwords live on, are never kept.

use std::collections::BTreeSet;
use std::ops::Range;

use hcl_edit::Span;
use hcl_edit::expr::{Expression, ObjectKey};
use hcl_edit::structure::{Body, Structure};

/// What is kept of a variable file.
#[derive(Clone, PartialEq, Eq)]
pub struct Redacted {
    /// `None` where the file could not be understood: then nothing of it may be kept.
    pub bytes: Option<Vec<u8>>,
    /// The variables whose assignments were left out, sorted.
    pub left_out: Vec<String>,
}

impl std::fmt::Debug for Redacted {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Redacted")
            .field("left_out", &self.left_out)
            .finish_non_exhaustive()
    }
}

/// A variable file without the assignments of `sensitive` variables and without comments. `path` tells the syntax:
/// `….json` is JSON, everything else HCL.
pub fn without_assignments(path: &str, bytes: &[u8], sensitive: &BTreeSet<String>) -> Redacted {
    let understood = if path.ends_with(".json") {
        json(bytes, sensitive)
    } else {
        hcl(bytes, sensitive)
    };
    match understood {
        Some((bytes, left_out)) => Redacted {
            bytes: Some(bytes),
            left_out: left_out.into_iter().collect(),
        },
        None => Redacted {
            bytes: None,
            left_out: Vec::new(),
        },
    }
}

fn json(bytes: &[u8], sensitive: &BTreeSet<String>) -> Option<(Vec<u8>, BTreeSet<String>)> {
    let members: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(bytes).ok()?;
    let (mut kept, mut left_out) = (serde_json::Map::new(), BTreeSet::new());
    for (name, value) in members {
        if sensitive.contains(&name) {
            left_out.insert(name);
        } else if name != "//" {
            // `//` is Terraform's comment in JSON.
            kept.insert(name, value);
        }
    }
    Some((serde_json::to_vec_pretty(&kept).ok()?, left_out))
}

fn hcl(bytes: &[u8], sensitive: &BTreeSet<String>) -> Option<(Vec<u8>, BTreeSet<String>)> {
    let text = std::str::from_utf8(bytes).ok()?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (kept, left_out) = assignments(text, sensitive)?;
    // The proof that what is kept says the same: read again, it is written the same.
    let again = assignments(&kept, &BTreeSet::new())?;
    (again == (kept.clone(), BTreeSet::new())).then(|| (kept.into_bytes(), left_out))
}

/// The assignments, each on lines of its own, and the names of those that are not among them.
fn assignments(text: &str, sensitive: &BTreeSet<String>) -> Option<(String, BTreeSet<String>)> {
    let body: Body = text.parse().ok()?;
    let (mut kept, mut left_out) = (String::new(), BTreeSet::new());
    for structure in body.iter() {
        // Terraform refuses blocks here; whatever it is, it is not understood.
        let Structure::Attribute(attribute) = structure else {
            return None;
        };
        let name = attribute.key.as_str();
        let mut assignment = format!("{name} = ");
        if !sensitive.contains(name) && write(&attribute.value, text, &mut assignment).is_some() {
            kept.push_str(&assignment);
            kept.push('\n');
        } else {
            left_out.insert(name.to_owned());
        }
    }
    Some((kept, left_out))
}

/// The expression without comments; `None` for those in which comments cannot be told from text.
fn write(expression: &Expression, source: &str, kept: &mut String) -> Option<()> {
    match expression {
        Expression::Array(array) => {
            kept.push('[');
            for item in array.iter() {
                write(item, source, kept)?;
                // A heredoc's end stands alone on its line.
                kept.push_str(if matches!(item, Expression::HeredocTemplate(_)) {
                    "\n, "
                } else {
                    ", "
                });
            }
            kept.push(']');
        }
        Expression::Object(object) => {
            kept.push_str("{\n");
            for (key, value) in object.iter() {
                match key {
                    ObjectKey::Ident(name) => kept.push_str(name.as_str()),
                    ObjectKey::Expression(key) => write(key, source, kept)?,
                }
                kept.push_str(" = ");
                write(value.expr(), source, kept)?;
                kept.push('\n');
            }
            kept.push('}');
        }
        Expression::String(_)
        | Expression::StringTemplate(_)
        | Expression::Number(_)
        | Expression::Bool(_)
        | Expression::Null(_) => kept.push_str(part(source, expression.span()?)?),
        Expression::HeredocTemplate(_) => {
            kept.push_str(part(source, expression.span()?)?.trim_end_matches(['\n', '\r']))
        }
        _ => {
            let text = part(source, expression.span()?)?;
            if ["#", "//", "/*"].iter().any(|comment| text.contains(comment)) {
                return None;
            }
            kept.push_str(text);
        }
    }
    Some(())
}

fn part(source: &str, span: Range<usize>) -> Option<&str> {
    source.get(span)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hcl_edit::Decorate;

    fn sensitive() -> BTreeSet<String> {
        ["password", "token"].into_iter().map(str::to_owned).collect()
    }

    fn keep(path: &str, text: &str) -> (Option<String>, Vec<String>) {
        let Redacted { bytes, left_out } = without_assignments(path, text.as_bytes(), &sensitive());
        (bytes.map(|bytes| String::from_utf8(bytes).unwrap()), left_out)
    }

    /// What it means, in a text: without decoration and punctuation.
    fn meaning(expression: &Expression) -> String {
        match expression {
            Expression::Array(array) => array.iter().map(|item| meaning(item) + ",").collect(),
            Expression::Object(object) => {
                let key = |key: &ObjectKey| match key {
                    ObjectKey::Ident(name) => name.as_str().to_owned(),
                    ObjectKey::Expression(key) => meaning(key),
                };
                object
                    .iter()
                    .map(|(name, value)| format!("{}={};", key(name), meaning(value.expr())))
                    .collect()
            }
            Expression::String(text) => format!("{:?}", text.as_str()),
            Expression::HeredocTemplate(text) => format!("{:?} {:?}", text.indent(), text.template.to_string()),
            Expression::Number(number) => number.as_repr().unwrap().to_string(),
            other => other.clone().decorated(("", "")).to_string(),
        }
    }

    #[test]
    fn assignments_of_sensitive_variables_go_and_others_stay_exactly() {
        let text = r##"# password = "S3CRET in a comment"
region   = "eu-west-1" # S3CRET beside it
password = "S3CRET" // S3CRET
/* S3CRET */ size = 12345678901234567890123.50
token = <<EOT
S3CRET ${x}
EOT
text = <<-EOT
    # not a comment
    a "quoted" line
  EOT
tags = { # S3CRET
  "a.b" = "x#y" // S3CRET
  c = [1, -2, 1e3, /* S3CRET */ true, null]
  (1) = "http://x"
  d : "e",
}
several = [<<EOT
one
EOT
, "two"]
sum = 1 + 2
# S3CRET at the end"##;
        let (kept, left_out) = keep("x.auto.tfvars", text);
        let kept = kept.unwrap();
        assert!(!kept.contains("S3CRET"), "{kept}");
        assert_eq!(left_out, ["password", "token"]);
        for there in [
            "12345678901234567890123.50",
            "1e3",
            "# not a comment",
            "\"x#y\"",
            "http://x",
            "1 + 2",
            "\"a.b\"",
        ] {
            assert!(kept.contains(there), "{there} in {kept}");
        }
        let (before, after): (Body, Body) = (text.parse().unwrap(), kept.parse().unwrap());
        for name in ["region", "size", "text", "tags", "several", "sum"] {
            let value = |body: &Body| meaning(&body.get_attribute(name).unwrap().value);
            assert_eq!(value(&before), value(&after), "{name}");
        }
    }

    #[test]
    fn what_may_hide_a_comment_is_left_out() {
        let (kept, left_out) = keep("a.tfvars", "a = 1\nb = (1 + /* S3CRET */ 2)\n");
        assert_eq!((kept.as_deref(), left_out), (Some("a = 1\n"), vec!["b".to_owned()]));
    }

    #[test]
    fn json_loses_the_keys() {
        let text = r#"{"//": "S3CRET", "password": "S3CRET", "n": 123456789012345678901234.0, "password": "S3CRET", "x": {"password": 1}}"#;
        let (kept, left_out) = keep("a.tfvars.json", text);
        let kept = kept.unwrap();
        assert!(
            !kept.contains("S3CRET") && kept.contains("123456789012345678901234.0"),
            "{kept}"
        );
        // Only the variable itself: a key of that name inside of another variable's value is that variable's.
        assert!(kept.contains(r#""password": 1"#), "{kept}");
        assert_eq!(left_out, ["password"]);
    }

    #[test]
    fn what_is_not_understood_is_not_kept() {
        for (path, text) in [
            ("a.tfvars", "password = "),
            ("a.tfvars", "block {\n password = 1\n}\n"),
            ("a.tfvars.json", "[1]"),
            ("a.tfvars.json", "password = 1"),
        ] {
            assert_eq!(keep(path, text).0, None, "{text}");
        }
        assert_eq!(
            without_assignments("a.tfvars", b"a = \"\xff\"", &sensitive()).bytes,
            None
        );
    }
}
