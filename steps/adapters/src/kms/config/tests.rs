//! A whole configuration, and what of it is refused.

use serde_json::{Value, json};

use super::KmsConfig;

/// A whole configuration of one node.
pub(crate) fn whole() -> Value {
    json!({
        "openbao": { "address": "https://bao.example:8200", "ca": "/etc/recover/bao-ca.pem", "token": "file:/etc/recover/bao.token",
            "namespace": "team/k8s", "mount": "transit", "key": "kms" },
        "cluster": { "base": "https://127.0.0.1:6443", "ca": "/etc/kubernetes/pki/ca.crt", "credential": "file:/etc/recover/kube.token",
            "objects": ["secrets/default/old"], "resources": ["secrets", "things.example.com"] },
        "etcd": { "endpoints": ["https://127.0.0.1:2379"], "ca": "/etc/kubernetes/pki/etcd/ca.crt",
            "client": { "cert": "/etc/recover/etcd.crt", "key": "/etc/recover/etcd.key" } },
        "snapshots": "/var/lib/recover/snapshots",
        "node": { "cp-1": {
            "provider": { "command": "/usr/local/bin/bao-kms-provider", "config": "/etc/openbao-kms/config.yaml",
                "recorded_config": "/var/lib/recover/config.yaml", "user": "openbao-kms",
                "workload": { "systemd": { "unit": "bao-kms-provider.service" } },
                "health": "http://127.0.0.1:8082", "metrics": "http://127.0.0.1:8081",
                "backups": ["/var/backups/openbao-kms"] },
            "apiserver": { "encryption_config": "/etc/kubernetes/encryption-config.yaml",
                "recorded_encryption_config": "/var/lib/recover/encryption-config.yaml",
                "workload": { "static-pod": { "manifest": "/etc/kubernetes/manifests/kube-apiserver.yaml",
                    "parked": "/etc/kubernetes/parked/kube-apiserver.yaml", "container": "kube-apiserver" } } } } },
    })
}

fn checked(value: Value) -> Result<KmsConfig, String> {
    let config: KmsConfig = serde_json::from_value(value).map_err(|e| e.to_string())?;
    config.check().map_err(|e| e.to_string())?;
    Ok(config)
}

#[test]
fn a_whole_one_is_taken_and_its_subject_is_the_key() {
    let config = checked(whole()).unwrap();
    assert_eq!(config.subject(), "https://bao.example:8200/team/k8s/transit/keys/kms");
    let again: KmsConfig = serde_json::from_value(serde_json::to_value(&config).unwrap()).unwrap();
    assert_eq!(again, config);
}

#[test]
fn what_could_lead_elsewhere_is_refused_by_its_key() {
    for (pointer, value, key) in [
        ("/openbao/ca", Value::Null, "openbao.ca"),
        ("/cluster/ca", Value::Null, "cluster.ca"),
        ("/cluster/credential", Value::Null, "cluster.credential"),
        ("/cluster/objects", json!([]), "cluster.objects"),
        ("/cluster/objects", json!(["secrets"]), "cluster.objects"),
        ("/cluster/objects", json!(["secrets/../x"]), "cluster.objects"),
        ("/cluster/resources", json!(["a/b"]), "cluster.resources"),
        ("/etcd/endpoints", json!([]), "etcd.endpoints"),
        ("/etcd/ca", Value::Null, "etcd.ca"),
        ("/etcd/prefix", json!("registry/"), "etcd.prefix"),
        ("/snapshots", json!("a/b"), "snapshots"),
        ("/node", json!({}), "node"),
        ("/node/cp-1/provider/command", json!("bao-kms-provider"), "provider.command"),
        ("/node/cp-1/provider/config", json!("/etc/../x"), "provider.config"),
        ("/node/cp-1/provider/user", json!("a b"), "user"),
        ("/node/cp-1/provider/health", json!("https://127.0.0.1:1"), "provider.health"),
        ("/node/cp-1/provider/workload/systemd/unit", json!("x"), "workload.systemd.unit"),
        (
            "/node/cp-1/apiserver/workload/static-pod/parked",
            json!("/etc/kubernetes/manifests/x.yaml"),
            "workload.static-pod.parked",
        ),
    ] {
        let mut changed = whole();
        let place = changed.pointer_mut(pointer);
        match (place, pointer) {
            (Some(place), _) => *place = value,
            (None, "/etcd/prefix") => changed["etcd"]["prefix"] = value,
            (None, _) => panic!("{pointer}"),
        }
        let refused = checked(changed).unwrap_err();
        assert!(refused.starts_with(key), "{pointer}: {refused}");
    }
}

#[test]
fn a_key_that_is_not_known_is_refused_wherever_it_is() {
    for pointer in ["", "/openbao", "/cluster", "/etcd", "/node/cp-1", "/node/cp-1/provider", "/node/cp-1/apiserver"] {
        let mut changed = whole();
        changed.pointer_mut(pointer).unwrap()["unknwon"] = json!(1);
        assert!(checked(changed).unwrap_err().contains("unknown field `unknwon`"), "{pointer}");
    }
}
