//! An API server for tests, with one Deployment, its pods, claims and volumes in memory, and whoever runs pods. It takes a change only
//! from what it says now, gives names once, and can be told to answer badly.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use crate::config::{ClaimConfig, KubernetesConfig, WorkloadKind};
use crate::fake::{Asked, Reply, Server};
use crate::storage::Looked;

/// A Deployment as an API server tells it, shortened.
pub(crate) fn deployment(name: &str, replicas: u64) -> Value {
    json!({
        "kind": "Deployment", "metadata": { "name": name, "uid": "owner-1", "resourceVersion": "1" },
        "spec": { "replicas": replicas, "selector": { "matchLabels": { "app": "edge" } }, "template": {
            "metadata": { "labels": { "app": "edge" } },
            "spec": {
                "containers": [{ "name": "connector", "image": "edge:1", "args": ["--secret-looking"],
                    "volumeMounts": [{ "name": "data", "mountPath": "/data" }, { "name": "token", "mountPath": "/token" }] }],
                "volumes": [
                    { "name": "data", "persistentVolumeClaim": { "claimName": "edge-data" } },
                    { "name": "token", "secret": { "secretName": "edge-token", "optional": true } },
                ],
            } } },
    })
}

pub(crate) fn claim_config(originals: &[&str]) -> ClaimConfig {
    ClaimConfig {
        mount: "/data".into(),
        originals: originals.iter().map(|name| (*name).to_owned()).collect(),
        identity: "identity.json".into(),
        reader: "recover:1".into(),
    }
}

/// What it has.
pub(crate) struct Site {
    pub(crate) owner: Value,
    pub(crate) pods: Vec<Value>,
    pub(crate) claims: Vec<Value>,
    pub(crate) volumes: Vec<Value>,
    pub(crate) secrets: Vec<Value>,
    pub(crate) leases: Vec<Value>,
    /// The serial of the identity on each claim that has one.
    pub(crate) identities: Vec<(String, String)>,
    /// Method and path of every request that changed something.
    pub(crate) changes: Vec<String>,
    /// Somebody scales it up again as soon as it is scaled down.
    pub(crate) scaled_by_another: bool,
    /// What is answered instead, once for each.
    pub(crate) instead: Vec<Reply>,
    made: u32,
    looks: u64,
}

impl Site {
    fn new() -> Self {
        let mut site = Self {
            owner: deployment("edge", 1),
            pods: Vec::new(),
            claims: Vec::new(),
            volumes: Vec::new(),
            secrets: Vec::new(),
            leases: Vec::new(),
            identities: Vec::new(),
            changes: Vec::new(),
            scaled_by_another: false,
            instead: Vec::new(),
            made: 0,
            looks: 0,
        };
        site.add_claim("edge-data", None);
        site.run_pod();
        site
    }

    pub(crate) fn add_claim(&mut self, name: &str, identity: Option<&str>) {
        let volume = format!("pv-{name}");
        self.claims.push(json!({
            "metadata": { "name": name, "uid": format!("claim-{name}") }, "status": { "phase": "Bound" },
            "spec": { "volumeName": volume, "accessModes": ["ReadWriteOnce"], "storageClassName": "disk",
                "resources": { "requests": { "storage": "1Gi" } } },
        }));
        self.volumes.push(json!({
            "metadata": { "name": volume, "uid": format!("uid-{name}"), "resourceVersion": "1" },
            "spec": { "persistentVolumeReclaimPolicy": "Delete", "csi": { "driver": "disk.example" } },
        }));
        self.identities.extend(identity.map(|serial| (name.to_owned(), serial.to_owned())));
    }

    /// What is mounted in the template.
    pub(crate) fn data(&mut self) -> &mut Value {
        &mut self.owner["spec"]["template"]["spec"]["volumes"][0]
    }

    /// Makes the pod that the Deployment wants.
    pub(crate) fn run_pod(&mut self) {
        self.made += 1;
        let n = self.made;
        let running = json!([{ "name": "connector", "restartCount": 0, "state": { "running": { "startedAt": format!("T{n}") } } }]);
        self.pods.push(json!({
            "metadata": { "name": format!("edge-{n}"), "uid": format!("pod-{n}"), "labels": { "app": "edge" } },
            "spec": self.owner["spec"]["template"]["spec"], "status": { "phase": "Running", "containerStatuses": running },
        }));
    }

