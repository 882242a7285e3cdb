use super::*;
use crate::testing::{EPOCH, Sandbox, git};

fn hour(hours: i64) -> String {
    jiff::Timestamp::from_second(EPOCH + hours * 3600).unwrap().to_string()
}

#[test]
fn everything_that_names_a_commit() {
    let mut sandbox = Sandbox::new();
    let first = sandbox.commit("first");
    let second = sandbox.commit("second");
    sandbox.git(&["tag", "light", "HEAD~1"]);
    sandbox.git(&["tag", "-a", "-m", "x", "v1.0", "HEAD~1"]);
    sandbox.git(&["tag", "-a", "-m", "x", "twice", "v1.0"]);
    sandbox.git(&["branch", "feature/x+y", "HEAD~1"]);
    sandbox.git(&["update-ref", "refs/remotes/origin/main", "HEAD~1"]);
    let third = sandbox.commit("third");
    let repository = sandbox.open();
    assert_eq!(repository.head().unwrap(), third);
    assert_eq!(repository.branch().as_deref(), Some("main"));
    for (revision, expected) in [
        (first.as_str(), &first),
        (&first.as_str()[..7], &first),
        (&first.as_str().to_uppercase()[..9], &first),
        ("light", &first),
        ("v1.0", &first),
        ("twice", &first),
        ("feature/x+y", &first),
        ("refs/heads/feature/x+y", &first),
        ("origin/main", &first),
        ("main", &third),
        ("HEAD", &third),
        ("@", &third),
        ("HEAD~2", &first),
        ("HEAD^", &second),
        ("HEAD^^", &first),
        ("main~1", &second),
        ("v1.0^{commit}", &first),
        ("HEAD@{1}", &second),
        ("@{1}", &second),
    ] {
        assert_eq!(repository.resolve(revision).unwrap(), *expected, "{revision}");
    }
    let info = repository.commit_info(&first).unwrap();
    assert_eq!(
        (info.summary.as_str(), info.author.as_str(), info.time),
        ("first", "Ada <ada@example.com>", EPOCH + 3600)
    );
}

#[test]
fn what_is_no_revision_is_refused_before_anything_looks_at_it() {
    let mut sandbox = Sandbox::new();
    sandbox.commit("first");
    let repository = sandbox.open();
    let long = "a".repeat(2000);
    for revision in [
        "",
        " ",
        "-x",
        "--upload-pack=x",
        "$(touch pwned)",
        "`id`",
        "a b",
        "a;b",
        "a|b",
        "a&b",
        "a\nb",
        "a\0b",
        "a'b",
        "a\"b",
        "a\\b",
        "*",
        "?",
        "[a]",
        "<a",
        ":/first",
        "HEAD~ 1",
        "{a b}",
        "@ {1 day ago}",
        "a\u{202e}b",
        "HEAD@{1 day ago} x",
        &long,
    ] {
        let error = repository.resolve(revision).unwrap_err();
        assert!(
            matches!(error, RepositoryError::BadCharacters { .. }),
            "{revision:?}: {error}"
        );
        assert!(error.to_string().contains("not a revision"));
        assert!(error.hint().is_some());
    }
    assert!(!sandbox.path().join("pwned").exists());
}

#[test]
fn unknown_names_bring_the_nearest() {
    let mut sandbox = Sandbox::new();
    sandbox.commit("first");
    sandbox.git(&["branch", "release-1.2"]);
    sandbox.git(&["update-ref", "refs/remotes/origin/feature", "HEAD"]);
    let repository = sandbox.open();
    for (revision, expected) in [
        ("release-1.3", Some("did you mean release-1.2?")),
        ("mian", Some("did you mean main?")),
        ("feature", Some("did you mean origin/feature?")),
        ("nothing-like-it-at-all", None),
        ("0123456789012345678901234567890123456789", None),
        ("HEAD~99", None),
        ("dead", None),
    ] {
        let error = repository.resolve(revision).unwrap_err();
        assert!(matches!(error, RepositoryError::Unknown { .. }), "{revision}: {error}");
        match expected {
            Some(hint) => assert_eq!(error.hint().as_deref(), Some(hint)),
            None => assert!(error.hint().unwrap().contains("git fetch")),
        }
    }
}

#[test]
fn what_is_no_commit_says_what_it_is() {
    let mut sandbox = Sandbox::new();
    sandbox.write("a/b.tf", "x");
    sandbox.commit("first");
    let repository = sandbox.open();
    for (revision, kind) in [("HEAD:a/b.tf", "file"), ("HEAD:a", "folder"), ("HEAD^{tree}", "folder")] {
        let error = repository.resolve(revision).unwrap_err();
        assert!(
            matches!(&error, RepositoryError::NotACommit { kind: found, .. } if found == kind),
            "{error}"
        );
    }
}

