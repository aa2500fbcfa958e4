//! What the stand-in must be awkward about, because the provider is: generations, half reports, skips, exit codes.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use crate::kms::{Node, PROVIDER, Site, eventually, give, is_root, load_registry};

/// A name, the way in, the generation, and what is tried.
type Part = (&'static str, &'static str, &'static str, fn(&Site));

pub const PARTS: &[Part] = &[
    ("reports name every check, and exit codes tell what failed", "jwt", "g2", reports),
    ("the first generation has fewer commands, and half a report is a success", "jwt", "g1", first_generation),
    ("the second says what it could not read", "jwt", "g2", second_generation),
    ("a configuration with a field too many is refused", "jwt", "g2", unknown_field),
    ("what is wrong with an EncryptionConfiguration is told, and its order is not", "jwt", "g2", encryption),
    ("a registry that was touched, linked or doubled is refused", "jwt", "g2", registry),
    ("a rotation is pending before it is active, and the chain of hashes holds", "jwt", "g2", rotation),
    ("a token with too many rights fails, and one with too few", "jwt", "g2", rights),
    ("health and metrics answer what they are asked for", "jwt", "g2", health),
    ("k6 a certificate is replaced, and its key opens with the pin alone", "cert", "g2", certificate),
];

fn ids(report: &Value) -> Vec<String> {
    let checks = report["checks"].as_array().cloned().unwrap_or_default();
    checks
        .iter()
        .map(|check| format!("{}:{}", check["id"].as_str().unwrap(), check["status"].as_str().unwrap()))
        .collect()
}

fn node(site: &Site) -> &Node {
    &site.nodes[0]
}

fn reports(site: &Site) {
    let (code, doctor) = node(site).report("doctor", &[]);
    let group = "socket.group:pass";
    let expected = [
        "config.load:pass",
        "config.validate:pass",
        group,
        "jwt.local:pass",
        "kubernetes.encryption_config:skip",
        "openbao.tls:pass",
        "openbao.auth:pass",
        "transit.capabilities:pass",
        "transit.metadata:pass",
        "transit.profile:pass",
        "transit.disable_upsert:pass",
        "transit.probe:pass",
        "key_id.deterministic:pass",
        "kms.status_encrypt:pass",
    ];
    assert_eq!((code, ids(&doctor)), (0, expected.map(str::to_owned).to_vec()), "{doctor}");
    let (code, verify) = node(site).report("verify-key", &[]);
    let expected = [
        "config.load:pass",
        "config.validate:pass",
        "openbao.tls:pass",
        "openbao.auth:pass",
        "transit.capabilities:pass",
        "transit.metadata:pass",
        "transit.profile:pass",
        "transit.disable_upsert:pass",
        "key_id.deterministic:pass",
        "registry.state:pass",
        "transit.version_restrictions:pass",
    ];
    assert_eq!((code, ids(&verify)), (0, expected.map(str::to_owned).to_vec()), "{verify}");
    let (code, plan) = node(site).report("rotation-plan", &[]);
    assert_eq!((code, &plan["latestTransitVersion"], &plan["transitMetadataStatus"]), (0, &json!(1), &json!("pass")));
    assert_eq!(plan["stateHash"], plan["stateCheckpointHash"]);
    let (_, verify) = node(site).report("verify-rotation", &[]);
    assert_eq!(verify["confidence"], "limited");
    assert_eq!(node(site).run(&["frobnicate"]).0, 2);
    assert_eq!(node(site).run(&["doctor", "--frobnicate", "x"]).0, 2);
    assert_eq!(node(site).run(&["doctor", "--config", "/nowhere"]).0, 3);
    fs::write(node(site).at("identity.jwt"), "no token").unwrap();
    let (code, doctor) = node(site).report("doctor", &[]);
    let told = ids(&doctor);
    assert_eq!(
        (code, told.last().unwrap().as_str()),
        (4, "openbao.auth:skip"),
        "what comes after is not in the report"
    );
}

fn first_generation(site: &Site) {
    assert_eq!(node(site).run(&["probe", "--socket", "/x"]).0, 2, "there is no such command");
    assert_eq!(node(site).ready().1["reasons"], Value::Null);
    site.peer.go_down();
    let (code, plan) = node(site).report("rotation-plan", &[]);
    assert_eq!((code, &plan["latestTransitVersion"], &plan["stateLoaded"]), (0, &Value::Null, &json!(true)), "{plan}");
    let (code, _) = node(site).report("verify-key", &[]);
    assert_eq!(code, 4);
}

fn second_generation(site: &Site) {
    site.peer.go_down();
    let (code, plan) = node(site).report("rotation-plan", &[]);
    assert_eq!(
        (code, &plan["transitMetadataStatus"], &plan["stateLoaded"]),
        (4, &json!("fail"), &json!(true)),
        "{plan}"
    );
    assert!(plan["transitMetadataError"].as_str().unwrap().starts_with("openbao "), "{plan}");
}

fn unknown_field(site: &Site) {
    let text = fs::read_to_string(node(site).config()).unwrap();
    fs::write(node(site).config(), format!("{text}surprise: 1\n")).unwrap();
    let (code, report) = node(site).report("doctor", &[]);
    assert_eq!((code, ids(&report)), (3, vec!["config.load:fail".to_owned()]));
    node(site).restart();
    assert!(eventually(Duration::from_secs(10), || !node(site).runs()));
    assert!(node(site).log().contains("unknown field `surprise`"), "{}", node(site).log());
}

fn encryption(site: &Site) {
    let path = node(site).at("encryption.yaml");
    let judged = |providers: Value| {
        let config = json!({ "apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration",
            "resources": [{ "resources": ["secrets"], "providers": providers }] });
        fs::write(&path, serde_yaml_ng::to_string(&config).unwrap()).unwrap();
        let (_, report) = node(site).report("doctor", &["--encryption-config", path.to_str().unwrap()]);
        ids(&report)
            .into_iter()
            .find_map(|id| id.strip_prefix("kubernetes.encryption_config:").map(str::to_owned))
            .unwrap()
    };
    let endpoint = format!("unix://{}", node(site).socket().display());
    let kms = |name: &str, endpoint: &str| json!({ "kms": { "apiVersion": "v2", "name": name, "endpoint": endpoint } });
    let identity = json!({ "identity": {} });
    assert_eq!(judged(json!([kms("openbao", &endpoint)])), "pass");
    assert_eq!(judged(json!([kms("openbao", &endpoint), identity])), "warn");
    assert_eq!(judged(json!([identity, kms("openbao", &endpoint)])), "warn", "it does not look at the order");
    assert_eq!(judged(json!([kms("another", &endpoint)])), "fail");
    assert_eq!(judged(json!([kms("openbao", "unix:///elsewhere")])), "fail");
}

fn registry(site: &Site) {
    let (state, checkpoint) = (node(site).state(), node(site).checkpoint());
    let (good, anchor) = (fs::read(&state).unwrap(), fs::read(&checkpoint).unwrap());
    let told = || load_registry(&state).map(|_| ()).map_err(|e| e.to_string());
    assert_eq!(told(), Ok(()));
    let text = String::from_utf8(good.clone()).unwrap();
    let put = |text: &str| fs::write(&state, text).unwrap();
    put(&text.replace("\"generation\": 1", "\"generation\": 2"));
    assert_eq!(told(), Err("key registry state corrupt: state hash mismatch".into()));
    put(&text.replace("\"generation\": 1,", "\"generation\": 1, \"generation\": 1,"));
    assert!(told().unwrap_err().contains("duplicate field"));
    put(&text.replace("\"generation\": 1,", "\"generation\": 1, \"more\": 1,"));
    assert!(told().unwrap_err().contains("unknown field"));
    fs::rename(&state, node(site).at("elsewhere")).unwrap();
    fs::write(node(site).at("elsewhere"), &good).unwrap();
    std::os::unix::fs::symlink(node(site).at("elsewhere"), &state).unwrap();
    assert_eq!(told(), Err("key registry state permissions unsafe: state file must not be a symlink".into()));
    fs::remove_file(&state).unwrap();
    assert_eq!(told(), Err("key registry state rollback detected: state file missing with checkpoint present".into()));
    fs::write(&state, &good).unwrap();
    give(&state, PROVIDER, PROVIDER, 0o644);
    assert!(told().unwrap_err().contains("mode must not include 0137"));
    give(&state, PROVIDER, PROVIDER, 0o640);
    fs::remove_file(&checkpoint).unwrap();
    assert_eq!(load_registry(&state).unwrap().checkpoint_status(), "missing");
    let (_, report) = node(site).report("verify-key", &[]);
    assert!(ids(&report).contains(&"registry.state:warn".to_owned()), "{report}");
    fs::write(&checkpoint, anchor).unwrap();
}

fn rotation(site: &Site) {
    let first = load_registry(&node(site).state()).unwrap().state.unwrap();
    site.told("POST", "transit/keys/kms/rotate", &json!({}));
    let pending = || node(site).ready().1["rotation_state"] == "pending";
    assert!(eventually(Duration::from_secs(10), pending), "{}", node(site).log());
    assert_eq!(node(site).ready().0, 200, "it goes on with the version before");
    let (_, plan) = node(site).report("rotation-plan", &[]);
    assert!(plan["pendingTransitVersion"] == 2 || plan["activeTransitVersion"] == 2, "{plan}");
    assert!(eventually(Duration::from_secs(20), || node(site).metric("openbao_kms_key_version") == 2.0));
    let last = load_registry(&node(site).state()).unwrap().state.unwrap();
    assert!(last.generation > first.generation && !last.previous_hash.is_empty());
    assert_eq!(last.snapshots.iter().map(|s| s.state.as_str()).collect::<Vec<_>>(), ["active", "retired"]);
    node(site).becomes_ready();
    let grpc = node(site).ledger().iter().filter(|line| line["what"] == "openbao").count();
    assert!(grpc > 3, "the account is empty");
}

fn rights(site: &Site) {
    let policy = |paths: Value| {
        site.told("POST", "sys/policies/acl/kms", &json!({ "policy": json!({ "path": paths }).to_string() }));
        let (_, report) = node(site).report("doctor", &[]);
        ids(&report)
    };
    let may = |words: &[&str]| json!({ "capabilities": words });
    let hot = json!({ "transit/keys/kms": may(&["read"]), "transit/config/keys": may(&["read"]),
        "transit/encrypt/kms": may(&["update"]), "transit/decrypt/kms": may(&["update"]) });
    let mut wide = hot.clone();
    wide["transit/keys/kms"] = may(&["read", "update"]);
    assert!(policy(wide).contains(&"transit.capabilities:fail".to_owned()));
    let mut narrow = hot.clone();
    narrow["transit/keys/kms"] = may(&["list"]);
    let told = policy(narrow);
    assert!(
        told.contains(&"transit.metadata:fail".to_owned()) && told.contains(&"transit.capabilities:fail".to_owned())
    );
    assert!(policy(hot).contains(&"transit.capabilities:pass".to_owned()));
}

fn health(site: &Site) {
    let (status, ready) = node(site).ready();
    assert_eq!(
        (status, &ready["status"], &ready["stale"], &ready["reasons"]),
        (200, &json!("ok"), &json!(false), &json!([]))
    );
    let metrics = node(site).metrics();
    for name in [
        "openbao_kms_status_key_id_hash{hash=",
        "openbao_kms_auth_login_total{status=\"ok\"}",
        "openbao_kms_rotation_state{state=\"active\"} 1",
        "openbao_kms_openbao_requests_total{operation=\"transit_metadata_read\",status=\"ok\"}",
    ] {
        assert!(metrics.contains(name), "no {name} in {metrics}");
    }
    node(site).stop();
    assert!(!node(site).socket().exists(), "who is told to end takes the socket along");
}

fn certificate(site: &Site) {
    let old = site.object("k6");
    let (good, pin) = (fs::read(node(site).at("client.pem")).unwrap(), fs::read(node(site).at("pin")).unwrap());
    let reason = if is_root() { "upsert_check_failed" } else { "circuit_breaker_open" };
    fs::write(node(site).at("pin"), "0000\n").unwrap();
    node(site).becomes_unready_for(reason);
    let (_, report) = node(site).report("doctor", &[]);
    assert!(ids(&report).contains(&"auth.cert.pkcs11:fail".to_owned()), "{report}");
    fs::write(node(site).at("pin"), pin).unwrap();
    node(site).becomes_ready();
    // One of another authority is as good as none.
    let other = crate::openbao::tls::ca(&node(site).at(""), "other-ca");
    crate::openbao::tls::files(&node(site).at(""), &other, "client", "cp-1");
    node(site).restart();
    assert!(eventually(Duration::from_secs(20), || !node(site).runs()), "{}", node(site).log());
    fs::write(node(site).at("client.pem"), good).unwrap();
    node(site).start();
    node(site).becomes_ready();
    assert_eq!(node(site).decrypt(&old.1).unwrap(), old.0.as_bytes());
}
