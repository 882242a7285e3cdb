//! Progress on stderr: one line that changes on a terminal, one line per stage elsewhere.

use std::sync::Mutex;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rollback_engine::observe::{Observer, Stage};
use rollback_terraform::Event;

use crate::output::{Output, Tone};

/// Watches a run for a person.
pub struct Watch {
    bar: ProgressBar,
    output: Output,
    touched: Mutex<usize>,
}

impl Watch {
    pub fn new(output: &Output) -> Self {
        let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
        let bar = if terminal && !output.is_json() {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed:.dim}") {
                bar.set_style(style);
            }
            bar
        } else {
            ProgressBar::hidden()
        };
        Watch {
            bar,
            output: output.clone(),
            touched: Mutex::new(0),
        }
    }

    fn say(&self, tone: Tone, text: &str) {
        if self.output.is_json() {
            return;
        }
        self.bar.suspend(|| self.output.note(tone, text));
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

impl Observer for Watch {
    fn stage(&self, stack: &str, stage: Stage) {
        if let Ok(mut touched) = self.touched.lock() {
            *touched = 0;
        }
        if self.bar.is_finished() {
            self.bar.reset();
        }
        self.bar.enable_steady_tick(Duration::from_millis(120));
        self.bar.set_message(format!("{stack}: {}", stage.as_str()));
        tracing::info!(stack, stage = stage.as_str());
    }

    fn terraform(&self, stack: &str, event: &Event) {
        match event {
            Event::ApplyStart { address, action } => {
                self.bar.set_message(format!("{stack}: {action} {address}"));
            }
            Event::ApplyProgress {
                address,
                action,
                elapsed_seconds,
            } => {
                self.say(
                    Tone::Faint,
                    &format!("  … {address}: {action}, {elapsed_seconds} s so far"),
                );
            }
            Event::ApplyComplete {
                address,
                action,
                elapsed_seconds,
            } => {
                self.say(
                    Tone::Plain,
                    &format!("  ✓ {address}: {action} done in {elapsed_seconds} s"),
                );
            }
            Event::ApplyErrored { address, action, .. } => {
                self.say(Tone::Danger, &format!("  ✗ {address}: {action} failed"));
            }
            Event::RefreshComplete { address } => {
                if let Ok(mut touched) = self.touched.lock() {
                    *touched += 1;
                    self.bar
                        .set_message(format!("{stack}: {} objects looked at, last {address}", *touched));
                }
            }
            Event::Interrupting => {
                self.say(
                    Tone::Warning,
                    "  terraform was asked to stop; it finishes what it began and keeps the state",
                );
            }
            _ => {}
        }
    }

    fn step(&self, step: &str, line: &str) {
        self.say(Tone::Faint, &format!("  {step}: {line}"));
    }

    fn warning(&self, message: &str) {
        self.say(Tone::Warning, &format!("! {message}"));
    }

    fn line(&self, message: &str) {
        self.say(Tone::Faint, &format!("  {message}"));
    }

    fn pause(&self) {
        self.bar.disable_steady_tick();
        self.bar.finish_and_clear();
    }
}
