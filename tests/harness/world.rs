//! A private world: a Git repository, a home for the tool, a place outside of both, and a cleared environment.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use serde_json::Value;
use tempfile::TempDir;

use crate::background::{Background, wait_until};
use crate::binary::tool;
use crate::live::{Objects, StateFile};
use crate::ran::Ran;
use crate::state_bucket::StateBucket;
use crate::state_server::StateServer;

const IGNORED: &str = ".terraform/\n*.tfstate\n*.tfstate.*\n.terraform.tfstate.lock.info\n";

/// Something was deployed: the commit, and which object had which id then.
#[derive(Clone, Debug)]
pub struct Release {
    pub commit: String,
    pub objects: Objects,
}

/// A world of its own for one test.
pub struct World {
    folder: TempDir,
    /// The Git repository's work tree.
    pub repo: PathBuf,
    /// The tool's home.
    pub home: PathBuf,
    /// A place outside of the repository: `$OUT` in files that the test writes.
    pub out: PathBuf,
    /// The root module's folder in the repository; empty for the top.
    pub stack: String,
    /// Where the live state lies; `terraform.tfstate` in the stack's folder when empty.
    pub state_file: Option<PathBuf>,
    /// The remote backend that keeps the live state, where one does.
    pub server: Option<StateServer>,
    /// The URL of the shared store that the tool is told to use; its own embedded one when empty.
    pub store: Option<String>,
    /// The bucket that keeps it, where one does.
    pub bucket: Option<StateBucket>,
    /// The block that names the backend, where each release has one in a file of its own.
    pub backend: Option<String>,
    environment: Vec<(String, String)>,
    log: Mutex<Vec<String>>,
}

impl World {
    /// Whether git and terraform are there.
    ///
    /// # Panics
    /// They are not and `INFRA_ROLLBACK_REQUIRE_TERRAFORM=1` demands them.
    pub fn can_exist() -> bool {
        let found = ["git", "terraform"].iter().all(|program| on_path(program));
        let required = std::env::var("INFRA_ROLLBACK_REQUIRE_TERRAFORM").is_ok_and(|value| value == "1");
        assert!(
            found || !required,
            "git or terraform is missing and INFRA_ROLLBACK_REQUIRE_TERRAFORM=1"
        );
        if !found {
            eprintln!("skipped: git or terraform is missing");
        }
        found
    }

    /// An empty repository.
    pub fn new() -> World {
        tool();
        let folder = tempfile::Builder::new()
            .prefix("rollback-test-")
            .tempdir()
            .expect("a temporary folder can be made");
        let path = folder.path().canonicalize().expect("it is there");
        let world = World {
            repo: path.join("repo"),
            home: path.join("home"),
            out: path.join("out"),
            stack: String::new(),
            state_file: None,
            server: None,
            store: None,
            bucket: None,
            backend: None,
            environment: environment(&path),
            log: Mutex::default(),
            folder,
        };
        for folder in [&world.repo, &world.home, &world.out, &path.join("person")] {
            fs::create_dir_all(folder).expect("a folder can be made");
        }
        fs::write(path.join("terraform.rc"), "").expect("a file can be written");
        world.git(&["init", "--quiet", "--initial-branch=main"]);
        world
    }

    /// Another world that is a copy of this one, to start from the same point many times.
    pub fn copy(&self) -> World {
        let folder = tempfile::Builder::new()
            .prefix("rollback-test-")
            .tempdir()
            .expect("a temporary folder can be made");
        let path = folder.path().canonicalize().expect("it is there");
        let status = Command::new("cp")
            .arg("-a")
            .arg(self.path().join("."))
            .arg(&path)
            .status()
            .expect("cp can be started");
        assert!(status.success(), "the world cannot be copied");
        World {
            repo: path.join("repo"),
            home: path.join("home"),
            out: path.join("out"),
            stack: self.stack.clone(),
            state_file: None,
            server: self.server.clone(),
            store: self.store.clone(),
            bucket: self.bucket.clone(),
            backend: self.backend.clone(),
            environment: moved(&self.environment, self.path(), &path),
            log: Mutex::new(vec!["(a copy)".to_owned()]),
            folder,
        }
    }

