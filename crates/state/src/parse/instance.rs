//! The elements of a resource's `instances`.

use super::Reader;
use super::fields::{Context, boolean, container, invalid, text, whole_number, wrong_type};
use crate::address::Key;
use crate::instance::{Instance, Path, PathStep};
use crate::json::{Fault, Scanner, Span, decode_string, decode_value};
use serde_json::Value;

impl<'b> Reader<'b> {
    pub(super) fn instance(&mut self, scanner: &mut Scanner<'b>, resource: usize, index: usize) -> Result<(), Fault> {
        let context = Context::Instance(resource, index);
        if scanner.token() != b'{' {
            let field = format!("instances[{index}]");
            return Err(wrong_type(scanner, Context::Resource(resource), &field, "an object"));
        }
        let mut seen = std::mem::take(&mut self.seen_in_instance);
        seen.clear();
        let mut instance = Instance::blank();
        instance.span = scanner.object(|scanner, quoted| {
            let key = quoted.decode(scanner.text());
            seen.note(context, quoted.span, key.clone())?;
            self.instance_field(&mut instance, scanner, context, &key)
        })?;
        self.seen_in_instance = seen;
        self.found.instances.push(instance);
        Ok(())
    }

    fn instance_field(
        &mut self,
        instance: &mut Instance,
        scanner: &mut Scanner<'b>,
        context: Context<'_>,
        key: &str,
    ) -> Result<(), Fault> {
        let at = scanner.position();
        match key {
            "index_key" => instance.id.address.key = index_key(scanner, context)?,
            "status" => {
                instance.tainted = match text(scanner, context, "status")?.as_deref() {
                    None | Some("") => false,
                    Some("tainted") => true,
                    Some(_) => return Err(invalid(at, context, "status", "it can only be `tainted`")),
                }
            }
            "deposed" => {
                instance.id.deposed = match text(scanner, context, "deposed")? {
                    None => None,
                    Some(text) if text.is_empty() => None,
                    Some(text) if text.len() == 8 => Some(text.into_owned()),
                    Some(_) => {
                        return Err(invalid(at, context, "deposed", "it must have exactly eight characters"));
                    }
                }
            }
            "schema_version" => {
                instance.schema_version = whole_number(scanner, context, "schema_version")?.unwrap_or(0);
            }
            "attributes" => {
                if let Some(span) = attributes(instance, scanner, context, "attributes")? {
                    instance.attributes = Some(span);
                    instance.flat = false;
                }
            }
            "attributes_flat" => {
                let identifier = instance.identifier;
                if let Some(span) = attributes(instance, scanner, context, "attributes_flat")? {
                    // Terraform looks at the flat form only where the other is not there.
                    if instance.attributes.is_none() {
                        instance.attributes = Some(span);
                        instance.flat = true;
                    } else {
                        instance.identifier = identifier;
                    }
                }
            }
            "sensitive_attributes" => {
                if container(scanner, context, "sensitive_attributes", b'[')? {
                    let span = scanner.value()?;
                    if !is_empty_container(span.of(self.text)) {
                        read_sensitive_paths(self.text, span)
                            .map_err(|(offset, reason)| invalid(offset, context, "sensitive_attributes", reason))?;
                        instance.sensitive = Some(span);
                    }
                }
            }
            "private" => {
                if text(scanner, context, "private")?.is_some() {
                    instance.private = Some(Span::new(at, scanner.position()));
                }
            }
            "dependencies" => {
                if container(scanner, context, "dependencies", b'[')? {
                    let span = scanner.array(|scanner, index| {
                        if scanner.token() != b'"' {
                            let field = format!("dependencies[{index}]");
                            return Err(wrong_type(scanner, context, &field, "a string"));
                        }
                        scanner.string().map(|_| ())
                    })?;
                    instance.dependencies = Some(span);
                }
            }
            "create_before_destroy" => {
                instance.create_before_destroy = boolean(scanner, context, "create_before_destroy")?.unwrap_or(false);
            }
            "identity_schema_version" => {
                instance.identity_schema_version = whole_number(scanner, context, "identity_schema_version")?;
            }
            "identity" => {
                if container(scanner, context, "identity", b'{')? {
                    instance.identity = Some(scanner.value()?);
                }
            }
            // OpenTofu names the provider at the instance where it uses for_each on providers.
            "provider" | "instance_provider" => {
                let field = if key == "provider" {
                    "provider"
                } else {
                    "instance_provider"
                };
                if let Some(provider) = self.provider(scanner, context, field)? {
                    instance.provider = provider;
                    instance.own_provider = true;
                }
            }
            _ => {
                scanner.value()?;
            }
        }
        Ok(())
    }
}

