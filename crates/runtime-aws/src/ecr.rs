//! Images in ECR: what a reference in a task definition names, whether it is there, and what there is.

use std::fmt;

use aws_config::SdkConfig;
use aws_sdk_ecr::Client;
use aws_sdk_ecr::operation::describe_images::builders::DescribeImagesFluentBuilder;
use aws_sdk_ecr::types::{ImageDetail, ImageIdentifier};
use jiff::Timestamp;
use rollback_runbook::step::StepError;

use crate::account::Account;
use crate::failure::Call;

/// A reference to an image in ECR: `123456789012.dkr.ecr.eu-central-1.amazonaws.com/team/backend:1.4.2`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reference {
    registry: String,
    region: String,
    /// With the registry's host: what stands before `:TAG` and `@DIGEST`.
    name: String,
    repository: String,
    tag: Option<String>,
    digest: Option<String>,
}

/// Whether an image is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// With its digest, `sha256:…`.
    Yes(String),
    No,
    /// One may not ask.
    Denied,
}

/// An image of a repository, for a person to choose from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// `sha256:…`
    pub digest: String,
    pub tags: Vec<String>,
    pub pushed: Option<Timestamp>,
    /// In bytes, compressed.
    pub size: Option<u64>,
    /// What may stand in a task definition for it, whatever becomes of its tags.
    pub reference: String,
}

impl Reference {
    /// `None` for an image that is not in a private repository of ECR.
    pub(crate) fn parse(image: &str) -> Option<Reference> {
        let (rest, digest) = match image.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.to_owned())),
            None => (image, None),
        };
        let (host, path) = rest.split_once('/')?;
        let (repository, tag) = match path.rsplit_once(':') {
            Some((repository, tag)) => (repository, Some(tag.to_owned())),
            None => (path, None),
        };
        // ACCOUNT.dkr.ecr[-fips].REGION.amazonaws.com[.cn], and ACCOUNT.dkr-ecr.REGION.on.aws
        let mut labels = host.split('.');
        let registry = labels
            .next()
            .filter(|id| id.len() == 12 && id.bytes().all(|byte| byte.is_ascii_digit()))?;
        let region = match (labels.next()?, labels.next()?) {
            ("dkr", "ecr" | "ecr-fips") => labels.next()?,
            ("dkr-ecr" | "dkr-ecr-fips", region) => region,
            _ => return None,
        };
        Some(Reference {
            registry: registry.to_owned(),
            region: region.to_owned(),
            name: format!("{host}/{repository}"),
            repository: repository.to_owned(),
            tag,
            digest,
        })
    }

    /// What stands in a task definition for exactly this image.
    pub(crate) fn pinned(&self, digest: &str) -> String {
        format!("{}@{digest}", self.name)
    }

    /// What it names now.
    pub(crate) fn find(&self, account: &Account) -> Result<Found, StepError> {
        let image = ImageIdentifier::builder();
        self.look(
            account,
            match (&self.digest, &self.tag) {
                (Some(digest), _) => image.image_digest(digest),
                (None, Some(tag)) => image.image_tag(tag),
                (None, None) => image.image_tag("latest"),
            }
            .build(),
        )
    }

    /// Whether its repository has an image with this digest.
    pub(crate) fn has(&self, account: &Account, digest: &str) -> Result<Found, StepError> {
        self.look(account, ImageIdentifier::builder().image_digest(digest).build())
    }

    /// The images of its repository: which ones the caller says.
    fn describe(&self, config: &SdkConfig) -> DescribeImagesFluentBuilder {
        Client::new(config)
            .describe_images()
            .registry_id(&self.registry)
            .repository_name(&self.repository)
    }

    fn look(&self, account: &Account, image: ImageIdentifier) -> Result<Found, StepError> {
        let what = format!("look at image {self} in ECR");
        let answer = account.call_in(
            Some(&self.region),
            &Call::looks(&what, "ecr:DescribeImages"),
            |config| self.describe(config).image_ids(image).send(),
        );
        match answer {
            Ok(answer) => Ok(answer
                .image_details
                .unwrap_or_default()
                .into_iter()
                .find_map(|image| image.image_digest)
                .map_or(Found::No, Found::Yes)),
            Err(refusal) if refusal.is(&["ImageNotFoundException", "RepositoryNotFoundException"]) => Ok(Found::No),
            Err(refusal) if refusal.is_denied() => Ok(Found::Denied),
            Err(refusal) => Err(refusal.error),
        }
    }

    /// The images of its repository, newest first.
    pub(crate) fn images(&self, account: &Account) -> Result<Vec<Image>, StepError> {
        let what = format!("list the images of {}", self.name);
        let mut images: Vec<Image> = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let page = account.call_in(
                Some(&self.region),
                &Call::looks(&what, "ecr:DescribeImages"),
                |config| self.describe(config).set_next_token(token.take()).send(),
            )?;
            let found = page.image_details.unwrap_or_default();
            images.extend(found.into_iter().filter_map(|image| self.image(image)));
            token = page.next_token;
            if token.is_none() {
                break;
            }
        }
        images.sort_by(|one, other| (other.pushed, &other.digest).cmp(&(one.pushed, &one.digest)));
        Ok(images)
    }

    fn image(&self, image: ImageDetail) -> Option<Image> {
        let digest = image.image_digest?;
        let mut tags = image.image_tags.unwrap_or_default();
        tags.sort();
        Some(Image {
            reference: self.pinned(&digest),
            digest,
            tags,
            pushed: image
                .image_pushed_at
                .and_then(|at| Timestamp::from_second(at.secs()).ok()),
            size: image.image_size_in_bytes.and_then(|size| u64::try_from(size).ok()),
        })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.name)?;
        if let Some(tag) = &self.tag {
            write!(formatter, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(formatter, "@{digest}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_of_ecr_are_told_from_others() {
        let image = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/team/backend:1.4";
        let reference = Reference::parse(image).unwrap();
        assert_eq!(reference.to_string(), image);
        assert_eq!(
            (reference.region.as_str(), reference.repository.as_str()),
            ("eu-central-1", "team/backend")
        );
        assert_eq!(
            reference.pinned("sha256:ab"),
            "123456789012.dkr.ecr.eu-central-1.amazonaws.com/team/backend@sha256:ab"
        );
        let both = Reference::parse("123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com/a:b@sha256:c").unwrap();
        assert_eq!(both.digest.as_deref(), Some("sha256:c"));
        assert!(Reference::parse("123456789012.dkr-ecr.eu-west-1.on.aws/a").is_some());
        for other in [
            "nginx",
            "nginx:1.27",
            "library/nginx",
            "public.ecr.aws/nginx/nginx:1",
            "localhost:5000/a/b",
        ] {
            assert_eq!(Reference::parse(other), None, "{other}");
        }
    }
}
