//! A connector in a Deployment, and then in a StatefulSet, of a real Kubernetes, with its identity on a claim. API server, controllers and
//! etcd are real; what runs pods is a stand-in of ours, and the volumes are directories of this host.

use std::cell::{Cell, RefCell};
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use crate::bench::Bench;
use crate::kubernetes::{Api, CLASS, Cluster, Kubelet, Node, Wanted};
use crate::kubernetes_cluster::{the_cluster_itself, until};
use crate::lane::{self, Figures, Ran, System};
use crate::pods_more;
use crate::sandbox::{RECOVER, Sandbox};

pub const NAME: &str = "edge-connector";
pub const SECRET: &str = "edge-connector-token";
/// The claim that the connector was installed with.
pub const ORIGINAL: &str = "edge-data";
/// Who runs `recover`.
pub const USER: &str = "edge";
pub const PODS: &str = "/api/v1/namespaces/default/pods";
pub const CLAIMS: &str = "/api/v1/namespaces/default/persistentvolumeclaims";
pub const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/default/leases";

/// What makes the connector's pod.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Deployment,
    StatefulSet,
}

impl Kind {
    /// As the API names it.
    fn plural(self) -> &'static str {
        match self {
            Self::Deployment => "deployments",
            Self::StatefulSet => "statefulsets",
        }
    }

    /// As the configuration names it.
    fn word(self) -> &'static str {
        match self {
            Self::Deployment => "deployment",
            Self::StatefulSet => "stateful-set",
        }
    }
}

pub struct Pods {
    pub cluster: Cluster,
    pub kubelet: Option<Kubelet>,
    pub api: Api,
    /// What the connector runs.
    command: Vec<String>,
    kind: Cell<Kind>,
    made: RefCell<u32>,
    before: RefCell<Before>,
}

/// What was there when the identity was lost.
#[derive(Default)]
struct Before {
    spec: Value,
    /// The original claim, if it is kept: its uid, its volume's uid, and the identity on it.
    original: Option<(Value, Value, Vec<u8>)>,
}

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";

/// What `docs/access.md` says of a role of this kind.
fn documented(kind: &str) -> String {
    let text = include_str!("../../docs/access.md").replace("namespace: edge", "namespace: default");
    let blocks = text.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.into_iter().find(|block| block.contains(&format!("\nkind: {kind}\n"))).unwrap().to_owned()
}

