//! The rows of the table that are broken here: how, what a person does when asked, and how it must end.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use super::bench::Bench;
use crate::kms::{Issuer, Node, PROVIDER, give};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    Recovered,
    /// By saying what is lost.
    Lost,
}

pub struct Case {
    pub name: &'static str,
    pub scenario: &'static str,
    pub breaks: fn(&Bench),
    /// Does what is asked for, and gives the choice.
    pub person: fn(&Bench, topic: &str) -> &'static str,
    pub ends: Ends,
    /// Whether the break leaves the key as it was, with whatever it added to it.
    pub keeps_key: bool,
    /// No real OpenBao can be brought to it.
    pub only_fake: bool,
    /// How the providers log in: `jwt` or `cert`. Those of one way stand together.
    pub auth: &'static str,
    /// What the lane itself puts right for the next round.
    pub afterwards: fn(&Bench),
}

const fn case(name: &'static str, scenario: &'static str, breaks: fn(&Bench)) -> Case {
    Case {
        name,
        scenario,
        breaks,
        person: agrees,
        ends: Ends::Recovered,
        keeps_key: true,
        only_fake: false,
        auth: "jwt",
        afterwards: nothing,
    }
}

pub const CASES: &[Case] = &[
    case("K1 socket gone", "kms-socket", socket_gone),
    case("K2 socket not permitted", "kms-socket", not_permitted),
    Case { person: unseals, ..case("K3 sealed", "kms-openbao-unavailable", seal) },
    Case { person: starts_and_unseals, keeps_key: false, ..case("K3 down", "kms-openbao-unavailable", down) },
    Case {
        person: unseals_namespace,
        only_fake: true,
        ..case("K3 namespace sealed", "kms-openbao-unavailable", seal_namespace)
    },
    Case { person: restores, ..case("K4 exportable", "kms-transit-profile", exportable) },
    case("K5 deletion allowed", "kms-transit-profile", deletable),
    case("K19 upsert allowed", "kms-transit-profile", upsert),
    case("K6 signing key rotated", "kms-auth", signing_key),
    case("K7 soft-deleted", "kms-key-missing", soft_deleted),
    Case { person: restores, keeps_key: false, ..case("K7 deleted, snapshot", "kms-key-missing", deleted) },
    Case {
        person: has_no_backup,
        keeps_key: false,
        ends: Ends::Lost,
        afterwards: put_back,
        ..case("K7 deleted, no backup, with a token that could make one", "kms-key-missing", deleted_and_could)
    },
    Case { person: restores, keeps_key: false, ..case("K17 made again", "kms-key-missing", made_again) },
    case("K8 identity drifted", "kms-unknown-key-id", drifted),
    case("K8 state lost", "kms-unknown-key-id", state_lost),
    case("K18 node replaced", "kms-unknown-key-id", node_replaced),
    Case { person: frees_disk, afterwards: keeps, ..case("K20 state not saved", "kms-unknown-key-id", not_saved) },
    Case { person: restores, keeps_key: false, ..case("K9 creation time changed", "kms-version-drift", time_changed) },
    Case {
        person: tells_again,
        only_fake: true,
        afterwards: keeps,
        ..case("K10 version between", "kms-version-drift", between)
    },
    Case { person: rolls_back, ..case("K11 other data authenticated", "kms-aad-mismatch", bug) },
    case("K12 key ids differ", "kms-key-id-mismatch", race),
    case("K13 minimum raised", "kms-min-decryption", raised),
    Case { person: forgets_backups, ..case("K15 fallback left", "kms-identity-fallback", fallback_left) },
    Case { person: forgets_backups, ..case("K16 fallback gone early", "kms-identity-fallback", fallback_gone) },
    Case { auth: "cert", ..case("K6 certificate expired", "kms-auth", certificate) },
];

fn nothing(_: &Bench) {}

fn keeps(bench: &Bench) {
    bench.keep();
}

/// What a person says where nothing has to be done besides.
fn agrees(_: &Bench, topic: &str) -> &'static str {
    let acts = ["-back", "-mended", "-restored", "-brought", "-freed", "-recorded", "-reachable"];
    // What `recover` would put back is a question, and no act.
    if topic != "put-back" && acts.iter().any(|act| topic.ends_with(act)) { "retry" } else { "approve" }
}

fn socket_gone(bench: &Bench) {
    bench.site.nodes[0].kill();
    drop(fs::remove_file(bench.site.nodes[0].socket()));
}

fn not_permitted(bench: &Bench) {
    give(&bench.site.nodes[0].at("run"), PROVIDER, PROVIDER, 0o700);
}

fn seal(bench: &Bench) {
    bench.site.peer.told("POST", "sys/seal", &json!({}));
    bench.site.nodes[0].becomes_unready();
}

