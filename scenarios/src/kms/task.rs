//! What is to be done, one thing after another: each task is one state.

use recover_engine::{Next, Wait};
use recover_steps::Instance;
use recover_steps::kms::{
    AwaitProvider, AwaitReload, CaptureKms, Converge, FindPair, LookApiserver, LookNode, Node, ScanEtcd,
};

use super::Step;
use super::case::Case;
use super::change::Change;
use super::look::{Aim, Look};
use super::topic::{Ask, Topic};

/// One wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// It may heal by itself.
    Settle,
    /// The providers' own probes need their time.
    Probe,
    /// The API server asks its KMS again.
    Reconnect,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// A person decides.
    Ask(Ask),
    /// Time passes.
    Wait(Pause),
    /// After a person's word or a wait: what is seen says what comes next.
    Again(Look),
    /// After a change: it must be right now.
    Verify(Look),
    /// At the end: it must be right.
    Validate(Look),
    /// Something is changed.
    Change(Change),
    /// Does the provider run, right before it is stopped?
    Note(Node),
    /// The provider must begin anew, to read its configuration; or only if it does not serve.
    Renew {
        /// Which node.
        node: Node,
        /// Although it serves.
        always: bool,
    },
    /// The provider gets the time to serve by itself; then one start or one restart.
    Serve {
        /// Which node.
        node: Node,
        /// It was started or restarted already.
        tried: bool,
    },
    /// The API server must see its KMS: it gets the time to; then one restart, where the procedure has one.
    Reconnect {
        /// Which node.
        node: Node,
        /// It was waited for.
        waited: bool,
        /// It was restarted.
        revived: bool,
    },
    /// The nodes must publish the same key id.
    Converge {
        /// It was waited for.
        waited: bool,
    },
    /// A verified pair of state and checkpoint is looked for, and put in place.
    Pair(Node),
    /// The API server must take over the EncryptionConfiguration on disk.
    Adopt(Node, String),
    /// Its KMS must serve, right before the API server is restarted.
    Guarded {
        /// Which node.
        node: Node,
        /// The life that is to end.
        from: Option<Instance>,
        /// A person approved that no other is ready.
        sole: bool,
    },
    /// Nothing may be stored in plain text.
    Clean,
    /// The evidence.
    Capture,
}

impl Task {
    /// The state's name. Validating, the same waits and checks have their own.
    pub(super) const fn state(&self, validating: bool) -> &'static str {
        match self {
            Self::Ask(ask) => ask.topic.state(),
            Self::Wait(Pause::Settle) => "settling",
            Self::Wait(Pause::Probe) => "waiting-for-probes",
            Self::Wait(Pause::Reconnect) => "waiting-for-apiserver",
            Self::Again(look) => look.state(Aim::Again),
            Self::Verify(look) => look.state(Aim::Verify),
            Self::Validate(look) => look.state(Aim::Validate),
            Self::Change(change) => change.state(),
            Self::Note(_) => "noting-provider",
            Self::Renew { .. } => "looking-before-restart",
            Self::Serve { .. } if validating => "validating-serving",
            Self::Serve { .. } => "awaiting-provider",
            Self::Reconnect { .. } => "validating-apiserver",
            Self::Converge { .. } => "validating-convergence",
            Self::Pair(_) => "finding-pair",
            Self::Adopt(..) => "awaiting-reload",
            Self::Guarded { .. } => "looking-before-apiserver",
            Self::Clean => "looking-for-plaintext",
            Self::Capture => "capturing",
        }
    }

    /// What this asks for.
    pub(super) fn next(&self, case: &Case) -> Next<Step> {
        Next::Do(match self {
            Self::Ask(ask) => return Next::Ask(ask.question(case)),
            Self::Wait(pause) => {
                let params = &case.params;
                let (id, for_ms, why) = match pause {
                    Pause::Settle => ("settle", params.settle_ms, "it may heal by itself"),
                    Pause::Probe => ("probe", params.settle_ms, "the providers' own probes need their time"),
                    Pause::Reconnect => {
                        ("reconnect", params.reconnect_ms, "the API server asks its KMS again by itself")
                    }
                };
                return Next::Wait(Wait { id, for_ms, why: why.into() });
            }
            Self::Again(look) | Self::Verify(look) | Self::Validate(look) => look.step(case),
            Self::Change(change) => change.step(),
            Self::Note(node) | Self::Renew { node, .. } | Self::Guarded { node, .. } => {
                LookNode { node: node.clone() }.into()
            }
            Self::Reconnect { node, .. } => LookApiserver { node: node.clone() }.into(),
            Self::Converge { .. } => Converge {}.into(),
            Self::Serve { node, .. } => {
                AwaitProvider { node: node.clone(), within_ms: case.params.serve_within_ms }.into()
            }
            Self::Pair(node) => FindPair { node: node.clone() }.into(),
            Self::Adopt(node, sha256) => AwaitReload { node: node.clone(), sha256: sha256.clone() }.into(),
            Self::Clean => ScanEtcd {}.into(),
            Self::Capture => CaptureKms { alert: case.params.alert.clone() }.into(),
        })
    }

    /// Whether it was done already, by the finding of another node.
    pub(super) fn spared(&self, case: &Case) -> bool {
        match self {
            Self::Clean => case.clean,
            Self::Ask(ask) => {
                (ask.topic == Topic::OldBackups && case.acknowledged)
                    || (ask.topic == Topic::UnrecordedKey && case.vouched)
            }
            Self::Note(node) | Self::Change(Change::StopProvider { node, .. }) => case.holds(node),
            Self::Change(Change::TakeSnapshot) => case.snapshot,
            Self::Change(Change::StopRotation) => case.rotation_stopped,
            Self::Wait(_)
            | Self::Again(_)
            | Self::Verify(_)
            | Self::Validate(_)
            | Self::Change(_)
            | Self::Renew { .. }
            | Self::Serve { .. }
            | Self::Reconnect { .. }
            | Self::Converge { .. }
            | Self::Pair(_)
            | Self::Adopt(..)
            | Self::Guarded { .. }
            | Self::Capture => false,
        }
    }
}

/// The API server must see its KMS.
pub(crate) fn reconnect(node: &Node) -> Task {
    Task::Reconnect { node: node.clone(), waited: false, revived: false }
}

/// The validation, the same for every procedure: every provider serves and passes its checks, the key ids are the same, the API
/// servers see it, and old objects can be read through them.
pub(super) fn validation(nodes: &[Node]) -> Vec<Task> {
    let mut tasks = Vec::new();
    for node in nodes {
        tasks.push(Task::Serve { node: node.clone(), tried: true });
        tasks.push(Task::Validate(Look::Checks(node.clone())));
    }
    tasks.push(Task::Converge { waited: false });
    tasks.extend(nodes.iter().map(reconnect));
    tasks.push(Task::Validate(Look::Objects));
    tasks.push(Task::Capture);
    tasks
}
