//! A control plane with words of its own, and templates that would lead where nothing is ever changed from here.

use std::os::unix::fs::PermissionsExt as _;

use proptest::prelude::*;
use recover_steps::examined::RightsSeen;
use secrecy::ExposeSecret as _;

use super::*;
use crate::authority::{Http, TokenState};
use crate::config::HttpConfig;
use crate::fake::{Asked, Server};

fn dialect() -> Dialect {
    serde_json::from_value(json!({
        "paths": {
            "health": "/api/health",
            "status": "/api/v2/orgs/{org}/agents/{agent}",
            "tokens": "/api/v2/agents/{agent}/enrollments",
            "mint": "/api/v2/agents/{agent}/enrollments",
            "revoke": "/api/v2/agents/{agent}/enrollments/cancel",
            "audit": "/api/v2/agents/{agent}/history",
            "rights": "/api/v2/me/scopes"
        },
        "queries": { "label": "name", "accessor": "", "since": "from", "cursor": "page" },
        "bodies": {
            "mint": { "name": "{label}", "lifetime": { "seconds": "{ttl_s}" }, "for": ["agent:{agent}"] },
            "revoke_accessor": { "ids": ["{accessor}"] },
            "revoke_label": { "name": "{label}", "forever": true }
        },
        "fields": {
            "health": { "status": "/state", "time": "/now" },
            "status": {
                "agent": "/data/name", "status": "/data/state", "paired_before": "/data/enrolled",
                "serial": "/data/certificate/number", "fingerprint": "/data/certificate/sha256", "last_seen": "/data/heartbeat"
            },
            "tokens": { "list": "/items", "next": "/page/next" },
            "token": {
                "accessor": "/id", "label": "/name", "state": "/state", "expires_at": "/until",
                "paired_serial": "/certificate/number", "secret": "/plain"
            },
            "revoked": { "revoked": "" },
            "audit": { "list": "/items", "next": "/page/next", "at": "/when", "kind": "/what", "detail": "/text" },
            "rights": { "list": "/data/scopes" }
        },
        "words": {
            "health": { "UP": "ok" },
            "status": { "Connected": "online", "Lost": "needs_recovery" },
            "token": { "ACTIVE": "live", "USED": "consumed" },
            "rights": { "enrollment:admin": ["mint", "revoke"], "enrollment:create": ["mint"], "enrollment:end": ["revoke"] }
        },
        "headers": { "credential": "private-token", "scheme": "", "org": "x-tenant" }
    }))
    .unwrap()
}

fn client(base: &str, dialect: Option<Dialect>) -> (tempfile::TempDir, Http) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("credential");
    std::fs::write(&path, "cr3d3ntial-canary").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let config = HttpConfig {
        base: base.parse().unwrap(),
        agent: "edge-1".into(),
        org: Some("o1".into()),
        ca: None,
        credential: format!("file:{}", path.display()).parse().unwrap(),
        dialect: dialect.map(Box::new),
    };
    (dir, Http::new(config).unwrap())
}

fn foreign(asked: &Asked) -> Value {
    let token =
        |id: u32, state: &str| json!({ "id": id, "name": "l", "state": state, "until": "2026-11-22T03:10:00Z" });
    match (asked.method.as_str(), asked.path.split('?').next().unwrap()) {
        ("GET", "/api/health") => json!({ "state": "UP", "now": "2026-11-22T03:00:00Z" }),
        ("GET", "/api/v2/orgs/o1/agents/edge-1") => json!({ "data": {
            "name": "edge-1", "state": "Connected", "enrolled": true, "heartbeat": null, "certificate": { "number": 77, "sha256": "ab" },
        } }),
        ("GET", "/api/v2/agents/edge-1/enrollments") if asked.path.contains("page=2") => {
            let mut used = token(8, "USED");
            used["certificate"] = json!({ "number": 78 });
            json!({ "items": [used], "page": { "next": "" } })
        }
        ("GET", "/api/v2/agents/edge-1/enrollments") => json!({ "items": [token(7, "ACTIVE")], "page": { "next": 2 } }),
        ("POST", "/api/v2/agents/edge-1/enrollments") => {
            let mut fresh = token(9, "ACTIVE");
            fresh["plain"] = "s3cr3t-canary".into();
            fresh
        }
        ("POST", "/api/v2/agents/edge-1/enrollments/cancel") => json!({ "done": true }),
        ("GET", "/api/v2/agents/edge-1/history") => {
            json!({ "items": [{ "when": "2026-11-22T03:00:00Z", "what": "enrolled", "text": "by 9" }] })
        }
        ("GET", "/api/v2/me/scopes") => json!({ "data": { "scopes": ["profile", "enrollment:admin"] } }),
        other => panic!("nothing is asked at {other:?}"),
    }
}

