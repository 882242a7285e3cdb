//! The client of the service's API: calls that are repeated where that is safe, problems as errors with hints, a
//! rollback followed by its events.
//!
//! What is asked and answered is what `crates/server/openapi.json` says; nothing here knows of terminals or stores.

mod call;
mod checkout;
mod events;
mod pages;
mod problem;
mod rollback;
mod server;
mod trust;

pub use call::{Answer, Body, Call, Repeat, segment};
pub use events::Event;
pub use problem::error as problem_error;
pub use rollback::{Approval, Needs, Rollback, Seen};
pub use server::{Principal, Server};
