//! A node's key registry: state and checkpoint, read-only, and copied only as a verified pair.

use recover_engine::{Idempotent, Pure};
use serde::{Deserialize, Serialize};

use super::{Node, effect};
use crate::event;

effect! {
    /// Read a node's registry state and checkpoint: hashes computed again, generations compared, its scope compared with the
    /// configuration. Never written.
    ReadRegistry {
        /// Which node.
        node: Node,
    } = "read-registry", Pure, 20_000, 3 => RegistrySeen;
    this: format!("read the key registry of {} and compute its hashes again", this.node);
    [
        RegistrySeen::Sound { generation: 3, hash: "krs1.h".into(), active: 3 },
        RegistrySeen::Absent { checkpoint: false, bootstraps: true },
        RegistrySeen::Absent { checkpoint: false, bootstraps: false },
        RegistrySeen::Absent { checkpoint: true, bootstraps: false },
        RegistrySeen::Corrupt { why: "its hash is another".into() },
        RegistrySeen::RolledBack { why: "generation 2 before the checkpoint's 3".into() },
        RegistrySeen::Foreign { fields: vec!["clusterId".into()] },
        RegistrySeen::Unsafe { why: "it is a link".into() },
    ] refused by ["registry"]
}

/// See [`ReadRegistry`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ending", rename_all = "kebab-case")]
pub enum RegistrySeen {
    /// Both are whole and belong together. A checkpoint one save behind is whole too.
    Sound {
        /// Its generation.
        generation: u64,
        /// Its hash.
        hash: String,
        /// The active Transit version.
        active: u64,
    },
    /// There is no state.
    Absent {
        /// Whether there is a checkpoint, so that there was one.
        checkpoint: bool,
        /// Whether the provider would make a first one by itself: the key was never rotated.
        bootstraps: bool,
    },
    /// It is not what was written.
    Corrupt {
        /// Why.
        why: String,
    },
    /// It is older than the checkpoint.
    RolledBack {
        /// Why.
        why: String,
    },
    /// It is of another scope than the configuration.
    Foreign {
        /// Which fields differ.
        fields: Vec<String>,
    },
    /// It is not read: a link, or writable by others.
    Unsafe {
        /// Why.
        why: String,
    },
}
event!(RegistrySeen {
    RegistrySeen::Sound { .. } => "sound",
    RegistrySeen::Absent { .. } => "absent",
    RegistrySeen::Corrupt { .. } => "corrupt",
    RegistrySeen::RolledBack { .. } => "rolled-back",
    RegistrySeen::Foreign { .. } => "foreign",
    RegistrySeen::Unsafe { .. } => "unsafe",
});

effect! {
    /// Look for a pair of state and checkpoint for this node: at its peers and in the configured backups. Of the same scope, whole, the
    /// newest, and no older than any checkpoint that is known.
    FindPair {
        /// Which node.
        node: Node,
    } = "find-pair", Pure, 30_000, 3 => PairFound;
    this: format!("look for a verified registry pair for {}: peers, then backups", this.node);
    [
        PairFound::Found { source: "cp-2".into(), generation: 3, hash: "krs1.h".into() },
        PairFound::None { why: "no peer has one of the same scope".into() },
    ] refused by ["registry"]
}

/// See [`FindPair`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ending", rename_all = "kebab-case")]
pub enum PairFound {
    /// There is one.
    Found {
        /// A peer's name, or the path of a backup.
        source: String,
        /// Its generation.
        generation: u64,
        /// Its hash.
        hash: String,
    },
    /// There is none that may be used.
    None {
        /// Why.
        why: String,
    },
}
event!(PairFound { PairFound::Found { .. } => "found", PairFound::None { .. } => "none" });

effect! {
    /// Copy that pair, byte for byte, to a node whose provider is stopped; what was there is renamed aside. Idempotent: the hash says
    /// what must be there, and the source is verified again right before.
    CopyPair {
        /// Which node.
        node: Node,
        /// From where.
        source: String,
        /// The pair's generation.
        generation: u64,
        /// The pair's hash.
        hash: String,
    } = "copy-pair", Idempotent, 30_000, 3 => PairCopied;
    this: format!("copy the registry pair of {}, generation {}, to {}", this.source, this.generation, this.node);
    [PairCopied::Copied { aside: Some("key-registry.json.aside".into()) }] refused by ["registry"]
}

/// See [`CopyPair`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ending", rename_all = "kebab-case")]
pub enum PairCopied {
    /// It is there.
    Copied {
        /// The name that the old state has now, if there was one.
        aside: Option<String>,
    },
}
event!(PairCopied { PairCopied::Copied { .. } => "copied" });
