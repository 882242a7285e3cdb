//! `slack`: an incoming webhook of Slack, or of what understands the same (Mattermost, Rocket.Chat, Discord's `/slack`).

use std::time::Duration;

use rollback_config::project::StepTable;
use serde::Deserialize;
use serde_json::json;
use ureq::Agent;

use super::webhook::{Place, post};
use super::{Channel, Message, error, made};
use crate::outbound::{Reach, client};
use crate::settings::{Common, Made, read};
use crate::step::StepError;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Where the URL is: whoever knows it can write into the channel.
    url_environment: String,
    #[serde(default = "yes")]
    allow_private: bool,
    #[serde(default)]
    proxy: bool,
}

fn yes() -> bool {
    true
}

const TIMEOUT: Duration = Duration::from_secs(10);

struct Slack {
    place: Place,
    agent: Agent,
}

pub(super) fn of_table(table: &StepTable) -> Made<dyn Channel> {
    if table.table.contains_key("url") {
        return Err(error(
            table,
            "the URL of a Slack webhook is a secret and must not stand in the file",
        )
        .hint("put it into an environment variable and write url_environment = \"SLACK_WEBHOOK_URL\""));
    }
    let (common, own): (Common, Settings) = read("notify", table)?;
    let reach = Reach {
        private: own.allow_private,
    };
    let slack = Slack {
        place: Place::Environment(own.url_environment),
        agent: client(reach, common.timeout.unwrap_or(TIMEOUT), own.proxy),
    };
    made(common, slack)
}

/// What Slack's markup would take for its own (its documentation, "Escaping text").
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

impl Channel for Slack {
    fn needs(&self) -> Vec<&str> {
        self.place.needs().into_iter().collect()
    }

    fn send(&self, message: &Message) -> Result<(), StepError> {
        let text = format!("*{}*\n{}", escaped(&message.subject), escaped(&message.text));
        let body = json!({ "text": text }).to_string();
        post(&self.agent, &self.place.url()?, &body, &|| Ok(Vec::new()))
    }
}