#[tokio::test]
async fn a_control_plane_may_have_words_of_its_own() {
    let server = Server::new(|asked| crate::fake::Reply::Json(200, foreign(&asked).to_string())).await;
    dialect().check("edge-1", Some("o1")).unwrap();
    let (_dir, http) = client(&server.base, Some(dialect()));
    assert!(http.health_and_time().await.unwrap().is_some());
    let told = http.status().await.unwrap();
    assert!(told.status.is_online() && told.status.paired_before && told.status.serial() == Some("77"));
    assert!(told.text.contains("\"enrolled\""), "what is captured is what was said: {}", told.text);
    let tokens = http.tokens_of_label("l").await.unwrap();
    let told: Vec<_> = tokens.iter().map(|t| (t.accessor.as_str(), t.state, t.paired_serial.as_deref())).collect();
    assert_eq!(told, [("7", TokenState::Live, None), ("8", TokenState::Consumed, Some("78"))]);
    let (token, secret) = http.mint("l", 600).await.unwrap().into_parts();
    assert_eq!((token.accessor.as_str(), secret.expose_secret()), ("9", "s3cr3t-canary"));
    assert_eq!((http.revoke_accessor("9").await.unwrap(), http.close_label("l").await.unwrap()), (0, 0));
    assert_eq!(http.rights().await.unwrap(), RightsSeen::Told { mint: true, revoke: true });
    assert_eq!(http.audit("2026-11-22T00:00:00Z").await.unwrap()[0].kind(), "enrolled");
    let requests = server.requests();
    let with = |start: &str| requests.iter().filter(|request| request.starts_with(start)).collect::<Vec<_>>();
    let listed = with("GET /api/v2/agents/edge-1/enrollments");
    assert!(listed[0].contains("?name=l ") && listed[1].contains("?name=l&page=2 "), "{listed:?}");
    assert!(!with("GET /api/health")[0].contains("canary"));
    assert!(requests[1].contains("private-token: cr3d3ntial-canary\r\n") && requests[1].contains("x-tenant: o1\r\n"));
    assert!(!requests.iter().any(|request| request.to_ascii_lowercase().contains("authorization")));
    let bodies = |start: &str| -> Vec<Value> {
        with(start)
            .iter()
            .map(|request| serde_json::from_str(request.split_once("\r\n\r\n").unwrap().1).unwrap())
            .collect()
    };
    let minted = bodies("POST /api/v2/agents/edge-1/enrollments HTTP");
    assert_eq!(minted, [json!({ "name": "l", "lifetime": { "seconds": 600 }, "for": ["agent:edge-1"] })]);
    let cancelled = bodies("POST /api/v2/agents/edge-1/enrollments/cancel");
    assert_eq!(cancelled, [json!({ "ids": ["9"] }), json!({ "name": "l", "forever": true })]);
}

