//! `--server URL`: the same commands, asked of a service. What they print and their documents are those of the commands
//! without it.

mod bake;
mod connection;
mod consent;
mod diff;
mod pending;
mod policy;
mod records;
mod rollbacks;
mod runbook;
mod snapshot;
mod states;
mod tasks;
mod variables;

pub use connection::{Connection, connect};

use rollback_engine::error::{EngineError, Result};

use crate::arguments::{Arguments, AuditCommand, Command, LocksCommand, PolicyCommand, RunsCommand, StateCommand};
use crate::commands;
use crate::output::Output;

/// Runs a command through the service; 2 where that makes no sense.
pub fn run(url: &str, arguments: &Arguments, output: &Output) -> Result<u8> {
    let global = &arguments.global;
    let done = |()| 0;
    let connect = || connect(url, global, None, output);
    match &arguments.command {
        // These need nobody but the files that they are given.
        Command::Check(own) => commands::check::run(global, own, output),
        Command::State(StateCommand::Inspect { file }) => commands::state::inspect(file, output).map(done),
        Command::Policy(own @ (PolicyCommand::Test { .. } | PolicyCommand::Show { .. })) => {
            commands::policy::run(global, own, output)
        }
        Command::Policy(own @ PolicyCommand::Check(check)) if check.revision.is_none() => {
            commands::policy::run(global, own, output)
        }
        Command::Plan(own) if own.from_state.is_some() => commands::plan::run(global, own, output),
        Command::Completions { shell } => commands::help::completions(*shell, output).map(done),
        Command::Man => commands::help::man(output).map(done),

        Command::Snapshot(own) => snapshot::run(&connect()?, global, own, output).map(done),
        Command::Releases(own) => match &own.command {
            None => records::releases(&connect()?, own, output).map(done),
            Some(command) => records::mark(&connect()?, command, output).map(done),
        },
        Command::Show { release } => records::release(&connect()?, release, output).map(done),
        Command::Diff(own) => diff::run(&connect()?, global, own, output).map(done),
        Command::Runs(own) => match &own.command {
            None => records::runs(&connect()?, own.limit, output).map(done),
            Some(RunsCommand::Show { run }) => records::run(&connect()?, run, output).map(done),
        },
        Command::Plan(own) => rollbacks::plan(&connect()?, global, own, output),
        Command::To(own) => rollbacks::to(&connect()?, global, own, output).map(done),
        Command::Undo(own) => rollbacks::undo(&connect()?, global, own, output).map(done),
        Command::Resume(own) => rollbacks::resume(&connect()?, global, own, output).map(done),
        Command::Abort { run, waiting, vouching } => {
            rollbacks::abort(&connect()?, run.as_deref(), waiting, vouching, output).map(done)
        }
        Command::Approve(own) => rollbacks::approve(&connect()?, own, output).map(done),
        Command::Locks(own) => match &own.command {
            None => records::locks(&connect()?, output).map(done),
            Some(LocksCommand::Release(own)) => records::release_lock(&connect()?, own, output).map(done),
        },
        Command::State(StateCommand::Versions) => states::versions(&connect()?, global, output).map(done),
        Command::State(StateCommand::Pull { version, output: file }) => {
            states::pull(&connect()?, global, version, file.as_deref(), output).map(done)
        }
        Command::State(StateCommand::At { time }) => states::at(&connect()?, global, time, output).map(done),
        Command::State(StateCommand::Restore(own)) => rollbacks::restore(&connect()?, global, own, output).map(done),
        Command::State(StateCommand::Blame { address }) => {
            states::blame(&connect()?, global, address, output).map(done)
        }
        Command::Policy(PolicyCommand::Check(own)) => policy::check(&connect()?, global, own, output),
        Command::Policy(PolicyCommand::Input { revision, variables }) => {
            policy::input(&connect()?, global, revision, variables, output).map(done)
        }
        Command::Steps(own) => runbook::steps(&connect()?, own, output).map(done),
        Command::Verify(own) => runbook::verify(&connect()?, global, own, output),
        Command::Drill(own) => runbook::drill(&connect()?, global, own, output),
        Command::Bake(own) => bake::run(&connect()?, global, own, output),
        Command::Report(own) => runbook::report(&connect()?, own, output).map(done),
        // The log is read through the service; the chain is verified here.
        Command::Audit(AuditCommand::Log(own)) => commands::audit::log(global, own, output).map(done),
        Command::Audit(AuditCommand::Verify(own)) => commands::audit::verify(global, own, output).map(done),
        Command::Audit(AuditCommand::Export { output: file, project }) => {
            commands::audit::export(global, file.as_deref(), project.as_deref(), output).map(done)
        }
        Command::Init(_)
        | Command::Demo(_)
        | Command::Doctor(_)
        | Command::Serve(_)
        | Command::Tokens(_)
        | Command::Store(_)
        | Command::Import(_)
        | Command::Audit(AuditCommand::Checkpoint { .. }) => Err(refused(&arguments.command)),
    }
}

/// Why a command makes no sense through a service.
fn refused(command: &Command) -> EngineError {
    let why = match command {
        Command::Init(_) => "it writes infra-rollback.toml into the folder that one stands in",
        Command::Demo(_) => "it plays in a temporary folder and needs no service",
        Command::Doctor(_) => "it looks at the terraform, the git and the credentials of the machine that it runs on",
        Command::Serve(_) => "it is the service",
        Command::Tokens(_) => "whoever makes tokens stands where the store is: no token can make another one",
        Command::Store(_) => "it looks after the store itself, with the store's own credentials",
        Command::Import(_) => "it reads a history that only the store's side keeps and may take hours",
        Command::Audit(_) => "the key that signs is for whoever keeps the log, and travels nowhere",
        _ => "the service has no place for it",
    };
    EngineError::usage(format!("`{}` is not done through a service: {why}", words(command))).hint(
        "leave --server out, and run it where the store can be reached: on the service's machine, or with --store",
    )
}

/// The command's name, from how it was parsed: `RebuildIndex` is `rebuild-index`.
fn words(command: &Command) -> String {
    let text = format!("{command:?}");
    let mut name = String::new();
    for letter in text.chars().take_while(char::is_ascii_alphanumeric) {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('-');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name
}
