//! How a document is laid out, and writing new parts of it the same way.

use crate::json::Scanner;
use crate::state::State;

/// How deep an element of `resources` stands.
pub(super) const RESOURCE_DEPTH: usize = 2;
/// How deep an element of `instances` stands.
pub(super) const INSTANCE_DEPTH: usize = 4;

/// A document's layout, taken from its first member. Terraform indents by two spaces, OpenTofu writes one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Style {
    /// The line break and one level of indentation; none where the document is one line.
    indentation: Option<(&'static str, String)>,
    /// What stands between key and value.
    pub(super) colon: &'static str,
}

impl Style {
    pub(super) fn of(state: &State) -> Self {
        let text = state.text();
        let root = state.document().root;
        let after = &text[root.start() + 1..];
        let line_break = ["\r\n", "\n"]
            .into_iter()
            .find(|line_break| after.starts_with(line_break));
        let indentation = line_break.map(|line_break| {
            let rest = &after[line_break.len()..];
            let length = rest.find(|character| !matches!(character, ' ' | '\t')).unwrap_or(0);
            (line_break, rest[..length].to_owned())
        });
        let mut scanner = Scanner::at(text, root.start() + 1, 0);
        let key = (scanner.token() == b'"').then(|| scanner.string());
        let spaced = key.is_some_and(|_| text[scanner.position()..].starts_with(": "));
        Self {
            indentation,
            colon: if spaced { ": " } else { ":" },
        }
    }

    /// The whitespace before something at this depth.
    pub(super) fn before(&self, depth: usize) -> String {
        match &self.indentation {
            Some((line_break, indent)) => format!("{line_break}{}", indent.repeat(depth)),
            None => String::new(),
        }
    }

    /// Elements between brackets, each at the given depth.
    fn list(&self, brackets: (char, char), elements: &[String], depth: usize) -> String {
        let (open, close) = brackets;
        if elements.is_empty() {
            return format!("{open}{close}");
        }
        let before = self.before(depth);
        let joined = elements.join(&format!(",{before}"));
        format!("{open}{before}{joined}{}{close}", self.before(depth - 1))
    }

    /// An object at the given depth.
    pub(super) fn object(&self, members: &[(&str, String)], depth: usize) -> String {
        let members: Vec<String> = members
            .iter()
            .map(|(key, value)| format!("\"{key}\"{}{value}", self.colon))
            .collect();
        self.list(('{', '}'), &members, depth + 1)
    }

    /// An array at the given depth.
    pub(super) fn array(&self, elements: &[String], depth: usize) -> String {
        self.list(('[', ']'), elements, depth + 1)
    }

    /// JSON of another layout in this one, at the given depth. Strings and numbers keep their bytes.
    pub(super) fn lay_out(&self, text: &str, depth: usize) -> String {
        let mut scanner = Scanner::new(text);
        self.value(&mut scanner, depth)
    }

    fn value(&self, scanner: &mut Scanner<'_>, depth: usize) -> String {
        let mut elements = Vec::new();
        match scanner.token() {
            b'{' => {
                let text = scanner.text();
                let outcome = scanner.object(|scanner, key| {
                    let value = self.value(scanner, depth + 1);
                    elements.push(format!("{}{}{value}", key.span.of(text), self.colon));
                    Ok(())
                });
                debug_assert!(outcome.is_ok());
                self.list(('{', '}'), &elements, depth + 1)
            }
            b'[' => {
                let outcome = scanner.array(|scanner, _| {
                    elements.push(self.value(scanner, depth + 1));
                    Ok(())
                });
                debug_assert!(outcome.is_ok());
                self.array(&elements, depth)
            }
            _ => match scanner.value() {
                Ok(span) => span.of(scanner.text()).to_owned(),
                Err(_) => "null".to_owned(),
            },
        }
    }
}
