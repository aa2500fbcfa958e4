//! What is stored in etcd, by the prefix of each value; and the API server's own rewriting of it.

use recover_engine::{Idempotent, Pure};
use serde::{Deserialize, Serialize};

use super::effect;
use crate::event;

effect! {
    /// Read the prefixes of the stored values of every encrypted resource: which provider's, or plain text. Read-only by type.
    ScanEtcd {} = "scan-etcd", Pure, 120_000, 2 => EtcdScanned;
    _this: "read in etcd which objects are encrypted, and by which provider".into();
    [
        EtcdScanned::Encrypted { count: 2 },
        EtcdScanned::Plaintext { encrypted: 1, plain: 1, resources: vec!["secrets".into()] },
        EtcdScanned::Foreign { providers: vec!["kms:v2:other".into()] },
    ] refused by ["etcd"]
}

/// See [`ScanEtcd`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ending", rename_all = "kebab-case")]
pub enum EtcdScanned {
    /// Every one, by this provider.
    Encrypted {
        /// How many.
        count: u64,
    },
    /// Some are in plain text.
    Plaintext {
        /// How many are encrypted.
        encrypted: u64,
        /// How many are not.
        plain: u64,
        /// Of which resources.
        resources: Vec<String>,
    },
    /// Some were encrypted by another provider.
    Foreign {
        /// Which.
        providers: Vec<String>,
    },
}
event!(EtcdScanned {
    EtcdScanned::Encrypted { .. } => "encrypted",
    EtcdScanned::Plaintext { .. } => "plaintext",
    EtcdScanned::Foreign { .. } => "foreign",
});

effect! {
    /// Let the API server write every object of the encrypted resources again, unmodified: get, then replace at the same resource
    /// version. Idempotent.
    RewriteObjects {} = "rewrite-objects", Idempotent, 600_000, 3 => Rewritten;
    _this: "have the API server write the objects again, unmodified".into();
    [Rewritten::Rewritten { count: 2 }] refused by ["apiserver"]
}

/// See [`RewriteObjects`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ending", rename_all = "kebab-case")]
pub enum Rewritten {
    /// All that there were.
    Rewritten {
        /// How many.
        count: u64,
    },
}
event!(Rewritten { Rewritten::Rewritten { .. } => "rewritten" });
