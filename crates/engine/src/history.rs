//! The configurations between what is deployed and the target: each commit on the way whose stack differs.

use std::collections::BTreeMap;

use rollback_config::project::Project;
use rollback_config::{Configuration, FileTree, LayeredTree, Manifest, MemoryTree, load};
use rollback_inverse::{Direction, Step};
use rollback_release::{StackRecord, Store};
use rollback_repository::{CommitId, Repository};

use crate::context::{SETTINGS, stack_of_section};
use crate::error::{EngineError, Result};

/// So many commits between two releases are looked at.
const LONGEST_WAY: usize = 5000;

/// The downloaded modules of a release, as files of the tree below the root module's folder.
pub fn modules_of(store: &dyn Store, record: &StackRecord) -> Result<Option<(Manifest, MemoryTree)>> {
    let Some(modules) = &record.modules else {
        return Ok(None);
    };
    let manifest =
        Manifest::parse(&store.get_blob(&modules.manifest)?).map_err(|error| EngineError::failed(error.to_string()))?;
    let prefix = if record.dir.is_empty() {
        String::new()
    } else {
        format!("{}/", record.dir)
    };
    let mut files = BTreeMap::new();
    for (path, blob) in &modules.files {
        // Only what configuration is read from; the rest stays in the store until it is written out.
        if [".tf", ".tf.json", ".tofu", ".tofu.json"]
            .iter()
            .any(|ending| path.ends_with(ending))
        {
            files.insert(format!("{prefix}.terraform/modules/{path}"), store.get_blob(blob)?);
        }
    }
    Ok(Some((manifest, MemoryTree(files))))
}

/// The configuration of a commit, with the modules that its release holds.
///
/// # Errors
/// The folder is not there, or a file cannot be parsed; neither Git nor a release has the commit's files.
pub fn configuration_at(
    repository: &Repository,
    store: &dyn Store,
    commit: &CommitId,
    dir: &str,
    record: Option<&StackRecord>,
) -> Result<Configuration> {
    let tree = tree_at(repository, store, commit, record)?;
    configuration_in(store, tree.as_ref(), dir, record)
        .map_err(|error| error.during(format!("commit {}", commit.short())))
}

/// The files of a commit; where Git has lost it, those that its release keeps of the stack.
///
/// # Errors
/// Neither has it.
pub fn tree_at<'r>(
    repository: &'r Repository,
    store: &dyn Store,
    commit: &CommitId,
    record: Option<&StackRecord>,
) -> Result<Box<dyn FileTree + 'r>> {
    match (repository.tree(commit), record) {
        (Ok(tree), _) => Ok(Box::new(tree)),
        (Err(_), Some(record)) => Ok(Box::new(tree_of_record(store, record)?)),
        (Err(error), None) => Err(error.into()),
    }
}

/// As [`configuration_at`], of any tree.
pub fn configuration_in(
    store: &dyn Store,
    tree: &dyn FileTree,
    dir: &str,
    record: Option<&StackRecord>,
) -> Result<Configuration> {
    let modules = record.map(|record| modules_of(store, record)).transpose()?.flatten();
    Ok(match &modules {
        Some((manifest, files)) => load(&LayeredTree::new(files, tree), dir, Some(manifest))?,
        None => load(tree, dir, None)?,
    })
}

/// The files that a release keeps of a stack, as a tree: for a commit that Git has lost.
pub fn tree_of_record(store: &dyn Store, record: &StackRecord) -> Result<MemoryTree> {
    let mut files = BTreeMap::new();
    for (path, blob) in &record.configuration {
        files.insert(path.clone(), store.get_blob(blob)?);
    }
    Ok(MemoryTree(files))
}