    fn answer(&mut self, asked: &Asked) -> (u16, Value) {
        let (path, _) = asked.path.split_once('?').unwrap_or((&asked.path, ""));
        let body: Value = serde_json::from_str(&asked.body).unwrap_or_default();
        let (method, parts) = (asked.method.as_str(), path.split('/').skip(1).collect::<Vec<_>>());
        if method != "GET" {
            self.changes.push(format!("{method} {path}"));
        }
        match (method, parts.as_slice()) {
            ("GET", ["apis", "apps", "v1", "namespaces", _, "deployments"]) => (200, json!({ "items": [self.owner] })),
            (_, ["apis", "apps", "v1", "namespaces", _, "deployments", name, rest @ ..]) => {
                if self.owner["metadata"]["name"] != *name { no(404) } else { self.owner(method, rest, &body) }
            }
            ("GET", ["api", "v1", "namespaces", _, "pods", name, "log"]) => (200, self.log(name)),
            ("PATCH", ["api", "v1", "namespaces", _, "pods", name, "ephemeralcontainers"]) => self.added(name, &body),
            ("POST", ["api", "v1", "namespaces", _, "pods"]) => self.reader(body),
            ("GET", ["api", "v1", "persistentvolumes", name]) => found(&self.volumes, name),
            ("PATCH", ["api", "v1", "persistentvolumes", name]) => {
                let at = self.volumes.iter().position(|one| one["metadata"]["name"] == *name).unwrap();
                self.volumes[at]["spec"]["persistentVolumeReclaimPolicy"] =
                    body["spec"]["persistentVolumeReclaimPolicy"].clone();
                (200, self.volumes[at].clone())
            }
            (_, ["api", _, "namespaces", _, kind, rest @ ..] | ["apis", _, _, "namespaces", _, kind, rest @ ..]) => {
                let list = match *kind {
                    "pods" => &mut self.pods,
                    "persistentvolumeclaims" => &mut self.claims,
                    "secrets" => &mut self.secrets,
                    _ => &mut self.leases,
                };
                let done = kept(list, method, rest, body);
                if let ("POST", "persistentvolumeclaims", 201) = (method, *kind, done.0) {
                    // Somebody makes a volume for it.
                    let name = self.claims.pop().unwrap_or_default();
                    self.add_claim(name["metadata"]["name"].as_str().unwrap(), None);
                    self.claims.last_mut().unwrap()["metadata"]["labels"] = name["metadata"]["labels"].clone();
                }
                done
            }
            _ => no(404),
        }
    }

