//! Checks against what they are made for: a real HTTP server, a real PostgreSQL, real processes.

mod commands;
mod http;
mod notify;
mod postgres;
mod postgres_server;
mod repetition;
mod support;
