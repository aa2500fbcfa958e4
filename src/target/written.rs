//! A target as it is written in a configuration: the keys of every kind, so that one that is wrong is told with its place.

use std::collections::BTreeMap;
use std::path::PathBuf;

use recover_adapters::Span;
use recover_adapters::config::{AuthorityConfig, StorageConfig, Timing, TrustConfig, WorkloadConfig};
use recover_adapters::kms::{ClusterConfig, EtcdConfig, KmsTiming, NodeConfig};
use recover_adapters::openbao::OpenBaoConfig;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::{ConnectorTarget, Kind, KmsTarget, Target};

/// A target as it is written: the keys of every kind, so that one that is wrong is told with its place. What a kind must have and what it
/// must not is said afterwards.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    kind: Kind,
    #[serde(default)]
    default: bool,
    workload: Option<WorkloadConfig>,
    storage: Option<StorageConfig>,
    authority: Option<AuthorityConfig>,
    trust: Option<TrustConfig>,
    openbao: Option<OpenBaoConfig>,
    cluster: Option<ClusterConfig>,
    etcd: Option<EtcdConfig>,
    snapshots: Option<PathBuf>,
    node: Option<BTreeMap<String, NodeConfig>>,
    timing: Option<Times>,
    secrets_dir: Option<PathBuf>,
}

impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let written = Written::deserialize(d)?;
        written.understood().map_err(D::Error::custom)
    }
}

/// What a kind must have.
fn must<T>(given: Option<T>, name: &str) -> Result<T, String> {
    given.ok_or_else(|| format!("missing field `{name}`"))
}

impl Written {
    fn understood(self) -> Result<Target, String> {
        let of_kms = [
            ("openbao", self.openbao.is_some()),
            ("cluster", self.cluster.is_some()),
            ("etcd", self.etcd.is_some()),
            ("snapshots", self.snapshots.is_some()),
            ("node", self.node.is_some()),
        ];
        let of_connector = [
            ("workload", self.workload.is_some()),
            ("storage", self.storage.is_some()),
            ("authority", self.authority.is_some()),
            ("trust", self.trust.is_some()),
        ];
        let others = match self.kind {
            Kind::Connector => of_kms.as_slice(),
            Kind::Kms => of_connector.as_slice(),
        };
        if let Some((name, _)) = others.iter().find(|(_, given)| *given) {
            return Err(format!("a target of the kind {} has no `{name}`", self.kind.name()));
        }
        Ok(match self.kind {
            Kind::Connector => Target::Connector(Box::new(ConnectorTarget {
                default: self.default,
                workload: must(self.workload, "workload")?,
                storage: must(self.storage, "storage")?,
                authority: must(self.authority, "authority")?,
                trust: self.trust,
                timing: self.timing.unwrap_or_default().of_connector()?,
                secrets_dir: self.secrets_dir,
            })),
            Kind::Kms => Target::Kms(Box::new(KmsTarget {
                default: self.default,
                openbao: must(self.openbao, "openbao")?,
                cluster: must(self.cluster, "cluster")?,
                etcd: self.etcd,
                snapshots: self.snapshots,
                node: must(self.node, "node")?,
                timing: self.timing.unwrap_or_default().of_kms()?,
                secrets_dir: self.secrets_dir,
            })),
        })
    }
}

/// How long things may take, of every kind.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Times {
    stop_within: Option<Span>,
    observe: Option<Span>,
    online_within: Option<Span>,
    steady: Option<Span>,
    pair_within: Option<Span>,
    token_ttl: Option<Span>,
    ready_within: Option<Span>,
    apiserver_within: Option<Span>,
    reload_within: Option<Span>,
    command_within: Option<Span>,
    settle: Option<Span>,
    reconnect: Option<Span>,
}

/// One that is given and that the kind does not have.
fn none_of(kind: Kind, others: &[(&str, Option<Span>)]) -> Result<(), String> {
    match others.iter().find(|(_, given)| given.is_some()) {
        Some((name, _)) => Err(format!("a target of the kind {} has no `timing.{name}`", kind.name())),
        None => Ok(()),
    }
}

impl Times {
    fn of_connector(self) -> Result<Timing, String> {
        none_of(
            Kind::Connector,
            &[
                ("ready_within", self.ready_within),
                ("apiserver_within", self.apiserver_within),
                ("reload_within", self.reload_within),
                ("command_within", self.command_within),
                ("settle", self.settle),
                ("reconnect", self.reconnect),
            ],
        )?;
        let usual = Timing::default();
        Ok(Timing {
            observe: self.observe.unwrap_or(usual.observe),
            online_within: self.online_within.unwrap_or(usual.online_within),
            steady: self.steady.unwrap_or(usual.steady),
            stop_within: self.stop_within.unwrap_or(usual.stop_within),
            pair_within: self.pair_within.unwrap_or(usual.pair_within),
            token_ttl: self.token_ttl.unwrap_or(usual.token_ttl),
        })
    }

    fn of_kms(self) -> Result<KmsTiming, String> {
        none_of(
            Kind::Kms,
            &[
                ("observe", self.observe),
                ("online_within", self.online_within),
                ("steady", self.steady),
                ("pair_within", self.pair_within),
                ("token_ttl", self.token_ttl),
            ],
        )?;
        let usual = KmsTiming::default();
        Ok(KmsTiming {
            stop_within: self.stop_within.unwrap_or(usual.stop_within),
            ready_within: self.ready_within.or(usual.ready_within),
            apiserver_within: self.apiserver_within.unwrap_or(usual.apiserver_within),
            reload_within: self.reload_within.unwrap_or(usual.reload_within),
            command_within: self.command_within.unwrap_or(usual.command_within),
            settle: self.settle.unwrap_or(usual.settle),
            reconnect: self.reconnect.unwrap_or(usual.reconnect),
        })
    }
}
