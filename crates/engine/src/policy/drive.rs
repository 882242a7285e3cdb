//! The policy's part in a run: what it is told, what of its word goes on record.

use jiff::Timestamp;

use super::{Gate, Moment, Phase, history};
use crate::drive::Drive;
use crate::envelope::Envelope;
use crate::error::Result;
use crate::journal::Event;
use crate::prepare::Prepared;

impl Drive<'_> {
    /// What a policy is told of this run now.
    pub(crate) fn moment(&self, phase: Phase) -> Result<Moment<'_>> {
        let entries = self.journal.entries().iter().rev();
        let last = entries.filter_map(|entry| match &entry.event {
            Event::Approved { by, .. } => Some(by.as_str()),
            _ => None,
        });
        let approvals = match phase {
            Phase::Plan => Vec::new(),
            Phase::Apply => {
                let names = last.take(1).flat_map(|by| by.split(", "));
                names.map(str::to_owned).collect()
            }
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
            halfway: self.journal.has_effect(),
            history: history(&self.runs, Some(&self.run.id))?,
        })
    }

    /// Judges what was planned, before anybody is asked.
    pub(crate) fn judge(&self, gate: &Gate, prepared: &mut [Prepared]) -> Result<()> {
        gate.judge(self.context, prepared, &self.moment(Phase::Plan)?);
        Ok(())
    }

    /// Judges again after something was accepted, and puts on record where that changes what an approval signs.
    pub(crate) fn judge_anew(&mut self, gate: &Gate, prepared: &mut [Prepared]) -> Result<()> {
        let shown: Vec<Envelope> = prepared.iter().map(|stack| stack.envelope.clone()).collect();
        self.judge(gate, prepared)?;
        if prepared.iter().map(|stack| &stack.envelope).ne(&shown) {
            self.planned(prepared)?;
        }
        Ok(())
    }

    /// Puts on record which rules were overridden, by whom and why.
    pub(crate) fn put_overrides_on_record(&mut self, prepared: &[Prepared]) -> Result<()> {
        let consent = &self.run.consent;
        let reason = consent
            .policy_reason
            .clone()
            .or(self.run.reason.clone())
            .unwrap_or_default();
        for stack in prepared {
            let rules = stack.evaluation.as_ref().map(|evaluation| evaluation.overridden());
            for rule in rules.unwrap_or_default() {
                self.journal.append(Event::PolicyOverridden {
                    stack: stack.stack.clone(),
                    rule,
                    by: self.context.actor.clone(),
                    reason: reason.clone(),
                })?;
            }
        }
        Ok(())
    }
}
