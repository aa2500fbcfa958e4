//! What only an API server shows: secrets in etcd, its own view of the provider's health, fallbacks that stay too long or go too early.

use std::time::Duration;

use serde_json::json;

use crate::kms::{Cluster, Site, eventually};

/// A part: its name, and what is done.
type Part = (&'static str, fn(&Site));

pub const PARTS: &[Part] = &[
    ("k1 k3 an API server reads on without its provider, and a fresh one does not", outage),
    ("k15 k16 a fallback that stays, and one that goes too early", fallback),
    ("k12 the API server sees that encrypt names another key", differs),
    ("the configuration for recover is made", configuration),
];

fn outage(site: &Site) {
    let cluster = Cluster::start(site).unwrap();
    let created = site.created();
    assert_eq!(cluster.write(0, "old", "older than the trouble").0, 201);
    assert!(cluster.is_encrypted("old"), "{:?}", String::from_utf8_lossy(&cluster.stored("old")));
    assert_eq!(cluster.read(1, "old"), Ok("older than the trouble".into()), "the other node has the key too");
    site.peer.told("POST", "sys/seal", &json!({}));
    site.nodes[0].becomes_unready_for("upsert_check_failed");
    // It goes on with what it decrypted before.
    assert_eq!(cluster.read(0, "old"), Ok("older than the trouble".into()));
    let unhealthy = || cluster.get(0, "/readyz").0 != 200;
    assert!(eventually(Duration::from_secs(90), unhealthy), "{:?}", cluster.get(0, "/readyz?verbose"));
    cluster.stop_server(1);
    cluster.start_server(1);
    std::thread::sleep(Duration::from_secs(10));
    assert!(cluster.read(1, "old").is_err(), "who was restarted meanwhile has nothing left");
    site.peer.unseal();
    site.nodes.iter().for_each(crate::kms::Node::becomes_ready);
    cluster.becomes_ready(1).unwrap();
    assert_eq!(cluster.read(1, "old"), Ok("older than the trouble".into()));
    assert!(eventually(Duration::from_secs(90), || cluster.get(0, "/readyz").0 == 200));
    // The socket goes, and comes back.
    site.nodes[0].kill();
    assert!(eventually(Duration::from_secs(90), unhealthy), "{:?}", cluster.get(0, "/readyz?verbose"));
    site.nodes[0].start();
    site.nodes[0].becomes_ready();
    assert!(eventually(Duration::from_secs(90), || cluster.get(0, "/readyz").0 == 200));
    cluster.restart_server(0).unwrap();
    assert_eq!(cluster.read(0, "old"), Ok("older than the trouble".into()));
    assert_eq!(site.created(), created);
}

fn fallback(site: &Site) {
    let cluster = Cluster::start(site).unwrap();
    assert_eq!(cluster.write(0, "old", "encrypted").0, 201);
    cluster.encrypts(0, &["identity", "kms"]);
    cluster.restart_server(0).unwrap();
    assert_eq!(cluster.write(0, "plain", "in plain text").0, 201);
    assert!(!cluster.is_encrypted("plain"), "that is the trouble");
    let config = cluster.encryption_config(0).display().to_string();
    let (_, doctor) = site.nodes[0].report("doctor", &["--encryption-config", &config]);
    assert!(doctor.to_string().contains("identity fallback remains configured"), "{doctor}");
    // It goes too early: what is in plain text cannot be read any more, and who cannot list all secrets does not become ready.
    cluster.encrypts(0, &["kms"]);
    cluster.stop_server(0);
    cluster.start_server(0);
    let reads = || cluster.read(0, "old") == Ok("encrypted".into());
    assert!(eventually(Duration::from_secs(90), reads), "{:?}", cluster.read(0, "old"));
    assert!(cluster.read(0, "plain").is_err(), "{:?}", cluster.read(0, "plain"));
    assert_ne!(cluster.get(0, "/readyz").0, 200);
    // The last known good one, then what is in plain text is written again, and only then the fallback goes.
    cluster.encrypts(0, &["kms", "identity"]);
    cluster.restart_server(0).unwrap();
    assert_eq!(cluster.read(0, "plain"), Ok("in plain text".into()));
    assert_eq!(cluster.write(0, "plain", "in plain text").0, 200);
    assert!(cluster.is_encrypted("plain"));
    cluster.encrypts(0, &["kms"]);
    cluster.restart_server(0).unwrap();
    for (name, says) in [("plain", "in plain text"), ("old", "encrypted")] {
        assert_eq!(cluster.read(0, name), Ok(says.into()));
    }
}

fn differs(site: &Site) {
    let cluster = Cluster::start(site).unwrap();
    assert_eq!(cluster.write(0, "old", "of version 1").0, 201);
    site.rotate();
    let created = site.created();
    site.nodes[0].races();
    cluster.restart_server(1).unwrap();
    // Its own look at the provider comes once a minute; one that is started looks at once.
    cluster.stop_server(0);
    cluster.start_server(0);
    let said = || cluster.get(0, "/readyz").1.as_str().is_some_and(|text| text.contains("[-]kms-provider"));
    // Its log says nothing of it as it is usually kept, so nobody may rest on the log.
    assert!(eventually(Duration::from_secs(60), said), "{:?}", cluster.get(0, "/readyz"));
    site.nodes[0].restart();
    site.nodes[0].becomes_ready();
    cluster.becomes_ready(0).unwrap();
    for node in 0..2 {
        assert_eq!(cluster.read(node, "old"), Ok("of version 1".into()));
    }
    assert_eq!(site.created(), created);
}

fn configuration(site: &Site) {
    let cluster = Cluster::start(site).unwrap();
    let path = crate::kms::configured(site, &cluster, "recover.token");
    let text = std::fs::read_to_string(path).unwrap();
    let config: toml::Value = toml::from_str(&text).unwrap();
    assert_eq!(config["target"]["kms-1"]["node"].as_table().unwrap().len(), 2);
}
