//! The fake's Transit: its paths, answered as the real one answered when it was asked.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::key::Key;

/// A status and a body.
pub type Answer = (u16, Value);

pub fn errors(status: u16, said: &[&str]) -> Answer {
    (status, json!({ "errors": said }))
}

pub fn data(data: &Value, warnings: &Value) -> Answer {
    (200, json!({ "data": data, "warnings": warnings }))
}

/// One mount.
#[derive(Clone, Default)]
pub struct Transit {
    /// Whether it is another engine, with nothing in it.
    other: bool,
    keys: BTreeMap<String, Key>,
    disable_upsert: bool,
}

impl Transit {
    /// A mount of this type.
    pub fn of(kind: &str) -> Self {
        Self { other: kind != "transit", ..Self::default() }
    }

    pub fn hide_version(&mut self, key: &str, version: u64, hidden: bool) {
        if let Some(key) = self.keys.get_mut(key) {
            key.hidden = hidden.then_some(version);
        }
    }

    /// What a request needs: encrypting with a key that is not there is to create it.
    pub fn needed(&self, method: &str, path: &str) -> &'static [&'static str] {
        match (method, path.strip_prefix("encrypt/")) {
            ("POST", Some(name)) if !self.other && !self.keys.contains_key(name) => &["create"],
            ("POST", Some(_)) => &["update"],
            ("GET", _) => &["read"],
            ("LIST", _) => &["list"],
            ("DELETE", _) => &["delete"],
            _ if self.other => &["update", "create"],
            _ => &["update"],
        }
    }

    /// `path` is below the mount.
    pub fn answer(&mut self, method: &str, path: &str, body: &Value) -> Answer {
        let words: Vec<&str> = path.split('/').collect();
        if self.other {
            // It stores whatever comes.
            return if method == "GET" { errors(404, &[]) } else { (204, Value::Null) };
        }
        match (method, &words[..]) {
            ("GET", ["config", "keys"]) => data(&json!({ "disable_upsert": self.disable_upsert }), &Value::Null),
            ("POST", ["config", "keys"]) => {
                self.disable_upsert = body["disable_upsert"].as_bool().unwrap_or(self.disable_upsert);
                data(&json!({ "disable_upsert": self.disable_upsert }), &Value::Null)
            }
            ("LIST", ["keys"]) if self.keys.is_empty() => errors(404, &[]),
            ("LIST", ["keys"]) => data(&json!({ "keys": self.keys.keys().collect::<Vec<_>>() }), &Value::Null),
            // An existing key stays as it is; a missing one comes to be. Both are a success.
            ("POST", ["keys", name]) => {
                let key = self.keys.entry((*name).to_owned()).or_insert_with(|| Key::new(name, body));
                data(&key.told(), &Value::Null)
            }
            ("POST", ["encrypt", name]) => self.encrypt(name, body),
            ("POST", ["decrypt", name]) => match self.keys.get(*name) {
                Some(key) => key.decrypt(body),
                None => errors(400, &["encryption key not found"]),
            },
            ("GET", ["keys", name]) => match self.keys.get(*name) {
                Some(key) => data(&key.told(), &Value::Null),
                None => errors(404, &[]),
            },
            ("DELETE", ["keys", name]) => match self.keys.get(*name) {
                Some(key) if key.fields["deletion_allowed"] == json!(true) => {
                    self.keys.remove(*name);
                    (204, Value::Null)
                }
                Some(_) => errors(400, &["deletion is not allowed for this key"]),
                None => errors(400, &["could not delete key; not found"]),
            },
            (_, ["keys", name, act]) => self.act(method, name, act, body),
            _ => errors(404, &["unsupported path"]),
        }
    }

    fn encrypt(&mut self, name: &str, body: &Value) -> Answer {
        if self.disable_upsert && !self.keys.contains_key(name) {
            return errors(400, &["encryption key not found"]);
        }
        // Upsert: this makes the key.
        self.keys.entry(name.to_owned()).or_insert_with(|| Key::new(name, body)).encrypt(body)
    }

    fn act(&mut self, method: &str, name: &str, act: &str, body: &Value) -> Answer {
        let Some(key) = self.keys.get_mut(name) else {
            return match (method, act) {
                ("POST", "config") => errors(400, &[&format!("no existing key named {name} could be found")]),
                // Like something that was done.
                ("POST", "soft-delete-restore") => (204, Value::Null),
                _ => errors(400, &["key not found"]),
            };
        };
        let mark = |key: &mut Key, deleted: bool, warning: &str| {
            let was = key.fields["soft_deleted"] == json!(deleted);
            key.fields["soft_deleted"] = json!(deleted);
            data(&key.told(), &if was { json!([warning]) } else { Value::Null })
        };
        match (method, act) {
            ("POST", "config") => key.config(body),
            ("POST", "rotate") => key.rotate(),
            ("POST", "trim") => key.trim(body),
            ("DELETE", "soft-delete") => mark(key, true, "key was already soft deleted"),
            ("POST", "soft-delete-restore") => mark(key, false, "key was already restored"),
            _ => errors(405, &["unsupported operation"]),
        }
    }
}
