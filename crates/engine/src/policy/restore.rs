//! A restore as a policy sees it: the state alone changes, so that there is no plan of Terraform's; what happens to each
//! object's record is under `rollback.changes`.

use rollback_inverse::{Fate, InversePlan};
use rollback_policy::{Change, Evaluation, Place};
use rollback_release::StateVersion;
use rollback_state::State;

use super::facts::{self, Subject, Whole};
use super::judging::refuse_late;
use super::{Ends, Gate, Moment, PolicyRecord, refusal_of};
use crate::context::{Context, Stack};
use crate::deployed;
use crate::error::Result;

/// A restore that is to be judged.
pub(crate) struct Judged<'a> {
    pub(crate) stack: &'a Stack,
    pub(crate) ends: Ends,
    pub(crate) changes: Vec<Change>,
    pub(crate) terraform_version: String,
}

impl<'a> Judged<'a> {
    /// From what a restore's look has found.
    ///
    /// # Errors
    /// The store cannot be read.
    pub(crate) fn new(
        context: &Context,
        stack: &'a Stack,
        live: Option<&State>,
        old: &State,
        version: &StateVersion,
        inverse: &InversePlan,
    ) -> Result<Judged<'a>> {
        Ok(Judged {
            stack,
            ends: ends(context, stack, live, version)?,
            changes: inverse.effective().filter_map(change).collect(),
            terraform_version: old.terraform_version().to_owned(),
        })
    }

    fn subject(&self) -> Subject<'_> {
        Subject {
            stack: Some((&self.stack.name, &self.stack.dir)),
            plan: facts::empty_plan(Some(&self.terraform_version)),
            changes: self.changes.clone(),
            drift: Vec::new(),
            ends: &self.ends,
        }
    }
}

impl Gate {
    /// Judges a restore before anybody is asked; the record belongs into its envelope.
    pub(crate) fn judge_restore(
        &self,
        context: &Context,
        judged: &Judged<'_>,
        moment: &Moment<'_>,
    ) -> (Evaluation, PolicyRecord) {
        let whole = Whole::of_stack(&judged.stack.name);
        let document = facts::document(context, self, judged.subject(), &whole, moment);
        let evaluation = self.evaluate(&document, moment);
        let record = self.record(&evaluation, moment);
        (evaluation, record)
    }

    /// Asks once more, right before the state is written.
    ///
    /// # Errors
    /// Refused where the verdict is another one now.
    pub(crate) fn judge_restore_again(
        &self,
        context: &Context,
        judged: &Judged<'_>,
        moment: &Moment<'_>,
    ) -> Result<()> {
        let (evaluation, _) = self.judge_restore(context, judged, moment);
        refuse_late(&format!("stack {}", judged.stack.name), &evaluation)
    }
}

/// What the policy says against a restore.
///
/// # Errors
/// Refused, with the denials.
pub(crate) fn restore_denials(stack: &str, evaluation: &Evaluation) -> Result<()> {
    match evaluation.verdict.allows() {
        true => Ok(()),
        false => Err(refusal_of(stack, evaluation).during(format!("stack {stack}"))),
    }
}

fn ends(context: &Context, stack: &Stack, live: Option<&State>, version: &StateVersion) -> Result<Ends> {
    // What is deployed may not be known where the state is damaged: that must not stand in the way of mending it.
    let from = deployed::find(context, stack, live).map_or_else(
        |_| Place::default(),
        |deployed| {
            let end = facts::End {
                commit: &deployed.commit,
                dir: &deployed.dir,
                release: deployed.release.as_ref().map(|(release, _)| release),
                record: deployed.record(),
            };
            end.place(context)
        },
    );
    let release = context.catalogue().get(&version.release)?;
    let record = release.stack(&stack.name);
    let to = match context.repository.resolve(&version.commit) {
        Ok(commit) => facts::End {
            commit: &commit,
            dir: record.map_or("", |record| record.dir.as_str()),
            release: Some(&release),
            record,
        }
        .place(context),
        // Git has lost the commit; the release tells the rest.
        Err(_) => Place {
            commit: version.commit.clone(),
            release: Some(release.id.to_string()),
            name: release.name.clone(),
            note: release.note.clone(),
            created_at: Some(release.created_at),
            actor: Some(release.actor.clone()),
            terraform_version: record.map(|record| record.terraform.version.clone()),
            ..Place::default()
        },
    };
    Ok(Ends {
        known_bad: facts::known_bad(context, &version.commit, Some(&release))?,
        from,
        to,
        ..Ends::default()
    })
}

/// What happens to an object's record. Nothing happens to the object.
fn change(change: &rollback_inverse::Change) -> Option<Change> {
    let (fate, reason) = match change.fate {
        Fate::Destroy | Fate::Forget => ("forget", "it lives on, and the old state does not know it"),
        Fate::Create | Fate::Adopt => ("adopt", "the old state claims it"),
        _ if change.is_moved() => ("move", "its record gets its old address back"),
        _ => return None,
    };
    Some(Change {
        address: change.address().to_string(),
        previous_address: change.previous_address().map(ToString::to_string),
        kind: change.address().resource.kind.clone(),
        provider: change.provider.clone(),
        fate: fate.to_owned(),
        actions: vec![if fate == "forget" { "forget" } else { "no-op" }.to_owned()],
        reversibility: "lossless".to_owned(),
        reason: reason.to_owned(),
        explained: true,
        protected: None,
        holds: None,
    })
}
