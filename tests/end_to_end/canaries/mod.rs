//! More than five hundred secrets, planted wherever secrets are, and looked for in everything that leaves: streams, documents, logs at
//! their most talkative, arguments of children, messages to people, mails, reports, files.
//!
//! Where they must be: the state as it is (its blobs, `state pull`, Terraform's own files) and the configuration as
//! it is (its blobs, the checkout). Those are what the scanner proves itself on.

mod scanner;
mod service;

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rollback_tests::{MailServer, Release, StateServer, WebService, World, scenario};
use serde_json::{Value, json};

use scanner::{Scanner, canary, json_escaped};

/// How many there are of each kind.
const OF_EACH: usize = 100;
/// Kinds that end up in a state, each with so many.
const IN_STATE: usize = 5 * OF_EACH;

/// The secrets of one kind.
fn kind(number: usize) -> impl Iterator<Item = (usize, String)> {
    (0..OF_EACH).map(move |one| (one, canary(number * OF_EACH + one)))
}

/// Others, by what they are.
const GIVEN: usize = IN_STATE;
const BACKEND: usize = IN_STATE + 1;
const HOOK: usize = IN_STATE + 2;
const MAIL: usize = IN_STATE + 3;
const CHECK: usize = IN_STATE + 4;
const STEP: usize = IN_STATE + 5;
const ENVIRONMENT: usize = IN_STATE + 6;
const GITHUB: usize = IN_STATE + 7;
const ALL: usize = IN_STATE + 12;

fn quoted(text: &str) -> String {
    // HCL's strings are JSON's, but for templates.
    format!("\"{}\"", json_escaped(text).replace("${", "$${").replace("%{", "%%{"))
}

/// Sensitive variables by environment and by a file that Git does not have, sensitive outputs, attributes whose names tell, values
/// that `sensitive()` marks deep inside, and what is made of secrets.
fn configuration(backend: &str, word: &str) -> String {
    let list = |number: usize, entry: &dyn Fn(usize, &str) -> String| -> String {
        kind(number).map(|(one, secret)| entry(one, &quoted(&secret))).collect()
    };
    format!(
        "{backend}\n\
         variable \"given\" {{\n  type = map(string)\n  sensitive = true\n}}\n\
         variable \"kept\" {{\n  type = map(string)\n  sensitive = true\n}}\n\
         variable \"typed\" {{\n  sensitive = true\n}}\n\
         resource \"terraform_data\" \"given\" {{\n  input = var.given\n}}\n\
         resource \"terraform_data\" \"kept\" {{\n  input = {{ deep = [{{ kept = var.kept }}], word = \"{word}\" }}\n}}\n\
         resource \"terraform_data\" \"typed\" {{\n  input = {{ url = \"https://u:${{urlencode(var.typed)}}@h/\", b = base64encode(var.typed), j = jsonencode([var.typed]) }}\n}}\n\
         resource \"terraform_data\" \"named\" {{\n  input = {{\n{}    word = \"{word}\"\n  }}\n}}\n\
         resource \"terraform_data\" \"deep\" {{\n  input = [{{\n{}    word = \"{word}\"\n  }}]\n}}\n\
         resource \"terraform_data\" \"failing\" {{\n  triggers_replace = \"{word}\"\n  provisioner \"local-exec\" {{\n    command = \"printf '%s\\n' \\\"$SECRET\\\" \\\"$CODED\\\" >&2; test ! -e $OUT/failing\"\n    environment = {{ SECRET = nonsensitive(var.typed), CODED = nonsensitive(base64encode(var.typed)) }}\n  }}\n}}\n\
         {}",
        list(2, &|one, secret| format!("    password_{one} = {secret}\n")),
        list(3, &|one, secret| format!("    value_{one} = sensitive({secret})\n")),
        list(4, &|one, secret| format!(
            "output \"o{one}\" {{\n  sensitive = true\n  value = {secret}\n}}\n"
        )),
    )
}

fn settings(web: &WebService, mail: &MailServer) -> String {
    format!(
        "[[stack]]\nname = \"app\"\n\n[[check]]\nname = \"health\"\nkind = \"http\"\nurl = \"{}\"\nheaders_environment = {{ authorization = \"CHECK\" }}\n\n\
         [[check]]\nname = \"smoke\"\nkind = \"command\"\ncommand = \"echo $STEP; echo $STEP >&2; true\"\nenvironment = [\"STEP\"]\n\n\
         [[notify]]\nname = \"hook\"\nkind = \"webhook\"\nurl = \"{}\"\nsecret_environment = \"HOOK\"\n\n\
         [[notify]]\nname = \"mail\"\nkind = \"smtp\"\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"\nfrom = \"a@example.com\"\n\
         to = [\"b@example.com\"]\n",
        web.url("/health"),
        web.url("/hook"),
        mail.port,
    )
}

