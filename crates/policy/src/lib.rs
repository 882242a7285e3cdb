//! Policy on a rollback's own delta: Rego bundles, levels, the input document and the verdict.
//!
//! A [`Bundle`] is a set of Rego modules with data, from a folder, a `.tar.gz` or built in. [`Policy::compile`] makes it
//! ready, [`Policy::evaluate`] judges one [`Document`]: every rule called `deny`, `violation` or `warn` (with or without
//! a suffix, as Conftest and Spacelift have them), in any package, in old and new Rego. What cannot be judged is not a
//! pass: an error, a time-out or a bundle without such a rule ends in [`Verdict::None`], which refuses like a denial.

mod apart;
mod archive;
mod bounded;
mod bundle;
mod document;
mod engine;
mod error;
mod evaluation;
mod freeze;
mod judging;
mod limits;
mod literals;
mod metadata;
mod policy;
mod task;
mod test_run;

pub use apart::{JUDGE, is_judge, judge_here, judge_with};
pub use bundle::Bundle;
pub use document::{
    Accepted, BrokenGlass, Change, Document, Drift, Earlier, Freeze, Host, Mark, Place, Provider, Risk, Rollback,
    RunFacts, Settings, Step, StepChange,
};
pub use error::PolicyError;
pub use evaluation::{Evaluation, Finding, Level, RuleError, Verdict};
pub use freeze::{FreezeError, FreezeWindow, parse_age};
pub use limits::Limits;
pub use policy::{Levels, Policy, RuleInfo};
pub use test_run::{TestCase, TestEnd, TestReport, run_tests};
