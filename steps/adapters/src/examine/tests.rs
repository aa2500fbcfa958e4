//! An examination of real files and a server that keeps what it was asked: what is read, what is not, and that it only gets.

use std::path::Path;
use std::sync::{Arc, Mutex};

use recover_engine::Millis;
use recover_steps::examined::{
    AgentStatus, AlertSeen, Attachment, Found, Handshake, Health, IdentitySeen, Reached, TokenFate, WorkloadSeen,
};
use serde_json::json;

use super::*;
use crate::config::tests::sample;
use crate::fake::{Reply, Server};
use crate::secrets::SecretsDir;

const CANARY: &str = "cr3d3ntial-canary";

fn put(at: &Path, text: &str) {
    std::fs::write(at, text).unwrap();
    std::fs::set_permissions(at, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
}

fn connector(home: &Path, base: &str) -> Connector {
    let at = |name: &str| home.join(name).display().to_string();
    put(&home.join("credential"), CANARY);
    let mut config = sample();
    config["workload"]["process"] = json!({ "command": ["/bin/sleep", "86399"], "pidfile": at("pid"), "log": at("log"), "token_file": "/dev/shm/none" });
    config["storage"]["directory"] = json!({ "path": at("data"), "originals": [at("original")] });
    config["authority"]["http"] =
        json!({ "base": base, "agent": "edge-1", "credential": format!("file:{}", at("credential")) });
    Connector::new(serde_json::from_value(config).unwrap(), SecretsDir::new(Some(home.join("secrets")), None)).unwrap()
}

fn given() -> Examination {
    Examination { now: time::parse("2026-11-22T03:00:00Z").unwrap(), ..Examination::default() }
}

async fn plane() -> Server {
    Server::new(|asked| {
        let body = match asked.path.split('?').next().unwrap_or_default() {
            "/healthz" => json!({ "status": "ok", "time": "2026-11-22T03:00:07Z" }),
            "/v1/connectors/edge-1" => {
                json!({ "agent": "edge-1", "status": "needs_recovery", "paired_before": true, "identity": { "serial": "s1" } })
            }
            "/v1/connectors/edge-1/tokens" => json!({ "tokens": [{ "accessor": "a", "label": "l", "state": "revoked",
                "created_at": "2026-11-22T01:00:00Z", "expires_at": "2026-11-22T02:00:00Z" }], "next": null }),
            _ => json!({ "events": [
                { "at": "2026-11-22T02:00:00Z", "type": "gateway.enrollment_failed", "detail": "old" },
                { "at": "2026-11-22T02:59:00Z", "type": "gateway.enrollment_failed", "detail": format!("token={CANARY}") },
                { "at": "2026-11-22T02:59:30Z", "type": "agent.offline" } ], "next": null }),
        };
        Reply::Json(200, body.to_string())
    })
    .await
}

#[tokio::test]
async fn everything_is_read_and_nothing_but_get_is_said() {
    let home = crate::fake::on_disk();
    let server = plane().await;
    std::fs::create_dir_all(home.path().join("original/kept")).unwrap();
    std::fs::create_dir(home.path().join("data")).unwrap();
    put(&home.path().join("original/kept/identity.json"), r#"{"serial":"s1"}"#);
    put(&home.path().join("log"), &format!("2026-11-22T02:59:00Z 401 ENROLLMENT_TOKEN_INVALID {CANARY}\n\u{1b}[2J\n"));
    let connector = connector(home.path(), &server.base);
    let alert = AlertSeen { name: "A\u{1b}lert".into(), from: "--alert".into() };
    let seen = connector.examine(&Examination { alerts: vec![alert], ..given() }).await;
    let standing = seen.standing.value().unwrap();
    assert_eq!((standing.status, standing.paired_before), (AgentStatus::NeedsRecovery, true));
    assert_eq!(standing.serial.as_deref(), Some("s1"));
    assert_eq!(seen.tokens.value().unwrap()[0].fate, TokenFate::Revoked);
    assert_eq!(seen.refusals.value(), Some(&1), "the old one is not lately");
    assert_eq!(seen.identity.value(), Some(&IdentitySeen::Absent));
    assert!(seen.storage.value().unwrap().elsewhere.as_deref().unwrap().ends_with("/original/kept"));
    assert_eq!(seen.workload.value(), Some(&WorkloadSeen::Stopped));
    assert_eq!(seen.reach.tls.value(), Some(&Handshake::Plain));
    assert_eq!(seen.reach.health.value(), Some(&Health::Well(Some(7_000))));
    assert_eq!(seen.alerts[0].name, "A\\u{1b}lert");
    let text = serde_json::to_string(&seen).unwrap();
    assert!(!text.contains(CANARY) && !text.contains('\u{1b}'), "{text}");
    assert!(text.contains("ENROLLMENT_TOKEN_INVALID"), "{text}");
    let requests = server.requests();
    assert!(requests.len() >= 4 && requests.iter().all(|r| r.starts_with("GET ")), "{requests:?}");
    for made in ["pid", "pid.lock", "secrets"] {
        assert!(!home.path().join(made).exists(), "{made}");
    }
}

#[tokio::test]
async fn what_cannot_be_read_says_why_and_is_no_error() {
    let home = crate::fake::on_disk();
    let connector = connector(home.path(), "http://127.0.0.1:1");
    let seen = connector.examine(&given()).await;
    assert!(matches!(seen.reach.tcp.value(), Some(Reached::No(why)) if why.contains("refused")), "{:?}", seen.reach);
    assert!(matches!(&seen.standing.found, Found::NotRead(why) if why.contains("cannot be reached")));
    assert!(matches!(&seen.reach.health.found, Found::NotRead(_)));
    assert_eq!(seen.storage.value().unwrap().attachment, Attachment::Missing);
    assert!(matches!(&seen.log.found, Found::NotRead(_)));
}

#[tokio::test]
async fn an_identity_is_usable_expired_damaged_or_none() {
    let home = crate::fake::on_disk();
    std::fs::create_dir(home.path().join("data")).unwrap();
    let connector = connector(home.path(), "http://127.0.0.1:1");
    let file = home.path().join("data/identity.json");
    for (text, wanted) in [
        (r#"{"serial":"s1"}"#, "usable"),
        (r#"{"serial":"s1","not_after":"2026-11-22T03:00:01Z"}"#, "usable"),
        (r#"{"serial":"s1","not_after":"2026-11-22T02:59:59Z"}"#, "expired"),
        (r#"{"serial":"s1","not_after":17}"#, "usable"),
        ("half", "damaged"),
    ] {
        put(&file, text);
        let seen = connector.examine(&given()).await;
        let found = serde_json::to_value(seen.identity.value().unwrap()).unwrap();
        assert_eq!(found["is"], wanted, "{text}");
    }
}

#[tokio::test]
async fn a_control_plane_that_is_ill_is_told_from_one_that_is_silent() {
    let home = crate::fake::on_disk();
    for (reply, well) in [
        (Reply::Json(503, json!({ "error": "DOWN", "message": "m" }).to_string()), "unwell"),
        (Reply::Raw("SSH-2.0-x\r\n".into()), "silent"),
    ] {
        let reply = Mutex::new(Some(reply));
        let reply = Arc::new(reply);
        let server = Server::new(move |_| reply.lock().unwrap().take().unwrap_or(Reply::Reset)).await;
        let connector = connector(home.path(), &server.base);
        let Authority::Http(http) = &connector.authority else { panic!("it is configured so") };
        let health = reach::reach(http, Millis(0)).await.health;
        let found = serde_json::to_value(health.value().unwrap()).unwrap();
        assert!(found.get(well).is_some(), "{found}");
    }
}

#[tokio::test]
async fn an_identity_of_the_right_serial_and_another_fingerprint_is_not_called_usable() {
    let home = crate::fake::on_disk();
    std::fs::create_dir(home.path().join("data")).unwrap();
    let server = Server::new(|asked| {
        let status = json!({ "agent": "edge-1", "status": "offline", "paired_before": true,
            "identity": { "serial": "s1", "fingerprint": "sha256:a" }, "tokens": [], "events": [] });
        let body = if asked.path == "/healthz" { json!({ "status": "ok" }) } else { status };
        Reply::Json(200, body.to_string())
    })
    .await;
    let connector = connector(home.path(), &server.base);
    for (print, wanted) in [("sha256:a", "usable"), ("sha256:b", "damaged")] {
        put(&home.path().join("data/identity.json"), &format!(r#"{{"serial":"s1","fingerprint":"{print}"}}"#));
        let seen = connector.examine(&given()).await;
        assert_eq!(serde_json::to_value(seen.identity.value().unwrap()).unwrap()["is"], wanted, "{seen:#?}");
    }
}

#[tokio::test]
async fn one_that_takes_connections_and_never_answers_is_waited_for_once() {
    let home = crate::fake::on_disk();
    let server = Server::new(|_| Reply::Reset).await;
    let seen = connector(home.path(), &server.base).examine(&given()).await;
    assert!(matches!(seen.reach.health.value(), Some(Health::Silent(_))), "{:?}", seen.reach);
    assert!(matches!(&seen.standing.found, Found::NotRead(_)));
    assert_eq!(server.requests().len(), 1, "only its health was asked for");
}

#[test]
fn lines_are_the_last_ones_since_then() {
    let since = time::parse("2026-11-22T03:00:00Z");
    let text = "2026-11-22T02:00:00Z old\n  its second line\n2026-11-22T03:00:01Z new\n  and more\n";
    assert_eq!(lines(text, since), ["2026-11-22T03:00:01Z new", "  and more"]);
    assert_eq!(lines(text, None).len(), 4);
    let many: String = (0..300).map(|n| format!("{n}{}\n", "x".repeat(900))).collect();
    let kept = lines(&many, None);
    assert_eq!((kept.len(), kept[0].len()), (LINES_MOST, LINE_MOST));
    assert!(kept[0].starts_with("100x"));
}
