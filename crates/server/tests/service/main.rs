//! The service over its router, and over real connections where those are what is tried.

mod audit;
mod authorization;
mod backend;
mod basics;
mod connections;
mod metrics;
mod secrets;
mod support;
mod transitions;
mod versions;
