//! What stands behind a load balancer's listener.

mod api;
mod health;
mod listener;
mod routing;
mod stages;

pub(crate) use listener::listener;