#[tokio::test]
async fn a_foreign_reply_goes_through_the_same_checks() {
    for (at, wrong) in [
        ("/data/name", json!("edge-2")),
        ("/data/state", json!("Whatever")),
        ("/data/enrolled", Value::Null),
        ("/data/enrolled", json!("yes")),
        ("/data/certificate/number", json!("two words")),
        ("/data/certificate/number", json!({ "serial": 1 })),
    ] {
        let answer = move |asked: Asked| {
            let mut reply = foreign(&asked);
            *reply.pointer_mut(at).unwrap() = wrong.clone();
            crate::fake::Reply::Json(200, reply.to_string())
        };
        let server = Server::new(answer).await;
        let (_dir, http) = client(&server.base, Some(dialect()));
        assert!(http.status().await.is_err(), "{at}");
    }
    // A token that is not the one that was asked for, or whose name gives the secret away.
    for (at, wrong) in
        [("/name", "other"), ("/state", "USED"), ("/id", "s3cr3t-canary"), ("/plain", ""), ("/until", "soon")]
    {
        let answer = move |asked: Asked| {
            let mut reply = foreign(&asked);
            *reply.pointer_mut(at).unwrap() = wrong.into();
            crate::fake::Reply::Json(200, reply.to_string())
        };
        let server = Server::new(answer).await;
        let (_dir, http) = client(&server.base, Some(dialect()));
        let failure = http.mint("l", 600).await.err().unwrap();
        assert!(!failure.text().contains("canary"), "{at}: {}", failure.text());
    }
}

