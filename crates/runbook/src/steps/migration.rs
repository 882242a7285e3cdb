//! `migration`: the migrations of a database, by whatever tool, through its own commands.
//!
//! The code that can revert a migration is that of the release which brought it. Commands that run in the user's working
//! folder have it there: that is what is checked out and installed where people roll back. Commands that run elsewhere
//! ([`CommandRunner`]) are asked which code they have, and that is kept with the list of migrations: those that came since
//! are reverted with the code of where the way begins, and applied again with the code of where it leads.

mod names;
mod settings;

use std::path::Path;

use regex::Regex;
use rollback_config::project::StepTable;
use serde::{Deserialize, Serialize};

use self::names::names;
pub use self::settings::{MigrationSettings, TaskSettings};
use crate::note::Note;
use crate::runner::{CommandRunner, Here, Order};
use crate::settings::{Common, Made, SettingsError, read};
use crate::step::{Binding, Progress, Reversibility, Silent, Step, StepChange, StepError, StepPlan, USUAL_PATIENCE};

/// The migrations of one database.
pub struct MigrationStep {
    settings: MigrationSettings,
    applied: Option<Regex>,
    runner: Box<dyn CommandRunner>,
}

/// What a release has of it: the applied migrations, the oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Applied {
    applied: Vec<String>,
    /// What had the code that told them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revision: Option<String>,
}

/// The way from one list to another: back first, then forward.
struct Way<'a> {
    /// The newest first.
    revert: Vec<&'a str>,
    apply: Vec<&'a str>,
}

/// The step whose commands run here.
pub(super) fn of_table(table: &StepTable, root: &Path) -> Made<dyn Step> {
    let (common, settings): (Common, MigrationSettings) = read("step", table)?;
    let runner = Here {
        folder: root.join(settings.dir.clone().unwrap_or_default()),
        environment: settings.environment.clone(),
        timeout: common.timeout.unwrap_or(USUAL_PATIENCE),
        note: Note::of(root, &common.name),
    };
    let step = MigrationStep::new(table, settings, Box::new(runner))?;
    Ok((common, Box::new(step)))
}

impl MigrationStep {
    /// With commands that run where `runner` runs them.
    ///
    /// # Errors
    /// The settings say what has no meaning.
    pub fn new(
        table: &StepTable,
        settings: MigrationSettings,
        runner: Box<dyn CommandRunner>,
    ) -> Result<MigrationStep, SettingsError> {
        if settings.task.is_some() && (settings.dir.is_some() || !settings.environment.is_empty()) {
            return Err(SettingsError::of(
                "step",
                table,
                "a task has no `dir` and no `environment` of this machine",
            )
            .hint("the folder and the variables are those of the container: its task definition says them"));
        }
        Ok(MigrationStep {
            applied: settings.pattern(table)?,
            settings,
            runner,
        })
    }

    fn order<'o>(line: &'o str, count: usize, revision: Option<&'o str>) -> Order<'o> {
        Order {
            line,
            variables: vec![("ROLLBACK_COUNT".to_owned(), count.to_string())],
            revision,
        }
    }

    /// What this code knows to be applied.
    fn applied(&self, revision: Option<&str>, progress: &dyn Progress) -> Result<Applied, StepError> {
        let order = Self::order(&self.settings.show, 0, revision);
        let text = self.runner.look(&order, progress)?;
        Ok(Applied {
            applied: names(&text, self.applied.as_ref()),
            revision: revision.map(str::to_owned),
        })
    }

    /// The same after something was changed.
    fn applied_since(&self, revision: Option<&str>, progress: &dyn Progress) -> Result<Applied, StepError> {
        self.applied(revision, progress).map_err(touched)
    }

    /// Reverts until what is left is in the goal, looking after each. Tells what is left.
    fn back(
        &self,
        mut now: Applied,
        goal: &Applied,
        changed: &mut bool,
        progress: &dyn Progress,
    ) -> Result<Applied, StepError> {
        loop {
            let way = way(&now, goal)?;
            let Some(next) = way.revert.first() else { return Ok(now) };
            if progress.is_cancelled() {
                return Err(StepError {
                    untouched: !*changed,
                    ..StepError::touched("cancelled")
                });
            }
            let count = if self.settings.at_once { way.revert.len() } else { 1 };
            progress.line(&format!("reverting {next}{}", more(count - 1)));
            let order = Self::order(&self.settings.revert, count, now.revision.as_deref());
            self.runner.act(&order, progress).map_err(|error| {
                let error = StepError {
                    untouched: error.untouched && !*changed,
                    ..error
                };
                match error.hint {
                    // Whatever stopped it before it began says more than that.
                    Some(_) => error,
                    None => error.hint(format!(
                        "migration {next} may be irreversible: see what `{}` says of it",
                        self.settings.revert
                    )),
                }
            })?;
            *changed = true;
            let after = self.applied_since(now.revision.as_deref(), progress)?;
            if after.applied.len() + count != now.applied.len() {
                return Err(StepError::touched(format!(
                    "`{}` ended well, and {} migrations are applied where {} were expected",
                    self.settings.revert,
                    after.applied.len(),
                    now.applied.len() - count
                ))
                .hint(format!("look with `{}`", self.settings.show)));
            }
            now = after;
        }
    }

