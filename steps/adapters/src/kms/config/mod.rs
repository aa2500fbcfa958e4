//! What a configuration says of one KMS: the key, the API servers' view, etcd, and the control-plane nodes.

mod check;
mod node;
mod workload;

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::authority::{CredentialRef, Origin};
use crate::openbao::OpenBaoConfig;
use crate::span::Span;
pub use node::{ApiserverConfig, NodeConfig, ProviderConfig};
pub use workload::{ContainerConfig, KmsWorkload, ServiceConfig, StaticPodConfig, SupervisedConfig};

/// One target of the kind `kms`: one Transit key, and whatever encrypts with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KmsConfig {
    /// The OpenBao, and the one Transit key in it.
    pub openbao: OpenBaoConfig,
    /// How the cluster's objects are read, for proof.
    pub cluster: ClusterConfig,
    /// How etcd is read. Without it nobody counts what is in plain text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etcd: Option<EtcdConfig>,
    /// Where raft snapshots of OpenBao are taken to. Whoever reads one has its storage, encrypted: a folder of root's alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshots: Option<PathBuf>,
    /// The control-plane nodes that are reached from here, by name.
    pub node: BTreeMap<String, NodeConfig>,
    /// How long things may take.
    #[serde(default)]
    pub timing: KmsTiming,
}

/// The API server through which objects are read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClusterConfig {
    /// Its origin: scheme, host and port. Plain `http` only on loopback.
    pub base: Origin,
    /// A file with the certificates that alone are trusted. Must be given with `https`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// Where a bearer token is, never the token itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<CredentialRef>,
    /// A client certificate instead of a token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<ClientIdentity>,
    /// Objects that were there long before: `RESOURCE/NAMESPACE/NAME`, or `RESOURCE/NAME` of those without a namespace. A resource of a
    /// group is `RESOURCE.GROUP`. Reading them through the API server is the proof at the end.
    pub objects: Vec<String>,
    /// The encrypted resources, as in the EncryptionConfiguration: `secrets`, or `RESOURCE.GROUP`.
    #[serde(default = "secrets")]
    pub resources: Vec<String>,
}

fn secrets() -> Vec<String> {
    vec!["secrets".into()]
}

/// A certificate and its key, in PEM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientIdentity {
    /// The certificate, and those between it and the root.
    pub cert: PathBuf,
    /// Its private key: a file that only its owner reads.
    pub key: PathBuf,
}

/// An etcd that is read, and nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EtcdConfig {
    /// Origins of its client endpoints; the first that answers is asked.
    pub endpoints: Vec<Origin>,
    /// A file with the certificates that alone are trusted. Must be given with `https`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// The client's certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<ClientIdentity>,
    /// The API server's `--etcd-prefix`.
    #[serde(default = "registry")]
    pub prefix: String,
}

fn registry() -> String {
    "/registry".into()
}

/// How long things may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct KmsTiming {
    /// How long a provider or an API server has to end by itself.
    pub stop_within: Span,
    /// How long a provider has to serve; as long as its own probes need (`deepProbeInterval` and `probeInterval`) if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_within: Option<Span>,
    /// How long an API server that was restarted has to be ready.
    pub apiserver_within: Span,
    /// How long an API server has to take over a changed EncryptionConfiguration: it looks once a minute.
    pub reload_within: Span,
    /// How long one command of the provider's may take.
    pub command_within: Span,
    /// The wait before something is looked at again that may heal by itself.
    pub settle: Span,
    /// The wait for an API server to see that its KMS is back: it asks every ten seconds, and keeps the answer for twenty.
    pub reconnect: Span,
}

impl Default for KmsTiming {
    fn default() -> Self {
        Self {
            stop_within: Span::from_ms(30_000),
            ready_within: None,
            apiserver_within: Span::from_ms(180_000),
            reload_within: Span::from_ms(150_000),
            command_within: Span::from_ms(25_000),
            settle: Span::from_ms(60_000),
            reconnect: Span::from_ms(40_000),
        }
    }
}

impl KmsConfig {
    /// What a run on this target is about: the key, as OpenBao has it. No name of this configuration takes part in it.
    #[must_use]
    pub fn subject(&self) -> String {
        let bao = &self.openbao;
        let namespace = bao.namespace.iter().map(|name| format!("/{name}")).collect::<String>();
        format!("{}{namespace}/{}/keys/{}", bao.address, bao.mount, bao.key)
    }
}

#[cfg(test)]
mod tests;
