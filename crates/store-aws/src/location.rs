//! Where a shared store lies: `s3://BUCKET[/PREFIX][?KEY=VALUE&…]`.

use rollback_release::keys;
use url::Url;

use crate::connect::Access;

/// The longest prefix, in bytes: an object's name (1024 bytes in S3) has to hold it, a record's key and a version.
const LONGEST_PREFIX: usize = 128;

/// What a store's URL says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    pub bucket: String,
    /// Segments without slashes at the ends; empty for a bucket of its own.
    pub prefix: String,
    /// A table's name or ARN. By default the bucket's name.
    pub table: String,
    /// A KMS key for every object that is written; else the bucket's own default encrypts.
    pub kms_key_id: Option<String>,
    /// How AWS is reached.
    pub access: Access,
}

/// A text that is no store's URL. What was given as a value is not repeated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct InvalidLocation {
    problem: String,
    hint: String,
}

impl InvalidLocation {
    fn new(problem: impl Into<String>, hint: impl Into<String>) -> InvalidLocation {
        InvalidLocation {
            problem: problem.into(),
            hint: hint.into(),
        }
    }
    pub fn hint(&self) -> &str {
        &self.hint
    }
}

const EXAMPLE: &str = "for example s3://acme-rollback/production?region=eu-central-1&table=acme-rollback";

/// Every key that a URL may have.
const KEYS: [&str; 9] = [
    "table",
    "region",
    "endpoint",
    "dynamodb_endpoint",
    "path_style",
    "profile",
    "role_arn",
    "external_id",
    "kms_key_id",
];

impl Location {
    /// Reads `s3://BUCKET[/PREFIX]?table=&region=&endpoint=&dynamodb_endpoint=&path_style=&profile=&role_arn=&external_id=&kms_key_id=`.
    pub fn parse(text: &str) -> Result<Location, InvalidLocation> {
        let url = Url::parse(text)
            .map_err(|error| InvalidLocation::new(format!("the store's URL cannot be understood: {error}"), EXAMPLE))?;
        if url.scheme() != "s3" {
            return Err(InvalidLocation::new(
                format!("{}:// is not a shared store's scheme", url.scheme()),
                EXAMPLE,
            ));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(InvalidLocation::new(
                "credentials do not belong in a store's URL: it is written into files and logs",
                "use AWS_PROFILE, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, SSO or a role; ?profile= and ?role_arn= \
                 name one",
            ));
        }
        if url.port().is_some() || url.fragment().is_some() {
            return Err(InvalidLocation::new(
                "a store's URL has neither a port nor a fragment",
                "another server than AWS is named by ?endpoint=http://HOST:PORT",
            ));
        }
        let bucket = bucket(url.host_str().unwrap_or_default())?;
        let mut location = Location {
            prefix: prefix(url.path())?,
            table: bucket.clone(),
            bucket,
            kms_key_id: None,
            access: Access::default(),
        };
        let mut seen: Vec<String> = Vec::new();
        for (key, value) in url.query_pairs() {
            if seen.iter().any(|earlier| *earlier == key) {
                return Err(InvalidLocation::new(
                    format!("the store's URL has {key}= twice"),
                    "keep one of them",
                ));
            }
            location.set(&key, &value)?;
            seen.push(key.into_owned());
        }
        Ok(location)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), InvalidLocation> {
        let known = KEYS.contains(&key);
        if known && value.is_empty() {
            return Err(InvalidLocation::new(
                format!("{key}= in the store's URL has no value"),
                format!("give it one or leave {key} out"),
            ));
        }
        let value = || Some(value.to_owned());
        let access = &mut self.access;
        match key {
            "table" => self.table = table(&value().unwrap_or_default())?,
            "kms_key_id" => self.kms_key_id = value(),
            "region" => access.region = value(),
            "endpoint" => access.endpoint = Some(endpoint(key, &value().unwrap_or_default())?),
            "dynamodb_endpoint" => access.dynamodb_endpoint = Some(endpoint(key, &value().unwrap_or_default())?),
            "profile" => access.profile = value(),
            "role_arn" => access.role_arn = value(),
            "external_id" => access.external_id = value(),
            "path_style" => {
                access.path_style = Some(match value().unwrap_or_default().as_str() {
                    "true" | "1" => true,
                    "false" | "0" => false,
                    _ => {
                        return Err(InvalidLocation::new(
                            "path_style= in the store's URL is neither true nor false",
                            "write path_style=true for servers that do not serve BUCKET.HOST",
                        ));
                    }
                });
            }
            _ => return Err(unknown(key)),
        }
        Ok(())
    }

