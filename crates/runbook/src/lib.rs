//! What a rollback does beside Terraform: **steps**, each of which brings one thing that runs back to where a release
//! had it, and **checks**, which say whether all is well. Here they are ports and plain logic; what speaks to AWS is in
//! `runtime-aws`. Nothing here knows of runs, stores or terminals.

pub mod check;
pub mod checks;
pub mod invitation;
pub mod note;
pub mod notify;
mod order;
pub mod outbound;
mod part;
pub mod process;
pub mod runner;
mod settings;
pub mod step;
pub mod steps;
pub mod templates;

pub use order::{Node, OrderError, order};
pub use part::{Part, TERRAFORM};
pub use settings::{Common, Made, Period, SettingsError, read};
