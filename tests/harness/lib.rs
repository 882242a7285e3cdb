//! The harness of the end-to-end tests: a private world per test, in which the tool, git and terraform are run as a
//! person would run them, and Terraform's own state is asked what happened.
//!
//! | variable | does |
//! |---|---|
//! | `INFRA_ROLLBACK_BIN` | tests this binary instead of building one (crash tests need a debug build) |
//! | `INFRA_ROLLBACK_REQUIRE_TERRAFORM=1` | a missing terraform fails the tests instead of skipping them |
//! | `INFRA_ROLLBACK_TEST_SCALE=10` | races, kills and crashes are tried ten times as often |
//! | `INFRA_ROLLBACK_TEST_SEED=7` | the seed of what is drawn at random |
//! | `INFRA_ROLLBACK_TEST_STORE=shared` | [`scenario_in_either_store`] uses a shared store, and a bucket for the state |

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
pub use world::{Release, World, on_path};

/// Runs a test in a world of its own; without terraform the test is skipped.
pub fn scenario(test: impl FnOnce(World)) {
    if World::can_exist() {
        test(World::new());
    }
}

/// As [`scenario`]; with `INFRA_ROLLBACK_TEST_STORE=shared` in a world whose releases lie in a shared store and whose state
/// lies in a bucket, locked by Terraform's lock file and its lock item.
///
/// For tests with one stack that do not copy their world: copies would share both.
pub fn scenario_in_either_store(test: impl FnOnce(World)) {
    scenario(|mut world| {
        if std::env::var("INFRA_ROLLBACK_TEST_STORE").is_ok_and(|value| value == "shared") {
            let (Some(store), Some(bucket)) = (shared_store(), StateBucket::make()) else {
                return;
            };
            world.use_store(&store);
            world.tool(&["store", "create"]).exits(0);
            bucket.hold_state_of(&mut world);
            world.backend = Some(bucket.backend(StateLocks::Both));
        }
        test(world);
    });
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
