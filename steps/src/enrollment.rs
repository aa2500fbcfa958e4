//! A connector that never paired: why it did not, and the CA bundle that it trusts. Nothing in these types is a secret.

use recover_engine::{Effect, Idempotent, Outcome, Pure};
use serde::{Deserialize, Serialize};

use crate::workload::Instance;
use crate::{event, refused};

/// Ask the authority what became of the connector's tokens, and look at clock, trust and workload. Changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InspectEnrollment {}

/// A connector that never paired, as it was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unpaired {
    /// What keeps it from pairing, in words.
    pub why: String,
    /// The life that runs, if any does.
    pub running: Option<Instance>,
}

/// See [`InspectEnrollment`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ending", rename_all = "kebab-case")]
pub enum Enrollment {
    /// An identity was issued to it before, so this is no first boot.
    Paired {
        /// Its serial.
        serial: String,
        /// Whether it is on the storage.
        there: bool,
    },
    /// The clock here is off the authority's by more than tokens and certificates bear.
    Skewed {
        /// By how much ours is behind, in milliseconds.
        off_ms: i64,
    },
    /// It does not trust the control plane, or more than it was told to.
    Untrusted {
        /// What was found.
        found: Unpaired,
        /// Whether a bundle with fingerprints that were told out of band is configured.
        pinned: bool,
    },
    /// Nobody presented its token in time, or it has none.
    Expired(Unpaired),
    /// Its token was taken back, and not by a run of this program.
    Revoked(Unpaired),
    /// Its token was presented, and no identity came of it: the request for a certificate was refused.
    Denied(Unpaired),
    /// A token would work, and nobody presented it.
    Outstanding(Unpaired),
    /// What was seen contradicts itself.
    Unclear {
        /// What.
        why: String,
    },
}
event!(Enrollment {
    Enrollment::Paired { .. } => "paired",
    Enrollment::Skewed { .. } => "skewed",
    Enrollment::Untrusted { .. } => "untrusted",
    Enrollment::Expired(_) => "expired",
    Enrollment::Revoked(_) => "revoked",
    Enrollment::Denied(_) => "denied",
    Enrollment::Outstanding(_) => "outstanding",
    Enrollment::Unclear { .. } => "unclear",
});

impl Effect for InspectEnrollment {
    const NAME: &'static str = "inspect-enrollment";
    type Event = Enrollment;
    type Redo = Pure;
    const TIMEOUT_MS: u64 = 30_000;
    const ATTEMPTS: u32 = 3;
    fn summary(&self) -> String {
        "look why the connector never paired: its tokens at the authority, the clock, the CA bundle it trusts".into()
    }
    fn endings(&self) -> Vec<Outcome<Enrollment>> {
        let found =
            |running: bool| Unpaired { why: "token acc-1".into(), running: running.then(|| Instance("1".into())) };
        let mut endings = vec![
            Enrollment::Paired { serial: "s1".into(), there: true },
            Enrollment::Paired { serial: "s1".into(), there: false },
            Enrollment::Skewed { off_ms: 90_000 },
            Enrollment::Unclear { why: "an identity is there that was never issued".into() },
        ];
        for running in [true, false] {
            endings.extend([
                Enrollment::Expired(found(running)),
                Enrollment::Revoked(found(running)),
                Enrollment::Denied(found(running)),
                Enrollment::Outstanding(found(running)),
                Enrollment::Untrusted { found: found(running), pinned: true },
                Enrollment::Untrusted { found: found(running), pinned: false },
            ]);
        }
        endings.into_iter().map(Outcome::Happened).chain([refused("authority")]).collect()
    }
}

/// Put the CA bundle that was told out of band where the connector looks for it. Each of its certificates has a fingerprint
/// from the configuration; nothing is ever taken from the peer. What was there is kept beside it.
///
/// Idempotent: a bundle that is there already is not put there again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstallTrust {}

/// See [`InstallTrust`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ending", rename_all = "kebab-case")]
pub enum Installed {
    /// The connector's bundle is the pinned one, and the control plane is trusted with it and nothing else.
    Installed {
        /// Where what was there before is kept, if anything was.
        kept: Option<String>,
    },
}
event!(Installed { Installed::Installed { .. } => "installed" });

impl Effect for InstallTrust {
    const NAME: &'static str = "install-trust";
    type Event = Installed;
    type Redo = Idempotent;
    const TIMEOUT_MS: u64 = 30_000;
    const ATTEMPTS: u32 = 3;
    fn summary(&self) -> String {
        "install the CA bundle with the configured fingerprints where the connector looks for it".into()
    }
    fn endings(&self) -> Vec<Outcome<Installed>> {
        vec![
            Outcome::Happened(Installed::Installed { kept: Some("/ca.crt.before-1".into()) }),
            Outcome::Happened(Installed::Installed { kept: None }),
            refused("storage"),
        ]
    }
}
