//! A topic of SNS that messages are sent to.

use aws_sdk_sns::Client;
use rollback_runbook::step::StepError;

use crate::account::Account;
use crate::failure::Call;

/// SNS takes subjects of at most 100 characters, and but printable ASCII.
const LONGEST_SUBJECT: usize = 100;

/// A message may have 256 KiB.
const LONGEST_MESSAGE: usize = 256 * 1024;

/// A topic, by its ARN.
#[derive(Clone, Debug)]
pub struct Topic {
    account: Account,
    arn: String,
}

impl Topic {
    pub fn new(account: &Account, arn: impl Into<String>) -> Topic {
        Topic {
            account: account.clone(),
            arn: arn.into(),
        }
    }

    /// Sends a message to whoever has subscribed. Its region is the ARN's. Sent twice, it arrives twice.
    ///
    /// # Errors
    /// SNS cannot be asked, or refuses.
    pub fn publish(&self, subject: &str, message: &str) -> Result<(), StepError> {
        let what = format!("publish to topic {}", self.arn);
        let region = self.arn.split(':').nth(3).filter(|region| !region.is_empty());
        self.account
            .call_in(region, &Call::changes(&what, "sns:Publish"), |config| {
                Client::new(config)
                    .publish()
                    .topic_arn(&self.arn)
                    .subject(plain(subject))
                    .message(cut(message))
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
