//! `doctor`: is everything there that a rollback at night needs? Each finding says how to mend it.

mod settings;

use rollback_engine::error::Result;
use rollback_engine::live::Live;
use rollback_engine::lock;
use rollback_engine::run::Runs;
use rollback_engine::words::counted;
use rollback_release::{Created, Replaced};
use rollback_store_aws::{AwsStore, Found, Thoroughness};
use rollback_terraform::Terraform;
use serde_json::{Value, json};

use crate::arguments::{DoctorArguments, Global, VariableArguments};
use crate::output::{Output, Tone};
use crate::session::{self, StorePlace};

struct Examination<'o> {
    output: &'o Output,
    findings: Vec<Value>,
    broken: bool,
}

impl Examination<'_> {
    fn good(&mut self, what: &str, text: &str) {
        self.output.toned(Tone::Good, &format!("  ok    {what}: {text}"));
        self.findings
            .push(json!({ "check": what, "ok": true, "message": text }));
    }

    fn note(&mut self, what: &str, text: &str, mend: &str) {
        self.output.toned(Tone::Warning, &format!("  note  {what}: {text}"));
        self.output.line(&format!("        → {mend}"));
        self.findings
            .push(json!({ "check": what, "ok": true, "message": text, "hint": mend }));
    }

    fn bad(&mut self, what: &str, text: &str, mend: &[String]) {
        self.broken = true;
        self.output.toned(Tone::Danger, &format!("  BAD   {what}: {text}"));
        for hint in mend {
            self.output.line(&format!("        → {hint}"));
        }
        self.findings
            .push(json!({ "check": what, "ok": false, "message": text, "hints": mend }));
    }
}

/// Looks at everything; 1 where something is broken.
pub fn run(global: &Global, own: &DoctorArguments, output: &Output) -> Result<u8> {
    let mut examination = Examination {
        output,
        findings: Vec::new(),
        broken: false,
    };
    terraform(&mut examination);
    shared_store(&mut examination, global, own.thorough);
    match session::open(global, &VariableArguments::default(), output) {
        Ok(context) => project(&mut examination, &context),
        Err(error) => examination.bad("project", &error.message, &error.hints),
    }
    let broken = examination.broken;
    output.document(&json!({ "ok": !broken, "checks": examination.findings }));
    if broken {
        output.toned(Tone::Danger, "Something is broken: mend it while it is day.");
    } else {
        output.toned(Tone::Good, "All is well.");
    }
    Ok(u8::from(broken))
}

fn terraform(examination: &mut Examination<'_>) {
    let found = Terraform::discover(None).and_then(|terraform| {
        let version = terraform.version()?.to_string();
        Ok((terraform.product()?, version, terraform.binary().to_path_buf()))
    });
    match found {
        Ok((product, version, path)) => {
            examination.good("terraform", &format!("{product} {version} at {}", path.display()))
        }
        Err(error) => examination.bad(
            "terraform",
            &error.to_string(),
            &error.hint().into_iter().collect::<Vec<_>>(),
        ),
    }
}

/// The promises of S3 and DynamoDB, or of what stands for them, tried on the user's own bucket and table.
fn shared_store(examination: &mut Examination<'_>, global: &Global, thorough: bool) {
    // Where the place itself cannot be understood, opening the project says so.
    let Ok(StorePlace::Shared(location)) = session::store_place(global) else {
        return;
    };
    let store = match AwsStore::open(&location) {
        Ok(store) => store,
        Err(error) => {
            return examination.bad(
                "store",
                &error.to_string(),
                &error.hint().into_iter().collect::<Vec<_>>(),
            );
        }
    };
    let thoroughness = if thorough {
        Thoroughness::LONG
    } else {
        Thoroughness::SHORT
    };
    let output = examination.output;
    let progress = |text: &str| output.note(Tone::Faint, &format!("{}: {text} …", location.place()));
    for finding in store.examine(&thoroughness, &progress) {
        let what = format!("store, {}", finding.what);
        match finding.verdict {
            Found::Good(text) => examination.good(&what, &text),
            Found::Note { text, hint } => examination.note(&what, &text, &hint),
            Found::Bad { text, hints } => examination.bad(&what, &text, &hints),
        }
    }
}

