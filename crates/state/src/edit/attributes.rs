//! Other values for single attributes of an object, every other byte as it was.

use super::EditError;
use super::splice::{Splice, apply};
use crate::address::InstanceId;
use crate::json::{decode_string, encode_string, members};
use crate::state::State;

/// A text attribute of an object, at the top of its `attributes`: what it is, and what it is to be.
#[derive(Clone, Copy, Debug)]
pub struct Revalued<'v> {
    pub name: &'v str,
    pub from: &'v str,
    pub to: &'v str,
}

impl State {
    /// The state with other values in some text attributes of one object. An attribute that is not there, or is anything
    /// but `from`, stays as it is. Serial and everything else keep their bytes.
    ///
    /// # Errors
    /// [`EditError::NotFound`] where there is no such object.
    pub fn revalued(&self, id: &InstanceId, values: &[Revalued<'_>]) -> Result<State, EditError> {
        let instance = self.instance(id).ok_or_else(|| EditError::NotFound {
            id: Box::new(id.clone()),
        })?;
        let text = self.text();
        let fields = members(text, instance.span);
        let attributes = fields.iter().find(|member| member.name(text) == "attributes");
        let Some(attributes) = attributes.filter(|member| member.value.of(text).starts_with('{')) else {
            return Ok(self.clone());
        };
        let mut splices = Vec::new();
        for member in members(text, attributes.value) {
            let written = member.value.of(text);
            let is = |value: &&Revalued<'_>| {
                written.starts_with('"') && member.name(text) == value.name && decode_string(written) == value.from
            };
            if let Some(value) = values.iter().find(is) {
                splices.push(Splice::new(member.value.range(), encode_string(value.to)));
            }
        }
        let edited = apply(text, 0..text.len(), splices);
        Ok(State::parse(edited.into_bytes())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATE: &str = r#"{
  "version": 4, "terraform_version": "1.9.0", "serial": 7, "lineage": "l", "outputs": {},
  "resources": [
    {"mode": "managed", "type": "aws_db_instance", "name": "main", "provider": "provider[\"registry.terraform.io/hashicorp/aws\"]",
     "instances": [{"schema_version": 2, "attributes": {"id":  "db-OLD", "identifier": "shop", "nested": {"id": "db-OLD"}, "resource_id": "db-OLD"}}]},
    {"mode": "managed", "type": "aws_db_instance", "name": "other", "provider": "provider[\"registry.terraform.io/hashicorp/aws\"]",
     "instances": [{"schema_version": 2, "attributes": {"id": "db-OLD", "resource_id": null}}]}
  ],
  "check_results": null
}
"#;

    #[test]
    fn only_the_named_attributes_of_the_one_object_change() {
        let state = State::parse(STATE.as_bytes().to_vec()).unwrap();
        let id = state.instances().next().unwrap().id().clone();
        let value = |name| Revalued {
            name,
            from: "db-OLD",
            to: "db-NEW",
        };
        let edited = state
            .revalued(&id, &[value("id"), value("resource_id"), value("identifier")])
            .unwrap();
        let expected = STATE.replacen(r#""id":  "db-OLD""#, r#""id":  "db-NEW""#, 1).replacen(
            r#""resource_id": "db-OLD""#,
            r#""resource_id": "db-NEW""#,
            1,
        );
        assert_eq!(String::from_utf8_lossy(edited.bytes()), expected);
        let again = edited.revalued(&id, &[value("id")]).unwrap();
        assert_eq!(again.bytes(), edited.bytes(), "it is told once");
    }
}
