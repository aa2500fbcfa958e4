//! The configuration of `recover` for a site and its cluster.

use std::fs;

use serde_json::{Map, Value, json};

use super::cluster::Cluster;
use super::node::{PROVIDER, is_root};
use super::site::{KEY, MOUNT, NAMESPACE, Site};

/// Where the configuration is, with its state and its secrets beside it. The token is one of the site's.
pub fn configured(site: &Site, cluster: &Cluster, token: &str) -> std::path::PathBuf {
    let mut nodes = Map::new();
    let (user, groups) = cluster.user();
    for (n, node) in site.nodes.iter().enumerate() {
        let recorded = node.at("recorded.yaml");
        fs::copy(node.config(), &recorded).unwrap();
        fs::create_dir_all(node.at("fresh")).unwrap();
        let run = |command: Vec<String>, pidfile, log| json!({ "process": { "command": command, "pidfile": pidfile, "log": log } });
        let mut provider = json!({
            "command": node.at("bao-kms-provider"), "config": node.config(), "recorded_config": recorded,
            "workload": run(node.command(), node.pidfile(), node.at("provider.log")),
            "health": format!("http://127.0.0.1:{}", node.health), "metrics": format!("http://127.0.0.1:{}", node.metrics),
            "fresh_auth": node.at("fresh/login"), "backups": [node.at("backup")],
        });
        if is_root() {
            provider["user"] = json!(PROVIDER.to_string());
        }
        nodes.insert(node.name.clone(), json!({ "provider": provider, "apiserver": {
            "base": cluster.url(n), "encryption_config": cluster.encryption_config(n),
            "recorded_encryption_config": cluster.at(n, "recorded.yaml"), "without_identity": cluster.at(n, "without-identity.yaml"),
            "workload": run(cluster.command(n), cluster.pidfile(n), cluster.at(n, "log")),
            "user": user, "groups": groups,
        } }));
    }
    let file = |path: std::path::PathBuf| Value::String(format!("file:{}", path.display()));
    let target = json!({
        "kind": "kms",
        "openbao": { "address": format!("http://{}", site.proxy.address), "namespace": NAMESPACE, "mount": MOUNT, "key": KEY,
            "token": file(site.at(token)) },
        "cluster": { "base": cluster.url(0), "ca": cluster.ca(), "credential": file(cluster.token()),
            "objects": ["secrets/default/old"], "resources": ["secrets"] },
        "etcd": { "endpoints": [cluster.etcd_url()] },
        "snapshots": site.at("snapshots"),
        "node": nodes,
        "timing": { "stop_within": "20s", "ready_within": "20s", "apiserver_within": "120s", "settle": "5s" },
    });
    fs::create_dir_all(site.at("snapshots")).unwrap();
    super::give(&site.at("snapshots"), 0, 0, 0o700);
    let secrets = std::path::Path::new("/dev/shm").join(site.home().file_name().unwrap());
    let config =
        json!({ "state_dir": site.at("recover-state"), "secrets_dir": secrets, "target": { "kms-1": target } });
    let path = site.at("recover.toml");
    fs::write(&path, toml::to_string(&config).unwrap()).unwrap();
    path
}
