//! What is deployed now: which commit's configuration the live state belongs to.

use rollback_config::{Configuration, DiskTree, load};
use rollback_release::{Release, ReleaseKind, StackRecord};
use rollback_repository::CommitId;
use rollback_state::{Mode, State};

use crate::context::{Context, Stack};
use crate::error::Result;
use crate::history::configuration_at;
use crate::live::Live;

/// The configuration that is deployed now.
pub struct Deployed {
    pub commit: CommitId,
    pub dir: String,
    /// The release of it, with this stack's record.
    pub release: Option<(Release, StackRecord)>,
    pub configuration: Configuration,
}

impl Deployed {
    /// What the release that tells it has of the stack.
    pub fn record(&self) -> Option<&StackRecord> {
        self.release.as_ref().map(|(_, record)| record)
    }
}

/// How many releases are looked at for one that tells what was deployed.
pub(crate) const LOOK_BACK: usize = 50;

/// Finds it: the newest release whose state is the live one to the byte; else whichever of HEAD and the newest release
/// declares more of the objects that live now.
///
/// # Errors
/// The store or the repository cannot be read, or neither configuration can be parsed.
pub fn find(context: &Context, stack: &Stack, live: Option<&State>) -> Result<Deployed> {
    let mut releases: Vec<Release> = context
        .catalogue()
        .list(LOOK_BACK)?
        .into_iter()
        .filter(|release| !matches!(release.kind, ReleaseKind::Backup { .. }))
        .filter(|release| release.stack(&stack.name).is_some())
        .collect();
    prefer_workspace(context, stack, &mut releases);
    if let Some(live) = live {
        let sha256 = live.sha256();
        let same = releases.iter().find(|release| {
            release
                .stack(&stack.name)
                .and_then(|record| record.state.as_ref())
                .is_some_and(|state| state.sha256 == sha256)
        });
        if let Some(release) = same
            && let Ok(found) = of_release(context, stack, release)
        {
            return Ok(found);
        }
    }
    let head = of_head(context, stack);
    let newest = releases.first().map(|release| of_release(context, stack, release));
    match (head, newest) {
        (Ok(head), Some(Ok(newest))) => {
            if head.commit == newest.commit {
                return Ok(newest);
            }
            let score = |found: &Deployed| live.map_or(0, |live| declared(&found.configuration, live));
            // After a rollback the checkout is usually ahead of what is deployed; after a deploy it is what is deployed.
            let rolled_back = releases
                .first()
                .is_some_and(|release| matches!(release.kind, ReleaseKind::Result { .. }));
            let newest_wins = match score(&newest).cmp(&score(&head)) {
                std::cmp::Ordering::Greater => true,
                std::cmp::Ordering::Equal => rolled_back,
                std::cmp::Ordering::Less => false,
            };
            Ok(if newest_wins { newest } else { head })
        }
        (Ok(head), _) => Ok(head),
        (Err(_), Some(newest)) => newest,
        (Err(error), None) => Err(error),
    }
}

/// The commit that was deployed last, where no stack tells: the newest release's, else HEAD.
///
/// # Errors
/// The store or the repository cannot be read.
pub(crate) fn last(context: &Context) -> Result<CommitId> {
    let newest = context
        .catalogue()
        .summaries(usize::MAX)?
        .into_iter()
        .find(|release| !matches!(release.kind, ReleaseKind::Backup { .. }));
    match newest {
        Some(release) => context.commit_of_record(&release.commit),
        None => Ok(context.repository.head()?),
    }
}

/// The deployed configuration as a run recorded it when it began.
pub fn of_commit(context: &Context, stack: &Stack, commit: &CommitId) -> Result<Deployed> {
    let mut releases: Vec<Release> = context.catalogue().by_commit(commit.as_str())?.into_iter().collect();
    prefer_workspace(context, stack, &mut releases);
    for release in releases {
        if release.stack(&stack.name).is_some_and(|record| record.commit.is_none()) {
            return of_release(context, stack, &release);
        }
    }
    let known = [stack.dir.as_str()];
    let dir =
        crate::history::dir_at(&context.repository, commit, &stack.name, &known)?.unwrap_or_else(|| stack.dir.clone());
    let configuration = configuration_at(&context.repository, context.store.as_ref(), commit, &dir, None)?;
    Ok(Deployed {
        commit: commit.clone(),
        dir,
        release: None,
        configuration,
    })
}

/// What another workspace of the stack has says nothing of this one, where there are releases of this one.
fn prefer_workspace(context: &Context, stack: &Stack, releases: &mut Vec<Release>) {
    let Ok(here) = Live::workspace_of(context, stack) else {
        return;
    };
    let is_here = |release: &Release| {
        release
            .stack(&stack.name)
            .is_some_and(|record| record.workspace == here)
    };
    if releases.iter().any(is_here) {
        releases.retain(is_here);
    }
}

fn of_release(context: &Context, stack: &Stack, release: &Release) -> Result<Deployed> {
    let Some(record) = release.stack(&stack.name) else {
        return of_head(context, stack);
    };
    let commit = context.commit_of_record(release.commit_of(record))?;
    let configuration = configuration_at(
        &context.repository,
        context.store.as_ref(),
        &commit,
        &record.dir,
        Some(record),
    )?;
    Ok(Deployed {
        commit,
        dir: record.dir.clone(),
        release: Some((release.clone(), record.clone())),
        configuration,
    })
}

fn of_head(context: &Context, stack: &Stack) -> Result<Deployed> {
    let commit = context.repository.head()?;
    let known = [stack.dir.as_str()];
    let dir =
        crate::history::dir_at(&context.repository, &commit, &stack.name, &known)?.unwrap_or_else(|| stack.dir.clone());
    let configuration = match configuration_at(&context.repository, context.store.as_ref(), &commit, &dir, None) {
        Ok(configuration) => configuration,
        // Not committed yet: what lies there is what was applied.
        Err(_) => load(&DiskTree::new(context.root.clone()), &stack.dir, None)?,
    };
    Ok(Deployed {
        commit,
        dir,
        release: None,
        configuration,
    })
}

/// How many of the live managed objects a configuration declares.
fn declared(configuration: &Configuration, live: &State) -> usize {
    live.instances()
        .filter(|instance| instance.mode() == Mode::Managed && configuration.declares(instance.address()))
        .count()
}
