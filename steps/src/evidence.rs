//! Proving the end, and keeping what proves it.

use recover_engine::{Effect, Outcome, Pure};
use serde::{Deserialize, Serialize};

use crate::workload::Instance;
use crate::{event, refused};

/// Look whether the restarted workload is online, in this life, with this identity on its storage and no token in sight.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validate {
    /// The identity.
    pub serial: String,
    /// The life that the validation restart began.
    pub instance: Instance,
}

/// See [`Validate`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ending", rename_all = "kebab-case")]
pub enum Validated {
    /// All of it holds.
    Validated {
        /// A fingerprint of the identity's public part on the storage.
        fingerprint: String,
    },
    /// Something does not.
    Invalid {
        /// What.
        why: String,
    },
}
event!(Validated { Validated::Validated { .. } => "validated", Validated::Invalid { .. } => "invalid" });

impl Effect for Validate {
    const NAME: &'static str = "validate";
    type Event = Validated;
    type Redo = Pure;
    const TIMEOUT_MS: u64 = 20_000;
    const ATTEMPTS: u32 = 4;
    fn summary(&self) -> String {
        format!("validate: online with identity {} from its storage, without a token", self.serial)
    }
    fn endings(&self) -> Vec<Outcome<Validated>> {
        vec![
            Outcome::Happened(Validated::Validated { fingerprint: "f".into() }),
            Outcome::Happened(Validated::Invalid { why: "the identity is not on the storage".into() }),
            refused("authority"),
        ]
    }
}

/// Capture the status after, the log line that proves the reconnect, and the audit entries of the window that the run
/// opened when it began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capture {
    /// The identity.
    pub serial: String,
    /// The alert that led here.
    pub alert: Option<String>,
}

/// See [`Capture`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ending", rename_all = "kebab-case")]
pub enum Captured {
    /// It is with the record.
    Captured {
        /// The status at the authority.
        status: String,
        /// Log lines and audit entries captured.
        texts: u32,
    },
}
event!(Captured { Captured::Captured { .. } => "captured" });

impl Effect for Capture {
    const NAME: &'static str = "capture-evidence";
    type Event = Captured;
    type Redo = Pure;
    const TIMEOUT_MS: u64 = 30_000;
    const ATTEMPTS: u32 = 3;
    fn summary(&self) -> String {
        "capture the evidence: status, log line, audit entries".into()
    }
    fn endings(&self) -> Vec<Outcome<Captured>> {
        vec![Outcome::Happened(Captured::Captured { status: "online".into(), texts: 2 }), refused("authority")]
    }
}
