//! What a run knows and has done: carried through every state, changed only by the transitions in `states`.

use recover_engine::{Ending, Verdict, Workload};
use recover_steps::Instance;
use serde::{Deserialize, Serialize};

use crate::validation::Validated;

/// What a run is begun with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The runbook's wait: before the repair, to watch what heals by itself, and on either side of a restart, in
    /// milliseconds.
    pub observe_ms: u64,
    /// How long to wait for the connector to be online, in milliseconds.
    pub online_within_ms: u64,
    /// The alert that led here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert: Option<String>,
}

impl Default for Params {
    fn default() -> Self {
        Self { observe_ms: 30_000, online_within_ms: 30_000, alert: None }
    }
}

/// What was seen of a connector whose identity is intact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    pub(super) serial: String,
    pub(super) status: String,
    pub(super) running: Option<Instance>,
    pub(super) last_seen: Option<String>,
}

/// What a run knows and has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    pub(super) params: Params,
    /// The identity and the last heartbeat before the run: together the name of this outage.
    epoch: String,
    /// As it was seen last.
    pub(super) seen: Sighting,
    found_running: bool,
    /// The repair was attempted.
    pub(super) repaired: bool,
    /// The validation restart was attempted.
    pub(super) restarted: bool,
}

impl Case {
    pub(super) fn new(params: Params, seen: Sighting) -> Self {
        let epoch = format!("{}@{}", seen.serial, seen.last_seen.as_deref().unwrap_or("never"));
        let found_running = seen.running.is_some();
        Self { params, epoch, seen, found_running, repaired: false, restarted: false }
    }

    /// The outage.
    #[must_use]
    pub fn epoch(&self) -> &str {
        &self.epoch
    }

    /// The end. What was tried and what is left is said, whatever the verdict.
    pub(super) fn ending(&self, verdict: Verdict, reason: impl Into<String>) -> Ending {
        let mut residue = Vec::new();
        if verdict != Verdict::Recovered && self.repaired {
            residue.push(if self.found_running {
                "the workload was restarted once to repair it, and is not started or stopped again".to_owned()
            } else {
                "the workload was found stopped and was started once; it is left as it is".to_owned()
            });
        }
        if verdict != Verdict::Recovered && self.restarted {
            residue.push("the workload was restarted once to validate, and that was not completed".into());
        }
        let word = |running: bool| if running { "running" } else { "stopped" };
        let left = match (self.repaired, verdict) {
            (false, _) => word(self.found_running),
            (true, Verdict::Recovered) => "running",
            (
                true,
                Verdict::GivenUp
                | Verdict::Cancelled
                | Verdict::NotApplicable
                | Verdict::GuardRefused
                | Verdict::Abandoned,
            ) => "unknown",
        };
        let workload = Workload { found: word(self.found_running).into(), left: left.into() };
        Ending { residue, workload: Some(workload), ..Ending::new(verdict, reason) }
    }
}

impl Validated for Case {
    fn observe_ms(&self) -> u64 {
        self.params.observe_ms
    }

    fn online_within_ms(&self) -> u64 {
        self.params.online_within_ms
    }

    fn alert(&self) -> Option<String> {
        self.params.alert.clone()
    }
}
