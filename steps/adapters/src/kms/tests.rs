//! The whole world on a fake OpenBao, a provider's program that is a script, and files.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use recover_engine::RunId;
use recover_steps::kms::{
    CheckProvider, ConfigSeen, KeySeen, Node as Name, NodeSeen, OpenbaoSeen, ProviderChecked, RestartApiserver,
    RestoreEncryption,
};
use serde_json::{Value, json};

use super::Kms;
use super::key::Lowest;
use super::settings::tests::text;
use crate::facts::Facts;
use crate::fake::{Reply, Server};
use crate::openbao::Change;
use crate::trouble::Trouble;

/// What OpenBao answers of the key.
fn told(versions: &Value, decryption: u64, latest: u64) -> Value {
    json!({ "data": { "name": "kms", "type": "aes256-gcm96", "derived": false, "deletion_allowed": false, "exportable": false,
        "allow_plaintext_backup": false, "min_available_version": 0, "min_decryption_version": decryption,
        "min_encryption_version": 0, "latest_version": latest, "supports_encryption": true, "supports_decryption": true,
        "supports_signing": false, "supports_derivation": true, "auto_rotate_period": 0, "imported_key": false,
        "soft_deleted": false, "keys": versions } })
}

struct Site {
    dir: tempfile::TempDir,
    server: Server,
    key: Arc<Mutex<(u16, Value)>>,
}

impl Site {
    async fn new(status: u16, key: Value) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key = Arc::new(Mutex::new((status, key)));
        let kept = Arc::clone(&key);
        let server = Server::new(move |asked| match asked.path.as_str() {
            "/v1/transit/config/keys" => Reply::Json(200, json!({ "data": { "disable_upsert": true } }).to_string()),
            "/v1/transit/keys/kms/config" => Reply::Json(200, "{}".into()),
            "/v1/transit/keys/kms" => {
                let (status, body) = kept.lock().unwrap().clone();
                Reply::Json(status, body.to_string())
            }
            // Where a namespace is sealed, the server is well, and does not tell everybody of the seal.
            "/v1/sys/health" if kept.lock().unwrap().0 == 503 => {
                let health = json!({ "initialized": true, "sealed": false, "standby": false, "server_time_utc": 7, "version": "2" });
                Reply::Json(200, health.to_string())
            }
            "/v1/sys/namespaces/team/seal-status" => {
                Reply::Json(403, json!({ "errors": ["permission denied"] }).to_string())
            }
            _ => Reply::Json(200, "<html>a proxy</html>".into()),
        })
        .await;
        let site = Self { dir, server, key };
        std::fs::write(site.at("token"), "s.t0k3n-canary").unwrap();
        std::fs::set_permissions(site.at("token"), std::fs::Permissions::from_mode(0o600)).unwrap();
        let settings = text(&site.at("state/key-registry.json"), &site.at("kms.sock"));
        std::fs::write(site.at("config.yaml"), settings.replace("64210", "''").replace("  namespace: team\n", ""))
            .unwrap();
        site.program("exit 1");
        site
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The provider's program.
    fn program(&self, body: &str) {
        let fresh = self.at("fresh");
        std::fs::write(&fresh, format!("#!/bin/sh\n{body}\n")).unwrap();
        std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::rename(fresh, self.at("program")).unwrap();
    }

    fn kms(&self, recorded: &[(&str, &str)]) -> Kms {
        self.kms_in("", recorded)
    }

    /// The same in a namespace.
    fn kms_in(&self, namespace: &str, recorded: &[(&str, &str)]) -> Kms {
        let at = |name: &str| self.at(name).display().to_string();
        let mut config = json!({
            "openbao": { "address": self.server.base, "token": format!("file:{}", at("token")), "mount": "transit", "key": "kms" },
            "cluster": { "base": "http://127.0.0.1:9", "credential": format!("file:{}", at("token")), "objects": ["secrets/default/old"] },
            "node": { "cp-1": {
                "provider": { "command": at("program"), "config": at("config.yaml"), "health": "http://127.0.0.1:9",
                    "workload": { "process": { "command": ["/bin/sleep", "97531"], "pidfile": at("pid"), "log": at("log") } } },
                "apiserver": { "encryption_config": at("encryption.yaml"), "recorded_encryption_config": at("recorded-encryption.yaml"),
                    "workload": { "process": { "command": ["/bin/sleep", "86431"], "pidfile": at("api.pid"), "log": at("api.log") } } } } },
            "etcd": { "endpoints": [self.server.base] },
            "timing": { "apiserver_within": "10ms", "stop_within": "2s" },
        });
        if !namespace.is_empty() {
            config["openbao"]["namespace"] = json!(namespace);
        }
        let kms = Kms::new(serde_json::from_value(config).unwrap()).unwrap();
        let facts: Facts = recorded.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        if facts.is_empty() { kms } else { kms.recorded_as(&facts) }
    }

