//! Two things that Rego in use has in its string literals and the engine does not do as OPA does: `%q` in `sprintf`, which
//! it refuses, and `\"` in a reference such as `deny["a \"b\""]`, which it looks up with the backslashes. A module is
//! compiled with `"%v"`, quotes included, and with a raw string in their place; what a bundle's digest is taken of stays
//! as written.

use std::borrow::Cow;

/// The module's text as the engine takes it.
pub(crate) fn for_engine(text: &str) -> Cow<'_, str> {
    if !text.contains("%q") && !text.contains("\\\"") {
        return Cow::Borrowed(text);
    }
    let mut whole = String::with_capacity(text.len() + 64);
    let mut rest = text;
    while let Some(start) = rest.find(['"', '`', '#']) {
        let (before, after) = rest.split_at(start);
        whole.push_str(before);
        let opener = &after[..1];
        let end = match opener {
            "#" => after.find('\n').unwrap_or(after.len()),
            "`" => after[1..].find('`').map_or(after.len(), |end| end + 2),
            _ => end_of_quoted(after),
        };
        let (literal, behind) = after.split_at(end);
        match opener {
            "#" => whole.push_str(literal),
            "`" => whole.push_str(&without_q(literal, "\"%v\"")),
            _ if before.trim_end().ends_with('[') => match raw(literal) {
                Some(raw) => whole.push_str(&without_q(&raw, "\"%v\"")),
                None => whole.push_str(&without_q(literal, "\\\"%v\\\"")),
            },
            _ => whole.push_str(&without_q(literal, "\\\"%v\\\"")),
        }
        rest = behind;
    }
    whole.push_str(rest);
    Cow::Owned(whole)
}

/// The length of a double-quoted literal with its quotes.
fn end_of_quoted(text: &str) -> usize {
    let mut escaped = false;
    for (index, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return index + 1,
            _ => {}
        }
    }
    text.len()
}

/// A double-quoted literal with nothing escaped but quotes and backslashes, as a raw string of the same value.
fn raw(literal: &str) -> Option<String> {
    let inner = literal.strip_prefix('"')?.strip_suffix('"')?;
    if !inner.contains('\\') || inner.contains('`') {
        return None;
    }
    let mut value = String::from("`");
    let mut rest = inner.chars();
    while let Some(c) = rest.next() {
        match c {
            '\\' => value.push(rest.next().filter(|c| matches!(c, '"' | '\\'))?),
            c => value.push(c),
        }
    }
    value.push('`');
    Some(value)
}

/// `%q` replaced, `%%q` left alone.
fn without_q(literal: &str, verb: &str) -> String {
    let parts: Vec<String> = literal.split("%%").map(|part| part.replace("%q", verb)).collect();
    parts.join("%%")
}

#[cfg(test)]
mod tests {
    use super::for_engine;

    #[test]
    fn only_in_strings_and_only_as_a_verb() {
        for (text, expected) in [
            (r#"sprintf("%q is %s", [a, b])"#, r#"sprintf("\"%v\" is %s", [a, b])"#),
            ("sprintf(`%q`, [a])", "sprintf(`\"%v\"`, [a])"),
            (r#"sprintf("100%%q", [])"#, r#"sprintf("100%%q", [])"#),
            (r#"x := "\"%q" # "%q"#, r#"x := "\"\"%v\"" # "%q"#),
            ("# it's %q \"\nx := 10 %q", "# it's %q \"\nx := 10 %q"),
            ("nothing", "nothing"),
        ] {
            assert_eq!(for_engine(text), expected);
        }
    }

    #[test]
    fn quotes_in_references_are_quotes() {
        for (text, expected) in [
            (r#"deny["a \"b\""]"#, r#"deny[`a "b"`]"#),
            (r#"x[ "a\\b" ] + "%q""#, r#"x[ `a\b` ] + "\"%v\"""#),
            (r#"x["a\\\"b"]"#, "x[`a\\\"b`]"),
            (r#"x["a\n\""]"#, r#"x["a\n\""]"#),
            ("x[\"`\\\"\"]", "x[\"`\\\"\"]"),
            (r#"x := "a \"b\"""#, r#"x := "a \"b\"""#),
            ("x[\"unfinished \\\"", "x[\"unfinished \\\""),
        ] {
            assert_eq!(for_engine(text), expected);
        }
    }
}