    /// The folder that holds everything of this world.
    pub fn path(&self) -> PathBuf {
        self.folder.path().canonicalize().expect("it is there")
    }

    /// The root module's folder on disk.
    pub fn stack_folder(&self) -> PathBuf {
        self.repo.join(&self.stack)
    }

    /// From now on every command gets this variable.
    pub fn set(&mut self, name: &str, value: &str) {
        self.unset(name);
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// What commands get as this variable.
    pub fn variable(&self, name: &str) -> Option<&str> {
        let found = self.environment.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// From now on every run of the tool is told to use this shared store of an emulator.
    pub fn use_store(&mut self, url: &str) {
        self.store = Some(url.to_owned());
        for (name, value) in [
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
            ("NO_PROXY", "127.0.0.1"),
        ] {
            self.set(name, value);
        }
    }

    /// From now on no command gets this variable.
    pub fn unset(&mut self, name: &str) {
        self.environment.retain(|(known, _)| known != name);
    }

    // --- files and git -----------------------------------------------------------------------------------------------

    /// Writes one file of the repository; `$OUT` stands for the place outside.
    pub fn put(&self, path: &str, text: &str) {
        let path = self.repo.join(path);
        fs::create_dir_all(path.parent().expect("it lies in the repository")).expect("a folder can be made");
        fs::write(path, text.replace("$OUT", &self.out.to_string_lossy())).expect("a file can be written");
    }

    /// Makes the tracked files exactly these; what Git ignores (states, downloads) stays.
    pub fn write(&self, files: &[(&str, &str)]) {
        let tracked = self.git(&["ls-files", "-z"]);
        for path in tracked.split('\0').filter(|path| !path.is_empty()) {
            let _ = fs::remove_file(self.repo.join(path));
        }
        self.put(".gitignore", IGNORED);
        for (path, text) in files {
            self.put(path, text);
        }
        if let Some(backend) = &self.backend {
            self.put(&self.in_stack("backend.tf"), backend);
        }
    }

    /// Runs git in the repository.
    #[track_caller]
    pub fn git(&self, arguments: &[&str]) -> String {
        self.git_in(&self.repo, arguments)
    }

    /// Runs git in some folder.
    #[track_caller]
    pub fn git_in(&self, folder: &Path, arguments: &[&str]) -> String {
        let ran = self.run(folder, Path::new("git"), arguments, &[]);
        ran.exits(0);
        ran.stdout.trim_end_matches('\n').to_owned()
    }

    /// Commits everything and gives the commit's id.
    #[track_caller]
    pub fn commit(&self, message: &str) -> String {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message", message]);
        self.git(&["rev-parse", "HEAD"])
    }

    // --- terraform ---------------------------------------------------------------------------------------------------

    /// Runs terraform in the stack's folder.
    pub fn terraform(&self, arguments: &[&str]) -> Ran {
        self.run(&self.stack_folder(), Path::new("terraform"), arguments, &[])
    }

    #[track_caller]
    pub fn init(&self) {
        self.terraform(&["init", "-input=false", "-no-color"]).exits(0);
    }

    #[track_caller]
    pub fn apply(&self, more: &[&str]) {
        let mut arguments = vec!["apply", "-auto-approve", "-input=false", "-no-color"];
        arguments.extend(more);
        self.terraform(&arguments).exits(0);
    }

    /// Runs a line of the shell at the top of the repository, as somebody types it.
    pub fn shell(&self, line: &str) -> Ran {
        self.run(&self.repo, Path::new("sh"), &["-c", line], &[])
    }

    // --- the tool ----------------------------------------------------------------------------------------------------

    /// Runs the tool at the top of the repository.
    pub fn tool(&self, arguments: &[&str]) -> Ran {
        self.tool_with(arguments, &[])
    }

    /// Runs the tool with more in its environment.
    pub fn tool_with(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Ran {
        self.run(&self.repo, tool(), arguments, environment)
    }

    /// Runs the tool where a folder is mounted to be read alone. `None` where Linux does not let this user mount.
    pub fn tool_beside_read_only(&self, folder: &Path, arguments: &[&str]) -> Option<Ran> {
        let mount = "mount --bind \"$0\" \"$0\" && mount -o remount,ro,bind \"$0\"";
        let (folder, program) = (folder.to_string_lossy(), tool().to_string_lossy());
        let unshare = Path::new("unshare");
        let alone = ["--user", "--map-root-user", "--mount", "sh", "-c"];
        let possible = Command::new(unshare)
            .args(alone)
            .arg(mount)
            .arg(folder.as_ref())
            .output();
        if !possible.is_ok_and(|output| output.status.success()) {
            eprintln!("skipped: a folder cannot be mounted to be read alone");
            return None;
        }
        let script = format!("{mount} && exec \"$@\"");
        let words = [&alone[..], &[&script, &folder, &program], arguments].concat();
        Some(self.run(&self.repo, unshare, &words, &[]))
    }

    /// Runs the tool in some folder.
    pub fn tool_in(&self, folder: &Path, arguments: &[&str]) -> Ran {
        self.run(folder, tool(), arguments, &[])
    }

    /// Starts the tool and does not wait for it.
    pub fn start(&self, arguments: &[&str]) -> Background {
        self.start_program(&self.repo, tool(), arguments)
    }

    /// Starts terraform in the stack's folder and does not wait for it.
    pub fn start_terraform(&self, arguments: &[&str]) -> Background {
        self.start_program(&self.stack_folder(), Path::new("terraform"), arguments)
    }

    fn start_program(&self, folder: &Path, program: &Path, arguments: &[&str]) -> Background {
        let what = format!("{} {}", name_of(program), arguments.join(" "));
        self.remember(format!("started {what}"));
        let child = self
            .command(folder, program, arguments, &[])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("{what} cannot be started: {error}"));
        Background {
            what,
            child: Some(child),
            readers: None,
        }
    }

    #[track_caller]
    pub fn snapshot(&self) {
        self.tool(&["snapshot"]).exits(0);
    }

    /// Writes the files, commits, applies with terraform and takes a snapshot.
    #[track_caller]
    pub fn release(&self, files: &[(&str, &str)]) -> Release {
        let release = self.release_without_snapshot(files, &[]);
        self.snapshot();
        release
    }

    /// The same with more arguments for `terraform apply`.
    #[track_caller]
    pub fn release_with(&self, files: &[(&str, &str)], apply: &[&str]) -> Release {
        let release = self.release_without_snapshot(files, apply);
        self.snapshot();
        release
    }

    /// Writes the files, commits and applies, as somebody who does not know of snapshots.
    #[track_caller]
    pub fn release_without_snapshot(&self, files: &[(&str, &str)], apply: &[&str]) -> Release {
        self.write(files);
        self.init();
        let commit = self.commit("a release");
        self.apply(apply);
        Release {
            commit,
            objects: self.objects(),
        }
    }

    /// A release whose only file is `main.tf`.
    #[track_caller]
    pub fn release_of(&self, text: &str) -> Release {
        self.release(&[(&self.in_stack("main.tf"), text)])
    }

    /// A file of the stack as a path of the repository.
    pub fn in_stack(&self, name: &str) -> String {
        if self.stack.is_empty() {
            name.to_owned()
        } else {
            format!("{}/{name}", self.stack)
        }
    }

    // --- what is there -----------------------------------------------------------------------------------------------

    /// The live state's file.
    pub fn state_path(&self) -> PathBuf {
        match &self.state_file {
            Some(path) => path.clone(),
            None => self.stack_folder().join("terraform.tfstate"),
        }
    }

    /// The live state's bytes; none where there is no state.
    pub fn live_bytes(&self) -> Option<Vec<u8>> {
        match (&self.server, &self.bucket) {
            (Some(server), _) => server.state(),
            (None, Some(bucket)) => bucket.state(),
            (None, None) => fs::read(self.state_path()).ok(),
        }
    }

    /// The live state.
    #[track_caller]
    pub fn state(&self) -> StateFile {
        let bytes = self.live_bytes();
        StateFile::parse(bytes.unwrap_or_else(|| panic!("there is no live state at {}", self.state_path().display())))
    }

    /// Ids of the live objects by address.
    #[track_caller]
    pub fn objects(&self) -> Objects {
        self.state().objects()
    }

    /// Waits until a Terraform that is at work has made an object, and gives its id.
    ///
    /// Terraform writes a local state in place: a look in the middle finds half a file, which is no reason to fail.
    #[track_caller]
    pub fn wait_for_object(&self, address: &str) -> String {
        let mut made = None;
        wait_until(&format!("terraform to make {address}"), || {
            let bytes = self
                .live_bytes()
                .filter(|bytes| serde_json::from_slice::<Value>(bytes).is_ok());
            made = bytes.and_then(|bytes| StateFile::parse(bytes).objects().remove(address));
            made.is_some()
        });
        made.expect("it was waited for")
    }

    /// Whether a file outside exists.
    pub fn is_out(&self, name: &str) -> bool {
        self.out.join(name).exists()
    }

    /// Makes a file outside.
    pub fn put_out(&self, name: &str) {
        fs::write(self.out.join(name), "").expect("a file can be written");
    }

    /// Removes a file outside.
    pub fn remove_out(&self, name: &str) {
        let _ = fs::remove_file(self.out.join(name));
    }

    // --- how commands are run ----------------------------------------------------------------------------------------

    pub(crate) fn run(&self, folder: &Path, program: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Ran {
        let what = format!("{} {}", name_of(program), arguments.join(" "));
        let output = self
            .command(folder, program, arguments, environment)
            .output()
            .unwrap_or_else(|error| panic!("{what} cannot be started: {error}"));
        let ran = Ran::new(what, output);
        self.remember(ran.to_string());
        ran
    }

    fn command(&self, folder: &Path, program: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Command {
        let mut command = Command::new(program);
        if let Some(store) = self.store.as_ref().filter(|_| program == tool()) {
            command.args(["--store", store]);
        }
        command
            .args(arguments)
            .current_dir(folder)
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .envs(environment.iter().copied())
            .stdin(Stdio::null());
        command
    }

    fn remember(&self, text: String) {
        if let Ok(mut log) = self.log.lock() {
            log.push(text);
        }
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

/// A failed test shows all that was run in its world.
impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Ok(log) = self.log.lock()
        {
            for entry in log.iter() {
                eprintln!("{entry}\n");
            }
        }
    }
}

fn environment(path: &Path) -> Vec<(String, String)> {
    let at = |name: &str| path.join(name).to_string_lossy().into_owned();
    let mut environment: Vec<(String, String)> = [
        ("HOME", at("person")),
        ("INFRA_ROLLBACK_HOME", at("home")),
        ("INFRA_ROLLBACK_ACTOR", "tester".to_owned()),
        ("TF_CLI_CONFIG_FILE", at("terraform.rc")),
        ("CHECKPOINT_DISABLE", "1".to_owned()),
        ("NO_COLOR", "1".to_owned()),
        ("LANG", "C.UTF-8".to_owned()),
        ("TZ", "UTC".to_owned()),
        ("GIT_CONFIG_NOSYSTEM", "1".to_owned()),
        ("GIT_AUTHOR_NAME", "tester".to_owned()),
        ("GIT_AUTHOR_EMAIL", "tester@example.com".to_owned()),
        ("GIT_COMMITTER_NAME", "tester".to_owned()),
        ("GIT_COMMITTER_EMAIL", "tester@example.com".to_owned()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect();
    if let Ok(path) = std::env::var("PATH") {
        environment.push(("PATH".to_owned(), path));
    }
    environment
}

/// The same variables for a world that lies elsewhere.
fn moved(environment: &[(String, String)], from: PathBuf, to: &Path) -> Vec<(String, String)> {
    let (from, to) = (from.to_string_lossy(), to.to_string_lossy());
    environment
        .iter()
        .map(|(name, value)| (name.clone(), value.replace(&*from, &to)))
        .collect()
}

fn name_of(program: &Path) -> &str {
    program
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or("a program")
}

/// Whether there is such a program.
pub fn on_path(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}
