//! The tool from outside: real git, real terraform, one small world per test.

// A test that leaves something out says so.
#![allow(clippy::print_stderr)]

mod backends;
mod bakes;
mod canaries;
mod checks;
mod client;
mod client_runbook;
mod commands;
mod configurations;
mod crash;
mod damage;
mod databases;
mod drills;
mod exchange;
mod guards;
mod holding;
mod hostile_policy;
mod identity;
mod import_blocks;
mod imports;
mod infrastructure;
mod keys;
mod kill;
mod leases;
mod locks;
mod long_history;
mod looking;
mod notices;
mod once;
mod orchestrator;
mod places;
mod poison;
mod policy;
mod records;
mod refactors;
mod remote;
mod restore;
mod runbook;
mod s3_backend;
mod scheduled_drills;
mod schemathesis;
mod secrets;
mod served_bakes;
mod service;
mod service_backend;
mod service_policy;
mod shared_store;
mod shared_upkeep;
mod snapshots;
mod stacks;
mod steps;
mod tls;
mod upkeep;
mod values;
