//! What can be done where Kubernetes keeps its secrets under KMS v2 with OpenBao's Transit behind it, as data.
//!
//! Looks come layer by layer, from OpenBao to the API server, and change nothing. What is changed is set to a recorded value or in the
//! one direction that loses nothing, so every change is idempotent. No step makes, deletes, trims or rotates a key, raises a lowest
//! version, writes registry state of its own or touches etcd: there is no type for it.

mod apiserver;
mod auth;
mod configuration;
mod etcd;
mod image;
mod key;
mod openbao;
mod provider;
mod registry;

pub use apiserver::{
    Adopted, ApiserverRestarted, ApiserverSeen, AwaitReload, LookApiserver, ObjectsRead, ReadObjects, RestartApiserver,
};
pub use auth::{AuthInstalled, AuthSeen, InstallAuth, LookAuth};
pub use configuration::{
    CompareConfig, ConfigSeen, EncryptionSeen, ReadEncryption, RestoreConfig, RestoreEncryption, Restored,
};
pub use etcd::{EtcdScanned, RewriteObjects, Rewritten, ScanEtcd};
pub use image::{ImageLoaded, ImageSeen, LoadImage, LookImage};
pub use key::{
    DisableUpsert, ForbidDeletion, Impact, KeyChanged, KeyFacts, KeySeen, LowerDecryption, LowerEncryption, ReadKey,
    RestoreKey, SnapshotTaken, StopRotation, TakeSnapshot,
};
pub use openbao::{LookOpenbao, OpenbaoSeen};
pub use provider::{
    AwaitProvider, CaptureKms, Check, CheckProvider, Converge, Converged, KmsCaptured, LookNode, MendSocket, NodeSeen,
    ProviderAwaited, ProviderChecked, ProviderRestarted, ProviderStarted, ProviderStopped, RestartProvider,
    SocketMended, StartProvider, StopProvider,
};
pub use registry::{CopyPair, FindPair, PairCopied, PairFound, ReadRegistry, RegistrySeen};

use serde::{Deserialize, Serialize};

/// A control-plane node, by its name in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Node(pub String);

impl std::fmt::Display for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is wrong, by the layer it is at: named before anything is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layer {
    /// The way to OpenBao, or OpenBao itself.
    Openbao,
    /// The provider's login at OpenBao.
    Auth,
    /// The Transit key.
    Transit,
    /// The provider's configuration.
    Config,
    /// The provider's key registry.
    Registry,
    /// The provider's process.
    Provider,
    /// Its socket.
    Socket,
    /// The API server and its EncryptionConfiguration.
    Apiserver,
    /// What is stored in etcd.
    Data,
}

/// One step: its data, its name, its policy and its endings in one place.
macro_rules! effect {
    (
        $(#[$meta:meta])*
        $step:ident { $($(#[$fmeta:meta])* $field:ident: $type:ty),* $(,)? }
        = $name:literal, $redo:ty, $timeout:expr, $attempts:expr => $event:ty;
        $this:ident: $summary:expr;
        [$($ending:expr),+ $(,)?] refused by [$($code:literal),* $(,)?]
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        pub struct $step { $($(#[$fmeta])* pub $field: $type),* }

        impl recover_engine::Effect for $step {
            const NAME: &'static str = $name;
            type Event = $event;
            type Redo = $redo;
            const TIMEOUT_MS: u64 = $timeout;
            const ATTEMPTS: u32 = $attempts;
            fn summary(&self) -> String {
                let $this = self;
                $summary
            }
            fn endings(&self) -> Vec<recover_engine::Outcome<$event>> {
                vec![$(recover_engine::Outcome::Happened($ending),)+ $(crate::refused($code)),*]
            }
        }
    };
}
use effect;
