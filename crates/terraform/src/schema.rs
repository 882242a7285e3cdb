//! `providers schema -json`: of some fifteen megabytes for a large provider only versions and flags are kept.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::error::TerraformError;

/// Flags of an attribute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct AttributeSchema {
    #[serde(default)]
    pub required: bool,
    #[serde(default)]
    pub optional: bool,
    #[serde(default)]
    pub computed: bool,
    #[serde(default)]
    pub sensitive: bool,
    #[serde(default)]
    pub write_only: bool,
}

/// A resource type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResourceSchema {
    /// The schema version that this provider writes into a state.
    pub version: u64,
    /// By path: `name`, and `block.name` inside nested blocks and nested attributes.
    pub attributes: BTreeMap<String, AttributeSchema>,
}

impl ResourceSchema {
    fn with(&self, flag: impl Fn(&AttributeSchema) -> bool) -> Vec<&str> {
        self.attributes
            .iter()
            .filter(|(_, attribute)| flag(attribute))
            .map(|(path, _)| path.as_str())
            .collect()
    }

    /// Paths the provider marks as secret; a state's own `sensitive_attributes` need not have them.
    pub fn sensitive(&self) -> Vec<&str> {
        self.with(|attribute| attribute.sensitive || attribute.write_only)
    }

    /// Paths that only the provider sets.
    pub fn computed(&self) -> Vec<&str> {
        self.with(|attribute| attribute.computed && !attribute.optional)
    }
}

/// One provider.
#[derive(Clone, Debug, Default)]
pub struct ProviderSchema {
    pub resources: BTreeMap<String, ResourceSchema>,
    pub data_sources: BTreeMap<String, ResourceSchema>,
}

/// All providers of a folder, by source address (`registry.terraform.io/hashicorp/aws`).
#[derive(Clone, Debug, Default)]
pub struct ProvidersSchema {
    pub providers: BTreeMap<String, ProviderSchema>,
}

impl ProvidersSchema {
    pub fn parse(bytes: &[u8]) -> Result<ProvidersSchema, TerraformError> {
        let document: Document = serde_json::from_slice(bytes).map_err(|error| TerraformError::Document {
            what: "the output of `providers schema -json`".into(),
            message: format!("line {} column {}", error.line(), error.column()),
        })?;
        let types = |types: Option<BTreeMap<String, TypeDocument>>| {
            types
                .unwrap_or_default()
                .into_iter()
                .map(|(name, one)| (name, one.into()))
                .collect()
        };
        let providers = document
            .provider_schemas
            .unwrap_or_default()
            .into_iter()
            .map(|(name, one)| {
                (
                    name,
                    ProviderSchema {
                        resources: types(one.resource_schemas),
                        data_sources: types(one.data_source_schemas),
                    },
                )
            });
        Ok(ProvidersSchema {
            providers: providers.collect(),
        })
    }

    /// A managed resource type of a provider. `provider` as a source address, or as a state writes it (`provider["…"].alias`).
    pub fn resource(&self, provider: &str, kind: &str) -> Option<&ResourceSchema> {
        let source = provider.split('"').nth(1).unwrap_or(provider);
        self.providers.get(source)?.resources.get(kind)
    }

    /// The schema version of every managed resource type. Where two providers have the same type, the higher one.
    pub fn versions(&self) -> BTreeMap<String, u64> {
        let mut versions = BTreeMap::new();
        for (kind, resource) in self.providers.values().flat_map(|provider| &provider.resources) {
            let version: &mut u64 = versions.entry(kind.clone()).or_default();
            *version = resource.version.max(*version);
        }
        versions
    }
}

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    provider_schemas: Option<BTreeMap<String, ProviderDocument>>,
}

#[derive(Deserialize)]
struct ProviderDocument {
    #[serde(default)]
    resource_schemas: Option<BTreeMap<String, TypeDocument>>,
    #[serde(default)]
    data_source_schemas: Option<BTreeMap<String, TypeDocument>>,
}

