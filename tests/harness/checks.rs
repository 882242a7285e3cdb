//! What must be true after a rollback, asked of Terraform and Git and not of the tool.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::live::{Happened, Objects, happened};
use crate::ran::Ran;
use crate::world::{Release, World};

impl World {
    /// Rolls back with `to`, holds what `plan` foretold against what happened, and checks everything that must be true
    /// at the release: every object it had is the very same, nothing else is there, a plan is empty.
    #[track_caller]
    pub fn back_to(&self, release: &Release) -> Ran {
        self.back_to_but(release, &[], &[])
    }

    /// The same, where the objects at these addresses were destroyed since and come back as others, and with more
    /// arguments for the tool.
    #[track_caller]
    pub fn back_to_but(&self, release: &Release, anew: &[&str], more: &[&str]) -> Ran {
        let variables: Vec<&str> = pairs(more, &["--var", "--var-file"]);
        let mut arguments = vec!["plan", release.commit.as_str(), "--json"];
        arguments.extend(&variables);
        let plan = self.tool(&arguments);
        plan.exits(0);
        let told = Happened::foretold_by(&plan.json());
        let before = self.state();
        let mut arguments = vec!["to", release.commit.as_str(), "--auto-approve"];
        arguments.extend(more);
        let ran = self.tool(&arguments);
        ran.exits(0);
        let after = self.state();
        let did = happened(&before.objects(), &after.objects());
        assert!(told == did, "foretold: {told:#?}\nhappened: {did:#?}\nplan: {plan}");
        assert!(
            after.bytes == before.bytes || after.serial() > before.serial(),
            "the state changed without a newer serial"
        );
        self.is_at_but(release, anew);
        ran
    }

    /// Undoes the last run and checks that everything is as it was at the release.
    #[track_caller]
    pub fn undo_to(&self, release: &Release, anew: &[&str]) -> Ran {
        let before = self.state();
        let ran = self.tool(&["undo", "--auto-approve"]);
        ran.exits(0);
        assert!(self.state().serial() > before.serial(), "an undo is a newer serial");
        self.is_at_but(release, anew);
        ran
    }

    /// Panics unless the stack is what it was at the release, by identity and by plan.
    #[track_caller]
    pub fn is_at(&self, release: &Release) {
        self.is_at_but(release, &[]);
    }

    /// The same, where the objects at these addresses are others now.
    #[track_caller]
    pub fn is_at_but(&self, release: &Release, anew: &[&str]) {
        let now = self.objects();
        same_objects(&now, &release.objects, anew);
        let deposed = self.state().deposed();
        assert!(deposed.is_empty(), "deposed objects are left: {deposed:?}");
        self.is_clean_at(&release.commit, &[]);
        self.is_tidy();
    }

    /// Panics unless terraform, on the commit's own configuration, has nothing to do.
    #[track_caller]
    pub fn is_clean_at(&self, commit: &str, plan: &[&str]) {
        let folder = self.checkout(commit);
        let root = folder.join(&self.stack);
        let terraform = |arguments: &[&str]| self.run(&root, Path::new("terraform"), arguments, &[]);
        terraform(&["init", "-input=false", "-no-color"]).exits(0);
        let mut arguments = vec!["plan", "-detailed-exitcode", "-input=false", "-no-color"];
        arguments.extend(plan);
        terraform(&arguments).exits(0);
        let _ = fs::remove_dir_all(folder);
    }

    /// A fresh clone at a commit, with copies of the local states.
    #[track_caller]
    pub fn checkout(&self, commit: &str) -> PathBuf {
        let folder = tempfile::Builder::new()
            .prefix("checkout-")
            .tempdir_in(self.path())
            .expect("a folder can be made")
            .keep();
        let path = folder.to_string_lossy().into_owned();
        let repo = self.repo.to_string_lossy().into_owned();
        self.git(&["clone", "--quiet", "--shared", "--no-checkout", &repo, &path]);
        self.git_in(&folder, &["checkout", "--quiet", "--detach", commit]);
        let from = self.stack_folder();
        let into = folder.join(&self.stack);
        fs::create_dir_all(&into).expect("a folder can be made");
        let state = from.join("terraform.tfstate");
        if state.exists() {
            fs::copy(state, into.join("terraform.tfstate")).expect("the state can be copied");
        }
        let workspaces = from.join("terraform.tfstate.d");
        if workspaces.exists() {
            copy_folder(&workspaces, &into.join("terraform.tfstate.d"));
        }
        if let Ok(selected) = fs::read(from.join(".terraform/environment")) {
            fs::create_dir_all(into.join(".terraform")).expect("a folder can be made");
            fs::write(into.join(".terraform/environment"), selected).expect("a file can be written");
        }
        folder
    }

