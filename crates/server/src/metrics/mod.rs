//! What the service tells of itself to Prometheus, in the OpenMetrics format.
//!
//! Labels are names that this program or its settings give: routes as the table has them, statuses, stacks, kinds of
//! calls. No address of an object, no revision, no person and no value is ever one.

mod store;

use std::sync::Arc;
use std::time::{Duration, Instant};

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

pub use store::MeasuredStore;

/// The media type of what [`Metrics::encode`] gives.
pub const MEDIA: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Seconds: from what memory answers to what terraform takes.
const REQUEST_SECONDS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];
const WAIT_SECONDS: [f64; 8] = [0.01, 0.1, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    route: &'static str,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    method: &'static str,
    route: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct CallLabels {
    call: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StatusLabels {
    status: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StackLabels {
    stack: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    kind: &'static str,
}

/// A gauge that is left out where there is nothing to say.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NoLabels {}

/// What is read from the store when somebody asks for the metrics.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// How many of the newest runs are so, by status.
    pub runs: Vec<(String, u64)>,
    pub approvals_pending: u64,
    /// By stack.
    pub release_age: Vec<(String, Duration)>,
    pub locks_held: u64,
    pub audit_entries: u64,
    /// Since the last rehearsal of any of the newest releases; none where there was none.
    pub drill_age: Option<Duration>,
    /// How many of the newest releases are so, as their last rehearsals found.
    pub reach: Vec<(&'static str, u64)>,
}

/// The counters and the gauges.
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    request_seconds: Family<RouteLabels, Histogram>,
    in_flight: Gauge,
    attempts: Family<StatusLabels, Counter>,
    lock_waits: Histogram,
    words: Family<KindLabels, Counter>,
    store_seconds: Family<CallLabels, Histogram>,
    store_errors: Family<CallLabels, Counter>,
    runs: Family<StatusLabels, Gauge>,
    approvals_pending: Gauge,
    release_age: Family<StackLabels, Gauge>,
    locks_held: Gauge,
    audit_entries: Gauge,
    drill_age: Family<NoLabels, Gauge>,
    reach: Family<KindLabels, Gauge>,
    audit_damaged: Gauge,
    began: Instant,
    uptime: Gauge,
}

fn request_histogram() -> Histogram {
    Histogram::new(REQUEST_SECONDS)
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Metrics {
            registry: Registry::with_prefix("infra_rollback"),
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(request_histogram),
            in_flight: Gauge::default(),
            attempts: Family::default(),
            lock_waits: Histogram::new(WAIT_SECONDS),
            words: Family::default(),
            store_seconds: Family::new_with_constructor(request_histogram),
            store_errors: Family::default(),
            runs: Family::default(),
            approvals_pending: Gauge::default(),
            release_age: Family::default(),
            locks_held: Gauge::default(),
            audit_entries: Gauge::default(),
            drill_age: Family::default(),
            reach: Family::default(),
            audit_damaged: Gauge::default(),
            began: Instant::now(),
            uptime: Gauge::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    pub fn new() -> Arc<Metrics> {
        Arc::default()
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("requests", "Requests by route and status", self.requests.clone());
        registry.register_with_unit(
            "request_duration",
            "From the head of a request to that of its answer, a slow body's time included",
            Unit::Seconds,
            self.request_seconds.clone(),
        );
        registry.register(
            "requests_in_flight",
            "Requests that are worked on now",
            self.in_flight.clone(),
        );
        registry.register(
            "attempts",
            "Attempts to carry a rollback out that ended here, by how they ended",
            self.attempts.clone(),
        );
        registry.register_with_unit(
            "lock_wait",
            "How long runs waited for the locks of their stacks",
            Unit::Seconds,
            self.lock_waits.clone(),
        );
        registry.register(
            "words",
            "What people said to rollbacks: approval, override, break-glass",
            self.words.clone(),
        );
        registry.register_with_unit(
            "store_call_duration",
            "Calls of the store, by kind",
            Unit::Seconds,
            self.store_seconds.clone(),
        );
        registry.register(
            "store_call_errors",
            "Calls of the store that failed, by kind; a condition that does not hold is no failure",
            self.store_errors.clone(),
        );
        registry.register(
            "runs",
            "The newest 1000 runs, the command line's too, by status",
            self.runs.clone(),
        );
        registry.register(
            "approvals_pending",
            "Rollbacks of the newest 200 that wait for somebody's word",
            self.approvals_pending.clone(),
        );
        registry.register_with_unit(
            "newest_release_age",
            "Since the newest release of each stack was taken",
            Unit::Seconds,
            self.release_age.clone(),
        );
        registry.register("locks_held", "Stacks that a run has locked", self.locks_held.clone());
        registry.register("audit_entries", "Entries of the audit log", self.audit_entries.clone());
        registry.register_with_unit(
            "last_drill_age",
            "Since the last rehearsal of the way back to any of the newest releases",
            Unit::Seconds,
            self.drill_age.clone(),
        );
        registry.register(
            "releases_rehearsed",
            "The newest releases by what their last rehearsal found: reachable, at-a-price, not-reachable, never",
            self.reach.clone(),
        );
        registry.register(
            "audit_unsigned",
            "1 where the last attempt to sign a checkpoint failed: the log may be damaged",
            self.audit_damaged.clone(),
        );
        registry.register_with_unit("uptime", "Since the process began", Unit::Seconds, self.uptime.clone());
    }

    /// A request begins; what is given back says when it ends.
    pub(crate) fn request(&self) -> InFlight<'_> {
        self.in_flight.inc();
        InFlight {
            metrics: self,
            began: Instant::now(),
        }
    }

    pub(crate) fn attempt_ended(&self, status: &str) {
        let labels = StatusLabels {
            status: status.to_owned(),
        };
        self.attempts.get_or_create(&labels).inc();
    }

    /// A run has the locks of its stacks, after that long.
    pub fn locked_after(&self, waited: Duration) {
        self.lock_waits.observe(waited.as_secs_f64());
    }

    /// Somebody said something to a rollback: `approval`, `override`, `break-glass`.
    pub(crate) fn word(&self, kind: &'static str) {
        self.words.get_or_create(&KindLabels { kind }).inc();
    }

    pub(crate) fn store_call(&self, call: &'static str, began: Instant, failed: bool) {
        let labels = CallLabels { call };
        let seconds = began.elapsed().as_secs_f64();
        self.store_seconds.get_or_create(&labels).observe(seconds);
        if failed {
            self.store_errors.get_or_create(&labels).inc();
        }
    }

    /// Whether the last checkpoint of the audit log could be signed.
    pub(crate) fn audit_is_sound(&self, sound: bool) {
        self.audit_damaged.set(i64::from(!sound));
    }

    /// Everything as OpenMetrics, with what the store says now.
    pub fn encode(&self, standing: &Standing) -> String {
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        // A stack or a status that there is not any more must not stay at what it last was.
        self.runs.clear();
        for (status, count) in &standing.runs {
            let labels = StatusLabels { status: status.clone() };
            self.runs.get_or_create(&labels).set(number(*count));
        }
        self.release_age.clear();
        for (stack, age) in &standing.release_age {
            let labels = StackLabels { stack: stack.clone() };
            self.release_age.get_or_create(&labels).set(number(age.as_secs()));
        }
        self.approvals_pending.set(number(standing.approvals_pending));
        self.locks_held.set(number(standing.locks_held));
        self.audit_entries.set(number(standing.audit_entries));
        self.drill_age.clear();
        if let Some(age) = standing.drill_age {
            self.drill_age.get_or_create(&NoLabels {}).set(number(age.as_secs()));
        }
        self.reach.clear();
        for (kind, count) in &standing.reach {
            self.reach.get_or_create(&KindLabels { kind }).set(number(*count));
        }
        self.uptime.set(number(self.began.elapsed().as_secs()));
        let mut text = String::new();
        if let Err(error) = text::encode(&mut text, &self.registry) {
            tracing::error!(%error, "the metrics cannot be written");
        }
        text
    }
}

/// A request that is being worked on.
pub(crate) struct InFlight<'m> {
    metrics: &'m Metrics,
    began: Instant,
}

impl InFlight<'_> {
    pub(crate) fn ended(self, method: &'static str, route: &'static str, status: u16) {
        let seconds = self.began.elapsed().as_secs_f64();
        let requests = &self.metrics.requests;
        requests.get_or_create(&RequestLabels { method, route, status }).inc();
        let labels = RouteLabels { method, route };
        self.metrics.request_seconds.get_or_create(&labels).observe(seconds);
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.metrics.in_flight.dec();
    }
}
