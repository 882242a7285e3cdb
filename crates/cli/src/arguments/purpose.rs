//! What a command means to do with the store: whether it may make one, and whether it needs to write.

use super::{
    AuditCommand, Command, ImportCommand, LocksCommand, ReleasesArguments, RunsArguments, StateCommand, StoreCommand,
    TokensCommand,
};

/// What a command does with the store that it names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Purpose {
    /// It puts the first thing into a store: one is made where there is none.
    #[default]
    Make,
    /// It changes what is there.
    Write,
    /// It only looks: a store that cannot be written suffices.
    Read,
}

impl Command {
    /// With no `_` on purpose: who adds a command says what it does.
    pub fn purpose(&self) -> Purpose {
        use Purpose::{Make, Read, Write};
        match self {
            Command::Init(_) | Command::Demo(_) | Command::Snapshot(_) | Command::Serve(_) => Make,
            Command::Import(ImportCommand::S3Versions(own)) if !own.common.dry_run => Make,
            Command::Import(ImportCommand::Git(own)) if !own.common.dry_run => Make,
            Command::Import(_) => Read,
            Command::Store(StoreCommand::Create { .. } | StoreCommand::Copy { .. }) => Make,
            Command::Store(StoreCommand::RebuildIndex) => Write,
            Command::Store(StoreCommand::Gc(own)) => {
                if own.dry_run {
                    Read
                } else {
                    Write
                }
            }
            Command::Tokens(TokensCommand::Create(_)) => Make,
            Command::Tokens(TokensCommand::Revoke { .. }) => Write,
            Command::Tokens(TokensCommand::List { .. }) => Read,
            Command::Releases(ReleasesArguments { command: Some(_), .. }) => Write,
            Command::Releases(ReleasesArguments { command: None, .. }) => Read,
            Command::Locks(own) => match own.command {
                Some(LocksCommand::Release(_)) => Write,
                None => Read,
            },
            Command::To(own) if own.dry_run => Read,
            Command::To(_) | Command::Undo(_) | Command::Resume(_) | Command::Abort { .. } | Command::Approve(_) => {
                Write
            }
            Command::State(StateCommand::Restore(_)) => Write,
            Command::State(
                StateCommand::Inspect { .. }
                | StateCommand::Versions
                | StateCommand::Pull { .. }
                | StateCommand::At { .. }
                | StateCommand::Blame { .. },
            ) => Read,
            Command::Audit(AuditCommand::Checkpoint { .. }) => Write,
            Command::Audit(AuditCommand::Log(_) | AuditCommand::Verify(_) | AuditCommand::Export { .. }) => Read,
            // A rehearsal and a watch are kept with their outcome.
            Command::Drill(_) | Command::Bake(_) => Write,
            // The try of conditional writes is what a doctor is asked for.
            Command::Doctor(_) => Write,
            Command::Runs(RunsArguments { .. })
            | Command::Show { .. }
            | Command::Diff(_)
            | Command::Plan(_)
            | Command::Steps(_)
            | Command::Verify(_)
            | Command::Report(_)
            | Command::Check(_)
            | Command::Policy(_)
            | Command::Completions { .. }
            | Command::Man => Read,
        }
    }
}
