//! Releases, and whether one can be gone back to.

use super::{Access, PAGED, Payload, Route, header, json, nothing, read, required, write};
use crate::access::Permission;
use crate::handlers::{checkout, releases};

pub(super) static ROUTES: &[Route] = &[
    Route {
        parameters: PAGED,
        ..read(
            "/v1/releases",
            "releases.list",
            "releases",
            "Releases, newest first",
            &[json(200, "Page")],
            releases::list,
        )
    },
    Route {
        problems: &[409, 413, 415, 422, 503],
        noted: &["name", "note", "stacks"],
        ..write(
            "/v1/releases",
            "releases.create",
            "releases",
            "Keeps HEAD and the live state of the stacks as a release",
            Permission::Operate,
            "NewRelease",
            &[json(201, "Release")],
            releases::create,
        )
    },
    Route {
        access: Access::Whole(Permission::Operate),
        problems: &[409],
        ..read(
            "/v1/checkout",
            "checkout.get",
            "releases",
            "The checkout that clients bring, and the commits that need not be brought again",
            &[json(200, "Checkout")],
            checkout::get,
        )
    },
    Route {
        method: "PUT",
        access: Access::Whole(Permission::Operate),
        record: Some("checkout.put"),
        payload: Payload::Archive,
        problems: &[409, 413, 415, 422],
        ..read(
            "/v1/checkout",
            "checkout.put",
            "releases",
            "Brings a checkout: commits that the service lacks, and the files beside them",
            &[json(200, "CheckoutTaken")],
            checkout::put,
        )
    },
    Route {
        parameters: &[header("If-None-Match", "Text", "The ETag that the caller has")],
        answers: &[json(200, "Release"), nothing(304)],
        problems: &[422],
        ..read(
            "/v1/releases/{release}",
            "releases.get",
            "releases",
            "One release, by id, name or commit",
            &[],
            releases::get,
        )
    },
    Route {
        parameters: &[required("to", "Text", "The other release")],
        problems: &[422],
        ..read(
            "/v1/releases/{release}/diff",
            "releases.diff",
            "releases",
            "What differs in another release, object by object",
            &[json(200, "Diff")],
            releases::diff,
        )
    },
];
