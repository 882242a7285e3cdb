use std::cell::RefCell;
use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// Representations in memory, with a count of what was fetched.
#[derive(Default)]
struct Shelf {
    held: RefCell<BTreeMap<BlobId, Vec<u8>>>,
    batches: RefCell<Vec<usize>>,
}

impl RawBlobs for Shelf {
    fn get_raw(&self, id: &BlobId) -> Result<Vec<u8>, StoreError> {
        self.batches.borrow_mut().push(1);
        self.held
            .borrow()
            .get(id)
            .cloned()
            .ok_or(StoreError::BlobMissing { id: *id })
    }
    fn get_raw_many(&self, ids: &[BlobId]) -> Vec<Result<Vec<u8>, StoreError>> {
        self.batches.borrow_mut().push(ids.len());
        let held = self.held.borrow();
        ids.iter()
            .map(|id| held.get(id).cloned().ok_or(StoreError::BlobMissing { id: *id }))
            .collect()
    }
}

impl Shelf {
    fn put(&self, bytes: &[u8], like: Option<&BlobId>) -> BlobId {
        let stored = like.and_then(|like| encode_like(self, bytes, like).unwrap());
        self.place(
            BlobId::of(bytes),
            stored.unwrap_or_else(|| encode_whole(bytes).unwrap()),
        )
    }
    fn place(&self, id: BlobId, stored: Vec<u8>) -> BlobId {
        self.held.borrow_mut().insert(id, stored);
        id
    }
    fn stored(&self, id: &BlobId) -> Vec<u8> {
        self.held.borrow()[id].clone()
    }
    fn bases(&self, id: &BlobId) -> Vec<BlobId> {
        bases_of(id, &self.stored(id)).unwrap()
    }
    fn size(&self) -> usize {
        self.held.borrow().values().map(Vec::len).sum()
    }
}

/// A content of 1000 lines, of which five change with each version and one is added, removed and moved.
fn version(number: usize) -> Vec<u8> {
    let mut lines: Vec<String> = (number..1000 + number)
        .map(|line| {
            let round = if line % 200 <= number % 200 {
                number / 200 + 1
            } else {
                number / 200
            };
            format!(
                "    \"resource_{line}\": {{ \"id\": \"{}\", \"tags\": {{ \"round\": {round} }} }},\n",
                BlobId::of(&line.to_le_bytes())
            )
        })
        .collect();
    let moved = lines.remove(number * 37 % 1000);
    lines.insert(number * 91 % 999, moved);
    lines.concat().into_bytes()
}

fn series(count: usize) -> (Shelf, Vec<BlobId>) {
    let shelf = Shelf::default();
    let mut ids: Vec<BlobId> = Vec::new();
    for number in 0..count {
        ids.push(shelf.put(&version(number), ids.last()));
    }
    (shelf, ids)
}

#[test]
fn a_series_stays_small_and_every_version_reads_in_two_fetches() {
    let (shelf, ids) = series(200);
    let whole: usize = (0..200)
        .map(|number| encode_whole(&version(number)).unwrap().len())
        .sum();
    assert!(shelf.size() * 8 < whole, "{} of {whole} bytes", shelf.size());
    for (number, id) in ids.iter().enumerate() {
        let bases = shelf.bases(id);
        assert!(
            bases.len() <= 2 * (RADIX as usize) + 7,
            "{} links at {number}",
            bases.len()
        );
        shelf.batches.borrow_mut().clear();
        assert!(decode(&shelf, id).unwrap() == version(number), "version {number}");
        let batches = shelf.batches.borrow().clone();
        let expected = if bases.is_empty() {
            vec![1]
        } else {
            vec![1, bases.len()]
        };
        assert_eq!(batches, expected, "the whole chain at once");
    }
}

/// A content of 200 lines, of which one in forty changes with each version.
fn busy(number: usize) -> Vec<u8> {
    let lines = (0..200).map(|line| {
        let phase = line * 7 % 40;
        let changed = (number + phase) / 40;
        format!("{line}: {}\n", BlobId::of(format!("{line} {changed}").as_bytes()))
    });
    lines.collect::<String>().into_bytes()
}

