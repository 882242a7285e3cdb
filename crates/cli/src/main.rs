//! The `infra-rollback` binary: arguments in, words and an exit code out.

mod arguments;
mod commands;
mod output;
mod plan_view;
mod progress;
mod remote;
mod restore_view;
mod session;
mod steps;
mod watch;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;

use arguments::{
    Arguments, AuditCommand, Command, Global, ImportCommand, LocksCommand, RunsCommand, StateCommand, StoreCommand,
    TokensCommand,
};
use output::{Output, exit_code};
use rollback_engine::error::{EngineError, Result};
use session::locking;

fn main() -> ExitCode {
    if rollback_policy::is_judge(std::env::args_os()) {
        let judged = rollback_policy::judge_here();
        return ExitCode::from(u8::from(judged.is_err()));
    }
    if let Ok(program) = std::env::current_exe() {
        rollback_policy::judge_with(program);
    }
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return usage(&error),
    };
    log(arguments.global.verbose);
    let output = Output::new(arguments.global.json);
    match run(&arguments, &output) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            output.error(&error);
            ExitCode::from(exit_code(error.kind))
        }
    }
}

/// What clap has to say: help and version on stdout, mistakes on stderr, or as the one document of `--json`.
fn usage(error: &clap::Error) -> ExitCode {
    if error.use_stderr() && std::env::args().any(|argument| argument == "--json") {
        let text = error.render().to_string();
        let message = text
            .lines()
            .next()
            .unwrap_or_default()
            .trim_start_matches("error: ")
            .to_owned();
        Output::new(true).error(&EngineError::usage(message).hint("see --help"));
    } else {
        let _ = error.print();
    }
    ExitCode::from(if error.use_stderr() { 2 } else { 0 })
}

/// `-v` and `-vv` speak on stderr; no value of a state is ever traced.
fn log(verbose: u8) {
    let level = match verbose {
        0 => "warn",
        1 => "info,rollback_engine=debug",
        _ => "debug",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("INFRA_ROLLBACK_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
        .with_target(false)
        .init();
}

fn run(arguments: &Arguments, output: &Output) -> Result<u8> {
    let global = &Global {
        purpose: arguments.command.purpose(),
        ..arguments.global.clone()
    };
    let done = |()| 0;
    if let Some(url) = &global.server {
        return remote::run(url, arguments, output);
    }
    match &arguments.command {
        Command::Init(own) => commands::init::run(global, own, output).map(done),
        Command::Demo(own) => commands::demo::run(own, output).map(done),
        Command::Doctor(own) => commands::doctor::run(global, own, output),
        Command::Snapshot(own) => commands::snapshot::run(global, own, output).map(done),
        Command::Releases(own) => match &own.command {
            None => commands::releases::list(global, own, output).map(done),
            Some(command) => commands::releases::mark(global, command, output).map(done),
        },
        Command::Show { release } => commands::releases::show(global, release, output).map(done),
        Command::Diff(own) => commands::diff::run(global, own, output).map(done),
        Command::Plan(own) => commands::plan::run(global, own, output),
        Command::To(own) => commands::to::run(global, own, output).map(done),
        Command::Undo(own) => commands::to::undo(global, own, output).map(done),
        Command::Resume(own) => commands::to::resume(global, own, output).map(done),
        Command::Abort { run, waiting, vouching } => {
            commands::runs::abort(global, run.as_deref(), &locking(waiting, Some(vouching)), output).map(done)
        }
        Command::Approve(_) => Err(EngineError::usage("`approve` says yes to what a service is to do")
            .hint("name it: --server URL; a run of this machine is approved by `infra-rollback resume`")),
        Command::Runs(own) => match &own.command {
            None => commands::runs::list(global, own.limit, output).map(done),
            Some(RunsCommand::Show { run }) => commands::runs::show(global, run, output).map(done),
        },
        Command::State(own) => match own {
            StateCommand::Inspect { file } => commands::state::inspect(file, output).map(done),
            StateCommand::Versions => commands::state::versions(global, output).map(done),
            StateCommand::Pull { version, output: file } => {
                commands::state::pull(global, version, file.as_deref(), output).map(done)
            }
            StateCommand::Restore(own) => commands::state::restore(global, own, output).map(done),
            StateCommand::At { time } => commands::state::at(global, time, output).map(done),
            StateCommand::Blame { address } => commands::state::blame(global, address, output).map(done),
        },
        Command::Store(own) => match own {
            StoreCommand::Create { dry_run } => commands::store::create(global, *dry_run, output).map(done),
            StoreCommand::RebuildIndex => commands::upkeep::rebuild_index(global, output).map(done),
            StoreCommand::Gc(own) => commands::upkeep::gc(global, own, output).map(done),
            StoreCommand::Copy { from, to } => commands::upkeep::copy(from, to, output).map(done),
        },
        Command::Import(own) => match own {
            ImportCommand::S3Versions(own) => commands::import::s3_versions(global, own, output).map(done),
            ImportCommand::Git(own) => commands::import::git(global, own, output).map(done),
        },
        Command::Steps(own) => commands::steps::run(global, own, output).map(done),
        Command::Verify(own) => commands::verify::run(global, own, output),
        Command::Drill(own) => commands::drill::run(global, own, output),
        Command::Bake(own) => commands::bake::run(global, own, output),
        Command::Report(own) => commands::report::run(global, own, output).map(done),
        Command::Check(own) => commands::check::run(global, own, output),
        Command::Policy(own) => commands::policy::run(global, own, output),
        Command::Locks(own) => match &own.command {
            None => commands::locks::list(global, output).map(done),
            Some(LocksCommand::Release(own)) => commands::locks::release(global, own, output).map(done),
        },
        Command::Serve(own) => commands::serve::run(global, own, output).map(done),
        Command::Tokens(own) => match own {
            TokensCommand::Create(own) => commands::tokens::create(global, own, output).map(done),
            TokensCommand::List { project } => commands::tokens::list(global, project.as_deref(), output).map(done),
            TokensCommand::Revoke { token, project } => {
                commands::tokens::revoke(global, token, project.as_deref(), output).map(done)
            }
        },
        Command::Audit(own) => match own {
            AuditCommand::Log(own) => commands::audit::log(global, own, output).map(done),
            AuditCommand::Checkpoint { key, project } => {
                commands::audit::checkpoint(global, key, project.as_deref(), output).map(done)
            }
            AuditCommand::Verify(own) => commands::audit::verify(global, own, output).map(done),
            AuditCommand::Export { output: file, project } => {
                commands::audit::export(global, file.as_deref(), project.as_deref(), output).map(done)
            }
        },
        Command::Completions { shell } => commands::help::completions(*shell, output).map(done),
        Command::Man => commands::help::man(output).map(done),
    }
}
