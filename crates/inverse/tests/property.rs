//! Random states, relabelled at random: nothing is lost, everything comes home, and back again.

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::*;
use proptest::prelude::*;
use rollback_inverse::Fate;
use rollback_state::State;
use serde_json::json;

/// Addresses to choose from: modules, counts, keys, and a few hostile ones.
fn addresses() -> Vec<String> {
    let mut all = Vec::new();
    for module in ["", "module.a.", "module.a[\"x\"].module.b[1]."] {
        for kind in ["aws_vpc", "aws_subnet"] {
            for name in [
                "one[0]",
                "one[1]",
                "two[\"k\"]",
                "two[\"a.b\"]",
                "two[\"$${x}\\\"\"]",
                "three",
            ] {
                all.push(format!("{module}{kind}.{name}"));
            }
        }
    }
    all
}

fn kind_of(address: &str) -> &str {
    if address.contains("aws_vpc.") { "vpc" } else { "subnet" }
}

/// Object number → address, each address at most once and each number always of one type.
fn placed() -> impl Strategy<Value = BTreeMap<usize, String>> {
    let all = addresses();
    let count = all.len();
    (Just(all).prop_shuffle(), 0..count, any::<u64>()).prop_map(|(shuffled, count, seed)| {
        let mut numbers = states::Numbers(seed);
        let mut placed = BTreeMap::new();
        for address in shuffled.into_iter().take(count) {
            let number = numbers.below(30) * 2 + usize::from(kind_of(&address) == "vpc");
            placed.entry(number).or_insert(address);
        }
        placed
    })
}

fn state_of(placed: &BTreeMap<usize, String>, version: u64) -> State {
    let objects: Vec<Object> = placed
        .iter()
        .map(|(number, address)| {
            // Every third object also changes between the two.
            let changed = if number % 3 == 0 { version } else { 0 };
            object(
                address,
                &format!("id-{number}"),
                json!({ "n": number, "changed": changed }),
            )
        })
        .collect();
    state(&objects)
}

/// Number → address of every object of a state.
fn placement(state: &State) -> BTreeMap<usize, String> {
    state
        .instances()
        .map(|instance| {
            let identifier = instance.identifier(state).expect("an id");
            (
                identifier["id-".len()..].parse().expect("a number"),
                instance.address().to_string(),
            )
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_object_comes_home_and_none_is_lost(a in placed(), b in placed()) {
        let (current, target) = (state_of(&a, 1), state_of(&b, 2));
        let plan = plan_states(&current, &target);
        let joined = joined(&current, Some(&target), &plan).state;
        let now = placement(&joined);
        // Each object that both have is where the target had it.
        for (number, address) in b.iter().filter(|(number, _)| a.contains_key(number)) {
            prop_assert_eq!(now.get(number), Some(address));
        }
        // Nothing is lost, nothing is made up.
        prop_assert_eq!(now.keys().collect::<BTreeSet<_>>(), a.keys().collect::<BTreeSet<_>>());
        // Every object of the target has a fate, and so has every one of the current state.
        let sources = plan.changes.iter().filter(|change| change.from.is_some()).count();
        prop_assert_eq!(sources, a.len());
        let ends: BTreeSet<String> = plan.changes.iter().filter_map(|change| Some(change.to.as_ref()?.to_string())).collect();
        for address in b.values() {
            prop_assert!(ends.contains(address), "{} has no fate", address);
        }
    }

    #[test]
    fn the_inverse_of_the_inverse_leads_back(a in placed(), numbers in any::<u64>()) {
        // The same objects, relabelled among the addresses of their types.
        let mut b = BTreeMap::new();
        for kind in ["vpc", "subnet"] {
            let mut homes: Vec<String> = a.values().filter(|address| kind_of(address) == kind).cloned().collect();
            let shift = if homes.is_empty() { 0 } else { numbers as usize % homes.len() };
            homes.rotate_left(shift);
            b.extend(a.iter().filter(|(_, address)| kind_of(address) == kind).map(|(number, _)| *number).zip(homes));
        }
        let (current, target) = (state_of(&a, 1), state_of(&b, 1));
        let there = joined(&current, Some(&target), &plan_states(&current, &target)).state;
        prop_assert_eq!(placement(&there), b);
        let plan = plan_states(&there, &current);
        prop_assert!(plan.changes.iter().all(|change| matches!(change.fate, Fate::Keep | Fate::Move)));
        let back = joined(&there, Some(&current), &plan).state;
        prop_assert_eq!(placement(&back), a);
    }

    #[test]
    fn from_a_state_to_itself_is_nothing(a in placed()) {
        let state = state_of(&a, 1);
        let plan = plan_states(&state, &state);
        prop_assert!(plan.is_empty());
        prop_assert!(!joined(&state, Some(&state), &plan).edited);
    }
}
