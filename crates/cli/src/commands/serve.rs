//! `serve`: the API and Terraform's HTTP state backend.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rollback_engine::context::Given;
use rollback_engine::error::{EngineError, Result};
use rollback_engine::observe::{Observer, Stage};
use rollback_server::service::{ApprovalRules, Opener, Service};
use rollback_server::tokens::Tokens;
use rollback_terraform::Event;
use serde_json::json;

use crate::arguments::{Global, ServeArguments};
use crate::output::{Output, Tone};
use crate::session::{self, Asking};

/// How long rollbacks may take to come to rest after a signal: terraform is asked to stop once and finishes what it began.
const LAST_RUNS: Duration = Duration::from_secs(60);

/// Serves until a signal comes.
pub fn run(global: &Global, arguments: &ServeArguments, output: &Output) -> Result<()> {
    if !global.stacks.is_empty() {
        return Err(EngineError::usage("the service is for all stacks")
            .hint("a token is bound to stacks: tokens create --stack"));
    }
    let folder = match &arguments.repository {
        Some(folder) => folder.clone(),
        None => std::env::current_dir()?,
    };
    let kept = session::open_store(&folder, global, arguments.project.as_deref())?;
    let opener = kept
        .located
        .as_ref()
        .map(|located| opener(&located.root, global, &kept.store));
    let mut service = Service::new(kept.store.clone(), &kept.project, opener);
    if let Some(located) = &kept.located {
        service.knowledge = session::knowledge(located)?;
    }
    service.approvals = ApprovalRules {
        count: usize::from(arguments.approvals),
        by_requester: !arguments.four_eyes,
        ..ApprovalRules::default()
    };
    let service = Arc::new(service);
    // Ours from here on: a signal must end the requests, not the process in the middle of one.
    rollback_terraform::leave_signals_to_caller();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(&arguments.listen)
            .await
            .map_err(|error| {
                EngineError::failed(format!("{} cannot be listened on: {error}", arguments.listen))
                    .hint("give another --listen ADDRESS:PORT; port 0 takes a free one")
            })?;
        let address = listener.local_addr()?;
        // In place before anybody is told the address.
        let stop = stop_signal()?;
        rollback_server::take_up(&service).map_err(|problem| EngineError::failed(problem.detail.clone()))?;
        announce(output, &kept, address)?;
        rollback_server::serve(listener, service.clone(), stop).await?;
        Ok::<(), EngineError>(())
    })?;
    output.note(Tone::Plain, "The last requests are answered.");
    if !service.wait_for_workers(LAST_RUNS) {
        output.note(
            Tone::Warning,
            "A rollback is still under way and is left as it is: `infra-rollback resume`, or the API's, goes on with it.",
        );
    }
    Ok(())
}

fn announce(output: &Output, kept: &session::Kept, address: std::net::SocketAddr) -> Result<()> {
    output.line(&format!("Listening on http://{address}"));
    if kept.located.is_none() {
        output.note(
            Tone::Plain,
            "Without a repository: states are kept and answered for; nothing is planned or rolled back.",
        );
    }
    if Tokens::new(kept.store.as_ref(), &kept.project)
        .all()?
        .iter()
        .all(|token| !token.is_valid())
    {
        output.note(
            Tone::Warning,
            "! There is no valid token: make one with `infra-rollback tokens create --name NAME --role admin`",
        );
    }
    if !address.ip().is_loopback() {
        output.note(
            Tone::Warning,
            "! Tokens and states go over the network as they are: put a proxy that speaks TLS in front",
        );
    }
    output.document(
        &json!({ "url": format!("http://{address}"), "address": address, "project": kept.project,
        "repository": kept.located.as_ref().map(|located| located.root.display().to_string()) }),
    );
    Ok(())
}

/// Done when SIGTERM or SIGINT comes.
fn stop_signal() -> Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

fn opener(folder: &std::path::Path, global: &Global, store: &Arc<dyn rollback_release::Store>) -> Opener {
    let (folder, global, store): (PathBuf, Global, _) = (folder.to_path_buf(), global.clone(), store.clone());
    Box::new(move |asked| {
        let global = Global {
            stacks: asked.stacks.to_vec(),
            ..global.clone()
        };
        let asking = Asking {
            actor: asked.actor.to_owned(),
            command: asked.command.to_owned(),
            given: Given::default(),
            secrets: Arc::default(),
            observer: Box::new(Log),
        };
        session::open_in(&folder, &global, Some(store.clone()), asking)
    })
}

/// What a run does goes to the service's log.
struct Log;

impl Observer for Log {
    fn stage(&self, stack: &str, stage: Stage) {
        tracing::info!(stack, stage = stage.as_str());
    }

    fn terraform(&self, _: &str, _: &Event) {}

    fn warning(&self, message: &str) {
        tracing::warn!(message);
    }

    fn pause(&self) {}
}
