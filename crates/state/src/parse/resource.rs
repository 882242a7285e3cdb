//! The elements of `resources`.

use std::borrow::Cow;
use std::str::FromStr;
use std::sync::Arc;

use super::fields::{Context, container, invalid, missing, text, wrong_type};
use super::{Entry, Reader};
use crate::address::{Mode, ModulePath, ResourceAddress, is_identifier};
use crate::json::{Fault, Scanner, Span};

impl<'b> Reader<'b> {
    pub(super) fn resources(&mut self, scanner: &mut Scanner<'b>) -> Result<(), Fault> {
        if !container(scanner, Context::TOP, "resources", b'[')? {
            return Ok(());
        }
        let span = scanner.array(|scanner, index| self.resource(scanner, index))?;
        self.found.resources_span = Some(span);
        Ok(())
    }

    fn resource(&mut self, scanner: &mut Scanner<'b>, index: usize) -> Result<(), Fault> {
        let context = Context::Resource(index);
        if scanner.token() != b'{' {
            return Err(wrong_type(
                scanner,
                Context::Top,
                &format!("resources[{index}]"),
                "an object",
            ));
        }
        let first = self.found.instances.len();
        let start = scanner.position();
        let mut seen = std::mem::take(&mut self.seen_in_resource);
        seen.clear();
        let mut module = ModulePath::root();
        let mut instances_span = None;
        let (mut mode, mut kind, mut name, mut provider) = (None, None, None, None);
        let span = scanner.object(|scanner, quoted| {
            let key = quoted.decode(scanner.text());
            seen.note(context, quoted.span, key.clone())?;
            let at = scanner.position();
            match &*key {
                "module" => module = self.module(scanner, context)?,
                "mode" => {
                    mode = match text(scanner, context, "mode")?.as_deref() {
                        None => None,
                        Some("managed") => Some(Mode::Managed),
                        Some("data") => Some(Mode::Data),
                        Some(_) => return Err(invalid(at, context, "mode", "it must be `managed` or `data`")),
                    }
                }
                "type" => kind = text(scanner, context, "type")?.map(|text| (at, text)),
                "name" => name = text(scanner, context, "name")?.map(|text| (at, text)),
                "provider" => provider = self.provider(scanner, context, "provider")?,
                "instances" => instances_span = self.instances(scanner, index)?,
                _ => {
                    scanner.value()?;
                }
            }
            Ok(())
        })?;
        self.seen_in_resource = seen;
        let Some(mode) = mode else {
            return Err(missing(start, context, "mode"));
        };
        let resource = ResourceAddress {
            module,
            mode,
            kind: identifier(kind, start, context, "type")?,
            name: identifier(name, start, context, "name")?,
        };
        if matches!(resource.kind.as_str(), "data" | "module") {
            return Err(invalid(
                start,
                context,
                "type",
                "a resource type cannot be `data` or `module`",
            ));
        }
        let count = self.found.instances.len() - first;
        let mut resource = Some(resource);
        for (offset, instance) in self.found.instances[first..].iter_mut().enumerate() {
            instance.entry = self.found.entries.len() as u32;
            // The last instance takes the address itself; most resources have but one.
            let address = if offset + 1 == count {
                resource.take()
            } else {
                resource.clone()
            };
            if let Some(address) = address {
                instance.id.address.resource = address;
            }
            if instance.provider.is_empty() {
                match &provider {
                    Some(provider) => instance.provider = Arc::clone(provider),
                    None => return Err(missing(start, context, "provider")),
                }
            }
        }
        let entry = Entry {
            span,
            instances_span,
            first: first as u32,
            count: count as u32,
        };
        self.found.entries.push(entry);
        Ok(())
    }

    fn module(&mut self, scanner: &mut Scanner<'b>, context: Context<'_>) -> Result<ModulePath, Fault> {
        let at = scanner.position();
        if scanner.repeats(self.module.0) {
            return Ok(self.module.1.clone());
        }
        let Some(written) = text(scanner, context, "module")? else {
            return Ok(ModulePath::root());
        };
        let module =
            ModulePath::from_str(&written).map_err(|error| invalid(at, context, "module", error.to_string()))?;
        self.module = (Span::new(at, scanner.position()), module.clone());
        Ok(module)
    }

    /// A provider's address, shared by all that have the same; none where it is null or empty, which OpenTofu
    /// writes at the resource where each instance has its own.
    pub(super) fn provider(
        &mut self,
        scanner: &mut Scanner<'b>,
        context: Context<'_>,
        field: &str,
    ) -> Result<Option<Arc<str>>, Fault> {
        if scanner.repeats(self.provider.0) {
            return Ok(Some(Arc::clone(&self.provider.1)));
        }
        let at = scanner.position();
        let Some(written) = text(scanner, context, field)? else {
            return Ok(None);
        };
        if written.is_empty() {
            return Ok(None);
        }
        let quoted = Span::new(at, scanner.position());
        let shared = self
            .providers
            .entry(quoted.of(self.text))
            .or_insert_with(|| Arc::from(&*written));
        self.provider = (quoted, Arc::clone(shared));
        Ok(Some(Arc::clone(shared)))
    }

    fn instances(&mut self, scanner: &mut Scanner<'b>, resource: usize) -> Result<Option<Span>, Fault> {
        if !container(scanner, Context::Resource(resource), "instances", b'[')? {
            return Ok(None);
        }
        scanner
            .array(|scanner, index| self.instance(scanner, resource, index))
            .map(Some)
    }
}

/// A type or name that an address can be made of.
fn identifier(
    found: Option<(usize, Cow<'_, str>)>,
    object: usize,
    context: Context<'_>,
    field: &str,
) -> Result<String, Fault> {
    let Some((at, text)) = found else {
        return Err(missing(object, context, field));
    };
    if !is_identifier(&text) {
        let reason = "an address cannot be made of it: only letters, digits, `_` and `-` can stand in a name";
        return Err(invalid(at, context, field, reason));
    }
    Ok(text.into_owned())
}
