//! The steps' part in a run: done in their order, side by side where nothing speaks against it, each with its intent in
//! the journal first.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use rollback_runbook::Part;
use rollback_runbook::step::{Binding, Progress, StepError};

use super::order::waits;
use super::prepare::{PreparedStep, step_error};
use super::record::{StepEnvelope, StepOutcome};
use crate::apply;
use crate::deployed;
use crate::drive::{Drive, StackOutcome};
use crate::error::{EngineError, Result};
use crate::journal::Event;
use crate::planning::Planned;
use crate::prepare::Prepared;
use crate::target::Target;

/// What a step's thread says.
enum Word {
    Line {
        step: String,
        text: String,
    },
    Ended {
        step: String,
        result: Result<Binding, StepError>,
    },
}

/// Hands on what a step says; the run's own thread speaks to people and writes the journal.
struct Hears<'a> {
    step: &'a str,
    words: Sender<Word>,
    cancelled: &'a AtomicBool,
}

impl Progress for Hears<'_> {
    fn line(&self, text: &str) {
        let _ = self.words.send(Word::Line {
            step: self.step.to_owned(),
            text: text.to_owned(),
        });
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}

/// All parts of a run while they are done.
struct Parts<'p> {
    waits: BTreeMap<String, BTreeSet<String>>,
    done: BTreeSet<String>,
    begun: BTreeSet<String>,
    steps: Vec<&'p PreparedStep>,
    stacks: Vec<&'p Prepared>,
}

impl<'p> Parts<'p> {
    fn is_ready(&self, name: &str) -> bool {
        !self.begun.contains(name)
            && self
                .waits
                .get(name)
                .is_none_or(|waits| waits.iter().all(|name| self.done.contains(name)))
    }

    fn next_step(&mut self) -> Option<(&'p Part, &'p StepEnvelope)> {
        let next = self.steps.iter().copied().find(|step| self.is_ready(&step.part.name))?;
        self.begun.insert(next.part.name.clone());
        Some((&next.part, next.envelope()?))
    }

    /// Stacks are done one after the other, as their dependencies say.
    fn next_stack(&mut self) -> Option<&'p Prepared> {
        let next = self
            .stacks
            .iter()
            .copied()
            .find(|stack| !self.begun.contains(&stack.stack))?;
        if !self.is_ready(&next.stack) {
            return None;
        }
        self.begun.insert(next.stack.clone());
        Some(next)
    }
}

/// How all parts went.
#[derive(Default)]
pub(crate) struct Done {
    pub(crate) stacks: Vec<StackOutcome>,
    pub(crate) steps: Vec<StepOutcome>,
    pub(crate) warnings: Vec<String>,
}

