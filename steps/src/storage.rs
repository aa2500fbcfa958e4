//! The storage: finding the original, proving durability, moving directories without ever deleting one.

use recover_engine::{Effect, Idempotent, Outcome, Pure};
use serde::{Deserialize, Serialize};

use crate::{event, refused};

/// A directory that holds the lost identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Original {
    /// Where it was found.
    pub path: String,
    /// The device it is on and its inode there, `device:inode`: what it is, wherever it is renamed to.
    pub file_id: String,
}

/// Look through the places that the configuration names for the original storage. Read-only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Search {
    /// The serial of the identity that is looked for.
    pub epoch: String,
}

/// See [`Search`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ending", rename_all = "kebab-case")]
pub enum Searched {
    /// It is there, with the lost identity on it, readable.
    Found {
        /// Where and what.
        original: Original,
    },
    /// It is in none of the places.
    Gone {
        /// The places.
        searched: Vec<String>,
    },
    /// Something is there that cannot be read or holds another identity.
    Unreadable {
        /// Where.
        path: String,
        /// What is wrong with it.
        why: String,
    },
}
event!(Searched {
    Searched::Found { .. } => "found",
    Searched::Gone { .. } => "gone",
    Searched::Unreadable { .. } => "unreadable",
});

impl Effect for Search {
    const NAME: &'static str = "search-original";
    type Event = Searched;
    type Redo = Pure;
    const TIMEOUT_MS: u64 = 30_000;
    const ATTEMPTS: u32 = 3;
    fn summary(&self) -> String {
        format!("search for the original storage with identity {}", self.epoch)
    }
    fn endings(&self) -> Vec<Outcome<Searched>> {
        vec![
            Outcome::Happened(Searched::Found {
                original: Original { path: "/original".into(), file_id: "1:1".into() },
            }),
            Outcome::Happened(Searched::Gone { searched: vec!["/original".into()] }),
            Outcome::Happened(Searched::Unreadable { path: "/original".into(), why: "permission denied".into() }),
            refused("storage"),
        ]
    }
}

/// Which storage is meant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Storage {
    /// Where the workload keeps its identity now, or will keep one: none may be there.
    Target,
    /// The same place, where this identity is and stays.
    Held {
        /// Its serial.
        serial: String,
    },
    /// What the search found.
    Original(Original),
}

/// Look whether storage outlives the workload and the host: the mount table and statfs tell tmpfs and overlay from a disk.
/// For the workload's own also whether it can write there, and that no other identity is in the way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProveDurable {
    /// Which.
    pub storage: Storage,
}

/// See [`ProveDurable`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ending", rename_all = "kebab-case")]
pub enum Durability {
    /// It is durable, writable and free.
    Durable {
        /// The file system and what it is on.
        on: String,
    },
    /// It is not: tmpfs, overlay, emptyDir, an anonymous volume.
    Refuted {
        /// What it is.
        on: String,
    },
    /// It cannot be told: a network file system, an overlay root, an unknown driver.
    Undecided {
        /// What it is.
        on: String,
    },
    /// It is not refuted as durable, and an identity that the authority does not know is on it.
    Occupied {
        /// The file system and what it is on.
        on: String,
        /// That identity's serial.
        serial: String,
    },
    /// The workload could not write there.
    Unwritable {
        /// Why.
        why: String,
    },
}
event!(Durability {
    Durability::Durable { .. } => "durable",
    Durability::Refuted { .. } => "refuted",
    Durability::Undecided { .. } => "undecided",
    Durability::Occupied { .. } => "occupied",
    Durability::Unwritable { .. } => "unwritable",
});