    fn posts(&self) -> usize {
        self.server.requests().iter().filter(|request| !request.starts_with("GET ")).count()
    }
}

const RECORDED: &[(&str, &str)] =
    &[("key.version.1", "1700000000"), ("key.version.2", "1710000000"), ("key.min_decryption_version", "1")];

#[tokio::test]
async fn k9_k10_k17_the_times_of_the_versions_tell_the_original_from_another_key() {
    let whole = json!({ "1": 1_700_000_000, "2": 1_710_000_000 });
    let site = Site::new(200, told(&whole, 1, 2)).await;
    let seen = async |recorded: &[(&str, &str)], versions: Value, decryption: u64, latest: u64| {
        *site.key.lock().unwrap() = (200, told(&versions, decryption, latest));
        site.kms(recorded).read_key().await.unwrap()
    };
    assert!(matches!(seen(RECORDED, whole.clone(), 1, 2).await, KeySeen::Original { .. }));
    assert!(matches!(seen(&[], whole.clone(), 1, 2).await, KeySeen::Unrecorded { .. }));
    // One that was made again begins at 1.
    let again = seen(RECORDED, json!({ "1": 1_790_000_000 }), 1, 1).await;
    assert!(matches!(again, KeySeen::Altered { ref versions, .. } if *versions == [1]), "{again:?}");
    let older = seen(RECORDED, json!({ "1": 1_700_000_000 }), 1, 1).await;
    assert!(matches!(older, KeySeen::Incomplete { ref versions, .. } if *versions == [2]), "{older:?}");
    let hole = seen(RECORDED, json!({ "1": 1_700_000_000, "2": 1_710_000_000, "4": 1_730_000_000 }), 1, 4).await;
    assert!(matches!(hole, KeySeen::Incomplete { ref versions, .. } if *versions == [3]), "{hole:?}");
    // Below a raised lowest version nothing is told of, and nothing is lost by that.
    let raised = seen(RECORDED, json!({ "2": 1_710_000_000 }), 2, 2).await;
    assert!(
        matches!(raised, KeySeen::Original { ref facts } if facts.recorded_min_decryption == Some(1)),
        "{raised:?}"
    );
    assert_eq!(site.posts(), 0);
}

#[tokio::test]
async fn k7_a_missing_one_is_missing_and_a_page_of_a_proxy_is_no_answer() {
    let site = Site::new(404, json!({ "errors": [] })).await;
    assert_eq!(site.kms(RECORDED).read_key().await, Ok(KeySeen::Missing));
    assert!(!site.kms(RECORDED).may_encrypt().await && !site.kms(RECORDED).bootstraps().await);
    let seen = site.kms(RECORDED).look_openbao().await;
    assert!(matches!(seen, OpenbaoSeen::Unreachable { .. }), "{seen:?}");
    let changed = site.kms(RECORDED).change(Change::disable_upsert()).await;
    assert!(matches!(changed, Err(Trouble::Refused(_))), "{changed:?}");
    assert_eq!(site.posts(), 0);
}

#[tokio::test]
async fn k3_a_sealed_namespace_is_seen_by_its_answers_where_its_seal_may_not_be_asked_for() {
    let site = Site::new(503, json!({ "errors": ["namespace is sealed"] })).await;
    let seen = site.kms_in("team", RECORDED).look_openbao().await;
    assert!(matches!(&seen, OpenbaoSeen::Sealed { what, .. } if what == "the namespace team"), "{seen:?}");
    *site.key.lock().unwrap() = (503, json!({ "errors": ["permission denied"] }));
    let seen = site.kms_in("team", RECORDED).look_openbao().await;
    assert!(matches!(seen, OpenbaoSeen::Available { .. }), "{seen:?}");
    assert_eq!(site.posts(), 0);
}

