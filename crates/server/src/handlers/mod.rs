//! What the routes do. Each handler is called for a principal who may call the route; what it shows of what it finds is
//! narrowed to the stacks that the principal may see.

pub mod approvals;
pub mod audit;
pub mod backend;
pub mod bakes;
pub mod checkout;
pub mod events;
pub mod general;
pub mod metrics;
pub mod overrides;
pub mod records;
pub mod releases;
pub mod rollbacks;
pub mod runbook;
pub mod tasks;
pub mod versions;
