//! Writing addresses, and carrying them in other formats as the text they are written as.

use std::fmt::{self, Display, Formatter};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::{Address, InstanceId, Key, Mode, ModulePath, ModuleStep, ResourceAddress, quote};

impl Display for Key {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str("[")?;
        match self {
            Key::Int(number) => write!(formatter, "{number}")?,
            Key::Str(text) => quote::write_quoted(formatter, text)?,
        }
        formatter.write_str("]")
    }
}

impl Display for ModuleStep {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "module.{}", self.name)?;
        self.key.iter().try_for_each(|key| key.fmt(formatter))
    }
}

impl Display for ModulePath {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        for (index, step) in self.0.iter().enumerate() {
            if index > 0 {
                formatter.write_str(".")?;
            }
            step.fmt(formatter)?;
        }
        Ok(())
    }
}

impl Display for Mode {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl Display for ResourceAddress {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        if !self.module.is_root() {
            write!(formatter, "{}.", self.module)?;
        }
        if self.mode == Mode::Data {
            formatter.write_str("data.")?;
        }
        write!(formatter, "{}.{}", self.kind, self.name)
    }
}

impl Display for Address {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        self.resource.fmt(formatter)?;
        self.key.iter().try_for_each(|key| key.fmt(formatter))
    }
}

impl Display for InstanceId {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        self.address.fmt(formatter)?;
        self.deposed
            .iter()
            .try_for_each(|deposed| write!(formatter, " (deposed {deposed})"))
    }
}

/// Serde by way of the written form.
macro_rules! serde_as_text {
    ($($name:ty),*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(D::Error::custom)
            }
        }
    )*};
}

serde_as_text!(Key, ModulePath, Mode, ResourceAddress, Address, InstanceId);

impl std::str::FromStr for Mode {
    type Err = super::AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "managed" => Ok(Mode::Managed),
            "data" => Ok(Mode::Data),
            _ => Err(super::AddressError {
                text: text.to_owned(),
                position: 1,
                reason: "a mode is `managed` or `data`".to_owned(),
            }),
        }
    }
}
