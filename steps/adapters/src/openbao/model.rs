//! What OpenBao says of itself, of a token and of a key.

use std::collections::BTreeMap;
use std::ops::Deref;

use serde::{Deserialize, Deserializer, de};

/// A key as OpenBao told of it. Only what was read from one is a `Key`, so that nobody lowers from a number of his own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key(KeyFields);

impl Key {
    pub(super) const fn read(fields: KeyFields) -> Self {
        Self(fields)
    }
}

impl Deref for Key {
    type Target = KeyFields;
    fn deref(&self) -> &KeyFields {
        &self.0
    }
}

/// Everything that reading a key tells. A field that is missing makes the answer unusable: nothing is taken for safe by default.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "OpenBao's own fields")]
#[non_exhaustive]
pub struct KeyFields {
    /// Its name.
    pub name: String,
    /// Such as `aes256-gcm96`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether keys are derived from a context.
    pub derived: bool,
    /// Whether it can be deleted.
    pub deletion_allowed: bool,
    /// Whether its material can be read out.
    pub exportable: bool,
    /// Whether it can be backed up in plain text.
    pub allow_plaintext_backup: bool,
    /// Versions below were trimmed and are gone. 0: none was.
    pub min_available_version: u64,
    /// Versions below do not decrypt, and are not in `keys`.
    pub min_decryption_version: u64,
    /// Versions below do not encrypt. 0: the latest alone does.
    pub min_encryption_version: u64,
    /// The latest.
    pub latest_version: u64,
    /// Whether it encrypts.
    pub supports_encryption: bool,
    /// Whether it decrypts.
    pub supports_decryption: bool,
    /// Whether it signs.
    pub supports_signing: bool,
    /// Whether keys can be derived from it.
    pub supports_derivation: bool,
    /// After how many seconds it is rotated by itself. 0: never.
    pub auto_rotate_period: u64,
    /// Whether it was imported.
    pub imported_key: bool,
    /// Whether it bears the mark of a soft deletion.
    pub soft_deleted: bool,
    /// Whether equal plaintexts give equal ciphertexts; only told of derived keys.
    #[serde(default)]
    pub convergent_encryption: bool,
    /// How keys are derived; only told of derived keys.
    #[serde(default)]
    pub kdf: Option<String>,
    /// Its size, where the type has several.
    #[serde(default)]
    pub key_size: Option<u64>,
    /// When it was last backed up.
    #[serde(default)]
    pub backup_info: Option<Moved>,
    /// When it was restored from a backup.
    #[serde(default)]
    pub restore_info: Option<Moved>,
    /// When its versions were made, in seconds since 1970: the only thing that tells a key from another of the same name.
    #[serde(rename = "keys", deserialize_with = "created")]
    pub versions: BTreeMap<u64, i64>,
}

/// That a key was backed up, or restored.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Moved {
    /// When, as OpenBao writes it.
    pub time: serde_json::Value,
    /// Up to which version.
    pub version: u64,
}

fn created<'de, D: Deserializer<'de>>(d: D) -> Result<BTreeMap<u64, i64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Created {
        Symmetric(i64),
        Asymmetric { creation_time: String },
    }
    let mut versions = BTreeMap::new();
    for (version, created) in BTreeMap::<String, Created>::deserialize(d)? {
        let number = version.parse::<u64>().ok().filter(|n| *n >= 1 && n.to_string() == version);
        let number = number.ok_or_else(|| de::Error::custom("a version is no number"))?;
        let at = match created {
            Created::Symmetric(at) => Some(at),
            Created::Asymmetric { creation_time } => crate::time::parse(&creation_time).map(|at| at.0 / 1_000),
        };
        versions.insert(number, at.ok_or_else(|| de::Error::custom("a time of creation is none"))?);
    }
    Ok(versions)
}

/// How OpenBao is, as a node says without being shown a token.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Health {
    /// Whether it was ever set up.
    pub initialized: bool,
    /// Whether it is sealed.
    pub sealed: bool,
    /// Whether it is not the active node.
    pub standby: bool,
    /// Its clock, in seconds since 1970.
    pub server_time_utc: i64,
    /// Its version.
    pub version: String,
    /// Which cluster; not told while sealed.
    #[serde(default)]
    pub cluster_id: Option<String>,
}

/// How its seal, or a namespace's, is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct SealStatus {
    /// Such as `shamir`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether it was ever set up.
    pub initialized: bool,
    /// Whether it is sealed.
    pub sealed: bool,
    /// How many shares unseal it.
    pub t: u64,
    /// How many shares there are.
    pub n: u64,
    /// How many were entered so far.
    pub progress: u64,
}

/// Our token, without the token.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Token {
    /// Names it, and can do nothing else.
    pub accessor: String,
    /// Its policies.
    #[serde(default)]
    pub policies: Vec<String>,
    /// For how many seconds it is still good. 0 with a root token: for ever.
    pub ttl: u64,
    /// How many requests it is still good for. 0: without limit.
    pub num_uses: u64,
}
