//! Single fields: their types, and the errors where they have another.
//!
//! A field that is `null` is a field that is not there, as in Go's `encoding/json`.

use std::borrow::Cow;

use super::Structure;
use crate::json::{Fault, FaultKind, Scanner, type_name};

/// Which object a field belongs to: what its path begins with.
#[derive(Clone, Copy)]
pub(super) enum Context<'n> {
    Top,
    Outputs,
    Output(&'n str),
    Resource(usize),
    Instance(usize, usize),
}

impl<'n> Context<'n> {
    pub(super) const TOP: Context<'static> = Context::Top;
    pub(super) const OUTPUTS: Context<'static> = Context::Outputs;

    pub(super) fn output(name: &'n str) -> Self {
        Context::Output(name)
    }

    /// The path of a field of this object.
    pub(super) fn path(self, field: &str) -> String {
        match self {
            Context::Top => field.to_owned(),
            Context::Outputs => format!("outputs.{field}"),
            Context::Output(name) => format!("outputs.{name}.{field}"),
            Context::Resource(resource) => format!("resources[{resource}].{field}"),
            Context::Instance(resource, instance) => {
                format!("resources[{resource}].instances[{instance}].{field}")
            }
        }
    }
}

#[cold]
pub(super) fn missing(object: usize, context: Context<'_>, field: &str) -> Fault {
    Fault(Box::new(FaultKind::Structure {
        offset: object,
        error: Structure::Missing {
            path: context.path(field),
        },
    }))
}

#[cold]
pub(super) fn invalid(offset: usize, context: Context<'_>, field: &str, reason: impl Into<String>) -> Fault {
    let error = Structure::Invalid {
        path: context.path(field),
        reason: reason.into(),
    };
    Fault(Box::new(FaultKind::Structure { offset, error }))
}

/// The fault for the value that the scanner stands at; another fault where that is no value at all.
#[cold]
pub(super) fn wrong_type(
    scanner: &mut Scanner<'_>,
    context: Context<'_>,
    field: &str,
    expected: &'static str,
) -> Fault {
    let offset = scanner.position();
    match scanner.value() {
        Ok(_) => wrong_type_at(scanner.text(), offset, context, field, expected),
        Err(fault) => fault,
    }
}

#[cold]
pub(super) fn wrong_type_at(
    text: &str,
    offset: usize,
    context: Context<'_>,
    field: &str,
    expected: &'static str,
) -> Fault {
    let mut scanner = Scanner::at(text, offset, 0);
    let found = type_name(scanner.token());
    let error = Structure::WrongType {
        path: context.path(field),
        expected,
        found,
    };
    Fault(Box::new(FaultKind::Structure {
        offset: scanner.position(),
        error,
    }))
}

/// Whether a container begins here (`open` is `{` or `[`); takes a null, and leaves the container to be read.
#[inline]
pub(super) fn container(scanner: &mut Scanner<'_>, context: Context<'_>, field: &str, open: u8) -> Result<bool, Fault> {
    match scanner.token() {
        byte if byte == open => Ok(true),
        b'n' => scanner.value().map(|_| false),
        _ if open == b'{' => Err(wrong_type(scanner, context, field, "an object")),
        _ => Err(wrong_type(scanner, context, field, "an array")),
    }
}

/// A string or null.
#[inline]
pub(super) fn text<'b>(
    scanner: &mut Scanner<'b>,
    context: Context<'_>,
    field: &str,
) -> Result<Option<Cow<'b, str>>, Fault> {
    match scanner.token() {
        b'"' => {
            let text = scanner.text();
            Ok(Some(scanner.string()?.decode(text)))
        }
        b'n' => scanner.value().map(|_| None),
        _ => Err(wrong_type(scanner, context, field, "a string")),
    }
}

/// A boolean or null.
#[inline]
pub(super) fn boolean(scanner: &mut Scanner<'_>, context: Context<'_>, field: &str) -> Result<Option<bool>, Fault> {
    match scanner.token() {
        b't' => scanner.value().map(|_| Some(true)),
        b'f' => scanner.value().map(|_| Some(false)),
        b'n' => scanner.value().map(|_| None),
        _ => Err(wrong_type(scanner, context, field, "a boolean")),
    }
}

/// A whole number from 0 to 2^64-1, or null. As in Go, `1.0` and `1e3` are not whole numbers.
#[inline]
pub(super) fn whole_number(scanner: &mut Scanner<'_>, context: Context<'_>, field: &str) -> Result<Option<u64>, Fault> {
    match scanner.token() {
        b'-' | b'0'..=b'9' => {
            let span = scanner.value()?;
            let digits = span.of(scanner.text());
            match digits.parse() {
                Ok(number) => Ok(Some(number)),
                Err(_) => Err(invalid(
                    span.start(),
                    context,
                    field,
                    "a whole number from 0 to 2^64-1 is required",
                )),
            }
        }
        b'n' => scanner.value().map(|_| None),
        _ => Err(wrong_type(scanner, context, field, "a whole number")),
    }
}
