//! The service: an API for orchestrators, and Terraform's HTTP state backend.
//!
//! A request finds its place in one table ([`routes::ROUTES`]), which says who may call it and what goes on record; the
//! router, the authorisation, the audit log and the OpenAPI document are all made from that table. What the handlers do
//! is done by the engine and kept in the store; nothing here knows where bytes lie.

pub mod access;
pub mod app;
mod archive;
mod authentication;
mod baking;
mod call;
pub mod checkouts;
mod checkpoints;
mod consent;
mod drilling;
mod given;
mod handlers;
pub mod identity;
mod listen;
pub mod metrics;
pub mod openapi;
mod people;
pub mod problem;
pub mod projects;
mod rollback;
pub mod routes;
pub mod service;
mod stop;
mod tasks;
pub mod tls;
pub mod tokens;
mod worker;

pub use baking::{Baking, keep_baking};
pub use checkpoints::{Signing, keep_signing};
pub use drilling::{Drilling, keep_drilling};
pub use listen::serve;
pub use worker::take_up;
