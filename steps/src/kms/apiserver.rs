//! The API server of a node: its view of the KMS, reading an old object through it, and the one restart that may be.

use recover_engine::{Idempotent, Pure};
use serde::{Deserialize, Serialize};

use super::{Node, effect};
use crate::event;
use crate::workload::Instance;

effect! {
    /// Ask a node's API server for its readiness, the KMS check alone.
    LookApiserver {
        /// Which node.
        node: Node,
    } = "look-apiserver", Pure, 20_000, 3 => ApiserverSeen;
    this: format!("ask the API server of {} for its KMS check", this.node);
    [
        ApiserverSeen::Healthy { instance: Some(Instance("1".into())) },
        ApiserverSeen::KmsUnhealthy { instance: Some(Instance("1".into())), why: "kms-provider-0 failed".into() },
        ApiserverSeen::Down { why: "connection refused".into() },
    ] refused by ["apiserver"]
}

/// See [`LookApiserver`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ending", rename_all = "kebab-case")]
pub enum ApiserverSeen {
    /// It is ready, its KMS check included.
    Healthy {
        /// Which life, where that can be told.
        instance: Option<Instance>,
    },
    /// It runs, and its KMS check fails.
    KmsUnhealthy {
        /// Which life, where that can be told.
        instance: Option<Instance>,
        /// What it says.
        why: String,
    },
    /// It is not there.
    Down {
        /// What was seen.
        why: String,
    },
}
event!(ApiserverSeen {
    ApiserverSeen::Healthy { .. } => "healthy",
    ApiserverSeen::KmsUnhealthy { .. } => "kms-unhealthy",
    ApiserverSeen::Down { .. } => "down",
});

effect! {
    /// Restart a node's API server, or start it where it is down. Idempotent: it names the life that is to end. The adapter refuses a
    /// running one as `guarded` unless that node's KMS, asked over its socket right then, is healthy; and as `sole` unless another API
    /// server is ready or `sole` says that a person approved going without.
    RestartApiserver {
        /// Which node.
        node: Node,
        /// The life that is to end; none where it is down.
        from: Option<Instance>,
        /// Whether a person approved that no other API server is ready.
        sole: bool,
    } = "restart-apiserver", Idempotent, 300_000, 2 => ApiserverRestarted;
    this: format!("restart the API server of {}", this.node);
    [ApiserverRestarted::Restarted { instance: Some(Instance("2".into())) }] refused by ["apiserver", "guarded", "sole"]
}

/// See [`RestartApiserver`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ending", rename_all = "kebab-case")]
pub enum ApiserverRestarted {
    /// Another life runs and is ready.
    Restarted {
        /// Which, where that can be told.
        instance: Option<Instance>,
    },
}
event!(ApiserverRestarted { ApiserverRestarted::Restarted { .. } => "restarted" });

effect! {
    /// Wait until a node's API server says that it took over the EncryptionConfiguration on disk: by its reload metrics.
    AwaitReload {
        /// Which node.
        node: Node,
        /// The digest of the file.
        sha256: String,
    } = "await-reload", Pure, 200_000, 2 => Adopted;
    this: format!("wait until the API server of {} took over its EncryptionConfiguration", this.node);
    [
        Adopted::Adopted,
        Adopted::RestartNeeded { instance: Some(Instance("1".into())) },
        Adopted::NotAdopted { why: "a plugin of it is not healthy".into() },
    ] refused by ["apiserver"]
}

/// See [`AwaitReload`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ending", rename_all = "kebab-case")]
pub enum Adopted {
    /// It did.
    Adopted,
    /// It does not look at the file again: only a restart makes it.
    RestartNeeded {
        /// Which life runs, where that can be told.
        instance: Option<Instance>,
    },
    /// It looked, and kept the old one.
    NotAdopted {
        /// Why.
        why: String,
    },
}
event!(Adopted {
    Adopted::Adopted => "adopted",
    Adopted::RestartNeeded { .. } => "restart-needed",
    Adopted::NotAdopted { .. } => "not-adopted",
});

effect! {
    /// Read the configured old objects through the API server: the runbook's proof. Their contents are not kept.
    ReadObjects {} = "read-objects", Pure, 60_000, 3 => ObjectsRead;
    _this: "read old objects through the API server".into();
    [
        ObjectsRead::Read { count: 2 },
        ObjectsRead::Unreadable { objects: vec!["secrets/default/old".into()], why: "key_id unknown".into() },
        ObjectsRead::Unavailable { why: "the API server does not answer".into() },
    ] refused by ["apiserver"]
}

/// See [`ReadObjects`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ending", rename_all = "kebab-case")]
pub enum ObjectsRead {
    /// Every one, from storage and not from a cache.
    Read {
        /// How many.
        count: u32,
    },
    /// Some cannot be.
    Unreadable {
        /// Which.
        objects: Vec<String>,
        /// What the API server says.
        why: String,
    },
    /// It could not be asked.
    Unavailable {
        /// Why.
        why: String,
    },
}
event!(ObjectsRead {
    ObjectsRead::Read { .. } => "read",
    ObjectsRead::Unreadable { .. } => "unreadable",
    ObjectsRead::Unavailable { .. } => "unavailable",
});
