//! Which service, asked by whom, about which project.

use std::sync::Arc;

use rollback_client::Server;
use rollback_engine::context::{Located, Place};
use rollback_engine::error::{EngineError, Result};

use super::variables;
use crate::arguments::{Global, VariableArguments};
use crate::output::{Output, Tone};

/// The variable that the token comes from.
const TOKEN: &str = "INFRA_ROLLBACK_TOKEN";

/// A service that was asked who we are.
pub struct Connection {
    pub server: Arc<Server>,
    /// The repository that one stands in, where it is of the project that is asked about.
    pub located: Option<Located>,
    /// The service works in what its clients bring.
    takes_checkouts: bool,
}

/// Connects: to the project of the repository that one stands in, where there is one and the service has it; to the
/// service's own outside of one.
///
/// # Errors
/// The service cannot be reached, the token is none, or the service is for another project.
pub fn connect(url: &str, global: &Global, project: Option<&str>, output: &Output) -> Result<Connection> {
    let token = std::env::var(TOKEN).ok();
    let server = Server::open(url, token.as_deref(), global.server_ca.as_deref())?;
    if server.is_clear() {
        output.note(
            Tone::Warning,
            &format!(
                "! {} speaks no TLS: the token and what is asked go over the network in clear",
                server.base()
            ),
        );
    }
    let principal = server.principal()?;
    let located = located_here()?;
    let here = match project {
        Some(name) => Some(name.to_owned()),
        None => located.as_ref().map(|located| located.project.clone()),
    };
    let own = principal.project.as_deref();
    let is_own_project = here.as_deref().is_none_or(|here| Some(here) == own);
    let server = match here {
        Some(here) if !is_own_project && principal.takes_checkouts => server.of_project(&here),
        Some(here) if !is_own_project => {
            return Err(EngineError::usage(format!(
                "the service at {} is for another project ({:.10}) than this repository ({here:.10})",
                server.base(),
                own.unwrap_or("unknown")
            ))
            .hint("go to a clone of its repository, or outside of any")
            .hint("a service started with `serve --checkouts DIR` takes in the projects of its clients"));
        }
        _ => server,
    };
    Ok(Connection {
        takes_checkouts: principal.takes_checkouts && !is_own_project,
        server: Arc::new(server),
        located: located.filter(|_| project.is_none()),
    })
}

impl Connection {
    /// Brings what the service cannot know: the checkout that one stands in, and the commit of a revision. Nothing where
    /// the service has a checkout of its own.
    ///
    /// # Errors
    /// As [`Server::bring`].
    pub fn bring(&self, revision: Option<&str>) -> Result<()> {
        let Some(located) = self.located.as_ref().filter(|_| self.takes_checkouts) else {
            return Ok(());
        };
        // What is no revision here may be the name of a release there.
        let commit = revision.and_then(|revision| located.repository.resolve(revision).ok());
        let more: Vec<_> = commit.into_iter().collect();
        self.server.bring(located, &std::env::current_dir()?, &more)
    }

    /// A revision as the service understands it: `@{2 hours ago}` is looked up in the log that Git keeps here.
    ///
    /// # Errors
    /// It is none.
    pub fn revision(&self, text: &str) -> Result<String> {
        match &self.located {
            Some(located) if text.contains("@{") => Ok(located.repository.resolve(text)?.to_string()),
            _ => Ok(text.to_owned()),
        }
    }

    /// Values that go along with a request: those that are given, and those of variable files that Git does not have,
    /// which stay here.
    ///
    /// # Errors
    /// As [`variables::given`].
    pub fn variables(&self, global: &Global, arguments: &VariableArguments) -> Result<variables::Values> {
        let folder = std::env::current_dir()?;
        let mut values = variables::of_environment();
        if let Some(located) = self.located.as_ref().filter(|_| self.takes_checkouts) {
            values.extend(variables::untracked(located, &global.stacks)?);
        }
        values.extend(variables::given(arguments, &folder)?);
        Ok(values)
    }
}

/// The repository that one stands in.
fn located_here() -> Result<Option<Located>> {
    let folder = std::env::current_dir()?;
    let located = Located::find(&Place {
        folder: &folder,
        settings_file: None,
        stacks: &[],
    });
    Ok(located.ok())
}