    /// `s3://BUCKET[/PREFIX]`, for people.
    pub fn place(&self) -> String {
        self.object("").trim_end_matches('/').to_owned()
    }

    /// An object of the store, for people.
    pub(crate) fn object(&self, name: &str) -> String {
        format!("s3://{}/{}", self.bucket, self.name(name))
    }

    /// The whole name of an object of the store in its bucket.
    pub(crate) fn name(&self, name: &str) -> String {
        match self.prefix.as_str() {
            "" => name.to_owned(),
            prefix => format!("{prefix}/{name}"),
        }
    }
}

fn unknown(key: &str) -> InvalidLocation {
    let nearest = KEYS
        .into_iter()
        .max_by(|one, other| strsim::jaro_winkler(one, key).total_cmp(&strsim::jaro_winkler(other, key)))
        .filter(|nearest| strsim::jaro_winkler(nearest, key) > 0.7);
    InvalidLocation::new(
        format!("a store's URL has no {key:?}"),
        match nearest {
            Some(nearest) => format!("did you mean {nearest}=? It may have {}", KEYS.join(", ")),
            None => format!("it may have {}", KEYS.join(", ")),
        },
    )
}

/// S3's rules for the names of general purpose buckets, as far as a typing mistake breaks them.
fn bucket(name: &str) -> Result<String, InvalidLocation> {
    let of_bucket = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte);
    if !(3..=63).contains(&name.len()) || !name.bytes().all(of_bucket) || name.starts_with(['.', '-']) {
        return Err(InvalidLocation::new(
            format!("{name:?} cannot be the name of a bucket: 3 to 63 of a-z 0-9 . - can"),
            EXAMPLE,
        ));
    }
    if name.ends_with("--x-s3") {
        return Err(InvalidLocation::new(
            format!("{name} is a directory bucket, which neither lists in order nor keeps versions"),
            "use a general purpose bucket",
        ));
    }
    Ok(name.to_owned())
}

fn prefix(path: &str) -> Result<String, InvalidLocation> {
    let prefix = path.trim_matches('/');
    let fits = prefix.len() <= LONGEST_PREFIX && (prefix.is_empty() || keys::check(prefix).is_ok());
    if !fits {
        return Err(InvalidLocation::new(
            format!("{prefix:?} cannot be the prefix of a store"),
            format!(
                "at most {LONGEST_PREFIX} of A-Z a-z 0-9 . _ - % = @ + : in segments between slashes can, such as \
                 s3://acme-rollback/teams/web"
            ),
        ));
    }
    Ok(prefix.to_owned())
}

/// DynamoDB's rules for the names of tables; an ARN names a table of another account.
fn table(name: &str) -> Result<String, InvalidLocation> {
    let of_table = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    let fits = (3..=255).contains(&name.len()) && name.bytes().all(of_table);
    if !fits && !name.starts_with("arn:") {
        return Err(InvalidLocation::new(
            format!("{name:?} cannot be the name of a table: 3 to 255 of A-Z a-z 0-9 _ . - can"),
            EXAMPLE,
        ));
    }
    Ok(name.to_owned())
}