/// The rights that are asked for there, and whose they are.
fn grant(api: &Api) {
    role(api, Kind::Deployment);
    api.make(&format!("{RBAC}/clusterroles"), &documented("ClusterRole"));
    for (kind, at) in [("Role", "namespaces/default/rolebindings"), ("ClusterRole", "clusterrolebindings")] {
        let of = json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": "recover-edge-connector" });
        let who = json!([{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": USER }]);
        let body = json!({ "metadata": { "name": "recover" }, "roleRef": of, "subjects": who });
        api.post(&format!("{RBAC}/{at}"), &body);
    }
}

/// The role as it is there, or with the one word that is to be changed in it.
fn role(api: &Api, kind: Kind) {
    let roles = format!("{RBAC}/namespaces/default/roles");
    api.delete(&format!("{roles}/recover-edge-connector"));
    api.make(&roles, &documented("Role").replace("deployments", kind.plural()));
}

impl Pods {
    fn on(cluster: Cluster, sandbox: &Sandbox) -> Self {
        let (words, _) = crate::unit::words(sandbox);
        let after = |flag: &str| words[words.iter().position(|word| word == flag).unwrap() + 1].clone();
        let mut command = ["sandbox", "connector"].map(str::to_owned).to_vec();
        for (flag, value) in [
            ("--data", "/data".to_owned()),
            ("--token-file", "/token/token".to_owned()),
            ("--log", "-".to_owned()),
            ("--starts", after("--starts")),
            ("--control-plane", after("--control-plane")),
            ("--agent", after("--agent")),
        ] {
            command.extend([flag.to_owned(), value]);
        }
        let api = cluster.api();
        let images = ["edge:1", "recover:1"].map(|image| (image.to_owned(), PathBuf::from(RECOVER))).to_vec();
        let kubelet = Kubelet::start(&cluster, Node { images, backoff: Duration::from_millis(300) });
        let kind = Cell::new(Kind::Deployment);
        let (made, before) = (RefCell::default(), RefCell::default());
        Self { cluster, kubelet: Some(kubelet), api, command, kind, made, before }
    }

    /// Goes on as another kind, with the role for it. The identity is kept.
    fn becomes(&self, kind: Kind, bench: &Bench) {
        self.keep_identity(bench);
        self.clear();
        self.kind.set(kind);
        role(&self.api, kind);
        bench.configure(&self.workload());
    }

    /// The workload itself.
    pub fn at(&self) -> String {
        format!("/apis/apps/v1/namespaces/default/{}/{NAME}", self.kind.get().plural())
    }

    pub fn workload(&self) -> String {
        let kubeconfig = self.cluster.kubeconfig("recover", USER, "default");
        let kind = self.kind.get().word();
        format!(
            "workload = {{ kubernetes = {{ kubeconfig = {kubeconfig:?}, namespace = \"default\", kind = {kind:?}, name = {NAME:?}, token_secret = {SECRET:?} }} }}"
        )
    }

    /// Makes the workload, with this volume at `/data`.
    pub fn create(&self, data: &Value, more: &[&str]) {
        let words: Vec<&str> = self.command.iter().map(String::as_str).chain(more.iter().copied()).collect();
        let mut data = data.clone();
        data["name"] = "data".into();
        let container = json!({
            "name": "connector", "image": "edge:1", "args": words, "env": [{ "name": "PASSWORD", "value": "hunter2" }],
            "volumeMounts": [{ "name": "data", "mountPath": "/data" }, { "name": "token", "mountPath": "/token" }],
        });
        let pod = json!({
            "terminationGracePeriodSeconds": 5, "automountServiceAccountToken": false, "containers": [container],
            "volumes": [data, { "name": "token", "secret": { "secretName": SECRET, "optional": true } }],
        });
        let labels = json!({ "app": NAME });
        let mut body = json!({
            "metadata": { "name": NAME, "labels": { "team": "edge" } },
            "spec": { "replicas": 1, "selector": { "matchLabels": labels },
                "template": { "metadata": { "labels": labels }, "spec": pod } },
        });
        match self.kind.get() {
            Kind::Deployment => body["spec"]["strategy"] = json!({ "type": "Recreate" }),
            Kind::StatefulSet => body["spec"]["serviceName"] = NAME.into(),
        }
        let at = self.at();
        self.api.post(at.rsplit_once('/').unwrap().0, &body);
    }

    /// Waits until its one pod runs.
    pub fn runs(&self) -> bool {
        until(&self.api, PODS, |told| {
            let pods = told["items"].as_array().unwrap();
            pods.len() == 1 && pods[0]["status"]["containerStatuses"][0]["state"]["running"].is_object()
        })
    }

    /// Takes the workload and its pods away. Claims stay.
    pub fn clear(&self) {
        self.api.delete(&self.at());
        assert!(until(&self.api, PODS, |told| told["items"].as_array().is_some_and(Vec::is_empty)), "pods stay");
    }

    /// A claim of this name, bound, and its volume's directory.
    pub fn claim(&self, name: &str) -> PathBuf {
        if self.api.get(&format!("{CLAIMS}/{name}")).unwrap().status == 404 {
            let spec = json!({ "accessModes": ["ReadWriteOnce"], "storageClassName": CLASS,
                "resources": { "requests": { "storage": "1Gi" } } });
            self.api.post(CLAIMS, &json!({ "metadata": { "name": name }, "spec": spec }));
            assert!(until(&self.api, &format!("{CLAIMS}/{name}"), |told| told["status"]["phase"] == "Bound"), "{name}");
        }
        self.directory(name).unwrap()
    }

    fn directory(&self, claim: &str) -> Option<PathBuf> {
        let claim = self.api.get(&format!("{CLAIMS}/{claim}")).unwrap().body;
        Some(self.kubelet.as_ref().unwrap().directory_of(claim["spec"]["volumeName"].as_str()?))
    }

    pub fn fresh(&self) -> String {
        let name = format!("edge-new-{}", self.made.borrow());
        self.claim(&name);
        name
    }

    /// The workload, as the API server tells of it.
    pub fn owner(&self) -> Value {
        self.api.get(&self.at()).unwrap().body
    }

    /// What is mounted at `/data`, as the pod template says.
    pub fn data(&self) -> Value {
        self.owner().pointer("/spec/template/spec/volumes/0").cloned().unwrap_or_default()
    }

    /// Everything that is said of the workload, but for what is mounted.
    fn spec(&self) -> Value {
        let mut spec = self.owner()["spec"].take();
        spec["template"]["spec"]["volumes"][0].take();
        spec
    }

    /// The original claim's uid, its volume's, and the identity on it.
    fn original(&self) -> (Value, Value, Vec<u8>) {
        let claim = self.api.get(&format!("{CLAIMS}/{ORIGINAL}")).unwrap().body;
        let volume = claim["spec"]["volumeName"].as_str().unwrap_or_default().to_owned();
        let volume = self.api.get(&format!("/api/v1/persistentvolumes/{volume}")).unwrap().body;
        let identity = self.directory(ORIGINAL).and_then(|at| std::fs::read(at.join("identity.json")).ok());
        (claim["metadata"]["uid"].clone(), volume["metadata"]["uid"].clone(), identity.unwrap_or_default())
    }

    /// The sandbox takes the identity away that the connector has now.
    fn keep_identity(&self, bench: &Bench) -> PathBuf {
        let (own, identity) = (bench.sandbox().dir().join("data/identity.json"), self.identity(bench));
        if !identity.is_empty() && !own.exists() {
            std::fs::write(&own, identity).unwrap();
        }
        own
    }

    /// Loses the identity; the workload is made anew with this at `/data`, or with the original claim's name.
    pub fn lose_into(&self, bench: &Bench, keep_original: bool, data: &Value) {
        let own = self.keep_identity(bench);
        self.clear();
        bench.sandbox().command(&["up"]);
        if keep_original {
            let to = self.claim(ORIGINAL).join("identity.json");
            std::fs::write(to, std::fs::read(&own).unwrap()).unwrap();
        }
        bench.sandbox().lose(keep_original);
        bench.end_the_sandboxs_own();
        if !keep_original {
            // Somebody deleted the claim, and made it anew.
            self.api.delete(&format!("{CLAIMS}/{ORIGINAL}"));
            assert!(until(&self.api, &format!("{CLAIMS}/{ORIGINAL}"), |told| told["code"] == 404), "it stays");
            self.claim(ORIGINAL);
        }
        self.create(data, &[]);
        assert!(self.runs(), "its pod does not run");
        let original = keep_original.then(|| self.original());
        *self.before.borrow_mut() = Before { spec: self.spec(), original };
    }

    /// What runs left behind, beside the workload.
    pub fn left(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let secret = self.api.get(&format!("/api/v1/namespaces/default/secrets/{SECRET}")).unwrap();
        if secret.status != 404 {
            problems.push(format!("a token is left: {}", secret.body));
        }
        let pods = self.api.get(PODS).unwrap().body["items"].take();
        let names: Vec<&Value> = pods.as_array().unwrap().iter().map(|pod| &pod["metadata"]["name"]).collect();
        if names.iter().any(|name| name.as_str().unwrap().starts_with("recover-look")) {
            problems.push(format!("the pods are {names:?}"));
        }
        let mark = self.api.get(&format!("{LEASES}/recover-{NAME}")).unwrap().body;
        if !mark["spec"]["holderIdentity"].is_null() {
            problems.push(format!("the target is not given free: {mark}"));
        }
        problems
    }
}

impl System for Pods {
    /// A deployment with a wrong line: another claim, or none at all; or the claim was deleted and made anew.
    fn lose(&self, bench: &Bench, keep_original: bool) {
        let claim = |name: &str| json!({ "persistentVolumeClaim": { "claimName": name } });
        *self.made.borrow_mut() += 1;
        let odd = *self.made.borrow() % 2 == 1;
        let data = match (keep_original, odd) {
            (false, _) => claim(ORIGINAL),
            (true, true) => claim(&self.fresh()),
            (true, false) => json!({ "emptyDir": {} }),
        };
        self.lose_into(bench, keep_original, &data);
    }

    fn identity(&self, _: &Bench) -> Vec<u8> {
        let data = self.data();
        let claim = data["persistentVolumeClaim"]["claimName"].as_str();
        let directory = claim.and_then(|claim| self.directory(claim));
        directory.and_then(|at| std::fs::read(at.join("identity.json")).ok()).unwrap_or_default()
    }

    fn problems(&self, _: &Bench) -> Vec<String> {
        let mut problems = self.left();
        let pods = self.api.get(PODS).unwrap().body["items"].take();
        let pods = pods.as_array().unwrap();
        let restarts = pods.first().map(|pod| &pod["status"]["containerStatuses"][0]["restartCount"]);
        if pods.len() != 1 || restarts != Some(&json!(0)) {
            problems.push(format!("there are {} pods, restarts {restarts:?}", pods.len()));
        }
        let before = self.before.borrow();
        if self.spec() != before.spec {
            problems.push(format!("it was {} and is {}", before.spec, self.spec()));
        }
        if self.data()["persistentVolumeClaim"]["claimName"] != ORIGINAL {
            problems.push(format!("the original claim is not mounted, but {}", self.data()));
        }
        if let Some(original) = &before.original
            && self.original() != *original
        {
            problems.push("the original claim or its volume is another, or something else is on it".to_owned());
        }
        problems
    }
}

pub fn run(kills: u32) -> Ran {
    let wanted = Wanted { controllers: true, users: vec![USER.to_owned()], ..Wanted::default() };
    let mut cluster = match Cluster::start(wanted) {
        Ok(cluster) => cluster,
        Err(why) => return Ran::Not(why),
    };
    let mut problems = the_cluster_itself(&mut cluster);
    if !problems.is_empty() {
        problems.iter_mut().for_each(|problem| *problem = format!("the cluster itself: {problem}"));
        return Ran::Done { figures: Figures::default(), problems };
    }
    grant(&cluster.api());
    let sandbox = Sandbox::up();
    let mut system = Pods::on(cluster, &sandbox);
    let bench = Bench::new(sandbox, &system.workload(), Vec::new());
    bench.configure(&format!(
        "storage = {{ kubernetes-claim = {{ mount = \"/data\", originals = [{ORIGINAL:?}], reader = \"recover:1\" }} }}"
    ));
    match lane::run(&system, &bench, kills, 4) {
        Ran::Done { figures, mut problems } => {
            if problems.is_empty() {
                problems = stateful(&system, &bench, kills);
            }
            if problems.is_empty() {
                problems = pods_more::all(&mut system, &bench);
            }
            Ran::Done { figures, problems }
        }
        not @ Ran::Not(_) => not,
    }
}

/// The same as a StatefulSet, with a quarter of the kills: another controller makes the pod, under another name, and all else is alike.
fn stateful(system: &Pods, bench: &Bench, kills: u32) -> Vec<String> {
    system.becomes(Kind::StatefulSet, bench);
    let mut problems = match lane::run(system, bench, kills.div_ceil(4), 5) {
        Ran::Done { figures, problems } => {
            println!("real kubernetes: as a StatefulSet: {figures}");
            problems
        }
        Ran::Not(why) => vec![why],
    };
    problems.iter_mut().for_each(|problem| *problem = format!("as a StatefulSet: {problem}"));
    if problems.is_empty() {
        system.becomes(Kind::Deployment, bench);
    }
    problems
}
