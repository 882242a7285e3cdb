//! What reaches the person or the machine: one place that decides about streams, colour, width and secrets.

use std::io::{IsTerminal, Write};
use std::sync::Arc;

use anstyle::{AnsiColor, Style};
use rollback_engine::error::{EngineError, Kind};
use rollback_engine::secrets::Secrets;
use serde_json::{Value, json};

/// How the words of a line are meant.
#[derive(Clone, Copy)]
pub enum Tone {
    Plain,
    Good,
    Warning,
    Danger,
    Faint,
    Strong,
}

impl Tone {
    fn style(self) -> Style {
        match self {
            Tone::Plain => Style::new(),
            Tone::Good => Style::new().fg_color(Some(AnsiColor::Green.into())),
            Tone::Warning => Style::new().fg_color(Some(AnsiColor::Yellow.into())),
            Tone::Danger => Style::new().fg_color(Some(AnsiColor::Red.into())).bold(),
            Tone::Faint => Style::new().dimmed(),
            Tone::Strong => Style::new().bold(),
        }
    }
}

/// Where a command's words go. With `--json` people's lines are dropped and one document goes to stdout.
#[derive(Clone)]
pub struct Output {
    json: bool,
    secrets: Arc<Secrets>,
}

impl Output {
    pub fn new(json: bool) -> Self {
        Output {
            json,
            secrets: Arc::new(Secrets::default()),
        }
    }

    /// The same, for a command whose words are a document in any case.
    pub fn of_document(other: &Output) -> Self {
        Output {
            json: true,
            secrets: other.secrets(),
        }
    }

    /// The same for steps on the way of which nobody is told.
    pub fn silent(&self) -> Self {
        Output::of_document(self)
    }

    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Whether a person can be asked: both ends are a terminal and no machine reads along.
    pub fn can_ask(&self) -> bool {
        !self.json && std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
    }

    /// What must not be printed; whoever learns of a secret says so here.
    pub fn secrets(&self) -> Arc<Secrets> {
        Arc::clone(&self.secrets)
    }

    fn scrub(&self, text: &str) -> String {
        self.secrets.scrub(text)
    }

    /// One line for a person, on stdout.
    pub fn line(&self, text: &str) {
        self.toned(Tone::Plain, text);
    }

    pub fn heading(&self, text: &str) {
        self.toned(Tone::Strong, text);
    }

    pub fn toned(&self, tone: Tone, text: &str) {
        if !self.json {
            let style = tone.style();
            write_line(
                &mut anstream::stdout(),
                &format!("{style}{}{style:#}", self.scrub(text)),
            );
        }
    }

    /// Progress and remarks, on stderr.
    pub fn note(&self, tone: Tone, text: &str) {
        if !self.json {
            let style = tone.style();
            write_line(
                &mut anstream::stderr(),
                &format!("{style}{}{style:#}", self.scrub(text)),
            );
        }
    }

    /// The one document of `--json`; nothing otherwise.
    pub fn document(&self, value: &Value) {
        if self.json {
            let text = serde_json::to_string_pretty(value)
                .unwrap_or_else(|error| json!({"error": error.to_string()}).to_string());
            write_line(&mut std::io::stdout(), &self.scrub(&text));
        }
    }

    /// A document that is built without secrets, such as one with masked values: large ones need no second look.
    pub fn plain_document(&self, value: &Value) {
        if self.json {
            let mut stdout = std::io::BufWriter::new(std::io::stdout().lock());
            let _ = serde_json::to_writer_pretty(&mut stdout, value);
            let _ = writeln!(stdout);
            let _ = stdout.flush();
        }
    }

    /// Bytes as they are, on stdout.
    pub fn bytes(&self, bytes: &[u8]) -> std::io::Result<()> {
        let mut stdout = std::io::stdout().lock();
        match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
            // Whoever read has read enough.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            other => other,
        }
    }

    /// An error with its hints; with `--json` as the document.
    pub fn error(&self, error: &EngineError) {
        if self.json {
            let mut document = json!({
                "error": {
                    "kind": kind_name(error.kind),
                    "message": error.message,
                    "hints": error.hints,
                    "exit_code": exit_code(error.kind),
                }
            });
            if let Some(detail) = &error.detail {
                document["plan"] = (**detail).clone();
            }
            self.document(&document);
            return;
        }
        let danger = Tone::Danger.style();
        let mut stderr = anstream::stderr();
        write_line(
            &mut stderr,
            &format!(
                "{danger}{}:{danger:#} {}",
                kind_title(error.kind),
                self.scrub(&error.message)
            ),
        );
        for hint in &error.hints {
            let good = Tone::Good.style();
            write_line(&mut stderr, &format!("  {good}→{good:#} {}", self.scrub(hint)));
        }
    }
}

/// A closed pipe (`… | head`) is no error of ours.
fn write_line(stream: &mut dyn Write, text: &str) {
    let _ = writeln!(stream, "{text}");
    let _ = stream.flush();
}

fn kind_title(kind: Kind) -> &'static str {
    match kind {
        Kind::Failed => "error",
        Kind::Usage => "usage",
        Kind::Refused => "refused",
        Kind::Halfway => "stopped halfway",
        Kind::Locked => "locked",
        Kind::AwaitingApproval => "awaiting approval",
    }
}

fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Failed => "failed",
        Kind::Usage => "usage",
        Kind::Refused => "refused",
        Kind::Halfway => "halfway",
        Kind::Locked => "locked",
        Kind::AwaitingApproval => "awaiting-approval",
    }
}

/// The fixed exit codes.
pub fn exit_code(kind: Kind) -> u8 {
    match kind {
        Kind::Failed => 1,
        Kind::Usage => 2,
        Kind::Refused => 3,
        Kind::Halfway => 4,
        Kind::Locked => 5,
        Kind::AwaitingApproval => 6,
    }
}