#[test]
fn an_ambiguous_id_lists_the_candidates() {
    let mut sandbox = Sandbox::new();
    let base = sandbox.commit("base");
    let repository = sandbox.open();
    // Four digits are enough for two of some hundred commits to begin alike.
    let tree = repository.git.find_commit(base.oid().unwrap()).unwrap().tree().unwrap();
    let who = git2::Signature::new("Ada", "a@b", &git2::Time::new(0, 0)).unwrap();
    let mut seen = std::collections::HashMap::new();
    let (one, two) = (0..100_000)
        .find_map(|number| {
            let id = repository
                .git
                .commit(None, &who, &who, &format!("number {number}"), &tree, &[])
                .unwrap();
            let id = CommitId::from(id);
            seen.insert(id.as_str()[..4].to_owned(), id.clone())
                .map(|other| (other, id))
        })
        .unwrap();
    let error = repository.resolve(&one.as_str()[..4]).unwrap_err();
    let RepositoryError::Ambiguous { candidates, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(candidates.len(), 2);
    assert!(
        candidates
            .iter()
            .any(|text| one.as_str().starts_with(text.split(' ').next().unwrap()) && text.contains("number"))
    );
    assert!(error.hint().unwrap().contains("more digits"));
    let length = one
        .as_str()
        .bytes()
        .zip(two.as_str().bytes())
        .take_while(|(a, b)| a == b)
        .count()
        + 1;
    assert_eq!(repository.resolve(&one.as_str()[..length]).unwrap(), one);
}

#[test]
fn a_tag_and_a_branch_of_one_name() {
    let mut sandbox = Sandbox::new();
    let first = sandbox.commit("first");
    sandbox.git(&["tag", "same"]);
    sandbox.git(&["tag", "alike"]);
    sandbox.git(&["branch", "alike"]);
    let second = sandbox.commit("second");
    sandbox.git(&["branch", "same"]);
    let repository = sandbox.open();
    assert!(matches!(
        repository.resolve("same"),
        Err(RepositoryError::AmbiguousName { .. })
    ));
    assert!(matches!(
        repository.resolve("same~1"),
        Err(RepositoryError::AmbiguousName { .. })
    ));
    assert_eq!(repository.resolve("refs/tags/same").unwrap(), first);
    assert_eq!(repository.resolve("heads/same").unwrap(), second);
    assert_eq!(repository.resolve("alike").unwrap(), first, "both are one commit");
}

#[test]
fn times_are_looked_up_in_the_log_of_the_reference() {
    let mut sandbox = Sandbox::new();
    let first = sandbox.commit("first");
    let second = sandbox.commit("second");
    let third = sandbox.commit("third");
    let repository = sandbox.open();
    for (revision, expected) in [
        (format!("@{{{}}}", hour(1)), &first),
        (format!("HEAD@{{{}}}", hour(2)), &second),
        (
            format!("main@{{{}}}", "2026-11-01 02:30")
                .replace("02:30", "02:59:59+00:00")
                .replace("01 02", "01T02"),
            &second,
        ),
        (format!("main@{{{}}}~1", hour(3)), &second),
        ("main@{now}".to_owned(), &third),
        ("@{0 seconds ago}".to_owned(), &third),
    ] {
        assert_eq!(repository.resolve(&revision).unwrap(), *expected, "{revision}");
    }
    // The branch was reset by force: the log knows what was deployed, the commits no longer do.
    sandbox.git(&["reset", "-q", "--hard", "HEAD~2"]);
    sandbox.commit("instead");
    assert_eq!(repository.resolve(&format!("main@{{{}}}", hour(3))).unwrap(), first);
    assert_eq!(repository.resolve(&format!("main@{{{}}}", hour(2))).unwrap(), second);
}

#[test]
fn without_a_log_the_times_of_the_commits_tell() {
    let mut sandbox = Sandbox::new();
    let first = sandbox.commit("first");
    let second = sandbox.commit("second");
    sandbox.commit("third");
    std::fs::remove_dir_all(sandbox.path().join(".git/logs")).unwrap();
    let repository = sandbox.open();
    for name in ["", "main", "HEAD"] {
        assert_eq!(repository.resolve(&format!("{name}@{{{}}}", hour(1))).unwrap(), first);
        assert_eq!(repository.resolve(&format!("{name}@{{{}}}", hour(2))).unwrap(), second);
    }
    for (revision, message) in [
        (format!("@{{{}}}", hour(0)), "does not reach that far"),
        ("@{2 fortnights ago}".to_owned(), "is no time"),
        ("@{2999-01-01}".to_owned(), "has not come yet"),
        ("@{}".to_owned(), "is no time"),
    ] {
        let error = repository.resolve(&revision).unwrap_err();
        assert!(
            matches!(error, RepositoryError::BadTime { .. }) && error.to_string().contains(message),
            "{error}"
        );
        assert!(error.hint().unwrap().contains("2 hours ago"));
    }
    assert!(matches!(
        repository.resolve("nope@{1 day ago}"),
        Err(RepositoryError::Unknown { .. })
    ));
}

#[test]
fn a_relative_time_against_the_clock_of_now() {
    let sandbox = Sandbox::new();
    let now = jiff::Timestamp::now().as_second();
    git(
        sandbox.path(),
        &["commit", "-q", "--allow-empty", "-m", "old"],
        now - 3 * 3600,
    );
    let old = git(sandbox.path(), &["rev-parse", "HEAD"], now);
    git(
        sandbox.path(),
        &["commit", "-q", "--allow-empty", "-m", "new"],
        now - 3600,
    );
    let repository = sandbox.open();
    assert_eq!(repository.resolve("@{2 hours ago}").unwrap().as_str(), old);
    assert_eq!(repository.resolve("main@{150 minutes ago}").unwrap().as_str(), old);
    assert_eq!(
        repository.resolve("@{30.minutes.ago}").unwrap(),
        repository.head().unwrap()
    );
    assert!(repository.resolve("@{1 day ago}").is_err());
}

#[test]
fn before_the_first_commit() {
    let sandbox = Sandbox::new();
    let repository = sandbox.open();
    assert!(matches!(repository.head(), Err(RepositoryError::Unborn)));
    assert!(matches!(repository.root_commit(), Err(RepositoryError::Unborn)));
    for revision in ["HEAD", "main", "HEAD~1", "@{1 day ago}", "v1"] {
        let error = repository.resolve(revision).unwrap_err();
        assert!(matches!(error, RepositoryError::Unborn), "{revision}: {error}");
    }
    sandbox.write("a", "x");
    assert_eq!(repository.is_dirty::<&str>(&[]).unwrap(), ["a"]);
}
