//! The list of migrations that a tool prints.

use regex::Regex;

/// The names of applied migrations in what a tool prints, in its order.
///
/// Without a pattern: lines marked `[X]` (TypeORM, Prisma, Sequelize and others mark so, with or without a number before
/// the name); where nothing is marked `[X]` or `[ ]`, every line is a name, as in `SELECT version FROM …`. Lines that
/// begin with `>` are npm's own.
pub(super) fn names(text: &str, pattern: Option<&Regex>) -> Vec<String> {
    let lines = || {
        text.lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('>'))
    };
    if let Some(pattern) = pattern {
        let name = |line: &str| {
            let found = pattern.captures(line)?;
            let name = found.name("name").or_else(|| found.get(1)).or_else(|| found.get(0))?;
            Some(name.as_str().to_owned())
        };
        return lines().filter_map(name).collect();
    }
    let marked = |line: &str, marks: &[&str]| marks.iter().find_map(|mark| line.strip_prefix(mark).map(str::to_owned));
    if lines().any(|line| marked(line, &["[X]", "[x]", "[ ]"]).is_some()) {
        let name = |rest: String| {
            let words: Vec<&str> = rest.split_whitespace().collect();
            match words.as_slice() {
                [number, name, ..] if number.bytes().all(|byte| byte.is_ascii_digit()) => Some((*name).to_owned()),
                [name, ..] => Some((*name).to_owned()),
                [] => None,
            }
        };
        return lines()
            .filter_map(|line| marked(line, &["[X]", "[x]"]))
            .filter_map(name)
            .collect();
    }
    lines().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tools_print() {
        let typeorm = "\n> app@1.0.0 migration:show\n> typeorm migration:show\n\n [X] 1 CreateUsers1700000000000\n [X] 2 AddEmail1700000000001\n [ ] 3 DropName1700000000002\n";
        assert_eq!(
            names(typeorm, None),
            ["CreateUsers1700000000000", "AddEmail1700000000001"]
        );
        assert_eq!(names("20250101\n20250102\n", None), ["20250101", "20250102"]);
        assert_eq!(names("[ ] One\n", None), Vec::<String>::new());
        let flyway = Regex::new(r"^\| Versioned \| (?P<name>\S+) .*Success").unwrap();
        assert_eq!(
            names(
                "| Versioned | 1.1 | a | SQL | Success |\n| Versioned | 1.2 | b | SQL | Pending |",
                Some(&flyway)
            ),
            ["1.1"]
        );
    }
}