fn busy_series(count: usize, pays: fn(usize, usize, usize) -> bool) -> (Shelf, Vec<BlobId>) {
    let shelf = Shelf::default();
    let mut ids: Vec<BlobId> = Vec::new();
    for number in 0..count {
        let bytes = busy(number);
        let id = BlobId::of(&bytes);
        let difference = ids
            .last()
            .map(|like| difference_to(&shelf, &id, &bytes, like, pays).unwrap());
        ids.push(shelf.place(
            id,
            difference.flatten().unwrap_or_else(|| encode_whole(&bytes).unwrap()),
        ));
    }
    (shelf, ids)
}

/// What has to be decompressed to read a blob beside the whole copy, in bytes as they lie, and the whole copy.
fn read_through(shelf: &Shelf, id: &BlobId) -> (usize, usize) {
    let bases = shelf.bases(id);
    let Some((whole, between)) = bases.split_last() else {
        return (0, shelf.stored(id).len());
    };
    let differences = between.iter().chain([id]).map(|id| shelf.stored(id).len());
    (differences.sum(), shelf.stored(whole).len())
}

#[test]
fn what_a_read_costs_does_not_grow_with_the_history() {
    let (shelf, ids) = busy_series(200, pays);
    let mut wholes = 0;
    let mut longest = 0;
    for (number, id) in ids.iter().enumerate() {
        let (differences, whole) = read_through(&shelf, id);
        assert!(differences <= whole / 4, "{differences} of {whole} bytes at {number}");
        wholes += usize::from(differences == 0);
        longest = longest.max(shelf.bases(id).len());
    }
    assert!(wholes > 2, "a new chain begins again and again");
    assert!(wholes * 5 < ids.len(), "and not too often: {wholes}");
    assert!(longest < 16, "{longest} links");
    for number in [0, 1, 47, 48, 100, 198, 199] {
        assert!(
            decode(&shelf, &ids[number]).unwrap() == busy(number),
            "version {number}"
        );
    }
}

/// Before the sum was bounded, a chain went on as long as each difference alone was small.
#[test]
fn a_chain_that_was_written_without_a_bound_is_read_and_ends() {
    let (shelf, ids) = busy_series(64, |own, _, whole| own < whole / 2);
    let beyond = (0..64).rev().find(|number| {
        let (differences, whole) = read_through(&shelf, &ids[*number]);
        differences > whole
    });
    let beyond = beyond.expect("the old rule goes beyond the bound");
    for number in (0..64).step_by(7).chain([beyond]) {
        assert!(
            decode(&shelf, &ids[number]).unwrap() == busy(number),
            "version {number}"
        );
    }
    // What is put after it stays within the bound: by a base further down, or by a chain of its own.
    let next = shelf.put(&[busy(beyond), b"more".to_vec()].concat(), Some(&ids[beyond]));
    let (differences, whole) = read_through(&shelf, &next);
    assert!(differences <= whole, "{differences} of {whole} bytes");
    assert!(decode(&shelf, &next).unwrap().ends_with(b"more"));
}

#[test]
fn the_base_is_the_position_with_its_lowest_digit_lowered() {
    for (position, base) in [
        (1, 0),
        (3, 2),
        (4, 0),
        (5, 4),
        (8, 4),
        (15, 14),
        (16, 0),
        (20, 16),
        (64, 0),
        (80, 64),
    ] {
        assert_eq!(base_position(position), base, "of {position}");
    }
}

#[test]
fn what_is_not_alike_small_or_its_own_base_is_kept_whole() {
    let (shelf, ids) = series(3);
    let other: Vec<u8> = (0..20_000_u32)
        .flat_map(|number| blake3::hash(&number.to_le_bytes()).as_bytes()[..4].to_vec())
        .collect();
    assert_eq!(encode_like(&shelf, &other, &ids[2]).unwrap(), None, "nothing in common");
    assert_eq!(encode_like(&shelf, b"small", &ids[2]).unwrap(), None);
    assert_eq!(encode_like(&shelf, &version(2), &ids[2]).unwrap(), None, "itself");
    assert_eq!(
        encode_like(&shelf, &version(0), &ids[2]).unwrap(),
        None,
        "what the other stands on"
    );
    assert_eq!(encode_like(&shelf, &version(9), &BlobId::of(b"nowhere")).unwrap(), None);
}

