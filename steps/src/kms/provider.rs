//! The provider on a node: its process, its socket, what it says of itself, and the proof at the end.

use recover_engine::{Idempotent, Pure};
use serde::{Deserialize, Serialize};

use super::{Layer, Node, effect};
use crate::event;
use crate::workload::Instance;

fn node() -> Node {
    Node("cp-1".into())
}

effect! {
    /// Look at a node's provider: process, socket as the API server would open it, `/live`, `/ready` with its body, and KMS v2's Status
    /// and Encrypt over the socket. Encrypts random bytes, and only where the key was read and upsert is disabled.
    LookNode {
        /// Which node.
        node: Node,
    } = "look-node", Pure, 30_000, 2 => NodeSeen;
    this: format!("look at the provider of {}: process, socket, readiness, Status and Encrypt", this.node);
    [
        NodeSeen::Serving { instance: Instance("1".into()), hash: "h".into() },
        NodeSeen::Stopped,
        NodeSeen::NoSocket { instance: Instance("1".into()), why: "no such file".into() },
        NodeSeen::Barred { instance: Instance("1".into()), why: "mode 0600".into() },
        NodeSeen::Unhealthy { instance: Instance("1".into()), reasons: vec!["metadata_read_failed".into()] },
        NodeSeen::Unhealthy { instance: Instance("1".into()), reasons: vec!["state_save_failed".into()] },
        NodeSeen::Degraded { instance: Instance("1".into()), hash: "h".into(), why: "persistence_degraded".into() },
        NodeSeen::Disagrees { instance: Instance("1".into()), status: "h".into(), encrypt: "i".into() },
        NodeSeen::Unclear { why: "half an answer".into() },
    ] refused by ["provider"]
}

/// See [`LookNode`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ending", rename_all = "kebab-case")]
pub enum NodeSeen {
    /// It is ready, and Status and Encrypt agree.
    Serving {
        /// Which life.
        instance: Instance,
        /// The digest of its key id.
        hash: String,
    },
    /// Nothing of it runs.
    Stopped,
    /// It runs, and nothing listens where the API server looks.
    NoSocket {
        /// Which life.
        instance: Instance,
        /// What is there instead.
        why: String,
    },
    /// Its socket cannot be opened by whom the API server runs as.
    Barred {
        /// Which life.
        instance: Instance,
        /// What bars it.
        why: String,
    },
    /// It answers, and is not well.
    Unhealthy {
        /// Which life.
        instance: Instance,
        /// Why, in its own words.
        reasons: Vec<String>,
    },
    /// It serves, and could not save what it must remember.
    Degraded {
        /// Which life.
        instance: Instance,
        /// The digest of its key id.
        hash: String,
        /// What it could not save.
        why: String,
    },
    /// Status and Encrypt name different keys: the API server discards what it encrypts.
    Disagrees {
        /// Which life.
        instance: Instance,
        /// The digest of Status's key id.
        status: String,
        /// The digest of Encrypt's.
        encrypt: String,
    },
    /// It could not be told.
    Unclear {
        /// Why.
        why: String,
    },
}
event!(NodeSeen {
    NodeSeen::Serving { .. } => "serving",
    NodeSeen::Stopped => "stopped",
    NodeSeen::NoSocket { .. } => "no-socket",
    NodeSeen::Barred { .. } => "barred",
    NodeSeen::Unhealthy { .. } => "unhealthy",
    NodeSeen::Degraded { .. } => "degraded",
    NodeSeen::Disagrees { .. } => "disagrees",
    NodeSeen::Unclear { .. } => "unclear",
});

/// A check of the provider's that did not pass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// The layer that it is about.
    pub layer: Layer,
    /// Its id.
    pub id: String,
    /// What the provider says.
    pub message: String,
}

effect! {
    /// Let the provider check itself, as its own user: `verify-key`, and `doctor` unless encrypting could make a key. Only checks that
    /// were required and passed count; one that is missing or skipped did not.
    CheckProvider {
        /// Which node.
        node: Node,
        /// Whether `doctor` is left out: it encrypts, and is not run before the key was read and upsert is known to be disabled.
        metadata_only: bool,
    } = "check-provider", Pure, 60_000, 2 => ProviderChecked;
    this: format!("let the provider of {} check itself", this.node);
    [
        ProviderChecked::Passed,
        failed(Layer::Auth, "openbao.auth"),
        failed(Layer::Transit, "transit.profile"),
        failed(Layer::Config, "config.validate"),
        failed(Layer::Registry, "registry.state"),
        ProviderChecked::Unclear { why: "half a report".into() },
    ] refused by ["provider"]
}

fn failed(layer: Layer, id: &str) -> ProviderChecked {
    ProviderChecked::Failed { checks: vec![Check { layer, id: id.into(), message: "as the provider says it".into() }] }
}

/// See [`CheckProvider`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ending", rename_all = "kebab-case")]
pub enum ProviderChecked {
    /// Every required check passed.
    Passed,
    /// Some did not.
    Failed {
        /// Which, the lowest layer first.
        checks: Vec<Check>,
    },
    /// Its report cannot be trusted: half of one, or of another generation.
    Unclear {
        /// Why.
        why: String,
    },
}
event!(ProviderChecked {
    ProviderChecked::Passed => "passed",
    ProviderChecked::Failed { .. } => "failed",
    ProviderChecked::Unclear { .. } => "unclear",
});