fn endpoint(key: &str, text: &str) -> Result<String, InvalidLocation> {
    let wrong = |problem: &str| {
        InvalidLocation::new(
            format!("{key}= in the store's URL {problem}"),
            "for example endpoint=http://127.0.0.1:9000",
        )
    };
    let url = Url::parse(text).map_err(|_| wrong("is no URL"))?;
    if !["http", "https"].contains(&url.scheme()) || url.host_str().is_none() {
        return Err(wrong("is not the URL of a server (http:// or https://)"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("has credentials in it, which do not belong there"));
    }
    Ok(text.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_and_the_most() {
        let least = Location::parse("s3://acme-rollback").unwrap();
        assert_eq!((least.bucket.as_str(), least.prefix.as_str()), ("acme-rollback", ""));
        assert_eq!(least.table, "acme-rollback", "the table has the bucket's name");
        assert_eq!(least.name("blobs/x"), "blobs/x");
        assert_eq!(least.place(), "s3://acme-rollback");
        let most = Location::parse(
            "s3://acme-rollback/teams/web/?table=locks_1&region=eu-central-1&endpoint=http%3A%2F%2F127.0.0.1%3A9000%2F&\
             dynamodb_endpoint=http://127.0.0.1:8000&path_style=true&profile=ops&\
             role_arn=arn:aws:iam::123456789012:role/rollback&external_id=x%2By&kms_key_id=alias/rollback",
        )
        .unwrap();
        assert_eq!(most.prefix, "teams/web");
        assert_eq!(most.name("blobs/x"), "teams/web/blobs/x");
        assert_eq!(most.place(), "s3://acme-rollback/teams/web");
        assert_eq!(most.table, "locks_1");
        assert_eq!(most.kms_key_id.as_deref(), Some("alias/rollback"));
        let access = most.access;
        assert_eq!(access.endpoint.as_deref(), Some("http://127.0.0.1:9000"));
        assert_eq!(access.dynamodb_endpoint.as_deref(), Some("http://127.0.0.1:8000"));
        assert_eq!(
            access.role_arn.as_deref(),
            Some("arn:aws:iam::123456789012:role/rollback")
        );
        assert_eq!(access.external_id.as_deref(), Some("x+y"));
        assert_eq!(
            (access.path_style, access.region.as_deref()),
            (Some(true), Some("eu-central-1"))
        );
    }

    #[test]
    fn mistakes_say_what_to_do() {
        for (text, problem, hint) in [
            ("s3://acme-rollback?regoin=x", "no \"regoin\"", "did you mean region="),
            (
                "s3://acme-rollback?dynamo_endpoint=x",
                "no \"dynamo_endpoint\"",
                "did you mean dynamodb_endpoint=",
            ),
            (
                "s3://acme-rollback?colour=red",
                "no \"colour\"",
                "it may have table, region",
            ),
            ("s3://acme-rollback?table=one&table=two", "twice", "keep one"),
            ("s3://acme-rollback?region=", "no value", "leave region out"),
            (
                "s3://acme-rollback?path_style=maybe",
                "neither true nor false",
                "path_style=true",
            ),
            ("s3://acme-rollback?endpoint=localhost", "is no URL", "http://"),
            (
                "s3://acme-rollback?endpoint=ftp://x",
                "not the URL of a server",
                "http://",
            ),
            ("s3://acme-rollback?table=a%20b", "name of a table", "for example"),
            ("s3://Acme", "name of a bucket", "for example"),
            ("s3://", "name of a bucket", "for example"),
            ("s3:acme", "name of a bucket", "for example"),
            ("s3://acme-rollback:80/x", "port", "endpoint="),
            ("s3://acme-rollback/a//b", "prefix", "segments"),
            ("s3://acme--x-s3", "directory bucket", "general purpose"),
            ("gs://acme-rollback", "gs://", "s3://"),
        ] {
            let error = Location::parse(text).unwrap_err();
            assert!(error.to_string().contains(problem), "{text}: {error}");
            assert!(error.hint().contains(hint), "{text}: {}", error.hint());
        }
    }

    #[test]
    fn credentials_in_a_url_are_refused_and_not_repeated() {
        for text in [
            "s3://AKIAX:hunter2@acme-rollback",
            "s3://acme-rollback?endpoint=http://me:hunter2@127.0.0.1:1",
        ] {
            let error = Location::parse(text).unwrap_err();
            assert!(error.to_string().contains("credentials"), "{error}");
            assert!(!format!("{error} {} {error:?}", error.hint()).contains("hunter2"));
        }
    }
}
