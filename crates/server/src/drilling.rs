//! The thread that rehearses the way back by itself, as `[drill]` of a project says. Of several instances one does it: it
//! claims it in the store, and says now and then that it is still at it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rollback_engine::drill::schedule::{Claims, SILENCE, Schedule, due};
use rollback_engine::drill::{self, Reach};
use rollback_engine::error::Result;
use uuid::Uuid;

use crate::service::{Asked, Service};
use crate::stop::Stop;

/// Who the record says that it was.
const ACTOR: &str = "schedule";
/// How often it is looked whether something is due, where rehearsals are rare.
const LOOK: Duration = Duration::from_secs(60);
/// No look comes sooner after the one before, however often rehearsals are wanted.
const SHORTEST: Duration = Duration::from_millis(500);
/// How long a rehearsal may still take when the service ends.
const LAST: Duration = Duration::from_secs(60);
/// How often the holder of the claim says that it is at it.
const BEAT: Duration = Duration::from_secs(10);

/// Rehearses now and then until it is dropped; what is under way then has a minute to finish. It has no effects that could be
/// left halfway, and its claim runs out.
pub struct Drilling {
    stop: Arc<Stop>,
    thread: Option<JoinHandle<()>>,
}

/// Begins. Each time the settings are read anew, so that a change of `[drill]` counts without a restart.
///
/// # Errors
/// No thread can be started.
pub fn keep_drilling(service: &Arc<Service>) -> Result<Drilling> {
    let stop = Arc::new(Stop::default());
    let (service, stopped) = (service.clone(), stop.clone());
    let me = Uuid::now_v7().to_string();
    let thread = std::thread::Builder::new().name("drills".to_owned()).spawn(move || {
        let mut claims: BTreeMap<String, Claims> = BTreeMap::new();
        loop {
            let others = service.projects.iter().flat_map(|projects| projects.all(&service));
            let all: Vec<Arc<Service>> = std::iter::once(service.clone()).chain(others).collect();
            let mut next = LOOK;
            for one in &all {
                let own = claims
                    .entry(one.project.clone())
                    .or_insert_with(|| Claims::new(one.store.clone(), &one.project, &me));
                match look(one, own, &stopped) {
                    Ok(Some(every)) => next = next.min(every / 4),
                    Ok(None) => {}
                    Err(error) => tracing::warn!(project = one.project, %error, "no rehearsal"),
                }
            }
            if stopped.wait(next.clamp(SHORTEST, LOOK)) {
                return;
            }
        }
    })?;
    Ok(Drilling {
        stop,
        thread: Some(thread),
    })
}

impl Drop for Drilling {
    fn drop(&mut self) {
        self.stop.set();
        let Some(thread) = self.thread.take() else { return };
        let end = Instant::now() + LAST;
        while !thread.is_finished() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Rehearses what is due in one project; how often that is to be, where it says so.
fn look(service: &Service, claims: &mut Claims, stop: &Stop) -> Result<Option<Duration>> {
    if !service.has_repository() {
        return Ok(None);
    }
    let asked = Asked {
        stacks: &[],
        actor: ACTOR,
        command: "serve: [drill]",
    };
    let context = service
        .context(&asked)
        .map_err(|problem| rollback_engine::error::EngineError::failed(problem.detail))?;
    let Some(section) = &context.settings.drill else {
        return Ok(None);
    };
    let schedule = Schedule::of(section)?;
    let store = service.store.as_ref();
    let due_now = || due(store, &service.project, &schedule, Timestamp::now());
    if due_now()?.is_empty() {
        return Ok(Some(schedule.every));
    }
    if !claims.take(SILENCE)? {
        return Ok(Some(schedule.every));
    }
    let claims = &*claims;
    let over = Stop::default();
    let rehearsed = std::thread::scope(|scope| {
        let beating = scope.spawn(|| {
            while !over.wait(BEAT) {
                if !claims.beat().unwrap_or(true) {
                    tracing::warn!(project = service.project, "another instance rehearses, too");
                }
            }
        });
        // What another instance has done until we had the claim is not done again.
        let rehearsed = due_now().and_then(|releases| {
            for release in releases {
                if stop.wait(Duration::ZERO) {
                    break;
                }
                let found = drill::of_release(&context, &release)?;
                tracing::info!(
                    release = release.id.as_str(),
                    reach = found.reach.in_words(),
                    milliseconds = found.milliseconds,
                    "rehearsed"
                );
                if found.reach == Reach::NotReachable {
                    tracing::error!(release = release.id.as_str(), "there is no way back to a release");
                }
            }
            Ok(())
        });
        over.set();
        let _ = beating.join();
        rehearsed
    });
    claims.leave()?;
    rehearsed.map(|()| Some(schedule.every))
}
