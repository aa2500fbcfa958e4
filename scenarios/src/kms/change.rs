//! What can be changed, and what is said of it where it is left.

use recover_steps::Instance;
use recover_steps::kms::{
    CopyPair, DisableUpsert, ForbidDeletion, InstallAuth, LoadImage, LowerDecryption, LowerEncryption, MendSocket,
    Node, RestartApiserver, RestartProvider, RestoreConfig, RestoreEncryption, RestoreKey, RewriteObjects,
    StartProvider, StopProvider, StopRotation, TakeSnapshot,
};

use super::{Event, Step};

/// A verified pair of state and checkpoint, as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    pub(super) source: String,
    pub(super) generation: u64,
    pub(super) hash: String,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is named after the documented step that it is")]
pub enum Change {
    StartProvider(Node),
    RestartProvider(Node, Instance),
    /// Whether it must stay stopped: then nothing but the original key starts it again.
    StopProvider {
        node: Node,
        hold: bool,
    },
    MendSocket(Node),
    RestoreConfig(Node, String),
    InstallAuth(Node, String),
    LoadImage(Node, String),
    CopyPair(Node, Pair),
    RestoreKey,
    ForbidDeletion,
    StopRotation,
    DisableUpsert,
    LowerDecryption(u64),
    LowerEncryption(u64),
    TakeSnapshot,
    RestoreEncryption(Node, String),
    RestartApiserver {
        node: Node,
        from: Option<Instance>,
        sole: bool,
    },
    RewriteObjects,
}

/// The names of every step that changes something. What a procedure does not need of it is never in it.
pub(super) const EVERY: [&str; 18] = [
    "start-provider",
    "restart-provider",
    "stop-provider",
    "mend-socket",
    "restore-config",
    "install-auth",
    "load-image",
    "copy-pair",
    "restore-key",
    "forbid-deletion",
    "stop-rotation",
    "disable-upsert",
    "lower-decryption",
    "lower-encryption",
    "take-snapshot",
    "restore-encryption",
    "restart-apiserver",
    "rewrite-objects",
];

