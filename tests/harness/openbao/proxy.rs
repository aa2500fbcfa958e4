//! A proxy that passes everything on and back as it is, writes down what came, and says what of it must never have come.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::Asked;

#[derive(Default)]
struct Seen {
    ledger: Vec<Asked>,
    forbidden: Vec<String>,
    /// The lowest versions that were last read, by the key's path.
    lowest: BTreeMap<(String, String), Value>,
}

pub struct Proxy {
    pub address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
}

impl Proxy {
    pub fn before(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let kept = Arc::clone(&seen);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let kept = Arc::clone(&kept);
                std::thread::spawn(move || pass(stream, upstream, &kept));
            }
        });
        Self { address, seen }
    }

    /// Everything that came, in order.
    pub fn ledger(&self) -> Vec<Asked> {
        self.seen.lock().unwrap().ledger.clone()
    }

    /// What of it is on the never-list, or on no list at all.
    pub fn forbidden(&self) -> Vec<String> {
        self.seen.lock().unwrap().forbidden.clone()
    }
}

fn pass(mut stream: TcpStream, upstream: SocketAddr, seen: &Mutex<Seen>) -> Option<()> {
    let (asked, bytes) = Asked::read(&mut stream)?;
    {
        let mut seen = seen.lock().unwrap();
        if !good(&asked, &seen.lowest) {
            seen.forbidden.push(format!("{} {} {}", asked.method, asked.path, asked.body));
        }
        seen.ledger.push(asked.clone());
    }
    let mut on = TcpStream::connect(upstream).ok()?;
    // The connection is to end with the answer, so that the end of the answer need not be understood.
    let text = String::from_utf8(bytes).ok()?;
    on.write_all(text.replacen("\r\n\r\n", "\r\nconnection: close\r\n\r\n", 1).as_bytes()).ok()?;
    let mut answer = Vec::new();
    on.read_to_end(&mut answer).ok()?;
    if asked.method == "GET" && asked.path.contains("/keys/") {
        let text = String::from_utf8_lossy(&answer);
        let body = text.split_once("\r\n\r\n").and_then(|(_, body)| serde_json::from_str::<Value>(body).ok());
        let data = body.map(|body| body["data"].clone()).unwrap_or_default();
        seen.lock().unwrap().lowest.insert((asked.namespace, asked.path), data);
    }
    stream.write_all(&answer).ok()
}

fn good(asked: &Asked, lowest: &BTreeMap<(String, String), Value>) -> bool {
    let Asked { method, path, body, namespace: asked_in, .. } = asked;
    if path.contains("..") || path.contains('%') || path.contains("//") || path.contains('?') {
        return false;
    }
    match method.as_str() {
        "GET" => {
            let asked =
                ["/v1/sys/health", "/v1/sys/seal-status", "/v1/auth/token/lookup-self"].contains(&path.as_str());
            // Taking a snapshot changes nothing; it is of the whole, so that no namespace is named.
            let taken = path == "/v1/sys/storage/raft/snapshot" && asked_in.is_empty();
            asked
                || taken
                || path.ends_with("/seal-status")
                || path.ends_with("/config/keys")
                || path.contains("/keys/")
        }
        "POST" if path == "/v1/sys/capabilities-self" => true,
        // A login of our own, which shows no token.
        "POST" if path.starts_with("/v1/auth/") && path.ends_with("/login") => asked.token.is_empty(),
        "POST" if path.ends_with("/soft-delete-restore") => *body == json!({}),
        "POST" if path.ends_with("/config/keys") => *body == json!({ "disable_upsert": true }),
        "POST" => {
            let Some(key) = path.strip_suffix("/config") else { return false };
            let read = lowest.get(&(asked.namespace.clone(), key.to_owned()));
            let lowers = |name: &str| {
                let now = read.and_then(|read| read[name].as_u64());
                body.as_object().is_some_and(|o| o.len() == 1)
                    && body[name].as_u64().zip(now).is_some_and(|(to, now)| to >= 1 && to < now)
            };
            *body == json!({ "deletion_allowed": false })
                || *body == json!({ "auto_rotate_period": 0 })
                || lowers("min_decryption_version")
                || lowers("min_encryption_version")
        }
        _ => false,
    }
}

/// That the proxy tells what is forbidden from what is not: a suite asks for it before it believes "none".
pub fn knows_what_is_forbidden() {
    let read = json!({ "min_decryption_version": 3 });
    let lowest = BTreeMap::from([((String::new(), "/v1/transit/keys/k".to_owned()), read)]);
    let judged = |method: &str, path: &str, body: Value| {
        let (token, namespace) = (String::new(), String::new());
        good(&Asked { method: method.into(), path: format!("/v1/{path}"), token, namespace, body }, &lowest)
    };
    assert!(judged("GET", "transit/keys/k", Value::Null));
    assert!(judged("POST", "transit/keys/k/config", json!({ "min_decryption_version": 2 })));
    for (method, path, body) in [
        ("POST", "transit/keys/k", json!({})),
        ("POST", "transit/encrypt/k", json!({ "plaintext": "" })),
        ("POST", "transit/keys/k/rotate", json!({})),
        ("DELETE", "transit/keys/k", Value::Null),
        ("POST", "sys/storage/raft/snapshot", Value::Null),
        ("POST", "sys/storage/raft/snapshot-force", Value::Null),
        ("POST", "transit/keys/k/config", json!({ "min_decryption_version": 4 })),
        ("POST", "transit/keys/other/config", json!({ "min_decryption_version": 1 })),
        ("POST", "transit/keys/k/config", json!({ "exportable": true })),
    ] {
        assert!(!judged(method, path, body), "{method} {path}");
    }
}