#[tokio::test]
async fn k13_a_lowest_version_is_lowered_to_what_is_recorded_and_to_nothing_else() {
    let site = Site::new(200, told(&json!({ "3": 1_720_000_000 }), 3, 3)).await;
    let kms = site.kms(RECORDED);
    for to in [2, 4, 0] {
        let lowered = kms.lower(Lowest::Decrypting, to).await;
        assert!(to == 4 || matches!(lowered, Err(Trouble::Refused(_))), "{to}: {lowered:?}");
    }
    assert_eq!(site.posts(), 0);
    // It is accepted, and does not hold: that is not known to be done.
    let lowered = kms.lower(Lowest::Decrypting, 1).await;
    assert!(matches!(lowered, Err(Trouble::Unknown(_))), "{lowered:?}");
    assert_eq!(site.posts(), 1);
}

#[tokio::test]
async fn the_providers_own_checks_count_only_if_all_of_them_passed() {
    let site = Site::new(200, told(&json!({ "1": 1_700_000_000 }), 1, 1)).await;
    let report = |more: &str| {
        let ids = ["config.validate", "openbao.tls", "openbao.auth", "transit.capabilities", "transit.metadata"];
        let rest = ["transit.profile", "transit.disable_upsert", "transit.version_restrictions"];
        let pass = |id: &&str| format!(r#"{{"id":"{id}","title":"t","status":"pass","message":"m"}}"#);
        let all: Vec<String> = ids.iter().chain(&rest).map(pass).collect();
        format!(r#"{{"name":"verify-key","checks":[{}{more}]}}"#, all.join(","))
    };
    let kms = site.kms(&[]);
    let checked = async |out: &str, code: i32| {
        site.program(&format!(
            "test \"$2\" = --help && echo '--config --output' && exit 0\ntest -z \"$HOME$RECOVER_CONFIG\" || exit 1\ncat <<'E'\n{out}\nE\nexit {code}"
        ));
        let step = CheckProvider { node: Name("cp-1".into()), metadata_only: true };
        kms.check_provider(kms.nodes.get("cp-1").unwrap(), &step).await.unwrap()
    };
    let registry = r#",{"id":"registry.state","title":"t","status":"pass","message":"m"}"#;
    assert_eq!(checked(&report(registry), 0).await, ProviderChecked::Passed);
    assert!(matches!(checked(&report(""), 0).await, ProviderChecked::Unclear { .. }), "one is missing, exit 0");
    assert!(matches!(checked("", 0).await, ProviderChecked::Unclear { .. }));
    assert!(matches!(checked(&report(&registry.replace("pass", "fail")), 4).await, ProviderChecked::Failed { .. }));
    site.program("echo something else");
    let step = CheckProvider { node: Name("cp-1".into()), metadata_only: true };
    let seen = kms.check_provider(kms.nodes.get("cp-1").unwrap(), &step).await.unwrap();
    assert!(matches!(seen, ProviderChecked::Unclear { .. }), "{seen:?}");
}

#[tokio::test]
async fn a_place_that_the_target_does_not_name_is_drift_whatever_is_recorded() {
    let site = Site::new(404, json!({ "errors": [] })).await;
    let kms = site.kms(&[]);
    let node = kms.nodes.get("cp-1").unwrap();
    assert_eq!(kms.compare_config(node), ConfigSeen::Unrecorded);
    let text = std::fs::read_to_string(site.at("config.yaml")).unwrap();
    std::fs::write(site.at("config.yaml"), text.replace("keyName: kms", "keyName: kms-2")).unwrap();
    let drifted = ConfigSeen::Drifted { fields: vec!["transit.keyName".into()], recorded: None };
    assert_eq!(kms.compare_config(node), drifted);
    assert_eq!(kms.look_node(node).await, Ok(NodeSeen::Stopped));
}

/// A provider that says this over its socket, to whoever asks.
fn speaks(path: &std::path::Path, healthz: &'static str) -> tokio::task::JoinHandle<()> {
    use http_body_util::{BodyExt as _, Full};
    use prost::Message as _;
    let _gone = std::fs::remove_file(path);
    let listener = tokio::net::UnixListener::bind(path).unwrap();
    let status = super::wire::Status { version: "v2".into(), healthz: healthz.into(), key_id: "obk2.k".into() };
    let message = status.encode_to_vec();
    let framed = [&[0][..], &u32::try_from(message.len()).unwrap().to_be_bytes(), &message].concat();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let framed = bytes::Bytes::from(framed.clone());
            let answer = hyper::service::service_fn(move |_| {
                let mut trailers = http::HeaderMap::new();
                trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
                let body = Full::new(framed.clone()).with_trailers(std::future::ready(Some(Ok(trailers))));
                let response = http::Response::builder().header("content-type", "application/grpc").body(body).unwrap();
                std::future::ready(Ok::<_, std::convert::Infallible>(response))
            });
            tokio::spawn(async move {
                let server = hyper::server::conn::http2::Builder::new(hyper_util::rt::TokioExecutor::new());
                drop(server.serve_connection(hyper_util::rt::TokioIo::new(stream), answer).await);
            });
        }
    })
}

