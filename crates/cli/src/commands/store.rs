//! `store`: the store itself, made and looked after.

use rollback_engine::error::Result;
use rollback_release::StoreError;
use rollback_store_aws::{AwsStore, Outcome, Setting};
use rollback_store_local::LocalStore;
use serde_json::{Value, json};

use crate::arguments::{Global, Purpose};
use crate::output::{Output, Tone};
use crate::session::{self, StorePlace};

/// Makes what is missing; with `dry` only says what that is.
pub fn create(global: &Global, dry: bool, output: &Output) -> Result<()> {
    let place = session::store_place(global)?;
    let settings = match &place {
        StorePlace::Shared(location) => {
            let progress = |text: &str| output.note(Tone::Faint, &format!("{text} …"));
            AwsStore::open(location)?.create_missing(dry, &progress)?
        }
        StorePlace::Folder(folder) => {
            let there = match LocalStore::open_existing(folder) {
                Ok(_) => true,
                // An empty folder is none yet.
                Err(StoreError::NoStore { .. }) => false,
                Err(error) => return Err(error.into()),
            };
            if !there && !dry {
                place.open(Purpose::Make)?;
            }
            vec![Setting {
                what: format!("folder {}", folder.display()),
                outcome: match (there, dry) {
                    (true, _) => Outcome::There,
                    (false, true) => Outcome::Missing,
                    (false, false) => Outcome::Made,
                },
            }]
        }
    };
    for setting in &settings {
        print(setting, output);
    }
    let listed: Vec<Value> = settings.iter().map(document).collect();
    output.document(&json!({ "store": place.to_string(), "dry_run": dry, "settings": listed }));
    output.line(if dry {
        "Nothing was made: this was a dry run."
    } else {
        "The store is there; `infra-rollback doctor` tries whether it keeps its promises."
    });
    Ok(())
}

fn print(setting: &Setting, output: &Output) {
    let what = &setting.what;
    match &setting.outcome {
        Outcome::Made => output.toned(Tone::Good, &format!("  made      {what}")),
        Outcome::Missing => output.toned(Tone::Warning, &format!("  missing   {what}")),
        Outcome::There => output.line(&format!("  there     {what}")),
        Outcome::Unsupported => output.toned(
            Tone::Faint,
            &format!("  unknown   {what}: this server does not know it"),
        ),
        Outcome::Different { found, hint } => {
            output.toned(Tone::Warning, &format!("  different {what}: {found}; left alone"));
            output.line(&format!("            → {hint}"));
        }
    }
}

fn document(setting: &Setting) -> Value {
    let (outcome, found, hint) = match &setting.outcome {
        Outcome::Made => ("made", None, None),
        Outcome::Missing => ("missing", None, None),
        Outcome::There => ("there", None, None),
        Outcome::Unsupported => ("unsupported", None, None),
        Outcome::Different { found, hint } => ("different", Some(found), Some(hint)),
    };
    json!({ "setting": setting.what, "outcome": outcome, "found": found, "hint": hint })
}