/// The folder of a stack at a commit: as that commit's settings say, else where it is known to be.
pub fn dir_at(repository: &Repository, commit: &CommitId, stack: &str, known: &[&str]) -> Result<Option<String>> {
    let tree = repository.tree(commit)?;
    if let Some(text) = tree.read(SETTINGS).ok().flatten()
        && let Ok(settings) = Project::parse(&String::from_utf8_lossy(&text), SETTINGS)
        && let Some(section) = settings.stacks.iter().find(|section| section.name == stack)
    {
        return Ok(Some(stack_of_section(section, "").dir));
    }
    for dir in known {
        let there = tree.list(dir).is_ok_and(|entries| {
            entries.iter().any(|entry| {
                [".tf", ".tf.json", ".tofu"]
                    .iter()
                    .any(|ending| entry.name.ends_with(ending))
            })
        });
        if there {
            return Ok(Some((*dir).to_owned()));
        }
    }
    Ok(None)
}

/// One end of the way.
pub struct End<'a> {
    pub commit: &'a CommitId,
    pub dir: &'a str,
    pub configuration: &'a Configuration,
}

/// What lies between two ends.
pub struct Between {
    pub configurations: Vec<(Configuration, Direction)>,
    /// How the far end is reached.
    pub last: Direction,
    /// Whether Git has the commits.
    pub is_known: bool,
}

/// The configurations strictly between two ends, with the direction in which each is reached. Commits that leave the
/// stack's folder as it was are passed over; one that cannot be parsed is named in the warnings and passed over too.
pub fn between(
    repository: &Repository,
    store: &dyn Store,
    stack: &str,
    from: &End<'_>,
    to: &End<'_>,
    warnings: &mut Vec<String>,
) -> Result<Between> {
    let mut found = Vec::new();
    if from.commit == to.commit {
        return Ok(Between {
            configurations: found,
            last: Direction::Back,
            is_known: true,
        });
    }
    let path = match repository.path_between(from.commit, to.commit, LONGEST_WAY) {
        Ok(path) => path,
        Err(error) => {
            warnings.push(format!(
                "the commits between {} and {} cannot be followed ({error}): only the two ends are compared. `git fetch \
                 --unshallow` brings those that a shallow clone lacks",
                from.commit.short(),
                to.commit.short()
            ));
            return Ok(Between {
                configurations: Vec::new(),
                last: Direction::Back,
                is_known: false,
            });
        }
    };
    let last = if path.forward.len() > 1 {
        Direction::Forward
    } else {
        Direction::Back
    };
    let way = path
        .back
        .iter()
        .skip(1)
        .map(|commit| (commit, Direction::Back))
        .chain(path.forward.iter().skip(1).map(|commit| (commit, Direction::Forward)));
    let known = [from.dir, to.dir];
    let mut previous = repository.tree_id(from.commit, from.dir)?;
    let outside = reaches_outside(from.configuration) || reaches_outside(to.configuration);
    for (commit, direction) in way {
        if commit == to.commit {
            continue;
        }
        let Some(dir) = dir_at(repository, commit, stack, &known)? else {
            continue;
        };
        let tree = repository.tree_id(commit, if outside { "" } else { &dir })?;
        if tree == previous {
            continue;
        }
        previous = tree;
        match configuration_at(repository, store, commit, &dir, None) {
            Ok(configuration) => found.push((configuration, direction)),
            Err(error) => warnings.push(format!("{error}: what it moved, let go or imported is not known")),
        }
    }
    Ok(Between {
        configurations: found,
        last,
        is_known: true,
    })
}

/// Whether local modules lie outside of the root module's folder.
fn reaches_outside(configuration: &Configuration) -> bool {
    let root = &configuration.root_dir;
    configuration
        .modules
        .values()
        .any(|module| !root.is_empty() && !module.dir.starts_with(root.as_str()))
}

/// The whole way as the inverse plan takes it.
pub fn steps<'c>(current: &'c Configuration, between: &'c Between, target: &'c Configuration) -> Vec<Step<'c>> {
    let mut steps = vec![Step {
        configuration: current,
        direction: Direction::Back,
    }];
    steps.extend(between.configurations.iter().map(|(configuration, direction)| Step {
        configuration,
        direction: *direction,
    }));
    steps.push(Step {
        configuration: target,
        direction: between.last,
    });
    steps
}
