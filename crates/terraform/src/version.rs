//! Versions of terraform and OpenTofu.

use std::fmt;

use serde::{Deserialize, Serialize};

/// `1.11.4`, `1.12.0-beta1`. A prerelease sorts before its release, as in semantic versioning.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Version {
    pub major: u64,
    pub minor: u64,
    pub patch: u64,
    pub prerelease: Option<String>,
}

impl Version {
    pub const fn new(major: u64, minor: u64, patch: u64) -> Version {
        Version {
            major,
            minor,
            patch,
            prerelease: None,
        }
    }

    /// Reads `1.11.4`, `v1.11.4`, `1.12.0-rc1+build`; `None` when it is no version.
    pub fn parse(text: &str) -> Option<Version> {
        let text = text.trim();
        let text = text.strip_prefix('v').unwrap_or(text);
        let text = text.split_once('+').map_or(text, |(version, _)| version);
        let (numbers, prerelease) = match text.split_once('-') {
            Some((numbers, prerelease)) => (numbers, Some(prerelease.to_owned())),
            None => (text, None),
        };
        let mut parts = numbers.split('.').map(|part| part.parse::<u64>().ok());
        let version = Version {
            major: parts.next()??,
            minor: parts.next()??,
            patch: parts.next()??,
            prerelease,
        };
        parts.next().is_none().then_some(version)
    }

    /// At least major.minor, prereleases of it included.
    pub fn at_least(&self, major: u64, minor: u64) -> bool {
        (self.major, self.minor) >= (major, minor)
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Version) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Version) -> std::cmp::Ordering {
        (self.major, self.minor, self.patch)
            .cmp(&(other.major, other.minor, other.patch))
            .then_with(|| self.prerelease.is_none().cmp(&other.prerelease.is_none()))
            .then_with(|| self.prerelease.cmp(&other.prerelease))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}.{}", self.major, self.minor, self.patch)?;
        match &self.prerelease {
            Some(prerelease) => write!(formatter, "-{prerelease}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parse_and_order() {
        let read = |text| Version::parse(text).unwrap();
        assert_eq!(read("v1.11.4"), Version::new(1, 11, 4));
        assert_eq!(read("1.12.0-beta1").to_string(), "1.12.0-beta1");
        assert!(read("1.12.0-beta1") < read("1.12.0"));
        assert!(read("1.9.8") < read("1.11.0"));
        assert!(read("1.12.0-alpha").at_least(1, 12));
        for bad in ["", "1", "1.2", "1.2.x", "1.2.3.4", "one.two.three"] {
            assert_eq!(Version::parse(bad), None, "{bad}");
        }
    }
}
