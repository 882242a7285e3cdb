//! Folders, configurations and a small state server for the tests.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rollback_terraform::{Folder, FolderOptions, InitOptions, Plan, PlanOptions, Terraform, TerraformError};

/// `None`: skip the test.
pub fn terraform() -> Option<Terraform> {
    match Terraform::discover(None) {
        Ok(found) => Some(found),
        Err(error) if std::env::var_os("INFRA_ROLLBACK_REQUIRE_TERRAFORM").is_some() => panic!("{error}"),
        Err(_) => None,
    }
}

/// A folder with a configuration, removed at the end.
pub struct Stack {
    pub place: tempfile::TempDir,
    pub folder: Folder,
}

impl Stack {
    pub fn new(main: &str) -> Option<Stack> {
        Stack::with(main, FolderOptions::default())
    }

    pub fn with(main: &str, options: FolderOptions) -> Option<Stack> {
        let terraform = terraform()?;
        let place = tempfile::tempdir().unwrap();
        std::fs::write(place.path().join("main.tf"), main).unwrap();
        let folder = Folder::new(&terraform, place.path(), options);
        Some(Stack { place, folder })
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    pub fn init(self) -> Stack {
        self.folder.init(&InitOptions::default()).unwrap();
        self
    }

    pub fn plan(&self) -> Result<Plan, TerraformError> {
        let outcome = self.folder.plan_silently(&PlanOptions::default())?;
        self.folder.show_plan(&outcome.plan_file)
    }

    /// Plans and applies.
    pub fn apply(&self) {
        let outcome = self.folder.plan_silently(&PlanOptions::default()).unwrap();
        self.folder
            .apply_silently(&outcome.plan_file)
            .unwrap()
            .into_result()
            .unwrap();
    }

    pub fn state(&self) -> serde_json::Value {
        serde_json::from_str(&self.read("terraform.tfstate")).unwrap()
    }
}

/// Waits until something is so; false after twenty seconds.
pub fn until(mut so: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + Duration::from_secs(20);
    while Instant::now() < end {
        if so() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    false
}

pub fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// What the state server does and has.
#[derive(Default)]
pub struct Served {
    pub state: Option<Vec<u8>>,
    pub lock: Option<Vec<u8>>,
    pub posts: usize,
    /// Answer writes with 500.
    pub refuse_writes: bool,
    /// How long a write takes.
    pub slow_writes: Duration,
    /// Answer everything with 401.
    pub refuse_all: bool,
}

/// Terraform's `http` backend on a port of its own.
pub struct StateServer {
    pub address: String,
    pub served: Arc<Mutex<Served>>,
}

impl StateServer {
    pub fn start() -> StateServer {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/state", listener.local_addr().unwrap());
        let served = Arc::new(Mutex::new(Served::default()));
        let shared = Arc::clone(&served);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || answer(stream, &shared));
            }
        });
        StateServer { address, served }
    }

    pub fn block(&self) -> String {
        let address = &self.address;
        format!(
            "terraform {{\n  backend \"http\" {{\n    address = \"{address}\"\n    lock_address = \"{address}\"\n    unlock_address = \"{address}\"\n    retry_max = 0\n  }}\n}}\n"
        )
    }
}

fn answer(stream: TcpStream, served: &Mutex<Served>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let method = line.split_whitespace().next()?.to_owned();
        let mut headers = HashMap::new();
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).ok()?;
            let Some((name, value)) = header.trim().split_once(':') else {
                break;
            };
            headers.insert(name.to_lowercase(), value.trim().to_owned());
        }
        let length = headers
            .get("content-length")
            .and_then(|text| text.parse().ok())
            .unwrap_or(0);
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        if method == "POST" {
            let pause = served.lock().unwrap().slow_writes;
            std::thread::sleep(pause);
        }
        let (status, reply) = decide(&method, body, &mut served.lock().unwrap());
        let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n", reply.len());
        (&stream).write_all(&[head.as_bytes(), &reply].concat()).ok()?;
    }
}

fn decide(method: &str, body: Vec<u8>, served: &mut Served) -> (u16, Vec<u8>) {
    if served.refuse_all {
        return (401, Vec::new());
    }
    match method {
        "GET" => served.state.clone().map_or((404, Vec::new()), |state| (200, state)),
        "POST" if served.refuse_writes => (500, Vec::new()),
        "POST" => {
            served.posts += 1;
            served.state = Some(body);
            (200, Vec::new())
        }
        "LOCK" => match &served.lock {
            Some(held) => (423, held.clone()),
            None => {
                served.lock = Some(body);
                (200, Vec::new())
            }
        },
        "UNLOCK" => {
            served.lock = None;
            (200, Vec::new())
        }
        _ => (405, Vec::new()),
    }
}
