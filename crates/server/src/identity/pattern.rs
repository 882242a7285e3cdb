//! Values of claims that a rule asks for: exact ones, and globs.
//!
//! A pattern is of the whole value. `*` stands for anything without `/` and `:`, which part what a subject is made of
//! (`repo:acme/infra:ref:refs/heads/main`), and `**` for anything. A pattern begins with a letter of its own: what begins
//! with a wildcard fits values that somebody else chooses (`*/infra`).

/// A pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// Within a segment.
    Star,
    /// Beyond it.
    Stars,
}

impl Pattern {
    /// # Errors
    /// It is empty or begins with a wildcard.
    pub fn parse(text: &str) -> Result<Pattern, String> {
        if text.is_empty() || text.starts_with('*') {
            return Err(format!(
                "{text:?} begins with no text of its own: it would fit values that anybody may choose"
            ));
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let stars = rest.len() - rest.trim_start_matches('*').len();
            let (part, length) = match stars {
                0 => {
                    let length = rest.find('*').unwrap_or(rest.len());
                    (Part::Text(rest[..length].to_owned()), length)
                }
                1 => (Part::Star, 1),
                2 => (Part::Stars, 2),
                _ => return Err(format!("{text:?}: * and ** are wildcards, more stars are none")),
            };
            parts.push(part);
            rest = &rest[length..];
        }
        Ok(Pattern(parts))
    }

    /// Whether it fits the whole value. Whoever names a branch chooses the value: the work grows with its length, and
    /// with that of the pattern, and no faster.
    pub fn fits(&self, value: &str) -> bool {
        // Up to which places of the value what came before may reach.
        let mut reached = vec![false; value.len() + 1];
        reached[0] = true;
        for part in &self.0 {
            reached = part.onward(value.as_bytes(), &reached);
        }
        reached[value.len()]
    }
}

impl Part {
    fn onward(&self, value: &[u8], from: &[bool]) -> Vec<bool> {
        let mut reached = vec![false; from.len()];
        let mut open = false;
        for place in (0..from.len()).filter(|place| from[*place] || !matches!(self, Part::Text(_))) {
            match self {
                Part::Text(text) if value[place..].starts_with(text.as_bytes()) => reached[place + text.len()] = true,
                Part::Text(_) => {}
                Part::Star => {
                    open = from[place] || (open && !matches!(value[place - 1], b'/' | b':'));
                    reached[place] = open;
                }
                Part::Stars => {
                    open |= from[place];
                    reached[place] = open;
                }
            }
        }
        reached
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(pattern: &str, value: &str) -> bool {
        Pattern::parse(pattern).unwrap().fits(value)
    }

    #[test]
    fn a_pattern_is_of_the_whole_value() {
        assert!(fits("acme/infra", "acme/infra"));
        for other in [
            "acme/infra2",
            "xacme/infra",
            "acme/infr",
            "Acme/infra",
            "acme/infra\n",
            "",
        ] {
            assert!(!fits("acme/infra", other), "{other:?}");
        }
        // What means something elsewhere is a letter here.
        assert!(!fits("a.c", "abc") && fits("a[bot]?", "a[bot]?"));
    }

    #[test]
    fn wildcards_stay_within_their_segment() {
        assert!(fits("refs/heads/release/*", "refs/heads/release/1.4"));
        assert!(fits("refs/heads/release/*", "refs/heads/release/"));
        assert!(!fits("refs/heads/release/*", "refs/heads/release/1.4/evil"));
        assert!(fits("refs/heads/release/**", "refs/heads/release/1.4/x"));
        assert!(fits(
            "repo:acme/*:ref:refs/heads/main",
            "repo:acme/infra:ref:refs/heads/main"
        ));
        assert!(!fits(
            "repo:acme/*:ref:refs/heads/main",
            "repo:acme/x:pull_request:ref:refs/heads/main"
        ));
        assert!(!fits("repo:acme/*", "repo:acme-evil/infra"));
        assert!(fits("a*b*c", "axxbyyc") && !fits("a*b*c", "axxbyycd"));
        assert!(
            fits("a**", "a") && fits("a*", "a") && !fits("a*b", "a/b") && fits("a**b", "a/b") && fits("ü*ä", "üöä")
        );
        assert!(fits(&format!("a{}", "*b".repeat(20)), &"ab".repeat(4000)));
        assert!(!fits(&format!("a{}c", "**b".repeat(20)), &"ab".repeat(4000)));
    }

    #[test]
    fn what_would_fit_values_of_others_is_no_pattern() {
        for text in ["", "*", "**", "*/infra", "**main", "a***"] {
            Pattern::parse(text).expect_err(text);
        }
    }
}
