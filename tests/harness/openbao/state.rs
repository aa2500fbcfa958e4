//! What the fake knows, and how a request changes it.

use std::collections::BTreeMap;

use rustls::pki_types::CertificateDer;
use serde_json::{Value, json};

use super::auth::Method;
use super::transit::{Answer, Transit, errors};
use super::{Asked, ROOT};

/// What unseals it.
pub const UNSEAL: &str = "unseal-key-of-the-tests";

/// By namespace and path.
type Placed<T> = BTreeMap<(String, String), T>;

#[derive(Clone, Default)]
struct Grant {
    policies: Vec<String>,
    namespace: String,
    /// In seconds since 1970.
    until: Option<u64>,
}

/// Everything that a snapshot holds.
#[derive(Clone, Default)]
pub struct Stored {
    namespaces: Vec<String>,
    mounts: Placed<Transit>,
    ways_in: Placed<Method>,
    /// Capabilities by path.
    policies: Placed<Value>,
    tokens: BTreeMap<String, Grant>,
}

impl Stored {
    pub fn hide_version(&mut self, namespace: &str, key: &str, version: u64, hidden: bool) {
        for ((at, _), mount) in &mut self.mounts {
            if at == namespace {
                mount.hide_version(key, version, hidden);
            }
        }
    }
}

#[derive(Default)]
pub struct State {
    sealed: bool,
    sealed_namespaces: Vec<String>,
    pub stored: Stored,
    pub ledger: Vec<Asked>,
}

impl State {
    pub const fn seal(&mut self) {
        self.sealed = true;
    }

    pub fn answer(&mut self, asked: Asked, shown: &[CertificateDer<'static>]) -> Answer {
        self.ledger.push(asked.clone());
        let Some(path) = asked.path.strip_prefix("/v1/").map(str::to_owned) else { return errors(404, &[]) };
        if let Some(answer) = self.of_the_seal(&asked, &path) {
            return answer;
        }
        if !asked.namespace.is_empty() && !self.stored.namespaces.contains(&asked.namespace) {
            return errors(404, &["namespace not found"]);
        }
        if self.sealed_namespaces.contains(&asked.namespace) {
            return errors(503, &["namespace is sealed"]);
        }
        if let Some(answer) = self.login(&asked, &path, shown) {
            return answer;
        }
        let everywhere =
            ["auth/token/lookup-self", "auth/token/renew-self", "sys/capabilities-self"].contains(&path.as_str());
        let alive = |grant: &Grant| grant.until.is_none_or(|until| until > super::key::now());
        let known = asked.token == ROOT || self.stored.tokens.get(&asked.token).is_some_and(alive);
        let may = self.capabilities(&asked.token, &asked.namespace, &path);
        let able = |word: &str| may.iter().any(|c| c == word || c == "root");
        if !known || !(everywhere || self.needed(&asked, &path).iter().any(|word| able(word))) {
            return errors(403, &["permission denied"]);
        }
        self.routed(&asked, &path)
    }

    /// What is answered whether it is sealed or not, and the refusal if it is.
    fn of_the_seal(&mut self, asked: &Asked, path: &str) -> Option<Answer> {
        let status = |sealed: bool| {
            json!({ "type": "shamir", "initialized": true, "sealed": sealed, "t": 1, "n": 1, "progress": 0, "nonce": "",
                "version": "2.5.5" })
        };
        match path {
            "sys/health" => {
                let body = json!({ "initialized": true, "sealed": self.sealed, "standby": self.sealed,
                    "server_time_utc": super::key::now(), "version": "2.5.5" });
                Some((if self.sealed { 503 } else { 200 }, body))
            }
            "sys/seal-status" => Some((200, status(self.sealed))),
            "sys/unseal" => {
                if asked.body["key"] != UNSEAL {
                    return Some(errors(400, &["'key' must be a valid hex or base64 string"]));
                }
                self.sealed = false;
                Some((200, status(false)))
            }
            _ if self.sealed => Some(errors(503, &["Vault is sealed"])),
            _ => None,
        }
    }

    fn login(&mut self, asked: &Asked, path: &str, shown: &[CertificateDer<'static>]) -> Option<Answer> {
        let mount = path.strip_prefix("auth/")?.strip_suffix("/login")?;
        if asked.method != "POST" {
            return None;
        }
        let at = (asked.namespace.clone(), mount.to_owned());
        let Some(method) = self.stored.ways_in.get_mut(&at) else { return Some(errors(403, &["permission denied"])) };
        let (policies, ttl) = match method.login(&asked.body, shown) {
            Ok(granted) => granted,
            Err(answer) => return Some(answer),
        };
        let fresh = self.fresh(policies.clone(), &asked.namespace, Some(super::key::now() + ttl));
        Some((
            200,
            json!({ "auth": { "client_token": fresh, "policies": policies, "lease_duration": ttl, "renewable": true } }),
        ))
    }

    fn fresh(&mut self, policies: Vec<String>, namespace: &str, until: Option<u64>) -> String {
        let fresh = format!("s.token-of-the-tests-{}", self.stored.tokens.len());
        self.stored.tokens.insert(fresh.clone(), Grant { policies, namespace: namespace.to_owned(), until });
        fresh
    }

    /// Which mount a path is below, and what of it is left.
    fn mounted<'p, T>(of: &Placed<T>, namespace: &str, path: &'p str) -> Option<((String, String), &'p str)> {
        let below = |(at, mount): &&(String, String)| at == namespace && path.starts_with(&format!("{mount}/"));
        let at = of.keys().find(below)?.clone();
        let rest = &path[at.1.len() + 1..];
        Some((at, rest))
    }

    /// Which capability lets a request pass.
    fn needed(&self, asked: &Asked, path: &str) -> &'static [&'static str] {
        if let Some((at, rest)) = Self::mounted(&self.stored.mounts, &asked.namespace, path) {
            return self.stored.mounts[&at].needed(&asked.method, rest);
        }
        match asked.method.as_str() {
            "GET" => &["read"],
            "LIST" => &["list"],
            "DELETE" => &["delete"],
            _ => &["update", "create"],
        }
    }

