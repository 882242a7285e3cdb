//! What a release says. These types are the JSON in the store: a field that is added later must have a default, a
//! change that an older program would misread raises [`FORMAT`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use rollback_state::{Mode, State};

use crate::import::Import;
use crate::{BlobId, Fingerprint};

/// The newest format of records that this program reads. It writes each release in the oldest format that can say it
/// ([`ReleaseKind::format`]), so that an older program in the same store goes on reading what it understands.
pub const FORMAT: u32 = 2;

/// A release's name for machines: a UUID v7 in lower case with hyphens, so that the order of texts is the order of
/// time (of the clock of the machine that made it; to the millisecond, and strictly rising within one process).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ReleaseId(String);

impl ReleaseId {
    /// An id for a release that is made now.
    #[allow(clippy::new_without_default)] // Every call gives another one.
    pub fn new() -> ReleaseId {
        ReleaseId(Uuid::now_v7().to_string())
    }
    /// An id for a release that was made at `time` (tests, imports). Before 1970 counts as 1970.
    pub fn at(time: Timestamp) -> ReleaseId {
        let seconds = u64::try_from(time.as_second()).unwrap_or(0);
        let nanoseconds = u32::try_from(time.subsec_nanosecond()).unwrap_or(0);
        ReleaseId(Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, seconds, nanoseconds)).to_string())
    }
    /// The id of a release that is taken in from a history: the same for the same state, whoever takes it in and how
    /// often. `parts` tell the state from all others; `order` (below 4096) is its place among those of one millisecond.
    pub fn of_import(time: Timestamp, order: u16, parts: &[&str]) -> ReleaseId {
        let mut hasher = blake3::Hasher::new_derive_key("infra-rollback 1 imported release");
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        let mut rest = [0; 10];
        rest[..2].copy_from_slice(&order.min(0xfff).to_be_bytes());
        rest[2..].copy_from_slice(&hasher.finalize().as_bytes()[..8]);
        let milliseconds = u64::try_from(time.as_millisecond()).unwrap_or(0);
        let id = uuid::Builder::from_unix_timestamp_millis(milliseconds, &rest);
        ReleaseId(id.into_uuid().to_string())
    }
    /// What is the same for two ids that [`ReleaseId::of_import`] gave to one state, wherever it stood among others.
    pub fn without_order(&self) -> String {
        let mut text = self.0.clone();
        text.replace_range(15..18, "000");
        text
    }
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// When it was made, in whole milliseconds, by the clock of the machine that made it. The epoch for an id that is
    /// no UUID v7.
    pub fn time(&self) -> Timestamp {
        let time = Uuid::try_parse(&self.0)
            .ok()
            .and_then(|id| id.get_timestamp())
            .map(|time| time.to_unix());
        let (seconds, nanoseconds) = time.unwrap_or_default();
        let timestamp = Timestamp::new(seconds.try_into().unwrap_or(0), nanoseconds.try_into().unwrap_or(0));
        timestamp.unwrap_or(Timestamp::UNIX_EPOCH)
    }
}

/// A text that is no release's id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the id of a release")]
pub struct InvalidReleaseId(String);

impl FromStr for ReleaseId {
    type Err = InvalidReleaseId;
    fn from_str(text: &str) -> Result<ReleaseId, InvalidReleaseId> {
        let invalid = || InvalidReleaseId(text.chars().take(80).collect());
        let id = Uuid::try_parse(text).map_err(|_| invalid())?.to_string();
        // Only the one way of writing it: it is a key.
        if id == text { Ok(ReleaseId(id)) } else { Err(invalid()) }
    }
}

impl TryFrom<String> for ReleaseId {
    type Error = InvalidReleaseId;
    fn try_from(text: String) -> Result<ReleaseId, InvalidReleaseId> {
        text.parse()
    }
}

impl From<ReleaseId> for String {
    fn from(id: ReleaseId) -> String {
        id.0
    }
}

impl fmt::Display for ReleaseId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for ReleaseId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ReleaseId({})", self.0)
    }
}

