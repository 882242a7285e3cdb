//! A block taken out of a file's text.

use hcl_edit::Span;

use crate::error::Location;

/// The text without the block that begins at a place, every other one at the line where it was. `None` where no block begins
/// there, or the file is not HCL's native syntax.
pub fn without_block(text: &str, at: &Location) -> Option<String> {
    // Terraform skips a byte order mark, and so do the places of blocks.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let body = hcl_edit::parser::parse_body(text).ok()?;
    let span = body.blocks().find_map(|block| {
        let span = block.span()?;
        let before = text.get(..span.start)?;
        (before.matches('\n').count() + 1 == at.line).then_some(span)
    })?;
    let block = text.get(span.clone())?;
    let blank: String = block.chars().filter(|character| *character == '\n').collect();
    Some([text.get(..span.start)?, &blank, text.get(span.end..)?].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(line: usize) -> Location {
        Location {
            file: "main.tf".to_owned(),
            line,
            column: 1,
        }
    }

    #[test]
    fn the_block_of_that_line_goes_and_the_others_keep_theirs() {
        let text = "# first\nimport {\n  to = a.b\n  id = \"}\"\n}\n\nimport {\n  to = c.d\n  id = \"2\"\n}\n";
        let left = without_block(text, &at(2)).unwrap();
        assert_eq!(left, "# first\n\n\n\n\n\nimport {\n  to = c.d\n  id = \"2\"\n}\n");
        assert_eq!(without_block(&left, &at(7)).unwrap().trim(), "# first");
        assert_eq!(without_block(text, &at(3)), None);
        assert_eq!(without_block("{\"import\": []}", &at(1)), None);
    }
}