/// A terraform that writes down its arguments.
fn talkative_terraform(world: &mut World) {
    let path = world.variable("PATH").unwrap_or_default().to_owned();
    let real = std::env::split_paths(&path).map(|folder| folder.join("terraform"));
    let real = real
        .into_iter()
        .find(|file| file.is_file())
        .expect("terraform is there");
    let folder = world.path().join("talkative");
    std::fs::create_dir_all(&folder).unwrap();
    let out = world.out.display();
    let text = format!(
        "#!/bin/sh\nprintf '%s\\n' \"$@\" >>{out}/argv\nexec {} \"$@\"\n",
        real.display()
    );
    std::fs::write(folder.join("terraform"), text).unwrap();
    std::fs::set_permissions(folder.join("terraform"), std::fs::Permissions::from_mode(0o755)).unwrap();
    world.set("PATH", &format!("{}:{path}", folder.display()));
}

/// A story with all secrets in it.
struct Planted {
    world: World,
    server: StateServer,
    web: WebService,
    mail: MailServer,
    first: Release,
    second: Release,
    scanner: Scanner,
    secrets: Vec<String>,
}

fn plant(mut world: World) -> Planted {
    let server = StateServer::start();
    world.server = Some(server.clone());
    let (web, mail) = (WebService::start(), MailServer::start());
    let secrets: Vec<String> = (0..ALL).map(canary).collect();
    let map = |number: usize| -> Value {
        kind(number)
            .map(|(one, secret)| (format!("k{one}"), json!(secret)))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    world.set("TF_VAR_given", &map(0).to_string());
    for (name, number) in [
        ("HOOK", HOOK),
        ("MAIL", MAIL),
        ("CHECK", CHECK),
        ("STEP", STEP),
        ("TF_HTTP_PASSWORD", BACKEND),
        ("AWS_SECRET_ACCESS_KEY", ENVIRONMENT),
        ("GITHUB_TOKEN", GITHUB),
        ("TF_VAR_typed", GIVEN),
    ] {
        // What an environment cannot have is in none.
        world.set(name, &secrets[number].replace('\0', ""));
    }
    world.set("TF_HTTP_USERNAME", "terraform");
    let temporary = world.path().join("temporary");
    std::fs::create_dir_all(&temporary).unwrap();
    world.set("TMPDIR", &temporary.to_string_lossy());
    std::fs::write(world.repo.join(".git/info/exclude"), "secret.auto.tfvars.json\n").unwrap();
    world.put("secret.auto.tfvars.json", &json!({ "kept": map(1) }).to_string());
    talkative_terraform(&mut world);
    let settings = settings(&web, &mail);
    let release = |word: &str| {
        let text = configuration(&server.backend(), word);
        world.release(&[("main.tf", &text), ("infra-rollback.toml", &settings)])
    };
    let (first, second) = (release("one"), release("two"));
    let scanner = Scanner::new(&secrets);
    scanner.sees(&secrets);
    let planted = Planted {
        server,
        web,
        mail,
        first,
        second,
        scanner,
        secrets,
        world,
    };
    // The control: without redaction all of them are there to be found.
    let raw = planted.scanner.numbers(&planted.server.state().unwrap());
    assert_eq!(
        raw,
        (0..=IN_STATE).collect::<BTreeSet<usize>>(),
        "the state has all that it should"
    );
    planted
}

/// Every file below a folder that shows a secret, and which.
fn showing(scanner: &Scanner, folder: &Path, but: &[PathBuf]) -> Vec<(PathBuf, BTreeSet<usize>)> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(&folder)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
        {
            if but.contains(&path) {
            } else if path.is_dir() && !path.is_symlink() {
                folders.push(path);
            } else if let Ok(bytes) = std::fs::read(&path) {
                let numbers = scanner.numbers(&bytes);
                if !numbers.is_empty() {
                    found.push((path, numbers));
                }
            }
        }
    }
    found
}