#[test]
fn a_base_that_is_missing_or_damaged_names_itself_and_putting_it_again_mends_all() {
    let (shelf, ids) = series(8);
    let last = ids[7];
    for base in shelf.bases(&last) {
        let good = shelf.stored(&base);
        shelf.held.borrow_mut().remove(&base);
        let error = decode(&shelf, &last).unwrap_err();
        assert!(matches!(error, StoreError::BlobMissing { id } if id == base), "{error}");
        // Another content, another difference, and a whole copy of another version in its place.
        for wrong in [vec![1, 2, 3], shelf.stored(&last), encode_whole(&version(77)).unwrap()] {
            shelf.place(base, wrong);
            let error = decode(&shelf, &last).unwrap_err();
            assert!(
                matches!(error, StoreError::BlobCorrupt { id, .. } if id == base),
                "{base}: {error}"
            );
        }
        shelf.place(base, good);
    }
    // A base that was put again is whole: what comes after it in the chain is not needed any more.
    let base = shelf.bases(&last)[2];
    let number = ids.iter().position(|id| *id == base).unwrap();
    shelf.place(base, encode_whole(&version(number)).unwrap());
    shelf.held.borrow_mut().remove(&ids[0]);
    assert!(decode(&shelf, &last).unwrap() == version(7));
}

fn header_with(position: u32, length: u32, links: &[(BlobId, u32)], payload: &[u8]) -> Vec<u8> {
    let mut stored = b"\x89ird".to_vec();
    stored.extend(position.to_le_bytes());
    stored.extend(length.to_le_bytes());
    stored.push(links.len() as u8);
    for (id, position) in links {
        stored.extend(id.as_bytes());
        stored.extend(position.to_le_bytes());
    }
    stored.extend(zstd::bulk::compress(payload, 1).unwrap());
    stored
}

fn numbers(numbers: &[u64]) -> Vec<u8> {
    let mut out = Vec::new();
    for number in numbers {
        let mut number = *number;
        while number >= 0x80 {
            out.push(number as u8 | 0x80);
            number >>= 7;
        }
        out.push(number as u8);
    }
    out
}

#[test]
fn hostile_representations_are_refused() {
    let shelf = Shelf::default();
    let whole = shelf.put(&[7; 1000], None);
    let (one, other) = (BlobId::of(b"one"), BlobId::of(b"other"));
    let copy_all = numbers(&[1, 0, 1000, 0]);
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("no blob", header_with(1, 1000, &[], &copy_all)),
        ("itself", header_with(1, 1000, &[(one, 0)], &copy_all)),
        ("too many", {
            let mut stored = header_with(1, 1000, &[(whole, 0)], &copy_all);
            stored[12] = 255;
            stored
        }),
        ("larger than any", header_with(1, u32::MAX, &[(whole, 0)], &copy_all)),
        (
            "outside of the base",
            header_with(1, 1000, &[(whole, 0)], &numbers(&[1, 0, 1000, 2])),
        ),
        (
            "before the base",
            header_with(1, 1000, &[(whole, 0)], &numbers(&[1, 0, 1000, 1])),
        ),
        ("longer than it says", header_with(1, 999, &[(whole, 0)], &copy_all)),
        ("shorter than it says", header_with(1, 1001, &[(whole, 0)], &copy_all)),
        (
            "steps without end",
            header_with(1, 1000, &[(whole, 0)], &numbers(&[u64::MAX, 0, 1000, 0])),
        ),
        ("a number without end", header_with(1, 1000, &[(whole, 0)], &[0xff; 40])),
        (
            "lengths that overflow",
            header_with(1, 1000, &[(whole, 0)], &numbers(&[2, u64::MAX, u64::MAX, 0, 2, 2, 0])),
        ),
        ("a bomb", header_with(1, 1000, &[(whole, 0)], &vec![0; 200 << 20])),
        ("no payload", header_with(1, 1000, &[(whole, 0)], &[])[..49].to_vec()),
    ];
    for (what, stored) in cases {
        shelf.place(one, stored);
        let started = std::time::Instant::now();
        let error = decode(&shelf, &one).unwrap_err();
        assert!(matches!(error, StoreError::BlobCorrupt { .. }), "{what}: {error}");
        assert!(started.elapsed().as_secs() < 20, "{what}");
    }
    // Two that stand on each other, each with a chain of its own that looks right.
    shelf.place(one, header_with(1, 1000, &[(other, 0)], &copy_all));
    shelf.place(other, header_with(1, 1000, &[(one, 0)], &copy_all));
    assert!(matches!(decode(&shelf, &one), Err(StoreError::BlobCorrupt { .. })));
    // A long way of many differences, each of which names only the next.
    let ids: Vec<BlobId> = (0..200_u32).map(|number| BlobId::of(&number.to_le_bytes())).collect();
    for pair in ids.windows(2) {
        shelf.place(pair[0], header_with(1, 1000, &[(pair[1], 0)], &copy_all));
    }
    shelf.place(ids[199], encode_whole(&[7; 1000]).unwrap());
    assert!(matches!(decode(&shelf, &ids[0]), Err(StoreError::BlobCorrupt { .. })));
    // Each link copies the one below a thousand times over: the pieces would be more than memory holds.
    let doubling = {
        let mut steps = vec![6000];
        for _ in 0..6000 {
            // Always from the beginning: 1000 bytes before where the last copy ended, as a signed number.
            steps.extend([0, 1000, if steps.len() == 1 { 0 } else { 1999 }]);
        }
        numbers(&steps)
    };
    let [z, a, b, c] = [b"z", b"a", b"b", b"c"].map(|name| BlobId::of(name));
    // Pieces of one byte in the lowest layer keep the others from growing together.
    let bytes = {
        let mut steps = vec![1000];
        for number in 0..1000_u64 {
            steps.extend([0, 1, u64::from(number > 0)]);
        }
        numbers(&steps)
    };
    shelf.place(z, header_with(1, 1000, &[(whole, 0)], &bytes));
    shelf.place(a, header_with(2, 6_000_000, &[(z, 1), (whole, 0)], &doubling));
    shelf.place(b, header_with(3, 6_000_000, &[(a, 2), (z, 1), (whole, 0)], &doubling));
    shelf.place(
        c,
        header_with(4, 6_000_000, &[(b, 3), (a, 2), (z, 1), (whole, 0)], &doubling),
    );
    assert!(matches!(decode(&shelf, &c), Err(StoreError::BlobCorrupt { .. })));
    let chain = Chain::fetch(&shelf, &c).unwrap();
    assert_eq!(chain.build(0), Err("it consists of too many pieces"));
}

