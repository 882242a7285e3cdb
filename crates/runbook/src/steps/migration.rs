//! `migration`: the migrations of a database, by whatever tool, through its own commands.
//!
//! The commands run in the user's working folder: the code that can revert a migration is that of the release which
//! brought it, and that is what is checked out and installed where people roll back.

use std::path::{Path, PathBuf};
use std::time::Duration;

use regex::Regex;
use rollback_config::project::StepTable;
use serde::{Deserialize, Serialize};

use crate::process::Shell;
use crate::settings::{Common, Made, SettingsError, read};
use crate::step::{Binding, Progress, Reversibility, Silent, Step, StepChange, StepError, StepPlan, USUAL_PATIENCE};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Lists the migrations.
    show: String,
    /// Reverts the last one; with `at_once` as many as `$ROLLBACK_COUNT` says.
    revert: String,
    /// Applies what is not applied yet: the way forward, for `undo`.
    apply: Option<String>,
    /// A regular expression for a line of an applied migration; its group `name`, or else its first group, is the name.
    applied: Option<String>,
    #[serde(default)]
    at_once: bool,
    dir: Option<PathBuf>,
    #[serde(default)]
    environment: Vec<String>,
    #[serde(default = "data_loss")]
    reversibility: Reversibility,
}

/// A reverted migration drops columns and tables with what was written into them.
fn data_loss() -> Reversibility {
    Reversibility::DataLoss
}

/// The migrations of one database.
pub struct MigrationStep {
    settings: Settings,
    applied: Option<Regex>,
    folder: PathBuf,
    timeout: Duration,
}

/// What a release has of it: the applied migrations, the oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Applied {
    applied: Vec<String>,
}

/// The way from one list to another: back first, then forward.
struct Way<'a> {
    /// The newest first.
    revert: Vec<&'a str>,
    apply: Vec<&'a str>,
}

pub(super) fn of_table(table: &StepTable, root: &Path) -> Made<dyn Step> {
    let (common, settings): (Common, Settings) = read("step", table)?;
    let pattern = |text: &String| {
        Regex::new(text).map_err(|error| {
            SettingsError::of("step", table, format!("`applied` is no regular expression: {error}"))
                .hint(r"for example applied = '^\[X\] (?P<name>\S+)'")
        })
    };
    let step = MigrationStep {
        applied: settings.applied.as_ref().map(pattern).transpose()?,
        folder: root.join(settings.dir.clone().unwrap_or_default()),
        timeout: common.timeout.unwrap_or(USUAL_PATIENCE),
        settings,
    };
    Ok((common, Box::new(step)))
}

impl MigrationStep {
    fn shell(&self, line: &str, count: usize) -> Shell {
        Shell {
            line: line.to_owned(),
            folder: self.folder.clone(),
            environment: self.settings.environment.clone(),
            variables: vec![("ROLLBACK_COUNT".to_owned(), count.to_string())],
            timeout: self.timeout,
        }
    }

    fn applied(&self) -> Result<Applied, StepError> {
        let ended = self
            .shell(&self.settings.show, 0)
            .succeed(&Silent)
            .map_err(|error| StepError {
                untouched: true,
                ..error
            })?;
        Ok(Applied {
            applied: names(&ended.stdout, self.applied.as_ref()),
        })
    }

    fn is_at(&self, goal: &Applied) -> Result<(bool, Applied), StepError> {
        let now = self.applied()?;
        Ok((now == *goal, now))
    }

    /// Reverts until what is left is in the goal, looking after each.
    fn back(&self, goal: &Applied, progress: &dyn Progress) -> Result<(), StepError> {
        loop {
            let now = self.applied()?;
            let way = way(&now, goal)?;
            let Some(next) = way.revert.first() else { return Ok(()) };
            if progress.is_cancelled() {
                return Err(StepError::touched("cancelled"));
            }
            let count = if self.settings.at_once { way.revert.len() } else { 1 };
            progress.line(&format!("reverting {next}{}", more(count - 1)));
            self.shell(&self.settings.revert, count)
                .succeed(progress)
                .map_err(|error| {
                    error.hint(format!(
                        "migration {next} may be irreversible: see what `{}` says of it",
                        self.settings.revert
                    ))
                })?;
            let after = self.applied()?.applied.len();
            if after + count != now.applied.len() {
                return Err(StepError::touched(format!(
                    "`{}` ended well, and {after} migrations are applied where {} were expected",
                    self.settings.revert,
                    now.applied.len() - count
                ))
                .hint(format!("look with `{}`", self.settings.show)));
            }
        }
    }
}

