//! Shifting traffic by and by: what a listener and its rules look like at each stage between two.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::routing::{Forward, Group, Routing};

/// The default actions have no rule of their own.
pub(super) const DEFAULT: &str = "default";

/// Where a listener sends requests, part for part: [`DEFAULT`] and the ARNs of its rules.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Traffic(pub BTreeMap<String, Routing>);

/// The percentages at which traffic rests on its way, ascending, with 100 at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stages(pub Vec<u8>);

impl Stages {
    /// `None` where they are no percentages in ascending order.
    pub(super) fn new(mut percents: Vec<u8>) -> Option<Stages> {
        if percents.last() != Some(&100) {
            percents.push(100);
        }
        let ascending = percents.windows(2).all(|pair| pair[0] < pair[1]);
        (ascending && percents.iter().all(|percent| (1..=100).contains(percent))).then_some(Stages(percents))
    }

    /// The stages that are left from `now` on the way between two. A part that is nowhere on it starts at the first.
    pub(super) fn left(&self, from: &Traffic, target: &Traffic, now: &Traffic) -> &[u8] {
        let done = target.0.iter().map(|(part, routing)| {
            let (from, now) = (from.0.get(part).unwrap_or(routing), now.0.get(part));
            let is_at = |percent: &u8| now == Some(&between(from, routing, *percent));
            self.0.iter().rposition(is_at).map_or(0, |index| index + 1)
        });
        // Parts that are ahead wait for the one that is behind.
        &self.0[done.min().unwrap_or(self.0.len())..]
    }
}

impl Traffic {
    /// Both at `percent` of the way. Parts that `target` does not have stay out.
    pub(super) fn between(from: &Traffic, target: &Traffic, percent: u8) -> Traffic {
        let parts = target.0.iter().map(|(part, routing)| {
            let from = from.0.get(part).unwrap_or(routing);
            (part.clone(), between(from, routing, percent))
        });
        Traffic(parts.collect())
    }

    /// Groups that get more requests at `target`.
    pub(super) fn gaining(from: &Traffic, target: &Traffic) -> Vec<String> {
        let mut gaining: Vec<String> = Vec::new();
        for (part, routing) in &target.0 {
            let Some(after) = routing.forward() else { continue };
            let before = from.0.get(part).and_then(Routing::forward);
            for group in &after.groups {
                let more = after.share(&group.arn) > before.map_or(0.0, |before| before.share(&group.arn));
                if more && !gaining.contains(&group.arn) {
                    gaining.push(group.arn.clone());
                }
            }
        }
        gaining
    }
}

/// One part at `percent` of the way: weights of 100 altogether; at 100 exactly the target. What is not weighted between
/// groups switches with the last stage.
fn between(from: &Routing, target: &Routing, percent: u8) -> Routing {
    if percent >= 100 || from == target {
        return target.clone();
    }
    let (Routing::Forward(before), Routing::Forward(after)) = (from, target) else {
        return from.clone();
    };
    let way = f64::from(percent) / 100.0;
    let mut groups: Vec<Group> = Vec::new();
    for group in before.groups.iter().chain(&after.groups) {
        if groups.iter().any(|known| known.arn == group.arn) {
            continue;
        }
        let (old, new) = (before.share(&group.arn), after.share(&group.arn));
        let exact = 100.0 * (old + (new - old) * way);
        #[allow(clippy::cast_possible_truncation, reason = "it lies between 0 and 100")]
        let mut weight = exact.round() as i32;
        if weight == 0 && new > 0.0 && percent > 0 {
            weight = 1;
        }
        groups.push(Group {
            arn: group.arn.clone(),
            weight,
        });
    }
    Routing::Forward(Forward::new(groups, after.sticky.or(before.sticky)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(groups: &[(&str, i32)]) -> Routing {
        let groups = groups.iter().map(|(name, weight)| Group {
            arn: format!("a/{name}/1"),
            weight: *weight,
        });
        Routing::Forward(Forward::new(groups.collect(), None))
    }

    fn traffic(default: Routing, rule: Routing) -> Traffic {
        Traffic([(DEFAULT.to_owned(), default), ("rule".to_owned(), rule)].into())
    }

    #[test]
    fn weights_shift_and_the_end_is_exactly_the_target() {
        let (green, blue) = (to(&[("green", 7)]), to(&[("blue", 3)]));
        assert_eq!(between(&green, &blue, 0), to(&[("blue", 0), ("green", 100)]));
        assert_eq!(between(&green, &blue, 10), to(&[("blue", 10), ("green", 90)]));
        assert_eq!(between(&green, &blue, 100), blue);
        let half = to(&[("blue", 1), ("green", 1)]);
        assert_eq!(between(&half, &blue, 50), to(&[("blue", 75), ("green", 25)]));
        let closed = Routing::FixedResponse {
            status: "503".into(),
            content_type: None,
            body: None,
        };
        assert_eq!(
            between(&closed, &blue, 50),
            closed,
            "what cannot be weighted waits for the last stage"
        );
        assert_eq!(between(&closed, &blue, 100), blue);
    }

    #[test]
    fn a_way_is_taken_up_where_it_was_left() {
        let (green, blue) = (to(&[("green", 1)]), to(&[("blue", 1)]));
        let (from, target) = (traffic(green.clone(), green.clone()), traffic(blue.clone(), blue));
        let stages = Stages::new(vec![10, 50]).unwrap();
        assert_eq!(stages.left(&from, &target, &from), [10, 50, 100]);
        let ten = Traffic::between(&from, &target, 10);
        assert_eq!(stages.left(&from, &target, &ten), [50, 100]);
        // Cut off between the two parts of a stage.
        let mut torn = Traffic::between(&from, &target, 50);
        torn.0.insert("rule".into(), ten.0["rule"].clone());
        assert_eq!(stages.left(&from, &target, &torn), [50, 100]);
        assert!(stages.left(&from, &target, &target).is_empty());
        let stranger = traffic(to(&[("blue", 33), ("green", 67)]), green);
        assert_eq!(stages.left(&from, &target, &stranger), [10, 50, 100]);
    }

    #[test]
    fn stages_ascend() {
        assert_eq!(Stages::new(vec![]).unwrap().0, [100]);
        assert_eq!(Stages::new(vec![50, 10]), None);
        assert_eq!(Stages::new(vec![0, 100]), None);
        assert_eq!(Stages::new(vec![50, 200]), None);
    }

    #[test]
    fn only_groups_with_more_requests_gain() {
        let both = |blue, green| to(&[("blue", blue), ("green", green)]);
        let from = traffic(both(0, 100), both(50, 50));
        let target = traffic(both(100, 0), both(50, 50));
        assert_eq!(Traffic::gaining(&from, &target), ["a/blue/1"]);
        assert!(Traffic::gaining(&target, &target).is_empty());
    }
}
