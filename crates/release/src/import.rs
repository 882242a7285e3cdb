//! Where a release comes from that no deploy made: a state taken in from a history that somebody else kept.

use serde::{Deserialize, Serialize};

/// What is known of a state that was taken in, and how its commit was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Import {
    /// Where the history lies: `s3://bucket/key`, or `git:path` for a state that is kept in Git.
    pub source: String,
    /// Which of its states: the version id of S3, or the full id of the commit that changed the file.
    pub version: String,
    pub commit_by: CommitBy,
    /// What the deploy had and the history does not tell, in words: values of variables, downloaded modules, …
    #[serde(default)]
    pub unknown: Vec<String>,
}

/// How the commit of a state was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "by")]
pub enum CommitBy {
    /// The state lay in the very commit.
    Tracked,
    /// A person's mapping names it, by this property of the state: `version`, `sha256` or `serial`.
    Mapping { property: String },
    /// What wrote the object said so, in its metadata or its tags.
    Metadata { name: String },
    /// A guess: the last commit on the branch's line of first parents before the state was written.
    Time {
        branch: String,
        /// Whether that commit changed files of the stack; if not, no commit before that time did.
        touched: bool,
    },
}

impl CommitBy {
    /// Whether it is a guess, which nobody stated.
    pub fn is_guess(&self) -> bool {
        matches!(self, CommitBy::Time { .. })
    }

    /// One or two words, for a table.
    pub fn short(&self) -> &'static str {
        match self {
            CommitBy::Tracked => "with its state",
            CommitBy::Mapping { .. } => "by mapping",
            CommitBy::Metadata { .. } => "by metadata",
            CommitBy::Time { .. } => "by time",
        }
    }
}

impl std::fmt::Display for CommitBy {
    /// How the commit was found, as the end of a sentence that begins with `its commit`.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            CommitBy::Tracked => formatter.write_str("is the one that the state was committed in"),
            CommitBy::Mapping { property } => write!(formatter, "is what the mapping file says of its {property}"),
            CommitBy::Metadata { name } => write!(formatter, "is what the object's metadata say ({name})"),
            CommitBy::Time { branch, touched: true } => write!(
                formatter,
                "is a guess by time: the last on {branch} that changed the stack before the state was written"
            ),
            CommitBy::Time { branch, touched: false } => write!(
                formatter,
                "is a guess by time: the last on {branch} before the state was written, none of which changed the stack"
            ),
        }
    }
}
