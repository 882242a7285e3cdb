use super::*;
use crate::testing::{Sandbox, git};

fn ids(commits: &[&CommitId]) -> Vec<CommitId> {
    commits.iter().map(|id| (*id).clone()).collect()
}

#[test]
fn along_one_line() {
    let mut sandbox = Sandbox::new();
    let (a, b, c) = (sandbox.commit("a"), sandbox.commit("b"), sandbox.commit("c"));
    let repository = sandbox.open();
    let path = repository.path_between(&c, &a, 10).unwrap();
    assert_eq!((path.back, path.forward), (ids(&[&c, &b, &a]), ids(&[&a])));
    let path = repository.path_between(&a, &c, 10).unwrap();
    assert_eq!((path.back, path.forward), (ids(&[&a]), ids(&[&a, &b, &c])));
    let path = repository.path_between(&b, &b, 10).unwrap();
    assert_eq!((path.back, path.forward), (ids(&[&b]), ids(&[&b])));
    assert!(repository.path_between(&c, &a, 3).is_ok());
    assert!(matches!(
        repository.path_between(&c, &a, 2),
        Err(RepositoryError::TooFar { limit: 2, .. })
    ));
    assert_eq!(repository.root_commit().unwrap(), a.as_str());
}

#[test]
fn a_merged_branch_is_one_step_unless_the_way_leads_through_it() {
    let mut sandbox = Sandbox::new();
    let a = sandbox.commit("a");
    sandbox.git(&["checkout", "-q", "-b", "side"]);
    let s1 = sandbox.commit("s1");
    let s2 = sandbox.commit("s2");
    sandbox.git(&["checkout", "-q", "main"]);
    let b = sandbox.commit("b");
    let m = sandbox.merge("side");
    let c = sandbox.commit("c");
    let repository = sandbox.open();
    assert_eq!(
        repository.path_between(&c, &a, 10).unwrap().back,
        ids(&[&c, &m, &b, &a])
    );
    assert_eq!(
        repository.path_between(&c, &s1, 10).unwrap().back,
        ids(&[&c, &m, &s2, &s1])
    );
    assert_eq!(
        repository.path_between(&s1, &c, 10).unwrap().forward,
        ids(&[&s1, &s2, &m, &c])
    );
    let path = repository.path_between(&b, &s2, 10).unwrap();
    assert_eq!((path.back, path.forward), (ids(&[&b, &a]), ids(&[&a, &s1, &s2])));
    assert_eq!(repository.root_commit().unwrap(), a.as_str());
}

#[test]
fn nothing_in_common() {
    let mut sandbox = Sandbox::new();
    let a = sandbox.commit("a");
    sandbox.git(&["checkout", "-q", "--orphan", "other"]);
    let b = sandbox.commit("b");
    let repository = sandbox.open();
    let error = repository.path_between(&a, &b, 10).unwrap_err();
    assert!(matches!(error, RepositoryError::Unrelated { .. }) && error.hint().is_some());
    let missing: CommitId = "0123456789012345678901234567890123456789".parse().unwrap();
    assert!(matches!(
        repository.path_between(&a, &missing, 10),
        Err(RepositoryError::Unknown { .. })
    ));
    assert!("main".parse::<CommitId>().is_err());
}

#[test]
fn a_shallow_clone_says_so() {
    let mut sandbox = Sandbox::new();
    let a = sandbox.commit("a");
    let b = sandbox.commit("b");
    let c = sandbox.commit("c");
    let clones = tempfile::tempdir().unwrap();
    let url = format!("file://{}", sandbox.path().display());
    git(clones.path(), &["clone", "-q", "--depth", "2", &url, "shallow"], 0);
    let repository = Repository::open(&clones.path().join("shallow")).unwrap();
    assert!(repository.is_shallow());
    assert_eq!(repository.head().unwrap(), c);
    assert_eq!(repository.path_between(&c, &b, 10).unwrap().back, ids(&[&c, &b]));
    let error = repository.root_commit().unwrap_err();
    assert!(matches!(error, RepositoryError::Shallow), "{error}");
    assert!(error.hint().unwrap().contains("--unshallow"));
    let error = repository.resolve(a.as_str()).unwrap_err();
    assert!(error.hint().unwrap().contains("--unshallow"), "{error}");
    assert!(repository.resolve("HEAD~2").is_err());
}

#[test]
fn worktrees_bare_clones_and_a_detached_head() {
    let mut sandbox = Sandbox::new();
    sandbox.write("infra/main.tf", "# one");
    let a = sandbox.commit("a");
    sandbox.write("infra/main.tf", "# two");
    let b = sandbox.commit("b");
    let elsewhere = tempfile::tempdir().unwrap();
    let worktree = elsewhere.path().join("worktree");
    sandbox.git(&[
        "worktree",
        "add",
        "-q",
        "--detach",
        worktree.to_str().unwrap(),
        "HEAD~1",
    ]);
    git(
        elsewhere.path(),
        &["clone", "-q", "--bare", sandbox.path().to_str().unwrap(), "bare"],
        0,
    );
    let repository = Repository::open(&worktree.join("infra")).unwrap();
    assert_eq!(
        repository.workdir().unwrap().canonicalize().unwrap(),
        worktree.canonicalize().unwrap()
    );
    assert_eq!((repository.head().unwrap(), repository.branch()), (a.clone(), None));
    assert_eq!(repository.resolve("main").unwrap(), b);
    std::fs::write(worktree.join("infra/main.tf"), "# dirty").unwrap();
    assert_eq!(repository.is_dirty(&["infra"]).unwrap(), ["infra/main.tf"]);
    assert!(sandbox.open().is_dirty(&["infra"]).unwrap().is_empty());
    let bare = Repository::open(&elsewhere.path().join("bare")).unwrap();
    assert_eq!(bare.workdir(), None);
    assert_eq!(bare.root_commit().unwrap(), a.as_str());
    assert_eq!(bare.path_between(&b, &a, 10).unwrap().back.len(), 2);
    assert!(bare.is_dirty::<&str>(&[]).unwrap().is_empty());
    assert!(!bare.is_ignored("x").unwrap());
}
