//! The rows of the table, one function each: break, see, mend by hand, read an old object, and look at the key's times of creation.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use crate::Needs;
use crate::kms::{
    APISERVER, CallFailure, EncryptResponse, Issuer, PROVIDER, SOCKET_GROUP, Site, eventually, give, hash,
};

/// A row: its name, what it needs, and what is done.
type Row = (&'static str, Needs, fn(&Site));

pub const ROWS: &[Row] = &[
    ("k1 the socket is gone, and its provider", Needs::Nothing, k1_socket),
    ("k2 the socket may not be used", Needs::Users, k2_permission),
    ("k3 sealed", Needs::Nothing, k3_sealed),
    ("k3 down", Needs::Nothing, k3_down),
    ("k3 the namespace is sealed", Needs::NamespaceSeal, k3_namespace),
    ("k4 the key can be exported", Needs::Nothing, k4_profile),
    ("k5 the key can be deleted", Needs::Nothing, k5_profile),
    ("k6 the issuer's signing key was replaced", Needs::Nothing, k6_jwt),
    ("k7 soft-deleted", Needs::Nothing, k7_soft),
    ("k7 deleted, with a snapshot", Needs::Nothing, k7_snapshot),
    ("k7 deleted, without one", Needs::Nothing, k7_lost),
    ("k8 another identity in the configuration, and no state", Needs::Nothing, k8_unknown),
    ("k8 another identity in the configuration", Needs::Nothing, k8_drift),
    ("k8 the state is gone after a rotation", Needs::Nothing, k8_state),
    ("k8 the state was rolled back", Needs::Nothing, k8_rollback),
    ("k9 a version came to be at another time", Needs::Nothing, k9_created),
    ("k10 a version between is not told of", Needs::Hiding, k10_between),
    ("k11 one node authenticates something else", Needs::Nothing, k11_aad),
    ("k12 encrypt names another key than status", Needs::Nothing, k12_key_id),
    ("k13 the lowest version that decrypts was raised", Needs::Nothing, k13_raised),
    ("k17 made again under its name", Needs::Nothing, k17_made_again),
    ("k18 a node without a state after a rotation", Needs::Nothing, k18_node),
    ("k19 encrypting may make keys", Needs::Nothing, k19_upsert),
    ("k20 the state cannot be kept", Needs::Users, k20_save),
];

/// What must hold once everything is mended.
fn whole(site: &Site, (says, object): &(String, EncryptResponse), created: &std::collections::BTreeMap<String, i64>) {
    let mut hashes = std::collections::BTreeSet::new();
    for node in &site.nodes {
        node.becomes_ready();
        assert_eq!(node.decrypt(object).unwrap(), says.as_bytes(), "{}: the old object", node.name);
        let status = node.status().unwrap();
        assert_eq!((status.version.as_str(), status.healthz.as_str()), ("v2", "ok"));
        assert_eq!(node.encrypt(b"new").unwrap().key_id, status.key_id);
        hashes.insert(hash(&status.key_id));
        assert_eq!(node.report("verify-key", &[]).0, 0, "{:?}", node.report("verify-key", &[]));
    }
    assert_eq!(hashes.len(), 1, "the nodes differ");
    let now = site.created();
    for (version, at) in created {
        assert_eq!(now.get(version), Some(at), "version {version} came to be at another time");
    }
}

fn refused<T: std::fmt::Debug>(of: Result<T, CallFailure>) -> (u16, String) {
    match of {
        Err(CallFailure::Refused(code, said)) => (code, said),
        other => panic!("{other:?}"),
    }
}

/// The status of one check in a report, and what it says.
fn check(report: &(i32, Value), id: &str) -> (String, String) {
    let checks = report.1["checks"].as_array().cloned().unwrap_or_default();
    let found = checks.iter().find(|check| check["id"] == id).unwrap_or_else(|| panic!("no {id} in {report:?}"));
    let word = |name: &str| found[name].as_str().unwrap().to_owned();
    (word("status"), word("message"))
}

/// Waits for the provider's end, and gives what it said last.
fn ends(site: &Site, node: usize) -> String {
    let node = &site.nodes[node];
    assert!(eventually(Duration::from_secs(20), || !node.runs()), "{} goes on: {}", node.name, node.log());
    node.log().lines().last().unwrap_or_default().to_owned()
}

fn class(site: &Site, name: &str) -> String {
    site.nodes[0].ready().1[name].as_str().unwrap_or_default().to_owned()
}

fn k1_socket(site: &Site) {
    let (old, created) = (site.object("k1"), site.created());
    site.nodes[0].kill();
    assert_eq!(
        site.nodes[0].status(),
        Err(CallFailure::NoConnection(std::io::ErrorKind::ConnectionRefused)),
        "left over"
    );
    fs::remove_file(site.nodes[0].socket()).unwrap();
    assert_eq!(site.nodes[0].status(), Err(CallFailure::NoConnection(std::io::ErrorKind::NotFound)));
    assert_eq!(check(&site.nodes[0].probe(), "socket.path").0, "fail");
    site.nodes[0].start();
    whole(site, &old, &created);
}

fn k2_permission(site: &Site) {
    let (old, created) = (site.object("k2"), site.created());
    assert_eq!(site.nodes[0].probe().0, 0, "{:?}", site.nodes[0].probe());
    give(&site.nodes[0].at("run"), PROVIDER, PROVIDER, 0o700);
    let (code, report) = site.nodes[0].probe();
    assert_eq!((code, check(&(code, report.clone()), "socket.path").0), (4, "fail".into()), "{report} as {APISERVER}");
    assert_eq!(site.nodes[0].ready().0, 200, "the provider itself is well");
    give(&site.nodes[0].at("run"), PROVIDER, SOCKET_GROUP, 0o2750);
    site.nodes[0].restart();
    whole(site, &old, &created);
    assert_eq!(site.nodes[0].probe().0, 0);
}

fn k3_sealed(site: &Site) {
    let (old, created) = (site.object("k3"), site.created());
    site.peer.told("POST", "sys/seal", &json!({}));
    site.nodes[0].becomes_unready_for("upsert_check_failed");
    assert_eq!(class(site, "metadata_error_class"), "sealed");
    assert_eq!(site.nodes[0].status().unwrap().healthz, "unhealthy");
    assert_eq!(refused(site.nodes[0].decrypt(&old.1)), (14, "transit unavailable".into()));
    assert_eq!(refused(site.nodes[0].encrypt(b"x")), (9, "status unhealthy".into()));
    site.peer.unseal();
    whole(site, &old, &created);
}

fn k3_down(site: &Site) {
    let (old, created) = (site.object("k3"), site.created());
    site.peer.go_down();
    site.nodes[0].becomes_unready_for("upsert_check_failed");
    site.nodes[0].becomes_unready_for("circuit_breaker_open");
    assert!(site.nodes[0].metric("openbao_kms_circuit_breaker_state") > 0.0);
    assert_eq!(refused(site.nodes[0].decrypt(&old.1)), (14, "transit unavailable".into()));
    site.peer.come_back();
    site.peer.unseal();
    whole(site, &old, &created);
}

fn k3_namespace(site: &Site) {
    let (old, created) = (site.object("k3"), site.created());
    site.peer.told("POST", "sys/namespaces/team/seal", &json!({}));
    site.nodes[0].becomes_unready_for("upsert_check_failed");
    assert_eq!(class(site, "metadata_error_class"), "sealed");
    assert_eq!(site.peer.admin("GET", "sys/health", "", &Value::Null).0, 200, "the node is not");
    site.peer.unseal_namespace("team");
    whole(site, &old, &created);
}

fn k4_profile(site: &Site) {
    let (old, created) = (site.object("k4"), site.created());
    site.peer.take_snapshot("right");
    site.configure(&json!({ "exportable": true }));
    site.nodes[0].becomes_unready_for("profile_invalid");
    let report = site.nodes[0].report("verify-key", &[]);
    let said = "blocking/cryptographic_safety: key material export is enabled";
    assert_eq!((report.0, check(&report, "transit.profile")), (4, ("fail".into(), said.into())));
    site.configure(&json!({ "exportable": false }));
    assert_eq!(site.nodes[0].report("verify-key", &[]).0, 4, "it goes one way");
    site.peer.restore_snapshot("right");
    whole(site, &old, &created);
}

fn k5_profile(site: &Site) {
    let (old, created) = (site.object("k5"), site.created());
    site.configure(&json!({ "deletion_allowed": true }));
    site.nodes[0].becomes_unready_for("profile_invalid");
    let report = site.nodes[0].report("doctor", &[]);
    let said = "blocking/api_server_availability: key deletion is allowed";
    assert_eq!((report.0, check(&report, "transit.profile")), (4, ("fail".into(), said.into())));
    assert_eq!(check(&report, "transit.probe").0, "skip", "and a skip is no pass");
    site.configure(&json!({ "deletion_allowed": false }));
    whole(site, &old, &created);
}

fn k6_jwt(site: &Site) {
    let (old, created) = (site.object("k6"), site.created());
    let next = Issuer::new();
    site.trust(&next);
    site.nodes[0].becomes_unready_for("upsert_check_failed");
    assert_eq!(class(site, "metadata_error_class"), "auth_failed");
    assert_eq!(refused(site.nodes[0].decrypt(&old.1)), (16, "transit authentication failed".into()));
    let report = site.nodes[0].report("doctor", &[]);
    assert_eq!((check(&report, "jwt.local").0, check(&report, "openbao.auth").0), ("pass".into(), "fail".into()));
    site.nodes.iter().for_each(|node| site.hand_out(node, &next));
    whole(site, &old, &created);
}

fn k7_soft(site: &Site) {
    let (old, created) = (site.object("k7"), site.created());
    site.told("DELETE", "transit/keys/kms/soft-delete", &Value::Null);
    site.nodes[0].becomes_unready_for("profile_invalid");
    let report = site.nodes[0].report("verify-key", &[]);
    assert_eq!(check(&report, "transit.profile").1, "blocking/api_server_availability: key is soft-deleted");
    site.told("POST", "transit/keys/kms/soft-delete-restore", &json!({}));
    whole(site, &old, &created);
}

fn delete(site: &Site) {
    site.configure(&json!({ "deletion_allowed": true }));
    site.told("DELETE", "transit/keys/kms", &Value::Null);
    site.nodes[0].becomes_unready_for("metadata_read_failed");
    assert_eq!(class(site, "metadata_error_class"), "not_found");
    let report = site.nodes[0].report("verify-key", &[]);
    assert_eq!((report.0, check(&report, "transit.metadata").0), (4, "fail".into()));
}

fn k7_snapshot(site: &Site) {
    let (old, created) = (site.object("k7"), site.created());
    site.peer.take_snapshot("right");
    delete(site);
    site.peer.restore_snapshot("right");
    whole(site, &old, &created);
}

fn k7_lost(site: &Site) {
    let old = site.object("k7");
    delete(site);
    assert_eq!(refused(site.nodes[0].decrypt(&old.1)).0, 3);
    // Whatever the provider tried since, it made no key.
    let (status, _) = site.peer.admin("LIST", "transit/keys", "team", &Value::Null);
    assert_eq!(status, 404, "a key was made");
}

/// Changes one line of a node's configuration.
fn edit(site: &Site, node: usize, from: &str, to: &str) {
    let path = site.nodes[node].config();
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(path, text.replace(from, to)).unwrap();
}

fn k8_unknown(site: &Site) {
    let (old, created) = (site.object("k8"), site.created());
    site.nodes[0].back_up();
    site.nodes[0].stop();
    edit(site, 0, "clusterId: cluster-1", "clusterId: cluster-2");
    fs::remove_file(site.nodes[0].state()).unwrap();
    fs::remove_file(site.nodes[0].checkpoint()).unwrap();
    site.nodes[0].start();
    site.nodes[0].becomes_ready();
    assert_eq!(refused(site.nodes[0].decrypt(&old.1)), (5, "key_id unknown".into()));
    assert!(site.nodes[0].metric("openbao_kms_decrypt_key_id_errors_total") >= 1.0);
    site.nodes[0].stop();
    edit(site, 0, "clusterId: cluster-2", "clusterId: cluster-1");
    site.nodes[0].restore_pair(&site.nodes[0].at("backup/key-registry.json"));
    site.nodes[0].start();
    whole(site, &old, &created);
}

fn k8_drift(site: &Site) {
    let (old, created) = (site.object("k8"), site.created());
    edit(site, 0, "instanceId: bao-1", "instanceId: bao-2");
    site.nodes[0].restart();
    let said = ends(site, 0);
    assert!(said.contains("persisted state OpenBao instance ID differs from current configuration"), "{said}");
    edit(site, 0, "instanceId: bao-2", "instanceId: bao-1");
    site.nodes[0].start();
    whole(site, &old, &created);
}

fn k8_state(site: &Site) {
    let old = site.object("k8");
    site.rotate();
    let created = site.created();
    site.nodes[0].stop();
    fs::remove_file(site.nodes[0].state()).unwrap();
    site.nodes[0].start();
    let said = ends(site, 0);
    assert!(said.contains("rollback detected: state file missing with checkpoint present"), "{said}");
    fs::remove_file(site.nodes[0].checkpoint()).unwrap();
    site.nodes[0].start();
    let said = ends(site, 0);
    assert!(said.contains("local registry state is absent and cannot be auto-bootstrapped"), "{said}");
    let (code, _) = site.nodes[0].report("rotation-plan", &[]);
    assert_eq!(code, 4);
    site.nodes[0].restore_pair(&site.nodes[1].state());
    site.nodes[0].start();
    whole(site, &old, &created);
}

fn k8_rollback(site: &Site) {
    let old = site.object("k8");
    site.nodes[0].back_up();
    site.rotate();
    let created = site.created();
    site.nodes[0].stop();
    fs::copy(site.nodes[0].at("backup/key-registry.json"), site.nodes[0].state()).unwrap();
    site.nodes[0].start();
    let said = ends(site, 0);
    assert!(said.contains("key registry state rollback detected: generation below checkpoint"), "{said}");
    site.nodes[0].restore_pair(&site.nodes[1].state());
    site.nodes[0].start();
    whole(site, &old, &created);
}

fn k9_created(site: &Site) {
    let old = site.object("k9");
    site.peer.take_snapshot("older");
    site.rotate();
    let (newer, created) = (site.object("k9 too"), site.created());
    site.peer.take_snapshot("right");
    site.nodes.iter().for_each(crate::kms::Node::stop);
    // What is restored is from before the rotation, and somebody rotates again.
    site.peer.restore_snapshot("older");
    std::thread::sleep(Duration::from_millis(1_100));
    site.told("POST", "transit/keys/kms/rotate", &json!({}));
    assert_ne!(site.created(), created);
    site.nodes[0].start();
    let said = ends(site, 0);
    assert!(said.contains("active Transit version creation time changed"), "{said}");
    site.peer.restore_snapshot("right");
    site.nodes.iter().for_each(crate::kms::Node::start);
    whole(site, &old, &created);
    whole(site, &newer, &created);
}

fn k10_between(site: &Site) {
    let (old, created) = (site.object("k10"), site.created());
    site.nodes[1].stop();
    site.told("POST", "transit/keys/kms/rotate", &json!({}));
    site.told("POST", "transit/keys/kms/rotate", &json!({}));
    site.peer.hide_version("team", "kms", 2, true);
    site.nodes[0].becomes_unready_for("profile_invalid");
    let report = site.nodes[0].report("rotation-plan", &[]);
    assert_eq!(report.0, 4, "{report:?}");
    let said = report.1["transitMetadataError"].as_str().unwrap().to_owned();
    assert!(said.contains("intermediate Transit version creation time not found"), "{said}");
    site.peer.hide_version("team", "kms", 2, false);
    site.nodes[1].start();
    for node in &site.nodes {
        assert!(
            eventually(Duration::from_secs(20), || node.metric("openbao_kms_key_version") >= 3.0),
            "{}",
            node.log()
        );
    }
    whole(site, &old, &created);
}

fn k11_aad(site: &Site) {
    let (old, created) = (site.object("k11"), site.created());
    site.nodes[0].program("g2", "v0.2.1", true);
    site.nodes[0].restart();
    site.nodes[0].becomes_ready();
    assert_eq!(refused(site.nodes[0].decrypt(&old.1)), (3, "transit decrypt failed".into()));
    assert!(site.nodes[0].log().contains("\"error_class\":\"aad_mismatch\""), "{}", site.nodes[0].log());
    assert_eq!(site.created(), created, "the key is the same: it is no k17");
    site.nodes[0].program("g2", "v0.2.0", false);
    site.nodes[0].restart();
    whole(site, &old, &created);
    // Annotations that somebody changed are refused before Transit is asked.
    let (_, mut changed) = old;
    let name = changed.annotations.keys().find(|name| name.starts_with("transit-key-hash")).unwrap().clone();
    changed.annotations.insert(name, hash("another").into_bytes());
    assert_eq!(refused(site.nodes[0].decrypt(&changed)), (3, "annotations do not match key snapshot".into()));
    assert_eq!(site.nodes[0].metric("openbao_kms_aad_validation_errors_total"), 1.0);
}

fn k12_key_id(site: &Site) {
    let old = site.object("k12");
    site.rotate();
    let created = site.created();
    site.nodes[0].races();
    let differs = || site.nodes[0].encrypt(b"x").unwrap().key_id != site.nodes[0].status().unwrap().key_id;
    assert!(eventually(Duration::from_secs(5), differs));
    assert_eq!(check(&site.nodes[0].probe(), "kms.key_id").0, "fail");
    assert_eq!(site.nodes[0].report("doctor", &[]).0, 0, "doctor does not ask the socket");
    site.nodes[0].restart();
    whole(site, &old, &created);
}

fn k13_raised(site: &Site) {
    let old = site.object("k13");
    site.rotate();
    let created = site.created();
    site.configure(&json!({ "min_decryption_version": 2 }));
    site.nodes[0].becomes_unready_for("profile_invalid");
    assert_eq!(refused(site.nodes[0].decrypt(&old.1)), (3, "transit decrypt failed".into()));
    assert_eq!(site.created().len(), 1, "hidden, and not lost");
    let report = site.nodes[0].report("verify-key", &[]);
    let (status, said) = check(&report, "key_id.deterministic");
    assert_eq!(
        (status.as_str(), said.as_str()),
        ("fail", "transit metadata invalid: Transit version creation time not found")
    );
    site.configure(&json!({ "min_decryption_version": 1 }));
    whole(site, &old, &created);
}

fn k17_made_again(site: &Site) {
    let (old, created) = (site.object("k17"), site.created());
    site.peer.take_snapshot("right");
    delete(site);
    std::thread::sleep(Duration::from_millis(1_100));
    site.told("POST", "transit/keys/kms", &json!({}));
    site.nodes[0].becomes_unready_for("profile_invalid");
    assert_eq!(refused(site.nodes[0].decrypt(&old.1)), (3, "transit decrypt failed".into()));
    assert!(site.nodes[0].log().contains("active Transit version creation time changed"), "{}", site.nodes[0].log());
    site.nodes.iter().for_each(crate::kms::Node::stop);
    site.peer.restore_snapshot("right");
    site.nodes.iter().for_each(crate::kms::Node::start);
    whole(site, &old, &created);
}

fn k18_node(site: &Site) {
    let old = site.object("k18");
    site.rotate();
    let created = site.created();
    site.nodes[1].stop();
    for path in [site.nodes[1].state(), site.nodes[1].checkpoint()] {
        fs::remove_file(path).unwrap();
    }
    site.nodes[1].start();
    let said = ends(site, 1);
    assert!(said.contains("cannot be auto-bootstrapped: latest_version is not 1"), "{said}");
    let report = site.nodes[1].report("verify-key", &[]);
    assert!(
        check(&report, "registry.state").1.starts_with("state file is absent; auto-bootstrap eligible=false"),
        "{report:?}"
    );
    site.nodes[1].restore_pair(&site.nodes[0].state());
    site.nodes[1].start();
    whole(site, &old, &created);
}

fn k19_upsert(site: &Site) {
    let (old, created) = (site.object("k19"), site.created());
    site.told("POST", "transit/config/keys", &json!({ "disable_upsert": false }));
    site.nodes[0].becomes_unready_for("upsert_allowed");
    let report = site.nodes[0].report("doctor", &[]);
    assert_eq!(check(&report, "transit.disable_upsert").0, "fail");
    site.told("POST", "transit/config/keys", &json!({ "disable_upsert": true }));
    whole(site, &old, &created);
}

fn k20_save(site: &Site) {
    let old = site.object("k20");
    give(&site.nodes[0].at("state"), 0, 0, 0o755);
    site.told("POST", "transit/keys/kms/rotate", &json!({}));
    let created = site.created();
    site.nodes[0].becomes_unready_for("state_save_failed");
    let bytes = fs::read(site.nodes[0].state()).unwrap();
    give(&site.nodes[0].at("state"), PROVIDER, PROVIDER, 0o750);
    for node in &site.nodes {
        assert!(
            eventually(Duration::from_secs(20), || node.metric("openbao_kms_key_version") >= 2.0),
            "{}",
            node.log()
        );
    }
    assert_ne!(fs::read(site.nodes[0].state()).unwrap(), bytes);
    whole(site, &old, &created);
    assert_eq!(site.nodes[0].metric("openbao_kms_rotation_persistence_degraded"), 0.0);
}
