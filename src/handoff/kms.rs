//! Each step of a KMS as commands that a person can type, with the names of one target in them.

use std::path::Path;

use recover_adapters::kms::{KmsWorkload, NodeConfig};
use recover_engine::{Doing, Effect as _, Redo};
use recover_steps::kms::{
    AwaitProvider, AwaitReload, CaptureKms, CheckProvider, CompareConfig, Converge, CopyPair, DisableUpsert, FindPair,
    ForbidDeletion, InstallAuth, LoadImage, LookApiserver, LookAuth, LookImage, LookNode, LookOpenbao, LowerDecryption,
    LowerEncryption, MendSocket, ReadEncryption, ReadKey, ReadObjects, ReadRegistry, RestartApiserver, RestartProvider,
    RestoreConfig, RestoreEncryption, RestoreKey, RewriteObjects, ScanEtcd, StartProvider, StopProvider, StopRotation,
    TakeSnapshot,
};
use serde::Deserialize;

use crate::target::KmsTarget;
use crate::verbs::quoted;

type Lines = Vec<String>;

/// What nobody does by hand either.
pub(super) const MUST_NOT: [&str; 7] = [
    "make a Transit key of that name again: what is encrypted is bound to the old one, and the new one hides that",
    "raise min_decryption_version, trim the key or rotate it",
    "edit or invent a registry's state or checkpoint, or copy one of the two without the other",
    "change the provider's name, or another field that bears identity, to make an error go away",
    "restart an API server whose KMS is not well: it may be all that still reads",
    "delete encrypted data from etcd",
    "enable export or plaintext backup of the key: neither can be taken back",
];

/// What a step of one node is about.
#[derive(Deserialize)]
struct OfNode {
    node: String,
}

/// What to type for a step.
pub(super) fn of(doing: &Doing, target: &KmsTarget, run: &str) -> Lines {
    let by = By { target, run };
    let node = doing.body.to::<OfNode>().ok().and_then(|of| target.node.get(&of.node).map(|config| (of.node, config)));
    match node {
        Some((name, node)) => by.of_node(doing, &name, node),
        None => by.of_key(doing),
    }
}

struct By<'a> {
    target: &'a KmsTarget,
    run: &'a str,
}

fn shown(path: &Path) -> String {
    quoted(&path.display().to_string())
}

fn optional(path: Option<&Path>) -> String {
    path.map_or_else(|| "RECORDED".to_owned(), shown)
}

