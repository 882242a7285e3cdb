//! The audit log.

use super::{Access, LIMIT, PAGED, Route, json, query, read, required};
use crate::access::Permission;
use crate::handlers::audit;

pub(super) static ROUTES: &[Route] = &[
    Route {
        access: Access::Whole(Permission::ReadAudit),
        record: Some("audit.read"),
        parameters: &[query("after", "Count", "Only entries after this one"), LIMIT],
        ..read(
            "/v1/audit/entries",
            "audit.list",
            "audit",
            "The audit log, oldest first",
            &[json(200, "AuditPage")],
            audit::entries,
        )
    },
    Route {
        access: Access::Whole(Permission::ReadAudit),
        problems: &[422],
        ..read(
            "/v1/audit/tip",
            "audit.tip",
            "audit",
            "The log's last entry: keep its hash elsewhere, and cutting off shows",
            &[json(200, "Tip")],
            audit::tip,
        )
    },
    Route {
        access: Access::Whole(Permission::ReadAudit),
        parameters: PAGED,
        problems: &[422],
        ..read(
            "/v1/audit/checkpoints",
            "audit.checkpoints",
            "audit",
            "Signed checkpoints of the log (C2SP tlog-checkpoint), newest first: keep one elsewhere",
            &[json(200, "Page")],
            audit::checkpoints,
        )
    },
    Route {
        access: Access::Whole(Permission::ReadAudit),
        parameters: &[
            required("sequence", "Count", "The entry"),
            query("size", "Count", "Of how many entries (default: all)"),
        ],
        problems: &[404, 422],
        ..read(
            "/v1/audit/proofs/inclusion",
            "audit.inclusion",
            "audit",
            "Proves that an entry is in the log (RFC 6962, 2.1.1)",
            &[json(200, "Inclusion")],
            audit::inclusion,
        )
    },
    Route {
        access: Access::Whole(Permission::ReadAudit),
        parameters: &[
            required("from", "Count", "The older size"),
            query("to", "Count", "The newer size (default: all entries)"),
        ],
        problems: &[404, 422],
        ..read(
            "/v1/audit/proofs/consistency",
            "audit.consistency",
            "audit",
            "Proves that the log of one size begins with that of another (RFC 6962, 2.1.2)",
            &[json(200, "Consistency")],
            audit::consistency,
        )
    },
];
