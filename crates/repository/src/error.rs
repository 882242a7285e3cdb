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
    /// Candidates are short ids with their first lines.
    #[error("{revision:?} is the beginning of more than one commit: {}", candidates.join(", "))]
    Ambiguous { revision: String, candidates: Vec<String> },
    /// A tag and a branch of one name that are different commits.
    #[error("{revision:?} names different commits: {}", meanings.join(", "))]
    AmbiguousName { revision: String, meanings: Vec<String> },
    #[error("{revision:?} is a {kind}, not a commit")]
    NotACommit { revision: String, kind: String },
    /// The time in `@{…}` is not understood, or the history does not reach that far.
    #[error("revision {revision:?}: {message}")]
    BadTime { revision: String, message: String },
    #[error("the repository has no commit yet")]
    Unborn,
    #[error("the history ends early: this is a shallow clone")]
    Shallow,
    #[error("{from} and {to} have no commit in common")]
    Unrelated { from: String, to: String },
    #[error("more than {limit} commits lie between {from} and {to}")]
    TooFar { from: String, to: String, limit: usize },
    /// A tree of more files, bytes or levels than any project has.
    #[error("the files of {revision} are not written: {message}")]
    TooBig { revision: String, message: String },
    /// An object that somebody sent is not what its id says.
    #[error("object {id:?} is not taken in: {message}")]
    BadObject { id: String, message: String },
    #[error("{name:?} cannot be the name of a branch or tag that is sent")]
    BadReference { name: String },
    /// A commit leads to something that is not here.
    #[error("what was sent is not whole: {missing} is missing")]
    Incomplete { missing: String },
    #[error("cannot write {path}: {message}")]
    Write { path: String, message: String },
    /// What a checkout makes of the blobs could not be made.
    #[error("the files cannot be converted as a checkout does ({what}): {message}")]
    Conversion { what: String, message: String },
    #[error(transparent)]
    Tree(#[from] rollback_config::TreeError),
    #[error("git: {}", .0.message())]
    Git(#[from] git2::Error),
}

impl RepositoryError {
    /// What a person can do next.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            RepositoryError::NotARepository { .. } => "run it inside a Git repository, or `git init` one".into(),
            RepositoryError::NotOwned { path } => {
                format!(
                    "if you trust it: git config --global --add safe.directory '{}'",
                    path.replace('\'', "'\\''")
                )
            }
            RepositoryError::BadCharacters { .. } => {
                "name a commit, a tag, a branch, HEAD~2, or a time such as '@{2 hours ago}'".into()
            }
            RepositoryError::Unknown { nearest, shallow, .. } => match (nearest.is_empty(), shallow) {
                (false, _) => format!("did you mean {}?", nearest.join(" or ")),
                (true, true) => "this is a shallow clone: `git fetch --unshallow` brings the rest".into(),
                (true, false) => "`git fetch` brings what others have pushed; `git log --oneline` lists commits".into(),
            },
            RepositoryError::Ambiguous { .. } => "write more digits of the one you mean".into(),
            RepositoryError::AmbiguousName { .. } => "write the name in full, or the commit's id".into(),
            RepositoryError::NotACommit { .. } => "only a commit can be rolled back to".into(),
            RepositoryError::BadTime { .. } => {
                "times are written @{2 hours ago}, @{yesterday}, @{2026-11-20} or @{2026-11-20T12:00:00Z}".into()
            }
            RepositoryError::Unborn => "commit something first".into(),
            RepositoryError::Shallow => "`git fetch --unshallow` brings the rest (in CI: fetch-depth: 0)".into(),
            RepositoryError::Unrelated { .. } => {
                "check that both belong to the same project; a shallow or grafted history can look like this".into()
            }
            RepositoryError::TooFar { .. } => "name a commit that is nearer".into(),
            RepositoryError::TooBig { .. } => "check the commit: this looks like a broken or a hostile tree".into(),
            RepositoryError::BadObject { .. } | RepositoryError::Incomplete { .. } => {
                "send it again; `git fsck` tells whether the repository that it comes from is whole".into()
            }
            RepositoryError::BadReference { .. } => "rename it, or leave it out".into(),
            RepositoryError::Write { .. } => "check free space and rights; the folder should be empty".into(),
            RepositoryError::Conversion { .. } => {
                "see whether `git checkout` of that commit works: its .gitattributes name a filter (git-lfs, git-crypt) that has \
                 to be installed and unlocked here"
                    .into()
            }
            RepositoryError::Tree(error) => return error.hint(),
            RepositoryError::Git(error) if error.message().contains("unsupported extension") => {
                "partial clones (--filter) and some other extensions are not supported: use a plain clone".into()
            }
            RepositoryError::Git(_) => return None,
        };
        Some(hint)
    }
}
