//! The policy's part in a run: what it is told, what of its word goes on record.

use jiff::Timestamp;
use rollback_policy::BrokenGlass;

use super::{Gate, Moment, Phase, PolicyRecord, history};
use crate::approval::{Broken, Sufficient};
use crate::drive::{Answer, Drive};
use crate::error::{EngineError, Kind, Result};
use crate::journal::Event;
use crate::planning::Planned;

/// How a run was approved: over the API, by as many people as it takes.
const APPROVALS: &str = "approvals";
/// The same, without waiting for the rest of them.
const BREAK_GLASS: &str = "break-glass";

impl Drive<'_> {
    /// What a policy is told of this run now.
    pub(crate) fn moment(&self, phase: Phase) -> Result<Moment<'_>> {
        let (approvals, broken_glass) = match phase {
            Phase::Plan => (Vec::new(), None),
            Phase::Apply => self.said_so_far(),
        };
        Ok(Moment {
            phase,
            now: Timestamp::now(),
            id: Some(&self.run.id),
            purpose: &self.run.purpose,
            revision: &self.run.revision,
            actor: &self.run.actor,
            reason: self.run.reason.as_deref(),
            consent: &self.run.consent,
            approvals,
            broken_glass,
            halfway: self.journal.has_effect(),
            history: history(&self.runs, Some(&self.run.id))?,
        })
    }

    /// Who has said yes, and who went ahead without the others: from the approval that is about to be used up, else as the
    /// journal tells.
    fn said_so_far(&self) -> (Vec<String>, Option<BrokenGlass>) {
        if let Some(approval) = &self.approval {
            return (approval.by.clone(), approval.broken.as_ref().map(broken_glass));
        }
        let mut glass = None;
        let mut approvals = Vec::new();
        for entry in self.journal.entries() {
            match &entry.event {
                Event::GlassBroken { by, reason, .. } => {
                    glass = Some(BrokenGlass {
                        by: by.clone(),
                        reason: reason.clone(),
                    });
                }
                Event::Approved { by, how, .. } => {
                    glass = glass.filter(|_| how == BREAK_GLASS);
                    // Several names come from approvals alone; a name of the command line may hold a comma.
                    approvals = match how.as_str() {
                        APPROVALS => by.split(", ").map(str::to_owned).collect(),
                        _ => vec![by.clone()],
                    };
                }
                _ => {}
            }
        }
        (approvals, glass)
    }

    /// Puts an answer on record, where it is one that the policy's four eyes let count.
    ///
    /// # Errors
    /// Awaiting approval: whoever asked for it is the only one who said yes.
    pub(crate) fn answered_by_another(&mut self, gate: &Gate, answer: Answer, digest: &str) -> Result<()> {
        let requester = &self.run.actor;
        let alone = match &answer {
            Answer::Yes { .. } => self.context.actor == *requester,
            Answer::Approved(approval) => approval.broken.is_none() && approval.by.iter().all(|by| by == requester),
            Answer::No | Answer::Nobody => false,
        };
        if alone && gate.wants_four_eyes() {
            return Err(EngineError::new(
                Kind::AwaitingApproval,
                format!("somebody other than {requester} has to approve it here"),
            )
            .hint(format!(
                "they look at it and say yes: `infra-rollback resume {}`",
                self.run.id
            )));
        }
        self.answered(answer, digest)
    }

    /// By whom and how it was approved; that the glass was broken for it has an entry of its own.
    pub(crate) fn glass_on_record(&mut self, approval: &Sufficient, digest: &str) -> Result<(String, String)> {
        let Some(broken) = &approval.broken else {
            return Ok((approval.by.join(", "), APPROVALS.to_owned()));
        };
        self.journal.append(Event::GlassBroken {
            digest: digest.to_owned(),
            by: broken.by.clone(),
            reason: broken.reason.clone(),
        })?;
        self.context.observer.warning(&format!(
            "run {}: {} broke the glass and goes ahead without the approvals that are asked for: {}",
            self.run.id, broken.by, broken.reason
        ));
        Ok((broken.by.clone(), BREAK_GLASS.to_owned()))
    }

    /// Judges what was planned, before anybody is asked.
    pub(crate) fn judge(&self, gate: &Gate, planned: &mut Planned) -> Result<()> {
        gate.judge(self.context, planned, &self.moment(Phase::Plan)?);
        Ok(())
    }

    /// Judges again after something was accepted, and puts on record where that changes what an approval signs.
    pub(crate) fn judge_anew(&mut self, gate: &Gate, planned: &mut Planned) -> Result<()> {
        let shown = planned.digest();
        self.judge(gate, planned)?;
        if planned.digest() != shown {
            self.put_plan_on_record(planned)?;
        }
        Ok(())
    }

    /// Puts on record which rules were overridden, by whom and why, once for each.
    pub(crate) fn put_overrides_on_record(&mut self, planned: &Planned) -> Result<()> {
        for (stack, record) in planned.policy_records() {
            self.overrides_on_record(stack, Some(record))?;
        }
        Ok(())
    }

    /// As [`Drive::put_overrides_on_record`], of one stack; without a name, of the steps.
    pub(crate) fn overrides_on_record(&mut self, stack: &str, record: Option<&PolicyRecord>) -> Result<()> {
        for one in record.iter().flat_map(|record| &record.overrides) {
            let is_known = self.journal.entries().iter().any(|entry| match &entry.event {
                Event::PolicyOverridden {
                    stack: known,
                    rule,
                    by,
                    reason,
                } => known == stack && *rule == one.rule && *by == one.by && *reason == one.reason,
                _ => false,
            });
            if !is_known {
                self.journal.append(Event::PolicyOverridden {
                    stack: stack.to_owned(),
                    rule: one.rule.clone(),
                    by: one.by.clone(),
                    reason: one.reason.clone(),
                })?;
            }
        }
        Ok(())
    }
}

fn broken_glass(broken: &Broken) -> BrokenGlass {
    BrokenGlass {
        by: broken.by.clone(),
        reason: broken.reason.clone(),
    }
}