/// Go reads any JSON number as a key; one that is not whole would be cut, which nobody can mean.
fn index_key(scanner: &mut Scanner<'_>, context: Context<'_>) -> Result<Option<Key>, Fault> {
    match scanner.token() {
        b'"' => Ok(text(scanner, context, "index_key")?.map(|text| Key::Str(text.into_owned()))),
        b'n' => scanner.value().map(|_| None),
        b'-' | b'0'..=b'9' => {
            let span = scanner.value()?;
            let digits = span.of(scanner.text());
            let whole = digits.parse::<i64>().ok().or_else(|| {
                let number = digits.parse::<f64>().ok()?;
                (number.fract() == 0.0 && number.abs() < 9e15).then_some(number as i64)
            });
            match whole {
                Some(number) => Ok(Some(Key::Int(number))),
                None => Err(invalid(
                    span.start(),
                    context,
                    "index_key",
                    "a number as key must be whole",
                )),
            }
        }
        _ => Err(wrong_type(scanner, context, "index_key", "a whole number or a string")),
    }
}

/// Skips the object of attributes and remembers where its `id` is.
fn attributes(
    instance: &mut Instance,
    scanner: &mut Scanner<'_>,
    context: Context<'_>,
    field: &'static str,
) -> Result<Option<Span>, Fault> {
    if !container(scanner, context, field, b'{')? {
        return Ok(None);
    }
    instance.identifier = None;
    let flat = field == "attributes_flat";
    let span = scanner.object(|scanner, key| {
        if flat && !matches!(scanner.token(), b'"' | b'n') {
            let path = format!("attributes_flat.{}", key.decode(scanner.text()));
            return Err(wrong_type(scanner, context, &path, "a string"));
        }
        let value = scanner.value()?;
        if key.is(scanner.text(), "id") {
            instance.identifier = Some(value);
        }
        Ok(())
    })?;
    Ok(Some(span))
}

fn is_empty_container(raw: &str) -> bool {
    raw.len() == 2 || raw[1..raw.len() - 1].trim().is_empty()
}

/// Reads `sensitive_attributes`; what is wrong, and at which offset, where that cannot be understood.
///
/// A path that is not understood must not be passed over: what it marks would be shown.
pub(crate) fn read_sensitive_paths(text: &str, span: Span) -> Result<Vec<Path>, (usize, &'static str)> {
    let mut paths = Vec::new();
    let mut wrong = None;
    let mut scanner = Scanner::at(text, span.start(), 0);
    let outcome = scanner.array(|scanner, _| {
        let at = scanner.position();
        if scanner.token() != b'[' {
            wrong.get_or_insert((at, "a path must be an array of steps"));
            return scanner.value().map(|_| ());
        }
        let mut path = Vec::new();
        scanner.array(|scanner, _| {
            let at = scanner.position();
            match path_step(scanner, text)? {
                Ok(step) => path.push(step),
                Err(reason) => {
                    wrong.get_or_insert((at, reason));
                }
            }
            Ok(())
        })?;
        paths.push(path);
        Ok(())
    });
    debug_assert!(outcome.is_ok());
    match wrong {
        Some(wrong) => Err(wrong),
        None => Ok(paths),
    }
}

/// Reads one step; what is wrong with it otherwise.
fn path_step(scanner: &mut Scanner<'_>, text: &str) -> Result<Result<PathStep, &'static str>, Fault> {
    let (mut kind, mut value) = (None, None);
    if scanner.token() != b'{' {
        scanner.value()?;
        return Ok(Err("a step must be an object"));
    }
    scanner.object(|scanner, key| {
        let found = scanner.value()?;
        if key.is(text, "type") {
            kind = Some(found.of(text));
        } else if key.is(text, "value") {
            value = Some(found);
        }
        Ok(())
    })?;
    Ok(match (kind, value) {
        (Some("\"get_attr\""), Some(value)) if value.of(text).starts_with('"') => {
            Ok(PathStep::Attribute(decode_string(value.of(text))))
        }
        (Some("\"get_attr\""), _) => Err("a step of type get_attr must have a string as value"),
        (Some("\"index\""), Some(value)) => match decode_value(value.of(text)) {
            // Written with its type, as everything dynamic: {"value":"k","type":"string"}. Lists have numbers, maps
            // strings; an element of a set is named by its whole value.
            Value::Object(mut typed) => typed
                .remove("value")
                .map(PathStep::Index)
                .ok_or("a step of type index must have a value with its type"),
            key @ (Value::String(_) | Value::Number(_)) => Ok(PathStep::Index(key)),
            _ => Err("a step of type index must have a value with its type"),
        },
        (Some("\"index\""), None) => Err("a step of type index must have a value with its type"),
        _ => Err("a step must have the type get_attr or index"),
    })
}