impl Planted {
    #[track_caller]
    fn tool(&self, arguments: &[&str]) -> rollback_tests::Ran {
        let ran = self.world.tool_with(arguments, &[("INFRA_ROLLBACK_LOG", "trace")]);
        let what = arguments.join(" ");
        self.scanner.silent(&format!("stdout of {what}"), &ran.bytes);
        self.scanner.silent(&format!("stderr of {what}"), ran.stderr.as_bytes());
        ran
    }

    /// What was told, what was started and what lies about.
    #[track_caller]
    fn nothing_around(&self) {
        let received = self.web.received();
        let hooks = received.iter().filter(|received| received.line == "POST /hook");
        let bodies: Vec<&str> = hooks.map(|received| received.body.as_str()).collect();
        assert!(bodies.len() >= 2, "people were told");
        self.scanner.silent("the webhook", bodies.concat().as_bytes());
        let check = received.iter().find(|received| received.line == "GET /health").unwrap();
        assert_eq!(
            self.scanner
                .numbers(check.header("authorization").unwrap_or_default().as_bytes()),
            BTreeSet::from([CHECK]),
            "the check's own header has its secret: the control"
        );
        let mails = self.mail.received();
        assert!(mails.len() >= 2, "mails were sent");
        self.scanner.silent("the mails", mails.concat().as_bytes());
        let argv = std::fs::read(self.world.out.join("argv")).unwrap();
        assert!(argv.len() > 100);
        self.scanner.silent("terraform's arguments", &argv);
        let blobs = self.world.home.join("store/blobs");
        let temporary = self.world.path().join("temporary");
        // The checkout has what was put there, and what terraform itself keeps of its backend.
        let repo = &self.world.repo;
        let there = [".git", "main.tf", "secret.auto.tfvars.json", ".terraform"].map(|name| repo.join(name));
        for (what, folder, but) in [
            ("the home", &self.world.home, &[blobs][..]),
            ("temporary files", &temporary, &[]),
            ("the checkout", repo, &there),
        ] {
            let found = showing(&self.scanner, folder, but);
            assert!(found.is_empty(), "{what} show {found:?}");
        }
    }
}

#[test]
fn the_command_line_shows_none() {
    scenario(|world| {
        let planted = plant(world);
        let (first, second) = (planted.first.commit.as_str(), planted.second.commit.as_str());
        for more in [&[][..], &["--json"], &["-vvv"]] {
            for command in [
                &["plan", first][..],
                &["plan", first, "--offline"],
                &["policy", "input", first],
                &["policy", "check", first],
                &["verify"],
                &["drill", first],
                &["doctor"],
                &["diff", first, second, "--state", "--patch"],
                &["diff", first, second, "--config", "--patch"],
            ] {
                let ran = planted.tool(&[command, more].concat());
                assert!(matches!(ran.code, 0 | 1 | 3), "{ran}");
            }
        }
        // It fails in the middle, with secrets in terraform's words, and goes on.
        planted.world.put_out("failing");
        planted.tool(&["-vvv", "to", first, "--auto-approve"]).exits(4);
        let run = planted.world.last_run();
        planted.tool(&["report", &run]).exits(0);
        planted.world.remove_out("failing");
        planted.tool(&["-vvv", "resume", "--auto-approve", "--json"]).exits(0);
        planted.tool(&["undo", "--auto-approve"]).exits(0);
        let run = planted.world.last_run();
        for more in [&[][..], &["--json", "-vvv"]] {
            for command in [
                &["runs"][..],
                &["runs", "show", &run],
                &["report", &run],
                &["releases"],
                &["show", first],
                &["state", "versions"],
                &["state", "blame", "terraform_data.given.input"],
                &["state", "blame", "terraform_data.named"],
                &["state", "restore", first, "--dry-run"],
                &["locks"],
                &["audit", "log"],
                &["store", "gc", "--dry-run", "--keep-last", "1"],
            ] {
                let ran = planted.tool(&[command, more].concat());
                assert!(matches!(ran.code, 0 | 1 | 3), "{ran}");
            }
        }
        planted.nothing_around();
        let pulled = planted.world.tool(&["state", "pull", second]).exits(0).bytes.clone();
        assert!(
            planted.scanner.numbers(&pulled).len() > IN_STATE,
            "the control: the very bytes"
        );
        let (texts, bytes) = planted.scanner.looked();
        eprintln!(
            "{} secrets in {} forms, not found in {texts} texts of {} KiB",
            planted.secrets.len(),
            scanner::FORMS.len(),
            bytes >> 10
        );
    });
}
