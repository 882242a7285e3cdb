//! What runs on ECS: services, their task definitions, images and variables.

mod api;
mod definition;
mod environment;
mod image;
mod place;
mod rollout;
mod service;
mod stable;
mod variable;

pub(crate) use environment::environment;
pub(crate) use image::image;
pub use image::images;
pub(crate) use place::{Name, Place};
pub(crate) use service::service;
pub(crate) use variable::{set_variable, variable};
