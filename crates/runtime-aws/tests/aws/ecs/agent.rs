//! The container agent that the emulator has not: moto keeps tasks and logs, and runs nothing. Every task that
//! moto starts is run here by a real shell, what it writes goes into moto's log, and moto's descriptions of the task get its
//! exit code. A task does its work when it is first described as anything but slow, whoever asks: a task goes on when those
//! have ended who started it. As the API's reference says, one token starts one task, however often it comes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};

use aws_sdk_cloudwatchlogs::types::InputLogEvent;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use rollback_aws::http_client;
use serde_json::Value;

use crate::faults::{operation, read};

/// Where the containers' log goes.
pub const GROUP: &str = "/ecs/migrations";

#[derive(Clone, Default)]
pub struct Agent(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    /// The containers' disk, as it were.
    folder: PathBuf,
    logs: Option<aws_sdk_cloudwatchlogs::Client>,
    /// What tasks are to run and have not run yet, by the task's ARN.
    waiting: BTreeMap<String, Value>,
    /// By token, the answer that it had.
    started: BTreeMap<String, String>,
    /// By the task's ARN.
    exit_codes: BTreeMap<String, Value>,
    /// Nothing is written to the log.
    silent: bool,
    /// So many descriptions of a task whose command has this in it say that it still runs.
    slow: (usize, &'static str),
    /// Tasks that still run, and for how many descriptions.
    running: BTreeMap<String, usize>,
    /// Tasks do not start, for this reason.
    does_not_start: Option<String>,
    /// Revisions of the tasks, in the order in which they were started.
    revisions: Vec<String>,
}

impl Agent {
    /// The way to the emulator, with the agent on it.
    pub fn client(&self) -> SharedHttpClient {
        let (agent, inner) = (self.clone(), http_client());
        http_client_fn(move |settings, components| {
            SharedHttpConnector::new(Way {
                agent: agent.clone(),
                inner: inner.http_connector(settings, components),
            })
        })
    }

    pub fn use_folder(&self, folder: PathBuf, logs: aws_sdk_cloudwatchlogs::Client) {
        let mut inner = self.0.lock().unwrap();
        inner.folder = folder;
        inner.logs = Some(logs);
    }

    pub fn be_silent(&self) {
        self.0.lock().unwrap().silent = true;
    }

    pub fn be_slow(&self, command: &'static str, descriptions: usize) {
        self.0.lock().unwrap().slow = (descriptions, command);
    }

    pub fn start_nothing(&self, reason: Option<&str>) {
        self.0.lock().unwrap().does_not_start = reason.map(str::to_owned);
    }

    /// `migrations:2` for each task so far.
    pub fn revisions(&self) -> Vec<String> {
        self.0.lock().unwrap().revisions.clone()
    }

    /// A task was started.
    fn start(&self, request: &Value, answer: &Value) {
        let mut inner = self.0.lock().unwrap();
        let text = |key: &str| answer["tasks"][0][key].as_str().map(str::to_owned);
        let (Some(task), Some(revision)) = (text("taskArn"), text("taskDefinitionArn")) else {
            return;
        };
        inner.revisions.push(revision.rsplit('/').next().unwrap().to_owned());
        if inner.does_not_start.is_some() {
            inner.exit_codes.insert(task, Value::Null);
            return;
        }
        let container = request["overrides"]["containerOverrides"][0].clone();
        let (descriptions, command) = inner.slow;
        if !command.is_empty() && container["command"].to_string().contains(command) {
            inner.running.insert(task.clone(), descriptions);
        }
        inner.waiting.insert(task, container);
    }

    /// Runs what a task is to run, and keeps its exit code. Tells what it wrote, and to which stream.
    fn run(&self, task: &str) -> Option<(String, String)> {
        let mut inner = self.0.lock().unwrap();
        if inner.running.get(task).is_some_and(|left| *left > 0) {
            return None;
        }
        let container = inner.waiting.remove(task)?;
        let list = container["command"].as_array().into_iter().flatten();
        let words: Vec<&str> = list.filter_map(Value::as_str).collect();
        let variables = container["environment"].as_array().into_iter().flatten();
        let text = |one: &Value, key: &str| one[key].as_str().unwrap_or_default().to_owned();
        let ran = Command::new(words[0])
            .args(&words[1..words.len() - 1])
            // One stream, as in a container's log.
            .arg(format!("exec 2>&1\n{}", words.last()?))
            .current_dir(&inner.folder)
            .envs(variables.map(|one| (text(one, "name"), text(one, "value"))))
            .output()
            .unwrap();
        let code = ran.status.code().map_or(Value::Null, Value::from);
        inner.exit_codes.insert(task.to_owned(), code);
        let stream = format!("ecs/{}/{}", container["name"].as_str()?, task.rsplit('/').next()?);
        (!inner.silent).then(|| (stream, String::from_utf8_lossy(&ran.stdout).into_owned()))
    }

    async fn write(&self, stream: String, text: String) {
        let logs = self.0.lock().unwrap().logs.clone().unwrap();
        let made = logs.create_log_stream().log_group_name(GROUP).log_stream_name(&stream);
        made.send().await.unwrap();
        let now = jiff::Timestamp::now().as_millisecond();
        let events = text.lines().filter(|line| !line.is_empty()).map(|line| {
            let event = InputLogEvent::builder().timestamp(now).message(line);
            event.build().unwrap()
        });
        let put = logs.put_log_events().log_group_name(GROUP).log_stream_name(stream);
        put.set_log_events(Some(events.collect())).send().await.unwrap();
    }

    /// Puts what is known of containers into a description.
    fn describe(&self, answer: &mut Value) {
        let mut inner = self.0.lock().unwrap();
        for task in answer["tasks"].as_array_mut().into_iter().flatten() {
            let arn = task["taskArn"].as_str().unwrap_or_default().to_owned();
            if let Some(left) = inner.running.get_mut(&arn).filter(|left| **left > 0) {
                *left -= 1;
                task["lastStatus"] = "RUNNING".into();
                continue;
            }
            task["lastStatus"] = "STOPPED".into();
            let code = inner.exit_codes.get(&arn);
            let code = code.cloned().unwrap_or_default();
            if let (true, Some(reason)) = (code.is_null(), &inner.does_not_start) {
                task["stopCode"] = "TaskFailedToStart".into();
                task["stoppedReason"] = reason.as_str().into();
            }
            for container in task["containers"].as_array_mut().into_iter().flatten() {
                match code.is_null() {
                    true => drop(container.as_object_mut().unwrap().remove("exitCode")),
                    false => container["exitCode"] = code.clone(),
                }
            }
        }
    }
}

#[derive(Clone)]
struct Way {
    agent: Agent,
    inner: SharedHttpConnector,
}

impl std::fmt::Debug for Way {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Way")
    }
}