fn unseals(bench: &Bench, topic: &str) -> &'static str {
    if topic == "openbao-back" {
        bench.site.peer.unseal();
    }
    agrees(bench, topic)
}

fn down(bench: &Bench) {
    bench.site.peer.go_down();
    bench.site.nodes[0].becomes_unready();
}

fn starts_and_unseals(bench: &Bench, topic: &str) -> &'static str {
    if topic == "openbao-back" {
        bench.site.peer.come_back();
        bench.site.peer.unseal();
    }
    agrees(bench, topic)
}

fn seal_namespace(bench: &Bench) {
    bench.site.peer.told("POST", &format!("sys/namespaces/{}/seal", crate::kms::NAMESPACE), &json!({}));
    bench.site.nodes[0].becomes_unready();
}

fn unseals_namespace(bench: &Bench, topic: &str) -> &'static str {
    if topic == "openbao-back" {
        bench.site.peer.unseal_namespace(crate::kms::NAMESPACE);
    }
    agrees(bench, topic)
}

fn exportable(bench: &Bench) {
    bench.site.peer.take_snapshot("right");
    bench.site.configure(&json!({ "exportable": true }));
    bench.site.nodes[0].becomes_unready();
}

/// Restores the snapshot that has the original key.
fn restores(bench: &Bench, topic: &str) -> &'static str {
    match topic {
        "snapshot-restored" => {
            bench.site.peer.restore_snapshot("right");
            "restored"
        }
        "profile-restored" => {
            bench.site.peer.restore_snapshot("right");
            "retry"
        }
        _ => agrees(bench, topic),
    }
}

fn deletable(bench: &Bench) {
    bench.site.configure(&json!({ "deletion_allowed": true }));
    bench.site.nodes[0].becomes_unready();
}

fn upsert(bench: &Bench) {
    bench.site.told("POST", "transit/config/keys", &json!({ "disable_upsert": false }));
    bench.site.nodes[0].becomes_unready();
}

fn signing_key(bench: &Bench) {
    let next = Issuer::new();
    bench.site.trust(&next);
    for node in &bench.site.nodes {
        fs::write(node.at("fresh/login"), next.token(&node.name, 3_600)).unwrap();
        give(&node.at("fresh/login"), 0, 0, 0o600);
    }
    bench.site.nodes.iter().for_each(Node::becomes_unready);
}

/// One that has expired, and a fresh one for the same key beside it. The provider reads its own when it begins.
fn certificate(bench: &Bench) {
    let node = &bench.site.nodes[0];
    node.stop();
    fs::write(node.at("client.pem"), bench.site.certified(node, (2019, 2020))).unwrap();
    fs::write(node.at("fresh/login"), bench.site.certified(node, (2020, 2100))).unwrap();
    give(&node.at("fresh/login"), 0, 0, 0o600);
    node.start();
    ends(node);
}

fn soft_deleted(bench: &Bench) {
    bench.site.told("DELETE", "transit/keys/kms/soft-delete", &Value::Null);
    bench.site.nodes[0].becomes_unready();
}

fn deleted(bench: &Bench) {
    bench.site.peer.take_snapshot("right");
    bench.site.configure(&json!({ "deletion_allowed": true }));
    bench.site.told("DELETE", "transit/keys/kms", &Value::Null);
    bench.site.nodes[0].becomes_unready();
}

/// Whoever recovers has a token that could make the key: nothing but `recover` itself keeps one from being made.
fn deleted_and_could(bench: &Bench) {
    deleted(bench);
    let at = |name: &str| bench.site.at(name);
    fs::copy(at("recover.token"), at("own.token")).unwrap();
    fs::copy(at("may-all.token"), at("recover.token")).unwrap();
}

fn has_no_backup(bench: &Bench, topic: &str) -> &'static str {
    if topic == "snapshot-restored" { "lost" } else { agrees(bench, topic) }
}

/// The lane has one all the same, and goes on.
fn put_back(bench: &Bench) {
    fs::copy(bench.site.at("own.token"), bench.site.at("recover.token")).unwrap();
    bench.site.peer.restore_snapshot("right");
    bench.site.nodes.iter().for_each(|node| node.restart());
    bench.site.nodes.iter().for_each(Node::becomes_ready);
}

fn made_again(bench: &Bench) {
    deleted(bench);
    std::thread::sleep(Duration::from_millis(1_100));
    bench.site.told("POST", "transit/keys/kms", &json!({}));
    bench.site.nodes[0].becomes_unready();
}

fn drifted(bench: &Bench) {
    let path = bench.site.nodes[0].config();
    let text = fs::read_to_string(&path).unwrap();
    fs::write(path, text.replace("clusterId: cluster-1", "clusterId: cluster-2")).unwrap();
    bench.site.nodes[0].restart();
    ends(&bench.site.nodes[0]);
}

fn ends(node: &Node) {
    assert!(crate::kms::eventually(Duration::from_secs(20), || !node.runs()), "{}", node.log());
}

