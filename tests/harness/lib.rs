//! The harness of the end-to-end tests: a private world per test, in which the tool, git and terraform are run as a
//! person would run them, and Terraform's own state is asked what happened.
//!
//! | variable | does |
//! |---|---|
//! | `INFRA_ROLLBACK_BIN` | tests this binary instead of building one (crash tests need a debug build) |
//! | `INFRA_ROLLBACK_REQUIRE_TERRAFORM=1` | a missing terraform fails the tests instead of skipping them |
//! | `INFRA_ROLLBACK_TEST_SCALE=10` | races, kills and crashes are tried ten times as often |
//! | `INFRA_ROLLBACK_TEST_SEED=7` | the seed of what is drawn at random |

// A test that fails or is skipped has nobody else to tell why.
#![allow(clippy::print_stderr)]

mod authority;
mod background;
mod binary;
mod bucket;
mod chance;
mod checks;
pub mod contention;
mod emulator;
mod issuer;
mod live;
mod mail;
mod ran;
mod service;
mod shared;
mod state_bucket;
mod state_server;
mod web;
mod world;

pub use authority::{Authority, Certified};
pub use background::{Background, go_on, interrupt, kill, kill_group, wait_until, wait_until_stopped};
pub use binary::tool;
pub use bucket::Bucket;
pub use chance::{Chance, scale};
pub use emulator::Emulator;
pub use issuer::{Issuer, KeyKind, Manner, Signer};
pub use live::{Happened, Objects, StateFile, happened};
pub use mail::MailServer;
pub use ran::Ran;
pub use service::{Reply, Service};
pub use shared::shared_store;
pub use state_bucket::{StateBucket, StateLocks};
pub use state_server::StateServer;
pub use web::{Received, WebService};
pub use world::{Release, World};

/// Runs a test in a world of its own; without terraform the test is skipped.
pub fn scenario(test: impl FnOnce(World)) {
    if World::can_exist() {
        test(World::new());
    }
}

/// A `terraform_data` resource with an input.
pub fn data(name: &str, input: &str) -> String {
    format!("resource \"terraform_data\" \"{name}\" {{\n  input = \"{input}\"\n}}\n")
}

/// A `moved` block.
pub fn moved(from: &str, to: &str) -> String {
    format!("moved {{\n  from = {from}\n  to   = {to}\n}}\n")
}

/// A `removed` block that lets go of an object without destroying it.
pub fn forgotten(from: &str) -> String {
    format!("removed {{\n  from = {from}\n  lifecycle {{\n    destroy = false\n  }}\n}}\n")
}
