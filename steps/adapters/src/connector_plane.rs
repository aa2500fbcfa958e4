//! An authority for tests that keeps the contract and can be told to lose or double what it does, and the connector that
//! presents its tokens.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use recover_engine::Millis;
use serde_json::{Value, json};

use crate::fake::{Asked, Reply};

/// What the authority does with the next mint, or the next pairing.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Fault {
    #[default]
    None,
    /// It is done, and the answer is lost.
    Lost,
    /// It is done twice.
    Double,
    /// The attempt is refused and the token used up.
    Burn,
    /// Nobody presents the token.
    Sleep,
}

#[derive(Default)]
pub(super) struct Plane {
    pub(super) tokens: Vec<Value>,
    pub(super) closed: Vec<String>,
    pub(super) serial: String,
    pub(super) status: String,
    pub(super) beats: i64,
    /// It answers, and says that it is not well.
    pub(super) unwell: bool,
    pub(super) fault: Fault,
}

impl Plane {
    pub(super) fn mint(&mut self, body: &Value) -> (u16, Value) {
        if self.closed.iter().any(|l| *l == body["label"]) {
            return (409, json!({ "error": "LABEL_CLOSED", "message": "m" }));
        }
        let n = self.tokens.len();
        let mut token = json!({ "accessor": format!("acc-{n}"), "label": body["label"], "state": "live", "created_at": "2026-11-22T03:00:00Z",
            "expires_at": "2099-01-01T00:00:00Z", "consumed_at": null, "paired_serial": null });
        self.tokens.push(token.clone());
        token["secret"] = format!("s3cr3t-canary-{n}").into();
        (201, token)
    }

    pub(super) fn revoke(&mut self, body: &Value) -> Value {
        if let Some(label) = body["label"].as_str() {
            self.closed.push(label.to_owned());
        }
        let mut revoked = 0;
        for token in &mut self.tokens {
            let named = token["accessor"] == body["accessor"] || token["label"] == body["label"];
            if named && token["state"] == "live" {
                token["state"] = "revoked".into();
                revoked += 1;
            }
        }
        json!({ "revoked": revoked })
    }

    fn status(&mut self) -> Value {
        self.beats += i64::from(self.status == "online");
        json!({ "agent": "edge-1", "status": self.status, "paired_before": true, "identity": { "serial": self.serial, "fingerprint": null },
            "last_seen": crate::time::format(Millis(self.beats)) })
    }

    pub(super) fn live(&self) -> usize {
        self.tokens.iter().filter(|t| t["state"] == "live").count()
    }
}

pub(super) fn lock(plane: &Mutex<Plane>) -> std::sync::MutexGuard<'_, Plane> {
    plane.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn answer(plane: &mut Plane, asked: &Asked) -> Reply {
    let body: Value = serde_json::from_str(&asked.body).unwrap_or_default();
    let fault = plane.fault;
    let path = asked.path.split('?').next().unwrap_or_default();
    let (status, reply) = match (asked.method.as_str(), path.strip_prefix("/v1/connectors/edge-1").unwrap_or("-")) {
        ("POST", "/tokens") => {
            let minted = plane.mint(&body);
            match fault {
                Fault::Double => _ = plane.mint(&body),
                Fault::Lost => {
                    plane.fault = Fault::None;
                    return Reply::Reset;
                }
                Fault::None | Fault::Burn | Fault::Sleep => {}
            }
            minted
        }
        ("POST", "/tokens/revoke") => (200, plane.revoke(&body)),
        ("GET", "/tokens") => (200, json!({ "tokens": plane.tokens, "next": null })),
        ("GET", "") => (200, plane.status()),
        ("GET", "/audit") => (
            200,
            json!({ "events": [{ "at": "2026-11-22T03:00:00Z", "type": "token.minted", "detail": "token=s3cr3t-canary" }] }),
        ),
        ("GET", "-") if path == "/healthz" && !plane.unwell => (200, json!({ "status": "ok", "time": "t" })),
        ("GET", "-") if path == "/healthz" => (503, json!({ "error": "UNWELL", "message": "m" })),
        _ => (404, json!({ "error": "NOT_FOUND", "message": "m" })),
    };
    Reply::Json(status, reply.to_string())
}

/// Plays the part of the connector: it presents a token that it finds, once.
pub(super) async fn device(plane: Arc<Mutex<Plane>>, data: PathBuf, token_file: PathBuf) {
    loop {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let Ok(secret) = std::fs::read_to_string(&token_file) else { continue };
        let mut plane = lock(&plane);
        let Some(n) = secret.strip_prefix("s3cr3t-canary-").and_then(|n| n.parse::<usize>().ok()) else { continue };
        if plane.fault == Fault::Sleep || plane.tokens[n]["state"] != "live" {
            continue;
        }
        plane.tokens[n]["state"] = "consumed".into();
        if plane.fault != Fault::Burn {
            plane.tokens[n]["paired_serial"] = "s2".into();
            plane.serial = "s2".into();
            plane.status = "online".into();
            std::fs::write(data.join("identity.json"), r#"{"serial":"s2","secret_key":"k3y-canary"}"#).unwrap();
        }
    }
}
