//! Every step and check of this crate against the emulator that `tests/run` starts, through the real SDK. What the
//! emulator cannot show is put into its answers on the way ([`faults`]); the names of those tests say so.

mod alb;
mod appconfig;
mod bench;
mod checks;
mod ecs;
mod every_kind;
mod faults;
mod parameter;
mod rds;
mod rds_by_name;
