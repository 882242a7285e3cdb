//! wrk as it is asked, and what it says.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

pub const CONNECTIONS: u32 = 32;

/// What one run brought.
pub struct Figures {
    pub per_second: f64,
    pub median: Duration,
    pub p99: Duration,
}

/// Reads one path for so long.
///
/// # Panics
/// There is no wrk, or answers were not 2xx.
pub fn read(url: &str, path: &str, token: &str, seconds: u64) -> Figures {
    let output = command(seconds)
        .arg("-H")
        .arg(format!("Authorization: Bearer {token}"))
        .arg(format!("{url}{path}"))
        .output()
        .expect("wrk can be started: apt install wrk");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(!said.contains("Non-2xx"), "{path}: {said}");
    Figures {
        per_second: word(&said, "Requests/sec:").parse().expect("a number"),
        median: time(word(&said, "50%")),
        p99: time(word(&said, "99%")),
    }
}

/// Reads all of the paths in turn, beside whatever else is done.
pub fn start(url: &str, script: &std::path::Path, token: &str, seconds: u64) -> Child {
    command(seconds)
        .arg("-s")
        .arg(script)
        .arg("-H")
        .arg(format!("Authorization: Bearer {token}"))
        .arg(url)
        .stdout(Stdio::piped())
        .spawn()
        .expect("wrk can be started: apt install wrk")
}

fn command(seconds: u64) -> Command {
    let mut command = Command::new("wrk");
    command.args(["--latency", "-t1", "--timeout", "10s"]);
    command.arg(format!("-c{CONNECTIONS}")).arg(format!("-d{seconds}s"));
    command
}

/// The word after another one.
pub fn word<'t>(text: &'t str, before: &str) -> &'t str {
    let mut words = text.split_whitespace().skip_while(|word| *word != before);
    words
        .nth(1)
        .unwrap_or_else(|| panic!("wrk does not say {before}: {text}"))
}

/// `1.50ms`, `830.00us`, `2.10s`
fn time(text: &str) -> Duration {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let amount: f64 = text[..text.len() - unit.len()].parse().expect("a number");
    Duration::from_secs_f64(
        amount
            * match unit {
                "us" => 1e-6,
                "ms" => 1e-3,
                "s" => 1.0,
                "m" => 60.0,
                _ => panic!("wrk measures in {unit}"),
            },
    )
}