impl Change {
    pub(super) const fn state(&self) -> &'static str {
        match self {
            Self::StartProvider(_) => "starting-provider",
            Self::RestartProvider(..) => "restarting-provider",
            Self::StopProvider { .. } => "stopping-provider",
            Self::MendSocket(_) => "mending-socket",
            Self::RestoreConfig(..) => "restoring-config",
            Self::InstallAuth(..) => "installing-auth",
            Self::LoadImage(..) => "loading-image",
            Self::CopyPair(..) => "copying-pair",
            Self::RestoreKey => "restoring-key",
            Self::ForbidDeletion => "forbidding-deletion",
            Self::StopRotation => "stopping-rotation",
            Self::DisableUpsert => "disabling-upsert",
            Self::LowerDecryption(_) => "lowering-decryption",
            Self::LowerEncryption(_) => "lowering-encryption",
            Self::TakeSnapshot => "taking-snapshot",
            Self::RestoreEncryption(..) => "restoring-encryption",
            Self::RestartApiserver { .. } => "restarting-apiserver",
            Self::RewriteObjects => "rewriting-objects",
        }
    }

    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::StartProvider(_) => "start-provider",
            Self::RestartProvider(..) => "restart-provider",
            Self::StopProvider { .. } => "stop-provider",
            Self::MendSocket(_) => "mend-socket",
            Self::RestoreConfig(..) => "restore-config",
            Self::InstallAuth(..) => "install-auth",
            Self::LoadImage(..) => "load-image",
            Self::CopyPair(..) => "copy-pair",
            Self::RestoreKey => "restore-key",
            Self::ForbidDeletion => "forbid-deletion",
            Self::StopRotation => "stop-rotation",
            Self::DisableUpsert => "disable-upsert",
            Self::LowerDecryption(_) => "lower-decryption",
            Self::LowerEncryption(_) => "lower-encryption",
            Self::TakeSnapshot => "take-snapshot",
            Self::RestoreEncryption(..) => "restore-encryption",
            Self::RestartApiserver { .. } => "restart-apiserver",
            Self::RewriteObjects => "rewrite-objects",
        }
    }

    pub(super) fn step(&self) -> Step {
        match self {
            Self::StartProvider(node) => StartProvider { node: node.clone() }.into(),
            Self::RestartProvider(node, from) => RestartProvider { node: node.clone(), from: from.clone() }.into(),
            Self::StopProvider { node, .. } => StopProvider { node: node.clone() }.into(),
            Self::MendSocket(node) => MendSocket { node: node.clone() }.into(),
            Self::RestoreConfig(node, sha256) => RestoreConfig { node: node.clone(), sha256: sha256.clone() }.into(),
            Self::InstallAuth(node, sha256) => InstallAuth { node: node.clone(), sha256: sha256.clone() }.into(),
            Self::LoadImage(node, digest) => LoadImage { node: node.clone(), digest: digest.clone() }.into(),
            Self::CopyPair(node, pair) => CopyPair {
                node: node.clone(),
                source: pair.source.clone(),
                generation: pair.generation,
                hash: pair.hash.clone(),
            }
            .into(),
            Self::RestoreKey => RestoreKey {}.into(),
            Self::ForbidDeletion => ForbidDeletion {}.into(),
            Self::StopRotation => StopRotation {}.into(),
            Self::DisableUpsert => DisableUpsert {}.into(),
            Self::LowerDecryption(to) => LowerDecryption { to: *to }.into(),
            Self::LowerEncryption(to) => LowerEncryption { to: *to }.into(),
            Self::TakeSnapshot => TakeSnapshot {}.into(),
            Self::RestoreEncryption(node, sha256) => {
                RestoreEncryption { node: node.clone(), sha256: sha256.clone() }.into()
            }
            Self::RestartApiserver { node, from, sole } => {
                RestartApiserver { node: node.clone(), from: from.clone(), sole: *sole }.into()
            }
            Self::RewriteObjects => RewriteObjects {}.into(),
        }
    }

    /// What is said of it where the run does not recover. A stop is told apart: it is taken back, or must stay.
    pub(super) fn left(&self) -> Option<String> {
        Some(match self {
            Self::StopProvider { .. } => return None,
            // It ran, and runs.
            Self::RestartProvider(..) => return None,
            Self::StartProvider(node) => format!("the provider of {node} was started, and is left so"),
            Self::MendSocket(node) => format!("the socket of {node} and its folder have their recorded group and mode"),
            Self::RestoreConfig(node, _) => {
                format!("the recorded provider configuration is in place on {node}; what was there is kept beside it")
            }
            Self::InstallAuth(node, _) => format!("fresh login material is in place on {node}"),
            Self::LoadImage(node, digest) => format!("the image {digest} is on {node}"),
            Self::CopyPair(node, pair) => format!(
                "the registry pair of {}, generation {}, is in place on {node}; what was there is kept beside it",
                pair.source, pair.generation
            ),
            Self::RestoreKey => "the key no longer bears the mark of a soft deletion".into(),
            Self::ForbidDeletion => "the key can no longer be deleted".into(),
            Self::StopRotation => "the key is no longer rotated by itself".into(),
            Self::DisableUpsert => "encrypting with a key that is not there fails now".into(),
            Self::LowerDecryption(to) => format!("min_decryption_version is {to} again"),
            Self::LowerEncryption(to) => format!("min_encryption_version is {to} again"),
            Self::TakeSnapshot => "a raft snapshot of OpenBao as it was found lies in the configured folder".into(),
            Self::RestoreEncryption(node, _) => {
                format!("a recorded EncryptionConfiguration is in place on {node}; what was there is kept beside it")
            }
            Self::RestartApiserver { node, .. } => format!("the API server of {node} was restarted"),
            Self::RewriteObjects => "the API server has written the stored objects again, unmodified".into(),
        })
    }
}

impl Change {
    /// Whether this can be what such a change came to.
    pub(super) const fn told_by(&self, event: &Event) -> bool {
        matches!(
            (self, event),
            (Self::StartProvider(_), Event::StartProvider(_))
                | (Self::RestartProvider(..), Event::RestartProvider(_))
                | (Self::StopProvider { .. }, Event::StopProvider(_))
                | (Self::MendSocket(_), Event::MendSocket(_))
                | (Self::RestoreConfig(..), Event::RestoreConfig(_))
                | (Self::InstallAuth(..), Event::InstallAuth(_))
                | (Self::LoadImage(..), Event::LoadImage(_))
                | (Self::CopyPair(..), Event::CopyPair(_))
                | (Self::RestoreKey, Event::RestoreKey(_))
                | (Self::ForbidDeletion, Event::ForbidDeletion(_))
                | (Self::StopRotation, Event::StopRotation(_))
                | (Self::DisableUpsert, Event::DisableUpsert(_))
                | (Self::LowerDecryption(_), Event::LowerDecryption(_))
                | (Self::LowerEncryption(_), Event::LowerEncryption(_))
                | (Self::TakeSnapshot, Event::TakeSnapshot(_))
                | (Self::RestoreEncryption(..), Event::RestoreEncryption(_))
                | (Self::RestartApiserver { .. }, Event::RestartApiserver(_))
                | (Self::RewriteObjects, Event::RewriteObjects(_))
        )
    }
}
