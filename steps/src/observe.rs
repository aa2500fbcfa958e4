//! Looking at the connector: what is wrong, and whether it came back.

use recover_engine::{Effect, Outcome, Pure};
use serde::{Deserialize, Serialize};

use crate::workload::Instance;
use crate::{event, refused};

/// Ask the authority and look at the workload and its storage. Changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observe {}

/// A connector that paired before and has no usable identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// The serial of the identity that the authority issued last: the name of this loss.
    pub epoch: String,
    /// The life that runs, if any does.
    pub running: Option<Instance>,
    /// The status at the authority, in its words.
    pub status: String,
    /// The serial of an identity that is on the storage and is not that one.
    pub foreign: Option<String>,
}

/// See [`Observe`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ending", rename_all = "kebab-case")]
pub enum Observed {
    /// It paired before; its identity is gone, or is not the one that the authority knows.
    Lost(Loss),
    /// The identity that the authority knows is on the storage and can be read.
    Usable {
        /// The status at the authority.
        status: String,
        /// Whether it is online: then nothing is wrong.
        online: bool,
        /// The serial of the identity. Empty in records from before it was noted.
        #[serde(default)]
        serial: String,
        /// The life that runs, if any does.
        #[serde(default)]
        running: Option<Instance>,
        /// When the authority last heard of it, in its words: the name of this outage.
        #[serde(default)]
        last_seen: Option<String>,
    },
    /// The authority never issued it an identity.
    NeverPaired {
        /// The status at the authority.
        status: String,
    },
    /// What was seen contradicts itself, or the identity is there and cannot be read.
    Unclear {
        /// What.
        why: String,
    },
}
event!(Observed {
    Observed::Lost(_) => "lost",
    Observed::Usable { .. } => "usable",
    Observed::NeverPaired { .. } => "never-paired",
    Observed::Unclear { .. } => "unclear",
});

impl Effect for Observe {
    const NAME: &'static str = "observe";
    type Event = Observed;
    type Redo = Pure;
    const TIMEOUT_MS: u64 = 20_000;
    const ATTEMPTS: u32 = 3;
    fn summary(&self) -> String {
        "observe the connector, its storage and the authority's view of it".into()
    }
    fn endings(&self) -> Vec<Outcome<Observed>> {
        let lost = |running: Option<&str>, foreign: Option<&str>| {
            Outcome::Happened(Observed::Lost(Loss {
                epoch: "s1".into(),
                running: running.map(|r| Instance(r.into())),
                status: "needs_recovery".into(),
                foreign: foreign.map(str::to_owned),
            }))
        };
        let usable = |status: &str, running: Option<&str>| {
            Outcome::Happened(Observed::Usable {
                status: status.into(),
                online: status == "online",
                serial: "s1".into(),
                running: running.map(|r| Instance(r.into())),
                last_seen: Some("2026-11-22T03:00:00.000Z".into()),
            })
        };
        vec![
            lost(Some("1"), None),
            lost(None, None),
            usable("online", Some("1")),
            usable("offline", Some("1")),
            usable("offline", None),
            usable("degraded", Some("1")),
            Outcome::Happened(Observed::NeverPaired { status: "never_paired".into() }),
            Outcome::Happened(Observed::Unclear { why: "permission denied".into() }),
            refused("authority"),
        ]
    }
}

/// Watch the authority until it says that the connector is online with this identity, in this life of the workload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AwaitOnline {
    /// The serial that must be presented.
    pub serial: String,
    /// The life that must present it.
    pub instance: Instance,
    /// How long it must stay online, in milliseconds: the runbook's wait on either side of a restart.
    pub observe_ms: u64,
    /// How long to wait for it, in milliseconds.
    pub within_ms: u64,
}

/// See [`AwaitOnline`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ending", rename_all = "kebab-case")]
pub enum Awaited {
    /// It was online for as long as it had to be.
    Online {
        /// The serial it presented.
        serial: String,
    },
    /// It was not, in the time that it had.
    NotOnline {
        /// The last status seen.
        status: String,
    },
}
event!(Awaited { Awaited::Online { .. } => "online", Awaited::NotOnline { .. } => "not-online" });

impl Effect for AwaitOnline {
    const NAME: &'static str = "await-online";
    type Event = Awaited;
    type Redo = Pure;
    const TIMEOUT_MS: u64 = 120_000;
    const ATTEMPTS: u32 = 3;
    fn summary(&self) -> String {
        format!("wait until the connector is online with identity {}", self.serial)
    }
    fn endings(&self) -> Vec<Outcome<Awaited>> {
        vec![
            Outcome::Happened(Awaited::Online { serial: self.serial.clone() }),
            Outcome::Happened(Awaited::NotOnline { status: "offline".into() }),
            refused("authority"),
        ]
    }
    fn timeout_ms(&self) -> u64 {
        self.within_ms.saturating_add(self.observe_ms).saturating_add(10_000)
    }
}