    fn routed(&mut self, asked: &Asked, path: &str) -> Answer {
        let Asked { method, body, namespace, token, .. } = asked;
        let answer = |data: Value| (200, json!({ "data": data }));
        let serial = self.ledger.len();
        match path {
            "auth/token/lookup-self" => {
                let policies = self.stored.tokens.get(token).map(|grant| grant.policies.clone());
                let policies = policies.unwrap_or_else(|| vec!["root".into()]);
                return answer(json!({ "accessor": format!("accessor-{}", token.len()), "id": token,
                    "policies": policies, "ttl": 0, "num_uses": 0 }));
            }
            "auth/token/renew-self" => {
                return (200, json!({ "auth": { "client_token": token, "lease_duration": 3_600, "renewable": true } }));
            }
            "sys/capabilities-self" => {
                let paths = body["paths"].as_array().cloned().unwrap_or_default();
                let told = paths.iter().filter_map(Value::as_str);
                let told = told.map(|p| (p.to_owned(), json!(self.capabilities(token, namespace, p))));
                return answer(Value::Object(told.collect()));
            }
            "auth/token/create" => {
                let policies = serde_json::from_value(body["policies"].clone()).unwrap();
                let fresh = self.fresh(policies, namespace, None);
                return (200, json!({ "auth": { "client_token": fresh } }));
            }
            "sys/seal" => {
                self.sealed = true;
                return (204, Value::Null);
            }
            _ => {}
        }
        let at = |name: &str| (namespace.clone(), name.to_owned());
        if let Some(name) = path.strip_prefix("sys/namespaces/") {
            return self.namespace(method, name, body);
        }
        if let Some(mount) = path.strip_prefix("sys/mounts/") {
            if method == "DELETE" {
                self.stored.mounts.remove(&at(mount));
            } else {
                self.stored.mounts.insert(at(mount), Transit::of(body["type"].as_str().unwrap_or_default()));
            }
            return (204, Value::Null);
        }
        if let Some(mount) = path.strip_prefix("sys/auth/") {
            self.stored.ways_in.insert(at(mount), Method::of(body["type"].as_str().unwrap_or_default()));
            return (204, Value::Null);
        }
        if let Some(name) = path.strip_prefix("sys/policies/acl/") {
            let policy = body["policy"].as_str().and_then(|text| serde_json::from_str(text).ok());
            self.stored.policies.insert(at(name), policy.unwrap());
            return (204, Value::Null);
        }
        if let Some(below) = path.strip_prefix("auth/")
            && let Some((at, rest)) = Self::mounted(&self.stored.ways_in, namespace, below)
        {
            return self.stored.ways_in.get_mut(&at).unwrap().answer(method, rest, body, serial);
        }
        let Some((at, rest)) = Self::mounted(&self.stored.mounts, namespace, path) else {
            return errors(404, &[&format!("no handler for route {path:?}. route entry not found.")]);
        };
        self.stored.mounts.get_mut(&at).unwrap().answer(method, rest, body)
    }

    fn namespace(&mut self, method: &str, name: &str, body: &Value) -> Answer {
        let status = |sealed: bool| {
            (
                200,
                json!({ "data": { "type": "shamir", "initialized": true, "sealed": sealed, "t": 1, "n": 1, "progress": 0, "nonce": "" } }),
            )
        };
        let (name, act) = name.rsplit_once('/').map_or((name, ""), |(name, act)| (name, act));
        let known = self.stored.namespaces.iter().any(|one| one == name);
        match (method, act) {
            ("POST", "") => {
                self.stored.namespaces.push(name.to_owned());
                (200, json!({ "data": { "path": format!("{name}/") } }))
            }
            (_, "seal" | "unseal" | "seal-status") if !known => errors(400, &["namespace not found"]),
            ("GET", "seal-status") => status(self.sealed_namespaces.iter().any(|one| one == name)),
            ("POST", "seal") => {
                self.sealed_namespaces.push(name.to_owned());
                (204, Value::Null)
            }
            ("POST", "unseal") if body["key"] == UNSEAL => {
                self.sealed_namespaces.retain(|one| one != name);
                status(false)
            }
            ("POST", "unseal") => errors(400, &["invalid key"]),
            _ => errors(400, &["namespace name cannot contain /"]),
        }
    }

    fn capabilities(&self, token: &str, namespace: &str, path: &str) -> Vec<String> {
        if token == ROOT {
            return vec!["root".into()];
        }
        let Some(grant) = self.stored.tokens.get(token) else { return vec!["deny".into()] };
        // Who comes from above has his policies there, with the namespace in their paths.
        let path = match grant.namespace.as_str() {
            own if own == namespace => path.to_owned(),
            "" => format!("{namespace}/{path}"),
            _ => return vec!["deny".into()],
        };
        let policies = grant.policies.iter();
        let policies = policies.filter_map(|name| self.stored.policies.get(&(grant.namespace.clone(), name.clone())));
        let of =
            |policy: &Value| serde_json::from_value::<Vec<String>>(policy["path"][&path]["capabilities"].clone()).ok();
        let mut may: Vec<String> = policies.filter_map(of).flatten().collect();
        may.sort();
        if may.is_empty() { vec!["deny".into()] } else { may }
    }
}
