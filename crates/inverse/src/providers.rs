//! Whether a configuration configures the provider that a state names.

use rollback_config::{Configuration, Module};
use rollback_state::ModulePath;

/// A provider address of a state: `module.m.provider["registry.terraform.io/hashicorp/aws"].west`.
struct ProviderAddress<'p> {
    module: Vec<String>,
    source: &'p str,
    alias: Option<&'p str>,
}

impl<'p> ProviderAddress<'p> {
    fn parse(text: &'p str) -> Option<Self> {
        let at = text.find("provider[\"")?;
        let (source, rest) = text[at + "provider[\"".len()..].split_once("\"]")?;
        let module = match text[..at].strip_suffix('.') {
            Some(module) => module
                .parse::<ModulePath>()
                .ok()?
                .0
                .into_iter()
                .map(|step| step.name)
                .collect(),
            None => Vec::new(),
        };
        Some(ProviderAddress {
            module,
            source,
            alias: rest.strip_prefix('.'),
        })
    }
}

/// Whether Terraform, planning this configuration, finds the provider configuration that the address names.
///
/// Terraform (1.11, `MissingProviderTransformer`) makes up an empty configuration for a provider
/// without alias in the root module. That serves only where there never was a block: one that stood
/// in `before` and is gone held the region or the credentials.
pub(crate) fn is_configured(provider: &str, target: &Configuration, before: Option<&Configuration>) -> bool {
    let Some(address) = ProviderAddress::parse(provider) else {
        return true;
    };
    if has_block(target, &address) {
        return true;
    }
    // A module that is not at hand may well have the block.
    if target
        .unresolved
        .iter()
        .any(|module| address.module.starts_with(&module.path))
    {
        return true;
    }
    address.module.is_empty()
        && address.alias.is_none()
        && (is_built_in(address.source) || before.is_some_and(|before| !has_block(before, &address)))
}

fn is_built_in(source: &str) -> bool {
    source.starts_with("terraform.io/builtin/")
}

fn has_block(configuration: &Configuration, address: &ProviderAddress<'_>) -> bool {
    configuration.modules.get(&address.module).is_some_and(|module| {
        module
            .providers
            .iter()
            .any(|block| block.alias.as_deref() == address.alias && is_source(module, &block.name, address.source))
    })
}

/// Whether a module's local name for a provider means this source.
fn is_source(module: &Module, local: &str, source: &str) -> bool {
    let written = module
        .required_providers
        .get(local)
        .and_then(|required| required.source.clone())
        .unwrap_or_else(|| format!("hashicorp/{local}"));
    let parts: Vec<&str> = written.split('/').collect();
    match source.splitn(3, '/').collect::<Vec<_>>()[..] {
        ["terraform.io", "builtin", name] => local == name || written == source,
        [host, namespace, name] => match parts[..] {
            [own_host, own_namespace, own_name] => own_host == host && own_namespace == namespace && own_name == name,
            // Without a host it is the registry of whichever product wrote the state.
            [own_namespace, own_name] => {
                host.starts_with("registry.") && own_namespace.eq_ignore_ascii_case(namespace) && own_name == name
            }
            [own_name] => host.starts_with("registry.") && namespace == "hashicorp" && own_name == name,
            _ => false,
        },
        _ => written == source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rollback_config::{MemoryTree, load};

    fn configuration(files: &[(&str, &str)]) -> Configuration {
        let tree = files
            .iter()
            .fold(MemoryTree::default(), |tree, (path, text)| tree.with(path, text));
        load(&tree, "", None).expect("a configuration")
    }

    #[test]
    fn aliases_modules_and_sources_are_told_apart() {
        let aws = r#"provider["registry.terraform.io/hashicorp/aws"]"#;
        let target = configuration(&[
            (
                "main.tf",
                "terraform {\n  required_providers {\n    dog = { source = \"DataDog/datadog\" }\n  }\n}\nprovider \"aws\" {}\nprovider \"aws\" {\n  alias = \"west\"\n}\nprovider \"dog\" {}\nmodule \"m\" {\n  source = \"./m\"\n}\n",
            ),
            ("m/main.tf", "provider \"aws\" {\n  alias = \"own\"\n}\n"),
        ]);
        assert!(is_configured(aws, &target, None));
        assert!(is_configured(&format!("{aws}.west"), &target, None));
        assert!(!is_configured(&format!("{aws}.east"), &target, None));
        assert!(is_configured(&format!("module.m.{aws}.own"), &target, None));
        assert!(!is_configured(&format!("module.n.{aws}.own"), &target, None));
        assert!(is_configured(
            r#"provider["registry.terraform.io/datadog/datadog"]"#,
            &target,
            None
        ));
        assert!(is_configured(
            r#"provider["terraform.io/builtin/terraform"]"#,
            &target,
            None
        ));
    }

    #[test]
    fn a_block_that_is_gone_matters_and_one_that_never_was_does_not() {
        let random = r#"provider["registry.terraform.io/hashicorp/random"]"#;
        let without = configuration(&[("main.tf", "")]);
        let with = configuration(&[("main.tf", "provider \"random\" {}\n")]);
        assert!(is_configured(random, &without, Some(&without)));
        assert!(!is_configured(random, &without, Some(&with)));
    }
}
