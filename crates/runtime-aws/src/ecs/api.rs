//! Task definitions as the API has them, word for word.
//!
//! ECS speaks JSON, and what a task definition says goes into releases and comes back from them: through the SDK's types
//! every setting that this version of the SDK does not know would be lost on the way. So the SDK signs, sends, repeats
//! and reads errors, and the bodies stay what they are.

use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_ecs::Client;
use aws_sdk_ecs::config::Builder;
use aws_sdk_ecs::types::{SortOrder, TaskDefinitionField, TaskDefinitionStatus};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::AfterDeserializationInterceptorContextRef;
use aws_smithy_runtime_api::client::interceptors::{Intercept, dyn_dispatch_hint};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::ConfigBag;
use rollback_runbook::step::StepError;
use serde_json::Value;

use super::definition;
use crate::account::Account;
use crate::failure::Call;
use crate::unanswered::NotUnanswered;

/// A revision of a task definition.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Revision {
    pub arn: String,
    /// A service can be brought to it. (One that was deregistered can be read for a while, and no more.)
    pub active: bool,
    /// What registers another one like it.
    pub definition: Value,
}

/// Reads a revision; `None` where there is none.
pub(crate) fn revision(account: &Account, arn: &str) -> Result<Option<Revision>, StepError> {
    let what = format!("look at task definition {}", definition::short(arn));
    let kept = Body::default();
    let answer = account.call(&Call::looks(&what, "ecs:DescribeTaskDefinition"), |config| {
        Client::new(config)
            .describe_task_definition()
            .task_definition(arn)
            .include(TaskDefinitionField::Tags)
            .customize()
            .interceptor(kept.clone())
            .send()
    });
    match answer {
        Ok(_) => {}
        // "Unable to describe task definition.": there is no word of its own for one that is not there.
        Err(refusal) if refusal.is(&["ClientException"]) => return Ok(None),
        Err(refusal) => return Err(refusal.error),
    }
    let mut body = kept.json(&what)?;
    let tags = body.get_mut("tags").map(Value::take).unwrap_or_default();
    let Some(found) = body.get_mut("taskDefinition").map(Value::take) else {
        return Ok(None);
    };
    let text = |key: &str| found.get(key).and_then(Value::as_str).map(str::to_owned);
    let status = text("status");
    if status.as_deref() == Some("DELETE_IN_PROGRESS") {
        return Ok(None);
    }
    Ok(Some(Revision {
        arn: text("taskDefinitionArn").unwrap_or_else(|| arn.to_owned()),
        active: status.is_none_or(|status| status == "ACTIVE"),
        definition: definition::registerable(found, tags),
    }))
}

/// The newest revisions of a family that services can be brought to, newest first.
pub(crate) fn newest(account: &Account, family: &str, most: i32) -> Result<Vec<String>, StepError> {
    let what = format!("list the revisions of {family}");
    let answer = account.call(&Call::looks(&what, "ecs:ListTaskDefinitions"), |config| {
        Client::new(config)
            .list_task_definitions()
            .family_prefix(family)
            .status(TaskDefinitionStatus::Active)
            .sort(SortOrder::Desc)
            .max_results(most)
            .send()
    })?;
    Ok(answer.task_definition_arns.unwrap_or_default())
}

/// Registers a revision and tells its ARN. It is not repeated where it may have been done.
pub(crate) fn register(account: &Account, definition: &Value) -> Result<String, StepError> {
    let family = definition::family(definition)?;
    let what = format!("register a revision of {family}");
    let bytes = serde_json::to_vec(definition)
        .map_err(|error| StepError::untouched(format!("the task definition cannot be written: {error}")))?;
    let answer = account.call(&Call::changes(&what, "ecs:RegisterTaskDefinition"), |config| {
        Client::new(config)
            .register_task_definition()
            .family(family)
            .customize()
            .mutate_request(move |request| {
                request.headers_mut().insert("content-length", bytes.len().to_string());
                *request.body_mut() = SdkBody::from(bytes.clone());
            })
            .config_override(Builder::default().retry_classifier(NotUnanswered))
            .send()
    })?;
    answer
        .task_definition
        .and_then(|made| made.task_definition_arn)
        .ok_or_else(|| StepError::touched(format!("cannot {what}: the answer names none")))
}

/// Keeps the body of an answer.
#[derive(Clone, Debug, Default)]
struct Body(Arc<Mutex<Option<Vec<u8>>>>);

impl Body {
    fn json(&self, what: &str) -> Result<Value, StepError> {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        serde_json::from_slice(&bytes.unwrap_or_default())
            .map_err(|_| StepError::untouched(format!("cannot {what}: the answer is no JSON")))
    }
}

#[dyn_dispatch_hint]
impl Intercept for Body {
    fn name(&self) -> &'static str {
        "keeps the body of an answer"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = context.response().body().bytes().map(<[u8]>::to_vec);
        Ok(())
    }
}
