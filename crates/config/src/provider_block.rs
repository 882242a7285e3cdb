//! A `provider` block under another name and alias.

use hcl_edit::Ident;
use hcl_edit::structure::{Attribute, Body};

/// The block as its author wrote it, but for its name and its alias. None where the text is no provider block of HCL.
pub fn provider_under_alias(text: &str, name: &str, alias: &str) -> Option<String> {
    let mut body: Body = hcl_edit::parser::parse_body(text).ok()?;
    let block = body.get_blocks_mut("provider").next()?;
    let label = block.labels.first_mut()?;
    *label = hcl_edit::Decorated::new(name.to_owned()).into();
    block.body.remove_attribute("alias");
    block.body.set_prefer_oneline(false);
    block.body.set_prefer_omit_trailing_newline(false);
    let mut attribute = Attribute::new(Ident::new("alias"), alias);
    hcl_edit::Decorate::decor_mut(&mut attribute).set_prefix("\n  ");
    block.body.insert(0, attribute);
    Some(body.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_name_and_alias_change() {
        for text in [
            "provider \"aws\" {\n  alias  = \"west\"\n  region = \"x\"\n  assume_role {\n    alias = 1\n  }\n}",
            "provider \"aws\" { region = \"x\" }",
            "provider \"aws\" { alias = \"west\" }",
            "provider \"aws\" {}",
            "provider \"aws\" {\n  # {\n  alias = \"w\" // {\n  region = \"x\" # :) }\n}",
            "provider \"aws\" {\n  /* [ */\n  region = \"x\"\n  alias = \"w\"\n  default_tags {\n    tags = { a = \"{\" }\n  }\n}\n",
        ] {
            let renamed = provider_under_alias(text, "cloud", "ours").unwrap();
            let tree = crate::MemoryTree::default().with("main.tf", &renamed);
            let again = crate::load(&tree, "", None).unwrap_or_else(|error| panic!("{error}: {renamed}"));
            let found = &again.root().unwrap().providers[0];
            assert_eq!(
                (found.name.as_str(), found.alias.as_deref()),
                ("cloud", Some("ours")),
                "{renamed}"
            );
            for kept in ["region", "assume_role.alias", "default_tags.tags"] {
                let word = kept.split('.').next().unwrap();
                assert_eq!(
                    found.attributes.contains_key(kept),
                    text.contains(word),
                    "{kept}: {renamed}"
                );
            }
        }
        assert_eq!(provider_under_alias("resource \"a\" \"b\" {}", "a", "b"), None);
    }
}
