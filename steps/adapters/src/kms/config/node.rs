//! What a configuration says of one control-plane node: its provider and its API server.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::workload::KmsWorkload;
use crate::authority::Origin;

/// One control-plane node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NodeConfig {
    /// Its KMS provider.
    pub provider: ProviderConfig,
    /// Its API server.
    pub apiserver: ApiserverConfig,
}

/// The provider of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProviderConfig {
    /// Its program, by its absolute path: for its own checks. Nothing is passed to a shell.
    pub command: PathBuf,
    /// Its configuration, `config.yaml`.
    pub config: PathBuf,
    /// A copy of the configuration as it must be, for putting it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded_config: Option<PathBuf>,
    /// Whom it runs as, by name or number: its checks are run as this user, and a check run as root would see more than it does. Whoever
    /// runs `recover`, if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// How it runs, and is stopped and started.
    pub workload: KmsWorkload,
    /// The origin of its health address.
    pub health: Origin,
    /// The origin of its metrics address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<Origin>,
    /// Where a person or an issuer puts a fresh JWT, or a fresh certificate, for the provider's login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fresh_auth: Option<PathBuf>,
    /// Folders with backups of the registry: state and checkpoint side by side, under the names that they have on the node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backups: Vec<PathBuf>,
    /// An archive with the image of the static pod, for nodes without a registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_archive: Option<PathBuf>,
}

/// The API server of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApiserverConfig {
    /// The origin of this node's own API server; that of `cluster` if not given, which is right where there is one node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Origin>,
    /// Its EncryptionConfiguration.
    pub encryption_config: PathBuf,
    /// A copy of the EncryptionConfiguration as it must be, with whatever fallback it had: the last known good one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded_encryption_config: Option<PathBuf>,
    /// The same without `identity`, for when everything is encrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub without_identity: Option<PathBuf>,
    /// How it runs; without it nobody restarts it, and a person is asked to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload: Option<KmsWorkload>,
    /// Whom it runs as, by name or number: its access to the socket is looked at for this user.
    #[serde(default = "root")]
    pub user: String,
    /// Its further groups, by name or number.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
}

fn root() -> String {
    "0".into()
}