/// Why a release was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReleaseKind {
    /// After a deploy, by `snapshot`.
    Snapshot,
    /// What was there before a run changed anything: what `undo` goes back to.
    Backup { run: String },
    /// What a run left behind.
    Result { run: String },
    /// Taken in from a history of states that somebody else kept, by `import`. Since format 2.
    Imported(Box<Import>),
}

impl ReleaseKind {
    /// The oldest format that has it.
    pub fn format(&self) -> u32 {
        match self {
            ReleaseKind::Snapshot | ReleaseKind::Backup { .. } | ReleaseKind::Result { .. } => 1,
            ReleaseKind::Imported(_) => 2,
        }
    }
    /// Where a person names a commit, the releases of the lowest rank are meant: what a deploy or a run left, then what
    /// was taken in, then backups, which have the commit of what was to be rolled back.
    pub fn rank(&self) -> u8 {
        match self {
            ReleaseKind::Snapshot | ReleaseKind::Result { .. } => 0,
            ReleaseKind::Imported(_) => 1,
            ReleaseKind::Backup { .. } => 2,
        }
    }
}

/// The immutable record of one commit as deployed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Release {
    /// [`ReleaseKind::format`] of its kind.
    pub format: u32,
    pub id: ReleaseId,
    /// The full object id in Git, in lower case.
    pub commit: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    pub kind: ReleaseKind,
    pub created_at: Timestamp,
    /// Who made it: a person or a service, as text.
    pub actor: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Paths that differed from the commit when it was made.
    #[serde(default)]
    pub dirty: Vec<String>,
    pub stacks: Vec<StackRecord>,
    /// What ran beside Terraform's world; `null` where nothing is known.
    #[serde(default)]
    pub runtime: Value,
}

impl Release {
    /// A snapshot made now, without stacks.
    pub fn new(commit: impl Into<String>, actor: impl Into<String>) -> Release {
        let id = ReleaseId::new();
        let created_at = id.time();
        Release {
            id,
            ..Release::made_at(created_at, commit, actor)
        }
    }
    /// A snapshot made at `time`, without stacks.
    pub fn made_at(time: Timestamp, commit: impl Into<String>, actor: impl Into<String>) -> Release {
        Release {
            format: ReleaseKind::Snapshot.format(),
            id: ReleaseId::at(time),
            commit: commit.into(),
            name: None,
            note: None,
            kind: ReleaseKind::Snapshot,
            created_at: time,
            actor: actor.into(),
            reason: None,
            dirty: Vec::new(),
            stacks: Vec::new(),
            runtime: Value::Null,
        }
    }
    /// A state that is taken in, without stacks.
    pub fn imported(id: ReleaseId, time: Timestamp, commit: impl Into<String>, import: Import) -> Release {
        let kind = ReleaseKind::Imported(Box::new(import));
        Release {
            format: kind.format(),
            id,
            kind,
            ..Release::made_at(time, commit, "unknown")
        }
    }
    /// Where it was taken in from; none for what this program made itself.
    pub fn import(&self) -> Option<&Import> {
        match &self.kind {
            ReleaseKind::Imported(import) => Some(import),
            _ => None,
        }
    }
    pub fn stack(&self, name: &str) -> Option<&StackRecord> {
        self.stacks.iter().find(|stack| stack.name == name)
    }

    /// The commit that one of its stacks was deployed from.
    pub fn commit_of<'a>(&'a self, stack: &'a StackRecord) -> &'a str {
        stack.commit.as_ref().unwrap_or(&self.commit)
    }

    /// Whether it may be kept: what is true of every release that this program writes. `Err` says what is not.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.format != self.kind.format() {
            let needed = self.kind.format();
            return Err(format!("its format is {}, its kind needs {needed}", self.format));
        }
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if !matches!(self.commit.len(), 40 | 64) || !self.commit.bytes().all(is_digit) {
            return Err(format!(
                "{:?} is not the full object id of a commit in lower case",
                self.commit
            ));
        }
        let mut names = BTreeSet::new();
        for stack in &self.stacks {
            if stack.name.is_empty() || !names.insert(&stack.name) {
                return Err(format!(
                    "there are two stacks called {:?}, or one without a name",
                    stack.name
                ));
            }
            let modules = stack.modules.iter().flat_map(|modules| modules.files.keys());
            for path in stack.configuration.keys().chain(modules) {
                crate::check_relative_path(path).map_err(|reason| format!("{path:?} {reason}"))?;
            }
        }
        Ok(())
    }
    /// Every blob that the release needs, each once.
    pub fn blobs(&self) -> BTreeSet<BlobId> {
        self.stacks.iter().flat_map(StackRecord::blobs).collect()
    }
}

