//! N1 and N2 at the wire: whatever is configured, asked for or answered, what arrives is a request of the list, in the namespace,
//! at the origin, and lowers what it sets. The judge is the server: it reads the bytes that came, and the list is written out a
//! second time here.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;
use reqwest::Method;
use serde_json::{Value, json};

use super::request::Request;
use super::{Change, Failure, OpenBao, OpenBaoConfig};
use crate::fake::{Reply, Server};

const TOKEN: &str = "s.t0k3n-canary-0123456789";

/// What is asked of the client, or below it.
#[derive(Clone, Debug)]
enum Asked {
    Health,
    SealStatus,
    NamespaceSeal,
    Key,
    Upsert,
    Token,
    Capabilities,
    Restore,
    ForbidDeletion,
    StopRotation,
    DisableUpsert,
    LowerDecryption(u64),
    LowerEncryption(u64),
    Raw(String, String, Option<String>, Option<Value>),
}

/// What is answered: a key with these lowest versions, or something else.
#[derive(Clone, Debug)]
enum Answered {
    Key(u64, u64, u64),
    Redirect(u16),
    Other(u16, String),
}

fn key(name: &str, available: u64, decryption: u64, encryption: u64) -> String {
    json!({ "data": { "name": name, "type": "aes256-gcm96", "derived": false, "deletion_allowed": true, "exportable": false,
        "allow_plaintext_backup": false, "min_available_version": available, "min_decryption_version": decryption,
        "min_encryption_version": encryption, "latest_version": 9, "supports_encryption": true, "supports_decryption": true,
        "supports_signing": false, "supports_derivation": true, "auto_rotate_period": 5, "imported_key": false,
        "soft_deleted": true, "keys": { "1": 1_700_000_000 }, "disable_upsert": false } })
    .to_string()
}

fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-z][a-z0-9_-]{0,8}[a-z0-9]",
        1 => prop::sample::select(vec![
            "", ".", "..", "../sys", "a/../b", "a%2fb", "a//b", "/a", "sys", "k\r\nx-vault-namespace: other", "k?list=true",
            "k#", "k/rotate", "encrypt", "transit/keys/k", "k;x", "k\\..",
        ]).prop_map(str::to_owned),
        1 => any::<String>(),
    ]
}

fn bodies() -> impl Strategy<Value = Option<Value>> {
    let field = prop::sample::select(vec![
        "exportable",
        "allow_plaintext_backup",
        "deletion_allowed",
        "min_decryption_version",
        "min_encryption_version",
        "auto_rotate_period",
        "disable_upsert",
        "paths",
        "plaintext",
        "min_available_version",
        "type",
    ]);
    let value = prop_oneof![
        any::<bool>().prop_map(Value::from),
        (0_u64..12).prop_map(Value::from),
        Just(json!(-1)),
        Just(json!(1.0)),
        Just(json!("0")),
        Just(json!(null)),
        Just(json!(["sys/seal"])),
    ];
    prop::option::of(prop::collection::btree_map(field, value, 0..3).prop_map(|map| json!(map)))
}

fn asked() -> impl Strategy<Value = Asked> {
    let methods = prop::sample::select(vec!["GET", "POST", "PUT", "DELETE", "PATCH", "LIST", "HEAD"]);
    let ends = prop::sample::select(vec![
        "/v1/M/keys/K",
        "/v1/M/keys/K/config",
        "/v1/M/keys/K/soft-delete-restore",
        "/v1/M/keys/K/soft-delete",
        "/v1/M/keys/K/rotate",
        "/v1/M/keys/K/trim",
        "/v1/M/config/keys",
        "/v1/M/encrypt/K",
        "/v1/M/restore/K",
        "/v1/M/keys/K/import",
        "/v1/M/keys/other/config",
        "/v1/N/M/keys/K",
        "/v1/M/keys/../keys/K",
        "/v1/M/keys/K%2fconfig",
        "/v1//M/keys/K",
        "/v1/M/keys/K/",
        "/v1/M/keys/K?x",
        "/v1/sys/seal",
        "/v1/sys/capabilities-self",
        "/v1/auth/token/revoke-self",
        "/v1/auth/approle/login",
        "/v1/sys/storage/raft/snapshot",
        "/v1/sys/storage/raft/snapshot-force",
        "/v1/sys/health",
        "/v1/M/keys/K/config/../trim",
        "//evil/v1/M/keys/K",
    ]);
    let namespaces = prop::option::of(prop::sample::select(vec!["N", "other", "N/below", "N\r\nx: y", ""]));
    let raw = (methods, ends, namespaces, bodies())
        .prop_map(|(m, p, n, b)| Asked::Raw(m.into(), p.into(), n.map(str::to_owned), b));
    prop_oneof![
        2 => prop::sample::select(vec![
            Asked::Health,
            Asked::SealStatus,
            Asked::NamespaceSeal,
            Asked::Key,
            Asked::Upsert,
            Asked::Token,
            Asked::Capabilities,
            Asked::Restore,
            Asked::ForbidDeletion,
            Asked::StopRotation,
            Asked::DisableUpsert,
        ]),
        1 => (0_u64..12).prop_map(Asked::LowerDecryption),
        1 => (0_u64..12).prop_map(Asked::LowerEncryption),
        2 => raw,
    ]
}

