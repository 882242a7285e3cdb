//! `alb-listener`: traffic goes back to the target groups, with the weights, that a release had; by default and by rules;
//! in stages where that is wanted, and only to targets that are healthy.

use std::collections::BTreeMap;
use std::time::Duration;

use rollback_config::project::StepTable;
use rollback_runbook::step::{Binding, Progress, Reversibility, Step, StepChange, StepError, StepPlan, USUAL_PATIENCE};
use rollback_runbook::{Made, Period, SettingsError};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::api::{Live, Which, name};
use super::health::Health;
use super::routing::{Routing, group_name};
use super::stages::{DEFAULT, Stages, Traffic};
use crate::account::Account;
use crate::failure::AfterChange;
use crate::settings::{parse, read};
use crate::waiting::{Wait, sleep, stopped};

/// Between two stages, where nothing is said.
const USUAL_PAUSE: Duration = Duration::from_secs(30);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// ARN
    listener: Option<String>,
    /// Instead of `listener`: a load balancer's name and the port it listens on.
    load_balancer: Option<String>,
    port: Option<i32>,
    /// Percentages of the way, such as `[10, 50, 100]`. By default all at once.
    #[serde(default)]
    stages: Vec<u8>,
    /// Between two stages: `"30s"`.
    pause: Option<Period>,
    /// Traffic goes even to a group without a healthy target.
    #[serde(default)]
    allow_unhealthy: bool,
}

struct AlbListener {
    account: Account,
    which: Which,
    stages: Stages,
    pause: Duration,
    allow_unhealthy: bool,
    patience: Duration,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Routes {
    /// ARN
    listener: String,
    traffic: Traffic,
    /// Rule to what it is known by, should it be made anew: priority and conditions.
    rules: BTreeMap<String, String>,
}

pub(crate) fn listener(table: &StepTable, account: &Account) -> Made<dyn Step> {
    let (common, settings, account): (_, Settings, _) = read("step", table, account)?;
    let which = match (settings.listener, settings.load_balancer, settings.port) {
        (Some(arn), None, None) => Which::Arn(arn),
        (None, Some(load_balancer), Some(port)) => Which::Port { load_balancer, port },
        _ => {
            return Err(SettingsError::of("step", table, "it does not say which listener")
                .hint("write listener = \"arn:…\", or load_balancer = \"NAME\" and port = 443"));
        }
    };
    let stages = Stages::new(settings.stages).ok_or_else(|| {
        SettingsError::of("step", table, "`stages` must be ascending percentages").hint("write stages = [10, 50, 100]")
    })?;
    let step = AlbListener {
        account,
        which,
        stages,
        pause: settings.pause.map_or(USUAL_PAUSE, |pause| pause.0),
        allow_unhealthy: settings.allow_unhealthy,
        patience: common.timeout.unwrap_or(USUAL_PATIENCE),
    };
    Ok((common, Box::new(step)))
}

impl Step for AlbListener {
    fn look(&self) -> Result<Binding, StepError> {
        Ok(json!(routes(Live::of(&self.account, &self.which)?)))
    }

    fn plan(&self, now: &Binding, target: &Binding) -> Result<Option<StepPlan>, StepError> {
        let (now, then): (Routes, Routes) = (parse(now)?, parse(target)?);
        let (target, missing) = matched(&now, &then);
        let mut plan = StepPlan {
            reversibility: Reversibility::Lossless,
            notes: missing,
            ..StepPlan::default()
        };
        for (part, routing) in &target.0 {
            let current = now.traffic.0.get(part);
            if current == Some(routing) {
                continue;
            }
            let what = match part.as_str() {
                DEFAULT => "default action".to_owned(),
                rule => format!("rule {}", now.rules.get(rule).map_or(rule, String::as_str)),
            };
            plan.changes.push(StepChange {
                what: what.clone(),
                from: current.map(ToString::to_string),
                to: Some(routing.to_string()),
            });
            if let Routing::Other { action } = routing {
                plan.obstacles.push(format!(
                    "the {what} was {action}, which cannot be brought back by this version"
                ));
            }
        }
        if plan.changes.is_empty() {
            return Ok(None);
        }
        if self.stages.0.len() > 1 {
            let stages: Vec<String> = self.stages.0.iter().map(|percent| format!("{percent} %")).collect();
            let pause = self.pause.as_secs();
            plan.notes
                .push(format!("in stages: {}, {pause} s apart", stages.join(", ")));
        }
        for group in Traffic::gaining(&now.traffic, &target) {
            self.plan_group(&group, &mut plan)?;
        }
        Ok(Some(plan))
    }

