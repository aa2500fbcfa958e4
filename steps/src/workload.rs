//! Stopping, proving, starting and restarting the workload.

use recover_engine::{Effect, Idempotent, Outcome, Pure};
use serde::{Deserialize, Serialize};

use crate::{event, refused};

/// One life of a workload: for a process its pid, start time and boot id; for a container its id and start time. Two lives
/// never have the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Instance(pub String);

/// Stop the workload and everything it started.
///
/// Idempotent: stopping what is stopped changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {}

/// See [`Stop`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ending", rename_all = "kebab-case")]
pub enum Stopped {
    /// Nothing of it runs.
    Stopped,
}
event!(Stopped { Stopped::Stopped => "stopped" });

impl Effect for Stop {
    const NAME: &'static str = "stop";
    type Event = Stopped;
    type Redo = Idempotent;
    const TIMEOUT_MS: u64 = 30_000;
    const ATTEMPTS: u32 = 3;
    fn summary(&self) -> String {
        "stop the workload".into()
    }
    fn endings(&self) -> Vec<Outcome<Stopped>> {
        vec![Outcome::Happened(Stopped::Stopped), refused("workload")]
    }
}

/// Look whether anything of the workload runs. Asked again right before each credential change, since restart policies,
/// autoscalers and people undo a stop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProveStopped {}

/// See [`ProveStopped`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ending", rename_all = "kebab-case")]
pub enum Proven {
    /// Nothing of it runs.
    Stopped,
    /// Something does.
    Running {
        /// What.
        what: String,
    },
}
event!(Proven { Proven::Stopped => "stopped", Proven::Running { .. } => "running" });

impl Effect for ProveStopped {
    const NAME: &'static str = "prove-stopped";
    type Event = Proven;
    type Redo = Pure;
    const TIMEOUT_MS: u64 = 10_000;
    const ATTEMPTS: u32 = 3;
    fn summary(&self) -> String {
        "prove that nothing of the workload runs".into()
    }
    fn endings(&self) -> Vec<Outcome<Proven>> {
        vec![
            Outcome::Happened(Proven::Stopped),
            Outcome::Happened(Proven::Running { what: "pid 1".into() }),
            refused("workload"),
        ]
    }
}

/// Start the workload, without a token.
///
/// Idempotent: the launch is serialised by a lock that the starting child holds until it can be found, so a workload that
/// runs is never started again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {}

/// See [`Start`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ending", rename_all = "kebab-case")]
pub enum Started {
    /// It runs.
    Started {
        /// Which life.
        instance: Instance,
    },
}
event!(Started { Started::Started { .. } => "started" });

impl Effect for Start {
    const NAME: &'static str = "start";
    type Event = Started;
    type Redo = Idempotent;
    const TIMEOUT_MS: u64 = 30_000;
    const ATTEMPTS: u32 = 3;
    fn summary(&self) -> String {
        "start the workload".into()
    }
    fn endings(&self) -> Vec<Outcome<Started>> {
        vec![Outcome::Happened(Started::Started { instance: Instance("2".into()) }), refused("workload")]
    }
}

/// End one life of the workload and begin the next, without a token.
///
/// Idempotent, because it names the life that is to end: if another one runs already, the restart has been done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restart {
    /// The life that is to end.
    pub from: Instance,
}

/// See [`Restart`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ending", rename_all = "kebab-case")]
pub enum Restarted {
    /// Another life runs.
    Restarted {
        /// Which.
        instance: Instance,
    },
}
event!(Restarted { Restarted::Restarted { .. } => "restarted" });

impl Effect for Restart {
    const NAME: &'static str = "restart";
    type Event = Restarted;
    type Redo = Idempotent;
    const TIMEOUT_MS: u64 = 60_000;
    const ATTEMPTS: u32 = 3;
    fn summary(&self) -> String {
        "restart the workload once, to validate".into()
    }
    fn endings(&self) -> Vec<Outcome<Restarted>> {
        vec![Outcome::Happened(Restarted::Restarted { instance: Instance("3".into()) }), refused("workload")]
    }
}

/// End one life of the workload and begin the next, or start it where none runs: the one repair of an outage, without a token.
///
/// Idempotent, for the reasons of [`Restart`] and of [`Start`]: it names the life that is to end, and a workload that runs is
/// not started again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repair {
    /// The life that is to end; none where nothing runs.
    pub from: Option<Instance>,
}

/// See [`Repair`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ending", rename_all = "kebab-case")]
pub enum Repaired {
    /// A life runs that is not the one that was to end.
    Repaired {
        /// Which.
        instance: Instance,
    },
}
event!(Repaired { Repaired::Repaired { .. } => "repaired" });

impl Effect for Repair {
    const NAME: &'static str = "repair";
    type Event = Repaired;
    type Redo = Idempotent;
    const TIMEOUT_MS: u64 = 60_000;
    const ATTEMPTS: u32 = 3;
    fn summary(&self) -> String {
        match self.from {
            Some(_) => "restart the workload once, to repair".into(),
            None => "start the workload once, to repair".into(),
        }
    }
    fn endings(&self) -> Vec<Outcome<Repaired>> {
        vec![Outcome::Happened(Repaired::Repaired { instance: Instance("2".into()) }), refused("workload")]
    }
}