    /// Panics if a lock, a private folder of a run, or a trace in the person's checkout is left.
    #[track_caller]
    pub fn is_tidy(&self) {
        let locks = self.tool(&["locks", "--json"]);
        assert!(locks.exits(0).json()["locks"] == Value::Array(Vec::new()), "{locks}");
        if let Some(server) = &self.server {
            assert!(!server.is_locked(), "the remote state is still locked");
        }
        if let Some(bucket) = &self.bucket {
            assert!(bucket.holders().is_empty(), "the state in the bucket is still locked");
        }
        let folder = self.state_path();
        let folder = folder.parent().expect("a state lies in a folder");
        let left: Vec<String> = names(folder)
            .into_iter()
            .filter(|name| name.ends_with(".lock.info") || name.starts_with("errored"))
            .collect();
        assert!(left.is_empty(), "left beside the state: {left:?}");
        let left = names(&self.home.join("runs"));
        assert!(left.is_empty(), "private folders of runs are left: {left:?}");
        let status = self.git(&["status", "--porcelain"]);
        assert!(status.is_empty(), "the person's checkout was touched: {status}");
    }

    /// Does something that must change nothing: not the live state, not the checkout, not what is locked.
    #[track_caller]
    pub fn unchanged<T>(&self, deed: impl FnOnce(&Self) -> T) -> T {
        let look = || {
            let state = self.live_bytes();
            let head = self.git(&["rev-parse", "HEAD"]);
            (state, head, self.git(&["status", "--porcelain"]), names(&self.repo))
        };
        let before = look();
        let result = deed(self);
        let after = look();
        let text = |bytes: &Option<Vec<u8>>| bytes.as_ref().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        assert!(
            before.0 == after.0,
            "the live state changed: {:?} -> {:?}",
            text(&before.0),
            text(&after.0)
        );
        assert!(before == after, "the checkout changed: {before:?} -> {after:?}");
        result
    }

    /// The runs, newest first.
    #[track_caller]
    pub fn runs(&self) -> Vec<Value> {
        let runs = self.tool(&["runs", "--json"]);
        runs.exits(0);
        runs.json()["runs"].as_array().cloned().unwrap_or_default()
    }

    /// The newest run's id.
    #[track_caller]
    pub fn last_run(&self) -> String {
        let runs = self.runs();
        let id = runs.first().and_then(|run| run["id"].as_str());
        id.expect("there is a run").to_owned()
    }

    /// The journal of a run.
    #[track_caller]
    pub fn journal(&self, run: &str) -> Vec<Value> {
        let shown = self.tool(&["runs", "show", run, "--json"]);
        shown.exits(0);
        shown.json()["journal"].as_array().cloned().unwrap_or_default()
    }

    /// The names of a journal's events, in order.
    #[track_caller]
    pub fn events(&self, run: &str) -> Vec<String> {
        self.journal(run)
            .iter()
            .map(|entry| entry["event"].as_str().unwrap_or_default().to_owned())
            .collect()
    }
}

/// Panics unless both hold the same objects at the same addresses.
#[track_caller]
fn same_objects(now: &Objects, then: &Objects, anew: &[&str]) {
    let addresses: Vec<_> = now.keys().collect();
    let wanted: Vec<_> = then.keys().collect();
    assert!(
        addresses == wanted,
        "addresses are {addresses:#?}, they were {wanted:#?}"
    );
    for (address, id) in then {
        if anew.contains(&address.as_str()) {
            assert!(now[address] != *id, "{address} was to be made anew and is the same");
        } else {
            assert!(now[address] == *id, "{address} was {id} and is {}", now[address]);
        }
    }
}

/// Those of the arguments that belong to these options.
fn pairs<'a>(arguments: &[&'a str], options: &[&str]) -> Vec<&'a str> {
    arguments
        .windows(2)
        .filter(|pair| options.contains(&pair[0]))
        .flat_map(|pair| [pair[0], pair[1]])
        .collect()
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

fn copy_folder(from: &Path, into: &Path) {
    fs::create_dir_all(into).expect("a folder can be made");
    for entry in fs::read_dir(from).expect("it can be read").filter_map(Result::ok) {
        let target = into.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("a file can be copied");
        }
    }
}
