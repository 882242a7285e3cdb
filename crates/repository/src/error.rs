//! What can go wrong with a repository.

/// Why something could not be read from Git.
#[derive(Debug, thiserror::Error)]
pub enum RepositoryError {
    #[error("there is no Git repository at {path}")]
    NotARepository { path: String },
    /// The folder belongs to another user, and safe.directory does not list it.
    #[error("the repository at {path} belongs to another user")]
    NotOwned { path: String },
    #[error("{revision:?} is not a revision: it has characters that no commit, tag or branch has")]
    BadCharacters { revision: String },
    #[error("no commit, tag or branch is called {revision:?}")]
    Unknown {
        revision: String,
        nearest: Vec<String>,
        shallow: bool,
    },
    #[error("{revision:?} is the beginning of more than one commit: {}", candidates.join(", "))]
    Ambiguous { revision: String, candidates: Vec<String> },
    #[error("{revision:?} names a {kind}, not a commit")]
    NotACommit { revision: String, kind: String },
    #[error("{revision:?} is not understood: {message}")]
    BadTime { revision: String, message: String },
    #[error("the repository has no commit yet")]
    Unborn,
    #[error("the history ends early: this is a shallow clone")]
    Shallow,
    #[error("{from} and {to} have no commit in common")]
    Unrelated { from: String, to: String },
    #[error("more than {limit} commits lie between {from} and {to}")]
    TooFar { from: String, to: String, limit: usize },
    #[error("cannot write {path}: {message}")]
    Write { path: String, message: String },
    #[error(transparent)]
    Tree(#[from] rollback_config::TreeError),
    #[error("git: {0}")]
    Git(#[from] git2::Error),
}

impl RepositoryError {
    /// What a person can do next.
    pub fn hint(&self) -> Option<String> {
        None
    }
}
