//! A node's configuration files against what is recorded: the provider's, and the API server's EncryptionConfiguration.

use recover_engine::{Idempotent, Pure};
use serde::{Deserialize, Serialize};

use super::{Node, effect};
use crate::event;

fn recorded() -> Option<String> {
    Some("0".repeat(64))
}

effect! {
    /// Compare the identity-bearing fields of a node's provider configuration with what is recorded.
    CompareConfig {
        /// Which node.
        node: Node,
    } = "compare-config", Pure, 20_000, 3 => ConfigSeen;
    this: format!("compare the provider configuration of {} with what is recorded", this.node);
    [
        ConfigSeen::AsRecorded,
        ConfigSeen::Drifted { fields: vec!["transit.keyName".into()], recorded: recorded() },
        ConfigSeen::Drifted { fields: vec!["transit.keyName".into()], recorded: None },
        ConfigSeen::Drifted { fields: vec!["transit.keyIdScope.clusterId".into()], recorded: recorded() },
        ConfigSeen::Unrecorded,
        ConfigSeen::Unreadable { why: "unknown field".into(), recorded: recorded() },
    ] refused by ["config"]
}

/// See [`CompareConfig`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ending", rename_all = "kebab-case")]
pub enum ConfigSeen {
    /// Every identity-bearing field has its recorded value.
    AsRecorded,
    /// Some have another.
    Drifted {
        /// Which.
        fields: Vec<String>,
        /// The digest of a file that has the recorded values and may be put in place, if one is configured and is so.
        recorded: Option<String>,
    },
    /// Nothing is recorded to compare with.
    Unrecorded,
    /// It cannot be read, or the provider would refuse it.
    Unreadable {
        /// Why.
        why: String,
        /// As in `Drifted`.
        recorded: Option<String>,
    },
}
event!(ConfigSeen {
    ConfigSeen::AsRecorded => "as-recorded",
    ConfigSeen::Drifted { .. } => "drifted",
    ConfigSeen::Unrecorded => "unrecorded",
    ConfigSeen::Unreadable { .. } => "unreadable",
});

/// What came of putting a recorded file in place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ending", rename_all = "kebab-case")]
pub enum Restored {
    /// It is there; what was there is kept beside it.
    Restored {
        /// The name that the old file has now.
        aside: Option<String>,
    },
}
event!(Restored { Restored::Restored { .. } => "restored" });

effect! {
    /// Put the recorded provider configuration in place. Idempotent: the digest says what must be there.
    RestoreConfig {
        /// Which node.
        node: Node,
        /// The digest of the recorded file.
        sha256: String,
    } = "restore-config", Idempotent, 20_000, 3 => Restored;
    this: format!("put the recorded provider configuration of {} back", this.node);
    [Restored::Restored { aside: Some("config.yaml.aside".into()) }] refused by ["config"]
}

effect! {
    /// Read a node's EncryptionConfiguration: providers and their order, endpoint, provider name, identity fallback; against what is
    /// recorded and against the provider's own configuration.
    ReadEncryption {
        /// Which node.
        node: Node,
    } = "read-encryption", Pure, 20_000, 3 => EncryptionSeen;
    this: format!("read the EncryptionConfiguration of {}", this.node);
    [
        EncryptionSeen::Sound { fallback: recorded() },
        EncryptionSeen::Sound { fallback: None },
        EncryptionSeen::Fallback { without: recorded() },
        EncryptionSeen::Fallback { without: None },
        EncryptionSeen::IdentityFirst { recorded: recorded() },
        EncryptionSeen::IdentityFirst { recorded: None },
        EncryptionSeen::Drifted { why: "another endpoint".into(), recorded: recorded() },
        EncryptionSeen::Drifted { why: "another endpoint".into(), recorded: None },
        EncryptionSeen::Unreadable { why: "no YAML".into() },
    ] refused by ["apiserver"]
}

/// See [`ReadEncryption`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ending", rename_all = "kebab-case")]
pub enum EncryptionSeen {
    /// KMS alone, at the provider's socket, under the provider's name, as recorded.
    Sound {
        /// The digest of a recorded file with KMS first and identity last, the last one that was known to be good while there was
        /// plain text: it may be put in place if plain text was left behind. None if none is configured.
        fallback: Option<String>,
    },
    /// KMS first, and identity after it: what is in plain text can still be read.
    Fallback {
        /// The digest of a recorded file without identity that may be put in place, if one is configured and is so.
        without: Option<String>,
    },
    /// Identity is first: whatever is written is in plain text.
    IdentityFirst {
        /// The digest of a recorded file with KMS first, as above.
        recorded: Option<String>,
    },
    /// Name, endpoint, order or providers are not what is recorded, or what the provider says.
    Drifted {
        /// What differs.
        why: String,
        /// The digest of the recorded file, as above.
        recorded: Option<String>,
    },
    /// It is none.
    Unreadable {
        /// Why.
        why: String,
    },
}
event!(EncryptionSeen {
    EncryptionSeen::Sound { .. } => "sound",
    EncryptionSeen::Fallback { .. } => "fallback",
    EncryptionSeen::IdentityFirst { .. } => "identity-first",
    EncryptionSeen::Drifted { .. } => "drifted",
    EncryptionSeen::Unreadable { .. } => "unreadable",
});

effect! {
    /// Put a recorded EncryptionConfiguration in place: the last known good one, or the one without identity. Idempotent: the digest
    /// says what must be there. The adapter compares the provider's name in both: it is never changed.
    RestoreEncryption {
        /// Which node.
        node: Node,
        /// The digest of the recorded file.
        sha256: String,
    } = "restore-encryption", Idempotent, 20_000, 3 => Restored;
    this: format!("put a recorded EncryptionConfiguration of {} in place", this.node);
    [Restored::Restored { aside: Some("encryption-config.yaml.aside".into()) }] refused by ["apiserver"]
}
