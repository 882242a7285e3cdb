//! Regorus, set up as we want it, and filled with a bundle.

use std::num::NonZeroU32;
use std::time::Duration;

use regorus::Engine;
use regorus::utils::limits::ExecutionTimerConfig;

use crate::bundle::Bundle;
use crate::error::PolicyError;
use crate::literals::for_engine;

/// An empty one that looks at the clock by itself.
pub(crate) fn engine(time: Duration) -> Engine {
    let mut engine = Engine::new();
    // A built-in function that fails would otherwise be undefined, and the rule silent.
    engine.set_strict_builtin_errors(true);
    engine.set_execution_timer_config(ExecutionTimerConfig {
        limit: time,
        check_interval: NonZeroU32::new(64).unwrap_or(NonZeroU32::MIN),
    });
    engine
}

/// Adds a module and returns its package without `data.`.
pub(crate) fn add_module(engine: &mut Engine, path: &str, text: &str) -> Result<String, PolicyError> {
    let wrong = |reason: String| PolicyError::Rego {
        file: path.to_owned(),
        reason,
    };
    let text = for_engine(text);
    engine.set_rego_v0(false);
    let package = match engine.add_policy(path.to_owned(), text.clone().into_owned()) {
        Ok(package) => package,
        Err(newer) => {
            engine.set_rego_v0(true);
            engine
                .add_policy(path.to_owned(), text.clone().into_owned())
                .map_err(|older| match text.contains("rego.v1") || text.contains(" if ") {
                    true => wrong(format!("{newer:#}").trim().to_owned()),
                    false => wrong(format!("{older:#}").trim().to_owned()),
                })?
        }
    };
    let package = package.strip_prefix("data.").unwrap_or(&package).to_owned();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
    if !package.chars().all(plain) {
        return Err(wrong(format!(
            "package {package}: only packages of plain names are judged"
        )));
    }
    Ok(package)
}

pub(crate) fn add_data(engine: &mut Engine, bundle: &Bundle) -> Result<(), PolicyError> {
    let data = bundle.data()?;
    if data.as_object().is_some_and(serde_json::Map::is_empty) {
        return Ok(());
    }
    engine
        .add_data_json(&data.to_string())
        .map_err(|error| PolicyError::Data {
            file: bundle.origin.clone(),
            reason: format!("{error:#}"),
        })
}

/// One with a bundle in it.
pub(crate) fn filled(bundle: &Bundle, time: Duration) -> Result<Engine, PolicyError> {
    let mut engine = engine(time);
    for (path, text) in bundle.modules() {
        add_module(&mut engine, path, text)?;
    }
    add_data(&mut engine, bundle)?;
    Ok(engine)
}