impl HttpConnector for Way {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let operation = operation(&request);
        let is_ecs = request
            .headers()
            .get("x-amz-target")
            .is_some_and(|target| target.starts_with("AmazonEC2ContainerService"));
        if !is_ecs || !["RunTask", "DescribeTasks"].contains(&operation.as_str()) {
            return self.inner.call(request);
        }
        let asked: Value = serde_json::from_slice(request.body().bytes().unwrap_or_default()).unwrap();
        let token = asked["clientToken"].as_str().map(str::to_owned);
        if operation == "RunTask"
            && let Some(answer) = token
                .as_ref()
                .and_then(|token| self.agent.0.lock().unwrap().started.get(token).cloned())
        {
            return HttpConnectorFuture::ready(Ok(HttpResponse::new(200.try_into().unwrap(), SdkBody::from(answer))));
        }
        let (agent, inner) = (self.agent.clone(), self.inner.clone());
        HttpConnectorFuture::new(async move {
            let mut answer = inner.call(request).await?;
            let body = std::mem::replace(answer.body_mut(), SdkBody::empty());
            let bytes = read(body).await;
            let Ok(mut said) = serde_json::from_slice::<Value>(&bytes) else {
                *answer.body_mut() = SdkBody::from(bytes);
                return Ok(answer);
            };
            match operation.as_str() {
                "RunTask" => {
                    agent.start(&asked, &said);
                    if let Some(token) = token {
                        agent.0.lock().unwrap().started.insert(token, said.to_string());
                    }
                }
                _ => {
                    let tasks = said["tasks"].as_array().cloned().unwrap_or_default();
                    for task in tasks.iter().filter_map(|task| task["taskArn"].as_str()) {
                        if let Some((stream, text)) = agent.run(task) {
                            agent.write(stream, text).await;
                        }
                    }
                    agent.describe(&mut said);
                }
            }
            let text = said.to_string();
            answer.headers_mut().insert("content-length", text.len().to_string());
            *answer.body_mut() = SdkBody::from(text);
            Ok(answer)
        })
    }
}
