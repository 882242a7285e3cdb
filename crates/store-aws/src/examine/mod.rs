//! `doctor`: does this bucket and this table keep the promises that a store is built on?
//!
//! Emulators and servers that only speak S3 lie about conditional writes: they look, and then they write. So they are
//! asked, by many writers at the same moment, under names of our own (`doctor/probe/<uuid v7>/…`), which are removed
//! afterwards; what an examination that was killed left behind is removed by a later one.

mod permissions;
mod races;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_s3::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::primitives::{DateTime, DateTimeFormat};
use aws_sdk_s3::types::BucketVersioningStatus;
use jiff::Timestamp;
use rollback_release::{Replaced, StoreError};
use uuid::Uuid;

use crate::objects::Objects;
use crate::store::AwsStore;
use crate::table::Table;

/// How hard the store is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thoroughness {
    /// Writers at the same moment.
    pub writers: usize,
    /// Rounds of each race.
    pub rounds: usize,
    /// After this long a race has its last round; it always has two.
    pub time: Option<Duration>,
}

impl Thoroughness {
    /// Some seconds.
    pub const SHORT: Thoroughness = Thoroughness {
        writers: 64,
        rounds: 200,
        time: Some(Duration::from_millis(800)),
    };
    /// Some minutes.
    pub const LONG: Thoroughness = Thoroughness {
        writers: 64,
        rounds: 200,
        time: None,
    };
}

/// What was found about one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub what: String,
    pub verdict: Found,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    Good(String),
    /// It works, and could be better.
    Note {
        text: String,
        hint: String,
    },
    /// A store on it is not safe, or does not work.
    Bad {
        text: String,
        hints: Vec<String>,
    },
}

impl Finding {
    fn good(what: &str, text: impl Into<String>) -> Finding {
        Finding {
            what: what.to_owned(),
            verdict: Found::Good(text.into()),
        }
    }
    fn note(what: &str, text: impl Into<String>, hint: impl Into<String>) -> Finding {
        Finding {
            what: what.to_owned(),
            verdict: Found::Note {
                text: text.into(),
                hint: hint.into(),
            },
        }
    }
    fn bad(what: &str, text: impl Into<String>, hints: impl IntoIterator<Item = String>) -> Finding {
        Finding {
            what: what.to_owned(),
            verdict: Found::Bad {
                text: text.into(),
                hints: hints.into_iter().collect(),
            },
        }
    }
    fn failed(what: &str, error: &StoreError) -> Finding {
        Finding::bad(what, error.to_string(), error.hint())
    }
    pub fn is_bad(&self) -> bool {
        matches!(self.verdict, Found::Bad { .. })
    }
}

/// The folder of everything that an examination writes.
const FOLDER: &str = "doctor/probe/";
/// After this long nobody examines any more.
const ABANDONED_SECONDS: u64 = 60 * 60;

/// More than a person's clock is off, less than what AWS refuses (15 minutes).
const SKEW_TO_MEND: i64 = 5 * 60;
const SKEW_TO_TELL: i64 = 30;

/// One examination: its own folder in bucket and table.
struct Probe<'a> {
    objects: &'a Objects,
    table: &'a Table,
    folder: String,
}

impl Probe<'_> {
    fn name(&self, name: &str) -> String {
        format!("{}{name}", self.folder)
    }
}

impl AwsStore {
    /// Tries permissions one by one, versioning, the clock, and every conditional write that a store is built on.
    /// Nothing of the store is touched. `progress` hears what is tried.
    pub fn examine(&self, thoroughness: &Thoroughness, progress: &dyn Fn(&str)) -> Vec<Finding> {
        let probe = Probe {
            objects: self.objects(),
            table: self.table(),
            folder: format!("{FOLDER}{}/", Uuid::now_v7()),
        };
        self.clients().wait(async {
            progress("permissions");
            let mut findings = permissions::examine(&probe).await;
            // What cannot be reached or is not allowed makes liars of all that follows.
            if findings.iter().any(Finding::is_bad) {
                let _ = clean_up(&probe).await;
                return findings;
            }
            findings.push(versioning(&probe).await);
            findings.push(clock(&probe).await);
            findings.extend(races::examine(&probe, thoroughness, progress).await);
            if let Err(error) = clean_up(&probe).await {
                findings.push(Finding::note(
                    "clean-up",
                    format!("something is left below {FOLDER}: {error}"),
                    "the next examination removes it",
                ));
            }
            findings
        })
    }
}

