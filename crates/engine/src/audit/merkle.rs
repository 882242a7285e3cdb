//! The hash tree of RFC 6962 (2.1): a leaf is `SHA-256(0x00 ‖ line)`, a node `SHA-256(0x01 ‖ left ‖ right)`.

use sha2::{Digest, Sha256};

/// SHA-256.
pub type Hash = [u8; 32];

/// The leaf of a line, which comes without its line break.
pub fn leaf(line: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(line).finalize().into()
}

fn node(left: &Hash, right: &Hash) -> Hash {
    Sha256::new()
        .chain_update([1])
        .chain_update(left)
        .chain_update(right)
        .finalize()
        .into()
}

/// The largest power of two below `count`, which is at least 2.
fn split(count: usize) -> usize {
    1 << (usize::BITS - 1 - (count - 1).leading_zeros())
}

/// The root over these leaves; over none the hash of nothing.
pub fn root(leaves: &[Hash]) -> Hash {
    let mut frontier = Frontier::default();
    for leaf in leaves {
        frontier.push(*leaf);
    }
    frontier.root()
}

/// Roots of whole subtrees, from which the root follows while leaves are added one by one.
#[derive(Clone, Debug, Default)]
pub struct Frontier {
    count: u64,
    /// The largest subtree first.
    subtrees: Vec<Hash>,
}

impl Frontier {
    pub fn push(&mut self, leaf: Hash) {
        let mut hash = leaf;
        // As many subtrees end here as the count has ones at its end.
        for _ in 0..self.count.trailing_ones() {
            if let Some(left) = self.subtrees.pop() {
                hash = node(&left, &hash);
            }
        }
        self.subtrees.push(hash);
        self.count += 1;
    }

    pub fn count(&self) -> u64 {
        self.count
    }

    pub fn root(&self) -> Hash {
        let mut right_to_left = self.subtrees.iter().rev();
        let Some(last) = right_to_left.next() else {
            return Sha256::digest([]).into();
        };
        right_to_left.fold(*last, |right, left| node(left, &right))
    }
}

/// What it takes to get from the leaf at `index` (from 0) to the root, from the leaf upwards; none where there is no such
/// leaf.
pub fn inclusion_proof(leaves: &[Hash], index: usize) -> Option<Vec<Hash>> {
    if index >= leaves.len() {
        return None;
    }
    let mut path = Vec::new();
    let (mut part, mut index) = (leaves, index);
    while part.len() > 1 {
        let (left, right) = part.split_at(split(part.len()));
        if index < left.len() {
            path.push(root(right));
            part = left;
        } else {
            path.push(root(left));
            index -= left.len();
            part = right;
        }
    }
    path.reverse();
    Some(path)
}

/// What shows that the tree over the first `old` leaves is the beginning of the one over all; none where `old` is none of
/// its sizes.
pub fn consistency_proof(leaves: &[Hash], old: usize) -> Option<Vec<Hash>> {
    if old == 0 || old > leaves.len() {
        return None;
    }
    let mut path = Vec::new();
    let (mut part, mut old, mut whole) = (leaves, old, true);
    while old < part.len() {
        let (left, right) = part.split_at(split(part.len()));
        if old <= left.len() {
            path.push(root(right));
            part = left;
        } else {
            path.push(root(left));
            old -= left.len();
            part = right;
            whole = false;
        }
    }
    // Where the old tree is a subtree as it stands, its root is known already.
    if !whole {
        path.push(root(part));
    }
    path.reverse();
    Some(path)
}

/// Whether the proof leads from the leaf at `index` to the root over `size` leaves (RFC 9162, 2.1.3.2).
pub fn includes(leaf: &Hash, index: u64, size: u64, proof: &[Hash], root: &Hash) -> bool {
    if index >= size {
        return false;
    }
    let (mut fn_, mut sn) = (index, size - 1);
    let mut hash = *leaf;
    for other in proof {
        if sn == 0 {
            return false;
        }
        if fn_ & 1 == 1 || fn_ == sn {
            hash = node(other, &hash);
            while fn_ & 1 == 0 && fn_ != 0 {
                fn_ >>= 1;
                sn >>= 1;
            }
        } else {
            hash = node(&hash, other);
        }
        fn_ >>= 1;
        sn >>= 1;
    }
    sn == 0 && hash == *root
}

