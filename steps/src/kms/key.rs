//! The Transit key: reading it against what is recorded, and the few changes that lose nothing.

use std::collections::BTreeMap;

use recover_engine::{Idempotent, Pure};
use serde::{Deserialize, Serialize};

use super::effect;
use crate::event;

/// What OpenBao tells of a key, beside what is recorded of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "OpenBao's own fields")]
pub struct KeyFacts {
    /// Its type.
    pub kind: String,
    /// Its latest version.
    pub latest: u64,
    /// Versions below are gone for good.
    pub min_available: u64,
    /// Versions below do not decrypt.
    pub min_decryption: u64,
    /// Versions below do not encrypt; 0: only the latest does.
    pub min_encryption: u64,
    /// Whether it can be deleted.
    pub deletion_allowed: bool,
    /// Whether its material can be read out.
    pub exportable: bool,
    /// Whether it can be backed up in plain text.
    pub plaintext_backup: bool,
    /// Whether keys are derived from a context.
    pub derived: bool,
    /// Whether equal plaintexts give equal ciphertexts.
    pub convergent: bool,
    /// Whether it encrypts and decrypts.
    pub usable: bool,
    /// After how many seconds it is rotated by itself; 0: never.
    pub auto_rotate_s: u64,
    /// Whether encrypting with a key that is not there fails.
    pub upsert_disabled: bool,
    /// When its versions were made, in seconds since 1970, of those that are told of.
    #[serde(with = "numbered")]
    pub versions: BTreeMap<u64, i64>,
    /// The lowest decrypting version that is recorded, or still needed by what is stored: what it may be lowered to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded_min_decryption: Option<u64>,
    /// The lowest encrypting version that is recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded_min_encryption: Option<u64>,
}

/// What a finding about a key's profile endangers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Impact {
    /// What is encrypted may not be safe. None of these can be taken back.
    CryptographicSafety,
    /// Requests that the API server needs do not work. These can be mended.
    ApiServerAvailability,
}

/// JSON's keys are texts, and serde does not make numbers of them inside an enum that is tagged.
mod numbered {
    use std::collections::BTreeMap;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(versions: &BTreeMap<u64, i64>, to: S) -> Result<S::Ok, S::Error> {
        versions.serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<u64, i64>, D::Error> {
        let texts = BTreeMap::<String, i64>::deserialize(from)?;
        texts.into_iter().map(|(version, at)| Ok((version.parse().map_err(D::Error::custom)?, at))).collect()
    }
}

impl KeyFacts {
    /// What is wrong with its profile, in the provider's own words.
    #[must_use]
    pub fn findings(&self) -> Vec<(Impact, &'static str)> {
        use Impact::{ApiServerAvailability as Availability, CryptographicSafety as Safety};
        let all = [
            (self.kind != "aes256-gcm96", Safety, "key type is not aes256-gcm96"),
            (self.exportable, Safety, "key material export is enabled"),
            (self.plaintext_backup, Safety, "plaintext backup is enabled"),
            (self.derived, Safety, "derived key mode is enabled"),
            (self.convergent, Safety, "convergent encryption is enabled"),
            (self.deletion_allowed, Availability, "key deletion is allowed"),
            (self.min_encryption > self.latest, Availability, "minimum encryption version blocks latest version"),
            (self.min_decryption > self.latest, Availability, "minimum decryption version exceeds latest version"),
            (!self.usable, Availability, "key does not support encryption"),
            (self.latest == 0, Availability, "latest version is not positive"),
            (self.min_available > self.latest, Availability, "minimum available version exceeds latest version"),
        ];
        all.into_iter().filter_map(|(found, impact, text)| found.then_some((impact, text))).collect()
    }

