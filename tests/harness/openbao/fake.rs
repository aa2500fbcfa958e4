//! A fake OpenBao: namespaces, mounts, policies and tokens before its Transit, and a ledger of every request.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::transit::{Answer, Transit, errors};
use super::{Asked, Peer, ROOT, head};

#[derive(Default)]
struct State {
    sealed: bool,
    namespaces: Vec<String>,
    /// By namespace and path.
    mounts: BTreeMap<(String, String), Transit>,
    /// Capabilities by path, by policy.
    policies: BTreeMap<String, Value>,
    /// Policies by token.
    tokens: BTreeMap<String, Vec<String>>,
    ledger: Vec<Asked>,
}

pub struct Fake {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Fake {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let kept = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let kept = Arc::clone(&kept);
                std::thread::spawn(move || serve(stream, &kept));
            }
        });
        Self { address, state }
    }

    /// Every request that came.
    pub fn ledger(&self) -> Vec<Asked> {
        self.state.lock().unwrap().ledger.clone()
    }
}

impl Peer for Fake {
    fn address(&self) -> SocketAddr {
        self.address
    }
}

fn serve(mut stream: TcpStream, state: &Mutex<State>) -> Option<()> {
    let (asked, _) = Asked::read(&mut stream)?;
    let (status, body) = state.lock().unwrap().answer(asked);
    let body = if body.is_null() { String::new() } else { body.to_string() };
    stream.write_all(format!("{}{body}", head(status, body.len())).as_bytes()).ok()
}

/// Which capability lets a request pass.
fn needed(method: &str) -> &'static [&'static str] {
    match method {
        "GET" => &["read"],
        "LIST" => &["list"],
        "DELETE" => &["delete"],
        _ => &["update", "create"],
    }
}

impl State {
    fn answer(&mut self, asked: Asked) -> Answer {
        self.ledger.push(asked.clone());
        let Some(path) = asked.path.strip_prefix("/v1/").map(str::to_owned) else { return errors(404, &[]) };
        match path.as_str() {
            "sys/health" => {
                let body = json!({ "initialized": true, "sealed": self.sealed, "standby": self.sealed,
                    "server_time_utc": 1_700_000_000, "version": "2.0.0-HEAD" });
                return (if self.sealed { 503 } else { 200 }, body);
            }
            "sys/seal-status" => {
                return (
                    200,
                    json!({ "type": "shamir", "initialized": true, "sealed": self.sealed, "t": 1, "n": 1, "progress": 0 }),
                );
            }
            _ if self.sealed => return errors(503, &["Vault is sealed"]),
            _ => {}
        }
        if !asked.namespace.is_empty() && !self.namespaces.contains(&asked.namespace) {
            return errors(404, &["namespace not found"]);
        }
        let everywhere = ["auth/token/lookup-self", "sys/capabilities-self"].contains(&path.as_str());
        let known = asked.token == ROOT || self.tokens.contains_key(&asked.token);
        let may = self.capabilities(&asked.token, &path);
        let able = |word: &str| may.iter().any(|c| c == word || c == "root");
        if !known || !(everywhere || needed(&asked.method).iter().any(|word| able(word))) {
            return errors(403, &["permission denied"]);
        }
        self.routed(&asked, &path)
    }

    fn routed(&mut self, asked: &Asked, path: &str) -> Answer {
        let Asked { method, body, namespace, token, .. } = asked;
        let answer = |data: Value| (200, json!({ "data": data }));
        if path == "auth/token/lookup-self" {
            let policies = self.tokens.get(token).cloned().unwrap_or_else(|| vec!["root".into()]);
            return answer(json!({ "accessor": format!("accessor-{}", token.len()), "id": token, "policies": policies,
                "ttl": 0, "num_uses": 0 }));
        }
        if path == "sys/capabilities-self" {
            let paths = body["paths"].as_array().cloned().unwrap_or_default();
            let told =
                paths.iter().filter_map(Value::as_str).map(|p| (p.to_owned(), json!(self.capabilities(token, p))));
            return answer(Value::Object(told.collect()));
        }
        if path == "auth/token/create" {
            let fresh = format!("s.token-of-the-tests-{}", self.tokens.len());
            let policies = serde_json::from_value(body["policies"].clone()).unwrap();
            self.tokens.insert(fresh.clone(), policies);
            return (200, json!({ "auth": { "client_token": fresh } }));
        }
        if path == "sys/seal" {
            self.sealed = true;
            return (204, Value::Null);
        }
        if let Some(name) = path.strip_prefix("sys/namespaces/") {
            if name.contains('/') {
                return errors(400, &["namespace name cannot contain /"]);
            }
            self.namespaces.push(name.to_owned());
            return answer(json!({ "path": format!("{name}/") }));
        }
        if let Some(mount) = path.strip_prefix("sys/mounts/") {
            self.mounts
                .insert((namespace.clone(), mount.to_owned()), Transit::of(body["type"].as_str().unwrap_or_default()));
            return (204, Value::Null);
        }
        if let Some(name) = path.strip_prefix("sys/policies/acl/") {
            let policy = body["policy"].as_str().and_then(|text| serde_json::from_str(text).ok());
            self.policies.insert(name.to_owned(), policy.unwrap());
            return (204, Value::Null);
        }
        let of = |(at, mount): &&(String, String)| at == namespace && path.starts_with(&format!("{mount}/"));
        let Some(at) = self.mounts.keys().find(of).cloned() else {
            return errors(404, &[&format!("no handler for route {path:?}. route entry not found.")]);
        };
        let below = &path[at.1.len() + 1..];
        let transit = self.mounts.get_mut(&at).unwrap();
        transit.answer(method, below, body)
    }

    fn capabilities(&self, token: &str, path: &str) -> Vec<String> {
        if token == ROOT {
            return vec!["root".into()];
        }
        let policies = self.tokens.get(token).into_iter().flatten().filter_map(|name| self.policies.get(name));
        let of =
            |policy: &Value| serde_json::from_value::<Vec<String>>(policy["path"][path]["capabilities"].clone()).ok();
        let mut may: Vec<String> = policies.filter_map(of).flatten().collect();
        may.sort();
        if may.is_empty() { vec!["deny".into()] } else { may }
    }
}