fn answered() -> impl Strategy<Value = Answered> {
    let status = prop::sample::select(vec![200_u16, 204, 400, 403, 404, 405, 429, 500, 502, 503]);
    let body = prop_oneof![
        Just(r#"{"errors":[]}"#.to_owned()),
        Just(r#"{"errors":["Vault is sealed"]}"#.to_owned()),
        Just(format!(r#"{{"errors":["{TOKEN}"]}}"#)),
        any::<String>(),
    ];
    prop_oneof![
        3 => (0_u64..5, 0_u64..10, 0_u64..10).prop_map(|(a, d, e)| Answered::Key(a, d, e)),
        1 => prop::sample::select(vec![301_u16, 302, 303, 307, 308]).prop_map(Answered::Redirect),
        1 => (status, body).prop_map(|(s, b)| Answered::Other(s, b)),
    ]
}

/// The first request that is not on the list.
fn breach(requests: &[String], answers: &[Answered], host: &str, config: &OpenBaoConfig) -> Option<String> {
    let mut floors = None;
    for (i, request) in requests.iter().enumerate() {
        let Some((head, body)) = request.split_once("\r\n\r\n") else { return Some(request.clone()) };
        let mut lines = head.split("\r\n");
        let first = lines.next().unwrap_or_default().to_owned();
        let headers: Vec<&str> = lines.collect();
        let of = |name: &str| headers.iter().filter_map(|l| l.strip_prefix(name)).collect::<Vec<_>>();
        let here: Vec<String> = config.namespace.iter().map(ToString::to_string).collect();
        let (mount, key) = (config.mount.to_string(), config.key.to_string());
        let of_key = format!("/v1/{mount}/keys/{key}");
        let body: Value = serde_json::from_str(body).unwrap_or(Value::Null);
        let says = |name: &str, value: Value| body == json!({ name: value });
        let in_ours = of("x-vault-namespace: ") == here;
        let bare = of("x-vault-namespace: ").is_empty() && of("x-vault-token: ").is_empty();
        let lowers = |name: &str, now: u64, available: u64| {
            body.as_object().is_some_and(|o| o.len() == 1)
                && body[name].as_u64().is_some_and(|to| to > 0 && to >= available && to < now)
        };
        let good = match first.as_str() {
            "GET /v1/sys/health HTTP/1.1" | "GET /v1/sys/seal-status HTTP/1.1" => bare && body.is_null(),
            "GET /v1/sys/storage/raft/snapshot HTTP/1.1" => of("x-vault-namespace: ").is_empty() && body.is_null(),
            "GET /v1/auth/token/lookup-self HTTP/1.1" => in_ours && body.is_null(),
            "POST /v1/sys/capabilities-self HTTP/1.1" => {
                let all = body["paths"].as_array().cloned().unwrap_or_default();
                in_ours && all.len() == 4 && all.iter().all(|p| p.as_str().is_some_and(|p| p.starts_with(&mount)))
            }
            first if first == format!("GET {of_key} HTTP/1.1") => in_ours && body.is_null(),
            first if first == format!("GET /v1/{mount}/config/keys HTTP/1.1") => in_ours && body.is_null(),
            first if first == format!("POST /v1/{mount}/config/keys HTTP/1.1") => {
                in_ours && says("disable_upsert", json!(true))
            }
            first if first == format!("POST {of_key}/soft-delete-restore HTTP/1.1") => in_ours && body == json!({}),
            first if first == format!("POST {of_key}/config HTTP/1.1") => {
                let monotone = says("deletion_allowed", json!(false)) || says("auto_rotate_period", json!(0));
                let lower = floors.is_some_and(|(a, d, e)| {
                    lowers("min_decryption_version", d, a) || lowers("min_encryption_version", e, a)
                });
                in_ours && (monotone || lower)
            }
            first => here.first().is_some_and(|ours| {
                let (above, name) = ours.rsplit_once('/').map_or((vec![], ours.as_str()), |(a, n)| (vec![a], n));
                first == format!("GET /v1/sys/namespaces/{name}/seal-status HTTP/1.1")
                    && of("x-vault-namespace: ") == above
            }),
        };
        if !good || of("host: ") != [host] {
            return Some(request.clone());
        }
        if first == format!("GET {of_key} HTTP/1.1") {
            floors = match answers[i % answers.len()] {
                Answered::Key(a, d, e) => Some((a, d, e)),
                Answered::Redirect(_) | Answered::Other(..) => None,
            };
        }
    }
    None
}

async fn ask(bao: &OpenBao, asked: &Asked, config: &OpenBaoConfig) -> Result<String, Failure> {
    let shown = |thing: &dyn std::fmt::Debug| format!("{thing:?}");
    let filled = |text: &str| {
        let namespace = config.namespace.as_ref().map(ToString::to_string).unwrap_or_default();
        text.replace('M', &config.mount.to_string()).replace('K', &config.key.to_string()).replace('N', &namespace)
    };
    Ok(match asked {
        Asked::Health => shown(&bao.health().await?),
        Asked::SealStatus => shown(&bao.seal_status().await?),
        Asked::NamespaceSeal => shown(&bao.namespace_seal_status().await?),
        Asked::Key => shown(&bao.key().await?),
        Asked::Upsert => shown(&bao.upsert_disabled().await?),
        Asked::Token => shown(&bao.token().await?),
        Asked::Capabilities => shown(&bao.capabilities().await?),
        Asked::Restore => shown(&bao.change(Change::restore()).await?),
        Asked::ForbidDeletion => shown(&bao.change(Change::forbid_deletion()).await?),
        Asked::StopRotation => shown(&bao.change(Change::stop_rotation()).await?),
        Asked::DisableUpsert => shown(&bao.change(Change::disable_upsert()).await?),
        Asked::LowerDecryption(to) => match Change::lower_decryption(*to, &bao.key().await?) {
            Some(change) => shown(&bao.change(change).await?),
            None => String::new(),
        },
        Asked::LowerEncryption(to) => match Change::lower_encryption(*to, &bao.key().await?) {
            Some(change) => shown(&bao.change(change).await?),
            None => String::new(),
        },
        Asked::Raw(method, path, namespace, body) => {
            let request = Request {
                method: Method::from_bytes(method.as_bytes()).unwrap(),
                path: filled(path),
                namespace: namespace.as_deref().map(filled),
                body: body.clone(),
            };
            shown(&bao.transport.send(request).await?.status)
        }
    })
}

/// How many requests arrived.
async fn play(place: (String, String, Option<String>), all: &[Asked], answers: &[Answered]) -> usize {
    let elsewhere = Server::new(|_| Reply::Json(200, "{}".into())).await;
    let (there, given, count) = (elsewhere.base.clone(), answers.to_vec(), AtomicUsize::new(0));
    let name = place.1.clone();
    let server = Server::new(move |asked| match &given[count.fetch_add(1, Ordering::Relaxed) % given.len()] {
        Answered::Key(a, d, e) => Reply::Json(200, key(&name, *a, *d, *e)),
        Answered::Redirect(status) => {
            Reply::Raw(format!("HTTP/1.1 {status} X\r\nlocation: {there}{}\r\ncontent-length: 0\r\n\r\n", asked.path))
        }
        Answered::Other(status, body) => Reply::Json(*status, body.clone()),
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let token = dir.path().join("token");
    std::fs::write(&token, TOKEN).unwrap();
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600)).unwrap();
    let text = json!({ "address": server.base, "token": format!("file:{}", token.display()), "mount": place.0,
        "key": place.1, "namespace": place.2 });
    let Ok(config) = serde_json::from_value::<OpenBaoConfig>(text) else { return 0 };
    let bao = OpenBao::new(&config).unwrap();
    for asked in all {
        let before = server.requests().len();
        let came = ask(&bao, asked, &config).await;
        let said = format!("{came:?} {}", came.as_ref().err().map(ToString::to_string).unwrap_or_default());
        assert!(!said.contains("t0k3n-canary") && !format!("{bao:?}").contains("t0k3n-canary"), "{said}");
        if matches!(came, Err(Failure::Forbidden(_))) && matches!(asked, Asked::Raw(..)) {
            assert_eq!(server.requests().len(), before, "it was refused and sent");
        }
    }
    let host = server.base.trim_start_matches("http://");
    assert_eq!(breach(&server.requests(), answers, host, &config), None);
    assert_eq!(elsewhere.requests(), Vec::<String>::new(), "it left its origin");
    server.requests().len()
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn n1_n2_whatever_is_asked_or_answered_only_requests_of_the_list_arrive(
        place in (word(), word(), prop::option::of(word())),
        all in prop::collection::vec(asked(), 1..12),
        answers in prop::collection::vec(answered(), 1..6),
    ) {
        block_on(play(place, &all, &answers));
    }
}

#[test]
fn n1_n2_what_the_list_lets_through_arrives_and_nothing_besides() {
    let place = || ("transit".to_owned(), "kms".to_owned(), Some("team/a".to_owned()));
    let answers = [Answered::Key(0, 5, 5)];
    let all = [
        Asked::Health,
        Asked::SealStatus,
        Asked::NamespaceSeal,
        Asked::Key,
        Asked::Upsert,
        Asked::Token,
        Asked::Capabilities,
        Asked::Restore,
        Asked::ForbidDeletion,
        Asked::StopRotation,
        Asked::DisableUpsert,
    ];
    // Each change after a reading.
    assert_eq!(block_on(play(place(), &all, &answers)), all.len() + 4);
    // Two readings and the change; of the one that would raise, the first reading alone.
    assert_eq!(block_on(play(place(), &[Asked::LowerDecryption(2)], &answers)), 3);
    assert_eq!(block_on(play(place(), &[Asked::LowerDecryption(5)], &answers)), 1);
    // It was lowered between the readings: what was to lower it would raise it now.
    let raced = [Answered::Key(0, 5, 5), Answered::Key(0, 2, 2)];
    assert_eq!(block_on(play(place(), &[Asked::LowerDecryption(3)], &raced)), 2);
}

#[test]
fn the_judge_knows_the_list_from_what_is_not() {
    let config = json!({ "address": "http://127.0.0.1:9", "token": "file:/t", "mount": "transit", "key": "k" });
    let config: OpenBaoConfig = serde_json::from_value(config).unwrap();
    let judged = |line: &str, body: &str| {
        let request = format!("{line} HTTP/1.1\r\nhost: 127.0.0.1:9\r\nx-vault-token: t\r\n\r\n{body}");
        breach(
            &["GET /v1/transit/keys/k HTTP/1.1\r\nhost: 127.0.0.1:9\r\n\r\n".into(), request],
            &[Answered::Key(0, 3, 3)],
            "127.0.0.1:9",
            &config,
        )
        .is_none()
    };
    assert!(judged("POST /v1/transit/keys/k/config", r#"{"min_decryption_version":2}"#));
    for (line, body) in [
        ("POST /v1/transit/keys/k/config", r#"{"min_decryption_version":3}"#),
        ("POST /v1/transit/keys/k/config", r#"{"exportable":true}"#),
        ("POST /v1/transit/keys/k/config", r#"{"deletion_allowed":false,"exportable":true}"#),
        ("POST /v1/transit/keys/k", "{}"),
        ("DELETE /v1/transit/keys/k", ""),
        ("POST /v1/transit/encrypt/k", r#"{"plaintext":""}"#),
        ("POST /v1/transit/keys/k/rotate", "{}"),
        ("POST /v1/transit/config/keys", r#"{"disable_upsert":false}"#),
        ("GET /v1/sys/health", ""),
    ] {
        assert!(!judged(line, body), "{line} {body}");
    }
}
