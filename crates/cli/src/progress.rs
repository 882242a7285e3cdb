//! Progress of what goes through many things of one kind: how many, how fast, how long still.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::{Output, Tone};

/// Without a terminal a line is written so often.
const EVERY: Duration = Duration::from_secs(10);

/// A bar on a terminal, a line every ten seconds elsewhere, nothing with `--json`.
pub struct Progress {
    bar: ProgressBar,
    output: Output,
    what: String,
    begun: Instant,
    told: Instant,
    total: usize,
    done: usize,
}

impl Progress {
    pub fn new(output: &Output, what: &str) -> Progress {
        let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr()) && !output.is_json();
        let bar = if terminal {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            let style = "{msg} {wide_bar} {pos}/{len}, {per_sec}, {eta} left";
            if let Ok(style) = ProgressStyle::with_template(style) {
                bar.set_style(style);
            }
            bar.set_message(what.to_owned());
            bar
        } else {
            ProgressBar::hidden()
        };
        Progress {
            bar,
            output: output.clone(),
            what: what.to_owned(),
            begun: Instant::now(),
            told: Instant::now(),
            total: 0,
            done: 0,
        }
    }

    /// How many there will be.
    pub fn begin(&mut self, total: usize) {
        self.total = total;
        self.begun = Instant::now();
        self.bar.set_length(total as u64);
    }

    /// One more is done.
    pub fn one(&mut self) {
        self.done += 1;
        self.bar.inc(1);
        if self.bar.is_hidden() && self.told.elapsed() >= EVERY {
            self.told = Instant::now();
            let rate = self.done as f64 / self.begun.elapsed().as_secs_f64().max(0.001);
            let left = self.total.saturating_sub(self.done) as f64 / rate.max(0.001);
            let text = format!(
                "{} {} of {}, {rate:.1}/s, {left:.0} s left",
                self.what, self.done, self.total
            );
            self.output.note(Tone::Faint, &text);
        }
    }

    /// A line that stays.
    pub fn say(&self, tone: Tone, text: &str) {
        self.bar.suspend(|| self.output.note(tone, text));
    }

    pub fn end(&self) {
        self.bar.finish_and_clear();
    }
}
