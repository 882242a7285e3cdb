//! A look at native syntax before it is parsed: the parser compares every key of an object with all before it, so
//! that a megabyte of keys would take it hours.

/// Entries in one pair of braces. Written by hand there are some dozens.
pub(crate) const MOST_ENTRIES: usize = 10_000;

/// What surrounds a byte.
enum Around<'t> {
    /// `{`, or `${` within a text: how many `=` and `:` stood directly in it, and where it began.
    Braces(usize, usize),
    Quotes,
    /// The word that ends it.
    Heredoc(&'t str),
}

/// The offset of braces with too many entries, if there are any.
///
/// Brackets and parentheses do not matter here. Text that is not HCL is counted somehow; the parser refuses it.
pub(crate) fn crowded(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut around: Vec<Around<'_>> = Vec::new();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let rest = &bytes[at..];
        match around.last_mut() {
            Some(Around::Quotes | Around::Heredoc(_)) if rest.starts_with(b"$${") || rest.starts_with(b"%%{") => {
                at += 2
            }
            Some(Around::Quotes | Around::Heredoc(_)) if rest.starts_with(b"${") || rest.starts_with(b"%{") => {
                around.push(Around::Braces(0, at));
                at += 1;
            }
            Some(Around::Quotes) => match byte {
                b'\\' => at += 1,
                b'"' => drop(around.pop()),
                _ => {}
            },
            Some(Around::Heredoc(word)) => {
                if *byte == b'\n' {
                    let line = text
                        .get(at + 1..)
                        .unwrap_or_default()
                        .lines()
                        .next()
                        .unwrap_or_default();
                    if line.trim() == *word {
                        around.pop();
                    }
                }
            }
            here => match byte {
                b'"' => around.push(Around::Quotes),
                b'{' => around.push(Around::Braces(0, at)),
                b'}' => drop(around.pop()),
                b'#' => at += line(rest),
                b'/' if rest.starts_with(b"//") => at += line(rest),
                b'/' if rest.starts_with(b"/*") => {
                    at += text
                        .get(at + 2..)
                        .and_then(|rest| rest.find("*/"))
                        .map_or(rest.len(), |end| end + 3);
                }
                b'<' if rest.starts_with(b"<<") => {
                    if let Some(word) = heredoc(&text[at..]) {
                        // The line break stays, so that an empty text ends at once.
                        at += line(rest);
                        around.push(Around::Heredoc(word));
                        continue;
                    }
                }
                b'=' | b':' => {
                    if let Some(Around::Braces(entries, start)) = here {
                        *entries += 1;
                        if *entries > MOST_ENTRIES {
                            return Some(*start);
                        }
                    }
                }
                _ => {}
            },
        }
        at += 1;
    }
    None
}

/// How many bytes are left before the end of the line.
fn line(rest: &[u8]) -> usize {
    rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len())
}

/// The word of `<<WORD` or `<<-WORD`.
fn heredoc(text: &str) -> Option<&str> {
    let word = text.lines().next()?.strip_prefix("<<")?;
    let word = word.strip_prefix('-').unwrap_or(word).trim_end();
    (!word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-'))).then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(count: usize) -> String {
        (0..count).map(|index| format!("k{index} = 1\n")).collect()
    }

    #[test]
    fn many_entries_are_found_wherever_they_hide() {
        let many = entries(MOST_ENTRIES + 1);
        for (before, after) in [
            ("a = {\n", "}\n"),
            ("b {\n a = [(f({\n", "}))]\n}\n"),
            ("a = \"x${f({\n", "})}\"\n"),
            ("a = \"$${\\\"${f({\n", "})}\"\n"),
            ("a = <<-E\n  x ${f({\n", "})}\n  E\n"),
            ("/* { \" */ # { \"\n// { \"\na = {\n", "}\n"),
            ("a = <<E\n\"{\nE\nb = {\n", "}\n"),
            ("a = <<E\nE\nb = {\n", "}\n"),
        ] {
            let text = format!("{before}{many}{after}");
            let found = crowded(&text);
            assert!(
                found.is_some_and(|at| text[at..].starts_with('{') || text[at..].starts_with("${")),
                "{before}"
            );
            assert_eq!(crowded(&format!("{before}{}{after}", entries(100))), None);
        }
    }

    #[test]
    fn many_blocks_and_texts_are_no_crowd() {
        assert_eq!(crowded(&"b {\n  a = 1\n}\n".repeat(30_000)), None);
        assert_eq!(crowded(&format!("a = {{ x = \"{}\" }}\n", "k=v:".repeat(30_000))), None);
        assert_eq!(
            crowded(&format!("b {{\n a = <<E\n{}E\n}}\n", "k = v\n".repeat(30_000))),
            None
        );
        assert_eq!(crowded(&entries(30_000)), None);
        for text in ["}}}}", "\"", "\"\\", "<<", "<<E", "<<E\n", "/*", "${", "é<<é\né\n"] {
            assert_eq!(crowded(text), None);
        }
    }
}
