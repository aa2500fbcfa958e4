//! What stands beside a ciphertext in etcd, and what of it is authenticated with it.

use std::collections::HashMap;

use serde_json::json;

use super::key::hash;
use super::registry::Snapshot;

const DOMAIN: &str = ".kms.openbao.org";

/// Names a form of the authenticated data that differs from everybody else's, as a bug of one version would.
pub const BUG: &str = "STAND_IN_AAD_BUG";

fn values(of: &Snapshot, plugin: &str) -> [(&'static str, String); 7] {
    [
        ("provider", "openbao-transit".into()),
        ("key-id-hash", hash(&of.kubernetes_key_id)),
        ("transit-key-version", of.transit_version.to_string()),
        ("transit-mount-hash", hash(&of.transit_mount_id)),
        ("transit-key-hash", hash(&of.transit_key_lineage_id)),
        ("plugin-version", plugin.into()),
        ("aad-version", "v1".into()),
    ]
}

pub fn annotations(of: &Snapshot, plugin: &str) -> HashMap<String, Vec<u8>> {
    values(of, plugin).into_iter().map(|(name, value)| (format!("{name}{DOMAIN}"), value.into_bytes())).collect()
}

/// What is wrong with the annotations for this snapshot, as the gRPC error says it.
pub fn flaw(of: &Snapshot, annotations: &HashMap<String, Vec<u8>>) -> Option<&'static str> {
    let told = |name: &str| annotations.get(&format!("{name}{DOMAIN}")).and_then(|v| std::str::from_utf8(v).ok());
    let expected = values(of, "");
    let present = |(name, _): &(&str, String)| told(name).is_some_and(|value| !value.is_empty());
    let whole = expected.iter().all(present)
        && told("provider") == Some("openbao-transit")
        && ["key-id-hash", "transit-mount-hash", "transit-key-hash"]
            .iter()
            .all(|name| told(name).is_some_and(|v| v.len() == 43))
        && told("transit-key-version").is_some_and(|v| v.parse::<u64>().is_ok_and(|n| n > 0))
        && told("aad-version") == Some("v1");
    if !whole {
        return Some("annotations invalid");
    }
    let same = expected.iter().all(|(name, value)| *name == "plugin-version" || told(name) == Some(value));
    (!same).then_some("annotations do not match key snapshot")
}

pub fn canonical(of: &Snapshot) -> Vec<u8> {
    let purpose = if std::env::var_os(BUG).is_some() { "kubernetes-etcd" } else { "kubernetes-etcd-kms-v2" };
    let parts = json!([
        ["aad_version", "v1"],
        ["purpose", purpose],
        ["provider", "openbao-transit"],
        ["provider_name", of.provider_name],
        ["cluster_id_hash", hash(&of.cluster_id)],
        ["openbao_instance_hash", hash(&of.openbao_instance_id)],
        ["transit_mount_hash", hash(&of.transit_mount_id)],
        ["transit_key_hash", hash(&of.transit_key_lineage_id)],
        ["key_id_hash", hash(&of.kubernetes_key_id)],
        ["key_version", of.transit_version.to_string()],
    ]);
    parts.to_string().into_bytes()
}
