//! A KMS of the configuration, and what its procedures are begun with.

use std::collections::BTreeMap;
use std::path::PathBuf;

use recover_adapters::kms::{ClusterConfig, EtcdConfig, KmsConfig, KmsTiming, NodeConfig};
use recover_adapters::openbao::OpenBaoConfig;
use recover_engine::Json;
use recover_scenarios::kms::Params;
use recover_steps::kms::Node;
use schemars::JsonSchema;
use serde::Serialize;

use super::overlaid;
use crate::config::Policy;
use crate::fault::Fault;

/// One Transit key, and whatever encrypts with it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct KmsTarget {
    /// Whether it is meant where no target is named.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schemars(default)]
    pub(crate) default: bool,
    /// The OpenBao, and the one Transit key in it.
    pub(crate) openbao: OpenBaoConfig,
    /// How the cluster's objects are read, for proof.
    pub(crate) cluster: ClusterConfig,
    /// How etcd is read. Without it nobody counts what is in plain text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) etcd: Option<EtcdConfig>,
    /// Where raft snapshots of OpenBao are taken to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) snapshots: Option<PathBuf>,
    /// The control-plane nodes that are reached from here, by name.
    pub(crate) node: BTreeMap<String, NodeConfig>,
    /// How long things may take.
    #[schemars(default)]
    pub(crate) timing: KmsTiming,
    /// Set from the configuration's top when a request is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(skip)]
    pub(crate) secrets_dir: Option<PathBuf>,
}

impl KmsTarget {
    pub(crate) fn config(&self) -> KmsConfig {
        KmsConfig {
            openbao: self.openbao.clone(),
            cluster: self.cluster.clone(),
            etcd: self.etcd.clone(),
            snapshots: self.snapshots.clone(),
            node: self.node.clone(),
            timing: self.timing,
        }
    }

    /// What every procedure of the family is begun with, as configuration and command line give it.
    pub(super) fn params(&self, policy: &Policy, alert: Option<String>, set: &[String]) -> Result<Json, Fault> {
        let params = Params {
            nodes: self.node.keys().cloned().map(Node).collect(),
            serve_within_ms: self.timing.ready_within.map_or(0, |span| span.as_ms()),
            settle_ms: self.timing.settle.as_ms(),
            reconnect_ms: self.timing.reconnect.as_ms(),
            answer_within_ms: policy.answer_within_ms(),
            alert,
        };
        overlaid(&params, set)
    }
}
