//! The registry of keys on the node's disk: a state with a chain of hashes, and beside it a checkpoint that a rollback is noticed by.

use std::fmt;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

const SCHEMA: &str = "keyregistry.openbao-kms/v1alpha1";
const CHECKPOINT_SCHEMA: &str = "keyregistry.openbao-kms/checkpoint/v1alpha1";

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    NotFound,
    Corrupt(String),
    Permission(String),
    Rollback(String),
    Io(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("key registry state not found"),
            Self::Corrupt(why) => write!(f, "key registry state corrupt: {why}"),
            Self::Permission(why) => write!(f, "key registry state permissions unsafe: {why}"),
            Self::Rollback(why) => write!(f, "key registry state rollback detected: {why}"),
            Self::Io(why) => f.write_str(why),
        }
    }
}

// The order of the fields is the order of the bytes that are hashed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct State {
    pub schema_version: String,
    pub generation: u64,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub previous_hash: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub current_hash: String,
    pub active_key_id: String,
    pub snapshots: Vec<Snapshot>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Snapshot {
    pub provider_name: String,
    pub cluster_id: String,
    pub openbao_instance_id: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub openbao_namespace: String,
    pub transit_mount_id: String,
    pub transit_key_lineage_id: String,
    pub transit_version: u64,
    pub transit_version_created_at_unix: i64,
    pub kubernetes_key_id: String,
    pub state: String,
    pub aad_mode: String,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub observed_at_unix: i64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub stable_observation_count: i64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub stable_at_unix: i64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub promoted_at_unix: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Checkpoint {
    pub schema_version: String,
    pub generation: u64,
    pub current_hash: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(value: &i64) -> bool {
    *value == 0
}

impl Snapshot {
    pub fn is_active(&self) -> bool {
        self.state == "active"
    }

    /// Whether what was encrypted with it is decrypted.
    pub fn decrypts(&self) -> bool {
        self.is_active() || self.state == "retired"
    }
}

impl State {
    pub fn new(active: &str, snapshots: Vec<Snapshot>, generation: u64, previous: &str) -> Self {
        let state = Self {
            schema_version: SCHEMA.into(),
            generation,
            previous_hash: previous.into(),
            current_hash: String::new(),
            active_key_id: active.into(),
            snapshots,
        };
        Self { current_hash: state.hash(), ..state }
    }

    /// The next one in the chain.
    pub fn followed_by(&self, active: &str, mut snapshots: Vec<Snapshot>) -> Self {
        let place = |s: &Snapshot| {
            let rank = match s.state.as_str() {
                _ if s.kubernetes_key_id == active => 0,
                "pending" => 1,
                "retired" => 2,
                "rejected" => 3,
                _ => 4,
            };
            (rank, u64::MAX - s.transit_version, s.kubernetes_key_id.clone())
        };
        snapshots.sort_by_key(place);
        Self::new(active, snapshots, self.generation + 1, &self.current_hash)
    }

    fn hash(&self) -> String {
        let body = serde_json::to_vec(&Self { current_hash: String::new(), ..self.clone() }).unwrap();
        format!("krs1.{}", URL_SAFE_NO_PAD.encode(Sha256::digest(body)))
    }

    pub fn active(&self) -> &Snapshot {
        self.snapshots.iter().find(|s| s.kubernetes_key_id == self.active_key_id).unwrap()
    }

    pub fn pending(&self) -> Option<&Snapshot> {
        self.snapshots.iter().find(|s| s.state == "pending")
    }

    fn flaw(&self) -> Option<&'static str> {
        let ids: std::collections::BTreeSet<_> = self.snapshots.iter().map(|s| &s.kubernetes_key_id).collect();
        let active: Vec<_> = self.snapshots.iter().filter(|s| s.is_active()).collect();
        let known = |s: &Snapshot| ["active", "pending", "retired", "rejected", "removed"].contains(&s.state.as_str());
        let id = |s: &Snapshot| {
            let scope = super::key::Scope {
                provider: s.provider_name.clone(),
                cluster: s.cluster_id.clone(),
                instance: s.openbao_instance_id.clone(),
                namespace: s.openbao_namespace.clone(),
                mount: s.transit_mount_id.clone(),
                lineage: s.transit_key_lineage_id.clone(),
            };
            scope.key_id(s.transit_version, s.transit_version_created_at_unix)
        };
        let flaws = [
            (self.schema_version != SCHEMA, "unsupported schema version"),
            (self.generation == 0, "generation must be positive"),
            (self.snapshots.is_empty(), "snapshots are required"),
            (self.current_hash != self.hash(), "state hash mismatch"),
            (ids.len() != self.snapshots.len(), "duplicate key_id"),
            (active.len() != 1, "active snapshot missing"),
            (
                active.first().is_some_and(|s| s.kubernetes_key_id != self.active_key_id),
                "active key_id must have active state",
            ),
            (!self.snapshots.iter().all(known), "invalid snapshot"),
            (self.snapshots.iter().any(|s| s.kubernetes_key_id != id(s)), "invalid snapshot: key_id mismatch"),
        ];
        flaws.into_iter().find(|(is, _)| *is).map(|(_, flaw)| flaw)
    }
}

/// What is on the disk.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub state: Option<State>,
    pub checkpoint: Option<Checkpoint>,
}

