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
}

/// Connects: to the project of the repository that one stands in, where there is one and the service has it; to the
/// service's own outside of one.
///
/// # Errors
/// The service cannot be reached, the token is none, or the service is for another project.
pub fn connect(url: &str, project: Option<&str>, output: &Output) -> Result<Connection> {
    let token = std::env::var(TOKEN).ok();
    let server = Server::open(url, token.as_deref())?;
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
    let here = match project {
        Some(name) => Some(name.to_owned()),
        None => project_here()?,
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
        server: Arc::new(server),
    })
}

impl Connection {
    /// Values that go along with a request.
    ///
    /// # Errors
    /// As [`variables::given`].
    pub fn variables(&self, _global: &Global, arguments: &VariableArguments) -> Result<variables::Values> {
        variables::given(arguments, &std::env::current_dir()?)
    }
}

/// The project of the repository that one stands in: its first commit.
fn project_here() -> Result<Option<String>> {
    let folder = std::env::current_dir()?;
    let located = Located::find(&Place {
        folder: &folder,
        settings_file: None,
        stacks: &[],
    });
    Ok(located.ok().map(|located| located.project))
}
