//! The fake's Transit: keys with versions, as the real one answered when it was asked.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

/// A status and a body.
pub type Answer = (u16, Value);

pub fn errors(status: u16, said: &[&str]) -> Answer {
    (status, json!({ "errors": said }))
}

fn data(data: &Value, warnings: &Value) -> Answer {
    (200, json!({ "data": data, "warnings": warnings }))
}

struct Key {
    created: BTreeMap<u64, u64>,
    fields: Value,
}

impl Key {
    fn new(name: &str) -> Self {
        let fields = json!({ "name": name, "type": "aes256-gcm96", "derived": false, "deletion_allowed": false,
            "exportable": false, "allow_plaintext_backup": false, "min_available_version": 0, "min_decryption_version": 1,
            "min_encryption_version": 0, "supports_encryption": true, "supports_decryption": true, "supports_signing": false,
            "supports_derivation": true, "auto_rotate_period": 0, "imported_key": false, "soft_deleted": false });
        Self { created: BTreeMap::from([(1, now())]), fields }
    }

    fn latest(&self) -> u64 {
        self.created.keys().max().copied().unwrap_or(0)
    }

    fn told(&self) -> Value {
        let mut told = self.fields.clone();
        let from = told["min_decryption_version"].as_u64().unwrap();
        // What may not decrypt is not told of.
        let keys = self.created.range(from..).map(|(n, at)| (n.to_string(), json!(at))).collect();
        told["keys"] = Value::Object(keys);
        told["latest_version"] = json!(self.latest());
        told
    }

    fn config(&mut self, body: &Value) -> Answer {
        for (name, value) in body.as_object().into_iter().flatten() {
            if name.starts_with("min_") && value.as_u64().is_some_and(|n| n > self.latest()) {
                let what = name.trim_end_matches("_version").replace('_', " ");
                return errors(
                    400,
                    &[&format!("cannot set {what} version of {value}, latest key version is {}", self.latest())],
                );
            }
            // These two go one way.
            let one_way = ["exportable", "allow_plaintext_backup"].contains(&name.as_str());
            if self.fields.get(name).is_some() && !(one_way && *value == json!(false)) {
                self.fields[name] = value.clone();
            }
        }
        data(&self.told(), &Value::Null)
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// One mount.
#[derive(Default)]
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
                let key = self.keys.entry((*name).to_owned()).or_insert_with(|| Key::new(name));
                data(&key.told(), &Value::Null)
            }
            ("POST", ["encrypt", name]) => self.encrypt(name),
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

    fn encrypt(&mut self, name: &str) -> Answer {
        if self.disable_upsert && !self.keys.contains_key(name) {
            return errors(400, &["encryption key not found"]);
        }
        // Upsert: this makes the key.
        let key = self.keys.entry(name.to_owned()).or_insert_with(|| Key::new(name));
        if key.fields["soft_deleted"] == json!(true) {
            return errors(400, &["refusing to use soft-deleted key"]);
        }
        data(
            &json!({ "ciphertext": format!("vault:v{}:AAAA", key.latest()), "key_version": key.latest() }),
            &Value::Null,
        )
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
            ("POST", "rotate") => {
                key.created.insert(key.latest() + 1, now());
                data(&key.told(), &Value::Null)
            }
            ("DELETE", "soft-delete") => mark(key, true, "key was already soft deleted"),
            ("POST", "soft-delete-restore") => mark(key, false, "key was already restored"),
            _ => errors(405, &["unsupported operation"]),
        }
    }
}