#[tokio::test]
async fn n10_a_running_api_server_is_ended_only_while_its_kms_is_healthy_and_another_is_ready_or_a_person_said_so() {
    let site = Site::new(404, json!({ "errors": [] })).await;
    let kms = site.kms(&[]);
    let node = kms.nodes.get("cp-1").unwrap();
    let life = node.apiserver.as_ref().unwrap();
    let first = life.start().await.unwrap();
    let restart = async |sole: bool| {
        let step = RestartApiserver { node: Name("cp-1".into()), from: Some(first.clone()), sole };
        kms.restart_apiserver(node, &step).await.unwrap_err()
    };
    for sole in [false, true] {
        let refused = restart(sole).await;
        assert!(refused.is("guarded"), "nobody listens: {refused:?}");
        let provider = speaks(&site.at("kms.sock"), "the key is gone");
        let refused = restart(sole).await;
        assert!(refused.is("guarded"), "it is not well: {refused:?}");
        provider.abort();
        std::fs::remove_file(site.at("kms.sock")).unwrap();
    }
    let provider = speaks(&site.at("kms.sock"), "ok");
    let refused = restart(false).await;
    assert!(refused.is("sole"), "no other is ready: {refused:?}");
    assert_eq!(life.running().await.unwrap(), Some(first.clone()), "it was never ended");
    let restarted = restart(true).await;
    assert!(matches!(restarted, Trouble::Retry { .. }), "it is not ready yet: {restarted:?}");
    let second = life.running().await.unwrap();
    assert!(second.is_some() && second.as_ref() != Some(&first));
    // Done again, it names a life that has ended: nothing is ended any more.
    restart(false).await;
    assert_eq!(life.running().await.unwrap(), second);
    life.stop().await.unwrap();
    provider.abort();
}

#[tokio::test]
async fn n4_a_recorded_file_with_another_name_or_identity_is_never_put_in_place() {
    let site = Site::new(404, json!({ "errors": [] })).await;
    let kms = site.kms(&[("node.cp-1.config.transit.keyIdScope.providerName", "openbao-kms")]);
    let node = kms.nodes.get("cp-1").unwrap();
    let text = |name: &str, first: &str| {
        format!(
            "kind: EncryptionConfiguration\napiVersion: apiserver.config.k8s.io/v1\nresources:\n- resources: [secrets]\n  providers:\n{first}  \
             - kms: {{ apiVersion: v2, name: {name}, endpoint: 'unix://{}' }}\n",
            site.at("kms.sock").display()
        )
    };
    std::fs::write(site.at("encryption.yaml"), text("openbao-kms", "")).unwrap();
    for wrong in [text("openbao-kms-2", ""), text("openbao-kms", "  - identity: {}\n"), "kind: none\n".to_owned()] {
        std::fs::write(site.at("recorded-encryption.yaml"), &wrong).unwrap();
        let sha256 = recover_engine::Digest::of(wrong.as_bytes()).to_string();
        let step = RestoreEncryption { node: Name("cp-1".into()), sha256 };
        let refused = kms.restore_encryption(node, &step, RunId::new(recover_engine::Millis(0), [7; 10]));
        assert!(matches!(refused, Err(Trouble::Refused(_))), "{wrong}");
        assert_eq!(std::fs::read_to_string(site.at("encryption.yaml")).unwrap(), text("openbao-kms", ""));
    }
}

#[tokio::test]
async fn n5_whatever_etcd_answers_it_is_asked_for_ranges_alone() {
    for answer in [
        "<html>",
        "{}",
        r#"{"kvs":[{"key":"YQ==","value":"czNjcjN0"}],"more":true}"#,
        r#"{"error":"permission denied"}"#,
    ] {
        let server = Server::new(move |_| Reply::Json(200, answer.into())).await;
        let config = json!({ "endpoints": [server.base] });
        let etcd = super::etcd::Etcd::new(&serde_json::from_value(config).unwrap()).unwrap();
        let scanned = etcd.scan(&["secrets".to_owned()], "openbao-kms").await;
        assert!(!format!("{scanned:?}").contains("s3cr3t"));
        let all = server.requests();
        assert!(
            !all.is_empty() && all.iter().all(|request| request.starts_with("POST /v3/kv/range HTTP/1.1")),
            "{all:?}"
        );
    }
}