#[tokio::test]
async fn what_a_credential_may_do_is_told_in_any_words_and_never_guessed() {
    let told = |mint: bool, revoke: bool| Ok(RightsSeen::Told { mint, revoke });
    let contract = [
        (json!({ "agent": "edge-1", "rights": ["revoke", "other", "mint"] }), told(true, true)),
        (json!({ "rights": ["mint"] }), told(true, false)),
        (json!({ "rights": ["revoke"] }), told(false, true)),
        (json!({ "rights": [] }), told(false, false)),
        (json!({ "rights": ["MINT", "revoke "] }), told(false, false)),
        (json!({ "agent": "edge-2", "rights": ["mint", "revoke"] }), Err(())),
        (json!({ "rights": "mint revoke" }), Err(())),
        (json!({ "rights": { "mint": true, "revoke": true } }), Err(())),
        (json!({ "rights": ["mint", 7] }), Err(())),
        (json!({}), Err(())),
        (json!(["mint", "revoke"]), Err(())),
    ];
    let theirs = [
        (json!({ "data": { "scopes": ["enrollment:create", "enrollment:end"] } }), told(true, true)),
        (json!({ "data": { "scopes": ["enrollment:create"] } }), told(true, false)),
        (json!({ "data": { "scopes": { "enrollment:admin": false, "enrollment:end": true } } }), told(false, true)),
        (json!({ "data": { "scopes": { "enrollment:admin": "yes" } } }), Err(())),
        (json!({ "data": { "scopes": "enrollment:admin" } }), Err(())),
        (json!({ "data": {} }), Err(())),
    ];
    let cases = contract.map(|(body, is)| (None, body, is)).into_iter();
    for (words, body, is) in cases.chain(theirs.map(|(body, is)| (Some(dialect()), body, is))) {
        let text = body.to_string();
        let server = Server::new(move |_| crate::fake::Reply::Json(200, text.clone())).await;
        let (_dir, http) = client(&server.base, words);
        assert_eq!(http.rights().await.map_err(|_| ()), is, "{body}");
        assert!(server.requests().iter().all(|request| request.starts_with("GET ")));
    }
    // Nothing at that path, and nothing for this credential: no word on what it may do. Another connector, a failure: no answer.
    for (status, body, untold) in [
        (404, r#"{"error":"NOT_FOUND","message":"m"}"#, true),
        (404, "<html>", true),
        (403, "{}", true),
        (405, "", true),
        (404, r#"{"error":"AGENT_UNKNOWN","message":"m"}"#, false),
        (401, r#"{"error":"UNAUTHENTICATED","message":"m"}"#, false),
        (500, "", false),
        (302, "", false),
        (201, r#"{"rights":["mint","revoke"]}"#, false),
        (200, "garbage", false),
    ] {
        let server = Server::new(move |_| crate::fake::Reply::Json(status, body.to_owned())).await;
        let (_dir, http) = client(&server.base, None);
        let seen = http.rights().await;
        assert_eq!(matches!(seen, Ok(RightsSeen::Untold { .. })), untold, "{status} {body}: {seen:?}");
        assert!(untold || seen.is_err(), "{status} {body}: {seen:?}");
    }
    let none = Dialect { paths: Paths { rights: String::new(), ..Paths::default() }, ..Dialect::default() };
    none.check("edge-1", None).unwrap();
    let server = Server::new(|_| crate::fake::Reply::Reset).await;
    let (_dir, http) = client(&server.base, Some(none));
    assert!(matches!(http.rights().await, Ok(RightsSeen::Untold { .. })));
    assert!(server.requests().is_empty(), "where there is no path nothing is asked");
}

#[test]
fn a_dialect_that_says_nothing_is_the_contract() {
    let dialect: Dialect = serde_json::from_value(json!({})).unwrap();
    assert!(dialect.is_plain() && dialect == Dialect::default());
    dialect.check("edge-1", None).unwrap();
    let theirs = json!({ "agent": "a", "status": "online", "paired_before": true, "identity": { "serial": "s" }, "last_seen": "t" });
    assert_eq!(dialect.reply(Reply::Status, &theirs), theirs);
    assert!(serde_json::from_value::<Dialect>(json!({ "paths": { "surprise": "/x" } })).is_err());
}

#[test]
fn a_dialect_that_cannot_be_meant_is_refused() {
    for (at, value) in [
        ("/paths/status", json!("api/{agent}")),
        ("/paths/status", json!("/api/agents")),
        ("/paths/status", json!("/api/x{agent}")),
        ("/paths/status", json!("/api/{other}/{agent}")),
        ("/paths/status", json!("/api/../{agent}")),
        ("/paths/status", json!("/api//{agent}")),
        ("/paths/mint", json!("/api/{agent}?x=1")),
        ("/paths/mint", json!("/api/{agent}%2f")),
        ("/queries/label", json!("a&b")),
        ("/fields/status/serial", json!("data.serial")),
        ("/headers/credential", json!("host")),
        ("/headers/org", json!("a header")),
        ("/headers/scheme", json!("Bearer x")),
        ("/bodies/mint", json!({ "name": "{label}" })),
        ("/bodies/revoke_label", json!({})),
        ("/paths/rights", json!("me/scopes")),
        ("/words/rights/enrollment:end", json!(["destroy"])),
    ] {
        let mut raw = serde_json::to_value(dialect()).unwrap();
        *raw.pointer_mut(at).unwrap() = value.clone();
        assert!(serde_json::from_value::<Dialect>(raw).unwrap().check("edge-1", Some("o1")).is_err(), "{at} {value}");
    }
    assert!(dialect().check("edge-1", None).is_err(), "an organisation that is not configured");
}

proptest! {
    /// N1, N2, N3, N4, N5, N10: a dialect is configuration, and no configuration leads there, whatever agent and organisation are called.
    #[test]
    fn n1_to_n5_and_n10_no_template_leads_where_nothing_is_changed_from_here(
        parts in prop::collection::vec(
            prop::sample::select(vec![
                "v1", "transit", "Transit", "keys", "sys", "seal", "etcd", "registry", "nodes", "namespaces", "{agent}", "{org}",
                "%74ransit", "..", "", "trans{agent}it", "api", "tokens",
            ]),
            1..6,
        ),
        which in 0..7_usize,
        agent in prop::sample::select(vec!["edge-1", "transit", "Keys", "sys"]),
        org in prop::sample::select(vec!["o1", "keys", "TRANSIT"]),
    ) {
        let mut raw = serde_json::to_value(Dialect::default()).unwrap();
        let name = ["health", "status", "tokens", "mint", "revoke", "audit", "rights"][which];
        raw["paths"][name] = format!("/{}", parts.join("/")).into();
        let dialect: Dialect = serde_json::from_value(raw).unwrap();
        if dialect.check(agent, Some(org)).is_ok() {
            let forbidden = ["transit", "keys", "sys", "etcd", "registry", "nodes", "namespaces", ".."];
            let template = dialect.paths.each()[which].1;
            let path = template.replace("{agent}", agent).replace("{org}", org).to_ascii_lowercase();
            prop_assert!(path.split('/').all(|part| !forbidden.contains(&part)) && !path.contains('%'), "{path}");
            prop_assert!(["health", "rights"].contains(&name) || template.contains("{agent}"), "{path}");
        }
    }
}
