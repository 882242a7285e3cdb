//! `sns`: messages go to a topic of SNS, and from there to whoever has subscribed.

use std::time::Duration;

use aws_sdk_sns::Client;
use aws_sdk_sns::types::MessageAttributeValue;
use aws_smithy_types::timeout::TimeoutConfig;
use rollback_config::project::StepTable;
use rollback_runbook::Made;
use rollback_runbook::notify::{Channel, Message};
use rollback_runbook::step::StepError;
use serde::Deserialize;

use crate::account::Account;
use crate::failure::Call;
use crate::settings::read;

/// SNS takes subjects of at most 100 characters, and but printable ASCII.
const LONGEST_SUBJECT: usize = 100;

/// A message may have 256 KiB.
const LONGEST_MESSAGE: usize = 256 * 1024;

/// A message waits no longer than this: a rollback does not wait for SNS.
const PATIENCE: Duration = Duration::from_secs(15);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// ARN
    topic: String,
}

/// A topic; its region is the ARN's.
struct Topic {
    account: Account,
    arn: String,
}

pub(crate) fn topic(table: &StepTable, account: &Account) -> Made<dyn Channel> {
    let (common, settings, account): (_, Settings, _) = read("notify", table, account)?;
    let topic = Topic {
        account,
        arn: settings.topic,
    };
    Ok((common, Box::new(topic)))
}

impl Channel for Topic {
    fn send(&self, message: &Message) -> Result<(), StepError> {
        let what = format!("publish to topic {}", self.arn);
        let region = self.arn.split(':').nth(3).filter(|region| !region.is_empty());
        let patience = TimeoutConfig::builder().operation_timeout(PATIENCE).build();
        let attribute = MessageAttributeValue::builder()
            .data_type("String")
            .string_value(&message.id)
            .build()
            .map_err(|error| StepError::untouched(format!("cannot {what}: {error}")))?;
        self.account
            .call_in(region, &Call::changes(&what, "sns:Publish"), |config| {
                Client::new(config)
                    .publish()
                    .topic_arn(&self.arn)
                    .subject(plain(&message.subject))
                    .message(cut(&message.text))
                    // Whoever gets it twice can tell.
                    .message_attributes("id", attribute)
                    .customize()
                    .config_override(aws_sdk_sns::config::Builder::new().timeout_config(patience))
                    .send()
            })?;
        Ok(())
    }
}

fn plain(subject: &str) -> String {
    let plain: String = subject
        .chars()
        .map(|char| match char {
            '–' | '—' => '-',
            char if char == ' ' || char.is_ascii_graphic() => char,
            char if char.is_whitespace() => ' ',
            _ => '?',
        })
        .take(LONGEST_SUBJECT)
        .collect();
    match plain.trim() {
        "" => "infra-rollback".to_owned(),
        plain => plain.to_owned(),
    }
}

fn cut(message: &str) -> &str {
    &message[..message.floor_char_boundary(LONGEST_MESSAGE)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_what_sns_takes() {
        assert_eq!(
            plain("[INCIDENT] Rückgang – Production\nnow"),
            "[INCIDENT] R?ckgang - Production now"
        );
        assert_eq!(plain(" \n"), "infra-rollback");
        assert_eq!(plain(&"x".repeat(200)).len(), LONGEST_SUBJECT);
    }
}