#[test]
fn every_cut_and_every_flipped_bit_is_noticed() {
    let (shelf, ids) = series(4);
    let (id, good) = (ids[3], shelf.stored(&ids[3]));
    let noticed = |damaged: Vec<u8>, what: &str| {
        shelf.place(id, damaged);
        match decode(&shelf, &id) {
            Err(_) => {}
            // A bit that decides only about space: the position, or one of the frame's header.
            Ok(bytes) => assert!(bytes == version(3), "{what}"),
        }
    };
    for length in 0..good.len() {
        noticed(good[..length].to_vec(), &format!("cut after {length}"));
    }
    for index in 0..good.len() {
        let mut damaged = good.clone();
        damaged[index] ^= 1 << (index % 8);
        noticed(damaged, &format!("byte {index}"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Whatever is cut, moved, doubled or written over: the bytes come back.
    #[test]
    fn any_edit_comes_back(edits in prop::collection::vec((0..60_000_usize, 0..3000_usize, 0..5_u8), 0..12)) {
        let shelf = Shelf::default();
        let mut bytes = version(0);
        let mut like = shelf.put(&bytes, None);
        let mut all = vec![(like, bytes.clone())];
        for (at, length, what) in edits {
            let at = at % bytes.len().max(1);
            let end = (at + length).min(bytes.len());
            match what {
                0 => drop(bytes.drain(at..end)),
                1 => { let part = bytes[at..end].to_vec(); bytes.extend(part); }
                2 => { let part: Vec<u8> = bytes.drain(at..end).collect(); bytes.splice(0..0, part); }
                3 => bytes[at..end].fill(b'x'),
                _ => drop(bytes.splice(at..at, (0..length).map(|n| (n * 31 % 251) as u8))),
            }
            like = shelf.put(&bytes, Some(&like));
            all.push((like, bytes.clone()));
        }
        for (id, bytes) in all {
            prop_assert!(decode(&shelf, &id).unwrap() == bytes);
        }
    }

    #[test]
    fn noise_is_refused(noise in prop::collection::vec(any::<u8>(), 0..300)) {
        let shelf = Shelf::default();
        let id = BlobId::of(b"what it should be");
        shelf.place(id, [&b"\x89ird"[..], &noise].concat());
        prop_assert!(decode(&shelf, &id).is_err());
    }
}
