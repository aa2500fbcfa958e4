//! A real API server with its controllers is what the lanes on it take it for.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::kubernetes::{Api, Cluster};

/// Deployments become pods, who has no role is refused, what is written is in etcd, and the API server can be restarted alone.
pub fn the_cluster_itself(cluster: &mut Cluster) -> Vec<String> {
    let api = cluster.api();
    let labels = json!({ "app": "tried" });
    let pod = json!({ "metadata": { "labels": labels }, "spec": { "containers": [{ "name": "c", "image": "none" }] } });
    let spec = json!({ "selector": { "matchLabels": labels }, "template": pod });
    let deployments = "/apis/apps/v1/namespaces/default/deployments";
    api.post(deployments, &json!({ "metadata": { "name": "tried" }, "spec": spec }));
    let pods = "/api/v1/namespaces/default/pods?labelSelector=app%3Dtried";
    let mut problems = Vec::new();
    let mut wants = |holds: bool, what: &str| {
        if !holds {
            problems.push(what.to_owned());
        }
    };
    wants(until(&api, pods, |told| told["items"].as_array().is_some_and(|pods| pods.len() == 1)), "a pod is made");
    wants(cluster.api_of("edge").get(pods).is_ok_and(|told| told.status == 403), "who has no role is refused");
    api.post("/api/v1/namespaces/default/secrets", &json!({ "metadata": { "name": "s" }, "data": { "k": "djE=" } }));
    let stored = cluster.etcd_value("/registry/secrets/default/s").unwrap_or_default();
    wants(stored.windows(2).any(|bytes| bytes == b"v1"), "a secret is in etcd as it is");
    wants(cluster.restart_apiserver(vec!["--profiling=false".to_owned()]).is_ok(), "it comes up again");
    api.delete(&format!("{deployments}/tried"));
    wants(until(&api, pods, |told| told["items"].as_array().is_some_and(Vec::is_empty)), "the pod goes");
    problems
}

pub fn until(api: &Api, path: &str, holds: impl Fn(&Value) -> bool) -> bool {
    let until = Instant::now() + Duration::from_secs(30);
    while Instant::now() < until {
        if api.get(path).is_ok_and(|told| holds(&told.body)) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    false
}
