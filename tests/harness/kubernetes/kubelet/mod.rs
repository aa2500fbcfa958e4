//! A stand-in for a node, its kubelet, a scheduler and a provisioner of volumes: what it runs are real processes of this host, with the
//! pod's volumes as directories. There are no images, no namespaces of the kernel and no network of its own.
//!
//! What rests on it is what a kubelet is known to do: containers of a pod that is bound to the node are started once their volumes are
//! there, started again by the pod's restart policy with a growing pause, ended with the pod, and told of in the pod's status and log.

mod logs;
mod process;
mod volumes;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Api, Cluster};
use process::Container;
pub use volumes::CLASS;
use volumes::Volumes;

pub const NODE: &str = "node-1";
const PODS: &str = "/api/v1/namespaces/default/pods";
const PAUSE: Duration = Duration::from_millis(40);

/// What a node is told besides what the API server says.
#[derive(Clone)]
pub struct Node {
    /// What stands for an image: its name, and the program that is its entrypoint.
    pub images: Vec<(String, PathBuf)>,
    /// The first pause before a container is started again; each is twice as long as the one before, up to eight times the first.
    pub backoff: Duration,
}

/// A node at work. All that it started ends with it.
pub struct Kubelet {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    home: PathBuf,
}

impl Kubelet {
    pub fn start(cluster: &Cluster, node: Node) -> Self {
        let home = cluster.home().join("node");
        std::fs::create_dir_all(home.join("pods")).unwrap();
        let port = logs::serve(cluster, &home);
        let api = cluster.api();
        api.post("/api/v1/nodes", &json!({ "metadata": { "name": NODE } }));
        let status = json!({ "status": {
            "addresses": [{ "type": "InternalIP", "address": "127.0.0.1" }],
            "daemonEndpoints": { "kubeletEndpoint": { "Port": port } },
            "conditions": [{ "type": "Ready", "status": "True" }],
        } });
        api.patch(&format!("/api/v1/nodes/{NODE}/status"), &status);
        let stop = Arc::new(AtomicBool::new(false));
        let (told, place) = (Arc::clone(&stop), home.clone());
        let thread = std::thread::spawn(move || {
            let mut work = Work { api, node, volumes: Volumes::at(&place), home: place, pods: HashMap::new() };
            while !told.load(Ordering::Relaxed) {
                work.round();
                std::thread::sleep(PAUSE);
            }
        });
        Self { stop, thread: Some(thread), home }
    }

