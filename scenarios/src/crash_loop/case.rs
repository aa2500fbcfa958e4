//! What a run knows and has done: carried through every state, changed only by the transitions in `states`.

use recover_engine::{Ending, Verdict, Workload};
use serde::{Deserialize, Serialize};

use crate::validation::Validated;

/// What a run is begun with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// How long the workload is watched before it is said not to loop, and the wait on either side of the validation restart, in
    /// milliseconds.
    pub observe_ms: u64,
    /// For how long it must live and be online after its one start, in milliseconds: the table's ten minutes.
    pub steady_ms: u64,
    /// How long to wait for the connector to be online, in milliseconds.
    pub online_within_ms: u64,
    /// How long a person has to answer, in milliseconds.
    pub answer_within_ms: u64,
    /// The alert that led here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert: Option<String>,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            observe_ms: 30_000,
            steady_ms: 600_000,
            online_within_ms: 30_000,
            answer_within_ms: 24 * 3_600_000,
            alert: None,
        }
    }
}

/// What was seen of the loop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loop {
    /// How often it was started again so far, where whoever runs it counts.
    pub(super) restarts: Option<u32>,
    /// The last line of its log.
    pub(super) says: String,
    /// Its log says that the control plane is not trusted.
    pub(super) untrusted: bool,
}

/// What is left of the workload at an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    Looping,
    Stopped,
    Running,
    Unknown,
}

/// What a run knows and has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    pub(super) params: Params,
    pub(super) found: Loop,
    /// The identity on the storage, once it was looked at.
    pub(super) serial: Option<String>,
    /// What has become of the workload.
    pub(super) left: Left,
}

impl Case {
    pub(super) const fn new(params: Params, found: Loop) -> Self {
        Self { params, found, serial: None, left: Left::Looping }
    }

    /// The end. Whatever is held stopped stays so: a start before the cause is known would be the next turn of the loop.
    pub(super) fn ending(&self, verdict: Verdict, reason: impl Into<String>) -> Ending {
        let mut residue = Vec::new();
        let left = match self.left {
            Left::Looping => "running",
            Left::Stopped => {
                let times = self.found.restarts.map(|n| format!(" after {n} restarts")).unwrap_or_default();
                residue.push(format!(
                    "the workload was found in a loop{times} and is held stopped; its log said last: {}",
                    self.found.says
                ));
                "stopped"
            }
            Left::Running => "running",
            Left::Unknown => {
                residue
                    .push("the workload was stopped or started in the middle of this; look whether it runs".to_owned());
                "unknown"
            }
        };
        let workload = Workload { found: "running".into(), left: left.into() };
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