impl Drive<'_> {
    /// Does every part of the run. After the first failure nothing new is begun; what runs is waited for.
    ///
    /// # Errors
    /// The first failure.
    pub(crate) fn do_parts(&mut self, planned: &Planned, forward: bool) -> Result<Done> {
        let going: Vec<&PreparedStep> = planned.steps.iter().filter(|step| step.envelope().is_some()).collect();
        let names: Vec<&str> = planned.stacks.iter().map(|stack| stack.stack.as_str()).collect();
        let ordered: Vec<&Part> = going.iter().map(|step| &step.part).collect();
        let mut parts = Parts {
            waits: waits(&ordered, &names, forward)?,
            done: BTreeSet::new(),
            begun: BTreeSet::new(),
            steps: going,
            stacks: planned.stacks.iter().collect(),
        };
        let mut done = Done::default();
        let mut failure: Option<EngineError> = None;
        let cancelled = AtomicBool::new(false);
        let (words, heard) = channel();
        let mut running: BTreeMap<String, (&Part, &StepEnvelope, Instant)> = BTreeMap::new();
        std::thread::scope(|scope| {
            loop {
                while failure.is_none()
                    && let Some((part, envelope)) = parts.next_step()
                {
                    let begun = self.begin_step(part, envelope);
                    let (from, target) = match begun {
                        Ok(bindings) => bindings,
                        Err(error) => {
                            failure = Some(error);
                            break;
                        }
                    };
                    running.insert(part.name.clone(), (part, envelope, Instant::now()));
                    let words = words.clone();
                    let cancelled = &cancelled;
                    scope.spawn(move || {
                        let step = part.name.as_str();
                        let hears = Hears { step, words, cancelled };
                        let result = part.step.go(&from, &target, &hears);
                        let step = step.to_owned();
                        let _ = hears.words.send(Word::Ended { step, result });
                    });
                }
                if failure.is_none()
                    && let Some(stack) = parts.next_stack()
                {
                    match self.do_stack(stack, &mut done) {
                        Ok(()) => {
                            parts.done.insert(stack.stack.clone());
                        }
                        Err(error) => failure = Some(error),
                    }
                    // What steps said meanwhile is heard before anything else is begun.
                    while let Ok(word) = heard.try_recv() {
                        let ended = self.hear(word, &mut running, &mut done, &mut parts.done);
                        failure = failure.take().or(ended.err());
                    }
                    continue;
                }
                if running.is_empty() {
                    break;
                }
                // Somebody else may have taken our locks: a step that can still stop should.
                match heard.recv_timeout(Duration::from_millis(500)) {
                    Ok(word) => {
                        let ended = self.hear(word, &mut running, &mut done, &mut parts.done);
                        failure = failure.take().or(ended.err());
                    }
                    Err(_) if self.journal.is_fenced_out() => cancelled.store(true, Ordering::Relaxed),
                    Err(_) => {}
                }
            }
        });
        // Also where something else failed: what was put in place is there.
        let told = match self.journal.is_fenced_out() {
            true => Ok(()),
            false => self.tell_terraform(),
        };
        match (failure, told) {
            (None, Ok(())) => Ok(done),
            (Some(error), Ok(())) | (None, Err(error)) => Err(error),
            (Some(first), Err(second)) => Err(first.hint(second.message)),
        }
    }

    /// Puts on record what the steps are to do.
    pub(crate) fn planned_steps(&mut self, planned: &Planned) -> Result<()> {
        for envelope in planned.going() {
            self.journal.append(Event::StepPlanned {
                envelope: Box::new(envelope.clone()),
            })?;
        }
        Ok(())
    }

    /// The steps of this run that an earlier attempt has done.
    pub(crate) fn done_before(&self) -> Vec<StepOutcome> {
        let entries = self.journal.entries();
        let resumed = entries
            .iter()
            .rposition(|entry| matches!(entry.event, Event::Resumed { .. }));
        let earlier = &entries[..resumed.unwrap_or(0)];
        let outcome = |part: &Part| {
            let milliseconds = earlier.iter().find_map(|entry| match &entry.event {
                Event::StepDone { step, milliseconds, .. } if *step == part.name => Some(*milliseconds),
                _ => None,
            })?;
            let approved = self.journal.approved_step(&part.name);
            Some(StepOutcome {
                step: part.name.clone(),
                kind: part.kind.clone(),
                changes: approved.map_or(0, |envelope| envelope.plan.changes.len()),
                earlier: true,
                seconds: Duration::from_millis(milliseconds).as_secs_f64(),
            })
        };
        self.context.parts.iter().filter_map(outcome).collect()
    }

    /// Whether the way leads to a later commit of the same line, as an undo does: then what others build on comes first.
    pub(crate) fn is_forward(&self, target: &Target, planned: &Planned) -> Result<bool> {
        let deployed = match planned.stacks.first() {
            Some(stack) => stack.deployed.clone(),
            None => deployed::last(self.context)?,
        };
        // A commit that Git has lost is in no line.
        Ok(self
            .context
            .repository
            .is_ancestor(&deployed, &target.commit)
            .unwrap_or(false))
    }

    fn do_stack(&mut self, stack: &Prepared, done: &mut Done) -> Result<()> {
        let begun = Instant::now();
        let known = self.context.stack(&stack.stack)?.clone();
        let left = apply::stack(self.context, &known, stack, &mut self.journal)?;
        done.warnings.extend(left.warnings(&stack.stack));
        self.journal.append(Event::StackDone {
            stack: stack.stack.clone(),
        })?;
        done.stacks.push(StackOutcome {
            stack: stack.stack.clone(),
            effects: stack.reconciled.items.len(),
            verified: left.changes == 0,
            changes_left: left.changes,
            changed_again: false,
            otherwise: !left.otherwise.is_empty(),
            seconds: begun.elapsed().as_secs_f64(),
        });
        Ok(())
    }

    fn begin_step(&mut self, part: &Part, envelope: &StepEnvelope) -> Result<(Binding, Binding)> {
        let bindings = (envelope.origin()?, envelope.target()?);
        self.journal.append(Event::StepIntended {
            step: part.name.clone(),
        })?;
        self.context.observer.step(&part.name, "begins");
        Ok(bindings)
    }

    fn hear(
        &mut self,
        word: Word,
        running: &mut BTreeMap<String, (&Part, &StepEnvelope, Instant)>,
        done: &mut Done,
        parts: &mut BTreeSet<String>,
    ) -> Result<()> {
        let (step, result) = match word {
            Word::Line { step, text } => {
                self.context.observer.step(&step, &self.context.secrets.scrub(&text));
                return Ok(());
            }
            Word::Ended { step, result } => (step, result),
        };
        let Some((part, envelope, begun)) = running.remove(&step) else {
            return Ok(());
        };
        match result {
            Ok(now) => {
                let seconds = begun.elapsed();
                self.journal.append(Event::StepDone {
                    step: step.clone(),
                    now: now.to_string(),
                    milliseconds: u64::try_from(seconds.as_millis()).unwrap_or(u64::MAX),
                })?;
                self.context
                    .observer
                    .step(&step, &format!("done in {:.1} s", seconds.as_secs_f64()));
                done.steps.push(StepOutcome {
                    step: step.clone(),
                    kind: part.kind.clone(),
                    changes: envelope.plan.changes.len(),
                    earlier: false,
                    seconds: seconds.as_secs_f64(),
                });
                parts.insert(step);
                Ok(())
            }
            Err(error) => {
                self.journal.append(Event::StepFailed {
                    step,
                    why: self.context.secrets.scrub(&error.message),
                    untouched: error.untouched,
                })?;
                Err(step_error(&part.name, error))
            }
        }
    }
}