async fn versioning(probe: &Probe<'_>) -> Finding {
    let what = "versioning";
    match probe.objects.versioning().await {
        Ok(Some(BucketVersioningStatus::Enabled)) => Finding::good(what, "what is removed can be brought back"),
        Ok(status) => Finding::bad(
            what,
            format!(
                "the bucket keeps no versions ({}): what is removed or written over is gone",
                status
                    .as_ref()
                    .map_or("never turned on", BucketVersioningStatus::as_str)
            ),
            [format!(
                "aws s3api put-bucket-versioning --bucket {} --versioning-configuration Status=Enabled",
                probe.objects.location.bucket
            )],
        ),
        Err(error) => Finding::failed(what, &error),
    }
}

/// Hears the server's time.
#[derive(Clone, Debug, Default)]
struct Date(Arc<Mutex<Option<String>>>);

impl Intercept for Date {
    fn name(&self) -> &'static str {
        "Date"
    }
    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), aws_sdk_s3::error::BoxError> {
        let date = context.response().headers().get("date").map(str::to_owned);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = date;
        Ok(())
    }
}

async fn clock(probe: &Probe<'_>) -> Finding {
    let what = "clock";
    let date = Date::default();
    let ask = probe
        .objects
        .client
        .list_objects_v2()
        .bucket(&probe.objects.location.bucket)
        .max_keys(1)
        .customize()
        .interceptor(date.clone());
    // Whether it answers well is another finding.
    let _ = ask.send().await;
    let heard = date.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    let there = heard.and_then(|text| DateTime::from_str(&text, DateTimeFormat::HttpDate).ok());
    let Some(there) = there else {
        return Finding::note(
            what,
            "the server does not tell its time",
            "compare this machine's clock by hand",
        );
    };
    let skew = Timestamp::now().as_second() - there.secs();
    let text = match skew {
        0 => "as the server's".to_owned(),
        1.. => format!("{skew} s ahead of the server's"),
        _ => format!("{} s behind the server's", -skew),
    };
    let hint = "set it by NTP, such as `timedatectl set-ntp true`: AWS refuses what is more than 15 minutes off";
    if skew.abs() < SKEW_TO_TELL {
        Finding::good(what, text)
    } else if skew.abs() < SKEW_TO_MEND {
        Finding::note(what, text, hint)
    } else {
        Finding::bad(what, text, [hint.to_owned()])
    }
}

/// Removes what this examination wrote, and what abandoned ones did.
async fn clean_up(probe: &Probe<'_>) -> Result<(), StoreError> {
    let ours = |name: &str| {
        name.starts_with(&probe.folder)
            || name
                .strip_prefix(FOLDER)
                .and_then(|rest| rest.split('/').next())
                .and_then(|id| Uuid::try_parse(id).ok())
                .and_then(|id| id.get_timestamp())
                .is_some_and(|time| {
                    let now = u64::try_from(Timestamp::now().as_second()).unwrap_or_default();
                    now.saturating_sub(time.to_unix().0) > ABANDONED_SECONDS
                })
    };
    for object in probe.objects.list(FOLDER, None, usize::MAX).await? {
        if ours(&object.name) {
            probe.objects.delete(&object.name).await?;
        }
    }
    for key in probe.table.keys(FOLDER, None, usize::MAX).await? {
        if ours(&key)
            && let Some((_, version)) = probe.table.get(&key).await?
        {
            match probe.table.remove(&key, &version).await? {
                Replaced::Yes(_) | Replaced::Changed => {}
            }
        }
    }
    Ok(())
}
