//! What every request works with: the store, the audit log, and a way into the repository.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rollback_engine::audit::Audit;
use rollback_engine::context::Context;
use rollback_inverse::Knowledge;
use rollback_release::{Catalogue, Store};

use crate::checkouts::Checkouts;
use crate::given::Held;
use crate::identity::Identities;
use crate::metrics::{MeasuredStore, Metrics};
use crate::problem::{self, Problem, Result};
use crate::projects::{CheckoutOpener, Projects};
use crate::worker::Workers;

/// Which context is asked for.
pub struct Asked<'a> {
    /// Empty for all stacks.
    pub stacks: &'a [String],
    pub actor: &'a str,
    /// What is being done, for the record.
    pub command: &'a str,
}

/// Opens the repository's context anew: git and terraform's folders are read as they are at that moment.
pub type Opener = Box<dyn Fn(&Asked<'_>) -> rollback_engine::error::Result<Context> + Send + Sync>;

/// How many people have to say yes, and who may.
#[derive(Clone, Copy, Debug)]
pub struct ApprovalRules {
    /// How many different people.
    pub count: usize,
    /// Whether whoever asked for the rollback may be one of them.
    pub by_requester: bool,
    /// How long a yes is good for.
    pub lifetime: Duration,
}

impl Default for ApprovalRules {
    fn default() -> Self {
        ApprovalRules {
            count: 1,
            by_requester: true,
            lifetime: Duration::from_secs(24 * 60 * 60),
        }
    }
}

/// What the service takes on at a time. Sizes in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub connections: usize,
    /// Requests that are worked on at the same time; more wait, and are turned away after a while.
    pub requests: usize,
    /// Bodies of states that are in memory at the same time.
    pub state_memory: usize,
    pub state: usize,
    pub body: usize,
    pub headers: usize,
    pub header_time: Duration,
    pub body_time: Duration,
    /// How long a request waits for its turn.
    pub patience: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections: 8192,
            requests: 64,
            state_memory: 1 << 30,
            state: 256 << 20,
            body: 1 << 20,
            headers: 64 << 10,
            header_time: Duration::from_secs(10),
            body_time: Duration::from_secs(120),
            patience: Duration::from_secs(10),
        }
    }
}

/// The service.
pub struct Service {
    pub store: Arc<dyn Store>,
    pub project: String,
    pub audit: Audit,
    pub knowledge: Knowledge,
    pub approvals: ApprovalRules,
    pub limits: Limits,
    /// The projects that clients bring, where this service takes them in.
    pub projects: Option<Projects>,
    /// This project's own checkouts, where its clients bring them.
    pub checkouts: Option<Checkouts>,
    pub(crate) checkout_opener: Option<CheckoutOpener>,
    /// The project whose tokens for all stacks are good here, too.
    pub home: Option<String>,
    /// Whose identity tokens are taken.
    pub identities: Arc<Identities>,
    /// Values for variables of what is under way.
    pub(crate) held: Held,
    pub metrics: Arc<Metrics>,
    opener: Option<Opener>,
    pub(crate) workers: Workers,
    /// The service is about to end: what only watches stops.
    stopping: AtomicBool,
}

impl Service {
    /// Without an opener it keeps states and answers questions about what the store holds.
    pub fn new(store: Arc<dyn Store>, project: &str, opener: Option<Opener>) -> Service {
        let metrics = Metrics::new();
        let store = Arc::new(MeasuredStore::new(store, metrics.clone()));
        Service::measured(store, project, opener, metrics)
    }

    /// As [`Service::new`], where the opener's contexts have a store that is measured already.
    pub fn measured(store: Arc<dyn Store>, project: &str, opener: Option<Opener>, metrics: Arc<Metrics>) -> Service {
        Service {
            metrics,
            audit: Audit::new(store.clone(), project),
            store,
            project: project.to_owned(),
            knowledge: Knowledge::built_in(),
            approvals: ApprovalRules::default(),
            limits: Limits::default(),
            projects: None,
            checkouts: None,
            checkout_opener: None,
            home: None,
            identities: Arc::default(),
            held: Held::default(),
            opener,
            workers: Workers::default(),
            stopping: AtomicBool::new(false),
        }
    }

    /// Has what only watches stop; rollbacks come to rest by themselves.
    pub fn stop_watching(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        for other in self.projects.iter().flat_map(|projects| projects.all(self)) {
            other.stop_watching();
        }
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    pub fn catalogue(&self) -> Catalogue<'_> {
        Catalogue::new(self.store.as_ref(), &self.project)
    }

    pub fn has_repository(&self) -> bool {
        self.opener.is_some() && self.checkouts.as_ref().is_none_or(|own| own.current().is_some())
    }

    /// The context of a checkout that is not the current one yet.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn context_in(&self, folder: &std::path::Path, asked: &Asked<'_>) -> Result<Context> {
        match &self.checkout_opener {
            Some(open) => Ok(open(folder, asked)?),
            None => Err(Problem::new(&problem::NO_REPOSITORY, "this service takes no checkouts")),
        }
    }

    /// Waits until no rollback is being worked on; false where that takes longer.
    pub fn wait_for_workers(&self, longest: Duration) -> bool {
        let end = std::time::Instant::now() + longest;
        let others = self
            .projects
            .as_ref()
            .map(|projects| projects.all(self))
            .unwrap_or_default();
        let left = || end.saturating_duration_since(std::time::Instant::now());
        others.iter().all(|other| other.workers.wait(left())) && self.workers.wait(left())
    }

    /// The repository's context.
    ///
    /// # Errors
    /// There is none, or it cannot be opened.
    pub fn context(&self, asked: &Asked<'_>) -> Result<Context> {
        match &self.opener {
            Some(open) => Ok(open(asked)?),
            None => Err(Problem::new(
                &problem::NO_REPOSITORY,
                "this service was started without a repository",
            )),
        }
    }
}
