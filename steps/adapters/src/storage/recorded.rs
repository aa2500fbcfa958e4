//! What a person recorded of a storage while all was well, and whether what is found elsewhere is the original.

use super::identity::Looked;
use crate::facts::{Facts, IDENTITY_FINGERPRINT, IDENTITY_SERIAL, STORAGE_FILE, STORAGE_ON, STORAGE_PATH};

/// What a baseline says of a storage.
#[derive(Debug)]
pub(super) struct Recorded {
    /// Where it was, as its kind of storage calls it.
    pub(super) place: String,
    serial: String,
    fingerprint: String,
    /// The directory or volume itself, and what it was on.
    pub(super) file: Option<String>,
    pub(super) on: Option<String>,
}

impl Recorded {
    /// Facts that are not all there say nothing.
    pub(super) fn of(facts: &Facts) -> Option<Self> {
        let fact = |name: &str| facts.get(name).cloned();
        Some(Self {
            place: fact(STORAGE_PATH)?,
            serial: fact(IDENTITY_SERIAL)?,
            fingerprint: fact(IDENTITY_FINGERPRINT)?,
            file: fact(STORAGE_FILE),
            on: fact(STORAGE_ON),
        })
    }

    fn disputes(&self, epoch: &str, fingerprint: &str) -> bool {
        self.serial == epoch && self.fingerprint != fingerprint
    }
}

/// Whether what was seen in a place is the lost identity, to be used again. An error where something else is there.
pub(super) fn is_original(looked: Looked, epoch: &str, recorded: Option<&Recorded>) -> Result<bool, String> {
    match looked {
        Looked::Absent => Ok(false),
        Looked::Unreadable(why) => Err(why),
        Looked::There(identity) if identity.serial != epoch => {
            Err(format!("it holds identity {}, not {epoch}", identity.serial))
        }
        Looked::There(identity) if identity.dead.is_some() => Err(format!("it holds identity {}", identity.shown())),
        Looked::There(identity) if recorded.is_some_and(|r| r.disputes(epoch, &identity.fingerprint())) => {
            Err(format!("it holds identity {epoch} with another fingerprint than the one that was recorded"))
        }
        Looked::There(_) => Ok(true),
    }
}
