//! What a run of any KMS procedure is begun with.

use recover_steps::kms::Node;
use serde::{Deserialize, Serialize};

/// What a run is begun with: the same for every procedure of the family.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The control-plane nodes, in the order in which they are worked on, one at a time.
    pub nodes: Vec<Node>,
    /// How long a provider may take to serve by itself, in milliseconds: its `deepProbeInterval` and `probeInterval`. 0: as long as the
    /// configuration of each says.
    pub serve_within_ms: u64,
    /// The wait before something is looked at again that may heal by itself, in milliseconds.
    pub settle_ms: u64,
    /// The wait for an API server to see that its KMS is back, in milliseconds: it asks every ten seconds, and keeps the answer for twenty.
    pub reconnect_ms: u64,
    /// How long a person has to answer, in milliseconds.
    pub answer_within_ms: u64,
    /// The alert that led here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert: Option<String>,
}

impl Default for Params {
    /// Without a node: whoever begins a run names them.
    fn default() -> Self {
        Self {
            nodes: Vec::new(),
            serve_within_ms: 0,
            settle_ms: 60_000,
            reconnect_ms: 40_000,
            answer_within_ms: 4 * 3_600_000,
            alert: None,
        }
    }
}

impl Params {
    /// Parameters with so many nodes, for the explorer.
    #[must_use]
    pub fn sample(nodes: u8) -> Self {
        Self { nodes: (1..=nodes).map(|n| Node(format!("cp-{n}"))).collect(), ..Self::default() }
    }
}
