//! A workload that ends again and again: watching whether it does, with its log captured before anybody touches it.

use recover_engine::{Effect, Outcome, Pure};
use serde::{Deserialize, Serialize};

use crate::workload::Instance;
use crate::{event, refused};

/// Capture the log, and watch whether the workload ends and is started again. Changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchLoop {
    /// For how long, in milliseconds. A loop that is seen earlier is told at once.
    pub within_ms: u64,
}

/// See [`WatchLoop`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ending", rename_all = "kebab-case")]
pub enum Watched {
    /// It ended and was started again while it was watched, or waits to be.
    Looping {
        /// How often it was started again so far, where whoever runs it counts.
        restarts: Option<u32>,
        /// The last line of its log.
        says: String,
        /// Whether its log says that the control plane's certificate is not trusted.
        untrusted: bool,
    },
    /// It lived through all of it.
    Steady {
        /// Which life.
        instance: Instance,
    },
    /// Nothing of it ran at any time, and nobody was about to start it.
    Stopped,
}
event!(Watched {
    Watched::Looping { .. } => "looping",
    Watched::Steady { .. } => "steady",
    Watched::Stopped => "stopped",
});

impl Effect for WatchLoop {
    const NAME: &'static str = "watch-loop";
    type Event = Watched;
    type Redo = Pure;
    const TIMEOUT_MS: u64 = 60_000;
    const ATTEMPTS: u32 = 3;
    fn summary(&self) -> String {
        "capture the log, and watch whether the workload ends again and again".into()
    }
    fn endings(&self) -> Vec<Outcome<Watched>> {
        let looping = |untrusted| Watched::Looping { restarts: Some(7), says: "exited".into(), untrusted };
        let seen =
            [looping(false), looping(true), Watched::Steady { instance: Instance("1".into()) }, Watched::Stopped];
        seen.into_iter().map(Outcome::Happened).chain([refused("workload")]).collect()
    }
    fn timeout_ms(&self) -> u64 {
        self.within_ms.saturating_add(30_000)
    }
}
