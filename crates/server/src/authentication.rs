//! Who asks, and whether they may call a route at all.

use axum::http::header;
use axum::http::request::Parts;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::access::Principal;
use crate::identity;
use crate::problem::{self, Problem, Result};
use crate::routes::{Access, Route};
use crate::service::Service;
use crate::tokens::Tokens;

/// A bearer's token, or the password of basic authentication.
pub fn token_of(parts: &Parts) -> Option<String> {
    let value = parts.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = value.split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.to_owned());
    }
    if scheme.eq_ignore_ascii_case("basic") {
        let decoded = String::from_utf8(BASE64.decode(rest).ok()?).ok()?;
        return Some(decoded.split_once(':')?.1.to_owned());
    }
    None
}

/// Whoever the token stands for: one of the service's own, or one of an issuer that it takes them of.
///
/// # Errors
/// There is no token, or it is no good one.
pub fn authenticate(service: &Service, token: Option<&str>) -> Result<Principal> {
    let refused = |detail: &str| {
        Problem::new(&problem::UNAUTHENTICATED, detail).header(
            header::WWW_AUTHENTICATE,
            "Bearer realm=\"infra-rollback\", Basic realm=\"infra-rollback\"",
        )
    };
    let Some(token) = token else {
        return Err(refused("a token is needed"));
    };
    if identity::is_one(token) {
        let project = identity::Project {
            name: &service.project,
            is_own: service.home.is_none(),
        };
        return service.identities.principal(token, project);
    }
    let own = Tokens::new(service.store.as_ref(), &service.project).principal(token)?;
    let found = match (own, &service.home) {
        // Whoever is for all stacks of the service's own project is for all projects that it takes in.
        (None, Some(home)) => Tokens::new(service.store.as_ref(), home)
            .principal(token)?
            .filter(Principal::sees_all),
        (own, _) => own,
    };
    found.ok_or_else(|| refused("this is no valid token: it may have been revoked, or have expired"))
}

/// Whether the route is open to this principal at all; what it shows of what it finds is the handler's.
pub fn authorise(route: &Route, who: &Principal, path: &[(String, String)]) -> Result<()> {
    let stack = path
        .iter()
        .find(|(name, _)| name == "stack")
        .map(|(_, stack)| stack.as_str());
    let sees = stack.is_none_or(|stack| who.sees(stack));
    let (permission, open) = match route.access {
        Access::Anonymous => return Ok(()),
        Access::Seen(_) if !sees => return Err(Problem::not_found("stack")),
        Access::Seen(permission) => (permission, true),
        Access::Backend(permission) => (permission, sees),
        Access::Whole(permission) => (permission, who.sees_all()),
    };
    if open && who.allows(permission) {
        return Ok(());
    }
    Err(Problem::new(
        &problem::FORBIDDEN,
        match open {
            true => format!(
                "a token of the role {} does not allow this: it takes the permission {}",
                who.role.as_str(),
                permission.as_str()
            ),
            false => "the token is not for this stack, or not for all stacks, as this would need".to_owned(),
        },
    ))
}
