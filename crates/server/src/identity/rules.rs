//! From what an issuer says of somebody to what they may do here. The first rule that fits decides, so that a narrow rule
//! stands before a wide one and nobody has to add up several.

use rollback_config::project::IdentityRule;
use serde_json::{Map, Value};

use super::pattern::Pattern;
use crate::access::{Permission, Role};

/// A rule.
#[derive(Clone, Debug)]
pub struct Rule {
    pub role: Role,
    pub stacks: Vec<String>,
    pub grants: Vec<Permission>,
    projects: Vec<String>,
    claims: Vec<(String, Vec<Pattern>)>,
}

/// The project that is asked about.
#[derive(Clone, Copy, Debug)]
pub struct Project<'a> {
    pub name: &'a str,
    /// Whether it is the service's own, not one that a client brought.
    pub is_own: bool,
}

impl Rule {
    /// # Errors
    /// What cannot be meant, in words.
    pub fn new(rule: &IdentityRule) -> Result<Rule, String> {
        if rule.claims.is_empty() {
            return Err("a rule without `claims` would be for everybody that the issuer knows".to_owned());
        }
        let grants = rule.grants.iter().map(|text| text.parse()).collect::<Result<_, _>>()?;
        let mut claims = Vec::new();
        for (name, values) in &rule.claims {
            let patterns = values
                .iter()
                .map(|value| Pattern::parse(value))
                .collect::<Result<_, _>>();
            claims.push((name.clone(), patterns.map_err(|why| format!("`{name}`: {why}"))?));
        }
        Ok(Rule {
            role: rule.role.parse()?,
            stacks: rule.stacks.clone(),
            projects: rule.projects.clone(),
            grants,
            claims,
        })
    }

    /// What of the claims makes it fit; none where it does not.
    pub fn decided_by(&self, claims: &Value, project: Project<'_>) -> Option<Map<String, Value>> {
        let is_for_it = match self.projects.as_slice() {
            // As with tokens: whoever is for all stacks of the service's own project is for all that it takes in.
            [] => project.is_own || self.stacks.is_empty(),
            named => named.iter().any(|name| name == project.name),
        };
        if !is_for_it {
            return None;
        }
        let found = self.claims.iter().map(|(name, patterns)| {
            let value = text_that_fits(claim(claims, name)?, patterns)?;
            Some((name.clone(), Value::from(value)))
        });
        found.collect()
    }
}

/// A claim by its name; by its place (RFC 6901) where that begins with a slash: `/realm_access/roles`.
fn claim<'c>(claims: &'c Value, name: &str) -> Option<&'c Value> {
    match name.starts_with('/') {
        true => claims.pointer(name),
        false => claims.get(name),
    }
}

/// The value, or that of a list's items, that fits one of the patterns.
fn text_that_fits(value: &Value, patterns: &[Pattern]) -> Option<String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Array(items) => {
            let mut plain = items.iter().filter(|item| !item.is_array());
            return plain.find_map(|item| text_that_fits(item, patterns));
        }
        Value::Null | Value::Object(_) => return None,
    };
    patterns.iter().any(|pattern| pattern.fits(&text)).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rule(change: impl FnOnce(&mut IdentityRule)) -> Result<Rule, String> {
        let text = "[[identity]]\nissuer = 'i'\naudience = 'a'\n[[identity.rule]]\nrole = 'operator'\nstacks = ['app']\n\
                    claims = { repository = 'acme/infra', ref = ['refs/heads/main', 'refs/heads/release/*'] }";
        let project = rollback_config::project::parse(text, "f").unwrap();
        let mut section = project.identities[0].rules[0].clone();
        change(&mut section);
        Rule::new(&section)
    }

    const OWN: Project<'static> = Project {
        name: "p",
        is_own: true,
    };
    const OTHER: Project<'static> = Project {
        name: "q",
        is_own: false,
    };

    #[test]
    fn every_claim_has_to_have_one_of_its_values() {
        let rule = rule(|_| {}).unwrap();
        let good = json!({ "repository": "acme/infra", "ref": "refs/heads/release/2", "actor": "ann" });
        let decided = rule.decided_by(&good, OWN).unwrap();
        assert_eq!(
            Value::Object(decided),
            json!({ "repository": "acme/infra", "ref": "refs/heads/release/2" })
        );
        for (name, value) in [
            ("repository", json!("evil/infra")),
            ("repository", Value::Null),
            ("repository", json!({ "acme/infra": true })),
            ("ref", json!("refs/heads/feature")),
            ("ref", json!(["refs/heads/feature"])),
            ("ref", json!([["refs/heads/main"]])),
        ] {
            let mut other = good.clone();
            other[name] = value;
            assert_eq!(rule.decided_by(&other, OWN), None, "{other}");
        }
        assert_eq!(rule.decided_by(&json!({ "repository": "acme/infra" }), OWN), None);
    }

    #[test]
    fn values_of_other_kinds_are_compared_as_they_are_written() {
        let rule = rule(|rule| {
            rule.claims = [("protected", "true"), ("/realm/groups", "ops"), ("id", "7")]
                .into_iter()
                .map(|(name, value)| (name.to_owned(), vec![value.to_owned()]))
                .collect();
        })
        .unwrap();
        let claims = json!({ "protected": true, "realm": { "groups": ["dev", "ops"] }, "id": 7 });
        assert!(rule.decided_by(&claims, OWN).is_some());
    }

    #[test]
    fn a_rule_is_for_the_own_project_those_that_it_names_or_all() {
        let claims = json!({ "repository": "acme/infra", "ref": "refs/heads/main" });
        let fits = |rule: Rule| [OWN, OTHER].map(|project| rule.decided_by(&claims, project).is_some());
        assert_eq!(fits(rule(|_| {}).unwrap()), [true, false]);
        assert_eq!(fits(rule(|rule| rule.stacks.clear()).unwrap()), [true, true]);
        assert_eq!(
            fits(rule(|rule| rule.projects = vec!["q".to_owned()]).unwrap()),
            [false, true]
        );
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        rule(|rule| rule.claims.clear()).unwrap_err();
        rule(|rule| rule.role = "root".to_owned()).unwrap_err();
        rule(|rule| rule.grants = vec!["operate".to_owned()]).unwrap_err();
        let open = rule(|rule| {
            rule.claims.insert("repository".to_owned(), vec!["*/infra".to_owned()]);
        });
        assert!(open.unwrap_err().contains("repository"));
    }
}