fn state_lost(bench: &Bench) {
    let node = &bench.site.nodes[0];
    node.stop();
    fs::remove_file(node.state()).unwrap();
    node.start();
    ends(node);
}

/// The one whose registry has the lower generation, since each counts for itself: what its peer has is no older than what is recorded.
fn node_replaced(bench: &Bench) {
    let generation = |node: &&Node| {
        let state: Value = serde_json::from_slice(&fs::read(node.state()).unwrap()).unwrap();
        state["generation"].as_u64()
    };
    let node = bench.site.nodes.iter().min_by_key(generation).unwrap();
    node.stop();
    for path in [node.state(), node.checkpoint()] {
        fs::remove_file(path).unwrap();
    }
    // A new node has no backup of its own.
    for entry in fs::read_dir(node.at("backup")).unwrap().flatten() {
        fs::remove_file(entry.path()).unwrap();
    }
    node.start();
    ends(node);
}

fn not_saved(bench: &Bench) {
    give(&bench.site.nodes[0].at("state"), 0, 0, 0o755);
    bench.site.told("POST", "transit/keys/kms/rotate", &json!({}));
    bench.site.nodes[0].becomes_unready();
}

fn frees_disk(bench: &Bench, topic: &str) -> &'static str {
    if ["disk-freed", "registry-mended"].contains(&topic) {
        give(&bench.site.nodes[0].at("state"), PROVIDER, PROVIDER, 0o750);
    }
    agrees(bench, topic)
}

fn time_changed(bench: &Bench) {
    bench.site.peer.take_snapshot("older");
    bench.rotate();
    bench.site.peer.take_snapshot("right");
    bench.site.peer.restore_snapshot("older");
    std::thread::sleep(Duration::from_millis(1_100));
    bench.site.told("POST", "transit/keys/kms/rotate", &json!({}));
    bench.site.nodes[0].becomes_unready();
}

fn between(bench: &Bench) {
    bench.site.nodes[1].stop();
    bench.site.told("POST", "transit/keys/kms/rotate", &json!({}));
    bench.site.told("POST", "transit/keys/kms/rotate", &json!({}));
    let latest = bench.site.key()["latest_version"].as_u64().unwrap();
    bench.site.peer.hide_version(crate::kms::NAMESPACE, "kms", latest - 1, true);
    bench.site.nodes[0].becomes_unready();
}

fn tells_again(bench: &Bench, topic: &str) -> &'static str {
    if topic == "snapshot-restored" {
        bench.site.peer.hide_version(crate::kms::NAMESPACE, "kms", 0, false);
        return "restored";
    }
    agrees(bench, topic)
}

fn bug(bench: &Bench) {
    bench.site.nodes[0].program("g2", "v0.2.1", true);
    bench.site.nodes[0].restart();
    bench.site.nodes[0].becomes_ready();
    begins_anew(bench, "old");
}

/// The first API server forgets what it has in memory, and cannot read this object any more. Who cannot list all secrets does not become
/// ready.
fn begins_anew(bench: &Bench, object: &str) {
    bench.cluster.stop_server(0);
    bench.cluster.start_server(0);
    let refused = || bench.cluster.read(0, object).is_err_and(|(status, _)| status >= 500);
    assert!(crate::kms::eventually(Duration::from_secs(90), refused), "{:?}", bench.cluster.read(0, object));
}

fn rolls_back(bench: &Bench, topic: &str) -> &'static str {
    bench.site.nodes[0].program("g2", "v0.2.0", false);
    bench.site.nodes[0].restart();
    bench.site.nodes[0].becomes_ready();
    agrees(bench, topic)
}

fn race(bench: &Bench) {
    bench.site.nodes[0].races();
}

fn raised(bench: &Bench) {
    let latest = bench.site.key()["latest_version"].clone();
    bench.site.configure(&json!({ "min_decryption_version": latest }));
    bench.site.nodes[0].becomes_unready();
}

/// Something in plain text, and the fallback with it.
fn fallback_left(bench: &Bench) {
    let cluster = &bench.cluster;
    cluster.encrypts(0, &["identity", "kms"]);
    cluster.restart_server(0).unwrap();
    cluster.write(0, "plain", "in plain text");
    assert!(!cluster.is_encrypted("plain"));
    cluster.encrypts(0, &["kms", "identity"]);
    fs::copy(cluster.encryption_config(0), cluster.at(0, "recorded.yaml")).unwrap();
    cluster.restart_server(0).unwrap();
}

fn fallback_gone(bench: &Bench) {
    fallback_left(bench);
    bench.cluster.encrypts(0, &["kms"]);
    begins_anew(bench, "plain");
}

fn forgets_backups(bench: &Bench, topic: &str) -> &'static str {
    // Old backups in plain text have expired: whoever says so is asked by name.
    agrees(bench, topic)
}
