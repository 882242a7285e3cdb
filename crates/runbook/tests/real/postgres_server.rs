//! The real PostgreSQL server, for tests. It is looked for in PATH and where Debian keeps it; where there is none the test
//! says so, and fails if INFRA_ROLLBACK_REQUIRE_POSTGRES is set.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A server of our own on a free port, gone with the test.
pub struct Server {
    process: Child,
    pub port: u16,
    _folder: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let id = self.process.id().to_string();
        // SIGINT: it ends at once and leaves no shared memory behind.
        let _ = Command::new("kill").args(["-INT", &id]).status();
        let _ = self.process.wait();
    }
}

#[allow(clippy::print_stderr)] // A test that was skipped says so.
fn binaries() -> Option<PathBuf> {
    let in_path = std::env::var_os("PATH").and_then(|path| {
        std::env::split_paths(&path).find(|folder| folder.join("initdb").is_file() && folder.join("postgres").is_file())
    });
    let found = in_path.or_else(|| {
        let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
        let mut folders: Vec<PathBuf> = versions.flatten().map(|entry| entry.path().join("bin")).collect();
        folders.sort();
        folders.into_iter().rfind(|folder| folder.join("initdb").is_file())
    });
    if found.is_none() {
        assert!(
            std::env::var_os("INFRA_ROLLBACK_REQUIRE_POSTGRES").is_none(),
            "PostgreSQL is missing: apt install postgresql"
        );
        eprintln!("skipped: there is no PostgreSQL here (apt install postgresql)");
    }
    found
}

/// PostgreSQL refuses to run as root: then it runs as the user that its package made.
fn as_user(binary: &Path) -> Command {
    if !rustix::process::geteuid().is_root() {
        return Command::new(binary);
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"])
        .arg(binary);
    command
}

/// Starts one whose superuser is `watcher`.
pub fn start(password: &str) -> Option<Server> {
    let binaries = binaries()?;
    let folder = tempfile::Builder::new()
        .prefix("rollback-pg-")
        .tempdir_in("/tmp")
        .unwrap();
    let password_file = folder.path().join("password");
    std::fs::write(&password_file, password).unwrap();
    if rustix::process::geteuid().is_root() {
        let done = Command::new("chown")
            .args(["-R", "postgres"])
            .arg(folder.path())
            .status()
            .unwrap();
        assert!(done.success());
    }
    let data = folder.path().join("data");
    let made = as_user(&binaries.join("initdb"))
        .arg("--pgdata")
        .arg(&data)
        .args([
            "--username=watcher",
            "--auth=scram-sha-256",
            "--no-sync",
            "--locale=C",
            "--encoding=UTF8",
        ])
        .arg("--pwfile")
        .arg(&password_file)
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(made.success(), "initdb failed");
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let process = as_user(&binaries.join("postgres"))
        .arg("-D")
        .arg(&data)
        .args(["-h", "127.0.0.1", "-p", &port.to_string(), "-c", "fsync=off", "-k"])
        .arg(folder.path())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let server = Server {
        process,
        port,
        _folder: folder,
    };
    let begun = Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(begun.elapsed() < Duration::from_secs(30), "PostgreSQL does not start");
        std::thread::sleep(Duration::from_millis(50));
    }
    Some(server)
}