    /// A key without a finding, for samples and tests.
    #[must_use]
    pub fn sound() -> Self {
        Self {
            kind: "aes256-gcm96".into(),
            latest: 3,
            min_available: 0,
            min_decryption: 1,
            min_encryption: 0,
            deletion_allowed: false,
            exportable: false,
            plaintext_backup: false,
            derived: false,
            convergent: false,
            usable: true,
            auto_rotate_s: 0,
            upsert_disabled: true,
            versions: BTreeMap::from([(1, 1_700_000_000), (2, 1_710_000_000), (3, 1_720_000_000)]),
            recorded_min_decryption: Some(1),
            recorded_min_encryption: Some(0),
        }
    }
}

effect! {
    /// Read the key, and compare when its versions were made with what the baseline and the providers' registries say.
    ReadKey {} = "read-key", Pure, 20_000, 3 => KeySeen;
    _this: "read the Transit key and compare its versions with what is recorded".into();
    [
        KeySeen::Original { facts: KeyFacts::sound() },
        KeySeen::Original { facts: KeyFacts { min_decryption: 3, ..KeyFacts::sound() } },
        KeySeen::Original { facts: KeyFacts { min_decryption: 3, recorded_min_decryption: None, ..KeyFacts::sound() } },
        KeySeen::Original { facts: KeyFacts { deletion_allowed: true, ..KeyFacts::sound() } },
        KeySeen::Original { facts: KeyFacts { exportable: true, ..KeyFacts::sound() } },
        KeySeen::Original { facts: KeyFacts { upsert_disabled: false, ..KeyFacts::sound() } },
        KeySeen::Original { facts: KeyFacts { auto_rotate_s: 3_600, ..KeyFacts::sound() } },
        KeySeen::Original { facts: KeyFacts { min_encryption: 4, ..KeyFacts::sound() } },
        KeySeen::Unrecorded { facts: KeyFacts::sound() },
        KeySeen::Altered { facts: KeyFacts::sound(), versions: vec![1] },
        KeySeen::Altered { facts: KeyFacts::sound(), versions: vec![3] },
        KeySeen::Incomplete { facts: KeyFacts::sound(), versions: vec![2] },
        KeySeen::Incomplete { facts: KeyFacts { auto_rotate_s: 3_600, ..KeyFacts::sound() }, versions: vec![2] },
        KeySeen::SoftDeleted { facts: KeyFacts::sound() },
        KeySeen::Missing,
        KeySeen::Denied { why: "permission denied".into() },
        KeySeen::Elsewhere { why: "no handler for route".into() },
    ] refused by ["openbao"]
}

/// See [`ReadKey`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ending", rename_all = "kebab-case")]
pub enum KeySeen {
    /// Every recorded version that is told of was made when it is recorded to have been.
    Original {
        /// The key.
        facts: KeyFacts,
    },
    /// It is there, and nothing recorded tells whether it is the original.
    Unrecorded {
        /// The key.
        facts: KeyFacts,
    },
    /// Versions were made at another time than recorded: another key under the same name, or metadata that was changed.
    Altered {
        /// The key.
        facts: KeyFacts,
        /// Which versions.
        versions: Vec<u64>,
    },
    /// Versions that must be there are not told of.
    Incomplete {
        /// The key.
        facts: KeyFacts,
        /// Which versions.
        versions: Vec<u64>,
    },
    /// It bears the mark of a soft deletion, which can be taken off.
    SoftDeleted {
        /// The key.
        facts: KeyFacts,
    },
    /// There is none of that name.
    Missing,
    /// The token may not read it.
    Denied {
        /// What OpenBao says.
        why: String,
    },
    /// There is no Transit at that mount, or no such namespace.
    Elsewhere {
        /// What OpenBao says.
        why: String,
    },
}
event!(KeySeen {
    KeySeen::Original { .. } => "original",
    KeySeen::Unrecorded { .. } => "unrecorded",
    KeySeen::Altered { .. } => "altered",
    KeySeen::Incomplete { .. } => "incomplete",
    KeySeen::SoftDeleted { .. } => "soft-deleted",
    KeySeen::Missing => "missing",
    KeySeen::Denied { .. } => "denied",
    KeySeen::Elsewhere { .. } => "elsewhere",
});

/// What came of a change: it was made and read again, or was so already.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ending", rename_all = "kebab-case")]
pub enum KeyChanged {
    /// It is so now.
    Changed,
}
event!(KeyChanged { KeyChanged::Changed => "changed" });

effect! {
    /// Take the mark of a soft deletion off the key. Idempotent: a key without it stays as it is.
    RestoreKey {} = "restore-key", Idempotent, 20_000, 3 => KeyChanged;
    _this: "take the mark of the soft deletion off the key".into();
    [KeyChanged::Changed] refused by ["openbao"]
}

effect! {
    /// The key can no longer be deleted. Idempotent.
    ForbidDeletion {} = "forbid-deletion", Idempotent, 20_000, 3 => KeyChanged;
    _this: "forbid the deletion of the key".into();
    [KeyChanged::Changed] refused by ["openbao"]
}

effect! {
    /// The key is no longer rotated by itself. Idempotent.
    StopRotation {} = "stop-rotation", Idempotent, 20_000, 3 => KeyChanged;
    _this: "stop the key's automatic rotation".into();
    [KeyChanged::Changed] refused by ["openbao"]
}

effect! {
    /// Encrypting no longer makes keys that are not there. Idempotent.
    DisableUpsert {} = "disable-upsert", Idempotent, 20_000, 3 => KeyChanged;
    _this: "make encrypting with a key that is not there fail".into();
    [KeyChanged::Changed] refused by ["openbao"]
}

effect! {
    /// Versions from the recorded one on decrypt again. Idempotent: the adapter lowers only, and only to what is recorded.
    LowerDecryption {
        /// What it is lowered to.
        to: u64,
    } = "lower-decryption", Idempotent, 20_000, 3 => KeyChanged;
    this: format!("lower min_decryption_version to {}", this.to);
    [KeyChanged::Changed] refused by ["openbao"]
}

effect! {
    /// Versions from the recorded one on encrypt again. Idempotent, as [`LowerDecryption`].
    LowerEncryption {
        /// What it is lowered to.
        to: u64,
    } = "lower-encryption", Idempotent, 20_000, 3 => KeyChanged;
    this: format!("lower min_encryption_version to {}", this.to);
    [KeyChanged::Changed] refused by ["openbao"]
}

effect! {
    /// Take a raft snapshot of OpenBao into the configured folder, before a person restores another. Idempotent: it is named after
    /// the run, and one that is whole stays.
    TakeSnapshot {} = "take-snapshot", Idempotent, 120_000, 2 => SnapshotTaken;
    _this: "take a raft snapshot of OpenBao as it is now".into();
    [
        SnapshotTaken::Taken { path: "/var/lib/recover-snapshots/run.snap".into(), sha256: "0".repeat(64) },
        SnapshotTaken::Impossible { why: "its storage is not raft".into() },
    ] refused by ["openbao"]
}

/// See [`TakeSnapshot`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ending", rename_all = "kebab-case")]
pub enum SnapshotTaken {
    /// It lies there.
    Taken {
        /// Where.
        path: String,
        /// Its digest.
        sha256: String,
    },
    /// This OpenBao has none to give, or the configuration names no folder.
    Impossible {
        /// Why.
        why: String,
    },
}
event!(SnapshotTaken { SnapshotTaken::Taken { .. } => "taken", SnapshotTaken::Impossible { .. } => "impossible" });

#[cfg(test)]
mod tests {
    use recover_engine::{Effect as _, Outcome};

    use super::{KeyFacts, KeySeen, ReadKey};

    /// The key has three versions.
    #[test]
    fn a_version_is_a_finding_only_where_it_is_beyond_the_latest() {
        let with = |change: fn(&mut KeyFacts, u64), version| {
            let mut facts = KeyFacts::sound();
            change(&mut facts, version);
            facts.findings().len()
        };
        let all: [fn(&mut KeyFacts, u64); 3] = [
            |facts, version| facts.min_encryption = version,
            |facts, version| facts.min_decryption = version,
            |facts, version| facts.min_available = version,
        ];
        for change in all {
            assert_eq!([2, 3, 4].map(|version| with(change, version)), [0, 0, 1]);
        }
    }

    #[test]
    fn every_ending_is_read_as_it_was_written() {
        for ending in (ReadKey {}).endings() {
            let Outcome::Happened(seen) = ending else { continue };
            let text = serde_json::to_string(&seen).unwrap();
            assert_eq!(serde_json::from_str::<KeySeen>(&text).unwrap(), seen, "{text}");
        }
    }
}
