//! Problems (RFC 9457) as errors: what kind of end it is, what happened, what to do next.

use rollback_engine::error::{EngineError, Kind};
use serde_json::Value;

/// What an answer that is no success means.
pub fn error(status: u16, retry_after: Option<u64>, body: &[u8]) -> EngineError {
    let Ok(problem) = serde_json::from_slice::<Value>(body) else {
        return plain(status);
    };
    let text = |name: &str| problem[name].as_str().map(str::to_owned);
    let Some(detail) = text("detail").or_else(|| text("title")) else {
        return plain(status);
    };
    let code = text("code").unwrap_or_default();
    let mut error = EngineError::new(kind(status, &code), detail);
    error.hints = problem["hints"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|hint| hint.as_str().map(str::to_owned))
        .collect();
    match status {
        401 if code == "identity-refused" => {
            error =
                error.hint("set INFRA_ROLLBACK_TOKEN to a new identity token, asked for with the service's audience");
        }
        401 => {
            error = error.hint("set INFRA_ROLLBACK_TOKEN to a valid token: `infra-rollback tokens create` makes one")
        }
        403 if error.hints.is_empty() => {
            error = error.hint("ask an administrator for a token whose role and stacks cover it");
        }
        429 | 503 if error.hints.is_empty() => {
            let when = retry_after.map_or_else(|| "later".to_owned(), |seconds| format!("in {seconds} seconds"));
            error = error.hint(format!("try again {when}"));
        }
        _ => {}
    }
    if status >= 500
        && let Some(request) = text("request_id")
    {
        error = error.hint(format!("the service's log has it under the request {request}"));
    }
    error
}

/// How a command ends on a problem of this code; the statuses decide for codes that are newer than this client.
fn kind(status: u16, code: &str) -> Kind {
    match (status, code) {
        (_, "stack-locked" | "state-locked") | (423, _) => Kind::Locked,
        (_, "refused") | (403, _) => Kind::Refused,
        (400, _) | (_, "unknown-name") => Kind::Usage,
        _ => Kind::Failed,
    }
}

fn plain(status: u16) -> EngineError {
    EngineError::failed(format!(
        "the server answers {status}, and says nothing that this program understands"
    ))
    .hint("is the URL of --server that of infra-rollback's service? a proxy in front of it may have answered")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(status: u16, body: Value) -> EngineError {
        error(status, Some(5), body.to_string().as_bytes())
    }

    #[test]
    fn each_problem_has_its_end() {
        let locked = of(
            409,
            json!({ "code": "stack-locked", "detail": "ann has it", "hints": ["wait"] }),
        );
        assert_eq!(
            (locked.kind, locked.hints.as_slice()),
            (Kind::Locked, ["wait".to_owned()].as_slice())
        );
        assert_eq!(
            of(422, json!({ "code": "refused", "detail": "no" })).kind,
            Kind::Refused
        );
        assert_eq!(
            of(403, json!({ "code": "forbidden", "detail": "no" })).kind,
            Kind::Refused
        );
        assert_eq!(
            of(400, json!({ "code": "bad-request", "detail": "what" })).kind,
            Kind::Usage
        );
        assert_eq!(
            of(409, json!({ "code": "conflict", "detail": "over" })).kind,
            Kind::Failed
        );
        let unknown = of(401, json!({ "code": "unauthenticated", "detail": "a token is needed" }));
        assert!(unknown.hints[0].contains("INFRA_ROLLBACK_TOKEN"));
        let busy = of(
            503,
            json!({ "code": "overloaded", "detail": "too much", "request_id": "r1" }),
        );
        assert!(busy.hints[0].contains("5 seconds") && busy.hints[1].contains("r1"));
    }

    #[test]
    fn what_is_no_problem_is_said_to_be_none() {
        for body in [b"<html>".as_slice(), b"{}", b"[1]", b""] {
            let error = error(502, None, body);
            assert!(error.message.contains("502") && !error.hints.is_empty());
        }
    }
}