fn project(examination: &mut Examination<'_>, context: &rollback_engine::context::Context) {
    match context.repository.head() {
        Ok(head) => examination.good("git", &format!("{} at commit {}", context.root.display(), head.short())),
        Err(error) => examination.bad("git", &error.to_string(), &error.hint().into_iter().collect::<Vec<_>>()),
    }
    match probe_store(context) {
        Ok(()) => examination.good("store", "conditional writes and blobs behave"),
        Err(error) => examination.bad("store", &error.message, &error.hints),
    }
    match context.catalogue().list(usize::MAX) {
        Ok(listing) => {
            if listing.items.is_empty() {
                examination.note(
                    "releases",
                    "there is none yet",
                    "run `infra-rollback snapshot` after the next apply",
                );
            } else {
                examination.good("releases", &format!("{} kept", listing.items.len()));
            }
            for unreadable in listing.unreadable {
                examination.bad(
                    "releases",
                    &format!("{}: {}", unreadable.release, unreadable.reason),
                    &["restore the store from a copy".to_owned()],
                );
            }
        }
        Err(error) => examination.bad(
            "releases",
            &error.to_string(),
            &error.hint().into_iter().collect::<Vec<_>>(),
        ),
    }
    for stack in &context.stacks {
        let what = format!("stack {}", stack.name);
        match Live::read(context, stack) {
            Ok(live) => live_state(examination, context, &what, &live),
            Err(error) => examination.bad(&what, &error.message, &error.hints),
        }
        let folder = context.root.join(&stack.dir);
        match context
            .repository
            .is_tracked(&rollback_engine::collect::in_dir(&stack.dir, ".terraform.lock.hcl"))
        {
            Ok(false) if folder.join(".terraform.lock.hcl").exists() => examination.note(
                &what,
                ".terraform.lock.hcl is not in Git",
                "commit it: without it an older release gets today's providers",
            ),
            _ => {}
        }
    }
    settings::examine(examination, context);
    if let Ok(locks) = lock::list(context.store.as_ref(), &context.project) {
        for holder in locks {
            if holder.is_dead() && holder.applying {
                examination.note(
                    "locks",
                    &format!(
                        "{} is held by {}, whose process is gone",
                        holder.stack,
                        holder.describe()
                    ),
                    &format!("`infra-rollback resume {}`, or `abort`", holder.run),
                );
            }
        }
    }
    if let Ok(runs) = Runs::new(context.store.as_ref(), &context.project).unfinished() {
        for (run, _) in runs {
            examination.note(
                "runs",
                &format!("run {} stopped halfway", run.id),
                &format!("`infra-rollback resume {}`, or `abort`", run.id),
            );
        }
    }
}

/// What is there, and whether the backend keeps two who write it at the same time apart.
fn live_state(examination: &mut Examination<'_>, context: &rollback_engine::context::Context, what: &str, live: &Live) {
    match live.state() {
        Some(state) => examination.good(
            what,
            &format!(
                "{}, serial {}, at {}",
                counted(state.instances().count(), "object"),
                state.serial(),
                live.location()
            ),
        ),
        None => examination.note(
            what,
            &format!("no state at {}", live.location()),
            "apply it once, then take a snapshot",
        ),
    }
    match live.storage(context) {
        Ok(storage) if !storage.has_locks() => examination.note(
            what,
            &format!(
                "its {} backend has no lock: nothing keeps a terraform away while the state is written, by another terraform or by a \
                 rollback",
                live.kind()
            ),
            match live.kind() {
                "s3" => "set `use_lockfile = true` in the backend block (Terraform 1.10, OpenTofu 1.10), or `dynamodb_table`",
                "http" => "set `lock_address` and `unlock_address` in the backend block, if the server has locks",
                "consul" => "remove `lock = false` from the backend block",
                _ => "set the backend's locks up; Terraform's documentation of the backend says how",
            },
        ),
        Ok(_) => {}
        Err(error) => examination.bad(what, &error.message, &error.hints),
    }
}

/// Emulators and shared file systems lie about conditional writes: ask before trusting.
fn probe_store(context: &rollback_engine::context::Context) -> Result<()> {
    use rollback_engine::error::EngineError;
    let store = context.store.as_ref();
    let key = format!("projects/{}/doctor-{}", context.project, std::process::id());
    let wrong = |what: &str| {
        EngineError::failed(format!("the store does not keep its promise: {what}"))
            .hint("take a folder on a local file system, or another store")
    };
    let Created::Yes(first) = store.create(&key, b"1")? else {
        return Err(wrong("a new record exists already"));
    };
    let twice = store.create(&key, b"2")?;
    let Replaced::Yes(second) = store.replace(&key, &first, b"3")? else {
        return Err(wrong("an unchanged record has changed"));
    };
    let stale = store.replace(&key, &first, b"4")?;
    let found = store.get(&key)?.map(|(bytes, _)| bytes);
    let _ = store.remove(&key, &second)?;
    if !matches!(twice, Created::Exists)
        || !matches!(stale, Replaced::Changed)
        || found.as_deref() != Some(b"3".as_slice())
    {
        return Err(wrong("a conditional write was not refused"));
    }
    let blob = store.put_blob(b"infra-rollback doctor")?;
    if store.get_blob(&blob)? != b"infra-rollback doctor" {
        return Err(wrong("a blob came back changed"));
    }
    Ok(())
}