    /// The directory of the volume of this name.
    pub fn directory_of(&self, volume: &str) -> PathBuf {
        volumes::directory(&self.home, volume)
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

struct Work {
    api: Api,
    node: Node,
    home: PathBuf,
    volumes: Volumes,
    /// By their uid.
    pods: HashMap<String, Pod>,
}

#[derive(Default)]
struct Pod {
    containers: Vec<Container>,
    added: Vec<Container>,
    /// What was last said of it.
    said: Value,
}

impl Work {
    /// One look at everything. An API server that does not answer is asked again; what runs goes on.
    fn round(&mut self) {
        self.volumes.provide(&self.api);
        let Ok(told) = self.api.get(PODS) else { return };
        if told.status != 200 {
            return;
        }
        let all = told.body["items"].as_array().cloned().unwrap_or_default();
        for pod in &all {
            if pod["spec"]["nodeName"].is_null() && pod["metadata"]["deletionTimestamp"].is_null() {
                self.schedule(pod);
            } else if pod["spec"]["nodeName"] == NODE {
                self.pod(pod);
            }
        }
        let present = |uid: &String| all.iter().any(|pod| pod["metadata"]["uid"] == uid.as_str());
        // What the API server does not know any more is ended, whoever took it away.
        self.pods.retain(|uid, _| present(uid));
    }

    fn schedule(&self, pod: &Value) {
        let name = word(pod, "name");
        let target = json!({ "apiVersion": "v1", "kind": "Node", "name": NODE });
        let body = json!({ "apiVersion": "v1", "kind": "Binding", "metadata": { "name": name }, "target": target });
        drop(self.api.send("POST", &format!("{PODS}/{name}/binding"), Some(&body)));
    }

    fn pod(&mut self, told: &Value) {
        let (uid, name) = (word(told, "uid"), word(told, "name"));
        let folder = self.home.join("pods").join(&uid);
        let pod = self.pods.entry(uid.clone()).or_default();
        if !told["metadata"]["deletionTimestamp"].is_null() {
            let grace = told["metadata"]["deletionGracePeriodSeconds"].as_u64().unwrap_or(30);
            let grace = Duration::from_secs(grace);
            // Each is told, also where an earlier one has not ended yet.
            let left =
                pod.containers.iter_mut().chain(&mut pod.added).filter_map(|one| (!one.end(grace)).then_some(()));
            if left.count() == 0 {
                let body = json!({ "gracePeriodSeconds": 0, "preconditions": { "uid": uid } });
                drop(self.api.send("DELETE", &format!("{PODS}/{name}"), Some(&body)));
            }
            return;
        }
        if matches!(told["status"]["phase"].as_str(), Some("Succeeded" | "Failed")) {
            return;
        }
        let Some(mounts) = self.volumes.mounted(&self.api, told, &folder) else {
            return say(&self.api, &name, pod, json!({ "phase": "Pending" }));
        };
        let policy = told["spec"]["restartPolicy"].as_str().unwrap_or("Always").to_owned();
        let made = |spec: &Value, policy: &str| {
            Container::new(spec, &mounts, &self.node, &folder, policy).unwrap_or_else(|why| panic!("{why}"))
        };
        if pod.containers.is_empty() {
            pod.containers = list(told, "containers").iter().map(|spec| made(spec, &policy)).collect();
        }
        for spec in list(told, "ephemeralContainers") {
            if !pod.added.iter().any(|one| spec["name"] == one.name.as_str()) {
                pod.added.push(made(spec, "Never"));
            }
        }
        pod.containers.iter_mut().chain(&mut pod.added).for_each(Container::tend);
        let over = pod.containers.iter().all(Container::is_over);
        let well = pod.containers.iter().all(|one| one.ended_with() == Some(0));
        let ready = pod.containers.iter().all(Container::runs);
        let phase = match (over, well) {
            (true, true) => "Succeeded",
            (true, false) => "Failed",
            (false, _) => "Running",
        };
        let of = |all: &[Container]| all.iter().map(Container::status).collect::<Vec<Value>>();
        let status = json!({
            "phase": phase, "podIP": "127.0.0.1", "hostIP": "127.0.0.1",
            "conditions": [
                { "type": "PodScheduled", "status": "True" },
                { "type": "Ready", "status": if ready { "True" } else { "False" } },
            ],
            "containerStatuses": of(&pod.containers), "ephemeralContainerStatuses": of(&pod.added),
        });
        say(&self.api, &name, pod, status);
    }
}

/// Tells the API server how a pod is, if that has changed.
fn say(api: &Api, name: &str, pod: &mut Pod, status: Value) {
    if pod.said == status {
        return;
    }
    let told = api.send("PATCH", &format!("{PODS}/{name}/status"), Some(&json!({ "status": status })));
    if told.is_ok_and(|told| told.status == 200) {
        pod.said = status;
    }
}

fn word(told: &Value, name: &str) -> String {
    told["metadata"][name].as_str().unwrap_or_default().to_owned()
}

fn list<'a>(told: &'a Value, name: &str) -> &'a [Value] {
    told["spec"][name].as_array().map_or(&[], Vec::as_slice)
}

/// The file with the output of a container's life.
fn log_of(pods: &Path, uid: &str, container: &str, life: u32) -> PathBuf {
    pods.join(uid).join(format!("{container}.{life}.log"))
}