#[derive(Deserialize)]
struct TypeDocument {
    #[serde(default)]
    version: u64,
    #[serde(default)]
    block: Option<Block>,
}

impl From<TypeDocument> for ResourceSchema {
    fn from(document: TypeDocument) -> Self {
        let mut attributes = BTreeMap::new();
        if let Some(block) = document.block {
            block.flatten("", &mut attributes);
        }
        ResourceSchema {
            version: document.version,
            attributes,
        }
    }
}

#[derive(Default, Deserialize)]
struct Block {
    #[serde(default)]
    attributes: Entries<Attribute>,
    #[serde(default)]
    block_types: Entries<BlockType>,
}

#[derive(Deserialize)]
struct BlockType {
    #[serde(default)]
    block: Option<Block>,
}

#[derive(Deserialize)]
struct Attribute {
    #[serde(default)]
    required: bool,
    #[serde(default)]
    optional: bool,
    #[serde(default)]
    computed: bool,
    #[serde(default)]
    sensitive: bool,
    #[serde(default)]
    write_only: bool,
    #[serde(default)]
    nested_type: Option<Nested>,
}

#[derive(Deserialize)]
struct Nested {
    #[serde(default)]
    attributes: Entries<Attribute>,
}

impl Block {
    fn flatten(self, prefix: &str, into: &mut BTreeMap<String, AttributeSchema>) {
        flatten_attributes(self.attributes, prefix, into);
        for (name, inner) in self.block_types.0 {
            if let Some(block) = inner.block {
                block.flatten(&format!("{prefix}{name}."), into);
            }
        }
    }
}

fn flatten_attributes(attributes: Entries<Attribute>, prefix: &str, into: &mut BTreeMap<String, AttributeSchema>) {
    for (name, one) in attributes.0 {
        let path = format!("{prefix}{name}");
        if let Some(nested) = one.nested_type {
            flatten_attributes(nested.attributes, &format!("{path}."), into);
        }
        into.insert(
            path,
            AttributeSchema {
                required: one.required,
                optional: one.optional,
                computed: one.computed,
                sensitive: one.sensitive,
                write_only: one.write_only,
            },
        );
    }
}

/// An object read as a list of pairs; null is the empty one. Cheaper than a map that is taken apart at once.
struct Entries<T>(Vec<(String, T)>);

impl<T> Default for Entries<T> {
    fn default() -> Self {
        Entries(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Entries<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Pairs<T> {
            type Value = Entries<T>;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Entries::default())
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
                while sequence.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Entries::default())
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Entries(pairs))
            }
        }
        deserializer.deserialize_any(Pairs(std::marker::PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_flags() {
        let text = r#"{"format_version":"1.0","provider_schemas":{"registry.terraform.io/hashicorp/x":{"provider":{"version":0},
          "resource_schemas":{"x_db":{"version":3,"block":{"attributes":{"id":{"type":"string","computed":true},
            "password":{"type":"string","optional":true,"sensitive":true},"wo":{"type":"string","write_only":true,"optional":true},
            "conf":{"nested_type":{"attributes":{"key":{"type":"string","sensitive":true}},"nesting_mode":"single"},"optional":true}},
            "block_types":{"login":{"nesting_mode":"list","block":{"attributes":{"token":{"type":"string","sensitive":true,"required":true}}}}}}}}}}}"#;
        let schema = ProvidersSchema::parse(text.as_bytes()).unwrap();
        let resource = schema
            .resource("provider[\"registry.terraform.io/hashicorp/x\"].west", "x_db")
            .unwrap();
        assert_eq!(resource.version, 3);
        assert_eq!(resource.sensitive(), ["conf.key", "login.token", "password", "wo"]);
        assert_eq!(resource.computed(), ["id"]);
        assert_eq!(schema.versions()["x_db"], 3);
        assert!(ProvidersSchema::parse(b"{}").unwrap().providers.is_empty());
        assert!(ProvidersSchema::parse(b"nope").is_err());
    }
}
