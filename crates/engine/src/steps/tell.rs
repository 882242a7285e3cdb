//! A step may put another thing in the place of one that Terraform manages: a restored database has the old one's name and
//! another id. Terraform knows things by their ids. So its state is told, under its own lock; else the next plan would make
//! the old one what it was.

use rollback_runbook::step::{Rebound, Revalued as Other};
use rollback_state::{InstanceId, Mode, Revalued, State};

use super::prepare::step_error;
use super::record::parse;
use crate::context::Stack;
use crate::drive::Drive;
use crate::error::{EngineError, Result};
use crate::journal::Event;
use crate::live::Live;
use crate::observe::Stage;
use crate::serial;
use crate::writing::{self, Reading};

impl Drive<'_> {
    /// Tells the states of all stacks of the run what its steps have put in the place of their objects. What was told, by
    /// an earlier attempt or by a person, is not told again; a stack without such an object is left alone.
    ///
    /// # Errors
    /// A state cannot be read or written. What the steps did stands, and `resume` tells it.
    pub(crate) fn tell_terraform(&mut self) -> Result<()> {
        let context = self.context;
        for part in context
            .parts
            .iter()
            .filter(|part| part.step.replaces_what_terraform_has())
        {
            let (Some(begun), Some(now)) = (
                self.journal.begun_step(&part.name),
                self.journal.step_came_to(&part.name),
            ) else {
                continue;
            };
            let (from, now) = (begun.origin()?, parse(&part.name, now)?);
            let rebound = part.step.rebound(&from, &now);
            let Some(rebound) = rebound.map_err(|error| step_error(&part.name, error))? else {
                continue;
            };
            for stack in context.written_stacks() {
                self.tell_stack(stack, &part.name, &rebound).map_err(|error| {
                    error.during(format!("{} is another one, and Terraform was not told", rebound.what))
                })?;
            }
        }
        Ok(())
    }

    fn tell_stack(&mut self, stack: &Stack, step: &str, rebound: &Rebound) -> Result<()> {
        let context = self.context;
        let live = Live::read(context, stack)?;
        let Some(state) = live.state() else {
            return Ok(());
        };
        let objects = spoken_of(state, rebound);
        if objects.is_empty() {
            return Ok(());
        }
        let serial = serial::next(context, stack, &live)?;
        context.observer.stage(&stack.name, Stage::WritingState);
        writing::replace(
            context,
            &stack.name,
            &live,
            Reading::Checked,
            &mut self.journal,
            |found| {
                let state = State::parse(found.to_vec()).map_err(|error| EngineError::failed(error.to_string()))?;
                told(&state, rebound, serial)
            },
        )?;
        for object in objects {
            context
                .observer
                .step(step, &format!("Terraform knows {} as {object}", rebound.what));
            self.journal.append(Event::TerraformTold {
                stack: stack.name.clone(),
                step: step.to_owned(),
                address: object.to_string(),
            })?;
        }
        Ok(())
    }
}

/// The objects of a state that are of the thing as it was.
fn spoken_of(state: &State, rebound: &Rebound) -> Vec<InstanceId> {
    let known = &rebound.known_by;
    state
        .instances()
        .filter(|instance| instance.mode() == Mode::Managed && instance.address().resource.kind == rebound.kind)
        .filter(|instance| instance.string_attribute(state, &known.name).as_ref() == Some(&known.from))
        .map(|instance| instance.id().clone())
        .collect()
}

/// The state with what is in place now; none where it says nothing else.
fn told(state: &State, rebound: &Rebound, serial: u64) -> Result<Option<State>> {
    let objects = spoken_of(state, rebound);
    if objects.is_empty() {
        return Ok(None);
    }
    let values: Vec<Revalued<'_>> = (rebound.also.iter())
        .chain([&rebound.known_by])
        .map(|Other { name, from, to }| Revalued { name, from, to })
        .collect();
    let failed = |error: rollback_state::EditError| EngineError::failed(error.to_string());
    let mut edited = state.clone();
    for object in &objects {
        edited = edited.revalued(object, &values).map_err(failed)?;
    }
    let mut editor = edited.edit();
    editor.set_serial(serial.max(state.serial() + 1));
    editor.finish().map(Some).map_err(failed)
}
