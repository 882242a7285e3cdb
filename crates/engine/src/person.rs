//! Who somebody is to the record, and when two of them are one person.

/// Somebody who asked for something or said yes to it.
///
/// One person may come with several tokens, and one machine account may act for several people. Where somebody else has
/// to look, everything that may be the same person counts as the same: that costs a second approver at worst.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// As whom they go on record: `NAME (ID)`.
    by: String,
    /// What they share with whoever is the same person: a name, a subject of an identity provider.
    marks: Vec<String>,
}

impl Person {
    /// Somebody on record. Records from before there were marks have the name alone.
    pub fn new(by: &str, marks: &[String]) -> Person {
        let marks = match (marks, by.rsplit_once(" (")) {
            ([], Some((name, _))) => vec![Person::named(name)],
            (marks, _) => marks.to_vec(),
        };
        Person {
            by: by.to_owned(),
            marks,
        }
    }

    /// The mark of a name. Logins do not tell upper case from lower.
    pub fn named(name: &str) -> String {
        format!("name:{}", name.to_lowercase())
    }

    /// Whether the two may be one person.
    pub fn is(&self, other: &Person) -> bool {
        self.by == other.by || self.marks.iter().any(|mark| other.marks.contains(mark))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shared_mark_or_the_same_record_is_one_person() {
        let marks = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let ann = Person::new("repo:a/b by ann (oidc-1)", &marks(&["oidc-1", "name:ann"]));
        // Another workflow that she started, the same workflow that somebody else started, and a token of hers.
        assert!(ann.is(&Person::new(
            "repo:a/c by ann (oidc-2)",
            &marks(&["oidc-2", "name:ann"])
        )));
        assert!(ann.is(&Person::new(
            "repo:a/b by bob (oidc-1)",
            &marks(&["oidc-1", "name:bob"])
        )));
        assert!(ann.is(&Person::new("Ann (0123)", &[Person::named("Ann")])));
        assert!(
            ann.is(&Person::new("ann (0123)", &[])),
            "a record without marks has a name"
        );
        assert!(!ann.is(&Person::new(
            "repo:a/c by bob (oidc-2)",
            &marks(&["oidc-2", "name:bob"])
        )));
        assert!(!ann.is(&Person::new("annie", &[])));
        assert!(Person::new("annie", &[]).is(&Person::new("annie", &[])));
    }
}