impl By<'_> {
    /// `bao`, as it reaches the key. The token is for whoever types it.
    fn bao(&self, words: &str) -> String {
        let bao = &self.target.openbao;
        let ca = bao.ca.as_ref().map(|ca| format!(" BAO_CACERT={}", shown(ca))).unwrap_or_default();
        let namespace = bao.namespace.as_ref().map(|name| format!(" BAO_NAMESPACE={name}")).unwrap_or_default();
        format!("BAO_ADDR={}{ca}{namespace} bao {words}", bao.address)
    }

    fn key(&self) -> String {
        format!("{}/keys/{}", self.target.openbao.mount, self.target.openbao.key)
    }

    fn of_key(&self, doing: &Doing) -> Lines {
        let (key, mount) = (self.key(), &self.target.openbao.mount);
        let number = |name: &str| doing.body.to::<serde_json::Value>().ok().and_then(|body| body[name].as_u64());
        match doing.step {
            LookOpenbao::NAME => vec![self.bao("status")],
            ReadKey::NAME => vec![self.bao(&format!("read {key}")), self.bao(&format!("read {mount}/config/keys"))],
            RestoreKey::NAME => vec![self.bao(&format!("write -f {key}/soft-delete-restore"))],
            ForbidDeletion::NAME => vec![self.bao(&format!("write {key}/config deletion_allowed=false"))],
            StopRotation::NAME => vec![self.bao(&format!("write {key}/config auto_rotate_period=0"))],
            DisableUpsert::NAME => vec![self.bao(&format!("write {mount}/config/keys disable_upsert=true"))],
            LowerDecryption::NAME => {
                let to = number("to").unwrap_or(1);
                vec![self.bao(&format!("write {key}/config min_decryption_version={to}"))]
            }
            LowerEncryption::NAME => {
                let to = number("to").unwrap_or(1);
                vec![self.bao(&format!("write {key}/config min_encryption_version={to}"))]
            }
            TakeSnapshot::NAME => {
                let folder = self.target.snapshots.as_deref().unwrap_or(Path::new("."));
                let file = folder.join(format!("recover-{}.snap", self.run));
                vec![self.bao(&format!("operator raft snapshot save {}", shown(&file)))]
            }
            ReadObjects::NAME => self.target.cluster.objects.iter().map(|object| self.get(object)).collect(),
            RewriteObjects::NAME => {
                let each = |of: &String| {
                    let of = quoted(of);
                    format!("kubectl get {of} --all-namespaces -o json | kubectl replace -f -")
                };
                self.target.cluster.resources.iter().map(each).collect()
            }
            ScanEtcd::NAME => self.etcd(),
            Converge::NAME => {
                let all = self.target.node.values().filter_map(|node| node.provider.metrics.as_ref());
                all.map(|metrics| format!("curl -s {metrics}/metrics | grep openbao_kms_status_key_id_hash")).collect()
            }
            CaptureKms::NAME => vec![self.bao(&format!("read -format=json {key}"))],
            other => vec![format!("# {other}: there is no command for this step")],
        }
    }

    fn get(&self, object: &str) -> String {
        let parts: Vec<&str> = object.split('/').collect();
        match parts.as_slice() {
            [resource, namespace, name] => {
                format!("kubectl get {} {} -n {} -o name", quoted(resource), quoted(name), quoted(namespace))
            }
            _ => format!("kubectl get {} -o name", quoted(object)),
        }
    }

    fn etcd(&self) -> Lines {
        let Some(etcd) = &self.target.etcd else { return vec!["# how etcd is read is not configured".into()] };
        let endpoints: Vec<String> = etcd.endpoints.iter().map(ToString::to_string).collect();
        let each = |resource: &String| {
            let key = quoted(&format!("{}/{resource}/", etcd.prefix));
            format!("etcdctl --endpoints={} get --prefix {key} --keys-only", endpoints.join(","))
        };
        self.target.cluster.resources.iter().map(each).collect()
    }

    fn of_node(&self, doing: &Doing, name: &str, node: &NodeConfig) -> Lines {
        let (provider, apiserver) = (&node.provider, &node.apiserver);
        let program = shown(&provider.command);
        let config = format!("--config {}", shown(&provider.config));
        let own = |command: &str| match &provider.user {
            Some(user) => format!("runuser -u {} -- {program} {command} {config}", quoted(user)),
            None => format!("{program} {command} {config}"),
        };
        let at = format!("# at {name}:");
        let lines = match doing.step {
            CompareConfig::NAME => {
                let recorded = optional(provider.recorded_config.as_deref());
                vec![format!("diff {recorded} {}", shown(&provider.config))]
            }
            RestoreConfig::NAME => vec![put_back(provider.recorded_config.as_deref(), &provider.config, self.run)],
            ReadRegistry::NAME => vec![own("rotation-plan")],
            FindPair::NAME | CopyPair::NAME => vec![
                "# with the provider stopped: state and checkpoint of a peer of the same scope, both, byte for byte:"
                    .into(),
                "# cp -p key-registry.json key-registry.json.checkpoint, to the folder of its own `state.path`".into(),
            ],
            LookAuth::NAME => vec![own("doctor")],
            InstallAuth::NAME => vec![format!(
                "# put {} where the configuration of the provider looks for it, with the owner and mode of the old one",
                provider.fresh_auth.as_deref().map_or_else(|| "a fresh JWT or certificate".to_owned(), shown)
            )],
            LookImage::NAME => vec!["crictl images --digests".into()],
            LoadImage::NAME => {
                let archive = provider.image_archive.as_deref().map_or_else(|| "ARCHIVE".to_owned(), shown);
                vec![format!("ctr -n k8s.io images import --digests {archive}")]
            }
            LookNode::NAME | AwaitProvider::NAME => {
                vec![format!("curl -s {}/live", provider.health), format!("curl -s {}/ready", provider.health)]
            }
            CheckProvider::NAME => vec![own("verify-key"), own("doctor")],
            StopProvider::NAME => vec![stop(&provider.workload)],
            StartProvider::NAME => vec![start(&provider.workload)],
            RestartProvider::NAME => vec![stop(&provider.workload), start(&provider.workload)],
            MendSocket::NAME => vec![
                "# the folder of the socket: its recorded group, mode 2750; the socket: the same group, mode 0660"
                    .into(),
            ],
            ReadEncryption::NAME => vec![format!("less {}", shown(&apiserver.encryption_config))],
            RestoreEncryption::NAME => {
                let recorded = apiserver.recorded_encryption_config.as_deref();
                vec![put_back(recorded, &apiserver.encryption_config, self.run)]
            }
            LookApiserver::NAME | AwaitReload::NAME => {
                vec!["kubectl get --raw '/readyz?verbose' | grep kms".into()]
            }
            RestartApiserver::NAME => match &apiserver.workload {
                Some(workload) => vec![
                    "# only while the KMS of this node is healthy, and another API server is ready".into(),
                    stop(workload),
                    start(workload),
                ],
                None => vec!["# restart its API server, only while the KMS of this node is healthy".into()],
            },
            other => vec![format!("# {other}: there is no command for this step")],
        };
        let changes = doing.redoing.redo != Redo::Pure;
        if changes { std::iter::once(at).chain(lines).collect() } else { lines }
    }
}

fn put_back(recorded: Option<&Path>, place: &Path, run: &str) -> String {
    let (from, to) = (optional(recorded), shown(place));
    format!("cp -p {to} {to}.aside-{run} && cat {from} > {to}")
}

fn stop(workload: &KmsWorkload) -> String {
    match workload {
        KmsWorkload::Systemd(service) => format!("systemctl stop {}", quoted(&service.unit)),
        KmsWorkload::Docker(docker) => format!("docker stop {}", quoted(&docker.container)),
        KmsWorkload::StaticPod(pod) => format!("mv {} {}", shown(&pod.manifest), shown(&pod.parked)),
        KmsWorkload::Process(process) => format!("kill \"$(jq -r .pid {})\"", shown(&process.pidfile)),
    }
}

fn start(workload: &KmsWorkload) -> String {
    match workload {
        KmsWorkload::Systemd(service) => format!("systemctl start {}", quoted(&service.unit)),
        KmsWorkload::Docker(docker) => format!("docker start {}", quoted(&docker.container)),
        KmsWorkload::StaticPod(pod) => format!("mv {} {}", shown(&pod.parked), shown(&pod.manifest)),
        KmsWorkload::Process(process) => {
            let words: Vec<String> = process.command.iter().map(|word| quoted(word)).collect();
            format!("setsid {} >> {} 2>&1 &", words.join(" "), shown(&process.log))
        }
    }
}
