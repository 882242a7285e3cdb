//! The OpenAPI document, made from the table of routes, so that no route can be missing in it.

use std::sync::OnceLock;

use serde_json::{Map, Value, json};

use crate::routes::{Access, Payload, ROUTES, Route};

/// What OpenAPI 3.1 has words for; the rest stands under `x-additional-operations`, as 3.2 has it under
/// `additionalOperations`.
const METHODS: [&str; 8] = ["GET", "PUT", "POST", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE"];

/// The document as it is served at `/v1/openapi.json`.
pub fn document() -> &'static Value {
    static DOCUMENT: OnceLock<Value> = OnceLock::new();
    DOCUMENT.get_or_init(make)
}

fn make() -> Value {
    let mut paths = Map::new();
    for route in ROUTES.iter() {
        let item = paths.entry(route.path).or_insert_with(|| json!({}));
        let operation = operation(route);
        if METHODS.contains(&route.method) {
            item[route.method.to_lowercase()] = operation;
        } else {
            item["x-additional-operations"][route.method] = operation;
        }
    }
    let schemas: Value = serde_json::from_str(include_str!("schemas.json")).unwrap_or_default();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "infra-rollback",
            "version": "1",
            "summary": "Getting production back: releases, rollbacks and Terraform's states over HTTP",
            "description": "Errors are RFC 9457 problems with a stable `code`, each with a page at /v1/problems/CODE. Every \
                answer carries X-Request-Id; a caller may give one. Lists are paged by `cursor` and `limit`. What changes \
                something is on the audit log before it is done.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [
            { "url": "/" },
            { "url": "/projects/{project}", "description": "Another project than the service's own (`serve --checkouts`)",
                "variables": { "project": { "default": "0", "description": "The id of its first commit" } } },
        ],
        "security": [{ "token": [] }, { "identity": [] }, { "password": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer", "description": "A token of `infra-rollback tokens create`" },
                "identity": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
                    "description": "An OpenID Connect token of an issuer that the service has under [[identity]]" },
                "password": { "type": "http", "scheme": "basic",
                    "description": "Either token as password, with any user name: what Terraform's http backend sends" },
            },
            "schemas": schemas,
        },
    })
}

fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

fn operation(route: &Route) -> Value {
    let mut parameters: Vec<Value> = route
        .path
        .split('/')
        .filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| {
            let schema = match name {
                // What Terraform's backend writes under is plain.
                "workspace" => "PlainName",
                "stack" if route.path.contains("{workspace}") => "PlainName",
                "number" => "Count",
                _ => "Name",
            };
            json!({ "name": name, "in": "path", "required": true, "schema": reference(schema) })
        })
        .collect();
    parameters.extend(route.parameters.iter().map(|parameter| {
        json!({ "name": parameter.name, "in": parameter.place, "required": parameter.required,
            "description": parameter.about, "schema": reference(parameter.schema) })
    }));
    let mut value = json!({
        "operationId": route.id,
        "tags": [route.tag],
        "summary": route.about,
        "parameters": parameters,
        "responses": responses(route),
    });
    match route.access {
        Access::Anonymous => value["security"] = json!([]),
        Access::Seen(permission) | Access::Backend(permission) | Access::Whole(permission) => {
            value["x-permission"] = json!(permission.as_str());
        }
    }
    if let Some(action) = route.record {
        value["x-audit-action"] = json!(action);
    }
    let body = match route.payload {
        Payload::None | Payload::Archive => None,
        Payload::Json(schema) => Some((true, reference(schema))),
        Payload::State => Some((true, reference("State"))),
        Payload::LockInfo => Some((false, reference("LockInfo"))),
    };
    if matches!(route.payload, Payload::Archive) {
        let content = json!({ "application/zstd": { "schema": reference("Archive") } });
        value["requestBody"] = json!({ "required": true, "content": content });
    }
    if let Some((required, schema)) = body {
        value["requestBody"] = json!({ "required": required, "content": { "application/json": { "schema": schema } } });
    }
    value
}

fn responses(route: &Route) -> Value {
    let mut responses = Map::new();
    for answer in route.answers {
        // One status may come in several forms.
        let value = responses
            .entry(answer.status.to_string())
            .or_insert_with(|| json!({ "description": "done" }));
        if let Some(schema) = answer.schema {
            value["content"][answer.media] = json!({ "schema": reference(schema) });
        }
    }
    let has_path_parameter = route.path.contains('{');
    let everybody = matches!(route.access, Access::Anonymous);
    let mut statuses: Vec<u16> = vec![400, 408, 431, 500, 503];
    if !everybody {
        statuses.extend([401, 403]);
    }
    if has_path_parameter {
        statuses.extend([404, 422]);
    }
    statuses.extend(route.problems);
    statuses.sort_unstable();
    statuses.dedup();
    for status in statuses {
        // Terraform reads the holder of a lock from the body.
        let content = match status {
            423 => json!({ "application/json": { "schema": reference("LockInfo") } }),
            _ => json!({ "application/problem+json": { "schema": reference("Problem") } }),
        };
        let title = title(status);
        responses.insert(status.to_string(), json!({ "description": title, "content": content }));
    }
    Value::Object(responses)
}

fn title(status: u16) -> String {
    let titles: Vec<&str> = crate::problem::ALL
        .iter()
        .filter(|code| code.status == status)
        .map(|code| code.code)
        .collect();
    titles.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The document in the repository is the one that is served: whoever changes a route sees what it does to callers.
    /// `INFRA_ROLLBACK_BLESS=1` writes it anew.
    #[test]
    fn the_committed_document_is_the_served_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
        let served = serde_json::to_string_pretty(document()).unwrap() + "\n";
        if std::env::var_os("INFRA_ROLLBACK_BLESS").is_some() {
            std::fs::write(path, &served).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            committed == served,
            "crates/server/openapi.json is not what is served: INFRA_ROLLBACK_BLESS=1 cargo nextest run -p rollback-server"
        );
    }

    #[test]
    fn every_reference_leads_somewhere_and_every_id_is_its_own() {
        let document = document();
        let schemas = document["components"]["schemas"]
            .as_object()
            .expect("schemas.json is JSON");
        let mut ids = std::collections::BTreeSet::new();
        for route in ROUTES.iter() {
            assert!(ids.insert(route.id), "{} comes twice", route.id);
            let named = route.answers.iter().filter_map(|answer| answer.schema);
            for name in named.chain(route.parameters.iter().map(|parameter| parameter.schema)) {
                assert!(schemas.contains_key(name), "{name}");
            }
            if let Payload::Json(name) = route.payload {
                assert!(schemas.contains_key(name), "{name}");
            }
            let item = &document["paths"][route.path];
            let there = [
                &item[route.method.to_lowercase()],
                &item["x-additional-operations"][route.method],
            ];
            assert!(there.iter().any(|one| one["operationId"] == route.id));
        }
    }
}
