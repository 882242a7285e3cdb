//! Reading addresses: the inverse of how they are written.

use std::str::FromStr;

use super::{Address, InstanceId, Key, Mode, ModulePath, ModuleStep, ResourceAddress, quote};

/// Why a text is not an address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an address: {reason} (at character {position})")]
pub struct AddressError {
    /// What was to be read.
    pub text: String,
    /// Where reading stopped, in characters from 1.
    pub position: usize,
    /// What was wrong there.
    pub reason: String,
}

impl AddressError {
    /// What an address looks like.
    pub fn hint(&self) -> Option<String> {
        Some(
            "write addresses as `terraform state list` prints them, such as \
             aws_instance.web[0] or module.network[\"eu\"].data.aws_vpc.main"
                .to_owned(),
        )
    }
}

type Parsed<T> = Result<T, AddressError>;

/// A reader over the text of an address.
struct Cursor<'t> {
    text: &'t str,
    position: usize,
}

impl<'t> Cursor<'t> {
    fn new(text: &'t str) -> Self {
        Self { text, position: 0 }
    }

    fn rest(&self) -> &'t str {
        &self.text[self.position..]
    }

    fn fail<T>(&self, reason: impl Into<String>) -> Parsed<T> {
        Err(AddressError {
            text: self.text.to_owned(),
            position: self.text[..self.position].chars().count() + 1,
            reason: reason.into(),
        })
    }

    fn eat(&mut self, expected: char) -> bool {
        let found = self.rest().starts_with(expected);
        if found {
            self.position += expected.len_utf8();
        }
        found
    }

    fn expect(&mut self, expected: char) -> Parsed<()> {
        if self.eat(expected) {
            Ok(())
        } else {
            self.fail(format!("expected `{expected}`"))
        }
    }

    fn end(&self) -> Parsed<()> {
        if self.rest().is_empty() {
            Ok(())
        } else {
            self.fail("unexpected text after the address")
        }
    }

    fn identifier(&mut self, what: &str) -> Parsed<&'t str> {
        let rest = self.rest();
        let length = rest
            .find(|character| !is_identifier_character(character))
            .unwrap_or(rest.len());
        if length == 0 {
            return self.fail(format!("expected {what}"));
        }
        self.position += length;
        Ok(&rest[..length])
    }

    fn key(&mut self) -> Parsed<Option<Key>> {
        if !self.eat('[') {
            return Ok(None);
        }
        let rest = self.rest();
        let key = if rest.starts_with('"') {
            match quote::read_quoted(rest) {
                Ok((content, length)) => {
                    self.position += length;
                    Key::Str(content)
                }
                Err(error) => {
                    self.position += error.offset;
                    return self.fail(error.reason);
                }
            }
        } else {
            let length = rest.find(']').unwrap_or(rest.len());
            let digits = &rest[..length];
            let unsigned = digits.strip_prefix('-').unwrap_or(digits);
            if unsigned.is_empty() || !unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
                return self.fail("expected a number or a quoted string as key");
            }
            let Ok(number) = digits.parse() else {
                return self.fail("the number is too large for a key");
            };
            self.position += length;
            Key::Int(number)
        };
        self.expect(']')?;
        Ok(Some(key))
    }

    /// The module steps at the front; stops before the first name that is not `module`.
    fn module_steps(&mut self, only_modules: bool) -> Parsed<ModulePath> {
        let mut steps = Vec::new();
        while self.rest().starts_with("module.") {
            self.position += "module.".len();
            let name = self.identifier("a module's name")?.to_owned();
            let key = self.key()?;
            steps.push(ModuleStep { name, key });
            if only_modules && self.rest().is_empty() {
                break;
            }
            self.expect('.')?;
        }
        Ok(ModulePath(steps))
    }

    fn resource(&mut self) -> Parsed<ResourceAddress> {
        let module = self.module_steps(false)?;
        let mut kind = self.identifier("a resource type")?;
        self.expect('.')?;
        let mode = if kind == "data" {
            kind = self.identifier("a data source's type")?;
            self.expect('.')?;
            Mode::Data
        } else {
            Mode::Managed
        };
        let name = self.identifier("a resource's name")?;
        Ok(ResourceAddress {
            module,
            mode,
            kind: kind.to_owned(),
            name: name.to_owned(),
        })
    }

    fn address(&mut self) -> Parsed<Address> {
        let resource = self.resource()?;
        let key = self.key()?;
        Ok(Address { resource, key })
    }
}

/// Whether the character can stand in a name: HCL's identifiers, and what older versions let through.
pub(crate) fn is_identifier_character(character: char) -> bool {
    character.is_alphanumeric()
        || matches!(character, '_' | '-')
        || (!character.is_ascii() && quote::is_print(character) && !character.is_whitespace())
}

/// Whether the text can be a resource's type or name, so that an address made of it can be read again.
pub(crate) fn is_identifier(text: &str) -> bool {
    !text.is_empty()
        && (text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
            || text.chars().all(is_identifier_character))
}

impl FromStr for Key {
    type Err = AddressError;

    /// Reads a key with its brackets, as it is written.
    fn from_str(text: &str) -> Parsed<Self> {
        let mut cursor = Cursor::new(text);
        let Some(key) = cursor.key()? else {
            return cursor.fail("expected `[`");
        };
        cursor.end()?;
        Ok(key)
    }
}

impl FromStr for ModulePath {
    type Err = AddressError;

    fn from_str(text: &str) -> Parsed<Self> {
        let mut cursor = Cursor::new(text);
        let path = cursor.module_steps(true)?;
        cursor.end()?;
        if !text.is_empty() && text.ends_with('.') {
            return cursor.fail("expected a module after `.`");
        }
        Ok(path)
    }
}

impl FromStr for ResourceAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Parsed<Self> {
        let mut cursor = Cursor::new(text);
        let resource = cursor.resource()?;
        cursor.end()?;
        Ok(resource)
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Parsed<Self> {
        let mut cursor = Cursor::new(text);
        let address = cursor.address()?;
        cursor.end()?;
        Ok(address)
    }
}

impl FromStr for InstanceId {
    type Err = AddressError;

    fn from_str(text: &str) -> Parsed<Self> {
        let mut cursor = Cursor::new(text);
        let address = cursor.address()?;
        let rest = cursor.rest();
        if rest.is_empty() {
            return Ok(InstanceId { address, deposed: None });
        }
        match rest.strip_prefix(" (deposed ").and_then(|rest| rest.strip_suffix(')')) {
            Some(deposed) if deposed.len() == 8 => Ok(InstanceId {
                address,
                deposed: Some(deposed.to_owned()),
            }),
            _ => cursor.fail("expected nothing more, or ` (deposed XXXXXXXX)` with eight characters"),
        }
    }
}
