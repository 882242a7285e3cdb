//! Against the real terraform and its built-in provider: no download, no network beyond this machine.
//!
//! Skipped where terraform is missing, unless INFRA_ROLLBACK_REQUIRE_TERRAFORM is set.

// What a test measured or skipped over is for whoever runs it with its output shown.
#![allow(clippy::print_stdout)]

mod classification;
mod commands;
mod corpus;
mod deaths;
mod digests;
mod errored;
mod live;
mod locks;
mod support;
