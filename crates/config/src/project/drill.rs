//! `[drill]`: how often a service rehearses the way back, and to how many releases.

use super::ProjectError;
use super::read::Section;

/// How many of the newest releases are rehearsed where nothing is said.
const RELEASES: u32 = 3;

/// `[drill]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrillSection {
    /// `24h`.
    pub every: String,
    /// The newest so many.
    pub releases: u32,
}

pub(super) fn read(drill: &Section<'_, '_>) -> Result<DrillSection, ProjectError> {
    drill.only(&["every", "releases"])?;
    drill.required("every")?;
    Ok(DrillSection {
        every: drill.period("every")?.unwrap_or_default(),
        releases: drill.number_up_to("releases", 100)?.unwrap_or(RELEASES),
    })
}

#[cfg(test)]
mod tests {
    use crate::project::Project;

    fn parse(text: &str) -> Result<Project, super::ProjectError> {
        Project::parse(text, "infra-rollback.toml")
    }

    #[test]
    fn it_is_a_period_and_a_number_of_releases() {
        let drill = parse("[drill]\nevery = '24h'\n").unwrap().drill.unwrap();
        assert_eq!((drill.every.as_str(), drill.releases), ("24h", 3));
        let drill = parse("[drill]\nevery = '90m'\nreleases = 5\n").unwrap().drill.unwrap();
        assert_eq!(drill.releases, 5);
        assert!(parse("").unwrap().drill.is_none());
        for wrong in [
            "[drill]\n",
            "[drill]\nevery = 'daily'\n",
            "[drill]\nevery = '-1h'\n",
            "[drill]\nevery = '1h'\nreleases = 0\n",
            "[drill]\nevery = '1h'\nrelease = 3\n",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
