//! The service itself.

use super::{Access, Answer, Route, json, read};
use crate::access::Permission;
use crate::handlers::{general, metrics};

pub(super) static ROUTES: &[Route] = &[
    Route {
        access: Access::Anonymous,
        blocks: false,
        ..read(
            "/v1/health",
            "health",
            "service",
            "Whether the process answers",
            &[json(200, "Health")],
            general::health,
        )
    },
    Route {
        access: Access::Anonymous,
        problems: &[503],
        ..read(
            "/v1/ready",
            "ready",
            "service",
            "Whether the store answers, too",
            &[json(200, "Health")],
            general::ready,
        )
    },
    Route {
        access: Access::Anonymous,
        blocks: false,
        ..read(
            "/v1/openapi.json",
            "openapi",
            "service",
            "This document",
            &[json(200, "Object")],
            general::openapi,
        )
    },
    Route {
        access: Access::Whole(Permission::ReadMetrics),
        answers: &[Answer {
            status: 200,
            schema: Some("Text"),
            media: crate::metrics::MEDIA,
        }],
        ..read(
            "/v1/metrics",
            "metrics.get",
            "service",
            "The service's metrics for Prometheus (OpenMetrics)",
            &[],
            metrics::get,
        )
    },
    read(
        "/v1/problems",
        "problems.list",
        "service",
        "Every code that a problem may have",
        &[json(200, "Page")],
        general::problems,
    ),
    read(
        "/v1/problems/{code}",
        "problems.get",
        "service",
        "What a code means and what helps",
        &[json(200, "ProblemPage")],
        general::problem,
    ),
    read(
        "/v1/principal",
        "principal.get",
        "service",
        "Who the token is, and what it may do",
        &[json(200, "Principal")],
        general::principal,
    ),
];
