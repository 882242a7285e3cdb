//! One file per subcommand.

pub mod audit;
pub mod bake;
pub mod check;
pub mod demo;
pub mod diff;
pub mod doctor;
pub mod drill;
pub mod help;
pub mod import;
pub mod init;
pub mod locks;
pub mod plan;
pub mod policy;
pub mod releases;
pub mod report;
pub mod runs;
pub mod serve;
pub mod snapshot;
pub mod state;
pub mod steps;
pub mod store;
pub mod to;
pub mod tokens;
pub mod upkeep;
pub mod verify;
