//! `tokens`: who may call the service.

use rollback_engine::audit::{Audit, Record};
use rollback_engine::error::{EngineError, Result};
use rollback_server::access::{Permission, Role};
use rollback_server::tokens::{NewToken, Token, Tokens};
use serde_json::{Value, json};

use crate::arguments::{Global, NewTokenArguments};
use crate::output::{Output, Tone};
use crate::session::{self, Kept};

fn open(global: &Global, project: Option<&str>) -> Result<Kept> {
    session::open_store(&std::env::current_dir()?, global, project)
}

/// On record before it is done, as everything that the service does.
fn record(kept: &Kept, action: &str, object: &str, detail: Value) -> Result<()> {
    let record = Record {
        actor: session::actor(),
        action: action.to_owned(),
        object: object.to_owned(),
        phase: "intended",
        request: None,
        detail,
    };
    Audit::new(kept.store.clone(), &kept.project).append(&record)?;
    Ok(())
}

/// `tokens create`.
pub fn create(global: &Global, arguments: &NewTokenArguments, output: &Output) -> Result<()> {
    let kept = open(global, arguments.project.as_deref())?;
    let role: Role = arguments.role.parse().map_err(EngineError::usage)?;
    let grants = arguments
        .grant
        .iter()
        .map(|text| text.parse().map_err(EngineError::usage))
        .collect::<Result<Vec<Permission>>>()?;
    let lifetime = arguments
        .expires
        .as_deref()
        .map(|text| {
            let span = text.parse::<jiff::Span>().ok().filter(|span| span.is_positive());
            span.ok_or_else(|| {
                EngineError::usage(format!("{text:?} is no duration that a token could be good for"))
                    .hint("for example 90d, 12h or \"3 months\"")
            })
        })
        .transpose()?;
    let new = NewToken {
        name: arguments.name.clone(),
        role,
        grants: grants.clone(),
        stacks: global.stacks.clone(),
        lifetime,
        created_by: session::actor(),
    };
    let detail = json!({ "role": role, "grants": grants, "stacks": global.stacks, "expires": arguments.expires });
    record(&kept, "tokens.create", &arguments.name, detail)?;
    let (token, text) = Tokens::new(kept.store.as_ref(), &kept.project).create(&new)?;
    output.note(
        Tone::Good,
        &format!("Token {} for {}: {}.", token.id, token.name, describe(&token)),
    );
    output.note(
        Tone::Warning,
        "It is shown here and never again; whoever has it may do all that. Put it where secrets belong:",
    );
    output.line(&text);
    let mut document = token.describe();
    document["token"] = json!(text);
    output.document(&document);
    Ok(())
}

/// `tokens list`.
pub fn list(global: &Global, project: Option<&str>, output: &Output) -> Result<()> {
    let kept = open(global, project)?;
    let tokens = Tokens::new(kept.store.as_ref(), &kept.project).all()?;
    if tokens.is_empty() {
        output.line("There is no token yet. `infra-rollback tokens create --name NAME --role ROLE` makes one.");
    } else {
        let mut table = comfy_table::Table::new();
        table.load_preset(comfy_table::presets::NOTHING);
        table.set_header(["ID", "NAME", "ROLE", "STACKS", "CREATED", "BY", "GOOD"]);
        for token in &tokens {
            table.add_row([
                token.id.clone(),
                token.name.clone(),
                role(token),
                match token.stacks.is_empty() {
                    true => "all".to_owned(),
                    false => token.stacks.join(", "),
                },
                format!("{:.0}", token.created_at),
                token.created_by.clone(),
                good(token),
            ]);
        }
        output.line(&table.trim_fmt());
    }
    let documents: Vec<Value> = tokens.iter().map(Token::describe).collect();
    output.document(&json!({ "tokens": documents }));
    Ok(())
}

/// `tokens revoke`.
pub fn revoke(global: &Global, token: &str, project: Option<&str>, output: &Output) -> Result<()> {
    let kept = open(global, project)?;
    record(&kept, "tokens.revoke", token, json!({}))?;
    let token = Tokens::new(kept.store.as_ref(), &kept.project).revoke(token)?;
    output.toned(
        Tone::Good,
        &format!("Token {} ({}) opens nothing any more.", token.id, token.name),
    );
    output.document(&token.describe());
    Ok(())
}

fn describe(token: &Token) -> String {
    let stacks = match token.stacks.is_empty() {
        true => "all stacks".to_owned(),
        false => token.stacks.join(", "),
    };
    format!("role {}, {stacks}, {}", role(token), good(token))
}

/// The role, and what is granted beside it.
fn role(token: &Token) -> String {
    let mut text = token.role.as_str().to_owned();
    for grant in &token.grants {
        text.push_str(" + ");
        text.push_str(grant.as_str());
    }
    text
}

fn good(token: &Token) -> String {
    match (token.revoked_at, token.expires_at) {
        (Some(at), _) => format!("revoked {at:.0}"),
        (None, Some(at)) if !token.is_valid() => format!("expired {at:.0}"),
        (None, Some(at)) => format!("until {at:.0}"),
        (None, None) => "until it is revoked".to_owned(),
    }
}