/// Whether the proof shows that the tree of the new root begins with that of the old one (RFC 9162, 2.1.4.2).
pub fn is_consistent(old: u64, new: u64, old_root: &Hash, new_root: &Hash, proof: &[Hash]) -> bool {
    if old == new {
        return proof.is_empty() && old_root == new_root;
    }
    if old == 0 || old > new {
        return false;
    }
    let mut path = proof.iter();
    let first = match old.is_power_of_two() {
        true => *old_root,
        false => match path.next() {
            Some(first) => *first,
            None => return false,
        },
    };
    let (mut fn_, mut sn) = (old - 1, new - 1);
    while fn_ & 1 == 1 {
        fn_ >>= 1;
        sn >>= 1;
    }
    let (mut from_old, mut from_new) = (first, first);
    for other in path {
        if sn == 0 {
            return false;
        }
        if fn_ & 1 == 1 || fn_ == sn {
            from_old = node(other, &from_old);
            from_new = node(other, &from_new);
            while fn_ & 1 == 0 && fn_ != 0 {
                fn_ >>= 1;
                sn >>= 1;
            }
        } else {
            from_new = node(&from_new, other);
        }
        fn_ >>= 1;
        sn >>= 1;
    }
    sn == 0 && from_old == *old_root && from_new == *new_root
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The inputs and roots by which implementations of Certificate Transparency are tried.
    const INPUTS: [&str; 8] = [
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    ];
    const ROOTS: [&str; 8] = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];

    #[test]
    fn roots_are_those_of_certificate_transparency() {
        let leaves: Vec<Hash> = INPUTS.iter().map(|input| leaf(&hex::decode(input).unwrap())).collect();
        for (count, expected) in (1..).zip(ROOTS) {
            assert_eq!(hex::encode(root(&leaves[..count])), expected);
        }
        let nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(hex::encode(root(&[])), nothing);
    }

    #[test]
    fn every_proof_holds_and_no_other_does() {
        let leaves: Vec<Hash> = (0..70_u8).map(|number| leaf(&[number])).collect();
        let roots: Vec<Hash> = (0..=leaves.len()).map(|size| root(&leaves[..size])).collect();
        for size in 1..=leaves.len() {
            for index in 0..size {
                let proof = inclusion_proof(&leaves[..size], index).unwrap();
                let holds = |index: usize, size: usize, proof: &[Hash], leaf: &Hash| {
                    includes(leaf, index as u64, size as u64, proof, &roots[size.min(leaves.len())])
                };
                assert!(holds(index, size, &proof, &leaves[index]), "{index} of {size}");
                assert!(!holds(index, size, &proof, &leaves[(index + 1) % leaves.len()]));
                assert!(index + 1 == size || !holds(index + 1, size, &proof, &leaves[index]));
                let mut changed = proof.clone();
                if let Some(first) = changed.first_mut() {
                    first[0] ^= 1;
                    assert!(!holds(index, size, &changed, &leaves[index]));
                }
                changed = proof.clone();
                changed.push([0; 32]);
                assert!(!holds(index, size, &changed, &leaves[index]));
            }
            assert!(inclusion_proof(&leaves[..size], size).is_none());
            for old in 1..=size {
                let proof = consistency_proof(&leaves[..size], old).unwrap();
                let holds = |old: usize, old_root: &Hash, proof: &[Hash]| {
                    is_consistent(old as u64, size as u64, old_root, &roots[size], proof)
                };
                assert!(holds(old, &roots[old], &proof), "{old} to {size}");
                assert!(
                    !holds(old, &roots[old - 1], &proof),
                    "{old} to {size}: another beginning"
                );
                if let Some((_, shorter)) = proof.split_last() {
                    assert!(!holds(old, &roots[old], shorter));
                }
            }
            assert!(consistency_proof(&leaves[..size], size + 1).is_none());
        }
    }
}
