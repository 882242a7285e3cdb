//! `drill`: rehearses the way back to a release.

use rollback_engine::drill::{self, Drill, Reach};
use rollback_engine::error::Result;
use serde_json::json;

use crate::arguments::{DrillArguments, Global};
use crate::output::{Output, Tone};
use crate::session;

/// 3 where there is no way back.
pub fn run(global: &Global, arguments: &DrillArguments, output: &Output) -> Result<u8> {
    let context = session::open(global, &arguments.variables, output)?;
    let revision = match &arguments.revision {
        Some(revision) => revision.clone(),
        None => drill::previous(&context)?,
    };
    let drill = drill::drill(&context, &revision)?;
    drop(context);
    Ok(tell(output, &drill))
}

/// What was found; 3 where there is no way back.
pub fn tell(output: &Output, drill: &Drill) -> u8 {
    for finding in &drill.findings {
        let (sign, tone) = match finding.reach {
            Reach::Reachable => ("✓", Tone::Good),
            Reach::AtAPrice => ("!", Tone::Warning),
            Reach::NotReachable => ("✗", Tone::Danger),
        };
        output.toned(tone, &format!("{sign} {:<9} {}", finding.part, finding.text));
        finding
            .hints
            .iter()
            .for_each(|hint| output.line(&format!("    → {hint}")));
    }
    output.toned(
        tone(drill.reach),
        &format!(
            "{} ({:.10}) is {}; rehearsed in {:.1} s.",
            drill.revision,
            drill.commit,
            drill.reach.in_words(),
            f64::from(u32::try_from(drill.milliseconds).unwrap_or(u32::MAX)) / 1000.0
        ),
    );
    output.document(&json!(drill));
    if drill.reach == Reach::NotReachable { 3 } else { 0 }
}

/// How good a way back is.
pub fn tone(reach: Reach) -> Tone {
    match reach {
        Reach::Reachable => Tone::Good,
        Reach::AtAPrice => Tone::Warning,
        Reach::NotReachable => Tone::Danger,
    }
}
