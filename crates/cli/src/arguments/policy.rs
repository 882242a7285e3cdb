//! What can be said to the commands that judge a plan.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{ConsentArguments, VariableArguments};

#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Run the rules called test_… in a bundle, as `opa test` does (default: the project's bundles and the built-in one)
    Test {
        /// A folder, a .rego file or a .tar.gz
        #[arg(value_name = "DIR")]
        bundle: Option<PathBuf>,
        /// Only tests whose package.name matches
        #[arg(long, short, value_name = "REGEX")]
        run: Option<String>,
    },
    /// Ask the policy about a rollback, a plan or any document, as `conftest test` does; 3 where it refuses
    Check(PolicyCheckArguments),
    /// The bundle's digest, and its rules with how binding they are
    Show {
        /// This bundle instead of the project's; may be given several times
        #[arg(long, value_name = "DIR")]
        bundle: Vec<PathBuf>,
    },
    /// The very document that the policy is given for a rollback (sensitive values masked)
    Input {
        /// A commit, tag, branch, release name or `@{2 hours ago}`
        #[arg(value_name = "REV")]
        revision: String,
        #[command(flatten)]
        variables: VariableArguments,
    },
}

#[derive(Debug, Args)]
pub struct PolicyCheckArguments {
    /// What a rollback to this revision would be judged as
    #[arg(value_name = "REV", required_unless_present_any = ["plan", "input"])]
    pub revision: Option<String>,
    /// The output of `terraform show -json PLANFILE`
    #[arg(long, value_name = "PLAN.json", conflicts_with_all = ["revision", "input"])]
    pub plan: Option<PathBuf>,
    /// Any JSON document, as it is (`-` for stdin)
    #[arg(long, value_name = "FILE", conflicts_with = "revision")]
    pub input: Option<PathBuf>,
    /// This bundle instead of the project's and the built-in one; may be given several times
    #[arg(long, value_name = "DIR")]
    pub bundle: Vec<PathBuf>,
    /// Only rules of this package and below it; may be given several times
    #[arg(long, value_name = "PACKAGE")]
    pub namespace: Vec<String>,
    #[command(flatten)]
    pub consent: ConsentArguments,
    /// Why a rule is overridden
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    #[command(flatten)]
    pub variables: VariableArguments,
}

#[derive(Debug, Args)]
pub struct CheckArguments {
    /// The output of `terraform show -json PLANFILE`
    #[arg(value_name = "PLAN.json")]
    pub plan: PathBuf,
}
