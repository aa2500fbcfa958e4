//! Where a new pairing makes a new agent: what hangs below the old one is moved, and the old one is evicted.

use recover_engine::{Effect, Idempotent, Outcome};
use serde::{Deserialize, Serialize};

use crate::{event, refused};

/// Give the connector's stable name to the new agent, and move what hangs below the old one to that name.
///
/// Idempotent: a name that is given is not given again, and what was moved is not there to be moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reparent {
    /// The lost identity.
    pub from: String,
    /// The new one.
    pub serial: String,
}

/// See [`Reparent`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ending", rename_all = "kebab-case")]
pub enum Reparented {
    /// Nothing hangs below the old agent any more.
    Reparented {
        /// How many entries were moved by this attempt.
        entries: u32,
    },
    /// The authority knows its agents by a name that stays.
    NotNeeded,
}
event!(Reparented { Reparented::Reparented { .. } => "reparented", Reparented::NotNeeded => "not-needed" });

impl Effect for Reparent {
    const NAME: &'static str = "reparent";
    type Event = Reparented;
    type Redo = Idempotent;
    const TIMEOUT_MS: u64 = 60_000;
    const ATTEMPTS: u32 = 5;
    fn summary(&self) -> String {
        format!("move what belonged to agent {} to the connector's stable name, which {} gets", self.from, self.serial)
    }
    fn endings(&self) -> Vec<Outcome<Reparented>> {
        vec![
            Outcome::Happened(Reparented::Reparented { entries: 1 }),
            Outcome::Happened(Reparented::NotNeeded),
            refused("authority"),
        ]
    }
}

/// Evict the old agent, once the new one is validated.
///
/// Idempotent: an agent that is not there is evicted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evict {
    /// The lost identity.
    pub from: String,
    /// The new one.
    pub serial: String,
}

/// See [`Evict`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ending", rename_all = "kebab-case")]
pub enum Evicted {
    /// The authority does not list it any more.
    Evicted,
    /// The authority keeps no agent of its own for each identity.
    NotNeeded,
}
event!(Evicted { Evicted::Evicted => "evicted", Evicted::NotNeeded => "not-needed" });

impl Effect for Evict {
    const NAME: &'static str = "evict";
    type Event = Evicted;
    type Redo = Idempotent;
    const TIMEOUT_MS: u64 = 20_000;
    const ATTEMPTS: u32 = 5;
    fn summary(&self) -> String {
        format!("evict the old agent {}, now that {} has its place", self.from, self.serial)
    }
    fn endings(&self) -> Vec<Outcome<Evicted>> {
        vec![Outcome::Happened(Evicted::Evicted), Outcome::Happened(Evicted::NotNeeded), refused("authority")]
    }
}
