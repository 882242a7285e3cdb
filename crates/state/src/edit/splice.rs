//! Replacing ranges of a text, and editing JSON lists so that what stays keeps its bytes.

use std::ops::Range;

use crate::json::{Member, Span, encode_string};

/// A range of a text and what comes in its place.
#[derive(Debug)]
pub(super) struct Splice {
    pub(super) range: Range<usize>,
    pub(super) text: String,
}

impl Splice {
    pub(super) fn new(range: Range<usize>, text: impl Into<String>) -> Self {
        Self {
            range,
            text: text.into(),
        }
    }
}

/// The part `within` of the text with the splices made. They must not overlap; of those that begin at one place,
/// insertions come first, in the order given.
pub(super) fn apply(text: &str, within: Range<usize>, mut splices: Vec<Splice>) -> String {
    splices.sort_by_key(|splice| (splice.range.start, splice.range.end));
    let added: usize = splices.iter().map(|splice| splice.text.len()).sum();
    let mut out = String::with_capacity(within.len() + added);
    let mut position = within.start;
    for splice in splices {
        debug_assert!(
            position <= splice.range.start && splice.range.end <= within.end,
            "splices overlap"
        );
        out.push_str(&text[position..splice.range.start]);
        out.push_str(&splice.text);
        position = splice.range.end;
    }
    out.push_str(&text[position..within.end]);
    out
}

/// An array or object whose elements are to be removed and added.
pub(super) struct List<'l> {
    /// The container with its brackets.
    pub(super) container: Span,
    /// Its elements, or its members from the key to the value's end.
    pub(super) elements: &'l [Span],
    /// Which of them go.
    pub(super) removed: &'l [bool],
    /// What comes in, each before the element with that position; in order.
    pub(super) inserted: &'l [(usize, String)],
    /// The whitespace before elements and before the closing bracket, where the list has no elements to take it from.
    pub(super) layout: (&'l str, &'l str),
}

impl List<'_> {
    /// The splices that edit the list.
    pub(super) fn splices(&self, text: &str) -> Vec<Splice> {
        let mut splices = Vec::new();
        let joined = |whitespace: &str| {
            let texts: Vec<&str> = self.inserted.iter().map(|(_, text)| text.as_str()).collect();
            texts.join(&format!(",{whitespace}"))
        };
        let (Some(first), Some(last)) = (self.elements.first(), self.elements.last()) else {
            if !self.inserted.is_empty() {
                let inside = self.container.start() + 1..self.container.end() - 1;
                let (before, after) = self.layout;
                splices.push(Splice::new(inside, format!("{before}{}{after}", joined(before))));
            }
            return splices;
        };
        let whitespace = &text[self.container.start() + 1..first.start()];
        let kept: Vec<usize> = (0..self.elements.len()).filter(|&index| !self.removed[index]).collect();
        let Some(&last_kept) = kept.last() else {
            splices.push(if self.inserted.is_empty() {
                Splice::new(self.container.start() + 1..self.container.end() - 1, "")
            } else {
                Splice::new(first.start()..last.end(), joined(whitespace))
            });
            return splices;
        };
        self.remove_runs(last_kept, &mut splices);
        for (before, added) in self.inserted {
            splices.push(match kept.get(kept.partition_point(|kept| kept < before)) {
                Some(&next) => {
                    let start = self.elements[next].start();
                    Splice::new(start..start, format!("{added},{whitespace}"))
                }
                None => {
                    let end = self.elements[last_kept].end();
                    Splice::new(end..end, format!(",{whitespace}{added}"))
                }
            });
        }
        splices
    }

    /// Removes each run of elements with the comma before or after it.
    fn remove_runs(&self, last_kept: usize, splices: &mut Vec<Splice>) {
        let mut index = 0;
        while index < self.elements.len() {
            if !self.removed[index] {
                index += 1;
                continue;
            }
            let start = index;
            while index < self.elements.len() && self.removed[index] {
                index += 1;
            }
            splices.push(match self.elements.get(index) {
                Some(next) => Splice::new(self.elements[start].start()..next.start(), ""),
                None => Splice::new(self.elements[last_kept].end()..self.elements[index - 1].end(), ""),
            });
        }
    }
}

/// A change of one member of an object.
pub(super) struct MemberEdit {
    pub(super) name: &'static str,
    /// The new value as JSON; none takes the member out.
    pub(super) value: Option<String>,
    /// The members after which a new one goes, if they are there.
    pub(super) after: &'static [&'static str],
}

/// The splices that change members of an object; `colon` is what stands between key and value in this document.
pub(super) fn edit_members(
    text: &str,
    object: Span,
    members: &[Member],
    edits: &[MemberEdit],
    colon: &str,
    layout: (&str, &str),
) -> Vec<Splice> {
    let mut splices = Vec::new();
    let mut removed = vec![false; members.len()];
    let mut inserted = Vec::new();
    let place = |name: &str| members.iter().position(|member| member.name(text) == name);
    for edit in edits {
        match (place(edit.name), &edit.value) {
            (Some(index), Some(value)) => {
                let range = members[index].value.range();
                if text[range.clone()] != *value {
                    splices.push(Splice::new(range, value.as_str()));
                }
            }
            (Some(index), None) => removed[index] = true,
            (None, Some(value)) => {
                let after = edit.after.iter().filter_map(|name| place(name)).max();
                let position = after.map_or(0, |index| index + 1);
                inserted.push((position, format!("{}{colon}{value}", encode_string(edit.name))));
            }
            (None, None) => {}
        }
    }
    if removed.contains(&true) || !inserted.is_empty() {
        let elements: Vec<Span> = members
            .iter()
            .map(|member| Span {
                start: member.key.start,
                end: member.value.end,
            })
            .collect();
        let list = List {
            container: object,
            elements: &elements,
            removed: &removed,
            inserted: &inserted,
            layout,
        };
        splices.extend(list.splices(text));
    }
    splices
}
