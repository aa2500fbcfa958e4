//! The few changes there are, each in the direction that loses nothing.

use serde_json::{Value, json};

use super::model::Key;
use super::request::{Paths, Request};

/// A change of a key, or of the mount's setting for keys. What is not here cannot be asked for: none makes, deletes, trims or
/// rotates a key, none allows more than before, and none raises a lowest version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change(Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Restore,
    ForbidDeletion,
    StopRotation,
    LowerDecryption(u64),
    LowerEncryption(u64),
    DisableUpsert,
}

impl Change {
    /// Takes the mark of a soft deletion off the key.
    #[must_use]
    pub const fn restore() -> Self {
        Self(Kind::Restore)
    }

    /// The key can no longer be deleted.
    #[must_use]
    pub const fn forbid_deletion() -> Self {
        Self(Kind::ForbidDeletion)
    }

    /// The key is no longer rotated by itself.
    #[must_use]
    pub const fn stop_rotation() -> Self {
        Self(Kind::StopRotation)
    }

    /// Encrypting no longer makes keys that are not there.
    #[must_use]
    pub const fn disable_upsert() -> Self {
        Self(Kind::DisableUpsert)
    }

    /// Versions from the recorded one on decrypt again. `None` unless that is less than now, and versions from it on are there.
    #[must_use]
    pub fn lower_decryption(recorded: u64, key: &Key) -> Option<Self> {
        below(recorded, key, key.min_decryption_version).then_some(Self(Kind::LowerDecryption(recorded)))
    }

    /// Versions from the recorded one on encrypt again. `None` unless that is less than now, and no less than what decrypts.
    /// Zero means the latest version alone: it is nothing to lower to or from.
    #[must_use]
    pub fn lower_encryption(recorded: u64, key: &Key) -> Option<Self> {
        let below = recorded >= key.min_decryption_version && below(recorded, key, key.min_encryption_version);
        below.then_some(Self(Kind::LowerEncryption(recorded)))
    }

    /// Whether what was asked for is so.
    #[must_use]
    pub fn holds(self, key: &Key, disable_upsert: bool) -> bool {
        match self.0 {
            Kind::Restore => !key.soft_deleted,
            Kind::ForbidDeletion => !key.deletion_allowed,
            Kind::StopRotation => key.auto_rotate_period == 0,
            Kind::LowerDecryption(to) => key.min_decryption_version <= to,
            Kind::LowerEncryption(to) => key.min_encryption_version <= to,
            Kind::DisableUpsert => disable_upsert,
        }
    }

    /// Whether it is the mount's setting and not the key's.
    pub(super) const fn is_of_the_mount(self) -> bool {
        matches!(self.0, Kind::DisableUpsert)
    }

    pub(super) const fn restores(self) -> bool {
        matches!(self.0, Kind::Restore)
    }

    pub(super) fn request(self, paths: &Paths) -> Request {
        let post = |path: &str, body: Value| Request::post(path.to_owned(), paths.namespace.clone(), body);
        match self.0 {
            Kind::Restore => post(&paths.restore, json!({})),
            Kind::ForbidDeletion => post(&paths.key_config, json!({ "deletion_allowed": false })),
            Kind::StopRotation => post(&paths.key_config, json!({ "auto_rotate_period": 0 })),
            Kind::LowerDecryption(to) => post(&paths.key_config, json!({ "min_decryption_version": to })),
            Kind::LowerEncryption(to) => post(&paths.key_config, json!({ "min_encryption_version": to })),
            Kind::DisableUpsert => post(&paths.keys_config, json!({ "disable_upsert": true })),
        }
    }
}

fn below(recorded: u64, key: &Key, now: u64) -> bool {
    recorded >= 1 && recorded >= key.min_available_version && recorded < now
}