/// One root module with its backend and workspace, as it was.
///
/// Paths have `/` between their parts and are relative: to the repository's root, unless said otherwise.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StackRecord {
    pub name: String,
    /// The root module's folder; empty for the repository's root.
    pub dir: String,
    /// The commit that this stack was deployed from, where it is another one than the release's.
    pub commit: Option<String>,
    pub workspace: String,
    pub backend: BackendRecord,
    /// `None` where the stack had no state yet.
    pub state: Option<StateRecord>,
    /// The root module and every local module that it reaches: path to bytes.
    pub configuration: BTreeMap<String, BlobId>,
    /// Those of `configuration` that were executable (scripts of `external` data sources and provisioners).
    pub executable: BTreeSet<String>,
    /// `.terraform.lock.hcl`
    pub lock_file: Option<BlobId>,
    pub modules: Option<ModulesRecord>,
    pub variable_files: Vec<VariableFile>,
    pub variables: Vec<VariableRecord>,
    pub terraform: ToolRecord,
    /// Provider's source address to its version.
    pub providers: BTreeMap<String, String>,
    /// Resource type to the highest schema version in the state; data sources as `data.<type>`. Terraform refuses a
    /// state whose schema version is above the provider's.
    pub schema_versions: BTreeMap<String, u64>,
    pub depends_on: Vec<String>,
}

impl StackRecord {
    /// Takes a state whose bytes lie in the store already.
    pub fn set_state(&mut self, state: &State, blob: BlobId) {
        self.schema_versions.clear();
        for instance in state.instances() {
            let kind = &instance.address().resource.kind;
            let name = match instance.mode() {
                Mode::Managed => kind.clone(),
                Mode::Data => format!("data.{kind}"),
            };
            let version = self.schema_versions.entry(name).or_insert(0);
            *version = instance.schema_version().max(*version);
        }
        self.state = Some(StateRecord::new(state, blob));
    }
    /// Every blob that the stack needs; one may come more than once.
    pub fn blobs(&self) -> impl Iterator<Item = BlobId> + '_ {
        let modules = self
            .modules
            .iter()
            .flat_map(|m| m.files.values().copied().chain([m.manifest]));
        (self.state.iter().map(|state| state.blob))
            .chain(self.configuration.values().copied())
            .chain(self.lock_file)
            .chain(modules)
            .chain(self.variable_files.iter().filter_map(|file| file.blob))
    }
    pub fn variable(&self, name: &str) -> Option<&VariableRecord> {
        self.variables.iter().find(|variable| variable.name == name)
    }
}

/// Where the state was kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BackendRecord {
    /// `local`, `s3`, `http`, …
    pub kind: String,
    /// As configured, without what gives access; see [`BackendRecord::new`].
    pub attributes: serde_json::Map<String, Value>,
    /// The names of attributes that were left out because they give access, nested ones as `assume_role.token`.
    pub left_out: Vec<String>,
}

/// The bytes of a state and what they say about themselves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateRecord {
    pub blob: BlobId,
    /// Of the bytes, lower-case hexadecimal: what an auditor compares.
    pub sha256: String,
    pub serial: u64,
    pub lineage: String,
    pub terraform_version: String,
    /// How many instances it holds: managed ones, data sources, deposed objects.
    pub instances: usize,
}

impl StateRecord {
    /// What a state says about itself, and where its bytes lie.
    pub fn new(state: &State, blob: BlobId) -> StateRecord {
        StateRecord {
            blob,
            sha256: state.sha256(),
            serial: state.serial(),
            lineage: state.lineage().to_owned(),
            terraform_version: state.terraform_version().to_owned(),
            instances: state.instance_count(),
        }
    }
}

/// Modules that `init` downloaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModulesRecord {
    /// `modules.json`
    pub manifest: BlobId,
    /// Path below the data directory's `modules` folder to bytes.
    pub files: BTreeMap<String, BlobId>,
    #[serde(default)]
    pub executable: BTreeSet<String>,
}

