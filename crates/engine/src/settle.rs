//! Stacks that read each other's outputs. A stack goes back before those that it depends on, so that what it reads of
//! them is not the target's yet when it is planned. Once all are back, those that read others are planned again, through
//! the same guards and with a yes of its own, until a plan of the target's configuration is empty for all of them.

use std::path::Path;
use std::time::Instant;

use rollback_repository::CommitId;
use rollback_state::Mode;

use crate::apply;
use crate::context::Stack;
use crate::drive::{Approver, Drive, StackOutcome};
use crate::error::{Kind, Result};
use crate::journal::Event;
use crate::live::Live;
use crate::planning::Planned;
use crate::policy::{Gate, open_denials};
use crate::prepare::{Request, prepare};
use crate::target::Target;

/// Data sources by which a stack reads another one's state.
const READS_STATES: &[&str] = &["terraform_remote_state", "tfe_outputs"];

/// What every second look at a stack needs.
struct Look<'a> {
    gate: &'a Gate,
    target: &'a Target,
    approver: &'a dyn Approver,
}

impl Drive<'_> {
    /// Looks at every stack that reads others once more and brings it to the target where that is still to be done. A
    /// guard or a person that says no to it leaves it as it is: what was approved is done, and the rest is said.
    ///
    /// # Errors
    /// Terraform cannot plan, or fails to apply.
    pub(crate) fn settle(
        &mut self,
        gate: &Gate,
        target: &Target,
        folder: &Path,
        approver: &dyn Approver,
        outcomes: &mut Vec<StackOutcome>,
        warnings: &mut Vec<String>,
    ) -> Result<()> {
        let context = self.context;
        let look = Look { gate, target, approver };
        let stacks: Vec<&Stack> = context
            .stacks
            .iter()
            .filter(|stack| self.run.stacks.iter().any(|part| part.stack == stack.name))
            .collect();
        if stacks.len() < 2 {
            return Ok(());
        }
        // Those that others depend on come last in a rollback, and first here.
        for (place, stack) in stacks.iter().rev().enumerate() {
            if !self.others_changed(&stack.name) || !self.reads_others(stack)? {
                continue;
            }
            let folder = folder.join(format!("settle-{place}")).join(&stack.name);
            self.settle_one(&look, stack, &folder, outcomes, warnings)?;
        }
        Ok(())
    }

    fn others_changed(&self, stack: &str) -> bool {
        self.journal
            .entries()
            .iter()
            .any(|entry| matches!(&entry.event, Event::ApplyIntended { stack: other, .. } if other != stack))
    }

    fn reads_others(&self, stack: &Stack) -> Result<bool> {
        if !stack.depends_on.is_empty() {
            return Ok(true);
        }
        let live = Live::read(self.context, stack)?;
        Ok(live.state().iter().flat_map(|state| state.instances()).any(|instance| {
            instance.mode() == Mode::Data && READS_STATES.contains(&instance.address().resource.kind.as_str())
        }))
    }

    #[allow(clippy::too_many_arguments)] // One call, everything in it is needed for the second look.
    fn settle_one(
        &mut self,
        look: &Look<'_>,
        stack: &Stack,
        folder: &Path,
        outcomes: &mut Vec<StackOutcome>,
        warnings: &mut Vec<String>,
    ) -> Result<()> {
        let begun = Instant::now();
        let context = self.context;
        let Look { gate, target, approver } = *look;
        // What is deployed now is the target's own configuration.
        let deployed: CommitId = target.commit_of(context, &stack.name)?;
        let targets = self.run.targets.clone();
        let overrides = self.run.consent.overridden_rules();
        let request = Request {
            stack,
            target,
            deployed: Some(&deployed),
            targets: &targets,
            gate: Some((gate, &overrides)),
            folder: Some(folder),
        };
        let Some(prepared) = prepare(context, &request)?.prepared() else {
            return Ok(());
        };
        if prepared.reconciled.is_empty() {
            return Ok(());
        }
        self.journal.append(Event::Reopened {
            stack: stack.name.clone(),
        })?;
        let mut planned = Planned::of_stack(prepared);
        self.judge(gate, &mut planned)?;
        let refused = self.approve_again(gate, &mut planned, approver)?;
        let prepared = &planned.stacks[0];
        let left = match refused {
            None => Some(apply::stack(context, stack, prepared, &mut self.journal)?),
            Some(why) => {
                let items = prepared.reconciled.items.iter().map(|item| item.address.clone());
                let outputs = prepared.reconciled.outputs.iter();
                let outputs = outputs.map(|output| format!("output.{}", output.name));
                let addresses: Vec<String> = items.chain(outputs).collect();
                warnings.push(format!(
                    "stack {}: now that what it depends on is back, it has changes again: {} ({why}); `infra-rollback to {}` \
                     once more shows and applies them",
                    stack.name,
                    addresses.join(", "),
                    self.run.revision
                ));
                None
            }
        };
        self.journal.append(Event::StackDone {
            stack: stack.name.clone(),
        })?;
        if !outcomes.iter().any(|outcome| outcome.stack == stack.name) {
            outcomes.push(StackOutcome::new(&stack.name));
        }
        for outcome in outcomes.iter_mut().filter(|outcome| outcome.stack == stack.name) {
            outcome.seconds += begun.elapsed().as_secs_f64();
            match &left {
                Some(left) => {
                    outcome.effects += prepared.reconciled.items.len();
                    outcome.otherwise = !left.otherwise.is_empty();
                    outcome.verified = left.changes == 0;
                    outcome.changes_left = left.changes;
                    warnings.extend(left.warnings(&stack.name));
                }
                None => {
                    outcome.verified = false;
                    outcome.changes_left = prepared.reconciled.items.len();
                    outcome.changed_again = true;
                }
            }
        }
        Ok(())
    }

    /// The yes to what was not in the plan that was approved; why not, where nobody gives it.
    fn approve_again(&mut self, gate: &Gate, planned: &mut Planned, approver: &dyn Approver) -> Result<Option<String>> {
        self.put_plan_on_record(planned)?;
        self.context.observer.pause();
        let open = planned.open_refusals(&self.run.consent);
        approver.show_again(planned, &open);
        if let Some(refusal) = self.without_consent(open, approver).first() {
            return Ok(Some(format!("{}: {}", refusal.address, refusal.message)));
        }
        self.judge_anew(gate, planned)?;
        if let Err(error) = open_denials(planned) {
            return Ok(Some(error.message));
        }
        match self.approve(gate, planned, &planned.digest(), approver) {
            Ok(()) => Ok(None),
            Err(error) if matches!(error.kind, Kind::Refused | Kind::AwaitingApproval) => Ok(Some(error.message)),
            Err(error) => Err(error),
        }
    }
}