fn more(count: usize) -> String {
    match count {
        0 => String::new(),
        count => format!(" and {count} before it"),
    }
}

/// The names of applied migrations in what a tool prints, in its order.
///
/// Without a pattern: lines marked `[X]` (TypeORM, Prisma, Sequelize and others mark so, with or without a number before
/// the name); where nothing is marked `[X]` or `[ ]`, every line is a name, as in `SELECT version FROM …`. Lines that
/// begin with `>` are npm's own.
fn names(text: &str, pattern: Option<&Regex>) -> Vec<String> {
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

fn way<'a>(now: &'a Applied, goal: &'a Applied) -> Result<Way<'a>, StepError> {
    let common = now
        .applied
        .iter()
        .zip(&goal.applied)
        .take_while(|(left, right)| left == right)
        .count();
    let revert: Vec<&str> = now.applied[common..].iter().rev().map(String::as_str).collect();
    let apply: Vec<&str> = goal.applied[common..].iter().map(String::as_str).collect();
    // One that is reverted and applied again is the same one at another place: reverting is not how that is mended.
    if let Some(both) = revert.iter().find(|name| apply.contains(name)) {
        return Err(StepError::untouched(format!(
            "the migrations are not one line: {both} stands at another place than in the release"
        ))
        .hint("bring the list of applied migrations in order by hand, or leave this step out"));
    }
    Ok(Way { revert, apply })
}

fn read_binding(binding: &Binding) -> Result<Applied, StepError> {
    Applied::deserialize(binding)
        .map_err(|error| StepError::untouched(format!("what is on record is no list of migrations: {error}")))
}

impl Step for MigrationStep {
    fn look(&self) -> Result<Binding, StepError> {
        Ok(serde_json::to_value(self.applied()?).unwrap_or_default())
    }

    fn plan(&self, now: &Binding, target: &Binding) -> Result<Option<StepPlan>, StepError> {
        let (now, goal) = (read_binding(now)?, read_binding(target)?);
        if now == goal {
            return Ok(None);
        }
        let way = match way(&now, &goal) {
            Ok(way) => way,
            Err(error) => {
                return Ok(Some(StepPlan {
                    obstacles: vec![error.message],
                    ..StepPlan::default()
                }));
            }
        };
        let change = |name: &&str, from: &str, to: &str| StepChange::new(format!("migration {name}"), from, to);
        let mut plan = StepPlan::default();
        plan.changes
            .extend(way.revert.iter().map(|name| change(name, "applied", "reverted")));
        plan.changes
            .extend(way.apply.iter().map(|name| change(name, "not applied", "applied")));
        if !way.revert.is_empty() {
            plan.reversibility = self.settings.reversibility;
            if plan.reversibility != Reversibility::Lossless {
                plan.notes
                    .push("what was written into columns and tables that a migration brought goes with it".to_owned());
            }
        }
        if self.settings.apply.is_none() {
            if way.apply.is_empty() {
                plan.notes
                    .push("it can be undone by hand only: `apply` names no command".to_owned());
            } else {
                plan.obstacles
                    .push("migrations have to be applied, and `apply` names no command that does it".to_owned());
            }
        }
        Ok(Some(plan))
    }

    fn go(&self, _: &Binding, target: &Binding, progress: &dyn Progress) -> Result<Binding, StepError> {
        let goal = read_binding(target)?;
        if self.is_at(&goal)?.0 {
            return Ok(target.clone());
        }
        self.back(&goal, progress)?;
        let (arrived, now) = self.is_at(&goal)?;
        if !arrived {
            let apply = self.settings.apply.as_ref().ok_or_else(|| {
                StepError::touched("migrations have to be applied, and `apply` names no command that does it")
            })?;
            progress.line(&format!(
                "applying {} migration(s)",
                goal.applied.len().saturating_sub(now.applied.len())
            ));
            self.shell(apply, 0).succeed(progress)?;
            let (arrived, now) = self.is_at(&goal)?;
            if !arrived {
                return Err(StepError::touched(format!(
                    "`{apply}` ended well, and {} migrations are applied where the release had {}",
                    now.applied.len(),
                    goal.applied.len()
                ))
                .hint("the code that is checked out here may not be that of the release"));
            }
        }
        Ok(target.clone())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

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

    /// A tool that keeps its list in a file.
    fn step(folder: &Path, more: &str) -> Box<dyn Step> {
        let text = format!(
            "[[step]]\nkind='migration'\nshow='cat list'\nrevert='n=$(($(wc -l < list) - ROLLBACK_COUNT)); head -n $n list > new; mv new list; echo x >> calls'\n{more}"
        );
        let table = rollback_config::project::parse(&text, "infra-rollback.toml")
            .unwrap()
            .steps
            .remove(0);
        super::super::step(&table, folder).unwrap().unwrap().1
    }

    fn calls(folder: &Path) -> usize {
        std::fs::read_to_string(folder.join("calls"))
            .unwrap_or_default()
            .lines()
            .count()
    }

    #[test]
    fn as_many_as_came_since_one_by_one_or_at_once() {
        for (more, expected) in [("", 2), ("at_once=true", 1)] {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join("list"), "a\n").unwrap();
            let step = step(folder.path(), more);
            let old = step.look().unwrap();
            std::fs::write(folder.path().join("list"), "a\nb\nc\n").unwrap();
            let new = step.look().unwrap();
            let plan = step.plan(&new, &old).unwrap().unwrap();
            assert_eq!(plan.reversibility, Reversibility::DataLoss);
            assert_eq!(plan.changes[0].what, "migration c");
            assert_eq!(step.go(&new, &old, &Silent).unwrap(), old);
            assert_eq!(step.go(&new, &old, &Silent).unwrap(), old);
            assert_eq!(step.look().unwrap(), old);
            assert_eq!(calls(folder.path()), expected);
        }
    }

    #[test]
    fn it_goes_on_where_it_was_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("list"), "a\nb\n").unwrap();
        let step = step(folder.path(), "");
        assert!(
            step.go(
                &json!({"applied": ["a", "b", "c"]}),
                &json!({"applied": ["a"]}),
                &Silent
            )
            .is_ok()
        );
        assert_eq!(calls(folder.path()), 1);
    }

    #[test]
    fn forward_needs_a_command() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("list"), "a\n").unwrap();
        let (old, new) = (json!({"applied": ["a"]}), json!({"applied": ["a", "b"]}));
        assert_eq!(
            step(folder.path(), "")
                .plan(&old, &new)
                .unwrap()
                .unwrap()
                .obstacles
                .len(),
            1
        );
        let step = step(folder.path(), "apply='printf \"a\\nb\\n\" > list'");
        let plan = step.plan(&old, &new).unwrap().unwrap();
        assert_eq!((plan.obstacles.len(), plan.reversibility), (0, Reversibility::Lossless));
        assert_eq!(step.go(&old, &new, &Silent).unwrap(), new);
    }

    #[test]
    fn a_tool_that_lies_or_refuses_stops_it() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("list"), "a\nb\n").unwrap();
        for (revert, words) in [
            ("true", "expected"),
            ("echo irreversible migration >&2; exit 1", "irreversible migration"),
        ] {
            let text = format!("[[step]]\nkind='migration'\nshow='cat list'\nrevert='{revert}'");
            let table = rollback_config::project::parse(&text, "infra-rollback.toml")
                .unwrap()
                .steps
                .remove(0);
            let step = super::super::step(&table, folder.path()).unwrap().unwrap().1;
            let error = step
                .go(&json!({"applied": ["a", "b"]}), &json!({"applied": ["a"]}), &Silent)
                .unwrap_err();
            assert!(!error.untouched && error.message.contains(words), "{error}");
        }
        let crossed = step(folder.path(), "")
            .plan(&json!({"applied": ["b", "a"]}), &json!({"applied": ["a"]}))
            .unwrap();
        assert_eq!(crossed.unwrap().obstacles.len(), 1);
    }
}