    fn go(&self, from: &Binding, target: &Binding, progress: &dyn Progress) -> Result<Binding, StepError> {
        let (from, then): (Routes, Routes) = (parse(from)?, parse(target)?);
        let now = routes(Live::of(&self.account, &self.which)?);
        let (target, _) = matched(&now, &then);
        // Rules that were made anew since are called by their new names in both.
        let (from, _) = matched(&now, &from);
        let stages = self.stages.left(&from, &target, &now.traffic);
        let gaining = Traffic::gaining(&from, &target);
        // Once something has changed, whatever fails leaves that behind.
        let mut changed = now.traffic != from;
        if !changed && !stages.is_empty() {
            changed = self.make_used(&from, &target, &gaining, progress)?;
        }
        for percent in stages {
            let shifted = self
                .wait_for_health(&gaining, progress)
                .and_then(|()| self.route(&Traffic::between(&from, &target, *percent), progress));
            match changed {
                true => shifted.after_change()?,
                false => shifted?,
            }
            changed = true;
            progress.line(&format!("{percent} % of the way"));
            if *percent < 100 && !sleep(self.pause, progress) {
                return Err(stopped("the last stage"));
            }
        }
        self.look().after_change()
    }
}

fn routes(live: Live) -> Routes {
    Routes {
        traffic: live.traffic(),
        listener: live.arn,
        rules: live.rules,
    }
}

/// What `then` says of the parts that are there `now`; and in words what is no longer there. A rule that was made anew
/// has another ARN: it is known by its priority and conditions.
fn matched(now: &Routes, then: &Routes) -> (Traffic, Vec<String>) {
    let mut traffic = Traffic::default();
    let mut missing = Vec::new();
    for (part, routing) in &then.traffic.0 {
        if now.traffic.0.contains_key(part) {
            traffic.0.insert(part.clone(), routing.clone());
            continue;
        }
        let known_by = then.rules.get(part);
        match now.rules.iter().find(|(_, other)| Some(*other) == known_by) {
            Some((anew, _)) => drop(traffic.0.insert(anew.clone(), routing.clone())),
            None => missing.push(format!(
                "rule {} is no longer there: rules are made by Terraform, not by this step",
                known_by.map_or(part.as_str(), String::as_str)
            )),
        }
    }
    (traffic, missing)
}

impl AlbListener {
    fn plan_group(&self, group: &str, plan: &mut StepPlan) -> Result<(), StepError> {
        let health = Health::of(&self.account, group)?;
        let words = format!("target group {} {}", group_name(group), health.words());
        match health {
            Health::Asked { healthy, targets, .. } if healthy == targets => {}
            Health::Gone => plan.obstacles.push(words),
            Health::Unused { .. } => {
                plan.notes.push(format!(
                    "{words}: it is used with the weight 0 first, and gets requests once it is healthy"
                ));
            }
            health if health.is_fit() || self.allow_unhealthy => plan.notes.push(words),
            _ => plan
                .obstacles
                .push(format!("{words} (allow_unhealthy = true goes there all the same)")),
        }
        Ok(())
    }

    /// Gives groups that no listener uses the weight 0, so that ELB begins to ask how their targets are. Tells whether
    /// there were any. (Only at the start: further on all are used.)
    fn make_used(
        &self,
        from: &Traffic,
        target: &Traffic,
        gaining: &[String],
        progress: &dyn Progress,
    ) -> Result<bool, StepError> {
        if self.allow_unhealthy {
            return Ok(false);
        }
        for group in gaining {
            if let Health::Unused { .. } = Health::of(&self.account, group)? {
                progress.line(&format!("target group {} is used with the weight 0", group_name(group)));
                self.route(&Traffic::between(from, target, 0), progress)?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn wait_for_health(&self, groups: &[String], progress: &dyn Progress) -> Result<(), StepError> {
        let mut wait = Wait::new(self.account.pace(), self.patience, progress);
        for group in groups {
            let mut told = String::new();
            loop {
                let health = Health::of(&self.account, group)?;
                if health.is_fit() || (self.allow_unhealthy && health != Health::Gone) {
                    break;
                }
                let words = format!("target group {} {}", group_name(group), health.words());
                match health {
                    Health::Asked { pending: true, .. } | Health::Unused { .. } => {}
                    _ => {
                        return Err(StepError::untouched(words).hint(
                            "start or mend its targets (an ecs-service step can go first: after = [\"…\"]), then `resume`; \
                             `undo` goes back; allow_unhealthy = true goes there all the same",
                        ));
                    }
                }
                if told != words {
                    progress.line(&words);
                    told = words;
                }
                wait.pause(&format!("a healthy target in group {}", group_name(group)))?;
            }
        }
        Ok(())
    }

    /// Sends each part where it is to go, those that are there already excepted.
    fn route(&self, traffic: &Traffic, progress: &dyn Progress) -> Result<(), StepError> {
        let live = Live::of(&self.account, &self.which)?;
        let mut changed = false;
        for (part, routing) in &traffic.0 {
            let Some(actions) = live.actions.get(part) else {
                continue;
            };
            if Routing::of(actions).as_ref() == Some(routing) {
                continue;
            }
            let Some(actions) = routing.actions(actions) else {
                return Err(StepError::touched(format!(
                    "{routing} cannot be brought back by this version"
                )));
            };
            let routed = live.route(&self.account, part, actions);
            match changed {
                true => routed.after_change()?,
                false => routed?,
            }
            changed = true;
            let what = if part == DEFAULT { "default action" } else { name(part) };
            progress.line(&format!("{what}: {routing}"));
        }
        Ok(())
    }
}
