//! `serve`: the API and Terraform's HTTP state backend.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rollback_config::project::TlsSection;
use rollback_engine::audit::key::SigningKey;
use rollback_engine::context::Given;
use rollback_engine::error::{EngineError, Result};
use rollback_engine::observe::{Observer, Stage};
use rollback_release::Store;
use rollback_server::identity::{self, Identities};
use rollback_server::metrics::{MeasuredStore, Metrics};
use rollback_server::projects::{CheckoutOpener, Projects};
use rollback_server::service::{ApprovalRules, Opener, Service};
use rollback_server::tls::{Files, Tls};
use rollback_server::tokens::Tokens;
use rollback_terraform::Event;
use serde_json::json;

use crate::arguments::{Global, ServeArguments};
use crate::output::{Output, Tone};
use crate::session::{self, Asking, Governed, Kept, Serving};

/// How long rollbacks may take to come to rest after a signal: terraform is asked to stop once and finishes what it began.
const LAST_RUNS: Duration = Duration::from_secs(60);

/// What a service that takes in the projects of others calls its own, where nobody says.
const PROJECT: &str = "service";
/// How often the audit log gets a signed checkpoint, where entries have come.
const CHECKPOINTS: Duration = Duration::from_secs(60);

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
    let project = arguments.project.as_deref();
    let kept = match &arguments.checkouts {
        None => session::open_store(&folder, global, project)?,
        // The settings are the service's, not those of a project around it.
        Some(_) => {
            let global = Global {
                config: None,
                ..global.clone()
            };
            session::open_store(&folder, &global, project.or(Some(PROJECT)))?
        }
    };
    let metrics = Metrics::new();
    let store: Arc<dyn Store> = Arc::new(MeasuredStore::new(kept.store.clone(), metrics.clone()));
    let opener = kept
        .located
        .as_ref()
        .map(|located| opener(&located.root, global, &store, &metrics));
    let mut service = Service::measured(store.clone(), &kept.project, opener, metrics.clone());
    if let Some(located) = &kept.located {
        service.knowledge = session::knowledge(&located.root, &located.settings)?;
    }
    if let Some(folder) = &arguments.checkouts {
        let governed = Governed::read(global.config.as_deref())?;
        let folder = std::path::absolute(folder)?;
        service.projects = Some(Projects::new(folder, checkout_opener(governed, &store, &metrics)));
    }
    let serving = Serving::read(global.config.as_deref(), kept.located.as_ref())?;
    service.identities = Arc::new(Identities::new(&serving.identities)?);
    let identities = (service.identities.clone(), serving.identities.clone());
    let tls = tls_files(arguments, serving.tls)
        .map(Tls::open)
        .transpose()?
        .map(Arc::new);
    service.approvals = ApprovalRules {
        count: usize::from(arguments.approvals),
        by_requester: !arguments.four_eyes,
        ..ApprovalRules::default()
    };
    let service = Arc::new(service);
    let following = serving
        .file
        .clone()
        .map(|file| {
            let (identities, known) = identities;
            identity::follow(identities, known, move || session::identities_in(&file))
        })
        .transpose()?;
    let key = arguments.audit_key.as_deref().map(SigningKey::read).transpose()?;
    let signing = key
        .map(|key| rollback_server::keep_signing(&service, key, CHECKPOINTS))
        .transpose()?;
    let drilling = rollback_server::keep_drilling(&service)?;
    let baking = rollback_server::keep_baking(&service)?;
    // Ours from here on: a signal must end the requests, not the process in the middle of one.
    rollback_terraform::leave_signals_to_caller();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let (listener, address, stop) = runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(&arguments.listen)
            .await
            .map_err(|error| {
                EngineError::failed(format!("{} cannot be listened on: {error}", arguments.listen))
                    .hint("give another --listen ADDRESS:PORT; port 0 takes a free one")
            })?;
        let address = listener.local_addr()?;
        // In place before anybody is told the address.
        Ok::<_, EngineError>((listener, address, stop_signal()?))
    })?;
    // Not within the runtime: a shared store waits on one of its own, and one must not wait within the other.
    rollback_server::take_up(&service).map_err(|problem| EngineError::failed(problem.detail.clone()))?;
    announce(output, &kept, &service, address, tls.is_some())?;
    runtime.block_on(rollback_server::serve(listener, service.clone(), tls, stop))?;
    output.note(Tone::Plain, "The last requests are answered.");
    service.stop_watching();
    drop(following);
    drop(baking);
    drop(drilling);
    if !service.wait_for_workers(LAST_RUNS) {
        output.note(
            Tone::Warning,
            "A rollback is still under way and is left as it is: `infra-rollback resume`, or the API's, goes on with it.",
        );
    }
    drop(signing);
    Ok(())
}