impl Loaded {
    pub fn checkpoint_status(&self) -> &'static str {
        match (&self.state, &self.checkpoint) {
            (None, _) => "absent",
            (Some(_), None) => "missing",
            (Some(state), Some(checkpoint)) if state.generation > checkpoint.generation => "behind",
            (Some(_), Some(_)) => "current",
        }
    }
}

pub fn checkpoint_path(state: &Path) -> PathBuf {
    let mut name = state.as_os_str().to_owned();
    name.push(".checkpoint");
    name.into()
}

/// Reads both, changes nothing.
pub fn load(path: &Path) -> Result<Loaded, Failure> {
    let checkpoint: Option<Checkpoint> = read(&checkpoint_path(path))?;
    if let Some(checkpoint) = &checkpoint
        && (checkpoint.schema_version != CHECKPOINT_SCHEMA || checkpoint.generation == 0)
    {
        return Err(Failure::Corrupt("unsupported state checkpoint schema version".into()));
    }
    let state: Option<State> = read(path)?;
    if let Some(flaw) = state.as_ref().and_then(State::flaw) {
        return Err(Failure::Corrupt(flaw.into()));
    }
    match (&state, &checkpoint) {
        (None, Some(_)) => Err(Failure::Rollback("state file missing with checkpoint present".into())),
        (Some(state), Some(checkpoint)) if state.generation < checkpoint.generation => {
            Err(Failure::Rollback("generation below checkpoint".into()))
        }
        (Some(state), Some(checkpoint))
            if state.generation == checkpoint.generation && state.current_hash != checkpoint.current_hash =>
        {
            Err(Failure::Rollback("current hash differs from checkpoint".into()))
        }
        _ => Ok(Loaded { state, checkpoint }),
    }
}

fn read<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<Option<T>, Failure> {
    let about = match fs::symlink_metadata(path) {
        Ok(about) => about,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Failure::Io(format!("inspect registry state file: {e}"))),
    };
    let unsafe_because = |why: &str| Err(Failure::Permission(why.into()));
    if about.is_symlink() {
        return unsafe_because("state file must not be a symlink");
    }
    if !about.is_file() {
        return unsafe_because("state file must be regular");
    }
    if about.mode() & 0o137 != 0 {
        return unsafe_because("state file mode must not include 0137");
    }
    let parent = path.parent().unwrap();
    match fs::symlink_metadata(parent) {
        Ok(about) if about.is_dir() && about.mode() & 0o022 == 0 => {}
        Ok(about) if about.is_dir() => return unsafe_because("parent directory must not be group/world writable"),
        _ => return unsafe_because("parent directory must not be a symlink"),
    }
    let bytes = fs::read(path).map_err(|e| Failure::Io(format!("open registry state: {e}")))?;
    serde_json::from_slice(&bytes).map(Some).map_err(|e| Failure::Corrupt(format!("decode failed: {e}")))
}

/// Makes it durable, first the state and then its checkpoint.
pub fn save(path: &Path, state: &State) -> Result<(), Failure> {
    write(path, state)?;
    let (generation, current_hash) = (state.generation, state.current_hash.clone());
    write(&checkpoint_path(path), &Checkpoint { schema_version: CHECKPOINT_SCHEMA.into(), generation, current_hash })
}

fn write(path: &Path, what: &impl Serialize) -> Result<(), Failure> {
    let failed = |what: &str, e: &std::io::Error| Failure::Io(format!("{what}: {e}"));
    let folder = path.parent().unwrap();
    let fresh = folder.join(format!(".{}.tmp", path.file_name().unwrap().to_string_lossy()));
    let _left = fs::remove_file(&fresh);
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o640)
        .open(&fresh)
        .map_err(|e| failed("create registry state temp file", &e))?;
    file.write_all(format!("{}\n", serde_json::to_string_pretty(what).unwrap()).as_bytes())
        .and_then(|()| file.set_permissions(fs::Permissions::from_mode(0o640)))
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&fresh, path))
        .and_then(|()| File::open(folder)?.sync_all())
        .map_err(|e| failed("rename registry state file", &e))
}