    /// Applies what is missing.
    fn forth(&self, now: &Applied, goal: &Applied, changed: bool, progress: &dyn Progress) -> Result<(), StepError> {
        let apply = self.settings.apply.as_ref().ok_or_else(|| StepError {
            untouched: !changed,
            ..StepError::touched("migrations have to be applied, and `apply` names no command that does it")
        })?;
        let revision = self.runner.ready(goal.revision.as_deref(), progress)?;
        progress.line(&format!(
            "applying migrations: {}",
            goal.applied.len().saturating_sub(now.applied.len())
        ));
        let order = Self::order(apply, 0, revision.as_deref());
        self.runner.act(&order, progress).map_err(|error| StepError {
            untouched: error.untouched && !changed,
            ..error
        })?;
        let now = self.applied_since(revision.as_deref(), progress)?;
        if now.applied == goal.applied {
            return Ok(());
        }
        Err(StepError::touched(format!(
            "`{apply}` ended well, and {} migrations are applied where the release had {}",
            now.applied.len(),
            goal.applied.len()
        ))
        .hint("the code that it ran with may not be that of the release"))
    }
}

fn touched(error: StepError) -> StepError {
    StepError {
        untouched: false,
        ..error
    }
}

fn more(count: usize) -> String {
    match count {
        0 => String::new(),
        count => format!(" and {count} before it"),
    }
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
        let revision = self.runner.revision()?;
        Ok(serde_json::to_value(self.applied(revision.as_deref(), &Silent)?).unwrap_or_default())
    }

    fn plan(&self, now: &Binding, target: &Binding) -> Result<Option<StepPlan>, StepError> {
        let (now, goal) = (read_binding(now)?, read_binding(target)?);
        if now.applied == goal.applied {
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
        for (names, revision) in [(&way.revert, &now.revision), (&way.apply, &goal.revision)] {
            if !names.is_empty() {
                self.runner.foresee(revision.as_deref(), &mut plan)?;
            }
        }
        Ok(Some(plan))
    }

    fn go(&self, from: &Binding, target: &Binding, progress: &dyn Progress) -> Result<Binding, StepError> {
        let (from, goal) = (read_binding(from)?, read_binding(target)?);
        let first = match way(&from, &goal)?.revert.is_empty() {
            true => &goal,
            false => &from,
        };
        let revision = self.runner.ready(first.revision.as_deref(), progress)?;
        let mut changed = false;
        let now = self.applied(revision.as_deref(), progress)?;
        let left = self.back(now, &goal, &mut changed, progress)?;
        if left.applied != goal.applied {
            self.forth(&left, &goal, changed, progress)?;
        }
        Ok(target.clone())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A tool that keeps its list in a file.
    fn step(folder: &Path, more: &str) -> Box<dyn Step> {
        let text = format!(
            "[[step]]\nkind='migration'\nshow='cat list'\nrevert='n=$(($(wc -l < list) - ROLLBACK_COUNT)); head -n $n list > new; mv new list; echo x >> calls'\n{more}"
        );
        super::super::step_of_text(&text, folder)
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
            let step = super::super::step_of_text(&text, folder.path());
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

    /// What fails after a revert leaves a change behind, whatever it is that fails.
    #[test]
    fn a_list_that_cannot_be_read_any_more_is_no_untouched_database() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("list"), "a\nb\n").unwrap();
        let text = "[[step]]\nkind='migration'\nshow='cat list'\nrevert='rm list'";
        let step = super::super::step_of_text(text, folder.path());
        let error = step
            .go(&json!({"applied": ["a", "b"]}), &json!({"applied": ["a"]}), &Silent)
            .unwrap_err();
        assert!(!error.untouched, "{error}");
        let error = step.look().unwrap_err();
        assert!(error.untouched, "{error}");
    }
}