/// The files that the arguments name, else those of the settings.
fn tls_files(arguments: &ServeArguments, section: Option<TlsSection>) -> Option<Files> {
    match (&arguments.tls_certificate, &arguments.tls_key) {
        (Some(certificate), Some(key)) => Some(Files {
            certificate: certificate.clone(),
            key: key.clone(),
        }),
        _ => section.map(|section| Files {
            certificate: section.certificate.into(),
            key: section.key.into(),
        }),
    }
}

fn announce(output: &Output, kept: &Kept, service: &Service, address: SocketAddr, tls: bool) -> Result<()> {
    let url = format!("{}://{address}", if tls { "https" } else { "http" });
    output.line(&format!("Listening on {url}"));
    if service.projects.is_some() {
        output.note(Tone::Plain, "Projects and their checkouts are brought by its clients.");
    } else if kept.located.is_none() {
        output.note(
            Tone::Plain,
            "Without a repository: states are kept and answered for; nothing is planned or rolled back.",
        );
    }
    for issuer in service.identities.issuers() {
        output.note(Tone::Plain, &format!("Identity tokens of {issuer} are taken."));
    }
    if service.identities.issuers().is_empty()
        && Tokens::new(kept.store.as_ref(), &kept.project)
            .all()?
            .iter()
            .all(|token| !token.is_valid())
    {
        output.note(
            Tone::Warning,
            "! There is no valid token: make one with `infra-rollback tokens create --name NAME --role admin`",
        );
    }
    if !tls && !address.ip().is_loopback() {
        output.note(
            Tone::Warning,
            "! Tokens and states go over the network as they are: give --tls-certificate and --tls-key, or put a proxy \
             that speaks TLS in front",
        );
    }
    output.document(&json!({ "url": url, "address": address, "project": kept.project,
        "repository": kept.located.as_ref().map(|located| located.root.display().to_string()) }));
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

/// Opens a checkout that a client brought: what it says of itself counts, but for what is governed.
fn checkout_opener(governed: Governed, store: &Arc<dyn Store>, metrics: &Arc<Metrics>) -> CheckoutOpener {
    let store = store.clone();
    let metrics = metrics.clone();
    Arc::new(move |folder, asked| {
        let global = Global {
            stacks: asked.stacks.to_vec(),
            ..Global::default()
        };
        let asking = Asking {
            actor: asked.actor.to_owned(),
            command: asked.command.to_owned(),
            given: Given::default(),
            secrets: Arc::default(),
            observer: Box::new(Log(metrics.clone())),
            governed: Some(governed.clone()),
        };
        session::open_in(folder, &global, Some(store.clone()), asking)
    })
}

fn opener(folder: &std::path::Path, global: &Global, store: &Arc<dyn Store>, metrics: &Arc<Metrics>) -> Opener {
    let (folder, global, store): (PathBuf, Global, _) = (folder.to_path_buf(), global.clone(), store.clone());
    let metrics = metrics.clone();
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
            observer: Box::new(Log(metrics.clone())),
            governed: None,
        };
        session::open_in(&folder, &global, Some(store.clone()), asking)
    })
}

/// What a run does goes to the service's log, and into its metrics.
struct Log(Arc<Metrics>);

impl Observer for Log {
    fn stage(&self, stack: &str, stage: Stage) {
        tracing::info!(stack, stage = stage.as_str());
    }

    fn terraform(&self, _: &str, _: &Event) {}

    fn warning(&self, message: &str) {
        tracing::warn!(message);
    }

    fn pause(&self) {}

    fn locked_after(&self, waited: Duration) {
        self.0.locked_after(waited);
    }
}
