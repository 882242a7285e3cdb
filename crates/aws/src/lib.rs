//! How AWS is reached, for every crate that speaks to it: region, endpoint, profile, role, time-outs, the one way to the
//! network, and what a refusal means for a person. No service's client is in here.

mod connect;
mod failure;

pub use connect::{Access, configuration, http_client, runtime};
pub use failure::{NO_CREDENTIALS, about_credentials, named, partition, reason, without_credentials};
