//! The requests that may be made at all, as a list below the methods: whatever they come to send, nothing else is sent.

use std::sync::{Mutex, PoisonError};

use reqwest::Method;
use serde_json::{Map, Value};

use super::place::{LoginConfig, OpenBaoConfig};

/// A request.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Request {
    pub(super) method: Method,
    /// From the root, with `/v1/`.
    pub(super) path: String,
    /// The namespace that it is made in.
    pub(super) namespace: Option<String>,
    pub(super) body: Option<Value>,
}

impl Request {
    pub(super) const fn get(path: String, namespace: Option<String>) -> Self {
        Self { method: Method::GET, path, namespace, body: None }
    }

    pub(super) const fn post(path: String, namespace: Option<String>, body: Value) -> Self {
        Self { method: Method::POST, path, namespace, body: Some(body) }
    }
}

/// The paths of one place.
#[derive(Clone, Debug)]
pub(super) struct Paths {
    pub(super) health: &'static str,
    pub(super) seal_status: &'static str,
    pub(super) lookup_self: &'static str,
    pub(super) capabilities: &'static str,
    /// With the namespace that it is asked in: the one above. None in the root namespace.
    pub(super) namespace_seal: Option<(Option<String>, String)>,
    pub(super) key: String,
    pub(super) key_config: String,
    pub(super) restore: String,
    pub(super) keys_config: String,
    /// The snapshot of the whole OpenBao, in the root namespace.
    pub(super) snapshot: &'static str,
    /// Where to log in, and the fields that the body has.
    pub(super) login: Option<(String, &'static [&'static str])>,
    /// What capabilities are asked for, as policies have the paths.
    pub(super) asked_for: Vec<String>,
    pub(super) namespace: Option<String>,
}

impl Paths {
    pub(super) fn of(config: &OpenBaoConfig) -> Self {
        let (mount, key) = (&config.mount, &config.key);
        let namespace_seal = config.namespace.as_ref().map(|namespace| {
            let (above, name) = namespace.parent();
            (above.map(str::to_owned), format!("/v1/sys/namespaces/{name}/seal-status"))
        });
        let of_key = ["", "/config", "/soft-delete-restore"];
        Self {
            health: "/v1/sys/health",
            seal_status: "/v1/sys/seal-status",
            lookup_self: "/v1/auth/token/lookup-self",
            capabilities: "/v1/sys/capabilities-self",
            namespace_seal,
            key: format!("/v1/{mount}/keys/{key}"),
            key_config: format!("/v1/{mount}/keys/{key}/config"),
            restore: format!("/v1/{mount}/keys/{key}/soft-delete-restore"),
            keys_config: format!("/v1/{mount}/config/keys"),
            snapshot: "/v1/sys/storage/raft/snapshot",
            login: config.login.as_ref().map(|login| {
                let (mount, fields): (_, &'static [&'static str]) = match login {
                    LoginConfig::Approle(approle) => (&approle.mount, &["role_id", "secret_id"]),
                    LoginConfig::Jwt(jwt) => (&jwt.mount, &["role", "jwt"]),
                    LoginConfig::Cert(cert) if cert.name.is_some() => (&cert.mount, &["name"]),
                    LoginConfig::Cert(cert) => (&cert.mount, &[]),
                };
                (format!("/v1/auth/{mount}/login"), fields)
            }),
            asked_for: of_key
                .iter()
                .map(|end| format!("{mount}/keys/{key}{end}"))
                .chain([format!("{mount}/config/keys")])
                .collect(),
            namespace: config.namespace.as_ref().map(ToString::to_string),
        }
    }

    /// Whether a request is one of the list.
    pub(super) fn allow(&self, request: &Request, floors: &Floors) -> bool {
        let Request { method, path, namespace, body } = request;
        let here = *namespace == self.namespace;
        let path = path.as_str();
        match (method, body) {
            (&Method::GET, None) => {
                let of_all = [self.health, self.seal_status, self.snapshot].contains(&path) && namespace.is_none();
                let of_ours = [self.lookup_self, self.key.as_str(), self.keys_config.as_str()].contains(&path) && here;
                let of_namespace = self.namespace_seal.as_ref().is_some_and(|(at, p)| at == namespace && p == path);
                of_all || of_ours || of_namespace
            }
            (&Method::POST, Some(Value::Object(body))) if here => {
                if path == self.capabilities {
                    only(body) == Some(("paths", &Value::from(self.asked_for.clone())))
                } else if path == self.restore {
                    body.is_empty()
                } else if path == self.keys_config {
                    only(body) == Some(("disable_upsert", &Value::Bool(true)))
                } else if path == self.key_config {
                    only(body).is_some_and(|(name, value)| floors.may_set(name, value))
                } else {
                    // Every field of the login, as a text, and none besides.
                    self.login.as_ref().is_some_and(|(at, fields)| {
                        path == at
                            && body.len() == fields.len()
                            && fields.iter().all(|f| body.get(*f).is_some_and(Value::is_string))
                    })
                }
            }
            _ => false,
        }
    }
}

/// The field of a body that has one field.
fn only(body: &Map<String, Value>) -> Option<(&str, &Value)> {
    let mut fields = body.iter();
    let (name, value) = fields.next()?;
    if fields.next().is_none() { Some((name, value)) } else { None }
}

/// The key's lowest versions as they were last read. No request may set one to anything but less.
#[derive(Debug, Default)]
pub(super) struct Floors(Mutex<Option<Read>>);

#[derive(Clone, Copy, Debug)]
struct Read {
    available: u64,
    decryption: u64,
    encryption: u64,
}

impl Floors {
    pub(super) fn note(&self, available: u64, decryption: u64, encryption: u64) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Read { available, decryption, encryption });
    }

    /// After a change, or a reading that failed, what was read before is no reason for anything.
    pub(super) fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn may_set(&self, name: &str, value: &Value) -> bool {
        let lower = |of: fn(&Read) -> u64| {
            let read = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
            read.zip(value.as_u64()).is_some_and(|(read, to)| to >= 1 && to >= read.available && to < of(&read))
        };
        match name {
            "deletion_allowed" => *value == Value::Bool(false),
            "auto_rotate_period" => value.as_u64() == Some(0),
            "min_decryption_version" => lower(|read| read.decryption),
            "min_encryption_version" => lower(|read| read.encryption),
            _ => false,
        }
    }
}