/// A file of assignments that was given to Terraform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VariableFile {
    pub path: String,
    /// `None` where the file is not in Git and could not be understood, so that nothing of it was kept.
    pub blob: Option<BlobId>,
    /// Whether Git has it: then it was kept as it is.
    pub tracked: bool,
    /// Variables whose assignments were taken out before the file was kept; someone must give them again. With
    /// `blob: None` it is every variable of the file.
    #[serde(default)]
    pub left_out: Vec<String>,
}

impl VariableFile {
    /// Whether what is kept is all that was given to Terraform.
    pub fn is_complete(&self) -> bool {
        self.blob.is_some() && self.left_out.is_empty()
    }
}

/// Where a variable's value came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VariableOrigin {
    /// `TF_VAR_name`
    Environment,
    /// `-var`
    CommandLine,
    /// A variable file.
    File,
}

/// A variable of the root module that had a value given from outside.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct VariableRecord {
    pub name: String,
    pub origin: VariableOrigin,
    pub sensitive: bool,
    /// Tells whether a value given later is the same one, without the value being kept.
    pub fingerprint: Fingerprint,
    /// Only where it is neither sensitive nor from the environment or the command line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
}

/// Elides the value: a variable can be a secret that nobody declared as one.
impl fmt::Debug for VariableRecord {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        (formatter.debug_struct("VariableRecord"))
            .field("name", &self.name)
            .field("origin", &self.origin)
            .field("sensitive", &self.sensitive)
            .field("kept", &self.value.is_some())
            .finish_non_exhaustive()
    }
}

/// The program that deployed it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ToolRecord {
    /// `terraform` or `opentofu`
    pub product: String,
    pub version: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_tells_when_it_was_made() {
        let time: Timestamp = "2026-11-22T17:30:00.123456Z".parse().unwrap();
        assert_eq!(ReleaseId::at(time).time(), "2026-11-22T17:30:00.123Z".parse().unwrap());
        let release = Release::new("a", "me");
        assert_eq!(release.id.time(), release.created_at);
        assert!(Timestamp::now().as_second() - release.created_at.as_second() < 10);
        assert_eq!(
            "00000000-0000-4000-8000-000000000000"
                .parse::<ReleaseId>()
                .unwrap()
                .time(),
            Timestamp::UNIX_EPOCH
        );
    }

    #[test]
    fn ids_of_one_process_rise() {
        let ids: Vec<ReleaseId> = (0..10_000).map(|_| ReleaseId::new()).collect();
        assert!(ids.is_sorted_by(|one, next| one < next));
    }

    #[test]
    fn an_imported_state_always_gets_the_same_id() {
        let time: Timestamp = "2026-11-22T17:30:00Z".parse().unwrap();
        let id = |order, version| ReleaseId::of_import(time, order, &["app", "s3://b/k", version]);
        assert_eq!(id(0, "v1"), id(0, "v1"));
        assert_ne!(id(0, "v1"), id(0, "v2"));
        assert_ne!(
            ReleaseId::of_import(time, 0, &["ab", "c"]),
            ReleaseId::of_import(time, 0, &["a", "bc"])
        );
        assert_eq!(id(7, "v1").time(), time);
        assert!(
            (0..4096)
                .map(|order| id(order, "v1"))
                .is_sorted_by(|one, next| one < next)
        );
        assert_eq!(id(0, "v1").without_order(), id(4095, "v1").without_order());
        assert_ne!(id(0, "v1").without_order(), id(0, "v2").without_order());
        assert_eq!(id(9, "v1").as_str().parse::<ReleaseId>().unwrap(), id(9, "v1"));
    }

    #[test]
    fn an_id_is_written_in_one_way() {
        let id = ReleaseId::new();
        assert_eq!(id.as_str().parse::<ReleaseId>().unwrap(), id);
        for other in [
            id.as_str().to_uppercase(),
            id.as_str().replace('-', ""),
            format!("{{{id}}}"),
            String::new(),
        ] {
            assert!(other.parse::<ReleaseId>().is_err(), "{other}");
        }
    }
}
