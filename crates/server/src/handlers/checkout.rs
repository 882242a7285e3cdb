//! The checkout that clients bring: what the service has of it, and a new one.

use axum::response::Response;
use rollback_engine::live::Live;
use serde_json::json;

use crate::call::{Call, ok};
use crate::checkouts::Checkouts;
use crate::problem::{self, Problem, Result};
use crate::service::Asked;

fn checkouts(call: &Call) -> Result<&Checkouts> {
    call.service.checkouts.as_ref().ok_or_else(|| {
        Problem::new(
            &problem::CONFLICT,
            "this service works in a checkout of its own: none is brought to it",
        )
        .hint("update the checkout where the service runs (`git pull`, `terraform init`)")
    })
}

/// What is there, and from which commits on nothing has to be brought again.
pub fn get(call: &Call) -> Result<Response> {
    let checkouts = checkouts(call)?;
    let current = checkouts.current();
    let known = checkouts.known()?;
    ok(&json!({
        "commit": current.as_ref().map(|current| &current.commit),
        "brought_by": current.as_ref().map(|current| &current.brought_by),
        "brought_at": current.as_ref().map(|current| current.brought_at),
        "known": known.iter().map(|commit| commit.as_str()).collect::<Vec<_>>(),
    }))
}

pub fn put(call: &Call) -> Result<Response> {
    let checkouts = checkouts(call)?;
    let kind = call.header("content-type").unwrap_or_default();
    if !kind.eq_ignore_ascii_case("application/zstd") {
        return Err(Problem::new(
            &problem::UNSUPPORTED_MEDIA_TYPE,
            "the body must be a tar compressed with zstd: application/zstd",
        ));
    }
    let actor = call.who()?.actor();
    let mut names = Vec::new();
    let checkout = checkouts.bring(&call.body, &actor, |folder| {
        let context = call.service.context_in(
            folder,
            &Asked {
                stacks: &[],
                actor: &actor,
                command: "PUT /v1/checkout",
            },
        )?;
        for stack in &context.stacks {
            // It would be a file of the client's machine, and here another one, or none.
            if Live::backend_of(&context, stack)?.kind == "local" {
                return Err(Problem::new(
                    &problem::UNPROCESSABLE,
                    format!(
                        "stack {} keeps its state in a file of the machine that it is applied on, which the service \
                         does not see",
                        stack.name
                    ),
                )
                .hint("give it a backend that both reach: `s3`, `http`, … (the service is an `http` backend itself)"));
            }
            names.push(stack.name.clone());
        }
        Ok(())
    })?;
    ok(&json!({ "commit": checkout.commit, "stacks": names }))
}
