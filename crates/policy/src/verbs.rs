//! `%q` in `sprintf`: policies in use have it, the engine does not. A module is compiled with `"%v"`, quotes included, in
//! its place; what a bundle's digest is taken of stays as written.

use std::borrow::Cow;

/// The module's text with every `%q` of a string literal written out.
pub(crate) fn written_out(text: &str) -> Cow<'_, str> {
    if !text.contains("%q") {
        return Cow::Borrowed(text);
    }
    let mut whole = String::with_capacity(text.len() + 64);
    let mut place = Place::Code;
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match (place, c) {
            (Place::Code, '"') => place = Place::Quoted,
            (Place::Code, '`') => place = Place::Raw,
            (Place::Code, '#') => place = Place::Comment,
            (Place::Quoted, '"') | (Place::Raw, '`') | (Place::Comment, '\n') => place = Place::Code,
            (Place::Quoted, '\\') => {
                whole.push(c);
                whole.extend(rest.next());
                continue;
            }
            (Place::Quoted | Place::Raw, '%') => {
                match rest.peek() {
                    Some('%') => {
                        rest.next();
                        whole.push_str("%%");
                    }
                    Some('q') => {
                        rest.next();
                        whole.push_str(if place == Place::Raw { "\"%v\"" } else { "\\\"%v\\\"" });
                    }
                    _ => whole.push(c),
                }
                continue;
            }
            _ => {}
        }
        whole.push(c);
    }
    Cow::Owned(whole)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Code,
    Quoted,
    Raw,
    Comment,
}

#[cfg(test)]
mod tests {
    use super::written_out;

    #[test]
    fn only_in_strings_and_only_as_a_verb() {
        for (text, expected) in [
            (r#"sprintf("%q is %s", [a, b])"#, r#"sprintf("\"%v\" is %s", [a, b])"#),
            ("sprintf(`%q`, [a])", "sprintf(`\"%v\"`, [a])"),
            (r#"sprintf("100%%q", [])"#, r#"sprintf("100%%q", [])"#),
            (r#"x := "\"%q" # "%q"#, r#"x := "\"\"%v\"" # "%q"#),
            ("# it's %q\nx := 10 %q", "# it's %q\nx := 10 %q"),
            ("nothing", "nothing"),
        ] {
            assert_eq!(written_out(text), expected);
        }
    }
}
