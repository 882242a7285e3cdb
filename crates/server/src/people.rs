//! Those who look at a plan and answer over HTTP, as the engine asks them.

use std::cell::RefCell;

use rollback_engine::approval::Approvals;
use rollback_engine::context::Context;
use rollback_engine::document;
use rollback_engine::drive::{Answer, Approver};
use rollback_engine::error::{EngineError, Kind, Result};
use rollback_engine::planning::Planned;
use rollback_engine::policy::wants_four_eyes;
use rollback_engine::reconcile::Refusal;
use rollback_engine::restore::RestoreReport;
use rollback_engine::run::Consent;
use serde_json::{Value, json};

use crate::problem::Problem;
use crate::rollback::{Rollback, Rollbacks};
use crate::service::Service;

/// The people behind one rollback.
pub struct People<'a> {
    service: &'a Service,
    context: &'a Context,
    rollback: &'a Rollback,
    /// Why the plan could not be kept for them to see.
    failed: RefCell<Option<String>>,
}

impl<'a> People<'a> {
    pub fn new(service: &'a Service, context: &'a Context, rollback: &'a Rollback) -> People<'a> {
        People {
            service,
            context,
            rollback,
            failed: RefCell::new(None),
        }
    }

    /// What they accepted and overrode beyond the plan of the digest that awaits approval.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn consent_so_far(&self) -> Result<Consent> {
        let failed = |problem: Box<Problem>| EngineError::failed(problem.detail);
        let rollbacks = Rollbacks::new(self.service);
        let mut consent = Consent {
            overrides: self.rollback.overrides.clone(),
            ..Consent::default()
        };
        let Some(known) = rollbacks.get(&self.rollback.id).map_err(failed)? else {
            return Ok(consent);
        };
        let Some(digest) = rollbacks.last_digest(&known).map_err(failed)? else {
            return Ok(consent);
        };
        let approval = rollbacks.approval(&self.rollback.id, &digest).map_err(failed)?;
        if let Some(approval) = approval {
            consent.add(&approval.consent());
        }
        Ok(consent)
    }

    /// Keeps what they are to look at; whether the policy wants somebody else's yes is part of that.
    fn keep(&self, shown: &Value) {
        let text = self.context.secrets.scrub(&shown.to_string());
        let four_eyes = wants_four_eyes(&self.context.settings.policy);
        let kept = self.service.store.put_blob(text.as_bytes());
        let kept = kept.map_err(|error| error.to_string()).and_then(|blob| {
            let change = Rollbacks::new(self.service).change(&self.rollback.id, |rollback| {
                rollback.plan = Some(blob);
                rollback.four_eyes = four_eyes;
            });
            change.map_err(|problem| problem.detail)
        });
        if let Err(why) = kept {
            tracing::error!(run = self.rollback.id, why, "the plan cannot be kept");
            *self.failed.borrow_mut() = Some(why);
        }
    }

    fn answer(&self, digest: &str) -> Answer {
        // Nobody can have said yes to what nobody could see.
        if self.failed.borrow().is_some() {
            return Answer::Nobody;
        }
        let service = self.service;
        let four_eyes = wants_four_eyes(&self.context.settings.policy);
        let quorum = Rollbacks::new(service).quorum_under(self.rollback, four_eyes);
        let approvals = Approvals::new(service.store.as_ref(), &service.project, &self.rollback.id);
        match approvals.sufficient(digest, &quorum) {
            Ok(Some(approval)) => Answer::Approved(Box::new(approval)),
            Ok(None) => Answer::Nobody,
            Err(error) if error.kind == Kind::Refused => Answer::No,
            Err(error) => {
                tracing::error!(run = self.rollback.id, %error, "the approvals cannot be read");
                Answer::Nobody
            }
        }
    }
}

impl Approver for People<'_> {
    fn show(&self, planned: &Planned, _: &[Refusal]) {
        self.keep(&document::plan(planned));
    }

    /// Nobody is there at that moment: it is left to do, and the run's warnings say so.
    fn show_again(&self, _: &Planned, _: &[Refusal]) {}

    fn show_restore(&self, report: &RestoreReport, refusals: &[Refusal]) {
        let needed: Vec<Value> = refusals
            .iter()
            .map(|refusal| {
                json!({ "stack": report.stack, "guard": refusal.guard, "address": refusal.address,
                    "message": refusal.message })
            })
            .collect();
        let policy: Vec<Value> = (report.policy.iter())
            .map(|evaluation| json!({ "stack": report.stack, "evaluation": evaluation }))
            .collect();
        self.keep(&json!({ "restore": report, "resource_changes": [], "needs_acceptance": needed, "policy": policy }));
    }

    fn consent(&self, _: &Refusal) -> bool {
        false
    }

    fn consent_may_come(&self) -> bool {
        !self.rollback.dry_run
    }

    fn approve(&self, _: &Planned, digest: &str) -> Answer {
        self.answer(digest)
    }

    fn approve_restore(&self, _: &RestoreReport, digest: &str) -> Answer {
        self.answer(digest)
    }
}
