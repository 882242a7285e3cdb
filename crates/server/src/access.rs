//! Who may do what: roles, what each allows, what is granted beside it, and the stacks to which it is bound.

use rollback_engine::person::Person;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::rollback::Rollback;

/// What a route asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Permission {
    /// To look at what is there, values that are sensitive masked.
    Read,
    /// To read states as they are, secrets and all.
    ReadRawState,
    /// To read the audit log.
    ReadAudit,
    /// To read the service's metrics.
    ReadMetrics,
    /// To lock, write and delete states, as terraform does.
    WriteState,
    /// To take releases, to ask for rollbacks and to drive them.
    Operate,
    /// To say yes to a plan.
    Approve,
    /// To override what a soft-mandatory rule of the policy denies.
    Override,
    /// To go ahead without the approvals that are asked for. No role has it: it is granted by name.
    BreakGlass,
}

impl Permission {
    pub const ALL: [Permission; 9] = [
        Permission::Read,
        Permission::ReadRawState,
        Permission::ReadAudit,
        Permission::ReadMetrics,
        Permission::WriteState,
        Permission::Operate,
        Permission::Approve,
        Permission::Override,
        Permission::BreakGlass,
    ];

    /// Those that a token may have beside its role.
    pub const GRANTED: [Permission; 3] = [Permission::ReadMetrics, Permission::Override, Permission::BreakGlass];

    pub fn as_str(self) -> &'static str {
        match self {
            Permission::Read => "read",
            Permission::ReadRawState => "read-raw-state",
            Permission::ReadAudit => "read-audit",
            Permission::ReadMetrics => "read-metrics",
            Permission::WriteState => "write-state",
            Permission::Operate => "operate",
            Permission::Approve => "approve",
            Permission::Override => "override",
            Permission::BreakGlass => "break-glass",
        }
    }
}

impl std::str::FromStr for Permission {
    type Err = String;
    fn from_str(text: &str) -> Result<Permission, String> {
        Permission::GRANTED
            .into_iter()
            .find(|permission| permission.as_str() == text)
            .ok_or_else(|| {
                format!("{text:?} cannot be granted beside a role: read-metrics, override and break-glass can")
            })
    }
}

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Looks.
    Viewer,
    /// Looks, at raw states, the audit log and the metrics too.
    Auditor,
    /// Applies and rolls back: terraform's own role, and an orchestrator's.
    Operator,
    /// Looks, and says yes.
    Approver,
    /// Everything but breaking the glass.
    Admin,
}

impl Role {
    pub const ALL: [Role; 5] = [Role::Viewer, Role::Auditor, Role::Operator, Role::Approver, Role::Admin];

    pub fn as_str(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Auditor => "auditor",
            Role::Operator => "operator",
            Role::Approver => "approver",
            Role::Admin => "admin",
        }
    }

    pub fn allows(self, permission: Permission) -> bool {
        use Permission::*;
        match self {
            Role::Viewer => matches!(permission, Read),
            Role::Auditor => matches!(permission, Read | ReadRawState | ReadAudit | ReadMetrics),
            // Whoever writes a state has read it: terraform plans from the raw bytes.
            Role::Operator => matches!(permission, Read | ReadRawState | WriteState | Operate),
            Role::Approver => matches!(permission, Read | Approve),
            Role::Admin => !matches!(permission, BreakGlass),
        }
    }
}

impl std::str::FromStr for Role {
    type Err = String;
    fn from_str(text: &str) -> Result<Role, String> {
        Role::ALL
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| format!("{text:?} is no role: viewer, auditor, operator, approver and admin are"))
    }
}

/// Whoever asks, as the token tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The token's id, or one made of the identity's issuer and subject.
    pub id: String,
    /// The token's name, or the identity's: as whom it goes on record.
    pub name: String,
    pub role: Role,
    /// What it may do beside what the role allows.
    pub grants: Vec<Permission>,
    /// The stacks that it is for; none for all.
    pub stacks: Vec<String>,
    /// What tells whether somebody else is the same person: see [`Person`].
    pub marks: Vec<String>,
    /// Who vouches for it, and why it may what it may; none for a token of the service's own.
    pub identity: Option<Box<Identity>>,
}

/// Who an identity provider says that somebody is, and what of it decided. Never the token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Identity {
    pub issuer: String,
    pub subject: String,
    /// Which rule of the issuer's decided, counted from one.
    pub rule: usize,
    /// The claims that the rule looks at, as the token has them.
    pub claims: Map<String, Value>,
}

impl Principal {
    pub fn allows(&self, permission: Permission) -> bool {
        self.role.allows(permission) || self.grants.contains(&permission)
    }

    /// Whether the principal may know that this stack exists.
    pub fn sees(&self, stack: &str) -> bool {
        self.stacks.is_empty() || self.stacks.iter().any(|name| name == stack)
    }

    /// Whether the principal is for all stacks, those among them that do not exist yet.
    pub fn sees_all(&self) -> bool {
        self.stacks.is_empty()
    }

    /// Whether the principal is for everything that a rollback is about: steps belong to no stack alone.
    pub fn sees_rollback(&self, rollback: &Rollback) -> bool {
        match rollback.stacks.is_empty() {
            true => self.sees_all(),
            false => rollback.stacks.iter().all(|stack| self.sees(stack)),
        }
    }

    /// As whom it goes on record: a name may be given twice, an id is not.
    pub fn actor(&self) -> String {
        format!("{} ({})", self.name, self.id)
    }

    /// To tell whether somebody else is the same person.
    pub fn person(&self) -> Person {
        Person::new(&self.actor(), &self.marks)
    }
}