effect! {
    /// Stop a node's provider, and see that nothing of it runs. Idempotent.
    StopProvider {
        /// Which node.
        node: Node,
    } = "stop-provider", Idempotent, 60_000, 3 => ProviderStopped;
    this: format!("stop the provider of {}", this.node);
    [ProviderStopped::Stopped] refused by ["provider"]
}

/// See [`StopProvider`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ending", rename_all = "kebab-case")]
pub enum ProviderStopped {
    /// Nothing of it runs.
    Stopped,
}
event!(ProviderStopped { ProviderStopped::Stopped => "stopped" });

effect! {
    /// Start a node's provider. Idempotent: one that runs is not started again.
    StartProvider {
        /// Which node.
        node: Node,
    } = "start-provider", Idempotent, 60_000, 3 => ProviderStarted;
    this: format!("start the provider of {}", this.node);
    [ProviderStarted::Started { instance: Instance("2".into()) }] refused by ["provider"]
}

/// See [`StartProvider`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ending", rename_all = "kebab-case")]
pub enum ProviderStarted {
    /// It runs.
    Started {
        /// Which life.
        instance: Instance,
    },
}
event!(ProviderStarted { ProviderStarted::Started { .. } => "started" });

effect! {
    /// End one life of a node's provider and begin the next. Idempotent: it names the life that is to end.
    RestartProvider {
        /// Which node.
        node: Node,
        /// The life that is to end.
        from: Instance,
    } = "restart-provider", Idempotent, 60_000, 3 => ProviderRestarted;
    this: format!("restart the provider of {}", this.node);
    [ProviderRestarted::Restarted { instance: Instance("2".into()) }] refused by ["provider"]
}

/// See [`RestartProvider`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ending", rename_all = "kebab-case")]
pub enum ProviderRestarted {
    /// Another life runs.
    Restarted {
        /// Which.
        instance: Instance,
    },
}
event!(ProviderRestarted { ProviderRestarted::Restarted { .. } => "restarted" });

effect! {
    /// Give socket and folder the recorded group and the documented modes, 2750 and 0660. Idempotent; never wider, and a socket that
    /// accepts is never removed.
    MendSocket {
        /// Which node.
        node: Node,
    } = "mend-socket", Idempotent, 20_000, 3 => SocketMended;
    this: format!("give the socket of {} its recorded group and mode", this.node);
    [SocketMended::Mended { changed: vec!["mode of the folder".into()] }] refused by ["socket"]
}

/// See [`MendSocket`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ending", rename_all = "kebab-case")]
pub enum SocketMended {
    /// They are as documented.
    Mended {
        /// What was changed.
        changed: Vec<String>,
    },
}
event!(SocketMended { SocketMended::Mended { .. } => "mended" });

effect! {
    /// Wait until a node's provider serves, for as long as its own probes need: by default its `deepProbeInterval` and `probeInterval`.
    AwaitProvider {
        /// Which node.
        node: Node,
        /// How long, in milliseconds; 0 for as long as its configuration says that its probes take.
        within_ms: u64,
    } = "await-provider", Pure, 1_200_000, 2 => ProviderAwaited;
    this: format!("wait until the provider of {} serves", this.node);
    [
        ProviderAwaited::Serving { instance: Instance("2".into()), hash: "h".into() },
        ProviderAwaited::Serving { instance: Instance("2".into()), hash: "i".into() },
        ProviderAwaited::NotServing { instance: Some(Instance("2".into())), why: "metadata_read_failed".into() },
        ProviderAwaited::NotServing { instance: None, why: "it ended".into() },
    ] refused by ["provider"]
}

/// See [`AwaitProvider`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ending", rename_all = "kebab-case")]
pub enum ProviderAwaited {
    /// It does.
    Serving {
        /// Which life.
        instance: Instance,
        /// The digest of its key id.
        hash: String,
    },
    /// It did not in that time.
    NotServing {
        /// Which life, if it runs.
        instance: Option<Instance>,
        /// Why, in its own words.
        why: String,
    },
}
event!(ProviderAwaited {
    ProviderAwaited::Serving { .. } => "serving",
    ProviderAwaited::NotServing { .. } => "not-serving",
});

effect! {
    /// Compare the digests of the key ids that the nodes' providers publish, and that API servers use.
    Converge {} = "converge", Pure, 60_000, 3 => Converged;
    _this: "compare the key ids of all nodes".into();
    [
        Converged::Converged { hash: "h".into() },
        Converged::Diverged { hashes: vec![(node(), "h".into()), (Node("cp-2".into()), "i".into())] },
    ] refused by ["provider"]
}

/// See [`Converge`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ending", rename_all = "kebab-case")]
pub enum Converged {
    /// They are the same.
    Converged {
        /// The digest.
        hash: String,
    },
    /// They are not.
    Diverged {
        /// Each node's.
        hashes: Vec<(Node, String)>,
    },
}
event!(Converged { Converged::Converged { .. } => "converged", Converged::Diverged { .. } => "diverged" });

effect! {
    /// Capture what proves the end: readiness and checks of every node, the key's versions, the API servers' health.
    CaptureKms {
        /// The alert that led here.
        alert: Option<String>,
    } = "capture-kms", Pure, 60_000, 2 => KmsCaptured;
    _this: "capture the evidence: readiness, checks, versions of the key".into();
    [KmsCaptured::Captured { texts: 3 }] refused by ["provider"]
}

/// See [`CaptureKms`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ending", rename_all = "kebab-case")]
pub enum KmsCaptured {
    /// It is with the record.
    Captured {
        /// How many texts.
        texts: u32,
    },
}
event!(KmsCaptured { KmsCaptured::Captured { .. } => "captured" });
