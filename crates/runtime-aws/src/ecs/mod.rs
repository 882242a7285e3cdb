//! What runs on ECS: services, their task definitions, images and variables, and commands as one-off tasks.

mod api;
mod definition;
mod environment;
mod image;
mod launch;
mod migration;
mod output;
mod place;
mod rollout;
mod service;
mod stable;
mod task;
mod variable;

pub(crate) use environment::environment;
pub(crate) use image::image;
pub use image::images;
pub(crate) use migration::migration;
pub(crate) use place::{Name, Place};
pub(crate) use service::service;
pub(crate) use variable::{set_variable, variable};