impl Effect for ProveDurable {
    const NAME: &'static str = "prove-durable";
    type Event = Durability;
    type Redo = Pure;
    const TIMEOUT_MS: u64 = 10_000;
    const ATTEMPTS: u32 = 3;
    fn summary(&self) -> String {
        match &self.storage {
            Storage::Target => "prove that the workload's storage is durable, writable and free".into(),
            Storage::Held { serial } => {
                format!("prove that the workload's storage is durable and writable, and has identity {serial}")
            }
            Storage::Original(original) => format!("prove that {} is durable", original.path),
        }
    }
    fn endings(&self) -> Vec<Outcome<Durability>> {
        let on = || "ext4 on /dev/vda".to_owned();
        let mut endings = vec![
            Outcome::Happened(Durability::Durable { on: on() }),
            Outcome::Happened(Durability::Refuted { on: "tmpfs".into() }),
            Outcome::Happened(Durability::Undecided { on: "nfs4".into() }),
            refused("storage"),
        ];
        if !matches!(self.storage, Storage::Original(_)) {
            endings.push(Outcome::Happened(Durability::Occupied { on: on(), serial: "s0".into() }));
            endings.push(Outcome::Happened(Durability::Unwritable { why: "read-only file system".into() }));
        }
        endings
    }
}

/// Rename what is at the target aside, to a name beside it that is unique to the run, and the original to its place.
///
/// Idempotent: each of the two renames is made only if the original is not yet where it goes, told by device and inode,
/// and the place it goes to is empty. Nothing is deleted, nothing is overwritten.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reattach {
    /// The original.
    pub original: Original,
}

/// See [`Reattach`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ending", rename_all = "kebab-case")]
pub enum Reattached {
    /// The original is where the workload looks for it.
    Reattached,
}
event!(Reattached { Reattached::Reattached => "reattached" });

impl Effect for Reattach {
    const NAME: &'static str = "reattach";
    type Event = Reattached;
    type Redo = Idempotent;
    const TIMEOUT_MS: u64 = 30_000;
    const ATTEMPTS: u32 = 3;
    fn summary(&self) -> String {
        format!("reattach the original storage from {}", self.original.path)
    }
    fn endings(&self) -> Vec<Outcome<Reattached>> {
        vec![Outcome::Happened(Reattached::Reattached), refused("storage")]
    }
}

/// Undo a [`Reattach`]: the original to where it was found, what was moved aside to where it was.
///
/// Idempotent for the same reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detach {
    /// The original.
    pub original: Original,
}

/// See [`Detach`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ending", rename_all = "kebab-case")]
pub enum Detached {
    /// Both are where they were found.
    Detached,
}
event!(Detached { Detached::Detached => "detached" });

impl Effect for Detach {
    const NAME: &'static str = "detach";
    type Event = Detached;
    type Redo = Idempotent;
    const TIMEOUT_MS: u64 = 30_000;
    const ATTEMPTS: u32 = 3;
    fn summary(&self) -> String {
        "put both storages back where they were found".into()
    }
    fn endings(&self) -> Vec<Outcome<Detached>> {
        vec![Outcome::Happened(Detached::Detached), refused("storage")]
    }
}

/// Rename the target's directory aside, to a name that is unique to the run, on a person's word, and leave an empty one of the same owner and mode.
///
/// Idempotent: it is done if the name it goes to exists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetAside {}

/// See [`SetAside`] and [`PutBack`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ending", rename_all = "kebab-case")]
pub enum Restored {
    /// It is where it goes.
    Done,
}
event!(Restored { Restored::Done => "done" });

impl Effect for SetAside {
    const NAME: &'static str = "set-aside";
    type Event = Restored;
    type Redo = Idempotent;
    const TIMEOUT_MS: u64 = 30_000;
    const ATTEMPTS: u32 = 3;
    fn summary(&self) -> String {
        "set the unusable identity's directory aside".into()
    }
    fn endings(&self) -> Vec<Outcome<Restored>> {
        vec![Outcome::Happened(Restored::Done), refused("storage")]
    }
}

/// Undo a [`SetAside`]. The directory that stood in its place is removed only if it is empty; otherwise it is kept beside.
///
/// Idempotent: it is done if nothing has the aside name any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutBack {}

impl Effect for PutBack {
    const NAME: &'static str = "put-back";
    type Event = Restored;
    type Redo = Idempotent;
    const TIMEOUT_MS: u64 = 30_000;
    const ATTEMPTS: u32 = 3;
    fn summary(&self) -> String {
        "put the directory that was set aside back".into()
    }
    fn endings(&self) -> Vec<Outcome<Restored>> {
        vec![Outcome::Happened(Restored::Done), refused("storage")]
    }
}
