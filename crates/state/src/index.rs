//! Which instance has an id: an open hash table of positions, four bytes a slot, no second copy of any id.

use std::hash::{BuildHasher, RandomState};

use crate::address::InstanceId;
use crate::instance::Instance;

const FREE: u32 = u32::MAX;

#[derive(Default)]
pub(crate) struct Index {
    /// Positions of instances; the length is a power of two at least twice the number of instances.
    slots: Vec<u32>,
    hasher: RandomState,
}

impl Index {
    /// Indexes the instances; the positions of the first two with the same id otherwise.
    pub(crate) fn build(instances: &[Instance]) -> Result<Self, (usize, usize)> {
        if instances.is_empty() {
            return Ok(Self::default());
        }
        let size = (instances.len() * 2).next_power_of_two();
        let mut index = Self {
            slots: vec![FREE; size],
            hasher: RandomState::new(),
        };
        for (position, instance) in instances.iter().enumerate() {
            let slot = index.slot(instances, &instance.id);
            match index.slots[slot] {
                FREE => index.slots[slot] = position as u32,
                first => return Err((first as usize, position)),
            }
        }
        Ok(index)
    }

    /// The slot that holds the id, or the free one where it would go.
    fn slot(&self, instances: &[Instance], id: &InstanceId) -> usize {
        let mask = self.slots.len() - 1;
        let mut slot = self.hasher.hash_one(id) as usize & mask;
        while self.slots[slot] != FREE && instances[self.slots[slot] as usize].id != *id {
            slot = (slot + 1) & mask;
        }
        slot
    }

    /// The position of the instance with this id.
    pub(crate) fn find(&self, instances: &[Instance], id: &InstanceId) -> Option<usize> {
        if self.slots.is_empty() {
            return None;
        }
        let position = self.slots[self.slot(instances, id)];
        (position != FREE).then_some(position as usize)
    }
}