    fn owner(&mut self, method: &str, rest: &[&str], body: &Value) -> (u16, Value) {
        match (method, rest) {
            ("GET", []) => {}
            ("PATCH", ["scale"]) => {
                self.owner["spec"]["replicas"] = body["spec"]["replicas"].clone();
                if body["spec"]["replicas"] == 0 {
                    self.pods.retain(|pod| pod["metadata"]["labels"]["app"] != "edge");
                    if self.scaled_by_another {
                        self.owner["spec"]["replicas"] = 1.into();
                        self.run_pod();
                    }
                } else if !self.pods.iter().any(|pod| pod["metadata"]["labels"]["app"] == "edge") {
                    self.run_pod();
                }
            }
            ("PATCH", []) if body["metadata"]["resourceVersion"] != self.owner["metadata"]["resourceVersion"] => {
                return no(409);
            }
            ("PATCH", []) => {
                let volume = &body["spec"]["template"]["spec"]["volumes"][0];
                let all = self.owner["spec"]["template"]["spec"]["volumes"].as_array_mut().unwrap();
                let at = all.iter().position(|one| one["name"] == volume["name"]).unwrap();
                all[at] = volume.clone();
                all[at].as_object_mut().unwrap().retain(|_, value| !value.is_null());
                let version: u32 = self.owner["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
                self.owner["metadata"]["resourceVersion"] = (version + 1).to_string().into();
            }
            _ => return no(405),
        }
        (200, self.owner.clone())
    }

    /// The claim that a pod has mounted where it is looked at.
    fn claim_of(pod: &Value) -> Option<&str> {
        pod["spec"]["volumes"].as_array()?.iter().find_map(|one| one["persistentVolumeClaim"]["claimName"].as_str())
    }

    fn log(&mut self, pod: &str) -> Value {
        self.looks += 1;
        let pod = self.pods.iter().find(|one| one["metadata"]["name"] == pod);
        let claim = pod.and_then(Self::claim_of).unwrap_or_default();
        let home = crate::fake::on_disk();
        if let Some((_, serial)) = self.identities.iter().find(|(name, _)| name == claim) {
            std::fs::write(home.path().join("identity.json"), format!("{{\"serial\":\"{serial}\"}}")).unwrap();
        }
        super::printed(home.path(), "identity.json", self.looks).into()
    }

    fn added(&mut self, name: &str, body: &Value) -> (u16, Value) {
        let container = body["spec"]["ephemeralContainers"][0].clone();
        let pod = self.pods.iter_mut().find(|one| one["metadata"]["name"] == name).unwrap();
        pod["spec"]["ephemeralContainers"] = json!([container]);
        let running = json!({ "name": container["name"], "state": { "running": { "startedAt": "T" } } });
        pod["status"]["ephemeralContainerStatuses"] = json!([running]);
        (200, pod.clone())
    }

    /// A pod that looks: it ends at once.
    fn reader(&mut self, mut body: Value) -> (u16, Value) {
        body["metadata"]["uid"] = format!("reader-{}", self.looks).into();
        body["status"] = json!({ "phase": "Succeeded" });
        kept(&mut self.pods, "POST", &[], body)
    }
}

fn no(status: u16) -> (u16, Value) {
    (status, json!({ "kind": "Status", "message": "not so" }))
}

fn found(list: &[Value], name: &str) -> (u16, Value) {
    list.iter().find(|one| one["metadata"]["name"] == name).map_or(no(404), |one| (200, one.clone()))
}

fn kept(list: &mut Vec<Value>, method: &str, rest: &[&str], mut body: Value) -> (u16, Value) {
    let named = rest.first().map_or_else(|| body["metadata"]["name"].clone(), |name| (*name).into());
    let at = list.iter().position(|one| one["metadata"]["name"] == named);
    match (method, rest, at) {
        ("GET", [], _) => (200, json!({ "items": list })),
        ("GET", [_], Some(at)) => (200, list[at].clone()),
        ("DELETE", [_], Some(at)) => (200, list.remove(at)),
        ("POST", [], Some(_)) => no(409),
        ("POST", [], None) => {
            body["metadata"]["resourceVersion"] = "1".into();
            list.push(body.clone());
            (201, body)
        }
        ("PUT", [_], Some(at)) if body["metadata"]["resourceVersion"] != list[at]["metadata"]["resourceVersion"] => {
            no(409)
        }
        ("PUT", [_], Some(at)) => {
            let version: u32 = body["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
            body["metadata"]["resourceVersion"] = (version + 1).to_string().into();
            list[at] = body.clone();
            (200, body)
        }
        _ => no(404),
    }
}

/// The server, and a kubeconfig for it.
pub(crate) struct Fake {
    site: Arc<Mutex<Site>>,
    home: tempfile::TempDir,
    _server: Server,
}

impl Fake {
    pub(crate) async fn new() -> Self {
        let site = Arc::new(Mutex::new(Site::new()));
        let kept = Arc::clone(&site);
        let server = Server::new(move |asked| {
            let mut site = kept.lock().unwrap_or_else(PoisonError::into_inner);
            if !site.instead.is_empty() {
                return site.instead.remove(0);
            }
            let (status, body) = site.answer(&asked);
            let body = body.as_str().map_or_else(|| body.to_string(), str::to_owned);
            let length = body.len();
            Reply::Raw(format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"))
        })
        .await;
        let home = tempfile::tempdir().unwrap();
        let config = json!({
            "current-context": "c", "clusters": [{ "name": "c", "cluster": { "server": server.base } }],
            "users": [{ "name": "c", "user": { "token": "t" } }],
            "contexts": [{ "name": "c", "context": { "cluster": "c", "user": "c" } }],
        });
        std::fs::write(home.path().join("kubeconfig"), config.to_string()).unwrap();
        Self { site, home, _server: server }
    }

    pub(crate) fn site(&self) -> MutexGuard<'_, Site> {
        self.site.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn config(&self) -> KubernetesConfig {
        KubernetesConfig {
            kubeconfig: Some(self.home.path().join("kubeconfig")),
            context: None,
            namespace: "edge".into(),
            kind: WorkloadKind::Deployment,
            name: "edge".into(),
            container: None,
            token_secret: "edge-token".into(),
            token_key: "token".into(),
        }
    }

    /// What a look in the log would find, so that tests compare with the same words.
    pub(crate) fn serial(looked: &Looked) -> Option<&str> {
        match looked {
            Looked::There(identity) => Some(&identity.serial),
            Looked::Absent | Looked::Unreadable(_) => None,
        }
    }
}
